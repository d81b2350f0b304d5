"""Which CPUs share a core and which share a cache, from what Linux says in ``/sys``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from bench.host import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Cache:
    """One cache.

    Attributes:
        level: 1 is the nearest to the core.
        bytes: its size, as the machine tells it; a virtual machine may tell anything.
        cpus: who uses it.
    """

    level: int
    bytes: int
    cpus: frozenset[int]


@dataclass(frozen=True)
class Topology:
    """The CPUs a process may use.

    Attributes:
        order: the CPUs in the order in which threads take them: cores of their own first, spread over the
            last-level caches, fast cores before slow ones; only then the second threads of the same cores.
        cores: how many cores they are.
        caches: those that each CPU reads data through, the nearest first; none where the system does not say.
        siblings: the CPUs that share a core with each CPU, itself among them.
    """

    order: tuple[int, ...]
    cores: int
    caches: Mapping[int, tuple[Cache, ...]]
    siblings: Mapping[int, frozenset[int]]

    def private(self, cache: Cache) -> bool:
        """Whether one core has the cache to itself."""
        return any(cache.cpus <= siblings for siblings in self.siblings.values())

    def instances(self, level: int, threads: int) -> dict[Cache, int]:
        """The caches of a level that so many threads use, and how many of the threads use each."""
        used: dict[Cache, int] = {}
        for cpu in self.order[:threads]:
            for cache in self.caches[cpu]:
                if cache.level == level:
                    used[cache] = used.get(cache, 0) + 1
        return used


def read_topology(cpus: Iterable[int], system: Path = SYSTEM) -> Topology:
    """Read it.

    Args:
        cpus: the CPUs to think of.
        system: the folder that has ``cpu0``, ``cpu1`` and so on.
    """
    known = sorted(cpus)
    siblings = {cpu: _siblings(system / f"cpu{cpu}", cpu) for cpu in known}
    caches = {cpu: _caches(system / f"cpu{cpu}") for cpu in known}
    speed = {cpu: _integer(system / f"cpu{cpu}" / "cpufreq" / "cpuinfo_max_freq") for cpu in known}
    # The first CPU of every core, then the second of every core, and so on.
    turns: dict[int, list[int]] = {}
    for cpu in known:
        turns.setdefault(sum(other < cpu for other in siblings[cpu] if other in siblings), []).append(cpu)
    order = [cpu for turn in sorted(turns) for cpu in _spread(turns[turn], caches, speed)]
    return Topology(tuple(order), len(turns.get(0, ())), caches, siblings)


def _spread(
    cpus: Iterable[int], caches: Mapping[int, tuple[Cache, ...]], speed: Mapping[int, int | None]
) -> Iterable[int]:
    """One CPU of each last-level cache in turn, the fastest first."""
    groups: dict[frozenset[int], list[int]] = {}
    for cpu in cpus:
        last = caches[cpu][-1].cpus if caches[cpu] else frozenset()
        groups.setdefault(last, []).append(cpu)
    turns = zip_longest(*groups.values())
    dealt = [cpu for turn in turns for cpu in turn if cpu is not None]
    # Stable: among equals the turns stay.
    return sorted(dealt, key=lambda cpu: -(speed[cpu] or 0))


def _siblings(folder: Path, cpu: int) -> frozenset[int]:
    for name in ("core_cpus_list", "thread_siblings_list"):
        if listed := _cpu_list(_text(folder / "topology" / name)):
            return listed
    return frozenset({cpu})


def _caches(folder: Path) -> tuple[Cache, ...]:
    found = []
    for index in (folder / "cache").glob("index*"):
        size, level = _size(_text(index / "size")), _integer(index / "level")
        cpus = _cpu_list(_text(index / "shared_cpu_list"))
        if _text(index / "type") != "Instruction" and size and level and cpus:
            found.append(Cache(level, size, cpus))
    return tuple(sorted(found, key=lambda cache: cache.level))


def _size(text: str) -> int:
    """Bytes of ``48K``."""
    digits = text.rstrip("KMG")
    return int(digits) * UNITS.get(text[len(digits) :], 1) if digits.isdigit() else 0


def _cpu_list(text: str) -> frozenset[int]:
    """CPUs of ``0-3,8``; none where it is no such list."""
    cpus: set[int] = set()
    for item in text.split(","):
        first, dash, last = item.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            return frozenset()
        cpus |= set(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def _integer(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
