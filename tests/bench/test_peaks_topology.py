"""A working set that is too big for its cache, or a thread on a busy core, makes a peak that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import host
from bench.peaks.topology import read_topology
from bench.peaks.worksets import levels, memory_workset, worksets

if TYPE_CHECKING:
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20


def machine(
    folder: Path,
    cores: int,
    *,
    smt: int = 1,
    l3: str = "32768K",
    cores_per_l3: int = 8,
    slow: frozenset[int] = frozenset(),
) -> Path:
    """A machine as Linux numbers it: all first threads of the cores, then all second ones."""

    def listed(members: list[int]) -> str:
        return ",".join(f"{core + turn * cores}" for turn in range(smt) for core in members)

    for cpu in range(cores * smt):
        core = cpu % cores
        together = [other for other in range(cores) if other // cores_per_l3 == core // cores_per_l3]
        base = folder / f"cpu{cpu}"
        for index, (level, kind, size, cpus) in enumerate(
            [
                (1, "Data", "32K", listed([core])),
                (1, "Instruction", "32K", listed([core])),
                (2, "Unified", "512K", listed([core])),
                (3, "Unified", l3, listed(together)),
            ]
        ):
            cache = base / "cache" / f"index{index}"
            cache.mkdir(parents=True)
            for name, value in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", cpus)):
                (cache / name).write_text(f"{value}\n")
        (base / "topology").mkdir()
        (base / "topology" / "core_cpus_list").write_text(listed([core]))
        (base / "cpufreq").mkdir()
        (base / "cpufreq" / "cpuinfo_max_freq").write_text("2000000" if core in slow else "4000000")
    return folder


def sizes(found: tuple[object, ...], level: str) -> list[int]:
    return [one.bytes for one in found if one.level == level]  # type: ignore[attr-defined]


def test_threads_take_cores_of_their_own_before_second_threads(tmp_path: Path) -> None:
    topology = read_topology(range(16), machine(tmp_path, 8, smt=2))
    assert topology.cores == 8
    assert set(topology.order[:8]) == set(range(8))
    assert set(topology.order[8:]) == set(range(8, 16))


def test_threads_spread_over_last_level_caches(tmp_path: Path) -> None:
    # Two threads on one of two chips would see half of the bandwidth there is.
    topology = read_topology(range(8), machine(tmp_path, 8, cores_per_l3=4))
    assert {cpu // 4 for cpu in topology.order[:2]} == {0, 1}


def test_fast_cores_come_first(tmp_path: Path) -> None:
    topology = read_topology(range(4), machine(tmp_path, 4, slow=frozenset({0, 1})))
    assert set(topology.order[:2]) == {2, 3}


def test_levels_say_what_a_core_has_to_itself(tmp_path: Path) -> None:
    topology = read_topology(range(8), machine(tmp_path, 8, cores_per_l3=4))
    found = levels(topology)
    assert [(level.name, level.bytes, level.private) for level in found] == [
        ("L1", 32 * KIB, True),
        ("L2", 512 * KIB, True),
        ("L3", 2 * 32 * MIB, False),  # both
        ("memory", None, False),
    ]


def test_working_sets_fit_their_level_and_not_the_one_before(tmp_path: Path) -> None:
    topology = read_topology(range(8), machine(tmp_path, 8))
    found = worksets(topology, 1, 64 << 30)
    assert max(sizes(found, "L1")) == 24 * KIB
    assert sizes(found, "L2") == [128 * KIB, 256 * KIB, 384 * KIB]
    assert min(sizes(found, "L3")) >= 4 * 512 * KIB
    assert sizes(found, "memory") == [4 * 32 * MIB]


def test_second_threads_and_neighbours_share(tmp_path: Path) -> None:
    topology = read_topology(range(16), machine(tmp_path, 8, smt=2))
    assert max(sizes(worksets(topology, 8, 64 << 30), "L1")) == 24 * KIB
    assert max(sizes(worksets(topology, 16, 64 << 30), "L1")) == 12 * KIB
    assert max(sizes(worksets(topology, 8, 64 << 30), "L3")) == 3 * MIB


def test_together_threads_go_over_more_than_the_last_caches_hold(tmp_path: Path) -> None:
    topology = read_topology(range(8), machine(tmp_path, 8, cores_per_l3=4))
    assert 8 * memory_workset(topology, 8, 64 << 30) == 4 * 2 * 32 * MIB


def test_no_more_than_a_quarter_of_the_memory_is_used(tmp_path: Path) -> None:
    topology = read_topology(range(8), machine(tmp_path, 8))
    # Twice, once to read from and once to write to.
    assert 2 * 4 * memory_workset(topology, 4, 256 * MIB) <= 64 * MIB


def test_every_working_set_is_whole_steps_of_every_kind(tmp_path: Path) -> None:
    topology = read_topology(range(8), machine(tmp_path, 8, smt=1, l3="1024K"))
    for threads in (1, 3, 8):
        assert all(one.bytes >= 4096 and one.bytes % 4096 == 0 for one in worksets(topology, threads, 1 << 30))


def test_a_machine_that_tells_nothing_of_its_caches_has_memory(tmp_path: Path) -> None:
    topology = read_topology([3, 5], tmp_path)
    assert topology.order == (3, 5)
    assert topology.cores == 2
    assert [level.name for level in levels(topology)] == ["memory"]
    assert [one.level for one in worksets(topology, 2, 64 << 30)] == ["memory"]


@pytest.mark.parametrize("nonsense", ["", "x-y", "0-", "-1"])
def test_a_list_of_cpus_that_is_none_is_not_believed(tmp_path: Path, nonsense: str) -> None:
    root = machine(tmp_path, 2)
    (root / "cpu0" / "topology" / "core_cpus_list").write_text(nonsense)
    assert read_topology([0, 1], root).siblings[0] == {0}


def test_this_machine_can_be_read() -> None:
    topology = read_topology(host.usable_cpus())
    assert set(topology.order) == host.usable_cpus()
    assert 1 <= topology.cores <= len(topology.order)
    assert levels(topology)[-1].name == "memory"
