"""OpenVINO on the CPU."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.base import Facts, Request, Runtime, Session, Snippet
from runtimes.errors import engine_error
from runtimes.openvino_axes import AXES, CLASHES, FIXED, properties, variables
from runtimes.openvino_snippet import script
from runtimes.options import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array
    from runtimes.openvino_nodes import Counter as Reading
    from runtimes.openvino_nodes import Op
    from runtimes.profiled_nodes import Profile

NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
# Where the arithmetic is. A graph without any of these is judged by its other floating-point layers.
HEAVY = {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq", "LSTMCell", "LSTMSequence"}
# Layers whose precision says nothing about the arithmetic: constants, copies, graph ends.
MOVES = {"Const", "Input", "Output", "Reorder", "Reshape", "Concatenation", "Transpose", "Split", "MemoryInput"}
# What oneDNN calls its variables after its own name.
ONEDNN = {"MAX_CPU_ISA", "CPU_ISA_HINTS", "DEFAULT_FPMATH_MODE", "PRIMITIVE_CACHE_CAPACITY"}
# Looks like a variable, and is the key under which a model keeps the version that wrote it.
NO_SETTINGS = {"OV_VERSION"}


class OpenVinoCpu(Runtime):
    """One compiled model with one stream per concurrent caller."""

    name = "openvino"
    title = "OpenVINO, CPU"
    distributions = ("openvino",)
    install = "pip install 'rtfloor[cpu]'"
    options = AXES
    fixed = FIXED
    clashes = CLASHES

    def environment(self, request: Request) -> dict[str, str]:
        """Which instructions may be used; both libraries read it once."""
        return variables(request.options)

    def start(self) -> None:
        import openvino

        del openvino

    def settings_here(self) -> tuple[str, ...]:
        """Properties that the plugin takes, listed or not, variables that it looks for, and ways of calling."""
        import openvino as ov

        words = _words(Path(ov.__file__).parent / "libs")
        core = ov.Core()
        # Until the plugin is there, any name is taken and kept for it.
        core.get_property("CPU", "FULL_DEVICE_NAME")
        found = [name for name in sorted(words) if _is_property(core, name)]
        found += sorted(f"ONEDNN_{name}" for name in ONEDNN & words)
        found += sorted(name for name in words if name.startswith(("OV_", "OPENVINO_")) and name not in NO_SETTINGS)
        for call in (ov.InferRequest.infer, ov.InferRequest.start_async):
            names = [name for name in inspect.signature(call).parameters if name != "self"]
            found += [f"InferRequest.{call.__name__}({name})" for name in names]
        return (*found, "InferRequest.start_async")

    def snippet(self, request: Request) -> Snippet:
        told = properties(request)
        environment = variables(request.options)
        return Snippet(
            script(request, told, environment), {key: text(value) for key, value in told.items()}, environment
        )

    def load(self, request: Request) -> list[Session]:
        try:
            _, compiled = self._compile(request, {})
            return [OpenVinoSession(compiled, request) for _ in range(request.sessions)]
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"openvino could not load {request.model.name}", error) from error

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Its performance counters, and the names that the compiled model kept of the imported one."""
        from runtimes import openvino_nodes
        from runtimes.graph_nodes import named_model
        from runtimes.profiled_nodes import WARMUP_CALLS

        try:
            with tempfile.TemporaryDirectory(prefix="rtfloor-profile-") as folder:
                path, graph = named_model(request.model, Path(folder))
                model, compiled = self._compile(replace(request, model=path), {"PERF_COUNT": True})
            infer_request = compiled.create_infer_request()
            latencies_ns = []
            before: list[Reading] = []
            for number in range(WARMUP_CALLS + calls):
                if number == WARMUP_CALLS:
                    before = _readings(infer_request)
                # By position, because a port can carry several names.
                given = feeds[number % len(feeds)]
                infer_request.infer({index: given[item.name] for index, item in enumerate(request.inputs)})
                latencies_ns.append(infer_request.latency * 1e6)
            originals = openvino_nodes.stand_for(graph, _ops(model), _ops(compiled.get_runtime_model()))
            after = _readings(infer_request)
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"openvino could not profile {request.model.name}", error) from error
        counted = (WARMUP_CALLS, WARMUP_CALLS + calls)
        return openvino_nodes.read_counters(before, after, counted, latencies_ns[WARMUP_CALLS:], originals)

    def _compile(self, request: Request, more: dict[str, Any]) -> tuple[Any, Any]:
        """The model as it was imported, and compiled."""
        import openvino as ov

        core = ov.Core()
        model = core.read_model(str(request.model))
        # A file may have left sizes open where fixing them would have broken it.
        if any(port.partial_shape.is_dynamic for port in model.inputs):
            model.reshape({index: list(item.shape) for index, item in enumerate(request.inputs)})
        return model, core.compile_model(model, "CPU", properties(request) | more)


