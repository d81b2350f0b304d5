"""A ladder beside the published one, as text, Markdown and JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reports import words
from results import hardware
from results.ladder import gain_of, of_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from results.intervals import Interval
    from results.ladder import Gain, Ladder, Measured, Published, Rung
    from results.published import Step
    from results.summary import CellSummary

# Here and published in turns, so that each figure has its counterpart beside it.
COLUMNS = ("step", "here", "published", "gain here", "published", "in all here", "published", "cell", "line")
# Of a reason, in a table.
REASON_MOST = 90


def table(ladder: Ladder, host: Mapping[str, Any]) -> Table:
    """For a terminal, which has no room for the source's lines."""
    made = Table(title=f"{title(ladder)}: here beside published", box=box.SIMPLE_HEAD, title_justify="left")
    made.caption, made.caption_justify = Text("\n".join([*sentences(ladder), *notes(ladder, host)])), "left"
    for number, name in enumerate(COLUMNS[:-1]):
        # A gain in two lines is hard to compare with the one beside it; words may break.
        made.add_column(
            name, justify="left" if number in (0, 7) else "right", min_width=22 if number in (3, 4) else None
        )
    for rung in ladder.rungs:
        made.add_row(*map(escape, row(ladder, rung, brief=True)[:-1]))
    return made


