"""A sweep: which cells are compared with which, so that each comparison tells what one value does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = {
    "one-at-a-time": "every value of every axis, all others at their defaults",
    "pairs": "the same, and every two values of different axes together",
    "grid": "every combination",
}
# What an arm is about: one value, two values together beyond what each does alone, or nothing at all.
ARMS = ("value", "pair", "copy")


@dataclass(frozen=True)
class Contrast:
    """Cells beside cells: log medians of the first kind are added, of the second taken away, round by round.

    Attributes:
        plus: ids of cells.
        minus: as many ids. The sweep's default stands for itself and all its copies, but for one in ``plus``.
    """

    plus: tuple[str, ...]
    minus: tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """One value, or pair of values, whose effect is asked for.

    Attributes:
        axis: the option, ``layout``, ``threads``, ``placement``, or two of them joined by ``×``; ``copy`` for a
            repetition of the default.
        value: in words, as a user types it.
        kind: of :data:`ARMS`.
        contrasts: the effect is the mean of these; one in a one-at-a-time sweep, one per combination of the other
            axes in a grid.
    """

    axis: str
    value: str
    kind: str
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True)
class Sweep:
    """One model, form and runtime, and what is asked about it.

    Attributes:
        kind: of :data:`KINDS`.
        default: the cell that has every axis at its default.
        copies: cells that differ from it in nothing.
        arms: what is asked, in the order of axes.
        left_out: values that could not be tried, each with its reason: (axis, value, why).
    """

    kind: str
    default: str
    copies: tuple[str, ...]
    arms: tuple[Arm, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Sweep:
        """The inverse of :func:`dataclasses.asdict`."""
        arms = tuple(
            Arm(
                arm["axis"],
                arm["value"],
                arm["kind"],
                tuple(Contrast(tuple(one["plus"]), tuple(one["minus"])) for one in arm["contrasts"]),
            )
            for arm in data["arms"]
        )
        left_out = tuple((axis, value, why) for axis, value, why in data.get("left_out", ()))
        return Sweep(data["kind"], data["default"], tuple(data["copies"]), arms, left_out)
