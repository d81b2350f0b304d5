"""Counts work whose counts are known, to learn whether counting can be believed on this machine."""

from __future__ import annotations

import ctypes
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes.gpu.counting import Counter
from runtimes.gpu.cupti import CuptiError
from runtimes.gpu.device import Gpu
from runtimes.gpu.driver import CudaError, Driver, NoGpuError

if TYPE_CHECKING:
    from runtimes.gpu.counting import Counts
    from runtimes.gpu.device import Function

KERNEL = """.version 7.0
.target sm_75
.address_size 64
.visible .entry rtfloor_counted() {
    ret;
}
"""
LAUNCHES, NODES, GRAPH_LAUNCHES = 5, 3, 2
TO_DEVICE, FROM_DEVICE, COPY_BYTES = 2, 1, 1024
_THREAD_LOCAL = 1


def check(counter: Counter, gpu: Gpu) -> list[dict[str, Any]]:
    """Count the same work twice, and what differs from what was done.

    The first time, the graph was made before anything was counted, as engines make theirs; the second time,
    meanwhile. If only the first differs, engines must make their graphs after counting has once begun.
    """
    kernel = gpu.compile(KERNEL, "rtfloor_counted", 1)
    graph = _graph(gpu, kernel)
    ready = _instance(gpu, graph)
    address, values = gpu.allocate(COPY_BYTES), np.zeros(COPY_BYTES, np.uint8)
    rounds: list[dict[str, Any]] = []
    for title in ("graph made before counting", "graph made while counting"):
        counter.start()
        try:
            if rounds:
                ready = _instance(gpu, graph)
            for _ in range(LAUNCHES):
                gpu.launch(kernel, 1, ())
            for _ in range(GRAPH_LAUNCHES):
                gpu.driver.call("cuGraphLaunch", ready, gpu.stream)
            for _ in range(TO_DEVICE):
                gpu.put(address, values)
            for _ in range(FROM_DEVICE):
                gpu.get(address, COPY_BYTES, "u1")
            gpu.synchronise()
        finally:
            counts = counter.stop()
        rounds.append({"round": title, "differs": _differences(counts), "counts": counts.to_json(1)})
    return rounds


def _differences(counts: Counts) -> list[str]:
    kernels = LAUNCHES + NODES * GRAPH_LAUNCHES
    expected = {
        "kernels": kernels,
        "launches": LAUNCHES,
        "graph_launches": GRAPH_LAUNCHES,
        "copies": {
            "to device": (TO_DEVICE, TO_DEVICE * COPY_BYTES),
            "from device": (FROM_DEVICE, FROM_DEVICE * COPY_BYTES),
            "on device": (0, 0),
            "other": (0, 0),
        },
        "memsets": 0,
        "synchronisations": 1,
        "dropped": 0,
    }
    found = [
        f"{name}: counted {getattr(counts, name)}, done {value}"
        for name, value in expected.items()
        if getattr(counts, name) != value
    ]
    names = [(kernel.name, kernel.count) for kernel in counts.by_kernel]
    if names != [("rtfloor_counted", kernels)]:
        found.append(f"by_kernel: counted {names}, done {kernels} times rtfloor_counted")
    if not (counts.kernel_ns > 0 and counts.busy_ns > 0):
        found.append(f"times: kernels {counts.kernel_ns} ns, busy {counts.busy_ns} ns; both should be more than 0")
    return found


def _graph(gpu: Gpu, kernel: Function) -> ctypes.c_void_p:
    gpu.driver.call("cuStreamBeginCapture_v2", gpu.stream, ctypes.c_int(_THREAD_LOCAL))
    for _ in range(NODES):
        gpu.launch(kernel, 1, ())
    graph = ctypes.c_void_p()
    gpu.driver.call("cuStreamEndCapture", gpu.stream, ctypes.byref(graph))
    gpu.later("cuGraphDestroy", graph)
    return graph


def _instance(gpu: Gpu, graph: ctypes.c_void_p) -> ctypes.c_void_p:
    ready = ctypes.c_void_p()
    gpu.driver.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_uint64(0))
    gpu.later("cuGraphExecDestroy", ready)
    return ready


def main() -> int:
    """Print what was found as JSON; returns 1 where it differs or nothing could be counted."""
    answer: dict[str, Any] = {"right": False}
    try:
        counter = Counter.load()
        answer |= {
            "library": counter.cupti.path,
            "version": counter.cupti.version(),
            "driver": Driver.load().version(),
            "native_callbacks": counter.native,
        }
        with Gpu(Driver.load(), 0) as gpu:
            answer["rounds"] = check(counter, gpu)
        answer["right"] = not any(found["differs"] for found in answer["rounds"])
    except (NoGpuError, CudaError, CuptiError) as error:
        answer["error"] = str(error)
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0 if answer["right"] else 1
