"""TensorRT: engines built ahead and cached, run on a stream of ours, as a CUDA graph or not.

Not yet run on hardware: written against the bindings of 10.16.1.11 and 11.4.0.106 and NVIDIA's documentation.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.artefacts import intact, keep, key_digest
from runtimes.base import Facts, Runtime
from runtimes.errors import EngineError, UnavailableError, UnsupportedError
from runtimes.gpu.driver import CudaError
from runtimes.gpu.graph import Graph
from runtimes.gpu.options import GRAPH, TRANSFER, WAIT, check_tf32, probe_gpu
from runtimes.gpu.session import GpuSession, open_gpu, opened_gpu, precision_ran, zeros
from runtimes.installed import Probe
from runtimes.tensorrt_build import OPTIONS, compile_engine, failure, is_typed, make_log, shaping
from runtimes.tensorrt_io import check_inputs, sized_outputs
from runtimes.tensorrt_layers import read_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import tensorrt as trt

    from runtimes.base import Array, Request, Session
    from runtimes.gpu.device import Gpu
    from runtimes.options import Option
    from runtimes.profiled_nodes import Profile

# Each of these brings the module ``tensorrt``; the last one comes with NVIDIA's archive as well.
PACKAGES = ("tensorrt-cu13", "tensorrt-cu12", "tensorrt")


class TensorRt(Runtime):
    """One engine per question, one execution context and one stream per concurrent caller."""

    name = "tensorrt"
    device = "gpu"
    title = "TensorRT"
    distributions = PACKAGES
    install = "pip install 'rtfloor[tensorrt]'"
    precision_option, *own_options = OPTIONS
    options: ClassVar[tuple[Option, ...]] = (precision_option, TRANSFER, GRAPH, WAIT, *own_options)

    def probe(self) -> Probe:
        """A GPU, and any package that brings TensorRT; whether its libraries load shows only when it is imported."""
        return probe_gpu(self._packages)

    def start(self) -> None:
        """Import the bindings, which load TensorRT's libraries."""
        try:
            import tensorrt  # noqa: F401  # the import is the question
        except ImportError as error:
            raise UnavailableError(
                f"TensorRT does not load ({error}); {self.install} fetches its libraries from NVIDIA's own package "
                "index, or put the folder lib of NVIDIA's archive on LD_LIBRARY_PATH"
            ) from error

    def build(self, request: Request) -> dict[str, Any]:
        """Compile into ``request.cache``, unless an intact engine for the same question is there."""
        with ExitStack() as stack:
            gpu = open_gpu(str(request.options["wait"]))
            stack.push(gpu)
            here = self._here(gpu)
            artefact = self._artefact(request, here)
            facts = {"artefact": artefact.name, **here}
            if intact(artefact):
                return {"cached": True, **facts, "artefact_bytes": artefact.stat().st_size}
            more = self._compile(request, here, artefact)
        return {**facts, "artefact_bytes": artefact.stat().st_size, **more}

    def _compile(self, request: Request, here: dict[str, Any], artefact: Path) -> dict[str, Any]:
        engine, more = compile_engine(request, here, self._log)
        keep(artefact, engine)
        return more

    def load(self, request: Request) -> list[Session]:
        """Read the engine once; every session gets a context of its own."""
        check_tf32(str(request.options["precision"]), self.title)
        sessions: list[Session] = []
        engine: trt.ICudaEngine | None = None
        for _ in range(request.sessions):
            with opened_gpu(str(request.options["wait"])) as gpu:
                try:
                    if engine is None:
                        # On the GPU that the first session needs anyway: a context more would count as loading.
                        here = self._here(gpu)
                        artefact = self._artefact(request, here)
                        if not intact(artefact):
                            self._compile(request, here, artefact)
                        engine = self._engine(artefact)
                    sessions.append(TensorRtSession(engine, request, gpu, self._log, artefact.name))
                except EngineError:
                    raise
                except Exception as error:  # every failure of a foreign library becomes a row
                    raise failure(f"tensorrt could not load {request.model.name}", self._log, error) from error
        return sessions

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Refused: its profiler runs an engine layer by layer, with waits in between."""
        raise UnsupportedError(
            f"{self.title} times layers it has fused, one by one and with waits between them; the record of every "
            "process counts and times the kernels of a call as it is"
        )

    @cached_property
    def _log(self) -> Any:
        return make_log()

    def _packages(self) -> Probe:
        for name in PACKAGES:
            try:
                return Probe(True, metadata.version(name))
            except metadata.PackageNotFoundError:
                continue
        return Probe(False, None, f"{PACKAGES[0]} is not installed", self.install)

    def _here(self, gpu: Gpu) -> dict[str, Any]:
        """What an engine is tied to."""
        import tensorrt as trt

        facts = gpu.facts()
        tied = {"gpu": facts.name, "capability": facts.capability, "driver": facts.driver}
        return {"tensorrt": str(trt.__version__), **tied}

    def _artefact(self, request: Request, here: dict[str, Any]) -> Path:
        """Where the engine for this request, on this GPU, belongs; the name tells everything that shapes it."""
        digest = key_digest({**shaping(request), **here})
        return request.cache / f"{request.model.stem[:60]}-{request.options['precision']}-{digest}.engine"

    def _engine(self, artefact: Path) -> trt.ICudaEngine:
        import tensorrt as trt

        self._log.errors.clear()
        engine = trt.Runtime(self._log).deserialize_cuda_engine(artefact.read_bytes())
        if engine is None:
            raise failure(f"tensorrt does not take the engine {artefact}; delete it to have it built anew", self._log)
        return engine


class TensorRtSession(GpuSession):
    """One execution context, whose inputs and outputs are memory of ours.

    Args:
        engine: shared with other sessions.
        request: what was asked.
        gpu: entered, this session's alone.
        log: of the process.
        artefact: the engine's own file, by name.
    """

    def __init__(self, engine: trt.ICudaEngine, request: Request, gpu: Gpu, log: Any, artefact: str) -> None:
        import tensorrt as trt

        context = engine.create_execution_context()
        if context is None:
            raise failure("tensorrt made no execution context", log)
        # An engine that tells of its layers would also announce each of them to profilers, at every call.
        context.nvtx_verbosity = trt.ProfilingVerbosity.NONE
        known = check_inputs(engine, context, request) | {tensor.name for tensor in request.outputs}
        super().__init__(replace(request, outputs=sized_outputs(engine, context, request)), gpu, "tensorrt")
        self._engine, self._context, self._log = engine, context, log
        self._request, self._artefact = request, artefact
        self._handle = int(gpu.stream.value or 0)
        for buffer in (*self.inputs, *self.outputs):
            name = buffer.tensor.name
            if name in known and not context.set_tensor_address(name, buffer.address):
                raise failure(f"tensorrt took no memory for {name!r}", log)
        self._graph: Graph | None = None
        if request.options["cuda_graph"]:
            # The first call after a change of shapes does things that cannot be captured, or need not be.
            self.run(zeros(request))
            self._graph = self._captured()

    def enqueue(self) -> None:
        """Start the graph, or the context."""
        if self._graph is not None:
            self._graph.launch()
        else:
            self._execute()

    def facts(self) -> Facts:
        """What the inspector tells of the layers."""
        import tensorrt as trt

        asked, own = str(self._request.options["precision"]), self._request.precision
        told = self._engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        layers = read_layers(told, tf32=asked == "tf32")
        details = {
            "tensorrt": str(trt.__version__),
            "engine": self._artefact,
            "asked": asked,
            "layer_norm": self._request.options["layer_norm"],
            "strongly_typed": is_typed(self._request),
            "cuda_graph": self._graph is not None,
            "aux_streams": self._engine.num_aux_streams,
            "context_bytes": self._engine.device_memory_size_v2,
            **layers.facts(),
        }
        return Facts(layers.precision() or precision_ran(asked, own), "cuda:0", details)

    def close(self) -> None:
        """Let go of the context before its stream."""
        self._graph = None
        del self._context, self._engine
        super().close()

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._handle):
            raise failure("tensorrt could not answer", self._log)

    def _captured(self) -> Graph:
        try:
            return Graph(self.gpu, self._execute)
        except (CudaError, EngineError) as error:
            raise UnsupportedError(f"tensorrt: a call cannot be captured as a CUDA graph: {error}") from error
