# ruff: noqa: N802  # functions are called as the library calls them
"""A GPU's peaks, measured on a driver that only pretends: what fails must become a reason, never a figure."""

from __future__ import annotations

import ctypes
import json
import random
from typing import TYPE_CHECKING, Any

import fake_cuda
import ptx_machine
import pytest
from fake_cuda import FakeCuda

from bench.peaks_cuda import bandwidth, collect, gpu_peaks
from bench.peaks_cuda.catalogue import groups, kernels
from bench.peaks_cuda.measure import measure
from bench.spawn import Outcome, spawn
from results.peaks import Peaks
from runtimes.gpu.device import Gpu
from runtimes.gpu.driver import CudaError, Driver, NoGpuError
from runtimes.gpu.nvml import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PACE = {"repeats": 3, "target_s": 4e-3, "warm_up_s": 0.0}
HASTE = {"repeats": 1, "target_s": 1e-3, "warm_up_s": 0.0}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What each test keeps is its own, and what it copies over the bus is small."""
    monkeypatch.setattr(bandwidth, "BUS_BYTES", 1 << 14)
    monkeypatch.setenv("RTFLOOR_CACHE", str(tmp_path))
    return tmp_path / "peaks"


def ask(cuda: FakeCuda, *parts: str, ordinal: int = 0, watch: Any = None, pace: Any = None) -> dict[str, Any]:
    """What a worker would reply."""
    return measure(
        Driver(cuda),
        ordinal,
        parts,
        random.Random(1),
        now_ns=cuda.now_ns,
        idle=cuda.idle,
        watch=watch or (lambda uuid: Watch(None, uuid)),
        **(pace or PACE),
    )


def spawner(cuda: Any) -> Any:
    """Workers that reply from a fake driver: one object, or one per call by its number."""
    count = 0

    def start(request: dict[str, Any], environment: Mapping[str, str], timeout_s: float) -> Outcome:
        nonlocal count
        count += 1
        driver = cuda(count, request) if callable(cuda) else cuda
        if isinstance(driver, Outcome):
            return driver
        try:
            body = ask(driver, *request["parts"], ordinal=request["device"], pace=HASTE)
        except NoGpuError as error:
            body = {"none": str(error)}
        # As the reply of a real worker, it went through JSON.
        return Outcome("ok", json.loads(json.dumps({"status": "ok", "reason": "", **body})))

    return start


# The driver


def test_without_a_driver_the_reason_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(NoGpuError, match="no NVIDIA driver here"):
        Driver.load()


def test_a_real_worker_says_what_is_here() -> None:
    # With a GPU its facts, without one the reason: never a crash.
    outcome = spawn({"task": "peaks_cuda", "device": 0, "parts": [], "seed": 1}, {}, 60.0)
    assert outcome.status == "ok", outcome
    assert outcome.body["status"] == "ok", outcome.body
    assert outcome.body.get("none") or outcome.body["facts"]["name"]


@pytest.mark.parametrize(
    ("cuda", "reason"),
    [
        (FakeCuda(gpus=0), "CUDA_VISIBLE_DEVICES may hide it"),
        (FakeCuda(fails={"cuInit": 100}), "the driver shows no GPU"),
        (FakeCuda(fails={"cuInit": 803}), "restart the machine after an update"),
        (FakeCuda(fails={"cuDevicePrimaryCtxRetain": 46}), "held by another program"),
        (FakeCuda(fails={"cuStreamCreate": 2}), "the GPU's memory is full"),
    ],
)
def test_why_there_is_no_gpu_is_said_in_words(cuda: FakeCuda, reason: str) -> None:
    said = gpu_peaks(spawner(cuda), say=lambda _: None)
    assert isinstance(said, str)
    assert reason in said
    assert cuda.still_taken() == {}, "a failure must not keep what it took"


def test_a_gpu_that_does_not_exist_is_named() -> None:
    with pytest.raises(NoGpuError, match="no GPU 3; the driver shows 1"):
        ask(FakeCuda(), ordinal=3)


def test_an_error_carries_what_happened_and_the_drivers_own_name() -> None:
    driver = Driver(FakeCuda(fails={"cuMemAlloc_v2": 2}))
    with pytest.raises(CudaError, match=r"memory is full; end other programs.*CUDA_ERROR_OUT_OF_MEMORY"):
        driver.call("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(1))
    with pytest.raises(CudaError, match="does not have it; update it"):
        driver.call("cuTimeTravel")


def test_everything_taken_is_given_back_also_after_an_exception() -> None:
    cuda = FakeCuda()

    def use() -> None:
        with Gpu(Driver(cuda), 0) as gpu:
            gpu.allocate(64)
            gpu.allocate_pinned(64)
            gpu.compile(kernels()["fma_fp32"].text, "fma_fp32", 256)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # nothing else raises it
        use()
    assert cuda.still_taken() == {}
    # What lies in a context goes before the context does.
    assert cuda.calls.index("cuMemFree_v2") < cuda.calls.index("cuDevicePrimaryCtxRelease_v2")


def test_the_card_cannot_be_told_from_what_leaves_the_process() -> None:
    facts = ask(FakeCuda())["facts"]
    assert fake_cuda.UUID.hex()[:8] not in json.dumps(facts)
    assert len(facts["identity"]) == 12
    assert facts["capability"] == 90


# Measuring


def test_rates_are_operations_over_time() -> None:
    cuda = FakeCuda()
    reply = ask(cuda, "fma_fp32", "mma_fp16")
    assert reply["notes"] == []
    rows = {row["isa"]: row for row in reply["arithmetic"]}
    # One iteration takes the fake a millisecond; two blocks, one to a multiprocessor.
    for isa, name in (("fma", "fma_fp32"), ("tensor core, fp32 sum", "mma_fp16")):
        assert rows[isa]["flops_per_s"] == pytest.approx(2 * kernels()[name].flops / fake_cuda.TRIP_S)
        assert rows[isa]["threads"] == 0
        assert rows[isa]["origin"] == "measured"
        assert reply["kernels"][name]["clock_hz"][0] > 0
    assert cuda.still_taken() == {}


def test_each_repeat_takes_about_as_long_as_it_should() -> None:
    cuda = FakeCuda()
    ask(cuda, "fma_fp32")
    timed = [run.trips + 1 for run in cuda.launched[-3:]]
    assert timed == [4, 4, 4]


def test_bytes_are_counted_as_they_are_moved() -> None:
    reply = ask(FakeCuda(), "memory read", "memory write", "memory copy", "L1 read", "PCIe write", "PCIe read")
    assert reply["notes"] == []
    rows = {(row["level"], row["kind"]): row for row in reply["bandwidth"]}
    # The fake's buffer is 256 KiB: four strides of its grid, a millisecond each.
    size = rows["memory", "read"]["working_set_bytes"]
    assert size == 256 << 10
    assert rows["memory", "read"]["bytes_per_s"] == pytest.approx(size / 4 / fake_cuda.TRIP_S)
    assert rows["memory", "write"]["bytes_per_s"] == pytest.approx(size / 4 / fake_cuda.TRIP_S)
    assert rows["memory", "copy"]["bytes_per_s"] == pytest.approx(2 * size / 4 / fake_cuda.TRIP_S)
    assert rows["L1", "read"]["bytes_per_s"] == pytest.approx(2 * (16 << 10) / fake_cuda.TRIP_S)
    for kind in ("read", "write"):
        assert rows["PCIe", kind]["bytes_per_s"] == pytest.approx((1 << 14) / fake_cuda.TRIP_S)


def test_the_l2_is_measured_in_several_ways_and_the_best_is_kept() -> None:
    reply = ask(FakeCuda(), "L2 read")
    assert len(reply["kernels"]) > 2
    (row,) = reply["bandwidth"]
    assert row["bytes_per_s"] == max(way["best"] for way in reply["kernels"].values())
    assert row["working_set_bytes"] <= 256 << 10


def test_a_memory_buffer_is_far_larger_than_the_l2_and_leaves_room_for_others() -> None:
    gib = 1 << 30
    assert bandwidth.buffer_bytes(60 << 20, 139 * gib) == 32 * (60 << 20)
    assert bandwidth.buffer_bytes(3 << 20, 11 * gib) == 256 << 20
    assert bandwidth.buffer_bytes(60 << 20, 1 * gib) == gib // 8


def test_l2_is_measured_on_the_gpus_we_mean() -> None:
    # H200 and RTX 3060: there is a way that stays within half of the cache.
    stream = bandwidth_stream()
    for multiprocessors, l2_bytes, threads in ((132, 60 << 20, 2048), (28, 3 << 20, 1536)):
        ways = bandwidth.l2_spans(stream, multiprocessors, threads // stream.block, l2_bytes)
        assert ways
        assert all(way.bytes <= l2_bytes / 2 for way in ways)


def bandwidth_stream() -> Any:
    from bench.peaks_cuda.traffic import stream_kernels

    return stream_kernels()["read"]


def test_calls_are_free_of_what_python_needs_for_them() -> None:
    reply = ask(FakeCuda(), "calls")
    costs = {row["what"]: row["seconds"] * 1e9 for row in reply["calls"]}
    launch, wait, idle = fake_cuda.LAUNCH_NS, fake_cuda.WAIT_NS, fake_cuda.IDLE_NS
    assert costs["launch"] == pytest.approx(launch - idle + wait / 500)
    assert costs["launch and wait"] == pytest.approx(launch + wait - 2 * idle)
    assert costs["graph node"] == pytest.approx(fake_cuda.NODE_NS)
    assert costs["graph launch"] == pytest.approx(fake_cuda.GRAPH_NS + fake_cuda.NODE_NS - idle + wait / 60)
    assert costs["small copy to device"] == pytest.approx(fake_cuda.COPY_NS + wait - 2 * idle)
    assert "C function that does nothing" in reply["calls"][0]["source"]


def test_an_old_driver_without_graphs_still_tells_what_a_launch_costs() -> None:
    reply = ask(FakeCuda(fails={"cuGraphInstantiateWithFlags": 801}), "calls")
    assert {"launch", "launch and wait"} <= {row["what"] for row in reply["calls"]}
    assert not any("graph" in row["what"] for row in reply["calls"])
    assert "graphs were not measured" in reply["notes"][0]


# What goes wrong


def test_what_the_drivers_compiler_complains_of_is_shown() -> None:
    reply = ask(FakeCuda(refuses=("wgmma_fp16_plain",)), "wgmma_fp16_plain", "fma_fp32")
    assert [row["isa"] for row in reply["arithmetic"]] == ["fma"]
    (note,) = reply["notes"]
    assert note.startswith("wgmma_fp16_plain was not measured: the driver could not compile the kernel")
    assert "Unknown modifier '.surprise'" in note


def test_a_kernel_that_answers_wrongly_has_no_rate() -> None:
    def spoil(memory: Any, arguments: dict[str, int]) -> None:
        memory.bytes_at(arguments["out"], 4).view("<u4")[0] += 1

    cuda = FakeCuda(spoils={"mma_bf16": spoil})
    reply = ask(cuda, "mma_bf16", "mma_fp16")
    assert [row["precision"] for row in reply["arithmetic"]] == ["fp16"]
    assert "mma_bf16 was not measured: after 1 iterations a sum was" in reply["notes"][0]


def test_a_kernel_that_is_right_at_first_and_wrong_when_timed_has_no_rate() -> None:
    def spoil(memory: Any, arguments: dict[str, int]) -> None:
        if arguments["iterations"] > 3:
            memory.bytes_at(arguments["out"], 4).view("<u4")[0] += 1

    reply = ask(FakeCuda(spoils={"fma_fp32": spoil}), "fma_fp32")
    assert reply["arithmetic"] == []
    assert "after 4 iterations" in reply["notes"][0]


def test_a_kernel_that_writes_nothing_has_no_rate() -> None:
    # Old answers must not be taken for new ones.
    def spoil(memory: Any, arguments: dict[str, int]) -> None:
        memory.bytes_at(arguments["out"], 4096)[:] = 0xFF

    reply = ask(FakeCuda(spoils={"fma_fp32": spoil}), "fma_fp32")
    assert reply["arithmetic"] == []


@pytest.mark.parametrize(("part", "entry"), [("memory write", "stream_write"), ("memory copy", "stream_copy")])
def test_bytes_that_did_not_arrive_have_no_rate(part: str, entry: str) -> None:
    def spoil(memory: Any, arguments: dict[str, int]) -> None:
        memory.bytes_at(arguments["target"] + 4096, 4)[:] = 0

    reply = ask(FakeCuda(spoils={entry: spoil}), part, "memory read")
    assert [row["kind"] for row in reply["bandwidth"]] == ["read"]
    assert "a thread's sum was" in reply["notes"][0]


def test_too_little_free_memory_is_a_note() -> None:
    reply = ask(FakeCuda(free_bytes=8 * 1024), "memory read", "L1 read")
    assert [row["level"] for row in reply["bandwidth"]] == ["L1"]
    assert "only 1024 bytes could be used" in reply["notes"][0]


def test_a_kernel_that_breaks_the_context_costs_only_itself() -> None:
    # A fresh process measures the others; each of them once.
    def fresh(count: int, request: dict[str, Any]) -> FakeCuda:
        return FakeCuda(capability=80, breaks=("mma_bf16",))

    peaks = gpu_peaks(spawner(fresh), say=lambda _: None)
    assert isinstance(peaks, Peaks)
    rows = [(row.precision, row.isa) for row in peaks.arithmetic]
    assert ("fp16", "tensor core, fp32 sum") in rows
    assert ("tf32", "tensor core, fp32 sum") in rows
    assert ("bf16", "tensor core, fp32 sum") not in rows
    assert len(rows) == len(set(rows))
    broken = [note for note in peaks.notes if "mma_bf16" in note]
    assert len(broken) == 1
    assert "reached for memory that is not its own" in broken[0]


def test_one_way_over_the_l2_that_breaks_takes_no_other_memory_along() -> None:
    # Of the parts that are left, the one to blame must not be asked for again: it would break every process.
    def spoil(memory: Any, arguments: dict[str, int]) -> None:
        if arguments["chunks"] == 2:
            raise ptx_machine.FaultError("spoilt")

    cuda = FakeCuda(spoils={"stream_read": spoil})
    reply = ask(cuda, "memory read", "L2 read", "L1 read")
    assert reply["left"] == ["memory read", "L1 read"]
    assert reply["bandwidth"] == []
    assert "nothing else could be after it" in reply["notes"][0]


def test_a_process_that_dies_costs_only_the_part_that_kills_it() -> None:
    def deadly(count: int, request: dict[str, Any]) -> FakeCuda | Outcome:
        if "mma_int8" in request["parts"]:
            return Outcome("failed", {}, "it crashed with SIGSEGV")
        return FakeCuda(capability=80)

    peaks = gpu_peaks(spawner(deadly), say=lambda _: None)
    assert isinstance(peaks, Peaks)
    assert {"fp16", "bf16", "tf32"} <= {row.precision for row in peaks.arithmetic if "tensor" in row.isa}
    assert "mma_int8 was not measured: it crashed with SIGSEGV." in peaks.notes


def test_a_gpu_on_which_nothing_works_has_a_reason() -> None:
    def deadly(count: int, request: dict[str, Any]) -> FakeCuda | Outcome:
        return FakeCuda() if not request["parts"] else Outcome("timeout", {}, "no answer within 90 s")

    said = gpu_peaks(spawner(deadly), say=lambda _: None)
    assert isinstance(said, str)
    assert said.startswith("nothing could be measured on the NVIDIA Fake: ")
    assert "no answer within 90 s" in said


# Keeping


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not matter what is measured, little is."""
    monkeypatch.setattr(collect, "groups", lambda _: (("fma_fp32", "fma_fp64"), ("PCIe write", "calls")))


