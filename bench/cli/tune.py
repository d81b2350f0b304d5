"""``rtfloor tune``: the best cell, without trying everything as carefully."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from bench.cli.flags import PlanFlags, json_flag, plan_flags, results_flag
from bench.cli.settings import check_numbers, settings
from bench.errors import UserError
from results.goal import OBJECTIVES, Goal

if TYPE_CHECKING:
    from pathlib import Path

    from bench.plan import Plan

DEFAULT_SUITE = "tune"
TIME_S = 900.0

EPILOG = """\b
Examples:
  rtfloor tune                                            the suite 'tune': rt48, stereo, on every CPU runtime
  rtfloor tune --model net.onnx --runtime ort-cpu --sweep grid --axis execution_mode --axis enable_mem_reuse
  rtfloor tune --objective p99 --within 10 --max-memory 500M
  rtfloor tune --resume latest
Exit codes: 0 found; 1 nothing is right and within the conditions; 2 bad input; 4 no chosen runtime can run here;
130 stopped.
"""


@click.command(epilog=EPILOG)
@plan_flags
@results_flag
@json_flag
@click.option(
    "--objective", type=click.Choice(list(OBJECTIVES)), default="p50", show_default=True, help="What is to be low."
)
@click.option("--within", type=click.FloatRange(min=0, min_open=True), metavar="MS", help="Most ms for a call's p99.")
@click.option("--max-memory", metavar="SIZE", default=None, help="Most resident memory of a process, such as 500M.")
@click.option("--min-snr", type=float, default=None, metavar="DB", help="Least quality beside the form raw.")
@click.option(
    "--margin",
    type=click.FloatRange(min=0.001, max=0.5),
    default=Goal.margin,
    show_default=True,
    help="How much slower than the best is good enough, as a share.",
)
@click.option(
    "--sure",
    type=click.FloatRange(min=0.5, max=0.999),
    default=Goal.sure,
    show_default=True,
    help="How probable that should be before the search ends early.",
)
@click.option("--resume", metavar="RUN", default=None, help="Go on with a search that was stopped or killed.")
@click.option(
    "--time", "budget_s", type=click.FloatRange(min=0), default=None, help=f"Most seconds; default: {TIME_S:g}."
)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=None, help="Most seconds for one process.")
@click.option("--seed", type=int, default=None, help="Fixes the random order of cells.")
@click.pass_context
def tune(
    context: click.Context,
    /,
    *,
    results: Path | None,
    as_json: bool,
    objective: str,
    within: float | None,
    max_memory: str | None,
    min_snr: float | None,
    margin: float,
    sure: float,
    resume: str | None,
    budget_s: float | None,
    timeout: float | None,
    seed: int | None,
    **flags: Any,
) -> int:
    """Find the best cell of a SUITE (default: tune), or of one --model, by successive halving.

    Every cell gets a short process; the better half goes on, and again, until few are left, which are measured in
    full. Wrong answers are out whatever their time. The winner is written as code to paste.
    """
    from bench import campaign
    from bench.cli.run import changed_flags, parse_size
    from bench.cli.show import present

    numbers = {"--time": budget_s, "--timeout": timeout, "--within": within, "--min-snr": min_snr}
    check_numbers(numbers | {"--margin": margin, "--sure": sure})
    time_s = TIME_S if budget_s is None and resume is None else budget_s
    given = settings(results, time_s, timeout, seed)
    chosen = PlanFlags(**flags)
    if resume is not None:
        if chosen.suite is not None or changed_flags(context):
            raise UserError(
                "--resume goes on with the search in the run file; it takes no suite and no other conditions"
            )
        outcome = campaign.resume(resume, given)
    else:
        if chosen.suite is None and not chosen.models:
            chosen = replace(chosen, suite=DEFAULT_SUITE)
        goal = Goal(
            objective=objective,
            within_ms=within,
            memory_bytes=None if max_memory is None else parse_size(max_memory, "--max-memory"),
            snr_db=min_snr,
            margin=margin,
            sure=sure,
        )
        plan = _searched(chosen.plan(), goal)
        outcome = campaign.start(plan, chosen.profile, chosen.cpu_list(), given)
    present(outcome.path, as_json=as_json)
    return outcome.code


def _searched(plan: Plan, goal: Goal) -> Plan:
    """The plan as a search.

    Raises:
        UserError: its cells do not all do the same work.
    """
    from results.works import work

    does = {(cell.model, work(cell.layout, cell.options)) for cell in plan.cells}
    if len(does) > 1:
        kinds = "; ".join(f"{model}, {what}" for model, what in sorted(does))
        raise UserError(
            f"a search is among cells that do the same work, and these do not: {kinds}; "
            "choose with --model and --layout"
        )
    cells = tuple(cell for cell in plan.cells if not cell.copy)
    return replace(
        plan, title=f"search: {plan.title}", cells=cells, sweeps=(), ladder=(), race=False, goal=asdict(goal)
    )
