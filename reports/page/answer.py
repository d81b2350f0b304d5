"""The answer, first on the page: what to use, how sure that is, and which application it is quick enough for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import gpu, words
from reports.answer import P99_SAMPLES, tail_sentence
from reports.budgets import MET, MISSED, UNKNOWN, Standing, standings
from reports.charts.ladder import factor
from reports.page.html import Html, join, tag
from reports.page.parts import Section, listed, origin
from reports.page.tables import Column, Value, table
from reports.source import best_per_runtime, timed
from results.floors import BELOW
from results.intervals import MIN_PROCESSES

if TYPE_CHECKING:
    from reports.source import Source
    from reports.table import Race
    from results.summary import CellSummary

# Beyond so many races a line each says more than a card each.
CARDS_MOST = 4
NAMES_MOST = 4
RUNNERS_MOST = 4
WHAT_COUNTS = (
    "Budgets count one call, array in to array out; the audio that a call waits for, drivers and buffers come on top."
)


def answer_section(source: Source) -> Section:
    """What to use, per race."""
    races = list(source.races.items())
    if not races:
        shown: Html = tag("p", "No model was measured, only what a call costs: see below.")
    elif len(races) <= CARDS_MOST:
        shown = tag("div", *(_card(source, race, cells) for race, cells in races), class_="answers")
    else:
        shown = _lines(source)
    return Section(
        "answer", "The answer", join([machine(source), shown, _overhead(source), _missing(source)]), "Answer"
    )


def machine(source: Source) -> Html:
    """Whether the machine was quiet, and whether the run came to its end."""
    name, colon, rest = source.noise.sentence.partition(":")
    said = join([tag("b", name), f"{colon}{rest}"]) if not source.noise.quiet else source.noise.sentence
    parts = [tag("p", "Machine: ", said, class_="noise" if source.noise.quiet else "noise loud")]
    status, ended = source.facts.get("status"), source.facts.get("ended_by")
    unfinished = {
        "interrupted": "The run was interrupted: what follows is incomplete.",
        "running": "The run is still going on, or was killed: what follows is incomplete.",
    }.get(str(status))
    if unfinished is None and ended == "time":
        unfinished = "The time was up before every interval was as narrow as asked."
    if unfinished:
        parts.append(tag("p", unfinished, class_="noise loud" if status != "finished" else "noise"))
    return join(parts)


def _card(source: Source, race: Race, cells: list[CellSummary]) -> Html:
    right = timed(cells)
    head = tag("h3", words.race(race))
    if not right:
        return tag("article", head, tag("p", "Nothing could be measured; see what failed."), class_="card")
    best = right[0]
    pick = tag(
        "div",
        tag("b", _advice(best, right), name(best)),
        tag(
            "span",
            words.milliseconds(best.p50_ms),
            " ",
            tag("small", f"p50 per call {words.spread(best)}".strip()),
            class_="time",
        ),
        class_="pick",
    )
    facts = listed(
        [
            ("how sure", _sure(best, right)),
            ("tail", tail(best)),
            ("soonest there", tail_sentence(right, name) or None),
            ("real time", _real_time(best)),
            ("behind it", _behind(right)),
            ("floor", floor(source, best)),
            ("on the GPU", gpu.sentence(best) or None),
        ]
    )
    chips = tag("ul", *(_chip(standing, best) for standing in standings(best)), class_="budgets")
    return tag("article", head, pick, facts, chips, tag("p", _waits(best), class_="about"), class_="card")


def _advice(best: CellSummary, right: list[CellSummary]) -> str:
    if best.p50_ci_ms is None:
        return "Fastest so far: "
    return "Fastest, with ties: " if any(cell.rank == best.rank for cell in right[1:]) else "Use "


def name(cell: CellSummary) -> str:
    """A cell as one would ask for it."""
    return f"{words.runtime(cell)}, form {cell.spec['form']}, {words.layout(cell)}"


def _sure(best: CellSummary, right: list[CellSummary]) -> str:
    tied = [cell for cell in right[1:] if cell.rank == best.rank]
    if best.p50_ci_ms is None:
        plural = "es" if best.processes != 1 else ""
        few = f"Not sure: {best.processes} process{plural}, and an interval needs {MIN_PROCESSES}"
        return f"{few}. {_ties(tied)}".strip()
    low, high = best.p50_ci_ms
    interval = f"95 % interval {words.milliseconds(low)} to {words.milliseconds(high)}, from {best.processes} processes"
    if not tied:
        return (
            f"{interval}. Nothing else ties with it." if len(right) > 1 else f"{interval}. Nothing else was measured."
        )
    return f"{interval}. {_ties(tied)}"


def _ties(tied: list[CellSummary]) -> str:
    if not tied:
        return ""
    shown = "; ".join(name(cell) for cell in tied[:NAMES_MOST])
    more = f"; and {len(tied) - NAMES_MOST} more" if len(tied) > NAMES_MOST else ""
    return f"Cannot be told apart from {shown}{more}."


def tail(cell: CellSummary) -> str:
    """The p99 with what supports it."""
    if cell.p99_ms is None:
        return f"p99 unknown: {cell.samples} samples, at least 100 are needed"
    said = f"p99 {words.milliseconds(cell.p99_ms)}"
    if cell.p99_ci_ms is not None:
        return (
            f"{said}, 95 % interval {words.milliseconds(cell.p99_ci_ms[0])} to {words.milliseconds(cell.p99_ci_ms[1])}"
        )
    if cell.processes < MIN_PROCESSES:
        return f"{said}, without an interval: fewer than {MIN_PROCESSES} processes"
    worth = 0 if cell.effective_samples is None else cell.effective_samples
    return f"{said}, without an interval: worth {worth:.0f} independent samples, {P99_SAMPLES} are needed"


def _real_time(cell: CellSummary) -> str | None:
    if cell.rtf is None or cell.x_realtime is None:
        return None
    verdict = "keeps up" if cell.rtf < 1 else "cannot keep up"
    return f"RTF {words.digits(cell.rtf)} (lower is better), {words.digits(cell.x_realtime)} × real time: {verdict}"


def _behind(right: list[CellSummary]) -> str | None:
    others = [cell for cell in best_per_runtime(right) if cell.spec["runtime"] != right[0].spec["runtime"]]
    shown = [f"{cell.spec['runtime']} {factor(cell, right[0])}" for cell in others]
    return "; ".join(shown[:RUNNERS_MOST]) or None


def floor(source: Source, cell: CellSummary) -> Html | str:
    """How far a cell is from what the hardware could do, or why that is not known."""
    found = source.floors.of(cell)
    if found is None or cell.p50_ms is None:
        return f"Not known: {source.floors.why_not(cell)}."
    if found.broken_by(cell.p50_ms * 1e-3):
        return f"{words.milliseconds(found.floor_s * 1e3)} would be its floor: it is {BELOW}."
    gap = found.gap(cell.p50_ms * 1e-3)
    bound = f"{words.milliseconds(found.floor_s * 1e3)} ({found.precision}, limit: {found.limit})"
    return join(
        [
            f"{words.digits(gap)} × the floor of {bound} ",
            origin("derived", "work counted from the graph over the machine's peaks"),
        ]
    )


def _chip(standing: Standing, cell: CellSummary) -> Html:
    both = {standing.p50, standing.p99}
    if both == {MET}:
        state, sign = "met", "✓ fits"
    elif standing.p50 == MISSED:
        state, sign = "missed", "✗ too slow"
    elif standing.p99 == MISSED:
        state, sign = "missed", "✗ tail too slow"
    elif standing.p99 == UNKNOWN:
        state, sign = "unknown", "? tail unknown"
    else:
        state, sign = "unsure", "? too close to say"
    budget = standing.budget
    each = f"p50 {_word(standing.p50)}, p99 {_word(standing.p99)}"
    without = "" if standing.sure or cell.p99_ms is None else " (no interval)"
    return tag(
        "li",
        tag("b", f"{sign}: {budget.name}"),
        f"{budget.most_ms:g} ms: {each}{without}",
        class_=state,
        title=f"budget published in {budget.source}",
    )


def _word(state: str) -> str:
    return {"met": "within", "missed": "beyond", "unsure": "too close to say", "unknown": "unknown"}[state]


def _waits(cell: CellSummary) -> str:
    if not cell.audio_s:
        return WHAT_COUNTS
    return f"{WHAT_COUNTS} Here a call answers for {words.milliseconds(cell.audio_s * 1e3)} of audio."


def _lines(source: Source) -> Html:
    columns = [
        Column("race", filter=False),
        Column("use"),
        Column("p50", number=True),
        Column("±", number=True, hint="half of the 95 % interval"),
        Column("p99", number=True),
        Column("RTF ↓", number=True, hint="time over audio; lower is better"),
        Column("tightest budget that fits", filter=True, hint="at p50 and p99"),
        Column("ties with", number=True, hint="cells that cannot be told apart from it"),
        Column("beside the floor", number=True),
    ]
    rows: list[list[object]] = []
    for race, cells in source.races.items():
        right = timed(cells)
        if not right:
            rows.append([words.race(race), "nothing could be measured", *[words.NOTHING] * 7])
            continue
        best = right[0]
        fits = [one.budget for one in standings(best) if {one.p50, one.p99} == {MET}]
        lines = source.floors.of(best)
        gap = None if lines is None or best.p50_ms is None else lines.gap(best.p50_ms * 1e-3)
        rows.append(
            [
                words.race(race),
                name(best),
                Value(words.milliseconds(best.p50_ms), best.p50_ms),
                Value(words.spread(best) or words.NOTHING, None if best.p50_ci_ms is None else best.half_width),
                Value(words.milliseconds(best.p99_ms), best.p99_ms),
                Value(words.NOTHING if best.rtf is None else words.digits(best.rtf), best.rtf),
                f"{fits[0].name}, {fits[0].most_ms:g} ms" if fits else "none, or p99 unknown",
                Value(
                    sum(cell.rank == best.rank for cell in right[1:]), sum(cell.rank == best.rank for cell in right[1:])
                ),
                Value(words.gap(gap), gap),
            ]
        )
    reasons = {source.floors.why_not(cells[0]) for cells in source.races.values() if source.floors.of(cells[0]) is None}
    why = tag("p", f"Without a floor: {'; '.join(sorted(reasons))}.", class_="about") if reasons else None
    return join(
        [table(columns, rows, "What to use, per race", filters=True), why, tag("p", WHAT_COUNTS, class_="about")]
    )


def _overhead(source: Source) -> Html | None:
    if not source.overhead:
        return None
    best = best_per_runtime(source.overhead)
    costs = ", ".join(f"{cell.spec['runtime']} {words.milliseconds(cell.p50_ms)}" for cell in best)
    return tag("p", f"A call costs, before any arithmetic: {costs}.", class_="about")


def _missing(source: Source) -> Html | None:
    bad = [cell for cell in source.cells if cell.status != "ok"]
    if not bad:
        return None
    statuses = {
        status: sum(cell.status == status for cell in bad) for status in dict.fromkeys(cell.status for cell in bad)
    }
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return tag(
        "p", f"{len(bad)} of {len(source.cells)} cells have no time ({counts}): ", tag("a", "why", href="#failed"), "."
    )
