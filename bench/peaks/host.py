"""The peaks of this host: sittings in processes of their own, and what is kept of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench import host
from bench.errors import UserError
from bench.peaks import keep
from bench.peaks.collect import Collected
from bench.peaks.limits import believable
from bench.peaks.topology import read_topology
from bench.peaks.worksets import MEMORY_SHARE, levels, memory_workset, worksets
from results.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.peaks.topology import Topology
    from bench.spawn import Outcome, Spawn
    from results.peaks import Call

# Where a process's memory lies decides a little about its speed, so there are several.
SITTINGS, BUDGET_S = 3, 4.5
QUICK_SITTINGS, QUICK_BUDGET_S = 1, 2.5
REPEAT_S = 2.5e-3
# A repeat that a waiting thread spoils is no loss where there are others.
ROUNDS_LEAST = 4
TIMEOUT_S = 120.0
# No instruction set has this name: nothing is run, but the worker says which sets it could run.
NONE_OF_THEM = "none"


def known_peaks() -> Peaks | str:
    """What earlier sittings found out about this host, or why nothing is known."""
    found, unusable = keep.load(host.host_facts()["fingerprint"])
    if found is None:
        return f"{unusable[0] if unusable else 'this host has not been measured'}; measure it: rtfloor peaks"
    return replace(found, notes=(*found.notes, *unusable))


def all_threads(cpus: int) -> tuple[int, ...]:
    """1, 2, 4 and so on, and all of them."""
    return tuple(sorted({cpus, *(1 << power for power in range(cpus.bit_length()) if 1 << power <= cpus)}))


def host_peaks(
    spawn: Spawn, threads: Sequence[int], *, quick: bool, say: Callable[[str], None], again: bool = False
) -> Peaks | str:
    """Measure now, and keep the best of this and of what was known.

    A few seconds when ``quick``, about half a minute otherwise. What cannot be kept is said, and lost with the process;
    the peaks are none the worse for it.

    Args:
        spawn: starts a worker.
        threads: which numbers of threads; more than there are CPUs is taken for all CPUs.
        quick: one short sitting, and no costs of calls.
        say: is told, in one line, what is being done.
        again: forget what was known.

    Returns:
        The peaks, or why there are none.
    """
    facts = host.host_facts()
    topology = read_topology(host.usable_cpus())
    everyone = len(topology.order)
    numbers = sorted({min(max(number, 1), everyone) for number in threads} or {1, everyone})
    sittings = _Sittings(spawn, _request(topology, numbers, quick=quick), say)
    collected = sittings.hold(QUICK_SITTINGS if quick else SITTINGS)
    if isinstance(collected, str):
        return collected
    costs: list[Call | str] = []
    if not quick:
        # Only here: it brings along all that preparing a model needs, which workers of this package do not.
        from bench.peaks.calls import call_costs

        try:
            costs = call_costs(spawn, say)
        except (UserError, OSError) as error:
            # Models are built in the cache folder.
            costs = [f"what calls cost could not be measured: {error}"]
    clock_facts = collected.clock_facts()
    peaks = Peaks(
        name="host",
        title=facts["cpu"],
        device="cpu",
        cores=topology.cores,
        levels=levels(topology),
        arithmetic=collected.arithmetic(),
        bandwidth=collected.bandwidth(),
        calls=tuple(cost for cost in costs if not isinstance(cost, str)),
        clock_hz=clock_facts[keep.HIGHEST],
        fingerprint=facts["fingerprint"],
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(
            *_warnings(topology, numbers, facts),
            *sittings.notes,
            *collected.notes(),
            *(cost for cost in costs if isinstance(cost, str)),
        ),
        facts={**clock_facts, "compiler": sittings.compiler, "threads_measured": numbers},
    )
    peaks = _believed(peaks)
    known, unusable = (None, ()) if again else keep.load(facts["fingerprint"])
    for reason in unusable:
        say(f"{reason}; it was measured anew")
    if known is not None:
        peaks = keep.merged(peaks, known)
        peaks = replace(peaks, notes=(*peaks.notes, *unusable))
    elif unusable:
        peaks = replace(peaks, notes=(*peaks.notes, "what earlier sittings had found could not be used"))
    try:
        keep.save(peaks)
    except (UserError, OSError) as error:
        say(f"the peaks could not be kept: {error}")
        peaks = replace(peaks, notes=(*peaks.notes, f"these peaks could not be kept for later: {error}"))
    return peaks


def _believed(peaks: Peaks) -> Peaks:
    """Without what no processor does: a clock that stood still, or a counter that a virtual machine made up."""
    believed, dropped = believable(peaks)
    facts = dict(believed.facts)
    if believed.clock_hz is None:
        facts |= {keep.LOWEST: None, keep.HIGHEST: None, keep.BY_THREADS: {}}
    return replace(believed, facts=facts, notes=(*believed.notes, *dropped))


def _request(topology: Topology, numbers: Sequence[int], *, quick: bool) -> dict[str, Any]:
    memory = host.memory_bytes()
    return {
        "task": "peaks",
        "cpus": list(topology.order),
        "worksets": [
            (number, [(one.level, one.bytes) for one in worksets(topology, number, memory)]) for number in numbers
        ],
        "budget_s": QUICK_BUDGET_S if quick else BUDGET_S,
        "rounds_least": ROUNDS_LEAST,
        "repeat_s": REPEAT_S,
        "without": [],
        "only": "",
    }


@dataclass
class _Sittings:
    """Sittings, one after the other; kernels that bring a process down are left out of the next."""

    spawn: Spawn
    request: dict[str, Any]
    say: Callable[[str], None]
    notes: tuple[str, ...] = ()
    compiler: str = ""

    def hold(self, number: int) -> Collected | str:
        """So many sittings.

        Returns:
            What they found, or why they found nothing.
        """
        collected = Collected()
        for sitting in range(number):
            self.say(f"measuring the peaks of this machine, {sitting + 1} of {number}")
            outcome = self._sit(sitting)
            if outcome.status != "ok" and not self.request["without"]:
                if reason := self._try_each(outcome):
                    return reason
                outcome = self._sit(sitting)
            reason = outcome.reason or str(outcome.body.get("reason", ""))
            if reason and not collected.rates:
                return f"the peaks of this machine could not be measured: {reason}"
            if reason:
                self.notes += (f"sitting {sitting + 1} of {number} is missing: {reason}",)
                continue
            collected.add(outcome.body)
            self.compiler = outcome.body["compiler"]
            if not outcome.body["pinned"]:
                self.notes += ("threads could not be kept on CPUs of their own; figures of several may be too low",)
        return collected

    def _sit(self, number: int) -> Outcome:
        seed = random.Random(number).randrange(1 << 31)  # noqa: S311  # an order, no secret
        return self.spawn({**self.request, "seed": seed}, {}, TIMEOUT_S)

    def _try_each(self, crashed: Outcome) -> str:
        """After a crash: every instruction set in a process of its own; why that is no use, or an empty text."""
        self.say(f"a sitting ended early ({crashed.reason}); trying every instruction set by itself")
        trial = {**self.request, "seed": 0, "rounds_least": 0, "budget_s": 0.0}
        trial["worksets"] = [(threads, []) for threads, _ in self.request["worksets"]]
        asked = self.spawn({**trial, "only": NONE_OF_THEM}, {}, TIMEOUT_S)
        if asked.status != "ok" or asked.body["status"] != "ok":
            return f"the peaks of this machine could not be measured: {crashed.reason}"
        for isa in asked.body["offered"]:
            outcome = self.spawn({**trial, "only": isa}, {}, TIMEOUT_S)
            if outcome.status != "ok":
                self.request["without"].append(isa)
                self.notes += (f"{isa} could not be measured: {outcome.reason}",)
        return ""


def _warnings(topology: Topology, numbers: Sequence[int], facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know of this machine."""
    found = []
    last = topology.caches[topology.order[0]][-1:]
    if not last:
        found.append("the system does not say how large its caches are, so only memory was measured")
    else:
        most = numbers[-1]
        total = sum(cache.bytes for cache in topology.instances(last[0].level, most))
        if memory_workset(topology, most, host.memory_bytes()) * most < 2 * total:
            found.append(
                f"a {MEMORY_SHARE}th of the memory is less than twice the last cache, so the figures of memory are "
                "partly those of that cache"
            )
    if {"sve", "sve2"} & set(facts["isa"]):
        found.append("SVE was not measured: where its vectors are longer than 128 bits, the real peak is higher")
    if facts["virtual"]:
        found.append("this is a virtual machine: its cache sizes are what its host says, and others may share them")
    return tuple(found)
