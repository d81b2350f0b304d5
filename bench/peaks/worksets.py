"""How much memory a thread has to go over in order to stay in one cache level, or in none."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from results.peaks import MEMORY, Level

if TYPE_CHECKING:
    from bench.peaks.topology import Topology

# The sizes that a machine tells are not to be trusted in a virtual one, and part of a shared cache
# may be somebody else's: several sizes are tried, and the fastest is kept.
SHARES = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
# A cache that does not evict in strict order keeps some of a working set that is a little too big for it.
BEYOND = 4
# Of memory the machine lends a thread at most this share, reading and writing together.
MEMORY_SHARE = 4
# Where no cache is known, or only a small one.
MEMORY_LEAST = 64 << 20
GRAIN = 4096


@dataclass(frozen=True)
class Workset:
    """What each of several threads goes over.

    Attributes:
        level: where it fits: ``L1``, ``L2``, ``L3``, ``memory``.
        bytes: per thread.
    """

    level: str
    bytes: int


def levels(topology: Topology) -> tuple[Level, ...]:
    """The levels of this machine, memory last.

    A private cache counts once, for its core; of shared ones all instances are added up.
    """
    everyone = len(topology.order)
    found = []
    for cache in topology.caches[topology.order[0]]:
        private = topology.private(cache)
        size = cache.bytes if private else sum(each.bytes for each in topology.instances(cache.level, everyone))
        found.append(Level(f"L{cache.level}", size, private))
    return (*found, Level(MEMORY, None, private=False))


def worksets(topology: Topology, threads: int, memory_bytes: int) -> tuple[Workset, ...]:
    """What to try for each level with so many threads.

    Args:
        topology: of the CPUs.
        threads: that run at once.
        memory_bytes: that this process may use.
    """
    found: list[Workset] = []
    below = 0  # what one thread has of the level before
    for cache in topology.caches[topology.order[0]]:
        instances = topology.instances(cache.level, threads)
        share = min((each.bytes // users for each, users in instances.items()), default=0)
        sizes = [_whole(int(share * part)) for part in SHARES]
        found += [Workset(f"L{cache.level}", size) for size in _beyond(sizes, BEYOND * below)]
        below = share
    return (*found, Workset(MEMORY, memory_workset(topology, threads, memory_bytes)))


def memory_workset(topology: Topology, threads: int, memory_bytes: int) -> int:
    """Bytes per thread: four times the last caches in use, unless that is more memory than may be lent."""
    last = max((cache.level for cache in topology.caches[topology.order[0]]), default=0)
    wanted = max(BEYOND * sum(cache.bytes for cache in topology.instances(last, threads)), MEMORY_LEAST)
    # Twice: what is read from and what is written to.
    return max(_whole(min(wanted, memory_bytes // MEMORY_SHARE // 2) // threads), GRAIN)


def _beyond(sizes: list[int], least: int) -> list[int]:
    """Those that clearly do not fit the level before; the largest where none is."""
    distinct = sorted({size for size in sizes if size})
    return [size for size in distinct if size >= least] or distinct[-1:]


def _whole(size: int) -> int:
    return size // GRAIN * GRAIN
