"""From a suite and flags to a plan: axes narrowed, options resolved, cells in order, no duplicates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.ladder_spec import ladder_steps
from bench.plan import LAYOUTS, Cell, ModelSpec, Plan
from bench.profile import profiles
from bench.span import Span
from bench.suite import Group, Suite
from bench.sweep_axes import check_axes, sweep_of, swept_by_flags
from models.errors import ModelError
from models.facts import facts
from models.surgery.catalogue import RAW, fits, form_name, parse_form
from runtimes import registry
from runtimes.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from results.sweep import Sweep
    from runtimes.base import Runtime
    from runtimes.options import Option

# Pretends.
NOT_BY_DEFAULT = "fake"


@dataclass(frozen=True)
class Choice:
    """What the flags say; empty means "as the suite has it".

    Attributes:
        options: ``KEY=VALUE`` or ``RUNTIME.KEY=VALUE`` texts.
        sweep: of :data:`results.sweep.KINDS`.
        axes: ``NAME`` or ``NAME=VALUE,VALUE`` texts; ``all`` for every option.
        copies: of a sweep's default; None for as many as serve it best.
    """

    models: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    threads: tuple[int | str, ...] = ()
    options: tuple[str, ...] = ()
    extra_models: Mapping[str, ModelSpec] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    placements: tuple[str, ...] = ()
    sweep: str = ""
    axes: tuple[str, ...] = ()
    copies: int | None = None


def expand(suite: Suite, choice: Choice, profile: str, cpus: int) -> Plan:
    """The plan of a suite under the given flags.

    Axes are narrowed one after the other: models, runtimes, forms, layouts. A value that none of
    the groups still there spans is taken up by all of them. Threads are a budget for the whole
    run: they replace every group's.

    Args:
        suite: what to span.
        choice: how to narrow it.
        profile: a key of :func:`bench.profile.profiles`.
        cpus: CPUs this process may use; what ``"all"`` stands for, and the most that can be asked.

    Raises:
        UserError: an unknown name or option, more threads than CPUs, or nothing left to measure.
    """
    if profile not in profiles():
        raise UserError(f"there is no profile {profile!r}; there are: {', '.join(profiles())}")
    specs = {**suite.models, **choice.extra_models}
    groups = [g for g in suite.groups if not g.profiles or profile in g.profiles] or list(suite.groups)
    groups = _narrowed([_canonical(group) for group in groups], replace(choice, forms=_form_names(choice.forms)))
    groups = [swept_by_flags(group, choice) for group in groups]
    cells: dict[str, Cell] = {}
    sweeps: dict[Sweep, None] = {}
    for group in groups:
        spans = list(_spans(group, specs, choice, cpus))
        if group.sweep:
            check_axes(spans)
        for span in spans:
            found, sweep = sweep_of(span, choice.axes) if group.sweep else (_cells(span), None)
            if sweep is not None:
                sweeps.setdefault(sweep)
            for cell in found:
                cells.setdefault(cell.id, cell)
    if not sweeps and any(group.sweep for group in groups):
        raise UserError(
            "a sweep needs something to try; name axes with --axis NAME, or several --layout, --threads or "
            "--placement; 'rtfloor axes RUNTIME' lists what a runtime has"
        )
    if not cells:
        raise UserError(
            f"nothing is left of suite {suite.name} under these flags; 'rtfloor list {suite.name}' shows it"
        )
    used = {cell.model for cell in cells.values()}
    return Plan(
        suite.title,
        suite.name,
        profile,
        {name: specs.get(name, ModelSpec(name)) for name in sorted(used)},
        tuple(cells.values()),
        (*suite.metrics, *choice.metrics),
        suite.race and not sweeps,
        tuple(sweeps),
        ladder_steps(suite.steps, tuple(cells.values()), cpus),
        measure=suite.measure.get(profile, {}),
    )


def _narrowed(groups: Sequence[Group], choice: Choice) -> list[Group]:
    """Groups with each axis narrowed in turn; one that is left without a value on an axis is dropped."""
    for axis in ("models", "runtimes", "forms", "layouts", "threads", "placements"):
        asked: tuple[Any, ...] = getattr(choice, axis)
        if not asked:
            continue
        spanned = {value for group in groups for value in getattr(group, axis)}
        narrowed = []
        for group in groups:
            own = getattr(group, axis)
            # A version of a runtime belongs where the runtime does.
            kin = {value: {value, registry.plain(value)} if axis == "runtimes" else {value} for value in asked}
            values = tuple(value for value in asked if kin[value] & {*own} or not kin[value] & spanned)
            if axis == "threads" or (axis == "forms" and not own):
                # A budget is for the whole run, and a group without forms has every form.
                values = asked
            if values:
                changes: dict[str, Any] = {axis: values}
                narrowed.append(replace(group, **changes))
        groups = narrowed
    return list(groups)


def _spans(group: Group, specs: Mapping[str, ModelSpec], choice: Choice, cpus: int) -> Iterator[Span]:
    """Each model, form and runtime of a group, with everything that is tried on it."""
    for layout in group.layouts:
        if layout not in LAYOUTS:
            raise UserError(f"there is no layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    budgets = tuple(dict.fromkeys(_budget(value, cpus) for value in group.threads))
    for model in group.models:
        for form in _forms(model, group, specs, choice):
            for runtime in group.runtimes:
                adapter = adapter_of(runtime)
                given = {**group.options.get(registry.plain(runtime), {}), **group.options.get(runtime, {})}
                given.update(_from_flags(runtime, adapter.options, choice.options))
                yield Span(model, form, runtime, adapter, group, budgets, given)


def _cells(span: Span) -> list[Cell]:
    """Every combination."""
    return [
        span.cell(layout, threads, placement, dict(zip(span.given, values, strict=True)))
        for layout, threads in itertools.product(span.group.layouts, span.budgets)
        for placement in span.group.placements
        for values in itertools.product(*span.given.values())
    ]


def _canonical(group: Group) -> Group:
    return replace(group, forms=_form_names(group.forms))


def _form_names(forms: Sequence[str]) -> tuple[str, ...]:
    try:
        names = tuple(dict.fromkeys(form_name(form) for form in forms))
        batched = [name for name in names if any(step.facts.name == "batch" for step in parse_form(name))]
    except ModelError as error:
        raise UserError(str(error)) from None
    if batched:
        raise UserError(
            f"form {batched[0]!r}: how many signals a call takes is a layout in a run; use --layout batch2, "
            "or write a file with 'rtfloor models surgery'"
        )
    return names


def _forms(model: str, group: Group, specs: Mapping[str, ModelSpec], choice: Choice) -> tuple[str, ...]:
    """The forms of one model: of a user's file any, of a zoo model those that its graph allows."""
    if model in specs:
        return group.forms or (RAW,)
    listed = _known(model).forms
    if not group.forms:
        return tuple(listed)
    fitting = tuple(form for form in group.forms if fits(form, listed))
    if not fitting and len(group.models) == 1 and not (choice.forms and len(choice.models) != 1):
        raise UserError(
            f"model {model!r} cannot take the form {group.forms[0]!r}: there is no CausalCLN in it; "
            f"it usually comes in: {', '.join(listed)}"
        )
    return fitting


