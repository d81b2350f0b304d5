"""The ladder of a suite: ``[[steps]]``, each of which chooses among the suite's own cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from models.errors import ModelError
from models.facts import facts, zoo
from models.surgery.catalogue import RAW, form_name
from results import published
from results.steps import Step
from results.works import work
from runtimes import registry
from runtimes.options import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.plan import Cell
    from bench.suite import Group

AXES = ("models", "forms", "runtimes", "layouts", "threads")
STEP_KEYS = ("title", "published", "estimate", *AXES, "options")
# Said instead of a table of options.
UNCHANGED = "default"
# One step compares nothing.
STEPS_LEAST = 2


@dataclass(frozen=True)
class StepSpec:
    """One ``[[steps]]`` table: which of the suite's cells stand for the step.

    Attributes:
        title: what changes, in a few words.
        axes: axis → the values that belong to it; an axis that is missing leaves all of them.
        options: runtime → option → its values, as text; what is not named may be anything.
        unchanged: whether every option is at its default.
        published: the published figure of the same step; empty where there is none.
        estimate: a published figure that nobody measured; empty where there is none.
    """

    title: str
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    unchanged: bool = False
    published: str = ""
    estimate: str = ""

    def has(self, cell: Cell, cpus: int) -> bool:
        """Whether a cell belongs to this step.

        Args:
            cell: of the plan.
            cpus: what ``"all"`` stands for.
        """
        own = (cell.model, cell.form, cell.runtime, cell.layout, cell.threads)
        for axis, value in zip(AXES, own, strict=True):
            wanted = self.axes.get(axis, (value,))
            # A named version takes the place of its runtime.
            if axis == "runtimes" and registry.plain(cell.runtime) in wanted:
                continue
            if value not in (tuple(cpus if one == "all" else one for one in wanted) if axis == "threads" else wanted):
                return False
        if cell.copy or (self.unchanged and cell.changed):
            return False
        # Options of one runtime are about that runtime alone: with them, others are no part of the step.
        known = self.options.get(cell.runtime, self.options.get(registry.plain(cell.runtime)))
        if self.options and known is None:
            return False
        return all(text(cell.options[name]) in values for name, values in (known or {}).items() if name in cell.options)


def parse_steps(entries: Any, groups: Sequence[Group], where: str) -> tuple[StepSpec, ...]:
    """The ``[[steps]]`` of a suite.

    Args:
        entries: as TOML has them.
        groups: the suite's cells, which every step chooses from.
        where: the suite, for messages.

    Raises:
        UserError: an unknown key or figure, a value that no cell has; names what is allowed.
    """
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{where}: steps must be tables, [[steps]], in the order of the ladder")
    if len(entries) == 1:
        raise UserError(f"{where}: a ladder has at least two [[steps]], and there is one")
    return tuple(_step(entry, groups, f"{where}, [[steps]] number {n}") for n, entry in enumerate(entries, 1))


def ladder_steps(specs: Iterable[StepSpec], cells: Sequence[Cell], cpus: int) -> tuple[Step, ...]:
    """The steps of a plan: each with the cells that are left of it, without those of which nothing is left.

    A ladder is about one model and one signal, those of its first cell: others would be no gain but another task.

    Args:
        specs: of the suite.
        cells: of the plan.
        cpus: what ``"all"`` threads stand for.

    Raises:
        UserError: a step has cells, and all of them are of another model or signal.
    """
    found: list[Step] = []
    task: tuple[str, str] | None = None
    for spec in specs:
        own = [cell for cell in cells if spec.has(cell, cpus)]
        if own and task is None:
            task = _task(own[0])
        ids = tuple(cell.id for cell in own if _task(cell) == task)
        if own and not ids:
            raise UserError(
                f"the step {spec.title!r} is about {', '.join(_task(own[0]))}, and the steps before it are about "
                f"{', '.join(task or ())}: a ladder has one model and one signal"
            )
        if ids:
            found.append(Step(spec.title, ids, spec.published, spec.estimate))
    return tuple(found) if len(found) >= STEPS_LEAST else ()


def _task(cell: Cell) -> tuple[str, str]:
    return cell.model, work(cell.layout, cell.options)


def _step(entry: Mapping[str, Any], groups: Sequence[Group], where: str) -> StepSpec:
    for key in entry:
        if key not in STEP_KEYS:
            raise UserError(f"{where} has the unknown key {key!r}; allowed: {', '.join(STEP_KEYS)}")
    title = entry.get("title")
    if not isinstance(title, str) or not title.strip():
        raise UserError(f"{where} lacks a title: a few words that say what changes")
    where = f"{where} ({title})"
    axes = {axis: _values(entry[axis], axis, where) for axis in AXES if axis in entry}
    if "forms" in axes:
        axes["forms"] = _forms(axes["forms"], where)
    for axis, values in axes.items():
        spanned = _spanned(groups, axis)
        for value in values:
            if value not in spanned:
                listed = ", ".join(map(str, spanned))
                raise UserError(f"{where}: {axis} has {value!r}, which no [[cells]] spans; spanned: {listed}")
    given = entry.get("options", {})
    if given != UNCHANGED and not isinstance(given, dict):
        raise UserError(f"{where}: options must be a table such as options.ort-cpu.NAME = [...], or '{UNCHANGED}'")
    options = {} if given == UNCHANGED else _options(given, groups, where)
    if not any(_overlaps(group, axes, options) for group in groups):
        raise UserError(
            f"{where} matches no cell: no single [[cells]] table spans all that it asks for; "
            "add one that does, or ask for less"
        )
    figures = [_figure(entry, key, where) for key in ("published", "estimate")]
    return StepSpec(title, axes, options, given == UNCHANGED, *figures)


def _figure(entry: Mapping[str, Any], key: str, where: str) -> str:
    """The id of a published figure; what was measured and what somebody expected are kept apart."""
    name = entry.get(key, "")
    allowed = [
        found for found, (_, step) in published.figures().items() if (step.kind == "estimate") == (key == "estimate")
    ]
    if name and name not in allowed:
        raise UserError(f"{where}: {key} has {name!r}; allowed: {', '.join(allowed)}")
    return str(name)


def _options(given: Mapping[str, Any], groups: Sequence[Group], where: str) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for runtime, chosen in given.items():
        if not isinstance(chosen, dict):
            raise UserError(f"{where}: options.{runtime} must be a table of options")
        found[runtime] = {}
        for name, value in chosen.items():
            values = tuple(map(text, _values(value if isinstance(value, list) else [value], name, where)))
            tried = {text(one) for group in groups for one in group.options.get(runtime, {}).get(name, ())}
            for one in values:
                if one not in tried:
                    listed = ", ".join(sorted(tried)) or "nothing"
                    raise UserError(
                        f"{where}: options.{runtime}.{name} has {one!r}, which no [[cells]] tries; tried: {listed}"
                    )
            found[runtime][name] = values
    return found


def _overlaps(
    group: Group, axes: Mapping[str, tuple[Any, ...]], options: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> bool:
    """Whether a group spans a cell that a step asks for."""
    for axis, values in axes.items():
        if not set(_spanned([group], axis)) & set(values):
            return False
    if not options:
        return True
    return any(
        all(
            set(map(text, group.options.get(runtime, {}).get(name, ()))) & set(values)
            for name, values in chosen.items()
        )
        for runtime, chosen in options.items()
        if runtime in group.runtimes
    )


def _spanned(groups: Sequence[Group], axis: str) -> tuple[Any, ...]:
    """All values of an axis."""
    if axis == "forms":
        each = [_forms(group.forms, "forms") or _own_forms(group.models) for group in groups]
    else:
        each = [getattr(group, axis) for group in groups]
    return tuple(dict.fromkeys(value for own in each for value in own))


def _own_forms(models: Sequence[str]) -> tuple[str, ...]:
    """What a group without forms spans: those that a zoo model lists, and of a file the form raw."""
    return tuple(dict.fromkeys(form for name in models for form in (facts(name).forms if name in zoo() else (RAW,))))


def _forms(forms: Sequence[str], where: str) -> tuple[str, ...]:
    try:
        return tuple(form_name(form) for form in forms)
    except ModelError as error:
        raise UserError(f"{where}: {error}") from None


def _values(value: Any, key: str, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: {key} must be a list with at least one value, such as {key} = [...]")
    for item in value:
        if not isinstance(item, str | int | float):
            raise UserError(f"{where}: {key} has {item!r}, which is neither text nor a number")
    return tuple(value)