def test_all_of_it_together_is_a_gpus_peaks(own_cache: Path) -> None:
    said: list[str] = []
    peaks = gpu_peaks(spawner(FakeCuda()), say=said.append)
    assert isinstance(peaks, Peaks)
    assert (peaks.title, peaks.device, peaks.cores) == ("NVIDIA Fake", "gpu", 2)
    assert {level.name for level in peaks.levels} == {"L1", "L2", "memory"}
    assert peaks.levels[0].bytes == 2 * (256 << 10)
    keys = [(row.precision, row.isa) for row in peaks.arithmetic]
    assert len(keys) == len(set(keys)), "two forms of one instruction are one row"
    assert ("fp8", "tensor core (wgmma), fp32 sum") in keys
    assert {row.level for row in peaks.bandwidth} == {"L1", "L2", "memory", "PCIe"}
    assert peaks.call_s("launch")
    assert peaks.call_s("graph node")
    assert peaks.clock_hz
    assert any("operands are ones" in note for note in peaks.notes)
    assert set(peaks.facts["kernels"]) >= {name for group in groups(90) for name in group if name in kernels()}
    assert len(said) == len(groups(90))
    assert Peaks.from_json(json.loads(next(own_cache.iterdir()).read_text())) == peaks


@pytest.mark.usefixtures("_few")
def test_a_figure_only_grows_from_sitting_to_sitting(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gpu_peaks(spawner(FakeCuda()), say=lambda _: None)
    monkeypatch.setattr(fake_cuda, "TRIP_S", 2e-3)
    slower = gpu_peaks(spawner(FakeCuda()), say=lambda _: None)
    assert isinstance(first, Peaks)
    assert isinstance(slower, Peaks)
    assert slower.arithmetic == first.arithmetic
    afresh = gpu_peaks(spawner(FakeCuda()), say=lambda _: None, again=True)
    assert isinstance(afresh, Peaks)
    assert afresh.arithmetic[0].flops_per_s == pytest.approx(first.arithmetic[0].flops_per_s / 2)
    assert len(list(own_cache.iterdir())) == 1


@pytest.mark.usefixtures("_few")
def test_a_hasty_caller_gets_what_is_kept(own_cache: Path) -> None:
    asked: list[list[str]] = []

    def watched(count: int, request: dict[str, Any]) -> FakeCuda:
        asked.append(request["parts"])
        return FakeCuda()

    first = gpu_peaks(spawner(watched), say=lambda _: None, quick=True)
    asked.clear()
    assert gpu_peaks(spawner(watched), say=lambda _: None, quick=True) == first
    assert asked == [[]], "nothing but the facts"


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 0}', '{"schema": 1, "levels": 3}'])
def test_a_broken_cache_is_measured_anew(own_cache: Path, content: str) -> None:
    gpu_peaks(spawner(FakeCuda()), say=lambda _: None)
    place = next(own_cache.iterdir())
    place.write_text(content)
    peaks = gpu_peaks(spawner(FakeCuda()), say=lambda _: None)
    assert isinstance(peaks, Peaks)
    assert "could not be read" in peaks.notes[0]
    assert Peaks.from_json(json.loads(place.read_text())) == peaks


