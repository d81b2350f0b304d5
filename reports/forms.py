"""Forms beside each other: what each rewrite gains on each runtime, and what it costs in quality."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import words
from results.intervals import log_ratio_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results.intervals import Interval
    from results.summary import CellSummary

# Ratios are against the form that everybody knows; a race without it takes the form raw.
KNOWN = "ln"
RAW = "raw"


@dataclass(frozen=True)
class FormRow:
    """One form on one runtime, the fastest of its layouts and options.

    Attributes:
        cell: the summary.
        base: the form it is compared with.
        ratio: p50 over that of ``base`` on the same runtime; below 1 is faster. None without both.
        interval: 95 %, paired by rounds; None from too few processes.
    """

    cell: CellSummary
    base: str
    ratio: float | None
    interval: Interval | None


def form_rows(cells: Sequence[CellSummary]) -> dict[tuple[str, str, int], list[FormRow]]:
    """By race, for races with several forms: rows in the plan's order, runtime by runtime.

    A form is compared within its runtime, layout and options; of these the one with the fastest
    form ``ln`` (or ``raw``) stands for the runtime, so that layouts do not mix with forms.
    """
    races: dict[tuple[str, str, int], list[CellSummary]] = defaultdict(list)
    for cell in cells:
        races[cell.race].append(cell)
    found = {}
    for race, group in races.items():
        if len({cell.spec["form"] for cell in group}) > 1:
            found[race] = [row for part in _by_runtime(group) for row in part]
    return found


def best_rewrite(rows: Sequence[FormRow]) -> dict[str, FormRow]:
    """The fastest form of each runtime that keeps the model's own precision, beside the known one."""
    best: dict[str, FormRow] = {}
    for row in rows:
        same = row.cell.spec.get("precision") == _precision_of_raw(rows, row)
        if row.ratio is None or row.cell.spec["form"] == row.base or not same:
            continue
        name = str(row.cell.spec["runtime"])
        if name not in best or row.ratio < (best[name].ratio or 0):
            best[name] = row
    return best


def markdown(cells: Sequence[CellSummary]) -> str:
    """Every race with several forms as a table, for a page."""
    parts = []
    for race, rows in form_rows(cells).items():
        base = rows[0].base
        parts += [f"### {words.race(race)}", "", *(f"- {line}" for line in gains(rows)), ""]
        head = f"| runtime | form | p50 | against `{base}` | signal to error, beside `raw` |"
        parts += [f"{head} P(AI) moved by, or what is wrong |", "|---|---|---:|---:|---:|---|"]
        parts += [f"| {' | '.join(_columns(row, base))} |" for row in rows]
        shown = {row.cell.cell for row in rows}
        left = [cell.cell for cell in cells if cell.race == race and cell.cell not in shown]
        if left:
            parts += ["", f"Not compared, for another layout or other options: {', '.join(left)}."]
        parts += [""]
    return "\n".join(parts)


def gains(rows: Sequence[FormRow]) -> list[str]:
    """A sentence per runtime: the best rewrite's gain, with its interval."""
    lines = []
    for name, row in best_rewrite(rows).items():
        assert row.ratio is not None
        form = f"`{row.cell.spec['form']}`"
        if row.interval is None:
            lines.append(f"{name}: {form} takes {row.ratio:.3f} × the time of `{row.base}` (no interval)")
            continue
        low, high = row.interval.low, row.interval.high
        verdict = "faster" if high < 1 else "slower" if low > 1 else "cannot be told apart"
        lines.append(
            f"{name}: {form} takes {row.ratio:.3f} × the time of `{row.base}` "
            f"(95 % interval {low:.3f} to {high:.3f}): {verdict}"
        )
    return lines


def quality(cell: CellSummary) -> str:
    """Signal-to-error ratio beside the form raw."""
    return words.beside_raw(cell).partition(" ΔP")[0]


def shift(cell: CellSummary) -> str:
    """By how much the detection chain's score moved, and whether a verdict flipped."""
    verdict = (cell.quality or {}).get("verdict")
    if not verdict or verdict.get("score_shift") is None:
        return words.NOTHING
    flips = f", {verdict['flips']} flipped" if verdict["flips"] else ""
    return f"{verdict['score_shift']:.1e}{flips}, {'accepted' if verdict.get('accepted') else 'not accepted'}"


def _columns(row: FormRow, heading: str) -> list[str]:
    cell = row.cell
    head = [words.runtime(cell), f"`{cell.spec['form']}`"]
    if cell.status != "ok":
        return [*head, cell.status, words.NOTHING, quality(cell), _short(cell.reason or "")]
    time = f"{words.milliseconds(cell.p50_ms)} {words.spread(cell)}".strip()
    other = "" if row.base == heading or row.ratio is None else f" of `{row.base}`"
    return [*head, time, f"{_ratio(row)}{other}", quality(cell), shift(cell)]


def _short(reason: str) -> str:
    text = " ".join(reason.split()).replace("|", "\\|")
    return text if len(text) <= 110 else f"{text[:109]}…"


def _ratio(row: FormRow) -> str:
    if row.ratio is None:
        return words.NOTHING
    if row.cell.spec["form"] == row.base:
        return "1"
    if row.interval is None:
        return f"{row.ratio:.3f}"
    return f"{row.ratio:.3f} ({row.interval.low:.3f} to {row.interval.high:.3f})"


def _by_runtime(group: Sequence[CellSummary]) -> list[list[FormRow]]:
    by_runtime: dict[str, list[CellSummary]] = defaultdict(list)
    for cell in group:
        by_runtime[str(cell.spec["runtime"])].append(cell)
    return [_rows(cells) for cells in by_runtime.values()]


def _rows(cells: Sequence[CellSummary]) -> list[FormRow]:
    forms = {str(cell.spec["form"]) for cell in cells}
    base = KNOWN if KNOWN in forms else RAW
    timed = [cell for cell in cells if cell.p50_ms is not None]
    anchors = [cell for cell in timed if cell.spec["form"] == base] or timed
    anchor = min(anchors, key=lambda cell: cell.p50_ms or 0.0, default=None)
    rows = []
    for cell in cells:
        if anchor is not None and _setting(cell) != _setting(anchor):
            continue
        compared = None
        if anchor is not None and anchor.spec["form"] == base and cell.status == "ok":
            compared = log_ratio_interval(cell.medians_ns, anchor.medians_ns)
        ratio, interval = compared or (None, None)
        if ratio is None and cell.p50_ms and anchor is not None and anchor.p50_ms and anchor.spec["form"] == base:
            ratio = cell.p50_ms / anchor.p50_ms
        rows.append(FormRow(cell, base, ratio, interval))
    return rows


def _setting(cell: CellSummary) -> tuple[str, tuple[tuple[str, str], ...]]:
    options = dict(cell.spec.get("options", {}))
    return str(cell.spec["layout"]), tuple(sorted((name, str(value)) for name, value in options.items()))


def _precision_of_raw(rows: Sequence[FormRow], row: FormRow) -> str | None:
    for form in (RAW, row.base):
        for other in rows:
            if other.cell.spec["form"] == form:
                return other.cell.spec.get("precision")
    return None
