"""What a gate found, in words: a verdict per line, with its figures, and what it could have seen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from reports import words
from results.gate import INCONCLUSIVE, PASS, QUIET, REGRESSED, WRONG
from results.gate_spec import BASELINE, CANDIDATE, OBJECTIVES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from results.gate import Compared, Gated, Verdict

COLUMNS = ("verdict", "what", "of", "baseline", "candidate", "change", "interval", "could have seen", "pairs")
STYLES = {WRONG: "bold red", REGRESSED: "bold red", INCONCLUSIVE: "yellow"}


def table(outcome: Gated) -> Table:
    """One row per pair and objective."""
    found = Table(*COLUMNS, box=box.SIMPLE_HEAD)
    for one in outcome.verdicts:
        found.add_row(*row(one), style=STYLES.get(one.verdict))
    return found


def row(one: Verdict) -> tuple[str, ...]:
    """The cells of one row, as :data:`COLUMNS` names them."""
    seen = one.seen or one.other
    head = (one.verdict, one.pair.title, one.objective)
    if seen is None:
        return (*head, *[words.NOTHING] * 5, str(one.pairs))
    return (
        *head,
        value(one.objective, seen.baseline),
        value(one.objective, seen.candidate),
        change(one.objective, seen.estimate),
        interval(one),
        words.NOTHING if one.smallest is None else change(one.objective, one.smallest).removeprefix("+"),
        str(one.pairs),
    )


def sentences(outcome: Gated) -> Iterator[str]:
    """The whole gate in a line, then what figures do not tell, then how sure all of it is."""
    gate = outcome.gate
    if not outcome.verdicts:
        yield "gate: NOTHING WAS COMPARED, since no side of any pair can run here"
        return
    yield f"gate: {outcome.verdict.upper()} — {gate.says[CANDIDATE]} beside {gate.says[BASELINE]}"
    for one in outcome.verdicts:
        yield f"  {line(one)}"
    if gate.recorded is not None:
        yield "  beside sittings of other days, so no gate of this kind says how often it raises a false alarm"
        return
    chance = (1.0 - gate.confidence) * 100
    yield (
        f"  where nothing differs, at most {chance:.3g} in 100 gates call something regressed or improved, however "
        "noisy the machine and however often one looks"
    )


def line(one: Verdict) -> str:
    """One verdict in a sentence."""
    said = f"{one.verdict}: {one.pair.title}, {one.objective}"
    seen = one.seen
    if seen is not None:
        said += f" {change(one.objective, seen.estimate)} ({interval(one)}) over {seen.pairs} pairs"
        if OBJECTIVES[one.objective].fixed:
            said = f"{one.verdict}: {one.pair.title}, {one.objective} {change(one.objective, seen.estimate)}"
    if one.contended is not None and max(one.contended) >= 0.01:
        left = "left out" if one.view == QUIET else "left in"
        said += f"; contended calls {left} ({one.contended[0]:.0%} and {one.contended[1]:.0%})"
    if one.other is not None and one.view == QUIET and one.other.low is not None:
        both = f"{change(one.objective, one.other.low)} to {change(one.objective, one.other.high)}"
        said += f"; with them {change(one.objective, one.other.estimate)} ({both})"
    if one.verdict in (INCONCLUSIVE, PASS) and one.smallest is not None and not OBJECTIVES[one.objective].fixed:
        said += f"; a change of {change(one.objective, one.smallest).removeprefix('+')} would have been seen"
    return f"{said}; {one.reason}" if one.reason else said


def entry(outcome: Gated) -> dict[str, Any]:
    """A gate as JSON values."""
    gate = outcome.gate
    return {
        "verdict": outcome.verdict,
        "exit_code": outcome.exit_code,
        "baseline": gate.says[BASELINE],
        "candidate": gate.says[CANDIDATE],
        "confidence": gate.confidence,
        "objectives": dict(gate.objectives),
        "checks": [_check(one) for one in outcome.verdicts],
        "origin": "measured",
    }


def markdown(outcome: Gated) -> str:
    """A section for a page or a job's summary."""
    gate = outcome.gate
    lines = [
        f"### rtfloor gate: {outcome.verdict}",
        "",
        f"**{gate.says[CANDIDATE]}** beside **{gate.says[BASELINE]}**",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    lines += [f"| {' | '.join(words.markdown(text) for text in row(one))} |" for one in outcome.verdicts]
    lines += ["", *(f"- {words.markdown(line(one))}" for one in outcome.verdicts)]
    return "\n".join(lines) + "\n"


def value(objective: str, number: float) -> str:
    """A figure with its unit."""
    if objective in ("memory", "size"):
        return f"{words.digits(number / 1e6)} MB"
    return f"{number:.2%}" if objective == "misses" else words.milliseconds(number * 1e-6)


def change(objective: str, share: float | None) -> str:
    """A change with its sign; points of a share for ``misses``."""
    if share is None:
        return words.NOTHING
    digits = 1 if abs(share) >= 0.0995 else 2
    unit = " points" if objective == "misses" else " %"
    return f"{share * 100:+.{digits}f}{unit}".replace("-", "−")


def interval(one: Verdict) -> str:
    """From the lower to the upper end."""
    seen = one.seen
    if seen is None or seen.low is None:
        return words.NOTHING
    return f"{change(one.objective, seen.low)} to {change(one.objective, seen.high)}"


def _check(one: Verdict) -> dict[str, Any]:
    values = asdict(one)
    del values["pair"]
    views = {one.view: _view(one.seen), ("all" if one.view == QUIET else QUIET): _view(one.other)}
    for key in ("seen", "other"):
        del values[key]
    found: Mapping[str, Any] = {"what": one.pair.title, "cells": [one.pair.baseline, one.pair.candidate]}
    return {**found, **values, "views": {name: views[name] for name in sorted(views)}}


def _view(seen: Compared | None) -> dict[str, Any] | None:
    return None if seen is None else asdict(seen)
