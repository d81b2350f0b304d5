"""PyTorch on a CUDA GPU, eager or compiled, as a CUDA graph or not."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.base import Facts, Runtime
from runtimes.errors import EngineError, UnavailableError, UnsupportedError, engine_error
from runtimes.gpu.options import GRAPH, TRANSFER, WAIT, check_tf32, probe_gpu
from runtimes.gpu.session import GpuSession, opened_gpu, precision_ran, zeros
from runtimes.installed import probe_distributions
from runtimes.options import Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimes.base import Request, Session
    from runtimes.gpu.device import Gpu
    from runtimes.gpu.session import Buffer
    from runtimes.installed import Probe

HALVES = {"fp16": "float16", "bf16": "bfloat16"}
MODES = {"inductor": "default", "inductor-max-autotune": "max-autotune-no-cudagraphs"}
# Lazy loading of kernels, choices of cuDNN and the allocator's growth are over by then, and none of it may happen in a
# capture.
CALLS_BEFORE_CAPTURE = 3


class TorchCuda(Runtime):
    """The graph as a module of our own making, on the GPU; one module per concurrent caller."""

    name = "torch-cuda"
    device = "gpu"
    title = "PyTorch, CUDA"
    distributions = ("torch",)
    install = "pip install 'rtfloor[torch]'  (a build with CUDA)"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "precision",
            "fp32",
            "fp32 switches TF32 off, tf32 switches it on; fp16 and bf16 convert weights and values",
            ("fp32", "tf32", *HALVES),
        ),
        TRANSFER,
        GRAPH,
        WAIT,
        Option("compiler", "eager", "operator by operator, or compiled by inductor", ("eager", *MODES)),
        Option(
            "autocast",
            False,
            "with fp16 and bf16: convert for heavy operators only, as PyTorch's autocast chooses, and keep weights",
        ),
        Option("cudnn_benchmark", True, "try all convolution kernels and keep the fastest"),
        Option("channels_last", False, "lay out images with channels last, which tensor cores prefer"),
    )

    def probe(self) -> Probe:
        """A GPU, and PyTorch; whether it was built for CUDA shows only when it is imported."""
        return probe_gpu(lambda: probe_distributions(self.distributions, self.install))

    def environment(self, request: Request) -> dict[str, str]:
        """Where inductor keeps its code, and that it compiles in this process."""
        return {"TORCHINDUCTOR_CACHE_DIR": str(request.cache), "TORCHINDUCTOR_COMPILE_THREADS": "1"}

    def start(self) -> None:
        """Import PyTorch."""
        import torch

        if torch.version.cuda is None:
            raise UnavailableError("this build of torch has no CUDA; pip install torch on Linux brings one that has")

    def build(self, request: Request) -> dict[str, Any]:
        """Let inductor compile, which fills its cache; eager has nothing to build."""
        if request.options["compiler"] == "eager":
            return {}
        done = request.cache / f"compiled-{_question(request)}"
        facts = {"artefact": done.name}
        if done.exists():
            return {"cached": True, **facts}
        for session in self.load(request):
            session.close()
        done.touch()
        return facts

    def load(self, request: Request) -> list[Session]:
        """Settle the arithmetic, then one module per session."""
        import torch

        given = request.options
        check_tf32(str(given["precision"]), self.title)
        if given["autocast"] and given["precision"] not in HALVES:
            raise UnsupportedError("torch: autocast goes with precision=fp16 or bf16")
        reduced = given["precision"] == "tf32"
        with warnings.catch_warnings():
            # The newer switches must not be mixed with these, which inductor still reads.
            warnings.simplefilter("ignore")
            torch.set_float32_matmul_precision("high" if reduced else "highest")
            torch.backends.cudnn.allow_tf32 = reduced
        # Sums of float16 products stay in float32.
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.backends.cudnn.benchmark = bool(given["cudnn_benchmark"])
        return [self._session(request) for _ in range(request.sessions)]

    def _session(self, request: Request) -> Session:
        with opened_gpu(str(request.options["wait"])) as gpu:
            try:
                return TorchGpuSession(request, gpu, self.title)
            except EngineError:
                raise
            except Exception as error:  # every failure of a foreign library becomes a row
                raise engine_error(f"torch could not load {request.model.name}", error) from error


class TorchGpuSession(GpuSession):
    """One module whose inputs are our memory, on our stream."""

    def __init__(self, request: Request, gpu: Gpu, title: str) -> None:
        import torch

        from runtimes.onnx_torch import load_module

        options = request.options
        module = load_module(request.model).eval()
        super().__init__(_sized(request, module), gpu, title)
        self._stream = torch.cuda.ExternalStream(int(gpu.stream.value or 0))
        self._request, self._graph = request, None
        self._kinds = [getattr(torch, buffer.tensor.dtype) for buffer in self.outputs]
        self._own_thread()
        with torch.inference_mode(), warnings.catch_warnings():
            # Inductor's own imports use what PyTorch deprecates; and it says that TF32 could be had.
            warnings.simplefilter("ignore")
            self._call = self._callable(module)
            self._inputs = [_view(buffer) for buffer in self.inputs]
            self.put(zeros(request))
            for _ in range(CALLS_BEFORE_CAPTURE):
                self._answers = self._call()
            gpu.synchronise()
            if options["cuda_graph"]:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph, stream=self._stream):
                    self._answers = self._call()
                # Capturing leaves another stream current.
                self.attach()
        if self._graph is not None:
            self.move_outputs([answer.data_ptr() for answer in self._answers])

    def attach(self) -> None:
        """PyTorch has a current stream in every thread."""
        import torch

        torch.cuda.set_stream(self._stream)

    def enqueue(self) -> Sequence[int] | None:
        """Replay, or call."""
        if self._graph is not None:
            self._graph.replay()
            return None
        import torch

        with torch.inference_mode():
            self._answers = self._call()
        return [answer.data_ptr() for answer in self._answers]

    def facts(self) -> Facts:
        """What PyTorch was told about arithmetic."""
        import torch

        options = self._request.options
        asked = str(options["precision"])
        details = {
            "compiler": options["compiler"],
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cuda_graph": self._graph is not None,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "autocast": options["autocast"],
        }
        return Facts(precision_ran(asked, self._request.precision), "cuda:0", details)

    def close(self) -> None:
        """Let go of graph and tensors before their stream."""
        self._graph = None
        self._answers, self._inputs = (), []
        self._call = None
        super().close()

    def _callable(self, module: Any) -> Any:
        """What one call is: our inputs through the module, outputs in the types that the graph declares."""
        import torch

        options = self._request.options
        half = getattr(torch, HALVES.get(str(options["precision"]), "float32"))
        mixed = bool(options["autocast"])
        cast = half if half != torch.float32 and not mixed else None
        module = module.to("cuda")
        if cast is not None:
            module = module.to(cast)
        if options["channels_last"]:
            module = module.to(memory_format=torch.channels_last)
        kinds = self._kinds

        def forward(*tensors: Any) -> tuple[Any, ...]:
            if cast is not None:
                tensors = tuple(t.to(cast) if t.is_floating_point() else t for t in tensors)
            if options["channels_last"]:
                last = torch.channels_last
                tensors = tuple(t.contiguous(memory_format=last) if t.dim() == 4 else t for t in tensors)
            if mixed:
                with torch.autocast("cuda", dtype=half, cache_enabled=False):
                    answers = module(*tensors)
            else:
                answers = module(*tensors)
            return tuple(a.to(kind).contiguous() for a, kind in zip(answers, kinds, strict=True))

        compiler = str(options["compiler"])
        if compiler in MODES:
            forward = torch.compile(forward, fullgraph=True, dynamic=False, mode=MODES[compiler])
        return lambda: forward(*self._inputs)


class _Memory:
    """Device memory of ours, as PyTorch takes it in without a copy.

    Source: CUDA array interface, version 3, of Numba's documentation.
    """

    def __init__(self, buffer: Buffer) -> None:
        kind = buffer.host.dtype.str
        shape, place = buffer.tensor.shape, (buffer.address, False)
        self.__cuda_array_interface__ = {"shape": shape, "typestr": kind, "data": place, "version": 3}


def _view(buffer: Buffer) -> Any:
    import torch

    return torch.as_tensor(_Memory(buffer), device="cuda")


def _sized(request: Request, module: Any) -> Request:
    """The request with every output's shape, where the graph leaves one open from a call on the CPU."""
    import torch

    if all(tensor.shape for tensor in request.outputs):
        return request
    with torch.inference_mode():
        answers = module(*(torch.from_numpy(array) for array in zeros(request).values()))
    shapes = [tuple(answer.shape) for answer in answers]
    outputs = (replace(tensor, shape=shape) for tensor, shape in zip(request.outputs, shapes, strict=True))
    return replace(request, outputs=tuple(outputs))


def _question(request: Request) -> str:
    """What shapes compiled code, as one short word; transfers and waiting do not."""
    import torch

    options = {name: value for name, value in request.options.items() if name not in ("transfer", "wait", "cuda_graph")}
    key = [request.model_sha256, options, torch.__version__, torch.cuda.get_device_name()]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
