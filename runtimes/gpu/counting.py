"""What one stretch of work makes a GPU do: kernels, copies, launches and waits, counted for any engine in the process.

CUPTI, NVIDIA's own recorder, writes a record of every kernel, copy and call while it is asked to. Recording slows the
host down, so nothing that is counted may also be timed; times here are the GPU's own.

``python -m runtimes.gpu.counting`` counts work whose counts are known, on the first GPU, and says what differs.

Layouts: CUPTI, ``cupti_activity.h`` of CUDA 13.0. All fields that are read here have the same offsets in the headers
of CUDA 12.1, 12.4, 12.6, 12.8, 13.0 and 13.5 (``offsetof`` of a C compiler), and in every version there of the
records: CUpti_ActivityKernel3 to 13, Memcpy to Memcpy7, MemcpyPtoP to PtoP4, Memset to Memset5, API.
"""

from __future__ import annotations

import ctypes
import struct
from collections import Counter as Tally
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from runtimes.gpu import cupti_names as names
from runtimes.gpu.cupti import Cupti, CuptiError
from runtimes.gpu.cupti_buffers import Buffers
from runtimes.gpu.driver import CudaError, Driver

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

COPIES = ("to device", "from device", "on device", "other")

# CUpti_ActivityKind. Kernels of graphs come one by one as long as nobody records whole graphs (51).
_MEMCPY, _MEMSET, _DRIVER, _RUNTIME, _KERNEL, _PEER = 1, 2, 4, 5, 10, 22
# Calls are asked for last, so that none of what the asking itself does is among them.
_WORK_KINDS, _CALL_KINDS = (_KERNEL, _MEMCPY, _PEER, _MEMSET), (_RUNTIME, _DRIVER)
_KIND = struct.Struct("<I")
_KERNEL_FIELDS = struct.Struct("<16xQQ72xQ")  # start, end; name at 104
_COPY_FIELDS = struct.Struct("<4xB3xQQQ")  # copyKind, bytes, start, end
_MEMSET_FIELDS = struct.Struct("<16xQQ")  # start, end
_CALL_FIELDS = struct.Struct("<4xIQQ4xII")  # cbid, start, end, threadId, correlationId
# CUpti_ActivityMemcpyKind: arrays count as the device; host to host and peer to peer are neither.
_DIRECTIONS = {
    1: "to device",
    3: "to device",
    2: "from device",
    4: "from device",
    **dict.fromkeys(range(5, 9), COPIES[2]),
}
_DOMAINS = {_DRIVER: 1, _RUNTIME: 2}
_FORCED = 1
_NO_MORE = 12


@dataclass(frozen=True)
class Kernel:
    """One kind of kernel.

    Attributes:
        name: as its author wrote it, without parameters, at most 120 characters.
        count: how often it ran, in graphs too.
        ns: the GPU's time for all of them.
    """

    name: str
    count: int
    ns: int


@dataclass(frozen=True)
class Counts:
    """What one stretch of work made the GPU do.

    Attributes:
        kernels: how many ran, those in graphs included.
        kernel_ns: the GPU's time for all of them.
        busy_ns: how long at least one kernel, copy or memset was at work.
        copies: number and bytes, by direction: ``to device``, ``from device``, ``on device``, ``other``; always all.
        memsets: how many ran. Some drivers make kernels of those in graphs, which then count as kernels.
        launches: of single kernels by the host; what is only captured into a graph counts here too.
        graph_launches: by the host.
        synchronisations: how often the host waited for a stream, an event or the whole GPU by name; copies that
            wait on their own are not among them.
        calls: functions of the driver and the runtime by name, without versions: launches, copies, memsets, waits,
            allocations. What the runtime asks of the driver in turn is left out.
        by_kernel: kinds of kernels, longest first.
        dropped: records that CUPTI could not keep; anything but 0 means that all counts are too low.
    """

    kernels: int
    kernel_ns: int
    busy_ns: int
    copies: Mapping[str, tuple[int, int]]
    memsets: int
    launches: int
    graph_launches: int
    synchronisations: int
    calls: Mapping[str, int]
    by_kernel: tuple[Kernel, ...]
    dropped: int

    def to_json(self, calls: int, most: int = 12) -> dict[str, Any]:
        """Averages over so many calls of an engine; ``dropped`` and ``kinds_of_kernels`` are not averaged.

        Args:
            calls: of the engine, within the stretch.
            most: kinds of kernels to show.

        Raises:
            ValueError: there was no call.
        """
        if calls < 1:
            raise ValueError(f"what was counted cannot be divided by {calls} calls")
        return {
            "averaged_over": calls,
            "kernels": self.kernels / calls,
            "kernel_ns": self.kernel_ns / calls,
            "busy_ns": self.busy_ns / calls,
            "copies": {way: {"count": n / calls, "bytes": size / calls} for way, (n, size) in self.copies.items()},
            "memsets": self.memsets / calls,
            "launches": self.launches / calls,
            "graph_launches": self.graph_launches / calls,
            "synchronisations": self.synchronisations / calls,
            "calls": {name: count / calls for name, count in self.calls.items()},
            "by_kernel": [
                {"name": kernel.name, "count": kernel.count / calls, "ns": kernel.ns / calls}
                for kernel in self.by_kernel[:most]
            ],
            "kinds_of_kernels": len(self.by_kernel),
            "dropped": self.dropped,
        }


