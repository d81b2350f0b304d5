"""What the machine is: a run resumed on another one would mix two machines' times."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from bench import host

NAME = "a-very-private-workstation"


def test_facts_are_json_and_name_what_matters() -> None:
    facts = host.host_facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    # As docs/json.md promises to scripts.
    assert set(facts) == {
        *("cpu", "cpu_id", "architecture", "system", "kernel", "python", "isa", "cpus", "cpus_usable", "caches"),
        *("memory_bytes", "smt", "boost", "governor", "frequency_max_khz", "virtual", "name_sha256", "fingerprint"),
    }
    assert facts["cpu"]
    assert facts["cpus"] >= facts["cpus_usable"] >= 1
    assert facts["memory_bytes"] > 1 << 20
    assert len(facts["fingerprint"]) == len(facts["name_sha256"]) == 12


def test_the_fingerprint_is_the_same_each_time() -> None:
    assert host.host_facts()["fingerprint"] == host.host_facts()["fingerprint"]


def test_the_fingerprint_does_not_move_with_what_may_change_overnight(monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel update or a new name must not forbid going on with a run.
    before = host.host_facts()
    monkeypatch.setattr("platform.release", lambda: "99.0")
    monkeypatch.setattr(socket, "gethostname", lambda: NAME)
    after = host.host_facts()
    assert after["kernel"] == "99.0"
    assert after["fingerprint"] == before["fingerprint"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("usable_cpus", lambda: {0, 1, 2, 3, 4, 5, 6}), ("memory_bytes", lambda: 3 << 30), ("_caches", dict)],
)
def test_the_fingerprint_tells_machines_apart(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    before = host.host_facts()["fingerprint"]
    monkeypatch.setattr(host, name, value)
    assert host.host_facts()["fingerprint"] != before


def test_the_hosts_name_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # Run files are attached to public issues.
    monkeypatch.setattr(socket, "gethostname", lambda: NAME)
    assert NAME not in json.dumps(host.host_facts())


def test_only_processors_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    # In a container with two of 64, "all" threads must be two.
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert (host.usable_cpus(), host.cpus()) == ({3, 5}, 2)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert host.cpus() == 6


def test_a_containers_memory_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # A limit taken from the whole machine would let the kernel kill workers without a word.
    machine = host.memory_bytes()
    for text, expected in (("1048576", 1 << 20), ("max", machine), ("", machine), (str(1 << 60), None)):
        monkeypatch.setattr(host, "_read", lambda path, text=text: text)
        assert host.memory_bytes() == (expected or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def test_a_system_that_says_nothing_is_described_by_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_read", lambda path: "")
    monkeypatch.setattr(host, "SYSTEM", Path("/nowhere"))
    facts = host.host_facts()
    assert facts["caches"] == {}
    assert (facts["smt"], facts["boost"], facts["governor"], facts["frequency_max_khz"]) == (None, None, None, None)
    assert json.dumps(facts, allow_nan=False)
