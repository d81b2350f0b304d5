"""What a search found, in words: the pick, what ties with it, how sure that is, what it cost, and the code to paste."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reports import words
from reports.answer import some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from results.summary import CellSummary
    from results.tuned import Tuned


def sentences(outcome: Tuned, cells: Sequence[CellSummary], facts: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A search in a few lines; the winner's code last, where the run's facts are given and have it."""
    goal = outcome.goal
    if outcome.best is None:
        if outcome.unjudged:
            yield "the search ended before the quality of any candidate was judged; go on with 'rtfloor tune --resume'"
        else:
            yield "the search found nothing: no cell is right and within the conditions"
        yield from _refused(outcome)
        return
    by_name = {cell.cell: cell for cell in cells}
    best = by_name[outcome.best]
    interval = ""
    if outcome.interval_ms is not None:
        interval = f" ({words.milliseconds(outcome.interval_ms[0])} to {words.milliseconds(outcome.interval_ms[1])})"
    yield f"best at {goal.objective}: {words.named(best)}, {words.milliseconds(outcome.value_ms)}{interval}"
    if outcome.ties:
        yield f"  cannot be told apart from it: {some([words.named(by_name[cell]) for cell in outcome.ties])}"
    if outcome.sure is not None:
        behind = f"{goal.margin * 100:.3g} %"
        yield f"  {_percent(outcome.sure)} sure that none of the {outcome.cells} cells is better by more than {behind}"
    yield f"  {_cost(outcome)}"
    yield from _refused(outcome)
    if facts is not None and (snippet := snippet_of(outcome, facts)):
        yield from _code(snippet)


def entry(outcome: Tuned, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A search as JSON values, with the code of its winner as the run's facts have it."""
    values = asdict(outcome)
    values["refused"] = dict(outcome.refused)
    values["rounds"] = [outcome.rounds[number] for number in sorted(outcome.rounds)]
    return values | {"share": outcome.share, "snippet": snippet_of(outcome, facts), "origin": "measured"}


def snippet_of(outcome: Tuned, facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The winner's code as the run's facts have it; None where they have none, or that of an earlier winner."""
    snippet: Mapping[str, Any] | None = facts.get("snippet")
    return snippet if snippet and snippet.get("cell") == outcome.best else None


def _percent(share: float) -> str:
    return "more than 99 %" if share > 0.99 else f"{share:.0%}"


def _cost(outcome: Tuned) -> str:
    rounds = [outcome.rounds[number] for number in sorted(outcome.rounds)]
    narrowing = " → ".join(map(str, dict.fromkeys(rounds)))
    text = f"{outcome.spent_s:.0f} s in {outcome.processes} processes ({narrowing} cells in {len(rounds)} rounds)"
    if outcome.exhaustive_s is None or outcome.share is None:
        return text
    everything = f"every cell as often and as long as the best would take {outcome.exhaustive_s:.0f} s"
    return f"{text}: {outcome.share:.0%} of what it costs to try everything ({everything})"


def _refused(outcome: Tuned) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for cell, reason in outcome.refused.items():
        reasons.setdefault(reason, []).append(cell)
    for reason, cells in list(reasons.items())[:5]:
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        yield f"  not within the conditions: {cells[0]}{more}: {reason}"
    if len(outcome.refused) > 5:
        yield f"  {len(outcome.refused)} cells in all are not within the conditions"


def _code(snippet: Mapping[str, Any]) -> Iterator[str]:
    if snippet.get("why_not"):
        yield f"no code to paste: {snippet['why_not']}"
        return
    if snippet.get("settings"):
        yield "settings:"
        yield from (f"  {key} = {value}" for key, value in snippet["settings"].items())
    if snippet.get("environment"):
        yield "environment:"
        yield from (f"  {key}={value}" for key, value in snippet["environment"].items())
    if snippet.get("model_command"):
        yield f"the model's file: {snippet['model_command']}"
    beside = f" ({snippet['file']}, beside the run file)" if snippet.get("file") else ""
    yield f"code to paste{beside}:"
    yield ""
    yield from (f"    {line}".rstrip() for line in str(snippet["python"]).rstrip().splitlines())
    yield ""
