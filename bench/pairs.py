"""Cells that are measured in pairs: which belong together, and where both run."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.placement import any_cores
from runtimes.registry import on_gpu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.plan import Cell
    from bench.prepare import Ready


def together(order: Sequence[Cell], pairs: Sequence[tuple[str, str]]) -> list[list[Cell]]:
    """The cells in the same order, those of a pair as one group where one follows the other."""
    partner = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    groups: list[list[Cell]] = []
    for cell in order:
        if groups and len(groups[-1]) == 1 and partner.get(groups[-1][0].id) == cell.id:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return groups


def same_processors(
    group: Sequence[Cell], ready: Mapping[str, Ready], allowed: Sequence[int] | None, seed: str
) -> dict[str, Ready]:
    """What is known about each cell, with processors that both share where they may run anywhere.

    A neighbour slows down one core and leaves the next alone: two processes on two cores would differ by that. Cells
    of a GPU are left as they are: the driver has threads of its own.

    Args:
        group: of one pair.
        ready: by id of the cell.
        allowed: processors of the run; None for all that this process may use.
        seed: decides which.
    """
    found = {cell.id: ready[cell.id] for cell in group}
    if any(ready.cpus for ready in found.values()) or any(on_gpu(cell.runtime) for cell in group):
        return found
    coins = random.Random(seed)  # noqa: S311  # a choice, no secret
    cpus = any_cores(
        max(cell.threads for cell in group), allowed if allowed is not None else sorted(os.sched_getaffinity(0)), coins
    )
    return {cell.id: replace(found[cell.id], cpus=cpus[: cell.threads]) for cell in group}
