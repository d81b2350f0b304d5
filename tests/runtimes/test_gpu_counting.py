"""Counting what a GPU is made to do: every record once, nothing of our own, and a sentence where it cannot be done.

CUPTI is a small C library here that keeps its layouts, threads and locks; see ``tests/fake_cupti.c``.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_cuda import FakeCuda

from runtimes.gpu import cupti, cupti_check, libraries
from runtimes.gpu.counting import Call, Counter, Counts, outermost, union_ns
from runtimes.gpu.cupti import Cupti, CuptiError, places
from runtimes.gpu.cupti_buffers import BUFFER_BYTES, Buffers
from runtimes.gpu.cupti_names import of_call, of_kernel
from runtimes.gpu.device import Gpu
from runtimes.gpu.driver import Driver, NoGpuError

RUNTIME, DRIVER = 5, 4
LAUNCH, LAUNCH_EX, GRAPH, STREAM_WAIT, ALLOCATE = 307, 652, 514, 126, 243
CUDA_LAUNCH, CUDA_LAUNCH_13, CUDA_LAUNCH_EX, CUDA_GRAPH, CUDA_COPY, CUDA_WAIT = 211, 505, 431, 311, 41, 165
TO_DEVICE, FROM_DEVICE, ON_DEVICE, ON_HOST = 1, 2, 8, 9
ADD = b"_Z3addILi4EEvPfS0_"
SMALL = 3
# ctypes keeps no reference to what C only points to.
OTHER = ctypes.create_string_buffer(b"other")
ADDING = ctypes.create_string_buffer(ADD)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the stand-in for CUPTI")
    path = tmp_path_factory.mktemp("cupti") / "libcupti.so.13"
    source = Path(__file__).parents[1] / "fake_cupti.c"
    command = [compiler, "-shared", "-fPIC", "-pthread", "-o", str(path), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.fixture
def fake(built: Path) -> Any:
    library = ctypes.CDLL(str(built))
    library.fake_reset()
    library.fake_kernel.argtypes = [ctypes.c_void_p, *[ctypes.c_uint64] * 3]
    library.fake_copy.argtypes = [ctypes.c_int, *[ctypes.c_uint64] * 3]
    library.fake_peer.argtypes = [ctypes.c_uint64]
    library.fake_set.argtypes = [ctypes.c_uint64] * 2
    library.fake_call.argtypes = [ctypes.c_int, ctypes.c_uint32, *[ctypes.c_uint64] * 2, *[ctypes.c_uint32] * 2]
    return library


@pytest.fixture(params=[True, False], ids=["machine code", "Python"])
def counter(request: pytest.FixtureRequest, fake: Any) -> Counter:
    buffers = Buffers(native=request.param, count=SMALL)
    if request.param and not buffers.native:
        pytest.skip("this processor or system does not run code made at run time")
    return Counter(Cupti(fake, "fake"), Driver(fake), buffers)


def kernel(fake: Any, start: int, end: int, *, name: Any = OTHER, node: int = 0) -> None:
    fake.fake_kernel(ctypes.addressof(name), start, end, node)


def test_everything_the_gpu_does_is_counted_once(fake: Any, counter: Counter) -> None:
    counter.start()
    kernel(fake, 1000, 1100, name=ADDING)
    kernel(fake, 1050, 1200, name=ADDING)
    kernel(fake, 2000, 2010)
    fake.fake_copy(TO_DEVICE, 4096, 1150, 1300)
    fake.fake_copy(TO_DEVICE, 4, 3000, 3001)
    fake.fake_copy(FROM_DEVICE, 64, 3001, 3002)
    fake.fake_copy(ON_DEVICE, 8, 3002, 3003)
    fake.fake_copy(ON_HOST, 16, 3003, 3004)
    fake.fake_peer(32)
    fake.fake_set(5000, 5007)
    fake.fake_overhead()
    fake.fake_call(DRIVER, ALLOCATE, 10, 20, 1, 1)
    fake.fake_call(DRIVER, STREAM_WAIT, 30, 40, 1, 2)
    fake.fake_call(RUNTIME, 138, 50, 60, 1, 3)
    fake.fake_call(RUNTIME, 10, 70, 80, 1, 4)
    fake.fake_call(DRIVER, 85, 90, 95, 1, 5)
    fake.fake_call(DRIVER, 527, 96, 97, 1, 6)
    counts = counter.stop()
    assert (counts.kernels, counts.kernel_ns, counts.memsets, counts.dropped) == (3, 260, 1, 0)
    assert counts.busy_ns == 300 + 10 + 4 + 7
    assert counts.copies == {"to device": (2, 4100), "from device": (1, 64), "on device": (1, 8), "other": (2, 48)}
    assert [(kind.name, kind.count, kind.ns) for kind in counts.by_kernel] == [("add<4>", 2, 250), ("other", 1, 10)]
    # Functions nobody asked after are left out; one that calls the host back is no launch.
    assert counts.calls == {"cuMemAlloc": 1, "cuStreamSynchronize": 1, "cudaEventQuery": 1}
    assert (counts.launches, counts.graph_launches, counts.synchronisations) == (0, 0, 1)


def test_a_launch_by_the_runtime_is_not_two(fake: Any, counter: Counter) -> None:
    counter.start()
    # The driver's record shares the id; lies within, under another id; or is another function of the runtime.
    fake.fake_call(RUNTIME, CUDA_LAUNCH, 100, 200, 1, 11)
    fake.fake_call(DRIVER, LAUNCH, 0, 0, 1, 11)
    fake.fake_call(DRIVER, LAUNCH_EX, 310, 390, 1, 13)
    fake.fake_call(RUNTIME, CUDA_LAUNCH_EX, 300, 400, 1, 12)
    fake.fake_call(RUNTIME, CUDA_LAUNCH_13, 500, 600, 1, 14)
    fake.fake_call(RUNTIME, CUDA_LAUNCH, 510, 590, 1, 15)
    fake.fake_call(DRIVER, LAUNCH, 520, 580, 1, 16)
    # Meanwhile, on other threads and straight after, engines launch through the driver.
    fake.fake_call(DRIVER, LAUNCH, 110, 190, 2, 17)
    fake.fake_call(DRIVER, LAUNCH, 600, 600, 1, 18)
    fake.fake_call(RUNTIME, CUDA_COPY, 700, 800, 1, 19)
    fake.fake_call(DRIVER, 277, 710, 790, 1, 20)
    fake.fake_call(RUNTIME, CUDA_WAIT, 800, 900, 1, 21)
    fake.fake_call(DRIVER, 17, 810, 890, 1, 22)
    counts = counter.stop()
    assert counts.launches == 5
    assert counts.synchronisations == 1
    assert counts.calls == {
        "cudaLaunchKernel": 2, "cudaLaunchKernelExC": 1, "cuLaunchKernel": 2, "cudaMemcpyAsync": 1,
        "cudaDeviceSynchronize": 1,
    }  # fmt: skip


def test_a_graph_is_one_launch_and_all_its_kernels(fake: Any, counter: Counter) -> None:
    counter.start()
    for launch in range(2):
        fake.fake_call(RUNTIME, CUDA_GRAPH, 100 * launch + 100, 100 * launch + 150, 1, launch + 1)
        fake.fake_call(DRIVER, GRAPH, 100 * launch + 110, 100 * launch + 140, 1, launch + 1)
        for node in range(3):
            kernel(fake, 1000 * launch + 10 * node + 1, 1000 * launch + 10 * node + 6, node=node + 1)
    counts = counter.stop()
    assert (counts.kernels, counts.launches, counts.graph_launches) == (6, 0, 2)
    assert counts.calls == {"cudaGraphLaunch": 2}


def test_nothing_but_the_stretch_is_counted(fake: Any, counter: Counter) -> None:
    kernel(fake, 1, 2)
    counter.start()
    kernel(fake, 3, 4)
    assert counter.stop().kernels == 1
    # Our own waiting is neither a call of the engine nor left out.
    assert fake.fake_enabled() == 0
    assert ctypes.c_int.in_dll(fake, "fake_waits").value == 2
    kernel(fake, 5, 6)
    counter.start()
    again = counter.stop()
    assert (again.kernels, again.synchronisations, again.calls) == (0, 0, {})


def test_a_gpu_used_by_another_thread_is_waited_for(fake: Any, counter: Counter) -> None:
    ctypes.c_int.in_dll(fake, "fake_current").value = 0
    counter.start()
    counter.stop()
    assert ctypes.c_int.in_dll(fake, "fake_waits").value == 2
    # Where nobody has used it yet, there is nothing to wait for.
    ctypes.c_int.in_dll(fake, "fake_active").value = 0
    counter.start()
    counter.stop()
    assert ctypes.c_int.in_dll(fake, "fake_waits").value == 2


def test_memory_is_used_again_and_what_does_not_fit_is_owned_up_to(fake: Any, counter: Counter) -> None:
    fit = SMALL * (BUFFER_BYTES // 216)
    for extra in (0, 7, 0):
        counter.start()
        for number in range(fit + extra):
            kernel(fake, number + 1, number + 2)
        counts = counter.stop()
        assert (counts.kernels, counts.dropped) == (fit, extra)
        assert counts.busy_ns == fit


def test_records_that_break_off_are_owned_up_to(fake: Any, counter: Counter) -> None:
    counter.start()
    kernel(fake, 1, 3)
    fake.fake_broken()
    kernel(fake, 4, 5)
    counts = counter.stop()
    assert (counts.kernels, counts.dropped) == (1, 1)


def test_a_kernel_without_times_still_counts(fake: Any, counter: Counter) -> None:
    counter.start()
    kernel(fake, 0, 0)
    fake.fake_kernel(0, 10, 12, 0)
    counts = counter.stop()
    assert (counts.kernels, counts.kernel_ns, counts.busy_ns) == (2, 2, 2)
    assert counts.by_kernel[0].name == "(without a name)"


def test_cupti_gets_memory_while_python_is_locked(fake: Any, built: Path) -> None:
    # An engine that calls CUDA without letting go of Python's lock would otherwise hang for ever.
    buffers = Buffers(count=SMALL)
    if not buffers.native:
        pytest.skip("this processor or system does not run code made at run time")
    Cupti(fake, "fake").call(
        "cuptiActivityRegisterCallbacks", ctypes.c_void_p(buffers.asked), ctypes.c_void_p(buffers.given)
    )
    assert ctypes.PyDLL(str(built)).fake_ask_while_caller_waits() == 0


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (35, r"NVreg_RestrictProfilingToAdminUsers=0 \(cuptiActivityEnable: CUPTI_ERROR_INSUFFICIENT_PRIVILEGES\)"),
        (39, "another profiler is attached to this process"),
        (999, r"fits the driver \(cuptiActivityEnable: error 999\)"),
        (77, "cuptiActivityEnable: error 77"),
    ],
)
def test_a_refusal_says_what_to_do_and_leaves_nothing_on(fake: Any, counter: Counter, code: int, says: str) -> None:
    fake.fake_fail(b"cuptiActivityEnable", code)
    with pytest.raises(CuptiError, match=says) as caught:
        counter.start()
    assert caught.value.code == code
    assert fake.fake_enabled() == 0
    fake.fake_fail(b"", 0)
    counter.start()
    assert counter.stop().kernels == 0


@pytest.mark.parametrize(("call", "code"), [("cuptiActivityFlushAll", 999), ("cuCtxSynchronize", 719)])
def test_a_failure_at_the_end_leaves_nothing_on(fake: Any, counter: Counter, call: str, code: int) -> None:
    counter.start()
    kernel(fake, 1, 2)
    fake.fake_fail(call.encode(), code)
    with pytest.raises(CuptiError, match=call):
        counter.stop()
    assert fake.fake_enabled() == 0
    fake.fake_fail(b"", 0)
    counter.start()
    kernel(fake, 1, 2)
    # Memory that came back late is not lent twice, and what it holds is of no use any more.
    assert counter.stop().kernels in {1, 2}


def test_start_and_stop_go_together(counter: Counter) -> None:
    with pytest.raises(RuntimeError, match="start it first"):
        counter.stop()
    counter.start()
    with pytest.raises(RuntimeError, match="stop it first"):
        counter.start()
    counter.stop()


def test_an_older_library_is_told_from_a_broken_one(fake: Any) -> None:
    with pytest.raises(CuptiError, match="does not have the function"):
        Cupti(fake, "fake").call("cuptiOfTomorrow")


def test_averages_are_json_and_say_over_how_many_calls(fake: Any, counter: Counter) -> None:
    counter.start()
    for number in range(5):
        kernel(fake, 10 * number + 1, 10 * number + 5, name=OTHER if number else ADDING)
        fake.fake_call(DRIVER, LAUNCH, 10 * number + 1, 10 * number + 2, 1, number + 1)
    fake.fake_copy(TO_DEVICE, 30, 100, 101)
    found = json.loads(json.dumps(counter.stop().to_json(2, most=1)))
    assert (found["averaged_over"], found["kernels"], found["launches"], found["kernel_ns"]) == (2, 2.5, 2.5, 10.0)
    assert found["copies"]["to device"] == {"count": 0.5, "bytes": 15.0}
    assert found["calls"] == {"cuLaunchKernel": 2.5}
    assert found["by_kernel"] == [{"name": "other", "count": 2.0, "ns": 8.0}]
    assert (found["kinds_of_kernels"], found["dropped"]) == (2, 0)


def test_no_call_is_no_average(counter: Counter) -> None:
    counter.start()
    with pytest.raises(ValueError, match="0 calls"):
        counter.stop().to_json(0)


# What needs no library


def test_what_covers_the_same_time_counts_once() -> None:
    assert union_ns([]) == 0
    assert union_ns([(5, 9), (1, 3), (2, 4), (6, 7), (9, 10)]) == 3 + 5


def test_a_call_right_after_another_is_its_own() -> None:
    calls = [Call(10, 20, 1, 1, True, "a"), Call(20, 20, 1, 2, False, "b"), Call(15, 20, 1, 3, False, "c")]
    assert [call.name for call in outermost(calls)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("cudaLaunchKernelExC_ptsz_v11060", "cudaLaunchKernelExC"),
        ("__cudaLaunchKernel_v13000", "cudaLaunchKernel"),
        ("cuMemcpyHtoDAsync_v2_ptsz", "cuMemcpyHtoDAsync"),
        ("cuCtxSynchronize_v2", "cuCtxSynchronize"),
        ("cudaFreeAsync_v11020", "cudaFreeAsync"),
        ("cuMemSetAccess", ""),
        ("cuGraphAddMemcpyNode", ""),
        ("cuLaunchHostFunc", ""),
        ("cudaGetLastError_v3020", ""),
        ("", ""),
    ],
)
def test_calls_are_known_by_their_names(name: str, plain: str) -> None:
    assert of_call(name) == plain


def test_kernels_are_readable() -> None:
    assert of_kernel(b"sm90_xmma_gemm") == "sm90_xmma_gemm"
    assert of_kernel(b"_Z_not_mangled") == "_Z_not_mangled"
    assert of_kernel(b"_ZN2at3addEPf") == "at::add"
    assert of_kernel(b"_ZN12_GLOBAL__N_13addEPFvfE") == "(anonymous namespace)::add"
    assert len(of_kernel(b"k" * 500)) == 120


# Where the library is


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cupti, "MAPS", tmp_path / "maps")
    monkeypatch.setattr(libraries, "TOOLKITS", tmp_path / "local")
    return tmp_path


def make(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no library")
    return str(path)


def test_the_library_is_found_by_what_it_must_fit(elsewhere: Path) -> None:
    site = elsewhere / "site"
    wheel_13 = make(site / "nvidia/cu13/lib/libcupti.so.13")
    wheel_12 = make(site / "nvidia/cuda_cupti/lib/libcupti.so.12")
    toolkit = make(elsewhere / "local/cuda-13.0/extras/CUPTI/lib64/libcupti.so.13")
    torch = make(site / "torch/lib/libcupti.so.12")
    names = ["libcupti.so.13", "libcupti.so.12"]
    paths = [str(elsewhere / "none"), str(site)]
    assert list(places(paths, 13000)) == [wheel_13, toolkit, names[0], wheel_12, torch, names[1]]
    assert list(places(paths, 12080)) == [wheel_12, torch, names[1], wheel_13, toolkit, names[0]]
    # The runtime that is loaded says more than the driver, and a CUPTI that is loaded is the one to use.
    (elsewhere / "maps").write_text(
        "7f00-7f01 r-xp 00000000 00:00 1  /x/libcudart-9335f6a2.so.12\n"
        "7f01-7f02 r-xp 00000000 00:00 2  /x/libcupti.so.12\n7f02-7f03 r--p 00000000 00:00 2  /x/libcupti.so.12\n"
    )
    assert list(places(paths, 13000))[:2] == ["/x/libcupti.so.12", wheel_12]


def test_no_library_is_a_sentence_with_a_remedy(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupti, "MAJORS", ())
    with pytest.raises(NoGpuError, match=r"pip install 'nvidia-cuda-cupti==13\.0\.\*'"):
        Cupti.load(13000)
    with pytest.raises(NoGpuError, match=r"pip install 'nvidia-cuda-cupti-cu12==12\.8\.\*'"):
        Cupti.load(12080)


def test_a_library_that_cannot_be_loaded_is_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(elsewhere / "nvidia/cu13/lib/libcupti.so.13")
    monkeypatch.setattr(cupti, "places", lambda *_: [path])
    with pytest.raises(NoGpuError, match=r"without libcupti \(.*libcupti\.so\.13.*\); install it"):
        Cupti.load(13000)


def test_what_is_found_is_loaded(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupti, "places", lambda *_: ["/none/libcupti.so.13", str(built)])
    assert Cupti.load(13000).version() == 130001


# The check of one's own


class Given:
    """A counter that answers with what it is given."""

    native = True

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def start(self) -> None:
        pass

    def stop(self) -> Counts:
        return self.counts


def counted(fake: Any, counter: Counter, kernels: int) -> Counts:
    counter.start()
    name = ctypes.create_string_buffer(b"rtfloor_counted")
    for number in range(kernels):
        kernel(fake, number + 1, number + 2, name=name)
    for number in range(5):
        fake.fake_call(DRIVER, LAUNCH, 10 * number + 1, 10 * number + 2, 1, number + 1)
    for number in range(2):
        fake.fake_call(DRIVER, GRAPH, 10 * number + 101, 10 * number + 102, 1, number + 11)
        fake.fake_copy(TO_DEVICE, 1024, 1, 2)
    fake.fake_copy(FROM_DEVICE, 1024, 1, 2)
    fake.fake_call(DRIVER, STREAM_WAIT, 201, 202, 1, 21)
    return counter.stop()


@pytest.mark.parametrize(("kernels", "differs"), [(11, []), (5, ["kernels: counted 5, done 11"])])
def test_the_check_tells_right_from_wrong(fake: Any, counter: Counter, kernels: int, differs: list[str]) -> None:
    cuda = FakeCuda()
    given: Any = Given(counted(fake, counter, kernels))
    with Gpu(Driver(cuda), 0) as gpu:
        rounds = cupti_check.check(given, gpu)
    assert [found["differs"][:1] for found in rounds] == [differs, differs]
    assert cuda.still_taken() == {}
    assert cuda.calls.count("cuLaunchKernel") == 3 + 2 * 5
    assert cuda.calls.count("cuGraphLaunch") == 2 * 2


def test_the_check_without_a_gpu_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> Driver:
        raise NoGpuError("there is no NVIDIA driver here")

    monkeypatch.setattr(Driver, "load", none)
    assert cupti_check.main() == 1
    assert json.loads(capsys.readouterr().out) == {"right": False, "error": "there is no NVIDIA driver here"}
