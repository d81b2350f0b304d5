"""``rtfloor gate``: is a candidate worse than its baseline, measured now, in turns?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.baseline import folder_flag
from bench.cli.flags import PlanFlags, json_flag, plan_flags, results_flag
from bench.cli.settings import check_numbers, settings
from bench.errors import UserError
from results.gate_spec import OBJECTIVES

if TYPE_CHECKING:
    from bench import campaign
    from bench.cli.sides import Side
    from bench.plan import Plan
    from results.gate_spec import Gate

DEFAULT_RUNTIME = "ort-cpu"
TIME_S = 3600.0
EPILOG = """\b
Examples:
  rtfloor gate --baseline old.onnx --candidate new.onnx
  rtfloor gate --model net.onnx --against main              the file as it is at main, and as it is now
  rtfloor gate --model rt8 --form ln --baseline ort-cpu@1.24.4 --candidate ort-cpu@1.31.1
  rtfloor gate --model rt48 --layout seq --baseline raw --candidate ln
  rtfloor gate --model net.onnx --baseline threads=1 --candidate threads=2 --objective p90 --objective memory
  rtfloor gate --recorded net                               beside 'rtfloor baseline save net', on the same machine
  rtfloor gate --model net.onnx --candidate planted=2%      would a change of 2 % be found here?
Exit codes: 0 pass or improved; 1 regressed or wrong; 2 bad input; 3 inconclusive; 130 stopped, no verdict.
"""


@click.command(epilog=EPILOG)
@plan_flags
@click.option("--baseline", "baseline", multiple=True, metavar="WHAT", help="What only the baseline is; repeatable.")
@click.option("--candidate", "candidate", multiple=True, metavar="WHAT", help="What only the candidate is; repeatable.")
@click.option("--against", metavar="GIT_REF", default=None, help="The baseline's files as they are at this commit.")
@click.option("--recorded", metavar="NAME", default=None, help="Beside a baseline on record, see 'rtfloor baseline'.")
@folder_flag
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="NAME[=EFFECT]",
    help="p50 (the default), p90, misses, cold, memory, size; repeatable.",
)
@click.option(
    "--min-effect", metavar="SHARE", default=None, help="Smallest change worth a verdict.  [default: 2% of p50]"
)
@click.option("--deadline", type=click.FloatRange(min=0, min_open=True), metavar="MS", help="For --objective misses.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    default=0.99,
    show_default=True,
    help="That a gate over things that do not differ raises no alarm.",
)
@click.option("--pairs", type=click.IntRange(min=1), default=None, help="Most pairs of processes.  [quick: 120]")
@click.option("--apart", is_flag=True, help="One process after the other, rather than both in turns of 30 ms.")
@click.option("--retrained", is_flag=True, help="The candidate's model may answer other than the baseline's.")
@click.option("--time", "budget_s", type=click.FloatRange(min=0), default=None, help="Most seconds.  [default: 3600]")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=None, help="Most seconds for one process.")
@click.option("--seed", type=int, default=None, help="Fixes the coins that decide who goes first.")
@click.option("--resume", metavar="RUN", default=None, help="Go on with a gate that was stopped or killed.")
@click.option("--junit", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--summary",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Add a summary in Markdown.  [default: $GITHUB_STEP_SUMMARY, where set]",
)
@click.option(
    "--pytest-benchmark",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Write baseline.json and candidate.json for 'pytest-benchmark compare'.",
)
@click.option(
    "--action-benchmark",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Write JSON for github-action-benchmark (customSmallerIsBetter).",
)
@results_flag
@json_flag
@click.pass_context
def gate(
    context: click.Context,
    /,
    *,
    baseline: tuple[str, ...],
    candidate: tuple[str, ...],
    against: str | None,
    recorded: str | None,
    baselines: Path,
    objectives: tuple[str, ...],
    min_effect: str | None,
    deadline: float | None,
    confidence: float,
    pairs: int | None,
    apart: bool,
    retrained: bool,
    budget_s: float | None,
    timeout: float | None,
    seed: int | None,
    resume: str | None,
    junit: Path | None,
    summary: Path | None,
    pytest_benchmark: Path | None,
    action_benchmark: Path | None,
    results: Path | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Measure a baseline and a candidate in turns, in fresh processes, and say whether the candidate is worse.

    What differs is said with --baseline and --candidate: a model file, a form, a runtime with its version, a layout, or
    KEY=VALUE with threads, placement or an option. It ends as soon as the answer is clear.
    """
    from bench import campaign
    from bench.cli import gate_files
    from bench.cli.show import present

    check_numbers({"--time": budget_s, "--timeout": timeout, "--deadline": deadline})
    wanted = gate_files.Wanted(junit, summary or _summary_of_job(), pytest_benchmark, action_benchmark)
    wanted.check()
    time_s = TIME_S if budget_s is None and resume is None else budget_s
    given = settings(results, time_s, timeout, seed)
    if resume is not None:
        _alone(context, "resume", "goes on with the gate in the run file")
        outcome = campaign.resume(resume, given)
    elif recorded is not None:
        _alone(
            context,
            "recorded",
            "measures the cells of the baseline again",
            "objectives",
            "min_effect",
            "confidence",
            "seed",
        )
        spec = _spec(objectives, min_effect, None, confidence)
        said = min_effect is not None or any("=" in text for text in objectives)
        outcome = _recorded(recorded, baselines, spec, given, said=said)
    else:
        chosen = PlanFlags(**flags)
        spec = replace(_spec(objectives, min_effect, deadline, confidence), apart=apart)
        plan = _plan(chosen, baseline, candidate, against, spec, pairs, same_answers=not retrained)
        outcome = campaign.start(plan, chosen.profile, chosen.cpu_list(), given)
    present(outcome.path, as_json=as_json)
    try:
        gate_files.write(outcome.path, wanted)
    except UserError as error:
        if outcome.code == 0:
            raise
        # What it found weighs more than a file that is missing.
        click.echo(f"rtfloor: {error}", err=True)
    return outcome.code


