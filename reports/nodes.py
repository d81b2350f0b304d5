"""Where the time of a call goes: by operator and by node, beside what each would have to take."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from reports import words
from results.nodes import by_operator, explained, gone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from results.nodes import ExplainedNode, NodeBound, NodeTimes, OperatorTotal

# What takes less of a call is not worth a sentence.
WORTH = 0.01
TOP = 15
# Nodes that together take so many times as long as a plain call were disturbed by being watched.
SLOWED = 1.15
# Long enough for any operator of the standard; what inductor fuses has longer names.
NAME_MOST = 44
Columns = list[tuple[str, str]]
# What a node would take by itself is a reference, as values may come from a neighbour's cache; what it could take
# is a bound.
_BOUND_COLUMNS: Columns = [("alone", "right"), ("× alone", "right"), ("could take", "right")]


def answer(times: NodeTimes, costs: Sequence[NodeBound] = (), call_ns: float | None = None) -> list[str]:
    """The answer in one or two sentences: what goes into moving values, and what most of the rest goes into.

    Args:
        times: of one cell.
        costs: bounds of the model's nodes, where they are known.
        call_ns: a whole call in nanoseconds, such as a run's median; by default the one profiled beside.
    """
    totals = by_operator(explained(times, costs, call_ns))
    moving = [total for total in totals if total.moves and total.share >= WORTH]
    all_moving = sum(total.share for total in totals if total.moves)
    on = f"on {times.runtime}"
    if len(moving) == 1:
        could = " and could take none of it" if moving[0].ideal_ns == 0 else ""
        waste = f"{_percent(moving[0].share)} of a call goes into {moving[0].operator}, which computes nothing{could}"
    elif moving:
        parts = ", ".join(f"{total.operator} {_percent(total.share)}" for total in moving)
        waste = f"{_percent(all_moving)} of a call goes into nodes that compute nothing: {parts}"
    else:
        waste = f"less than {WORTH * 100:.0f} % of a call goes into any operator that only moves values"
    lines = [f"{on} {waste}"]
    computing = next((total for total in totals if not total.moves), None)
    if computing is not None:
        least = computing.ideal_ns
        times_least = f", {words.digits(computing.ns / least)} times the least it could take" if least else ""
        lines.append(f"most of the rest goes into {computing.operator}: {_percent(computing.share)}{times_least}")
    return lines


def heading(name: str, times: NodeTimes) -> list[str]:
    """What was profiled, and how far the profile can be trusted."""
    plain = "" if times.plain_ns is None else f"{_time(times.plain_ns)} plain, "
    signals = ", two signals" if times.signals == 2 else ""
    engine = words.engine(times.runtime, times.version)
    count = f"{len(times.nodes)} nodes" if len(times.nodes) != 1 else "1 node"
    call = (
        f"a call: {plain}{_time(times.call_ns)} profiled ({times.calls} calls); {count} together "
        f"{_time(times.nodes_ns)}; {_percent(times.outside)} of a call is outside any node"
    )
    return [f"{name} on {engine}{signals}", call]


def table(
    name: str, times: NodeTimes, costs: Sequence[NodeBound] = (), call_ns: float | None = None, top: int = TOP
) -> RenderableType:
    """Operators, the costliest nodes, and what to know about the figures, for a terminal.

    Args:
        name: of what was profiled, such as a cell's id.
        times: of one cell.
        costs: bounds of the model's nodes, where they are known.
        call_ns: a whole call in nanoseconds, to scale times to.
        top: how many nodes.
    """
    nodes = explained(times, costs, call_ns)
    title, call = heading(name, times)
    return Group(
        Text(f"\n{title}", style="bold"),
        Text(call),
        _rich(_operator_rows(by_operator(nodes))),
        _rich(_node_rows(nodes, top)),
        *(Text(f"  note: {note}", style="dim") for note in remarks(times, costs)),
    )


def markdown(
    name: str, times: NodeTimes, costs: Sequence[NodeBound] = (), call_ns: float | None = None, top: int = TOP
) -> str:
    """The same for a page; arguments as in :func:`table`."""
    nodes = explained(times, costs, call_ns)
    title, call = heading(name, times)
    parts = [f"### {title}", "", *(f"- {line}" for line in (*answer(times, costs, call_ns), call)), ""]
    parts += [*_markdown(_operator_rows(by_operator(nodes))), "", *_markdown(_node_rows(nodes, top)), ""]
    parts += [f"- {note}" for note in remarks(times, costs)]
    return "\n".join(parts)


def as_json(times: NodeTimes, costs: Sequence[NodeBound] = (), call_ns: float | None = None) -> dict[str, Any]:
    """For scripts: the times, the nodes with shares and bounds, operators, and what no node claims."""
    nodes = explained(times, costs, call_ns)
    return {
        "answer": answer(times, costs, call_ns),
        "times": times.to_json(),
        "nodes": [asdict(node) | {"factor": node.factor} for node in nodes],
        "operators": [asdict(total) | {"factor": total.factor} for total in by_operator(nodes)],
        "gone": [cost.name for cost in gone(times, costs)],
        "notes": remarks(times, costs),
    }


def remarks(times: NodeTimes, costs: Sequence[NodeBound]) -> list[str]:
    """What a reader must know: of the profiler, and of what the bounds leave out."""
    notes = list(times.notes)
    if times.plain_ns and times.nodes_ns > SLOWED * times.plain_ns:
        factor = words.digits(times.nodes_ns / times.plain_ns)
        notes.append(
            f"Under the profiler the nodes alone took {factor} times as long as a plain call: not every node was "
            "slowed down alike, so take these shares as a hint."
        )
    lost = gone(times, costs)
    if lost:
        some = ", ".join(cost.name for cost in lost[:3]) + (", …" if len(lost) > 3 else "")
        which = "node of the model is" if len(lost) == 1 else "nodes of the model are"
        claims = "it" if len(lost) == 1 else "them"
        notes.append(f"{len(lost)} {which} fused or folded away: no node claims {claims} ({some}).")
    if costs and not times.told:
        notes.append("This engine does not tell which nodes of the model its own stand for, so they have no bounds.")
    return notes


def _operator_rows(totals: Sequence[OperatorTotal]) -> tuple[Columns, list[list[str]]]:
    bounded = any(total.bound_ns is not None for total in totals)
    columns: Columns = [("operator", "left"), ("nodes", "right"), ("share", "right"), ("time", "right")]
    columns += _BOUND_COLUMNS if bounded else []
    rows = []
    for total in totals:
        row = [_short(total.operator), str(total.nodes), _percent(total.share), _time(total.ns)]
        rows.append(row + (_bounds(total) if bounded else []))
    return columns, rows


def _node_rows(nodes: Sequence[ExplainedNode], top: int) -> tuple[Columns, list[list[str]]]:
    bounded = any(node.bound_ns is not None for node in nodes)
    kernels = any(node.kernel for node in nodes)
    columns: Columns = [("node", "left"), ("operator", "left"), ("share", "right"), ("time", "right")]
    columns[2:2] = [("kernel", "left")] if kernels else []
    columns += _BOUND_COLUMNS if bounded else []
    rows = []
    for node in sorted(nodes, key=lambda node: -node.ns)[:top]:
        often = f" × {node.count:.4g}" if node.count != 1 else ""
        row = [_short(node.name) + often, _short(node.operator), _percent(node.share), _time(node.ns)]
        row[2:2] = [_short(node.kernel)] if kernels else []
        rows.append(row + (_bounds(node) if bounded else []))
    return columns, rows


def _bounds(row: ExplainedNode | OperatorTotal) -> list[str]:
    """What it would take by itself, how many times that it takes, and what ideal fusion would leave."""
    if row.bound_ns is None or row.ideal_ns is None:
        return [words.NOTHING] * 3
    factor = words.NOTHING if row.factor is None else words.digits(row.factor)
    return [_time(row.bound_ns), factor, _time(row.ideal_ns)]


def _rich(content: tuple[Columns, list[list[str]]]) -> Table:
    columns, rows = content
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, side in columns:
        drawn.add_column(name, justify="left" if side == "left" else "right", overflow="fold", no_wrap=side != "left")
    for row in rows:
        # As Text: a name may have brackets that rich would take for its own.
        drawn.add_row(*map(Text, row))
    return drawn


def _markdown(content: tuple[Columns, list[list[str]]]) -> Iterator[str]:
    columns, rows = content
    yield f"| {' | '.join(name for name, _ in columns)} |"
    yield f"|{'|'.join('---' if side == 'left' else '---:' for _, side in columns)}|"
    for row in rows:
        yield f"| {' | '.join(value.replace('|', chr(92) + '|') for value in row)} |"


def _short(name: str) -> str:
    """The beginning and the end of a long name: its ends tell it from others."""
    return name if len(name) <= NAME_MOST else f"{name[: NAME_MOST - 13]}…{name[-12:]}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _time(ns: float) -> str:
    return "0" if ns == 0 else words.milliseconds(ns / 1e6)