def markdown(ladder: Ladder, host: Mapping[str, Any]) -> str:
    """For a page: what gained most, the table, and what a reader must know."""
    parts = [f"### {title(ladder)}", "", *(f"- {line}" for line in sentences(ladder)), ""]
    parts += [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|---:|---:|---:|---|---:|"]
    parts += [f"| {' | '.join(_safe(value) for value in row(ladder, rung))} |" for rung in ladder.rungs]
    return "\n".join([*parts, "", *(f"- {note}" for note in notes(ladder, host))]) + "\n"


def row(ladder: Ladder, rung: Rung, *, brief: bool = False) -> list[str]:
    """One step, a text per column of :data:`COLUMNS`.

    Args:
        ladder: of which it is a part.
        rung: the step.
        brief: without the intervals of what all steps gained together.
    """
    here, there = rung.measured, rung.published
    ours, theirs = [short(rung.why_not), *[words.NOTHING] * 2], [words.NOTHING] * 3
    cell = line = words.NOTHING
    if here is not None:
        over = since(ladder, rung)
        ours = [time(ladder, here.time_s), gain(here.gain) + over, gain(here.whole, brief=brief)]
        cell = stood(rung, here)
    if there is not None:
        theirs = [figure(there.step), gain(there.gain), gain(there.whole, brief=brief)]
        line = words.NOTHING if there.step.row.line is None else str(there.step.row.line)
    return [rung.title, *(value for pair in zip(ours, theirs, strict=True) for value in pair), cell, line]


def title(ladder: Ladder) -> str:
    """What was measured."""
    return f"The ladder of {ladder.model}, {ladder.signal}"


def sentences(ladder: Ladder) -> list[str]:
    """What gained most, here and there, and what could not be told apart."""
    lines = []
    for side, where, of in (("measured", "here", "95 % interval"), ("published", "published", "rounding leaves")):
        rung = ladder.largest(side)
        found = None if rung is None else gain_of(rung, side)
        if rung is None or found is None:
            continue
        ends = "" if found.interval is None else f" ({of} {_ends(found.interval)})"
        over = since(ladder, rung) if side == "measured" else ""
        lines.append(
            f"{where}: '{rung.title}' gained most, ÷ {words.digits(found.ratio)}{ends}{over}{_all(ladder, side)}"
        )
    for rung in ladder.rungs:
        found, told = gain_of(rung, "measured"), gain_of(rung, "published")
        if found is None or (found.sure and found.ratio > 1) or (found.interval is None and not found.same):
            continue
        said = "slower than the step before it" if found.sure else "no gain here that can be told from chance"
        said = "no gain here: it is the same cell" if found.same else said
        beside = "" if told is None else f"; published: {gain(told, brief=True)}"
        lines.append(f"'{rung.title}': {said}{'' if found.interval is None else f', {gain(found)}'}{beside}")
    untold = [rung for rung in ladder.rungs if (one := gain_of(rung, "measured")) and not one.interval and not one.same]
    if untold:
        lines.append(f"too few rounds for an interval: {len(untold)} of the gains here may be chance")
    return lines


def notes(ladder: Ladder, host: Mapping[str, Any]) -> list[str]:
    """Full sentences that belong below any showing of a ladder."""
    found = [f"Measured here, on {machine(ladder, host)}."]
    if ladder.series is not None:
        sources = dict.fromkeys(rung.published.step.row.source.title for rung in ladder.rungs if rung.published)
        found[0] += f" Published: {'; '.join(sources)}; on {published_machine(ladder)}. Compare gains, not times."
        same = (ladder.series.model, ladder.series.signal)
        if same != (ladder.model, ladder.signal):
            found.append(
                f"What is published is of {', '.join(same)}; measured here is {ladder.model}, {ladder.signal}."
            )
    if ladder.audio_s and ladder.own_audio_s and ladder.audio_s != ladder.own_audio_s:
        found.append(
            f"Both RTFs are over {ladder.audio_s * 1e3:.2f} ms of audio, as the published ones are; rtfloor's other "
            f"tables divide by {ladder.own_audio_s * 1e3:.2f} ms."
        )
    if ladder.chose:
        found.append(
            "Where several cells could stand for a step, the one that was fastest in one half of the rounds is "
            "measured in the other half: luck in choosing is no gain."
        )
    if ladder.lucky:
        found.append(
            "Too few rounds: a step that was chosen from several cells was measured in the rounds that chose it, and "
            "looks a little faster than it is."
        )
    found += [
        f"{figure(rung.estimate)}, {rung.estimate.label}, is an estimate (line {rung.estimate.row.line}): "
        "nobody measured it."
        for rung in ladder.rungs
        if rung.estimate is not None
    ]
    return found


def document_entry(facts: Mapping[str, Any], cells: Sequence[CellSummary]) -> dict[str, Any] | None:
    """The ladder of a run as JSON values; None where its plan has none."""
    ladder = of_run(facts, cells)
    return None if ladder is None else entry(ladder, facts.get("host") or {})


def page(facts: Mapping[str, Any], cells: Sequence[CellSummary]) -> str:
    """The ladder of a run in Markdown; empty where its plan has none."""
    ladder = of_run(facts, cells)
    return "" if ladder is None else markdown(ladder, facts.get("host") or {})


def entry(ladder: Ladder, host: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values."""
    series = ladder.series
    return {
        "model": ladder.model,
        "signal": ladder.signal,
        "threads": list(ladder.threads),
        "audio_s": ladder.audio_s,
        "published": None
        if series is None
        else {"series": series.name, "hardware": series.hardware, "model": series.model, "signal": series.signal},
        "steps": [_step_entry(ladder, rung) for rung in ladder.rungs],
        "notes": notes(ladder, host),
    }


def gain(found: Gain | None, *, brief: bool = False) -> str:
    """A gain in words: ``÷ 1.90 (1.84 to 1.96)``, or ``÷ 1.90`` where it is to be brief."""
    if found is None:
        return words.NOTHING
    if found.same:
        return "the same cell"
    ends = "" if found.interval is None or brief else f" ({_ends(found.interval)})"
    return f"÷ {words.digits(found.ratio)}{ends}"


def time(ladder: Ladder, seconds: float) -> str:
    """A measured time, with its RTF where the audio is known."""
    rtf = ladder.rtf(seconds)
    return words.milliseconds(seconds * 1e3) + ("" if rtf is None else f", RTF {words.digits(rtf)}")


def figure(step: Step) -> str:
    """A published figure as it was printed; a time with the RTF that was printed beside it."""
    return step.row.printed if step.origin == "derived" else f"{step.row.printed}, RTF {step.rtf:g}"


def stood(rung: Rung, here: Measured) -> str:
    """Which cell stood for a step, and how many it was chosen from."""
    if rung.right < 2:
        return name(here.cell)
    return f"{name(here.cell)} (of {rung.right}{', another in some rounds' if here.others else ''})"


def name(cell: CellSummary) -> str:
    """A cell in a few words."""
    return " ".join([str(cell.spec["runtime"]), str(cell.spec["form"]), words.layout(cell), *words.changes(cell)])


def machine(ladder: Ladder, host: Mapping[str, Any]) -> str:
    """The machine that measured, with the thread budget."""
    budget = " and ".join(map(str, ladder.threads))
    return f"{host.get('cpu') or 'an unknown processor'}, {budget} thread{'s' if budget != '1' else ''}"


def published_machine(ladder: Ladder) -> str:
    """The machine of the published ladder; empty without one."""
    if ladder.series is None:
        return ""
    known = ladder.series.hardware
    title = hardware.hardware(known).title if known in hardware.names() else known
    used = [rung.published.step.threads for rung in ladder.rungs if rung.published and rung.published.step.threads]
    return title + (f", up to {max(used)} threads" if used else "")


def since(ladder: Ladder, rung: Rung) -> str:
    """What a gain is over, where the step before has no time; empty where it has one."""
    place = ladder.rungs.index(rung)
    if rung.measured is None or rung.measured.gain is None or ladder.rungs[place - 1].measured is not None:
        return ""
    return f", over '{rung.measured.since}'"


def short(reason: str) -> str:
    """The beginning of a reason."""
    text = " ".join(reason.split())
    return text if len(text) <= REASON_MOST else f"{text[: REASON_MOST - 1]}…"


def _all(ladder: Ladder, side: str) -> str:
    ends = [found for rung in ladder.rungs if (found := getattr(rung, side)) is not None]
    whole = ends[-1].whole if ends else None
    return "" if whole is None else f"; all steps together {gain(whole)}"


def _ends(interval: Interval) -> str:
    return f"{words.digits(interval.low)} to {words.digits(interval.high)}"


def _safe(text: str) -> str:
    # A pipe would end its column.
    return text.replace("|", "\\|")


def _step_entry(ladder: Ladder, rung: Rung) -> dict[str, Any]:
    here, there = rung.measured, rung.published
    return {
        "title": rung.title,
        "candidates": rung.candidates,
        "right": rung.right,
        "why_not": rung.why_not or None,
        "measured": None
        if here is None
        else {
            "cell": here.cell.cell,
            "also": list(here.others),
            "time_ms": here.time_s * 1e3,
            "time_ci_ms": None if here.interval_s is None else [here.interval_s.low * 1e3, here.interval_s.high * 1e3],
            "rtf": ladder.rtf(here.time_s),
            "gain": _gain_entry(here.gain),
            "since": here.since or None,
            "in_all": _gain_entry(here.whole),
            "origin": "measured",
        },
        "published": None if there is None else _published_entry(there.step, there),
        "estimate": None if rung.estimate is None else _published_entry(rung.estimate),
    }


def _published_entry(step: Step, there: Published | None = None) -> dict[str, Any]:
    return {
        "row": step.row.id,
        "label": step.label,
        "kind": step.kind,
        "printed": step.row.printed,
        "time_ms": step.seconds * 1e3,
        "time_range_ms": [step.low_s * 1e3, step.high_s * 1e3],
        "time_origin": step.origin,
        "rtf": step.rtf,
        "gain": None if there is None else _gain_entry(there.gain),
        "in_all": None if there is None else _gain_entry(there.whole),
        "cited": step.cited,
        "origin": "published",
    }


def _gain_entry(found: Gain | None) -> dict[str, Any] | None:
    if found is None:
        return None
    ends = (None, None) if found.interval is None else (found.interval.low, found.interval.high)
    return {"ratio": found.ratio, "low": ends[0], "high": ends[1], "same_cell": found.same}