class OpenVinoSession(Session):
    """One infer request of a compiled model."""

    def __init__(self, compiled: Any, request: Request) -> None:
        self._compiled = compiled
        infer_request = compiled.create_infer_request()
        self._request = infer_request
        self._infer = infer_request.infer
        self._names = [item.name for item in request.inputs]
        self._share = bool(request.options["share_inputs"])
        self._asynchronous = request.options["call"] == "start_async"
        # The request's own input memory, viewed once and here: handing arrays to infer() costs
        # 25 µs more a call, and looking at a tensor's memory for the first time from two threads
        # at once made both wait for each other for ever (once in about a hundred processes).
        # By position, because a port can carry several names.
        self._inputs = [
            (item.name, infer_request.get_input_tensor(index).data) for index, item in enumerate(request.inputs)
        ]
        self._outputs = range(len(request.outputs))
        for index, item in enumerate(request.outputs):
            if item.shape:
                _ = infer_request.get_output_tensor(index).data

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        given: Any = None
        if self._share:
            given = [feeds[name] for name in self._names]
        else:
            for name, memory in self._inputs:
                memory[...] = feeds[name]
        try:
            if self._asynchronous:
                self._request.start_async(given, share_inputs=self._share)
                self._request.wait()
                return [self._request.get_output_tensor(index).data.copy() for index in self._outputs]
            answers = self._infer(given, share_inputs=self._share)  # copies its outputs out
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error("openvino could not answer", error) from error
        return [answers[index] for index in self._outputs]

    def _quantises(self) -> bool:
        """Whether activations beside compressed weights are quantised while it runs."""
        try:
            return int(self._compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) > 0
        except RuntimeError:  # a plugin that knows no such thing does no such thing
            return False

    def facts(self) -> Facts:
        layers: Counter[tuple[str, str]] = Counter()
        grouped = self._quantises()
        for op in self._compiled.get_runtime_model().get_ops():
            info = op.get_rt_info()
            kind, precision = _text(info["layerType"]), _text(info["runtimePrecision"])
            if kind == "FullyConnected" and _compressed(op):
                # Beside weights of few bits OpenVINO quantises activations as it goes, and computes in 8 bits.
                precision = "f32"
                layers[kind, "i8"] += grouped
            layers[kind, precision] += 1
        return Facts(
            _precision(layers),
            "cpu",
            {
                "layers": {f"{kind} {precision}": count for (kind, precision), count in sorted(layers.items())},
                "streams": int(self._compiled.get_property("NUM_STREAMS")),
                "threads": int(self._compiled.get_property("INFERENCE_NUM_THREADS")),
            },
        )


def _words(folder: Path) -> set[str]:
    """Everything in the plugin and the library below it that is spelled like the name of a setting."""
    files = [path for pattern in ("libopenvino_intel_cpu_plugin.*", "libopenvino.*") for path in folder.glob(pattern)]
    spelled = re.compile(rb"(?<=\0)[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?=\0)")
    return {word.decode() for path in files for word in spelled.findall(path.read_bytes())}


def _is_property(core: Any, name: str) -> bool:
    """Whether the plugin knows a property of that name: it complains of the value then, or of nothing."""
    try:
        core.set_property("CPU", {name: "?"})
    except Exception as error:  # noqa: BLE001  # the binding raises what it likes; the text tells
        return "Unsupported property" not in str(error)
    return True


def _compressed(op: Any) -> bool:
    """Whether a product takes floating-point values and weights of 4 or 8 bits."""
    kinds = [entry.get_element_type().to_string() for entry in op.inputs()[:2]]
    return len(kinds) == 2 and kinds[0].startswith(("f", "bf")) and kinds[1] in {"i4", "u4", "i8", "u8"}


def _precision(layers: Counter[tuple[str, str]]) -> str:
    heavy = {NAMES[precision] for kind, precision in layers if kind in HEAVY and precision in NAMES}
    other = {NAMES[p] for kind, p in layers if kind not in MOVES and NAMES.get(p, "int8") != "int8"}
    return "+".join(sorted(heavy or other or {"fp32"}))


def _text(value: Any) -> str:
    return str(value.astype(str)) if hasattr(value, "astype") else str(value)


def _readings(infer_request: Any) -> list[Reading]:
    """The counters of the nodes that ran."""
    from runtimes.openvino_nodes import Counter as Reading

    return [
        Reading(line.node_name, line.node_type, line.exec_type, line.real_time.total_seconds() * 1e6)
        for line in infer_request.profiling_info
        if line.status.name == "EXECUTED"
    ]


def _ops(model: Any) -> list[Op]:
    """A model's operations as plain values, sources first."""
    from runtimes.openvino_nodes import Op

    ops = []
    for op in model.get_ordered_ops():
        info = op.get_rt_info()
        layers = _text(info["originalLayersNames"]) if "originalLayersNames" in info else ""
        kind = _text(info["layerType"]) if "layerType" in info else ""
        tensors = tuple(name for port in op.outputs() for name in port.get_names())
        sources = tuple(port.get_source_output().get_node().get_friendly_name() for port in op.inputs())
        ops.append(Op(op.get_friendly_name(), tensors, sources, tuple(filter(None, layers.split(","))), kind))
    return ops
