"""Have worker processes measure a GPU's peaks, part by part; keep the best of all sittings."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench import paths
from bench.host import host_facts
from bench.peaks.keep import LOWEST
from bench.peaks_cuda.catalogue import groups, l1_bytes, not_measured, revision
from models.atomic import write_atomically
from results.errors import PeaksError
from results.peaks import MEMORY, Arithmetic, Bandwidth, Call, Level, Peaks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.spawn import Spawn

# From a process's start to its reply. Most of it is the driver's: making a context, compiling kernels.
FACTS_TIMEOUT_S = 60.0
PARTS_TIMEOUT_S = 90.0
# Whatever happens, nobody waits longer; parts that were not begun by then are left out.
MOST_S = 240.0

_WHAT = {
    "fma_fp32": "arithmetic",
    "mma_fp16": "tensor cores",
    "wgmma_fp16_plain": "tensor cores, Hopper's own instruction",
    "memory read": "memory",
    "PCIe write": "the bus and the cost of a launch",
}


def gpu_peaks(
    spawn: Spawn, *, device: int = 0, say: Callable[[str], None], quick: bool = False, again: bool = False
) -> Peaks | str:
    """The peaks of one NVIDIA GPU.

    Measured now, in worker processes, and merged with what earlier sittings on the same GPU with the same driver and
    the same kernels found; the merged peaks are kept in the cache.

    Args:
        spawn: starts a worker process.
        device: the GPU's number, as the driver counts.
        say: is told what happens, one line at a time.
        quick: what the cache holds is enough; measure only where it holds nothing.
        again: forget what the cache holds.

    Returns:
        The peaks; or the reason why there are none, one sentence.

    Raises:
        UserError: the cache folder cannot be written.
    """
    outcome = spawn(_request(device, ()), {}, FACTS_TIMEOUT_S)
    body = outcome.body if outcome.status == "ok" else {}
    if body.get("status") != "ok":
        return f"the GPU could not be asked what it is: {outcome.reason or body.get('reason')}"
    if "none" in body:
        return str(body["none"])
    facts = body["facts"]
    place = paths.cache() / "peaks" / f"gpu-{facts['identity']}-{facts['driver']}-{revision()}.json"
    notes: list[str] = []
    kept = None if again else _kept(place, notes)
    if kept is not None and quick:
        return kept
    gathered = _gather(spawn, device, int(facts["capability"]), say)
    gathered.notes[:0] = notes
    if not gathered.arithmetic and not gathered.bandwidth and kept is None:
        why = gathered.notes[0] if gathered.notes else "no kernel gave an answer."
        return f"nothing could be measured on the {facts['name']}: {why[0].lower()}{why[1:].rstrip('.')}"
    fresh = _peaks(facts, gathered)
    # Also with itself: of several rows for the same instructions the best stays.
    merged = fresh.best_of(kept if kept is not None else fresh)
    write_atomically(place, lambda file: file.write(json.dumps(merged.to_json(), indent=1).encode()))
    return merged


def gpu_identity(spawn: Spawn) -> dict[str, Any]:
    """Which GPU this process and its workers compute on: ``name``, ``identity`` (a hash) and ``cuda_driver``.

    Args:
        spawn: starts a worker process: the driver is not started in this one.

    Returns:
        Empty where there is none that could be asked.
    """
    outcome = spawn(_request(0, ()), {}, FACTS_TIMEOUT_S)
    facts = outcome.body.get("facts") if outcome.status == "ok" else None
    if not facts:
        return {}
    return {"name": facts["name"], "identity": facts["identity"], "cuda_driver": _cuda(facts)}


@dataclass
class _Gathered:
    """What workers answered so far."""

    arithmetic: list[Arithmetic] = field(default_factory=list)
    bandwidth: list[Bandwidth] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    kernels: dict[str, Any] = field(default_factory=dict)
    watched: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, body: dict[str, Any]) -> None:
        """Take in one reply."""
        self.arithmetic += [Arithmetic(**row) for row in body.get("arithmetic", ())]
        self.bandwidth += [Bandwidth(**row) for row in body.get("bandwidth", ())]
        self.calls += [Call(**row) for row in body.get("calls", ())]
        self.kernels |= body.get("kernels", {})
        for key, value in body.get("watched", {}).items():
            self.watched[key] = _wider(self.watched.get(key), value)
        self.notes += body.get("notes", ())


def _gather(spawn: Spawn, device: int, capability: int, say: Callable[[str], None]) -> _Gathered:
    """Every part measured, or a note why not. A part that breaks its process costs the others a new one."""
    gathered = _Gathered()
    begin = time.monotonic()
    waiting = deque(groups(capability))
    while waiting:
        parts = waiting.popleft()
        if time.monotonic() - begin > MOST_S:
            gathered.notes.append(f"{_listed(parts)} not measured: it took too long to get there.")
            continue
        if parts[0] in _WHAT:
            say(f"GPU {device}: {_WHAT[parts[0]]}")
        outcome = spawn(_request(device, parts), {}, PARTS_TIMEOUT_S)
        body = outcome.body if outcome.status == "ok" else {}
        if body.get("status") == "ok" and "none" not in body:
            gathered.add(body)
            # Never all of them: the one that broke the process is not among them. So this comes to an end.
            if body["left"]:
                waiting.appendleft(tuple(body["left"]))
            continue
        why = outcome.reason or body.get("reason") or body.get("none")
        if len(parts) > 1 and outcome.status == "failed":
            # It died without a word. One of them is to blame; alone, the others live.
            waiting.extendleft((part,) for part in reversed(parts))
        else:
            gathered.notes.append(f"{_listed(parts)} not measured: {why}.")
    gathered.notes += not_measured(capability)
    gathered.seconds = time.monotonic() - begin
    return gathered


def _request(device: int, parts: Sequence[str]) -> dict[str, Any]:
    seed = random.SystemRandom().getrandbits(32)
    return {"task": "peaks_cuda", "device": device, "parts": list(parts), "seed": seed}


def _peaks(facts: dict[str, Any], gathered: _Gathered) -> Peaks:
    values, capability = facts["values"], int(facts["capability"])
    notes = list(gathered.notes)
    cores = int(values["multiprocessors"])
    each = l1_bytes(capability)
    if each is None:
        each = int(values["shared_bytes_per_multiprocessor"])
        notes.append("The size of its L1 is not known; that of its shared memory, which is less, stands in.")
    notes.append("L1 stands for the caches and shared memories of all multiprocessors together.")
    notes.append(
        "All operands are ones, which takes little power; at its power limit a GPU computes real data at lower clocks."
    )
    if values["integrated"]:
        notes.append("It shares the host's memory: what is said of PCIe are copies within that memory.")
    clocks = [clock for kernel in gathered.kernels.values() for clock in kernel.get("clock_hz", ())]
    return Peaks(
        name="host",
        title=str(facts["name"]),
        device="gpu",
        cores=cores,
        levels=(
            # Rows hold for the whole device, so the level is what all multiprocessors hold.
            Level("L1", each * cores, private=False),
            *([Level("L2", int(values["l2_bytes"]), private=False)] if values["l2_bytes"] else []),
            Level(MEMORY, None, private=False),
        ),
        arithmetic=tuple(gathered.arithmetic),
        bandwidth=tuple(gathered.bandwidth),
        calls=tuple(gathered.calls),
        clock_hz=max(clocks, default=None),
        fingerprint=str(host_facts()["fingerprint"]),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=tuple(notes),
        facts={
            "identity": facts["identity"],
            "compute_capability": f"{capability // 10}.{capability % 10}",
            "cuda_driver": _cuda(facts),
            "memory_bytes": facts["memory_bytes"],
            **values,
            **({LOWEST: min(clocks)} if clocks else {}),
            "watched": gathered.watched,
            "kernels": gathered.kernels,
            "seconds": round(gathered.seconds, 1),
        },
    )


def _cuda(facts: dict[str, Any]) -> str:
    """The CUDA version of the driver, such as 13.2."""
    return f"{facts['driver'] // 1000}.{facts['driver'] % 1000 // 10}"


def _kept(place: Path, notes: list[str]) -> Peaks | None:
    """What an earlier sitting found; None, and a note, where it cannot be read."""
    if not place.exists():
        return None
    try:
        kept = Peaks.from_json(json.loads(place.read_text(encoding="utf-8")))
        # What is no number would go unnoticed until it is compared.
        whole = (
            all(row.flops_per_s > 0 for row in kept.arithmetic)
            and all(row.bytes_per_s > 0 for row in kept.bandwidth)
            and all(call.seconds > 0 for call in kept.calls)
        )
    except (OSError, ValueError, TypeError, PeaksError):
        whole = False
    if whole:
        return kept
    notes.append("What an earlier sitting had kept of this GPU could not be read, and was measured anew.")
    return None


def _wider(before: Any, now: Any) -> Any:
    """Two ranges as one, or two lists of reasons."""
    if before is None:
        return now
    if all(isinstance(item, str) for item in (*before, *now)):
        return list(dict.fromkeys((*before, *now)))
    return [min(before[0], now[0]), max(before[1], now[1])]


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts)} {'was' if len(parts) == 1 else 'were'}"