class Call(NamedTuple):
    """One call of the driver or the runtime; times in nanoseconds."""

    start: int
    end: int
    thread: int
    correlation: int
    runtime: bool
    name: str


class Counter:
    """Counts, one stretch after another. One at a time: CUPTI records for the whole process.

    Args:
        cupti: the recorder.
        driver: to wait for the GPU.
        buffers: for records.
    """

    def __init__(self, cupti: Cupti, driver: Driver, buffers: Buffers) -> None:
        self.cupti, self._driver, self._buffers = cupti, driver, buffers
        self._counting = False

    @classmethod
    def load(cls) -> Counter:
        """A counter for this process.

        Raises:
            NoGpuError: there is no GPU, or no CUPTI.
            CuptiError: the CUPTI that was found does not work.
        """
        driver = Driver.load()
        driver.count()
        cupti = Cupti.load(driver.version())
        cupti.version()
        return cls(cupti, driver, _buffers())

    @property
    def native(self) -> bool:
        """Whether CUPTI gets its memory without Python's lock."""
        return self._buffers.native

    def start(self) -> None:
        """Count from here on; what the GPU still had to do is waited for and not counted.

        Raises:
            CuptiError: nothing can be recorded; nothing is.
        """
        if self._counting:
            raise RuntimeError("counting has begun already; stop it first")
        self._wait()
        self._buffers.ready()
        self.cupti.call(
            "cuptiActivityRegisterCallbacks",
            ctypes.c_void_p(self._buffers.asked),
            ctypes.c_void_p(self._buffers.given),
        )
        begun: list[int] = []
        try:
            with suppress(CuptiError):  # only forgets what was dropped before
                self._dropped()
            for kind in (*_WORK_KINDS, *_CALL_KINDS):
                self.cupti.call("cuptiActivityEnable", ctypes.c_int(kind))
                begun.append(kind)
        except CuptiError:
            self._end(begun)
            raise
        self._counting = True

    def stop(self) -> Counts:
        """Wait for the GPU, stop counting, and add up.

        Raises:
            CuptiError: the records cannot be had; nothing more is recorded all the same.
        """
        if not self._counting:
            raise RuntimeError("counting has not begun; start it first")
        self._counting = False
        # Before our own wait, which is none of the engine's calls.
        self._end(_CALL_KINDS)
        try:
            self._wait()
            self.cupti.call("cuptiActivityFlushAll", ctypes.c_uint32(_FORCED))
        finally:
            self._end(_WORK_KINDS)
        with suppress(CuptiError):  # a second look, for what was on its way during the first
            self.cupti.call("cuptiActivityFlushAll", ctypes.c_uint32(_FORCED))
        dropped = self._dropped()
        tally = _Tally(self.cupti)
        for address, valid in self._buffers.filled():
            dropped += tally.add(self._buffers, address, valid)
        return tally.counts(dropped)

    def _end(self, kinds: Iterable[int]) -> None:
        for kind in kinds:
            with suppress(CuptiError):
                self.cupti.call("cuptiActivityDisable", ctypes.c_int(kind))

    def _dropped(self) -> int:
        """How many records were dropped since it was last asked."""
        number = ctypes.c_size_t()
        self.cupti.call("cuptiActivityGetNumDroppedRecords", None, ctypes.c_uint32(0), ctypes.byref(number))
        return number.value

    def _wait(self) -> None:
        """Until everything that engines asked of the GPU is done, in whichever thread they did."""
        driver = self._driver
        current = ctypes.c_void_p()
        try:
            driver.call("cuCtxGetCurrent", ctypes.byref(current))
            if current.value:
                driver.call("cuCtxSynchronize")
                return
            for number in range(driver.count()):
                device, flags, active = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
                driver.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(number))
                driver.call("cuDevicePrimaryCtxGetState", device, ctypes.byref(flags), ctypes.byref(active))
                if active.value:
                    self._wait_for(device)
        except CudaError as error:
            raise CuptiError("waiting for the GPU", str(error)) from None

    def _wait_for(self, device: ctypes.c_int) -> None:
        driver, context = self._driver, ctypes.c_void_p()
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        try:
            driver.call("cuCtxPushCurrent_v2", context)
            try:
                driver.call("cuCtxSynchronize")
            finally:
                driver.call("cuCtxPopCurrent_v2", ctypes.byref(context))
        finally:
            driver.call("cuDevicePrimaryCtxRelease_v2", device)


