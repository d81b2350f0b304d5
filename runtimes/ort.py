"""ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.base import Facts, Request, Runtime, Session
from runtimes.errors import engine_error
from runtimes.installed import Probe, owners_of, probe_distributions
from runtimes.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array
    from runtimes.profiled_nodes import Profile

# They bring the same module.
TWINS = ("onnxruntime", "onnxruntime-gpu")
LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}


class OrtCpu(Runtime):
    """The default CPU provider, one session per concurrent caller."""

    name = "ort-cpu"
    title = "ONNX Runtime, CPU"
    distributions = ("onnxruntime",)
    install = "pip install 'rtfloor[cpu]'"
    options: ClassVar[tuple[Option, ...]] = (
        Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),
        Option("graph_optimization_level", "all", "how far the graph is rewritten on load", tuple(LEVELS)),
        Option("execution_mode", "sequential", "nodes one by one, or side by side", ("sequential", "parallel")),
        Option("enable_mem_reuse", True, "reuse a dead tensor's memory"),
        Option("enable_mem_pattern", True, "plan memory once per input shape"),
        Option("enable_cpu_mem_arena", True, "keep freed memory for the next call"),
        Option("allow_spinning", True, "idle pool threads spin before they sleep"),
    )

    def probe(self) -> Probe:
        """Either distribution will do: that for GPUs computes on processors, too."""
        owners = owners_of("onnxruntime", TWINS)
        return probe_distributions(owners[:1] or self.distributions, self.install)

    def start(self) -> None:
        import onnxruntime

        # Warnings about the graph belong on stderr only when they are errors: a chatty load
        # must not fill the tail that explains a crash.
        onnxruntime.set_default_logger_severity(3)

    def load(self, request: Request) -> list[Session]:
        import onnxruntime as ort

        try:
            return [
                OrtSession(
                    ort.InferenceSession(str(request.model), self._settings(request), self._providers(request)), request
                )
                for _ in range(request.sessions)
            ]
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"onnxruntime could not load {request.model.name}", error) from error

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Its trace, and the rewritten graph, which says what a node of the trace stands for."""
        import onnx
        import onnxruntime as ort

        from runtimes import ort_nodes
        from runtimes.graph_nodes import named_model
        from runtimes.profiled_nodes import WARMUP_CALLS

        with tempfile.TemporaryDirectory(prefix="rtfloor-profile-") as folder:
            try:
                model, graph = named_model(request.model, Path(folder))
                settings, rewritten = self._settings(request), Path(folder) / "rewritten.onnx"
                settings.optimized_model_filepath = str(rewritten)
                # Weights would count against the 2 GiB that a file may have, and nobody reads them.
                settings.add_session_config_entry(
                    "session.optimized_model_external_initializers_file_name", "weights.bin"
                )
                settings.enable_profiling = True
                settings.profile_file_prefix = str(Path(folder) / "trace")
                session = ort.InferenceSession(str(model), settings, self._providers(request))
                names = [output.name for output in request.outputs]
                for number in range(WARMUP_CALLS + ort_nodes.calls_for(graph, calls)):
                    session.run(names, feeds[number % len(feeds)])
                events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
                originals = ort_nodes.stand_for(graph, onnx.load(rewritten, load_external_data=False))
            except Exception as error:  # every failure of a foreign library becomes a row
                raise engine_error(f"onnxruntime could not profile {request.model.name}", error) from error
        return ort_nodes.read_trace(events, WARMUP_CALLS, originals)

    def _providers(self, request: Request) -> list[Any]:
        return ["CPUExecutionProvider"]

    def _settings(self, request: Request) -> Any:
        import onnxruntime as ort

        given, settings = request.options, ort.SessionOptions()
        settings.intra_op_num_threads = request.threads
        settings.inter_op_num_threads = request.threads if given["execution_mode"] == "parallel" else 1
        mode = ort.ExecutionMode
        settings.execution_mode = mode.ORT_PARALLEL if given["execution_mode"] == "parallel" else mode.ORT_SEQUENTIAL
        settings.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, LEVELS[str(given["graph_optimization_level"])]
        )
        settings.enable_mem_reuse = given["enable_mem_reuse"]
        settings.enable_mem_pattern = given["enable_mem_pattern"]
        settings.enable_cpu_mem_arena = given["enable_cpu_mem_arena"]
        # Config keys are taken without complaint even when they do not exist, so only these two
        # fixed ones are ever passed.
        spin = "1" if given["allow_spinning"] else "0"
        settings.add_session_config_entry("session.intra_op.allow_spinning", spin)
        settings.add_session_config_entry("session.inter_op.allow_spinning", spin)
        return settings


class OrtSession(Session):
    """One ``InferenceSession``."""

    def __init__(self, session: Any, request: Request) -> None:
        self._session = session
        asked = str(request.options["precision"])
        self._precision = request.precision if asked == "fp32" else asked
        self._names = [output.name for output in request.outputs]
        self._call = session.run

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        try:
            return self._call(self._names, feeds)  # type: ignore[no-any-return]  # untyped library
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error("onnxruntime could not answer", error) from error

    def facts(self) -> Facts:
        # The CPU provider computes a graph as it stands: it never lowers precision by itself.
        # The CUDA provider's TF32 is switched on or off explicitly, so what was asked is what ran.
        providers = self._session.get_providers()
        device = "cuda:0" if providers[0] == "CUDAExecutionProvider" else "cpu"
        return Facts(self._precision, device, {"providers": providers})
