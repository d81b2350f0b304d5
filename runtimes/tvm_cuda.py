"""Apache TVM on a CUDA GPU: the default schedules of its own, compiled without tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.base import Facts, Runtime
from runtimes.errors import EngineError, UnavailableError, UnsupportedError, engine_error
from runtimes.gpu.driver import CudaError, Driver, NoGpuError
from runtimes.gpu.libraries import compiler_home, load_library
from runtimes.gpu.options import GRAPH, TRANSFER, WAIT, probe_gpu
from runtimes.gpu.session import GpuSession, opened_gpu, zeros
from runtimes.installed import Probe
from runtimes.options import Option
from runtimes.tvm_rt import TvmCpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runtimes.base import Array, Request, Session, Snippet
    from runtimes.gpu.device import Gpu
    from runtimes.options import Clash, Fixed
    from runtimes.profiled_nodes import Profile

CUDART = "libcudart.so.13"
# Kernels are loaded, and a graph is captured, during the first calls.
FIRST_CALLS = 3


class TvmCuda(TvmCpu):
    """Relax, from ONNX to CUDA code by TVM's default schedules for GPUs; one session."""

    name = "tvm-cuda"
    device = "gpu"
    title = "Apache TVM, untuned, CUDA"
    distributions = ("apache-tvm", "apache-tvm-ffi")
    install = "pip install 'rtfloor[tvm-gpu]'"
    options: ClassVar[tuple[Option, ...]] = (
        Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),
        TRANSFER,
        GRAPH,
        WAIT,
        Option("fast_math", False, "coarse division, roots and exponentials, and denormals as zero; TVM's own default"),
    )
    shapeless: ClassVar[tuple[str, ...]] = ("transfer", "wait")
    # What the processor's adapter says of its settings does not hold here.
    fixed: ClassVar[tuple[Fixed, ...]] = ()
    clashes: ClassVar[tuple[Clash, ...]] = ()

    def probe(self) -> Probe:
        """A GPU, TVM, and a compiler for the code it writes."""
        return probe_gpu(self._packages)

    def environment(self, request: Request) -> dict[str, str]:
        """Which compiler TVM calls, and how."""
        home = compiler_home()
        variables = {"TVM_CUDA_COMPILE_MODE": "nvcc"}
        if home is not None:
            variables["CUDA_PATH"] = str(home)
        if not request.options["fast_math"]:
            variables["TVM_CUDA_NVCC_NO_FAST_MATH"] = "1"
        return variables

    def start(self) -> None:
        """Load CUDA's runtime, which TVM's own library needs and does not find, then TVM."""
        if load_library(CUDART) is None:
            raise UnavailableError(f"tvm needs {CUDART}; pip install nvidia-cuda-runtime")
        super().start()
        import tvm_ffi

        if tvm_ffi.get_global_func("device_api.cuda", allow_missing=True) is None:
            raise UnavailableError("this build of tvm has no CUDA, or its library libtvm_runtime_cuda.so does not load")

    def settings_here(self) -> tuple[str, ...]:
        """Not asked for yet: the list of the processor's adapter is another one."""
        return ()

    def snippet(self, request: Request) -> Snippet:
        """None yet: the processor's is another one."""
        return Runtime.snippet(self, request)

    def load(self, request: Request) -> list[Session]:
        """Load the library; one session only."""
        if request.sessions > 1:
            raise UnsupportedError(
                "tvm: memory that one session is done with goes to the next one while the GPU still uses it: its pool "
                "is one for all sessions and knows nothing of streams, so two at once would answer wrongly"
            )
        self.build(request)
        with opened_gpu(str(request.options["wait"])) as gpu:
            try:
                return [TvmGpuSession(request, gpu, self._artefact(request), str(self._target(request)), self.title)]
            except EngineError:
                raise
            except Exception as error:  # every failure of a foreign library becomes a row
                raise engine_error(f"tvm could not load {request.model.name}", error) from error

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Refused, as for every engine of GPUs: a kernel runs after the call that launched it is over."""
        raise UnsupportedError(
            f"{self.title} hands its kernels over and goes on; the record of every process counts and times them"
        )

    def _packages(self) -> Probe:
        found = Runtime.probe(self)
        if not found.available or compiler_home() is not None:
            return found
        remedy = "pip install nvidia-cuda-nvcc nvidia-cuda-runtime nvidia-cuda-cccl, or NVIDIA's CUDA toolkit"
        return Probe(False, found.version, "tvm compiles what it writes with nvcc, and none was found", remedy)

    def _device(self) -> dict[str, Any]:
        return {"capability": _capability()}

    def _target(self, request: Request) -> Any:
        import tvm

        # Asked for nothing, TVM would look for the GPU with the runtime's library and take what it does not find.
        gpu = {"kind": "cuda", "arch": f"sm_{_capability()}", "thread_warp_size": 32}
        limits = {"max_threads_per_block": 1024, "max_shared_memory_per_block": 48 << 10}
        return tvm.target.Target({**gpu, **limits}, host=tvm.target.Target({"kind": "llvm"}))

    def _executable(self, module: Any, target: Any, request: Request) -> Any:
        import tvm
        from tvm import relax

        captured = {"relax.backend.use_cuda_graph": bool(request.options["cuda_graph"])}
        with target, tvm.transform.PassContext(opt_level=3, config=captured):
            module = relax.get_default_pipeline(target)(module)
            return relax.build(module, target, relax_pipeline=None)


class TvmGpuSession(GpuSession):
    """One virtual machine; its inputs are tensors of TVM's, which our copies go to."""

    def __init__(self, request: Request, gpu: Gpu, artefact: Path, target: str, title: str) -> None:
        import tvm
        from tvm import relax

        device = tvm.cuda(0)
        machine = relax.VirtualMachine(tvm.runtime.load_module(str(artefact)), device)
        super().__init__(_sized(request, machine["main"], device), gpu, title)
        self._device, self._target = device, target
        self._precision, self._graph = request.precision, bool(request.options["cuda_graph"])
        self._own_thread()
        self._main = machine["main"]
        # By position: the frontend renames inputs that are no identifiers.
        self._tensors = [tvm.runtime.empty(item.shape, item.dtype, self._device) for item in request.inputs]
        self.move_inputs([tensor.data_ptr() for tensor in self._tensors])
        self._answers: list[Any] = []
        for _ in range(FIRST_CALLS):
            self.run(zeros(request))

    def attach(self) -> None:
        """TVM has a current stream in every thread."""
        self._device.set_raw_stream(int(self.gpu.stream.value or 0))

    def enqueue(self) -> Sequence[int]:
        """Call; the answers stay alive until the next call."""
        self._answers = _answers(self._main(*self._tensors))
        return [tensor.data_ptr() for tensor in self._answers]

    def facts(self) -> Facts:
        """The target."""
        details = {"target": self._target, "tuned": False, "cuda_graph": self._graph}
        return Facts(self._precision, "cuda:0", details)

    def close(self) -> None:
        """Let go of the machine and its tensors before the stream."""
        self._main = None
        self._tensors, self._answers = [], []
        super().close()


def _answers(answer: Any) -> list[Any]:
    return [answer] if hasattr(answer, "data_ptr") else list(answer)


def _sized(request: Request, main: Callable[..., Any], device: Any) -> Request:
    """The request with every output's shape; one that the graph does not state is found by a call."""
    if all(tensor.shape for tensor in request.outputs):
        return request
    import tvm

    given = [tvm.runtime.tensor(array, device) for array in zeros(request).values()]
    shapes = [tuple(int(size) for size in answer.shape) for answer in _answers(main(*given))]
    device.sync()
    outputs = (replace(tensor, shape=shape) for tensor, shape in zip(request.outputs, shapes, strict=True))
    return replace(request, outputs=tuple(outputs))


def _capability() -> int:
    """Compute capability of the first GPU, 90 for 9.0."""
    try:
        driver = Driver.load()
        driver.count()
        return driver.capability(0)
    except (NoGpuError, CudaError) as error:
        raise UnavailableError(str(error)) from None
