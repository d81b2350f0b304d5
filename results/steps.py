"""A ladder: steps from one way of running a model to a better one, each with what was published for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        title: what changes, in a few words.
        cells: ids of the cells that stand for it; the fastest right one is the step.
        published: the row of :mod:`results.published` that has the same step, such as ``A28.tract_seq``; empty
            where nobody published one.
        estimate: the row of what somebody expected of the same step and nobody measured, such as ``A28.least``.
    """

    title: str
    cells: tuple[str, ...]
    published: str = ""
    estimate: str = ""

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Step:
        """The inverse of :func:`dataclasses.asdict`."""
        return Step(data["title"], tuple(data["cells"]), data["published"], data.get("estimate", ""))
