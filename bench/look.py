"""What a GPU does in a call, looked at after all timing: its own clock beside the host's, and what is counted.

Both take time of their own, so neither belongs into a call whose time ranks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.layouts import Seq
from runtimes.device_session import DeviceSession
from runtimes.gpu.counting import Counter
from runtimes.gpu.cupti import CuptiError
from runtimes.gpu.driver import NoGpuError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.layouts import Layout
    from runtimes.base import Session

WATCHED_CALLS, WATCHED_MOST_S = 200, 1.0
COUNTED_CALLS, COUNTED_MOST_S = 10, 2.0


def look(layout: Layout, sessions: Sequence[Session], told: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about calls that were made to be looked at.

    Args:
        layout: to call.
        sessions: that it uses; where they have no device, there is nothing to see.
        told: what the engine said of itself; ``cuda_graph`` is a promise that is held against the counts.

    Returns:
        ``look`` with ``clocks`` (the device's beside the host's), ``counts`` (per call) and ``notes``; and, where a
        promise was broken, ``status`` and ``reason``.
    """
    devices = [session for session in sessions if isinstance(session, DeviceSession)]
    if not devices:
        return {}
    notes: list[str] = []
    seen: dict[str, Any] = {}
    if isinstance(layout, Seq):
        notes.append("the GPU's clock was not read: it is read at both ends of one call, and seq makes two")
    else:
        seen["clocks"] = clocks(layout, devices)
    try:
        seen["counts"] = counts(layout)
    except (NoGpuError, CuptiError) as error:
        notes.append(f"kernels, copies and launches were not counted: {error}")
    if notes:
        seen["notes"] = notes
    broken = broken_promise(seen.get("counts"), graph=bool(told.get("cuda_graph")))
    return {"look": seen} | ({"status": "failed", "reason": broken} if broken else {})


def clocks(layout: Layout, devices: Sequence[DeviceSession]) -> dict[str, Any]:
    """Call with the device's clock read at both ends of a call; medians and 99 % quantiles in nanoseconds.

    Where two sessions work side by side, the device's time is that of the one that took longer.
    """
    for device in devices:
        device.watch(on=True)
    try:
        host, own = [], []
        finish = time.perf_counter_ns() + WATCHED_MOST_S * 1e9
        for number in range(WATCHED_CALLS):
            feeds = layout.feeds(number)
            begin = time.perf_counter_ns()
            outputs = layout.call(feeds)
            host.append(time.perf_counter_ns() - begin)
            own.append(max(device.device_ns() for device in devices))
            layout.absorb(outputs)
            if time.perf_counter_ns() > finish:
                break
    finally:
        for device in devices:
            device.watch(on=False)
    return {
        "calls": len(host),
        "host_p50_ns": float(np.median(host)),
        "host_p99_ns": float(np.quantile(host, 0.99)),
        "device_p50_ns": float(np.median(own)),
        "device_p99_ns": float(np.quantile(own, 0.99)),
    }


def counts(layout: Layout) -> dict[str, Any]:
    """What a call makes the GPU do, per call.

    Raises:
        NoGpuError: what counts is not installed.
        CuptiError: it does not work here.
    """
    counter = Counter.load()
    layout.begin()
    made = 0
    # What is fed may be put on the device first, which is no part of a call.
    feeds = layout.feeds(0)
    counter.start()
    # Starting it may take seconds.
    finish = time.perf_counter_ns() + COUNTED_MOST_S * 1e9
    try:
        while made == 0 or (made < COUNTED_CALLS and time.perf_counter_ns() < finish):
            layout.call(feeds)
            made += 1
    finally:
        found = counter.stop()
    return found.to_json(made)


def broken_promise(counted: Mapping[str, Any] | None, *, graph: bool) -> str:
    """Why what was counted contradicts what the engine was asked for; empty where it does not, or nobody counted."""
    if counted is None or not graph:
        return ""
    if counted["graph_launches"] == 0 and counted["kernels"] > 0:
        return (
            f"a CUDA graph was asked for and none was launched: {counted['launches']:g} kernels a call were launched "
            "one by one"
        )
    return ""
