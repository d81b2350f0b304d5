"""Where the time of a call goes, as a section of the page: by operator and by node, beside their bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reports import nodes, words
from reports.page.html import Html, join, tag
from reports.page.parts import Section, origin
from reports.page.tables import Column, Value, table
from results.errors import RunFileError
from results.nodes import ExplainedNode, NodeTimes, OperatorTotal, by_operator, explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.source import Source
    from results.summary import CellSummary

NODES_MOST = 40
_BOUNDS = (
    Column("alone", number=True, hint="what its nodes of the model would take one by one; derived"),
    Column("× alone", number=True),
    Column("could take", number=True, hint="what it adds where everything is fused that can be; derived"),
)
OPERATORS = (
    Column("operator"),
    Column("nodes", number=True),
    Column("share", number=True),
    Column("time", number=True),
    *_BOUNDS,
)
NODES = (
    Column("node"),
    Column("operator", filter=True),
    Column("share", number=True),
    Column("time", number=True),
    *_BOUNDS,
)


def nodes_section(source: Source) -> Section:
    """One part per profiled cell; says why where none was profiled."""
    parts: list[Html] = []
    reasons = []
    by_name = {cell.cell: cell for cell in source.cells}
    for name, said in (source.facts.get("node_times") or {}).items():
        try:
            times = _checked(said)
        except RunFileError as error:
            reasons.append(f"{name}: {(isinstance(said, dict) and said.get('reason')) or error}")
            continue
        if name in by_name:
            parts.append(_cell(source, by_name[name], times))
    if not parts and not reasons:
        reasons = ["no cell of this run was profiled; 'rtfloor nodes' profiles one"]
    if reasons:
        parts.append(tag("p", f"Not known: {'; '.join(reasons)}.", class_="about"))
    return Section("nodes", "Where a call's time goes", join(parts), "Nodes")


def _checked(said: Any) -> NodeTimes:
    """Node times of one cell that can be worked with.

    Raises:
        RunFileError: they cannot; what is wrong with one cell's must not cost the report of all others.
    """
    if not isinstance(said, dict):
        raise RunFileError(str(said))
    times = NodeTimes.from_json(said)
    figures: list[object] = [times.call_ns, *(value for node in times.nodes for value in (node.ns, node.count))]
    figures += [] if times.plain_ns is None else [times.plain_ns]
    texts: list[object] = [
        times.runtime,
        *(text for node in times.nodes for text in (node.name, node.operator, *node.originals)),
    ]
    whole: list[object] = [times.calls, times.signals, times.threads]
    sound = all(isinstance(value, int | float) and 0 <= value < math.inf for value in figures)
    if not (sound and all(isinstance(text, str) for text in texts) and all(isinstance(value, int) for value in whole)):
        raise RunFileError("these node times hold figures that are none; profile again: rtfloor nodes")
    return times


def _cell(source: Source, cell: CellSummary, times: NodeTimes) -> Html:
    costs = source.floors.bounds(cell)
    call_ns = None if cell.p50_ms is None else cell.p50_ms * 1e6
    found = explained(times, costs, call_ns)
    title, call = nodes.heading(cell.cell, times)
    largest = sorted(found, key=lambda node: node.ns, reverse=True)[:NODES_MOST]
    said = [*nodes.answer(times, costs, call_ns), call]
    each = table(NODES, [_node(node) for node in largest], f"Nodes of {title}", filters=True)
    return join(
        [
            tag("h3", title, " ", origin("measured", "by the engine's own profiler; bounds beside them are derived")),
            tag("ul", *(tag("li", line) for line in said)),
            table(OPERATORS, [_operator(total) for total in by_operator(found)], f"Operators of {title}"),
            tag("details", tag("summary", f"the costliest of {len(found)} nodes"), each),
            tag("ul", *(tag("li", note, class_="about") for note in nodes.remarks(times, costs))),
        ]
    )


def _operator(total: OperatorTotal) -> Sequence[object]:
    return [total.operator, Value(total.nodes, total.nodes), *_figures(total)]


def _node(node: ExplainedNode) -> Sequence[object]:
    return [node.name, node.operator, *_figures(node)]


def _figures(found: OperatorTotal | ExplainedNode) -> list[object]:
    return [
        Value(f"{found.share:.1%}", found.share),
        _time(found.ns),
        _time(found.bound_ns),
        Value(words.NOTHING if found.factor is None else f"{words.digits(found.factor)} ×", found.factor),
        _time(found.ideal_ns),
    ]


def _time(ns: float | None) -> Value:
    shown = words.NOTHING if ns is None else "0" if ns == 0 else words.milliseconds(ns * 1e-6)
    return Value(shown, ns)
