"""The answer in a few lines: what is fastest, how sure that is, and what is missing from the table."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from reports import duel, gpu, words
from reports.table import races
from results.floor import ARITHMETIC
from results.floors import BELOW
from results.intervals import MIN_PROCESSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from results.floors import Floors
    from results.noise import Noise
    from results.summary import CellSummary

# Below this many independent samples no two-sided 95 % interval for p99 exists.
P99_SAMPLES = 368
OVERHEAD_MODEL = "null"
# So many ties are named; more are counted.
NAMES_MOST = 6


def headline(title: str, noise: Noise, status: str | None, ended_by: str | None = None) -> str:
    """The first line of every report: what it is, and whether the machine was quiet."""
    unfinished = {"interrupted": " — interrupted, incomplete", "running": " — still running, or killed"}
    short = " — the time was up before every interval was as narrow as asked" if ended_by == "time" else ""
    return f"{title}{unfinished.get(status or '', short)}\nmachine: {noise.sentence}"


def answer(cells: Sequence[CellSummary], floors: Floors | None = None) -> Iterator[str]:
    """One line per race, then the cost of a call, then what has no time and why.

    Args:
        cells: of a run.
        floors: their lines; None where nobody asked for them.
    """
    overhead = []
    for key, group in races(cells).items():
        timed = [cell for cell in group if cell.status == "ok" and cell.p50_ms is not None]
        if key[0] == OVERHEAD_MODEL and not group[0].spec.get("users_file"):
            overhead += [f"{cell.spec['runtime']} {words.milliseconds(cell.p50_ms)}" for cell in _first_of_each(timed)]
        elif timed:
            yield from _race(words.race(key), timed, floors)
        else:
            yield f"{words.race(key)}: nothing could be measured"
    yield from duel.sentences(cells)
    if overhead:
        yield f"a call costs, before any arithmetic: {', '.join(overhead)}"
    yield from _missing(cells)


def _first_of_each(timed: Sequence[CellSummary]) -> list[CellSummary]:
    """The fastest cell of each runtime."""
    return list({str(cell.spec["runtime"]): cell for cell in reversed(timed)}.values())[::-1]


def _race(title: str, timed: Sequence[CellSummary], floors: Floors | None) -> Iterator[str]:
    best = timed[0]
    yield f"{title}: fastest is {words.named(best)}"
    yield f"  {_figures(best)}"
    tail = tail_sentence(timed, words.named)
    if tail:
        yield f"  {tail}"
    if floors is not None:
        yield f"  {floor_sentence(best, floors)}"
    if said := gpu.sentence(best):
        yield f"  {said}"
    tied = [cell for cell in timed[1:] if cell.rank == best.rank]
    if tied and best.p50_ci_ms is None and best.processes < MIN_PROCESSES:
        yield "  with so few processes nothing can be told apart: give it more --time, or a longer --profile"
    elif tied:
        yield f"  cannot be told apart from it: {some(list(map(words.named, tied)))}"
    behind = _best_per_runtime([cell for cell in timed[1:] if cell.rank != best.rank], best)
    if behind:
        yield f"  slower: {'; '.join(behind)}"


def some(names: Sequence[str]) -> str:
    """Names in a row, and how many more there are where they would fill the screen."""
    more = len(names) - NAMES_MOST
    shown = names if more <= 1 else names[:NAMES_MOST]
    return "; ".join(shown) + (f"; and {more} more" if more > 1 else "")


def tail_sentence(timed: Sequence[CellSummary], name: Callable[[CellSummary], str]) -> str:
    """Which cell has the lower p99, where that is not the one with the lowest p50; else an empty text.

    Args:
        timed: cells of one race, the fastest first.
        name: what a cell is called.
    """
    best = timed[0]
    known = [cell for cell in timed if cell.p99_ms is not None]
    ahead = min(known, key=lambda cell: cell.p99_ms or 0.0, default=None)
    if best.p99_ms is None or ahead is None or ahead is best:
        return ""
    figures = f"p99 {words.milliseconds(ahead.p99_ms)} against {words.milliseconds(best.p99_ms)}"
    if ahead.p99_ci_ms is None or best.p99_ci_ms is None:
        doubt = "no interval for both, so it may be chance"
    elif ahead.p99_ci_ms[1] < best.p99_ci_ms[0]:
        doubt = "and their intervals are apart"
    else:
        doubt = "but their intervals overlap"
    return f"at the tail {name(ahead)} is ahead: {figures}, {doubt}"


def floor_sentence(cell: CellSummary, floors: Floors) -> str:
    """How far a cell is from its floor, or why nobody knows."""
    lines = floors.of(cell)
    if lines is None or cell.p50_ms is None:
        return f"no floor: {floors.why_not(cell)}"
    if lines.broken_by(cell.p50_ms / 1e3):
        return f"{words.milliseconds(lines.floor_s * 1e3)} is its floor: {BELOW}"
    what = "arithmetic" if lines.limit == ARITHMETIC else f"what must come from {lines.limit}"
    plural = "s" if lines.threads != 1 else ""
    where = f"{lines.threads} thread{plural}" if lines.threads else "the whole GPU"
    text = (
        f"{words.digits(lines.gap(cell.p50_ms / 1e3))} × the floor of {words.milliseconds(lines.floor_s * 1e3)}, "
        f"which is {what} in {lines.precision} on {where}"
    )
    if lines.ideal_s is None:
        return text
    return f"{text}; with ideal fusion {words.milliseconds(lines.ideal_s * 1e3)}"


def _best_per_runtime(cells: Sequence[CellSummary], best: CellSummary) -> list[str]:
    assert best.p50_ms is not None
    seen = {best.spec["runtime"]}
    lines = []
    for cell in cells:
        if cell.spec["runtime"] not in seen and cell.p50_ms is not None:
            seen.add(cell.spec["runtime"])
            lines.append(f"{words.named(cell)} {cell.p50_ms / best.p50_ms:.2f}×")
    return lines


def _figures(cell: CellSummary) -> str:
    parts = [f"p50 {words.milliseconds(cell.p50_ms)}" + (f" ({words.spread(cell)})" if cell.p50_ci_ms else "")]
    if cell.p99_ms is None:
        parts.append(f"p99 unknown ({cell.samples} samples, at least 100 needed)")
    elif cell.p99_ci_ms is None and cell.processes < MIN_PROCESSES:
        parts.append(f"p99 {words.milliseconds(cell.p99_ms)} (no interval from fewer than {MIN_PROCESSES} processes)")
    elif cell.p99_ci_ms is None:
        worth = f"{cell.effective_samples:.0f}" if cell.effective_samples is not None else "too few"
        parts.append(
            f"p99 {words.milliseconds(cell.p99_ms)} (no interval: worth {worth} samples, {P99_SAMPLES} needed)"
        )
    else:
        low, high = cell.p99_ci_ms
        parts.append(f"p99 {words.milliseconds(cell.p99_ms)} ({words.milliseconds(low)} to {words.milliseconds(high)})")
    if cell.rtf is not None and cell.x_realtime is not None:
        parts.append(f"RTF {words.digits(cell.rtf)} = {words.digits(cell.x_realtime)} × real time")
        parts.append(f"per {cell.spec.get('audio')}")
    plural = "es" if cell.processes != 1 else ""
    parts.append(f"{cell.processes} process{plural}, {cell.samples} samples")
    return ", ".join(parts)


def _missing(cells: Sequence[CellSummary]) -> Iterator[str]:
    reasons: dict[tuple[str, str, str], list[CellSummary]] = defaultdict(list)
    for cell in cells:
        if cell.status != "ok":
            reasons[cell.status, str(cell.spec["runtime"]), cell.reason or ""].append(cell)
    for (status, runtime, reason), group in reasons.items():
        where = group[0].cell if len(group) == 1 else f"{len(group)} cells, {group[0].cell} among them"
        yield f"{status}: {runtime} ({where}): {reason}"
