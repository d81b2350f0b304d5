"""``rtfloor nodes``: where the time of a call goes, by the engines' own profilers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from bench.cli.flags import PlanFlags, json_flag, plan_flags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.plan import Plan
    from results.nodes import NodeBound

EPILOG = """\b
Examples:
  rtfloor nodes --model rt48 --threads 1
  rtfloor nodes --model net.onnx --runtime ort-cpu --runtime openvino --audio-seconds 0.5
  rtfloor nodes --model rt48 --form raw --form ln --runtime openvino --markdown
Exit codes: 0 profiled; 1 nothing was; 2 bad input; 4 no chosen runtime can run here; 130 stopped.
"""


@click.command(epilog=EPILOG)
@plan_flags
@json_flag
@click.option("--markdown", is_flag=True, help="Print Markdown, for a page.")
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="How many nodes to show.")
def nodes(*, as_json: bool, markdown: bool, top: int, **flags: Any) -> int:
    """Show what each node of a call takes on each runtime: a SUITE's cells, or one --model's.

    Every cell is profiled in a process of its own. Profiled calls are slower than plain ones, so these times rank
    nothing: 'rtfloor run' does. Without --form and without a SUITE, models are profiled in the form raw.
    """
    chosen = PlanFlags(**flags)
    if chosen.suite is None and not chosen.forms:
        chosen = replace(chosen, forms=("raw",))
    plan = chosen.plan()
    found, costs = _profile(plan, chosen.cpu_list())
    if as_json:
        documents = [_document(cell, row, costs.get(cell, [])) for cell, row in found.items()]
        click.echo(json.dumps({"cells": documents}, ensure_ascii=False))
    elif markdown:
        click.echo("\n\n".join(_page(cell, row, costs.get(cell, []), top) for cell, row in found.items()))
    else:
        _show(found, costs, top)
    statuses = {row.get("status", "ok") for row in found.values()}
    if "ok" in statuses:
        return 0
    return 4 if statuses == {"unavailable"} else 1


def _profile(
    plan: Plan, cpus: tuple[int, ...] | None
) -> tuple[dict[str, dict[str, Any]], dict[str, Sequence[NodeBound]]]:
    """Cell id -> its node times as JSON values, or ``reason`` and ``status``; and its bounds, where they are known."""
    from bench import campaign, host
    from bench.nodes import TIMEOUT_LEAST_S, cell_bounds, node_times
    from bench.peaks.host import known_peaks
    from bench.prepare import Preparer
    from bench.progress import watcher
    from bench.run import Limits
    from bench.spawn import spawn

    limits = Limits(TIMEOUT_LEAST_S, int(campaign.MEMORY_SHARE * host.memory_bytes()), cpus)
    watch = watcher()
    found: dict[str, dict[str, Any]] = {}
    costs: dict[str, Sequence[NodeBound]] = {}
    peaks = known_peaks()
    try:
        preparer = Preparer(plan, spawn, watch.say)
        for cell in plan.cells:
            ready = preparer.ready(cell)
            if ready.status:
                found[cell.id] = {"status": ready.status, "reason": ready.reason}
                continue
            watch.say(f"profiling {cell.id}")
            times = node_times(preparer, cell, ready, spawn, limits)
            found[cell.id] = {"status": "failed", **times} if "reason" in times else times
            costs[cell.id] = cell_bounds(preparer, cell, ready, peaks)
    finally:
        watch.end()
    return found, costs


def _document(cell: str, row: Mapping[str, Any], costs: Sequence[NodeBound]) -> dict[str, Any]:
    from reports import nodes as report
    from results.nodes import NodeTimes

    if "reason" in row:
        return {"cell": cell, **row}
    return {"cell": cell, "status": "ok", **report.as_json(NodeTimes.from_json(row), costs)}


def _page(cell: str, row: Mapping[str, Any], costs: Sequence[NodeBound], top: int) -> str:
    from reports import nodes as report
    from results.nodes import NodeTimes

    if "reason" in row:
        return f"### {cell}\n\n{row['status']}: {row['reason']}"
    return report.markdown(cell, NodeTimes.from_json(row), costs, top=top)


def _show(found: Mapping[str, Mapping[str, Any]], costs: Mapping[str, Sequence[NodeBound]], top: int) -> None:
    from rich.console import Console

    from reports import nodes as report
    from results.nodes import NodeTimes

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=170)
    times = {cell: NodeTimes.from_json(row) for cell, row in found.items() if "reason" not in row}
    # The answer first; the tables below say where it is from.
    for cell, profiled in times.items():
        console.print(f"{cell}: {'; '.join(report.answer(profiled, costs[cell]))}", markup=False, soft_wrap=True)
    for cell, row in found.items():
        if "reason" in row:
            console.print(f"{cell}: {row['status']}: {row['reason']}", markup=False, soft_wrap=True)
    for cell, profiled in times.items():
        console.print(report.table(cell, profiled, costs[cell], top=top))
