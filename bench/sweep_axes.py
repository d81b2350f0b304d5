"""Which axes a sweep changes, from what a suite and flags say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.plan import Cell
from bench.sweeps import Axis, weave
from results.sweep import KINDS
from runtimes.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.expand import Choice
    from bench.span import Span
    from bench.suite import Group
    from results.sweep import Sweep
    from runtimes.options import Option

ALL = "all"
# Axes that every runtime has, and where a group names their values.
SHARED = {"layout": "layouts", "threads": "threads", "placement": "placements"}


def swept_by_flags(group: Group, choice: Choice) -> Group:
    """The group under ``--sweep``, ``--axis`` and ``--copies``.

    Raises:
        UserError: an axis or copies for what is no sweep.
    """
    kind = choice.sweep or group.sweep
    if not kind:
        if choice.axes or choice.copies is not None:
            flag = "--axis" if choice.axes else "--copies"
            raise UserError(f"{flag} is for a sweep; say which with --sweep {' or --sweep '.join(KINDS)}")
        return group
    for name, values in _flag_values(choice.axes):
        if name == ALL or name in SHARED:
            how = "it is every option" if name == ALL else f"give --{name} twice or more, the first is the default"
            raise UserError(f"--axis {name}={values}: {name} takes no values here; {how}")
    axes = tuple(text.partition("=")[0] for text in choice.axes) or group.axes
    if not axes and kind == "one-at-a-time":
        axes = (ALL,)
    copies = group.copies if choice.copies is None else choice.copies
    return replace(group, sweep=kind, axes=axes, copies=copies)


def check_axes(spans: Sequence[Span]) -> None:
    """Refuse an axis that none of the runtimes has: it would silently do nothing.

    Raises:
        UserError: naming those there are.
    """
    having = {span.runtime: [option.name for option in span.adapter.options] for span in spans}
    for name in dict.fromkeys(name for span in spans for name in span.group.axes):
        if name not in (ALL, *SHARED) and not any(name in names for names in having.values()):
            there = "; ".join(f"{runtime}: {', '.join(names)}" for runtime, names in having.items())
            raise UserError(
                f"no chosen runtime has an axis {name!r}; there are: {', '.join(SHARED)}; {there}. "
                f"'rtfloor axes {next(iter(having))}' says what they do"
            )


def sweep_of(span: Span, axis_flags: tuple[str, ...] = ()) -> tuple[list[Cell], Sweep | None]:
    """The cells of a sweep over one model, form and runtime, and what is compared with what.

    Returns:
        The default alone, and None, for a runtime that has none of the axes.

    Raises:
        UserError: a value that an axis cannot have, nobody says which values to try, or too many cells.
    """
    from results.works import signal

    axes = _shared(span) + _options(span, axis_flags)
    fixed = {name: values[0] for name, values in span.given.items()}
    start = (span.group.layouts[0], span.budgets[0], span.group.placements[0])

    def make(changes: Mapping[str, Any], copy: int) -> Cell | str:
        layout, threads, placement = (changes.get(name, value) for name, value in zip(SHARED, start, strict=True))
        if signal(layout) != signal(start[0]):
            return f"{layout} does other work than {start[0]}, so their times cannot be compared"
        options = fixed | {name: value for name, value in changes.items() if name not in SHARED}
        cell = span.cell(layout, threads, placement, options, copy)
        return span.adapter.refusal(cell.options, cell.threads_each) or cell

    if not axes:
        alone = make({}, 0)
        return ([alone] if isinstance(alone, Cell) else []), None
    return weave(span.group.sweep, axes, make, span.group.copies)


def _shared(span: Span) -> list[Axis]:
    values = {"layout": span.group.layouts, "threads": span.budgets, "placement": span.group.placements}
    for name in SHARED:
        if name in span.group.axes and len(values[name]) < 2:
            raise UserError(f"the axis {name} has one value; give --{name} twice or more, the first is the default")
    return [Axis(name, values[name]) for name in SHARED if len(values[name]) > 1]


def _options(span: Span, axis_flags: tuple[str, ...]) -> list[Axis]:
    declared = {option.name: option for option in span.adapter.options}
    asked = [name for name in span.group.axes if name in declared or name == ALL]
    named = {name: _values(declared[name], text) for name, text in _flag_values(axis_flags) if name in declared}
    names = declared if ALL in asked else asked
    axes = []
    for name, option in declared.items():
        given = span.given.get(name, ())
        if name in names or len(given) > 1:
            try:
                values = tuple(dict.fromkeys(option.parse(value) for value in given))
            except OptionError as error:
                raise UserError(f"runtime {span.runtime!r}: {error}") from None
            default = values[0] if values else option.default
            others = values[1:] or named.get(name, ()) or option.values
            tried = (default, *(value for value in others if value != default))
            if len(tried) > 1:
                axes.append(Axis(name, tried, option.needs))
            elif name in asked:
                raise UserError(
                    f"nobody says which values of {name} to try; name them: --option {name}=… twice or more, "
                    f"the first is what the others are compared with; allowed: {option.allowed()}"
                )
    return axes


def _flag_values(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, values) for name, equals, values in (text.partition("=") for text in texts) if equals]


def _values(option: Option, text: str) -> tuple[Any, ...]:
    try:
        return tuple(dict.fromkeys(option.parse(value) for value in text.split(",")))
    except OptionError as error:
        raise UserError(f"--axis {option.name}={text}: {error}") from None