# Flags that are about the outcome and not about what is measured.
ABOUT_FILES = {"results", "as_json", "junit", "summary", "pytest_benchmark", "action_benchmark", "budget_s", "timeout"}


def _alone(context: click.Context, flag: str, what: str, *also: str) -> None:
    """Refuse flags that would make another gate.

    Raises:
        UserError: names one of them.
    """
    given = click.core.ParameterSource.COMMANDLINE
    for name in context.params:
        if name not in {flag, "baselines", *ABOUT_FILES, *also} and context.get_parameter_source(name) == given:
            raise UserError(f"--{flag} {what}; it takes no --{name.replace('_', '-')}")


def _recorded(name: str, folder: Path, spec: Gate, settings: campaign.Settings, *, said: bool) -> campaign.Ended:
    """Measure a baseline's cells again.

    Raises:
        UserError: another machine's baseline, or an objective that is not on record.
    """
    from bench import campaign, keep
    from results.recorded import MIN_EFFECT, OBJECTIVE

    if set(spec.objectives) != {OBJECTIVE}:
        raise UserError(f"--recorded compares the {OBJECTIVE}, which is what baselines keep; leave out the others")
    if not said:
        # What is worth a verdict in a duel drowns between sittings.
        spec = replace(spec, objectives={OBJECTIVE: MIN_EFFECT})
    baseline = keep.find(folder, name)
    cpus = baseline.plan.get("cpus")
    return campaign.start(keep.gate_of(baseline, spec), baseline.profile, tuple(cpus) if cpus else None, settings)


def _summary_of_job() -> Path | None:
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(named) if named else None


def _spec(objectives: tuple[str, ...], min_effect: str | None, deadline: float | None, confidence: float) -> Gate:
    """What counts as a change, from the flags.

    Raises:
        UserError: no such objective or share, or a deadline is missing.
    """
    from bench.cli.sides import share
    from results.gate_spec import Gate

    general = None if min_effect is None else share(min_effect, "--min-effect")
    effects: dict[str, float] = {}
    for text in objectives or ("p50",):
        name, equals, effect = text.partition("=")
        if name == "p99":
            raise UserError(
                "--objective p99: a p99 differs by itself from process to process, so a gate on it cries wolf; use "
                "--objective misses with --deadline MS, or --objective p90"
            )
        if name not in OBJECTIVES:
            raise UserError(f"--objective {text!r}: there is no {name!r}; there are: {', '.join(OBJECTIVES)}")
        own = share(effect, f"--objective {name}") if equals else general
        effects[name] = OBJECTIVES[name].min_effect if own is None else own
    if "misses" in effects and deadline is None:
        raise UserError("--objective misses counts calls past a deadline; name it with --deadline MS")
    return Gate((), objectives=effects, confidence=confidence, deadline_ms=deadline)


def _plan(
    chosen: PlanFlags,
    baseline: tuple[str, ...],
    candidate: tuple[str, ...],
    against: str | None,
    spec: Gate,
    pairs: int | None,
    *,
    same_answers: bool,
) -> Plan:
    """The plan of a gate.

    Raises:
        UserError: nothing differs, or what does cannot be paired.
    """
    from bench import paths
    from bench.cli.sides import side
    from bench.gate_plan import PROCESSES, at_commit, gate_plan
    from results.gate_spec import BASELINE, CANDIDATE

    if not (baseline or candidate or against):
        raise UserError(
            "say what differs: --baseline and --candidate, such as --baseline old.onnx --candidate new.onnx, or "
            "--against GIT_REF"
        )
    sides = (side(chosen, baseline, "--baseline"), side(chosen, candidate, "--candidate"))
    plans = [_with_runtime(one).plan() for one in sides]
    says = {BASELINE: sides[0].says or "as it is", CANDIDATE: sides[1].says or "as it is"}
    roots: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    if against is not None:
        plans[0], named, roots, warnings = at_commit(plans[0], against, paths.cache() / "trees")
        says[BASELINE] = f"{sides[0].says} at {named}".strip()
        says[CANDIDATE] = f"{sides[1].says} working tree".strip()
    most = pairs or PROCESSES[chosen.profile][1]
    gate = replace(spec, says=says, pairs_most=most, roots=roots, warnings=warnings)
    slower = (sides[0].slower, sides[1].slower)
    return gate_plan((plans[0], plans[1]), gate, slower=slower, same_answers=same_answers)


def _with_runtime(one: Side) -> PlanFlags:
    """A gate that names no suite and no runtime is about one runtime, and not about all that can be had."""
    flags = one.flags
    return flags if flags.suite is not None or flags.runtimes else replace(flags, runtimes=(DEFAULT_RUNTIME,))
