"""ONNX Runtime on a CUDA GPU."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.base import Facts, Runtime
from runtimes.errors import EngineError, UnavailableError, UnsupportedError, engine_error
from runtimes.gpu.libraries import load_library
from runtimes.gpu.options import GRAPH, TRANSFER, WAIT, check_tf32, probe_gpu
from runtimes.gpu.session import GpuSession, opened_gpu, precision_ran, zeros
from runtimes.installed import Probe, owners_of
from runtimes.options import Fixed, Option
from runtimes.ort import TWINS, OrtCpu
from runtimes.ort_axes import AXES, BASICS
from runtimes.ort_axes_graph import GRAPH as REWRITING
from runtimes.ort_fixed import FIXED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtimes.base import Array, Request, Session, Snippet
    from runtimes.gpu.device import Gpu
    from runtimes.options import Clash, Value
    from runtimes.profiled_nodes import Profile

PROVIDER = "CUDAExecutionProvider"
# In the order in which they need each other; those that are missing are complained of when they are needed.
LIBRARIES = (
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libnvrtc.so.13",
    "libcurand.so.10",
    "libcufft.so.12",
    "libcudart.so.13",
    "libcudnn.so.9",
)
# From what it says where a node would run on the CPU although that is forbidden.
CPU_FALLBACK = "CPU EP"
# The id that makes a run of a session with graphs one without.
NO_GRAPH = "-1"
_CAPTURING = threading.Lock()
# The first call chooses kernels, the second is captured, the third is the first that a graph answers.
CALLS_TO_CAPTURE = 3

# Every option of the provider that can matter to one who calls a loaded model. The others: device_id (hide other GPUs
# with CUDA_VISIBLE_DEVICES), user_compute_stream (ours, always), do_copy_in_default_stream and
# use_ep_level_unified_stream (without meaning where a stream is given), gpu_external_* (addresses of functions),
# tunable_op_* (for AMD's twin of this provider; here they are accepted and do nothing).
PROVIDER_OPTIONS = (
    Option(
        "cudnn_conv_algo_search",
        "EXHAUSTIVE",
        "how convolution kernels are chosen: by trying all, by rule, or one for all",
        ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    ),
    Option("cudnn_conv_use_max_workspace", True, "convolution kernels may take as much memory as they like"),
    Option("cudnn_conv1d_pad_to_nc1d", False, "pad convolutions over one axis at its other side"),
    Option("fuse_conv_bias", False, "let cuDNN add a convolution's bias itself; compiles kernels while loading"),
    Option("prefer_nhwc", False, "channels last, which tensor cores prefer"),
    Option("sdpa_kernel", 0, "which kernels of attention are allowed, as a bit mask; 0: all", minimum=0),
    Option("enable_skip_layer_norm_strict_mode", False, "sum in float32 in SkipLayerNormalization of float16"),
    Option(
        "arena_extend_strategy",
        "kNextPowerOfTwo",
        "how GPU memory grows",
        ("kNextPowerOfTwo", "kSameAsRequested"),
    ),
    Option("gpu_mem_limit", 0, "most GPU memory, bytes; 0: no limit", minimum=0),
)

# What ort-cpu says of these is not so here.
OTHERWISE = {
    "ep.cuda.*": "not tried yet: keys of the CUDA provider for operators of language models",
    "gpu_graph_id": "the adapter sets it: a session with a graph has one for every thread",
    "disable_synchronize_execution_providers": "the adapter sets it, and waits for the stream itself",
}


def _fixed() -> tuple[Fixed, ...]:
    """As on the processor, but for what is otherwise, and for axes that a GPU has not."""
    here = {setting for option in (*BASICS, *REWRITING) for setting in option.settings}
    elsewhere = dict.fromkeys(setting for option in AXES for setting in option.settings if setting not in here)
    why = "an axis of ort-cpu: work on the processor, of which a graph on a GPU leaves none"
    return (
        *(Fixed(one.setting, OTHERWISE.get(one.setting, one.why)) for one in FIXED),
        *(Fixed(setting, why) for setting in elsewhere),
    )


class OrtCuda(OrtCpu):
    """The CUDA provider on a stream of ours; falling back to the CPU is an error here, not a slower answer."""

    name = "ort-cuda"
    device = "gpu"
    title = "ONNX Runtime, CUDA"
    distributions = ("onnxruntime-gpu",)
    install = "pip install 'rtfloor[gpu]'  (in an environment without onnxruntime)"
    provider: ClassVar[str] = PROVIDER
    needs: ClassVar[str] = "CUDA 13 and cuDNN 9"
    options: ClassVar[tuple[Option, ...]] = (
        Option("precision", "fp32", "fp32 switches TF32 off, tf32 switches it on", ("fp32", "tf32")),
        TRANSFER,
        GRAPH,
        WAIT,
        *BASICS[1:],
        *REWRITING,
        *PROVIDER_OPTIONS,
    )
    fixed: ClassVar[tuple[Fixed, ...]] = _fixed()
    clashes: ClassVar[tuple[Clash, ...]] = ()

    def probe(self) -> Probe:
        """A GPU, the right package, and not its twin beside it."""
        return probe_gpu(self._packages)

    def start(self) -> None:
        """Import ONNX Runtime and load CUDA's libraries from wherever packages keep them."""
        super().start()
        import onnxruntime as ort

        # It looks for NVIDIA's packages only where its own package lies, and they can lie elsewhere.
        for name in LIBRARIES:
            load_library(name)
        ort.preload_dlls()

    def snippet(self, request: Request) -> Snippet:
        """Refused, as long as nobody has written one with streams and memory on the device."""
        return Runtime.snippet(self, request)

    def load(self, request: Request) -> list[Session]:
        """One session of the engine, one stream and one set of memory for every session of ours."""
        check_tf32(str(request.options["precision"]), self.title)
        return [self._session(request) for _ in range(request.sessions)]

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Refused: a kernel runs after the node that launched it is over."""
        raise UnsupportedError(
            f"{self.title} times the launching of kernels, not the kernels: its trace would show what the GPU "
            "did not do; the record of every process counts and times the kernels themselves"
        )

    def provider_settings(self, options: Mapping[str, Value], stream: int) -> list[Any]:
        """What the provider is told, strings only.

        Args:
            options: of the request.
            stream: address of the stream it shall use.
        """
        given = {option.name: options[option.name] for option in PROVIDER_OPTIONS}
        if not given["gpu_mem_limit"]:
            del given["gpu_mem_limit"]
        settings = {name: _text(value) for name, value in given.items()}
        settings |= {
            "use_tf32": _text(options["precision"] == "tf32"),
            "enable_cuda_graph": _text(bool(options["cuda_graph"])),
            "user_compute_stream": str(stream),
        }
        return [(self.provider, settings)]

    def _packages(self) -> Probe:
        found = Runtime.probe(self)
        owners = owners_of("onnxruntime", TWINS)
        if not found.available or "onnxruntime" not in owners:
            return found
        how = "share one folder" if len(owners) > 1 else "are both installed, and an import finds the first"
        remedy = "pip uninstall onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        return Probe(False, found.version, f"onnxruntime and onnxruntime-gpu {how}", remedy)

    def _session(self, request: Request) -> Session:
        with opened_gpu(str(request.options["wait"])) as gpu:
            try:
                return self._loaded(request, gpu)
            except EngineError:
                raise
            except Exception as error:  # every failure of a foreign library becomes a row
                raise engine_error(f"onnxruntime could not load {request.model.name}", error) from error

    def _loaded(self, request: Request, gpu: Gpu) -> Session:
        """A session whose every node is on the GPU where that can be had, or one that says which are not."""
        import onnxruntime as ort

        providers = self.provider_settings(request.options, int(gpu.stream.value or 0))
        settings = self._settings(request)
        # A node without a kernel for the GPU would run on the CPU without a word, with a copy on either side.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        elsewhere = ""
        try:
            # Nor may its Python class try again without the provider, and keep to itself why.
            session = ort.InferenceSession(str(request.model), settings, providers, enable_fallback=0)
        except Exception as error:  # told apart below: a provider that is missing, a node that has no kernel
            if self.provider not in ort.get_available_providers():
                raise UnavailableError(
                    f"onnxruntime has no {self.provider}; install onnxruntime-gpu without onnxruntime beside it"
                ) from error
            if CPU_FALLBACK not in str(error):
                raise
            elsewhere = "some nodes have no kernel for the GPU and run on the CPU, with copies on either side"
            # Only to see which of two reasons it is; a graph is refused below.
            plain = self.provider_settings({**request.options, "cuda_graph": False}, int(gpu.stream.value or 0))
            session = ort.InferenceSession(str(request.model), self._settings(request), plain, enable_fallback=0)
        if session.get_providers()[0] != self.provider:
            raise UnavailableError(
                f"onnxruntime fell back to the CPU because its {self.provider} could not be loaded; "
                f"the libraries of {self.needs} must be findable"
            )
        if elsewhere and request.options["cuda_graph"]:
            raise UnsupportedError(f"onnxruntime: a CUDA graph needs every node on the GPU; {elsewhere}")
        return self._session_kind()(session, request, gpu, self.title, elsewhere)

    def _session_kind(self) -> type[OrtGpuSession]:
        return OrtGpuSession


class OrtGpuSession(GpuSession):
    """One ``InferenceSession``, bound to memory and a stream of ours.

    Args:
        session: with the stream of ``gpu`` as its own.
        elsewhere: which nodes are not on the GPU, as a sentence; empty where all are.
    """

    def __init__(self, session: Any, request: Request, gpu: Gpu, title: str, elsewhere: str) -> None:
        super().__init__(_sized(request, session), gpu, title)
        import onnxruntime as ort

        self._session, self._elsewhere = session, elsewhere
        self._precision = precision_ran(str(request.options["precision"]), request.precision)
        self._graph = bool(request.options["cuda_graph"])
        self._binding = session.io_binding()
        for buffer, bind in (
            *((buffer, self._binding.bind_input) for buffer in self.inputs),
            *((buffer, self._binding.bind_output) for buffer in self.outputs),
        ):
            kind = buffer.host.dtype.type
            bind(buffer.tensor.name, "cuda", 0, kind, list(buffer.tensor.shape), buffer.address)
        self._options = ort.RunOptions()
        # We wait ourselves, after the copies back: without this, every call would wait twice.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._run = session.run_with_iobinding
        # Not by a thread's number, which a later one can have again.
        self._captured = threading.local()
        if self._graph:
            # Capturing belongs to loading. Memory that nobody wrote is no input for it: indices may point anywhere.
            for buffer in self.inputs:
                gpu.clear(buffer.address, buffer.host.nbytes)
            self.run(zeros(request))

    def attach(self) -> None:
        """Capture a graph for this thread: the provider keeps one for every thread, and another's does not answer."""
        if not self._graph or getattr(self._captured, "done", False):
            return
        # While one thread captures, no other may do what cannot be captured, such as taking memory for its own capture.
        with _CAPTURING:
            for _ in range(CALLS_TO_CAPTURE):
                self._run(self._binding, self._options)
            self.gpu.synchronise()
        self._captured.done = True

    def enqueue(self) -> None:
        """Run with the bound memory."""
        self._run(self._binding, self._options)

    def facts(self) -> Facts:
        """Providers, and nodes that are elsewhere."""
        details = {
            "providers": self._session.get_providers(),
            "cuda_graph": self._graph,
            "all_nodes_on_gpu": not self._elsewhere,
            "elsewhere": self._elsewhere,
        }
        return Facts(self._precision, "cuda:0", details)

    def close(self) -> None:
        """Let go of the engine before its stream, and when nothing of it is at work any more."""
        with suppress(EngineError):
            self.wait()
        self._run = self._binding = self._session = None
        super().close()


def _sized(request: Request, session: Any) -> Request:
    """The request with every output's shape; one that nobody states is found by a call."""
    import onnxruntime as ort

    stated = {output.name: output.shape for output in session.get_outputs()}
    outputs = []
    for tensor in request.outputs:
        shape = stated[tensor.name]
        if tensor.shape or not shape:
            outputs.append(tensor)
        elif all(isinstance(size, int) for size in shape):
            outputs.append(replace(tensor, shape=tuple(shape)))
        else:
            # Not as a graph, which would be captured with memory that is not ours.
            options = ort.RunOptions()
            options.add_run_config_entry("gpu_graph_id", NO_GRAPH)
            [answer] = session.run([tensor.name], zeros(request), options)
            outputs.append(replace(tensor, shape=answer.shape))
    return replace(request, outputs=tuple(outputs))


def _text(value: Value) -> str:
    """As the provider wants it: booleans as digits."""
    return str(int(value)) if isinstance(value, bool) else str(value)
