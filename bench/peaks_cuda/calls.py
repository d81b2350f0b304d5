"""What it costs to have a GPU do next to nothing: launches, graphs, copies of a few bytes.

The host's clock is looked at, since the host is what is kept waiting. Python's own share of every call is measured
with a function of the C library that takes the same arguments and does nothing with them, and taken off.
"""

from __future__ import annotations

import ctypes
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtimes.gpu.driver import CudaError
from runtimes.gpu.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.gpu.device import Function, Gpu

    # A function of the driver's library and what it is called with.
    Foreign = tuple[Callable[..., int], tuple[Any, ...]]

ROUNDS = 15
# In a row, before anybody waits for them; drivers queue about a thousand.
IN_A_ROW = 500
# Waited for one by one.
WAITED_FOR = 40
GRAPHS_IN_A_ROW = 60
NODES = 20
COPY_BYTES = 64


@dataclass(frozen=True)
class Cost:
    """What one call costs.

    Attributes:
        what: as in :class:`results.peaks.Call`.
        seconds: the median of all rounds.
        source: how it was come by.
    """

    what: str
    seconds: float
    source: str


class Calls:
    """Ways to call, each prepared once.

    Args:
        gpu: to call.
        empty: a kernel without parameters that does nothing.
        idle: a C function that does nothing, whatever its arguments.
        now_ns: the host's clock.
    """

    def __init__(self, gpu: Gpu, empty: Function, idle: Callable[..., int], now_ns: Callable[[], int]) -> None:
        self._gpu, self._idle, self._now_ns = gpu, idle, now_ns
        library = gpu.driver.library
        self._launch = (library.cuLaunchKernel, _launch_arguments(gpu, empty))
        self._wait = (library.cuStreamSynchronize, (gpu.stream,))

    def costs(self) -> tuple[list[Cost], list[str]]:
        """All costs, and what could not be measured, full sentences."""
        notes: list[str] = []
        graphs: dict[int, Foreign] = {}
        try:
            for nodes in (1, NODES):
                graphs[nodes] = (self._gpu.driver.library.cuGraphLaunch, self._graph(nodes).arguments)
        except CudaError as error:
            if error.fatal:
                raise
            graphs.clear()
            notes.append(f"graphs were not measured: {error}.")
        copies = self._copies()
        seen: dict[str, list[float]] = {}
        # One round before those that count, so that nothing is done for the first time in them.
        for number in range(ROUNDS + 1):
            found = {
                "launch": self._in_a_row(self._launch, IN_A_ROW),
                "launch and wait": self._waited_for(self._launch),
                **{what: self._waited_for(copy) for what, copy in copies.items()},
            }
            for nodes, graph in graphs.items():
                found[f"graph {nodes}"] = self._in_a_row(graph, GRAPHS_IN_A_ROW)
            if graphs:
                found["graph launch and wait"] = self._waited_for(graphs[1])
                found["graph node"] = (found[f"graph {NODES}"] - found["graph 1"]) / (NODES - 1)
            for what, seconds in found.items():
                if number:
                    seen.setdefault(what, []).append(seconds)
        medians = {what: statistics.median(seconds) for what, seconds in seen.items()}
        costs = [Cost(what, medians[name], source) for what, name, source in _SOURCES if medians.get(name, 0.0) > 0]
        missing = [what for what, name, _ in _SOURCES if name in medians and medians[name] <= 0]
        notes += [f"the cost of a {what} was lost in noise." for what in missing]
        return costs, notes

    def _in_a_row(self, what: Foreign, count: int) -> float:
        """Seconds per call, without waiting in between."""
        taken_ns, code = self._repeat(what, count, wait=True)
        self._check(code)
        return (taken_ns - self._own_ns(what[1], count)) / count / 1e9

    def _waited_for(self, what: Foreign) -> float:
        """Seconds from a call until the GPU has done what was asked; the median."""
        taken = []
        own_ns = (self._own_ns(what[1], WAITED_FOR) + self._own_ns(self._wait[1], WAITED_FOR)) / WAITED_FOR
        for _ in range(WAITED_FOR):
            taken_ns, code = self._repeat(what, 1, wait=True)
            self._check(code)
            taken.append(taken_ns)
        return (statistics.median(taken) - own_ns) / 1e9

    def _repeat(self, what: Foreign, count: int, *, wait: bool) -> tuple[int, int]:
        """Nanoseconds of so many calls, and the last error among them."""
        function, arguments = what
        waiting, stream = self._wait
        code = 0
        begin = self._now_ns()
        for _ in range(count):
            code = function(*arguments) or code
        if wait:
            code = waiting(*stream) or code
        return self._now_ns() - begin, code

    def _own_ns(self, arguments: Sequence[Any], count: int) -> int:
        """What Python needs for so many calls with such arguments."""
        taken_ns, _ = self._repeat((self._idle, tuple(arguments)), count, wait=False)
        return taken_ns

    def _check(self, code: int) -> None:
        if code:
            raise CudaError("launching many times", code, self._gpu.driver.name_of(code))

    def _graph(self, nodes: int) -> Graph:
        """A graph of so many launches, one after the other, ready to run."""
        function, arguments = self._launch

        def work() -> None:
            for _ in range(nodes):
                self._check(function(*arguments))

        return Graph(self._gpu, work)

    def _copies(self) -> dict[str, Foreign]:
        library = self._gpu.driver.library
        host = ctypes.c_void_p(self._gpu.allocate_pinned(COPY_BYTES))
        device = ctypes.c_uint64(self._gpu.allocate(COPY_BYTES))
        size = ctypes.c_size_t(COPY_BYTES)
        return {
            "small copy to device": (library.cuMemcpyHtoDAsync_v2, (device, host, size, self._gpu.stream)),
            "small copy from device": (library.cuMemcpyDtoHAsync_v2, (host, device, size, self._gpu.stream)),
        }


_OWN = "Python's own share, measured with a C function that does nothing, is taken off"
# What, under which name it was measured, and how.
_SOURCES = (
    ("launch", "launch", f"{IN_A_ROW} empty kernels in a row; {_OWN}"),
    ("launch and wait", "launch and wait", f"an empty kernel, then cuStreamSynchronize; {_OWN}"),
    ("graph launch", "graph 1", f"{GRAPHS_IN_A_ROW} graphs of one empty kernel in a row; {_OWN}"),
    ("graph node", "graph node", f"graphs of {NODES} empty kernels less graphs of one, per kernel more"),
    ("graph launch and wait", "graph launch and wait", f"a graph of one empty kernel, waited for; {_OWN}"),
    ("small copy to device", "small copy to device", f"{COPY_BYTES} bytes from pinned memory, waited for; {_OWN}"),
    ("small copy from device", "small copy from device", f"{COPY_BYTES} bytes to pinned memory, waited for; {_OWN}"),
)


def _launch_arguments(gpu: Gpu, empty: Function) -> tuple[Any, ...]:
    one, none = ctypes.c_uint(1), ctypes.c_void_p()
    shared_bytes = ctypes.c_uint(0)
    return (empty.handle, one, one, one, one, one, one, shared_bytes, gpu.stream, none, none)