@cache
def _buffers() -> Buffers:
    return Buffers()


class _Tally:
    """Adds up records as they are read."""

    def __init__(self, cupti: Cupti) -> None:
        self._cupti = cupti
        self._kernels: dict[bytes, list[int]] = {}
        self._names: dict[int, bytes] = {}
        self._intervals: list[tuple[int, int]] = []
        self._copies = {way: [0, 0] for way in COPIES}
        self._memsets = 0
        self._calls: list[Call] = []

    def add(self, buffers: Buffers, address: int, valid: int) -> int:
        """Add a buffer's records; returns 1 where it breaks off, else 0."""
        record = ctypes.c_void_p()
        memory, _ = buffers.at(address)
        while valid:
            code = self._cupti.answer(
                "cuptiActivityGetNextRecord", ctypes.c_void_p(address), ctypes.c_size_t(valid), ctypes.byref(record)
            )
            if code == _NO_MORE:
                break
            if code or not record.value:
                return 1
            self._add(memory, buffers.at(record.value)[1])
        return 0

    def _add(self, memory: memoryview, place: int) -> None:
        kind: int = _KIND.unpack_from(memory, place)[0]
        if kind == _KERNEL:
            start, end, name = _KERNEL_FIELDS.unpack_from(memory, place)
            if name not in self._names:
                self._names[name] = ctypes.string_at(name) if name else b"(without a name)"
            kernel = self._kernels.setdefault(self._names[name], [0, 0])
            kernel[0] += 1
            kernel[1] += self._passed(start, end)
        elif kind in (_MEMCPY, _PEER):
            way, size, start, end = _COPY_FIELDS.unpack_from(memory, place)
            copies = self._copies[_DIRECTIONS.get(way, "other") if kind == _MEMCPY else "other"]
            copies[0] += 1
            copies[1] += size
            self._passed(start, end)
        elif kind == _MEMSET:
            self._passed(*_MEMSET_FIELDS.unpack_from(memory, place))
            self._memsets += 1
        elif kind in _DOMAINS:
            number, start, end, thread, correlation = _CALL_FIELDS.unpack_from(memory, place)
            name = names.of_call(self._cupti.function_name(_DOMAINS[kind], number))
            if name:
                self._calls.append(Call(start, end, thread, correlation, kind == _RUNTIME, name))

    def _passed(self, start: int, end: int) -> int:
        """Nanoseconds of the GPU; two zeros mean that CUPTI could not tell."""
        if not 0 < start <= end:
            return 0
        self._intervals.append((start, end))
        return end - start

    def counts(self, dropped: int) -> Counts:
        """All of it."""
        calls = Tally(call.name for call in outermost(self._calls))
        kernels = [Kernel(names.of_kernel(name), count, ns) for name, (count, ns) in self._kernels.items()]
        return Counts(
            kernels=sum(kernel.count for kernel in kernels),
            kernel_ns=sum(kernel.ns for kernel in kernels),
            busy_ns=union_ns(self._intervals),
            copies={way: (count, size) for way, (count, size) in self._copies.items()},
            memsets=self._memsets,
            launches=names.count(calls, names.LAUNCH),
            graph_launches=names.count(calls, names.GRAPH_LAUNCH),
            synchronisations=names.count(calls, names.SYNCHRONISE),
            calls=dict(sorted(calls.items())),
            by_kernel=tuple(sorted(kernels, key=lambda kernel: (-kernel.ns, -kernel.count, kernel.name))),
            dropped=dropped,
        )


def outermost(calls: Collection[Call]) -> Iterator[Call]:
    """Calls that were not made by another of them.

    The runtime calls the driver, and the header of CUDA 13 the runtime by way of another function of it. Which of
    these CUPTI records, and whether under one correlation id, differs between releases: here a call is another's when
    it shares that id, or lies within it on the same thread.
    """
    asked = {call.correlation for call in calls if call.runtime and call.correlation}
    until: dict[int, int] = {}
    # The outer of two that begin at once ends later; where that is equal too, the runtime called the driver.
    for call in sorted(calls, key=lambda call: (call.start, -call.end, not call.runtime)):
        last = until.get(call.thread, 0)
        inside = call.start < last and call.end <= last
        if inside or (not call.runtime and call.correlation in asked):
            continue
        until[call.thread] = max(call.end, last)
        yield call


def union_ns(intervals: Iterable[tuple[int, int]]) -> int:
    """Length of what intervals cover together."""
    total = until = 0
    for start, end in sorted(intervals):
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total


if __name__ == "__main__":
    from runtimes.gpu.cupti_check import main

    raise SystemExit(main())