def _known(model: str) -> Any:
    try:
        return facts(model)
    except ModelError as error:
        raise UserError(str(error)) from None


def _budget(value: int | str, cpus: int) -> int:
    if value == "all":
        return cpus
    if int(value) > cpus:
        raise UserError(f"{value} threads were asked for, but this process may use {cpus} CPUs; ask for at most {cpus}")
    return int(value)


def adapter_of(runtime: str) -> Runtime:
    """The adapter of a runtime.

    Raises:
        UserError: there is no such runtime, or its package is broken.
    """
    try:
        return registry.get(runtime)
    except (KeyError, UnavailableError) as error:
        raise UserError(str(error.args[0])) from None


def declared_options(runtime: str) -> tuple[Option, ...]:
    """The options that a runtime declares.

    Raises:
        UserError: there is no such runtime, or its package is broken.
    """
    return adapter_of(runtime).options


def _from_flags(runtime: str, declared: Sequence[Option], texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    axes: dict[str, tuple[Any, ...]] = {}
    names = {option.name for option in declared}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--option {text!r} is not of the form KEY=VALUE or RUNTIME.KEY=VALUE")
        owner, dot, name = key.rpartition(".")
        if dot and owner not in (runtime, registry.plain(runtime)):
            continue
        if not dot and name not in names:
            continue
        axes[name] = (*axes.get(name, ()), value)
    return axes


def check_option_flags(texts: Sequence[str], runtimes: Sequence[str]) -> None:
    """Refuse an option that none of the chosen runtimes has: it would silently do nothing.

    Raises:
        UserError: naming the options there are.
    """
    for text in texts:
        owner, dot, name = text.partition("=")[0].rpartition(".")
        if dot and owner not in {*runtimes, *map(registry.plain, runtimes)}:
            raise UserError(f"--option {text!r} names runtime {owner!r}, which is not among: {', '.join(runtimes)}")
        having = {runtime: [option.name for option in declared_options(runtime)] for runtime in runtimes}
        meant = [runtime for runtime in runtimes if not dot or owner in (runtime, registry.plain(runtime))]
        if not any(name in having[runtime] for runtime in meant):
            there = "; ".join(f"{runtime}: {', '.join(options)}" for runtime, options in having.items())
            raise UserError(f"no chosen runtime has an option {name!r}; there are: {there}")


def default_suite(models: Sequence[str]) -> Suite:
    """What ``run --model M`` spans without a suite: mono, all CPUs, every form.

    Every runtime of processors, and those of GPUs that can run here.
    """
    runtimes = tuple(name for name in registry.names() if name != NOT_BY_DEFAULT and _runs_here(name))
    return Suite("model", f"{', '.join(models)}: which runtime answers soonest", (Group(tuple(models), runtimes),))


def _runs_here(runtime: str) -> bool:
    """Whether it is one of those that a machine like this one is asked for.

    A GPU's only where one could run; a processor's also where it is missing, so that its row says what mends that. A
    broken package must not stand in everybody's way.
    """
    try:
        adapter = registry.get(runtime)
    except UnavailableError:
        return False
    return adapter.device == "cpu" or adapter.probe().available
