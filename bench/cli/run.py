"""``rtfloor run``: measure a plan."""

from __future__ import annotations

import math
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from bench.cli.flags import PlanFlags, json_flag, plan_flags, results_flag
from bench.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

EPILOG = """\b
Examples:
  rtfloor run cpu
  rtfloor run cpu --runtime openvino --option precision=fp32 --option precision=bf16
  rtfloor run --model net.onnx --runtime ort-cpu --layout seq --layout par --audio-seconds 0.5
  rtfloor run --resume latest
Exit codes: 0 measured; 1 nothing was right; 2 bad input; 4 no chosen runtime can run here; 130 stopped.
"""


@click.command(epilog=EPILOG)
@plan_flags
@results_flag
@json_flag
@click.option("--resume", metavar="RUN", default=None, help="Go on with a run that was stopped or killed.")
@click.option(
    "--time",
    "budget_s",
    type=click.FloatRange(min=0),
    default=None,
    help="Time budget, seconds; default: the profile's.",
)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=None, help="Most seconds for one process.")
@click.option("--memory-limit", metavar="SIZE", default=None, help="Most memory for one process, such as 4G.")
@click.option("--seed", type=int, default=None, help="Fixes the random order of cells.")
@click.option(
    "--floor/--no-floor",
    default=True,
    show_default=True,
    help="Measure what the machine could do at most, and where the time of a call goes.",
)
@click.option("--report", is_flag=True, help="Write the run's report as well, as 'rtfloor report' does.")
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    results: Path | None,
    as_json: bool,
    resume: str | None,
    budget_s: float | None,
    timeout: float | None,
    memory_limit: str | None,
    seed: int | None,
    floor: bool,
    report: bool,
    **flags: Any,
) -> int:
    """Measure a SUITE, or one --model, and show the table.

    Every process is committed to the run file as it ends: Ctrl-C, a crash or a power cut loses at
    most the one in flight.
    """
    from bench import campaign

    for flag, seconds in (("--time", budget_s), ("--timeout", timeout)):
        if seconds is not None and not math.isfinite(seconds):
            raise UserError(f"{flag} {seconds} is no number of seconds")
    settings = campaign.Settings(
        results=results,
        budget_s=budget_s,
        timeout_s=timeout,
        memory_bytes=parse_size(memory_limit) if memory_limit is not None else None,
        seed=seed,
        command=shlex.join(["rtfloor", *sys.argv[1:]]),
        floor=floor,
    )
    chosen = PlanFlags(**flags)
    if resume is not None:
        if chosen.suite is not None or changed_flags(context):
            raise UserError(
                "--resume goes on with the plan in the run file; it takes no suite and no flags that change one"
            )
        outcome = campaign.resume(resume, settings)
    else:
        outcome = campaign.start(chosen.plan(), chosen.profile, chosen.cpu_list(), settings)
    from bench.cli.show import present

    present(outcome.path, as_json=as_json)
    if report:
        from bench.cli.report import default_folder, write

        page = write([outcome.path], default_folder(results) / outcome.path.stem)[0]
        click.echo(f"report: {page}", err=as_json)
    return outcome.code


def changed_flags(context: click.Context) -> bool:
    """Whether flags were given that would make another run."""
    own = {"results", "as_json", "resume", "budget_s", "timeout", "memory_limit", "floor", "report"}
    given = click.core.ParameterSource.COMMANDLINE
    return any(name not in own and context.get_parameter_source(name) == given for name in context.params)


def parse_size(text: str, flag: str = "--memory-limit") -> int:
    """Bytes from ``4G``, ``512M`` or a plain number.

    Args:
        text: what was given.
        flag: by which it was given, for messages.

    Raises:
        UserError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise UserError(f"{flag} {text!r} is no size; write 4G, 512M or a number of bytes")
    return int(float(match[1]) * UNITS[match[2].upper()])
