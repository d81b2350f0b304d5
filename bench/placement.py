"""Which processors the threads of a cell are put on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.host import SYSTEM
from bench.peaks.topology import read_topology

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from pathlib import Path


def any_cores(threads: int, cpus: Iterable[int], coins: random.Random, system: Path = SYSTEM) -> tuple[int, ...]:
    """So many processors that lie beside each other, each on a core of its own as far as cores go.

    Args:
        threads: of the whole cell.
        cpus: that the run may use.
        coins: decide which.
        system: where the system tells which processors share a core.

    Returns:
        As many as there are threads, or all there are.
    """
    topology = read_topology(cpus, system)
    order = topology.order
    if threads >= len(order):
        return tuple(sorted(order))
    # Cores of their own come first in that order.
    among = sorted(order[: topology.cores] if threads <= topology.cores else order)
    begin = coins.randrange(len(among))
    return tuple((among * 2)[begin : begin + threads])


def place(placement: str, threads: int, cpus: Iterable[int], system: Path = SYSTEM) -> tuple[int, ...] | str:
    """The processors of a worker, or why there are none of the kind.

    Args:
        placement: a key of :data:`bench.plan.PLACEMENTS` other than ``free``.
        threads: of the whole cell.
        cpus: that the run may use.
        system: where the system tells which processors share a core.
    """
    topology = read_topology(cpus, system)
    cores: dict[frozenset[int], list[int]] = {}
    for cpu in topology.order:
        cores.setdefault(topology.siblings[cpu] & frozenset(topology.order), []).append(cpu)
    if threads > len(topology.order):
        return f"{threads} threads do not fit {len(topology.order)} processors, one each"
    if placement == "apart":
        if threads > len(cores):
            return f"{threads} threads cannot each have a core of their own: there are {len(cores)}"
        return tuple(sorted(topology.order[:threads]))
    paired = [cpus for cpus in cores.values() if len(cpus) > 1]
    if not paired:
        return "no two processors share a core here, so no two threads can be put together on one"
    if threads < 2:
        return "one thread cannot be put together with another"
    order = [cpu for cpus in sorted(cores.values(), key=lambda cpus: -len(cpus)) for cpu in cpus]
    return tuple(sorted(order[:threads]))
