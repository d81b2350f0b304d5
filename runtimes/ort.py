"""ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.base import Facts, Request, Runtime, Session
from runtimes.errors import EngineError, UnsupportedError, engine_error
from runtimes.installed import Probe, owners_of, probe_distributions
from runtimes.ort_axes import AXES, CLASHES
from runtimes.ort_fixed import FIXED
from runtimes.ort_keys import attributes, enumerators, names_in
from runtimes.ort_model import artefact, ready, rewritten_ahead
from runtimes.ort_model import make as write_rewritten
from runtimes.ort_settings import affinities, member, refusal, told
from runtimes.ort_snippet import write_snippet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtimes.base import Array, Snippet
    from runtimes.options import Clash, Fixed, Option, Value
    from runtimes.profiled_nodes import Profile

# They bring the same module.
TWINS = ("onnxruntime", "onnxruntime-gpu")
CPU = "CPUExecutionProvider"
# Attributes and keys that are always said: a default of the library's may be another one in its next release.
ALWAYS = ("enable_mem_reuse", "enable_mem_pattern", "enable_cpu_mem_arena")
SPINNING = ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning")
# Common pools and a common arena, once made, are the process's: what they were made as.
_COMMON: dict[str, object] = {}


class OrtCpu(Runtime):
    """The default CPU provider, one session per concurrent caller."""

    name = "ort-cpu"
    title = "ONNX Runtime, CPU"
    distributions = ("onnxruntime",)
    install = "pip install 'rtfloor[cpu]'"
    options: ClassVar[tuple[Option, ...]] = AXES
    fixed: ClassVar[tuple[Fixed, ...]] = FIXED
    clashes: ClassVar[tuple[Clash, ...]] = CLASHES

    def probe(self) -> Probe:
        """Either distribution will do: that for GPUs computes on processors, too."""
        owners = owners_of("onnxruntime", TWINS)
        return probe_distributions(owners[:1] or self.distributions, self.install)

    def start(self) -> None:
        import onnxruntime

        # Warnings about the graph belong on stderr only when they are errors: a chatty load
        # must not fill the tail that explains a crash.
        onnxruntime.set_default_logger_severity(3)

    def environment(self, request: Request) -> dict[str, str]:
        """What its kernels are told by variables alone."""
        return dict(told(request).variables)

    def refusal(self, options: Mapping[str, Value], threads: int) -> str:
        """Clashes, and more threads than there are."""
        return super().refusal(options, threads) or refusal(options, threads)

    def settings_here(self) -> tuple[str, ...]:
        """Attributes of its classes, then keys and variables that are in its library."""
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as bindings

        declared = [setting for option in self.options for setting in option.settings]
        declared += [one.setting for one in self.fixed]
        try:
            names = names_in([Path(bindings.__file__)], declared)
        except OSError as error:
            raise engine_error("onnxruntime's library could not be read", error) from error
        members = enumerators(bindings)
        classes = (*attributes(ort.SessionOptions), *attributes(ort.RunOptions))
        return (*classes, *(name for name in names if name not in members))

    def snippet(self, request: Request) -> Snippet:
        """A script with these threads, sessions and options, and nothing that is at its default."""
        return write_snippet(request, self._providers(request))

    def builds(self, request: Request) -> bool:
        return rewritten_ahead(request)

    def build(self, request: Request) -> dict[str, Any]:
        """Have the graph rewritten into a file, where one is to be loaded."""
        if not rewritten_ahead(request):
            return {}
        path = self._artefact(request)
        made = not ready(path)
        if made:
            try:
                self._rewrite(request, path)
            except EngineError:
                raise
            except Exception as error:  # every failure of a foreign library becomes a row
                raise engine_error(f"onnxruntime could not rewrite {request.model.name}", error) from error
        facts = {"artefact": path.name, "artefact_bytes": path.stat().st_size}
        return facts if made else {"cached": True, **facts}

    def load(self, request: Request) -> list[Session]:
        """One session of the engine for each of ours."""
        try:
            self._make_common(request)
            path = request.model
            if rewritten_ahead(request):
                path = self._artefact(request)
                if not ready(path):
                    self._rewrite(request, path)
            return [self._load(request, path, number) for number in range(request.sessions)]
        except EngineError:
            raise
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
                self._make_common(request)
                model, graph = named_model(request.model, Path(folder))
                settings, rewritten = self._settings(request), Path(folder) / "rewritten.onnx"
                _pin(settings, request, 0)
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
            except EngineError:
                raise
            except Exception as error:  # every failure of a foreign library becomes a row
                raise engine_error(f"onnxruntime could not profile {request.model.name}", error) from error
        return ort_nodes.read_trace(events, WARMUP_CALLS, originals)

    def _providers(self, request: Request) -> list[Any]:
        return [CPU]

    def _settings(self, request: Request) -> Any:
        """What every session is told."""
        import onnxruntime as ort

        given, settings, said = request.options, ort.SessionOptions(), told(request)
        settings.inter_op_num_threads = 1
        settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        for name in ALWAYS:
            setattr(settings, name, given[name])
        for key in SPINNING:
            settings.add_session_config_entry(key, said.entries.get(key, "1"))
        for name, value in said.attributes.items():
            setattr(settings, name, member(ort, value))
        for key, value in said.entries.items():
            settings.add_session_config_entry(key, value)
        return settings

    def _load(self, request: Request, path: Path, number: int) -> OrtSession:
        import onnxruntime as ort

        settings = self._settings(request)
        _pin(settings, request, number)
        if rewritten_ahead(request):
            # It was rewritten with these settings already.
            settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(str(path), settings, self._providers(request))
        entries, options = told(request).run_entries, ort.RunOptions()
        for key, value in entries.items():
            options.add_run_config_entry(key, value)
        return OrtSession(session, request, options if entries else None)

    def _rewrite(self, request: Request, path: Path) -> None:
        import onnxruntime as ort

        self._make_common(request)
        providers = self._providers(request)
        write_rewritten(
            path,
            self._settings(request),
            lambda settings: ort.InferenceSession(str(request.model), settings, providers),
        )

    def _artefact(self, request: Request) -> Path:
        import onnxruntime as ort

        return artefact(request, ort.__version__)

    def _make_common(self, request: Request) -> None:
        """Make what sessions share, where they share anything; the library makes it once in a process."""
        import onnxruntime as ort

        said = told(request)
        for name, wanted in (("pools", said.pools), ("arena", said.arena)):
            if _COMMON.get(name, wanted) != wanted:
                raise EngineError(f"onnxruntime: this process has other common {name}; use another process")
        if said.pools and "pools" not in _COMMON:
            if not hasattr(ort, "set_global_thread_pool_sizes"):
                raise UnsupportedError("onnxruntime: this version makes no common pool; it came with 1.23")
            ort.set_global_thread_pool_sizes(*said.pools)
            _COMMON["pools"] = said.pools
        if said.arena is not None and "arena" not in _COMMON:
            place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
            ort.create_and_register_allocator(place, ort.OrtArenaCfg({"arena_extend_strategy": said.arena}))
            _COMMON["arena"] = said.arena


class OrtSession(Session):
    """One ``InferenceSession``.

    Args:
        session: of the library.
        request: what was asked.
        options: for every call; None where there is nothing to say.
    """

    def __init__(self, session: Any, request: Request, options: Any = None) -> None:
        self._session = session
        asked = str(request.options["precision"])
        self._precision = request.precision if asked == "fp32" else asked
        self._names = [output.name for output in request.outputs]
        self._call = session.run
        # No third argument where there is nothing to say, as in an application.
        self._more = () if options is None else (options,)

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        try:
            return self._call(self._names, feeds, *self._more)  # type: ignore[no-any-return]  # untyped library
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error("onnxruntime could not answer", error) from error

    def facts(self) -> Facts:
        # The CPU provider computes a graph as it stands: it never lowers precision by itself.
        # The CUDA provider's TF32 is switched on or off explicitly, so what was asked is what ran.
        providers = self._session.get_providers()
        device = "cuda:0" if providers[0] == "CUDAExecutionProvider" else "cpu"
        return Facts(self._precision, device, {"providers": providers})


def _pin(settings: Any, request: Request, number: int) -> None:
    """Give every pool thread of one session a processor, where that is asked for."""
    pinned = affinities(request, number) if request.options.get("pin_threads") else ""
    if pinned:
        settings.add_session_config_entry("session.intra_op_thread_affinities", pinned)
