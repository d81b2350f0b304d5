"""From axes to the cells of a sweep, and to what is compared with what."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError
from bench.plan import Cell
from results.sweep import Arm, Contrast, Sweep
from runtimes.options import text

# More cells than this are hours: whoever wants them says which axes.
CELLS_MOST = 600
# Between the names and values of two axes that are changed together.
TIMES = " × "
Changes = Mapping[str, Any]
# Cell of changes to the default, or why it cannot be had.
Make = Callable[[Changes, int], Cell | str]


@dataclass(frozen=True)
class Axis:
    """One thing that a sweep changes.

    Attributes:
        name: an option's, ``layout``, ``threads`` or ``placement``.
        values: what it tries, the default first.
        needs: values of other axes or options without which it changes nothing.
    """

    name: str
    values: tuple[Any, ...]
    needs: tuple[tuple[str, Any], ...] = ()

    @property
    def default(self) -> Any:
        """What it is while others are changed."""
        return self.values[0]


class Weaver:
    """Makes the cells of one sweep, each once.

    Args:
        axes: what is changed.
        make: a cell from what differs from the default.
    """

    def __init__(self, axes: Sequence[Axis], make: Make) -> None:
        self._axes, self._make = axes, make
        self._defaults = {axis.name: axis.default for axis in axes}
        self.cells: dict[str, Cell] = {}
        self.left_out: list[tuple[str, str, str]] = []

    def cell(self, changes: Changes, copy: int = 0) -> str | None:
        """The id of a cell; None where it cannot be had, with the reason in :attr:`left_out`."""
        real = {name: value for name, value in changes.items() if value != self._defaults.get(name, _NEVER)}
        made = self._make(real, copy)
        if isinstance(made, str):
            entry = (TIMES.join(real), TIMES.join(map(text, real.values())), made)
            if entry not in self.left_out:
                self.left_out.append(entry)
            return None
        self.cells.setdefault(made.id, made)
        return made.id


_NEVER = object()


def weave(kind: str, axes: Sequence[Axis], make: Make, copies: int | None) -> tuple[list[Cell], Sweep]:
    """The cells of a sweep, the default first, and what they are compared with.

    Args:
        kind: of :data:`results.sweep.KINDS`.
        axes: each with two values at least.
        make: a cell from what differs from the default, and which copy of it.
        copies: how many more times the default is measured in each round; None for as many as serve the comparisons
            best: with k of them against one default, about √k (Dunnett 1955).

    Raises:
        UserError: the default itself cannot be had, or there would be too many cells.
    """
    _check_size(kind, axes)
    weaver = Weaver(axes, make)
    names = {axis.name for axis in axes}
    # What a grid's axis needs and nobody changes is set everywhere, so that comparisons differ in one thing.
    start = {name: value for axis in axes for name, value in axis.needs if name not in names} if kind == "grid" else {}
    default = weaver.cell(start)
    if default is None:
        raise UserError(f"the cell that a sweep starts from cannot be had: {weaver.left_out[0][2]}")
    if kind == "grid":
        arms = _grid(axes, weaver, start)
    else:
        arms = _pairs(axes, weaver) if kind == "pairs" else _single(axes, weaver)
    if copies is None:
        copies = max(round(math.sqrt(len(arms))) - 1, 2)
    again = [name for number in range(1, copies + 1) if (name := weaver.cell(start, number)) is not None]
    arms += [Arm("copy", str(place), "copy", (Contrast((name,), (default,)),)) for place, name in enumerate(again, 1)]
    return list(weaver.cells.values()), Sweep(kind, default, tuple(again), tuple(arms), tuple(weaver.left_out))


def _single(axes: Sequence[Axis], weaver: Weaver) -> list[Arm]:
    arms = []
    for axis in axes:
        needed = dict(axis.needs)
        for value in axis.values[1:]:
            cell, beside = weaver.cell({**needed, axis.name: value}), weaver.cell(needed)
            if cell is not None and beside is not None:
                arms.append(Arm(axis.name, text(value), "value", (Contrast((cell,), (beside,)),)))
    return arms


def _pairs(axes: Sequence[Axis], weaver: Weaver) -> list[Arm]:
    arms = _single(axes, weaver)
    for one, other in itertools.combinations(axes, 2):
        needed = {name: value for name, value in (*one.needs, *other.needs) if name not in (one.name, other.name)}
        for first, second in itertools.product(one.values[1:], other.values[1:]):
            both = weaver.cell({**needed, one.name: first, other.name: second})
            alone = [weaver.cell({**needed, one.name: first}), weaver.cell({**needed, other.name: second})]
            neither = weaver.cell(needed)
            found = [name for name in (both, *alone, neither) if name is not None]
            if len(found) == 4 and len(set(found)) == 4:
                contrast = Contrast((found[0], found[3]), (found[1], found[2]))
                label = f"{text(first)}{TIMES}{text(second)}"
                arms.append(Arm(f"{one.name}{TIMES}{other.name}", label, "pair", (contrast,)))
    return arms


def _grid(axes: Sequence[Axis], weaver: Weaver, start: Changes) -> list[Arm]:
    names = [axis.name for axis in axes]
    made: dict[tuple[int, ...], str] = {}
    for places in itertools.product(*(range(len(axis.values)) for axis in axes)):
        changes = {axis.name: axis.values[place] for axis, place in zip(axes, places, strict=True)}
        if _idle(axes, places, changes):
            continue
        name = weaver.cell({**start, **changes})
        if name is not None:
            made[places] = name
    arms = []
    for number, axis in enumerate(axes):
        for place, value in enumerate(axis.values[1:], 1):
            contrasts = tuple(
                Contrast((name,), (made[beside],))
                for places, name in made.items()
                if places[number] == place and (beside := _changed(places, number, 0)) in made
            )
            if contrasts:
                arms.append(Arm(names[number], text(value), "value", contrasts))
    return arms


def _idle(axes: Sequence[Axis], places: Sequence[int], changes: Changes) -> bool:
    """Whether a value is changed that changes nothing beside the others."""
    return any(
        place and any(name in changes and changes[name] != value for name, value in axis.needs)
        for axis, place in zip(axes, places, strict=True)
    )


def _changed(places: tuple[int, ...], number: int, place: int) -> tuple[int, ...]:
    return (*places[:number], place, *places[number + 1 :])


def _check_size(kind: str, axes: Sequence[Axis]) -> None:
    tried = [len(axis.values) - 1 for axis in axes]
    single = 1 + sum(tried)
    if kind == "grid":
        cells = math.prod(count + 1 for count in tried)
    elif kind == "pairs":
        cells = single + sum(one * other for one, other in itertools.combinations(tried, 2))
    else:
        cells = single
    if cells > CELLS_MOST:
        raise UserError(
            f"a sweep of kind {kind} over {len(axes)} axes has {cells} cells, more than {CELLS_MOST}; "
            "name the axes to try with --axis NAME, such as those that mattered one at a time"
        )
