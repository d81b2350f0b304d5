"""What a search found, in words: the pick, what ties with it, how sure that is, what it cost, and the code to paste."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reports import words
from reports.answer import some
from results.goal import Goal
from results.tuned import Tuned, tuned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from results.record import Record
    from results.summary import CellSummary


def found(facts: Mapping[str, Any], cells: Sequence[CellSummary], records: Iterable[Record]) -> Tuned | None:
    """The outcome of a run that is a search; None of any other."""
    goal = (facts.get("plan") or {}).get("goal")
    if goal is None:
        return None
    return tuned(Goal.from_json(goal), [cell.cell for cell in cells if cell.status == "ok"], records)


def sentences(outcome: Tuned, cells: Sequence[CellSummary], snippet: Mapping[str, Any] | None) -> Iterator[str]:
    """A search in a few lines, the code last."""
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
    yield f"best at {goal.objective}: {_name(best)}, {words.milliseconds(outcome.value_ms)}{interval}"
    if outcome.ties:
        yield f"  cannot be told apart from it: {some([_name(by_name[cell]) for cell in outcome.ties])}"
    if outcome.sure is not None:
        behind = f"{goal.margin * 100:.3g} %"
        yield f"  {_percent(outcome.sure)} sure that none of the {outcome.cells} cells is better by more than {behind}"
    yield f"  {_cost(outcome)}"
    yield from _refused(outcome)
    if snippet and snippet.get("cell") == outcome.best:
        yield from _code(snippet)


def entry(outcome: Tuned, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A search as JSON values, with the code of its winner as the run's facts have it."""
    snippet = facts.get("snippet")
    if snippet and snippet.get("cell") != outcome.best:
        snippet = None
    values = asdict(outcome)
    values["refused"] = dict(outcome.refused)
    values["rounds"] = [outcome.rounds[number] for number in sorted(outcome.rounds)]
    return values | {"share": outcome.share, "snippet": dict(snippet) if snippet else None, "origin": "measured"}


def _name(cell: CellSummary) -> str:
    return f"{words.runtime(cell)} {cell.spec['form']} {words.layout(cell)}"


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