# The management library


class FakeNvml:
    """Temperature rises by a degree with every look."""

    def __init__(self, *, known: bool = True) -> None:
        self.known, self.open, self.degrees = known, 0, 40

    def nvmlInit_v2(self) -> int:
        self.open += 1
        return 0

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        assert uuid == b"GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
        return 0 if self.known else 6

    def nvmlDeviceGetTemperature(self, handle: Any, which: Any, value: Any) -> int:
        self.degrees += 1
        value._obj.value = self.degrees
        return 0

    def nvmlDeviceGetPowerUsage(self, handle: Any, value: Any) -> int:
        value._obj.value = 651_000
        return 0

    def nvmlDeviceGetClockInfo(self, handle: Any, which: Any, value: Any) -> int:
        return 3

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any, reasons: Any) -> int:
        reasons._obj.value = 0x4 | 0x1
        return 0


def test_a_power_limit_that_held_the_clocks_back_is_told() -> None:
    nvml = FakeNvml()
    reply = ask(FakeCuda(), "fma_fp32", "fma_fp64", watch=lambda uuid: Watch(nvml, uuid))
    assert reply["watched"]["clocks_held_back_by"] == ["power limit"]
    assert reply["watched"]["temperature_c"] == [41, 42]
    assert reply["watched"]["power_w"] == [pytest.approx(651), pytest.approx(651)]
    assert "sm_clock_hz" not in reply["watched"], "what the library would not say is not made up"
    assert nvml.open == 0


def test_without_the_management_library_all_else_is_measured() -> None:
    nvml = FakeNvml(known=False)
    reply = ask(FakeCuda(), "fma_fp32", watch=lambda uuid: Watch(nvml, uuid))
    assert reply["watched"] == {}
    assert len(reply["arithmetic"]) == 1
    assert nvml.open == 0
