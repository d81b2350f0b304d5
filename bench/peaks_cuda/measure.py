"""What one worker process measures: some parts of the peaks of one GPU, as JSON values."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from bench.peaks_cuda import bandwidth, calls
from bench.peaks_cuda.arithmetic import ArithmeticProbe
from bench.peaks_cuda.catalogue import BUS_PARTS, CALLS, MEMORY_PARTS, kernels
from bench.peaks_cuda.sitting import Probe, Sitting, hold
from bench.peaks_cuda.traffic import Stream, empty_kernel, stream_kernels
from results.peaks import Arithmetic, Bandwidth, Call
from runtimes.gpu.device import Facts, Function, Gpu
from runtimes.gpu.driver import CudaError, Driver

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from runtimes.gpu.nvml import Watch

Builders = dict[str, "Callable[[], Probe]"]


def measure(
    driver: Driver,
    ordinal: int,
    parts: Sequence[str],
    rng: random.Random,
    *,
    now_ns: Callable[[], int],
    idle: Callable[..., int],
    watch: Callable[[str], Watch],
    **pace: Any,
) -> dict[str, Any]:
    """Measure parts of a GPU's peaks.

    Args:
        driver: of this machine.
        ordinal: the GPU's number.
        parts: as :func:`bench.peaks_cuda.catalogue.groups` names them; none for the facts alone.
        rng: decides the order of repeats.
        now_ns: the host's clock.
        idle: a C function that does nothing.
        watch: watches the GPU of a UUID.
        pace: of :func:`bench.peaks_cuda.sitting.hold`: ``repeats``, ``target_s``, ``warm_up_s``.

    Returns:
        ``facts`` of the GPU; rows of :mod:`results.peaks` under ``arithmetic``, ``bandwidth`` and ``calls``;
        ``kernels``, what is known of each; ``watched``, see :meth:`Watch.facts`; ``notes``; and ``left``, parts that
        a fresh process may measure.

    Raises:
        NoGpuError: there is no such GPU.
    """
    with Gpu(driver, ordinal) as gpu:
        facts = gpu.facts()
        reply: dict[str, Any] = {"facts": _public(facts), "notes": [], "left": []}
        if not parts:
            return reply
        watching = watch(facts.uuid)
        try:
            bench = _Bench(gpu, facts)
            builders, part_of = bench.builders(parts)
            sitting = hold(builders, rng, meanwhile=watching.sample, **pace)
            reply["watched"] = watching.facts()
        finally:
            watching.close()
        reply["arithmetic"] = [asdict(row) for row in arithmetic_rows(sitting, facts)]
        reply["bandwidth"] = [asdict(row) for row in bandwidth_rows(sitting, part_of)]
        reply["kernels"] = {name: _details(sitting, name, facts) for name in sitting.rates}
        reply["notes"] = sitting.notes
        # A part is asked for again as a whole, but not the one to blame: it would only break the next process.
        blamed = part_of.get(sitting.broken)
        reply["left"] = [part for part in dict.fromkeys(part_of[name] for name in sitting.left) if part != blamed]
        if CALLS in parts:
            if sitting.broken:
                reply["left"].append(CALLS)
            else:
                reply["calls"], notes = _calls(bench, now_ns, idle)
                reply["notes"] = [*reply["notes"], *notes]
        return reply


class _Bench:
    """Builds probes; buffers are taken when the first of them needs one, and shared."""

    def __init__(self, gpu: Gpu, facts: Facts) -> None:
        self.gpu, self.facts, self.streams = gpu, facts, stream_kernels()
        self._compiled: dict[str, Function] = {}

    def builders(self, parts: Sequence[str]) -> tuple[Builders, dict[str, str]]:
        """Builders by probe, and the part each probe belongs to."""
        found: Builders = {}
        part_of: dict[str, str] = {}
        for part in parts:
            if part == CALLS:
                continue
            new = self._l2_ways() if part == "L2 read" else {part: self._builder(part)}
            found |= new
            part_of |= dict.fromkeys(new, part)
        return found, part_of

    def _builder(self, part: str) -> Callable[[], Probe]:
        if part in kernels():
            return partial(ArithmeticProbe, self.gpu, kernels()[part], self.facts.multiprocessors)
        if part in BUS_PARTS:
            return partial(self._bus, down=part == BUS_PARTS[0])
        if part == "L1 read":
            return self._shared
        assert part in MEMORY_PARTS, part
        return partial(self._memory, part.removeprefix("memory "))

    def function(self, stream: Stream) -> Function:
        """A kernel of this process, compiled once."""
        if stream.name not in self._compiled:
            self._compiled[stream.name] = self.gpu.compile(stream.text, stream.name, stream.block)
        return self._compiled[stream.name]

    @cached_property
    def _size(self) -> int:
        return bandwidth.buffer_bytes(self.facts.l2_bytes, self.gpu.free_bytes())

    @cached_property
    def _source(self) -> int:
        address = self.gpu.allocate(self._size)
        self.gpu.fill(address, bandwidth.WORD, self._size // 4)
        return address

    @cached_property
    def _target(self) -> int:
        return self.gpu.allocate(self._size)

    @cached_property
    def _pinned(self) -> int:
        return self.gpu.allocate_pinned(bandwidth.BUS_BYTES)

    @cached_property
    def _bus_target(self) -> int:
        return self.gpu.allocate(bandwidth.BUS_BYTES)

    def _memory(self, kind: str) -> Probe:
        stream, reader = self.streams[kind], self.streams["read"]
        function = self.function(stream)
        blocks = self.facts.multiprocessors * function.per_multiprocessor
        size = self._size
        part = bandwidth.span(stream, blocks, size)
        if part is None:
            raise CudaError("cuMemGetInfo", 2, f"only {size} bytes could be used")
        target = 0 if kind == "read" else self._target
        return bandwidth.StreamProbe(self.gpu, kind, function, self.function(reader), part, self._source, target)

    def _l2_ways(self) -> Builders:
        """Ways to go over a part of the L2; which suits it best is not known beforehand."""
        stream, facts = self.streams["read"], self.facts
        most = facts.values["threads_per_multiprocessor"] // stream.block
        ways = bandwidth.l2_spans(stream, facts.multiprocessors, most, facts.l2_bytes)
        if not ways:
            return {"L2 read": _no_l2}
        return {f"L2 read, {way.blocks} blocks, {way.bytes} bytes": partial(self._l2, way) for way in ways}

    def _l2(self, way: bandwidth.Span) -> Probe:
        reader = self.function(self.streams["read"])
        if way.bytes > self._size:
            raise CudaError("cuMemGetInfo", 2, f"only {self._size} bytes could be used")
        return bandwidth.StreamProbe(self.gpu, "read", reader, reader, way, self._source)

    def _shared(self) -> Probe:
        stream = self.streams["shared"]
        return bandwidth.SharedProbe(self.gpu, stream, self.function(stream), self.facts.multiprocessors)

    def _bus(self, *, down: bool) -> Probe:
        return bandwidth.BusProbe(self.gpu, self._pinned, self._bus_target, bandwidth.BUS_BYTES, down=down)


def arithmetic_rows(sitting: Sitting, facts: Facts) -> list[Arithmetic]:
    """The best and the median of every arithmetic kernel that was right."""
    rows = []
    for name, rates in sitting.rates.items():
        probe = sitting.probes[name]
        if not isinstance(probe, ArithmeticProbe):
            continue
        kernel = probe.kernel
        source = (
            f"{kernel.instruction} in a loop, {probe.grid} blocks of {kernel.block} threads"
            f" on {facts.multiprocessors} multiprocessors, {len(rates)} repeats"
        )
        rows.append(
            Arithmetic(
                kernel.precision, kernel.isa, 0, max(rates), statistics.median(rates), origin="measured", source=source
            )
        )
    return rows


def bandwidth_rows(sitting: Sitting, part_of: Mapping[str, str]) -> list[Bandwidth]:
    """The best way to each level of memory."""
    rows: dict[str, Bandwidth] = {}
    for name, rates in sitting.rates.items():
        probe = sitting.probes[name]
        if isinstance(probe, ArithmeticProbe):
            continue
        part = part_of[name]
        level, kind = part.split(" ")
        assert isinstance(probe, bandwidth.StreamProbe | bandwidth.SharedProbe | bandwidth.BusProbe)
        source = f"{_HOW[level]}, {len(rates)} repeats"
        if isinstance(probe, bandwidth.StreamProbe):
            source = f"{source}, {probe.span.blocks} blocks of {probe.function.block} threads"
        row = Bandwidth(
            level, kind, 0, max(rates), statistics.median(rates), probe.span.bytes, origin="measured", source=source
        )
        if part not in rows or row.bytes_per_s > rows[part].bytes_per_s:
            rows[part] = row
    return list(rows.values())


_HOW = {
    "memory": "16 bytes per thread and access, past the L1",
    "L2": "16 bytes per thread and access, past the L1, the same bytes again and again",
    "L1": "16 bytes per thread and access from shared memory, which the L1 is a part of",
    "PCIe": "copies from or to pinned memory of the host",
}


def _no_l2() -> Probe:
    raise CudaError(
        "cuDeviceGetAttribute", 801, "the L2 is unknown, or too small for one stride of all multiprocessors"
    )


def _details(sitting: Sitting, name: str, facts: Facts) -> dict[str, Any]:
    """What one who doubts a rate wants to know of a kernel."""
    rates, clocks = sitting.rates[name], sitting.clocks_hz.get(name, [])
    details: dict[str, Any] = {"best": max(rates), "median": statistics.median(rates), "lowest": min(rates)}
    probe = sitting.probes[name]
    if isinstance(probe, ArithmeticProbe):
        details["registers"] = probe.function.registers
        details["spilled_bytes"] = probe.function.local_bytes
        details["blocks_per_multiprocessor"] = probe.function.per_multiprocessor
    if clocks:
        details["clock_hz"] = [min(clocks), max(clocks)]
        per_clock = [rate / clock / facts.multiprocessors for rate, clock in zip(rates, clocks, strict=True)]
        details["flops_per_clock_and_multiprocessor"] = statistics.median(per_clock)
    return details


def _calls(
    bench: _Bench, now_ns: Callable[[], int], idle: Callable[..., int]
) -> tuple[list[dict[str, Any]], list[str]]:
    gpu = bench.gpu
    try:
        found, notes = calls.Calls(gpu, gpu.compile(empty_kernel(), "empty", 1), idle, now_ns).costs()
    except CudaError as error:
        return [], [f"calls were not measured: {error}."]
    return [asdict(Call(cost.what, None, cost.seconds, origin="measured", source=cost.source)) for cost in found], notes


def _public(facts: Facts) -> dict[str, Any]:
    """Facts without what names this very card."""
    return {key: value for key, value in asdict(facts).items() if key != "uuid"}
