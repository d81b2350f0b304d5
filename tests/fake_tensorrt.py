"""TensorRT without TensorRT: as much of its Python interface as rtfloor uses, and not a member more.

An "engine" is the ONNX file and what the builder was told; it "runs" in onnx's reference evaluator, on memory at the
addresses it is given. What the real library refuses, as far as its documentation says so, is refused here too, and in
its manner: by None or False and a line in the log, seldom by an exception. A test holds the members against a list
that was read from the real bindings.
"""

from __future__ import annotations

import ctypes
import json
import pickle
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from fake_gpu_memory import FakeGpu

API = json.loads((Path(__file__).parent / "runtimes/data/tensorrt_api.json").read_text("utf-8"))
V10, V11 = API
MAGIC = b"fake engine"
UNKNOWN = {"Det", "SequenceEmpty"}
KINDS = {
    "float32": "FLOAT", "float64": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "bool": "BOOL",
}  # fmt: skip


class Bound:
    """A class of the bindings: attributes that are not there cannot be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


def make(gpu: FakeGpu, version: str = V10) -> Any:
    """A module to put in the place of ``tensorrt``.

    Its ``_told`` says what happened: ``built`` (what each engine was built with), ``timings`` (what each build knew
    before), ``contexts`` (how many), ``plugins`` (whether they were registered). It takes orders: ``answers`` (whether
    calls succeed), ``verbose`` (whether layers can be inspected), ``takes_profiles``.

    Args:
        gpu: whose memory and streams it works on.
        version: one that the list of members has.
    """
    trt: Any = ModuleType("tensorrt")
    trt.__version__ = version
    trt._told = SimpleNamespace(
        built=[], timings=[], contexts=0, answers=True, verbose=True, takes_profiles=True, plugins=False
    )
    told, weakly_typed = trt._told, version == V10
    for name, members in API[version]["enums"].items():
        if "." not in name:
            setattr(trt, name, IntEnum(name, members))
    severity = IntEnum("Severity", API[version]["enums"]["ILogger.Severity"])

    class ILogger:  # unlike the others: it is there to be derived from
        Severity = severity

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        told.plugins = True
        return isinstance(logger, ILogger)

    def complain(logger: Any, text: str) -> None:
        logger.log(severity.ERROR, text)

    class ITensor(Bound):
        name: str = ""
        shape: tuple[int, ...] = ()

        def __init__(self, name: str, shape: tuple[int, ...] = ()) -> None:
            self.name, self.shape = name, shape

    class ILayer(Bound):
        type: Any = None
        num_outputs = 0

        def __init__(self, node: onnx.NodeProto) -> None:
            self._node, self._constraints = node, {}
            kinds = {"LayerNormalization": "NORMALIZATION", "Conv": "CONVOLUTION"}
            self.type = trt.LayerType[kinds.get(node.op_type, "ELEMENTWISE")]
            self.num_outputs = len(node.output)

        def get_output(self, index: int) -> ITensor:
            return ITensor(self._node.output[index])

    class INormalizationLayer(ILayer):
        pass

    if weakly_typed:

        def set_output_type(self: Any, index: int, kind: Any) -> None:
            self._constraints[index] = trt.DataType(kind).name

        ILayer.precision = INormalizationLayer.compute_precision = trt.DataType.FLOAT  # type: ignore[attr-defined]
        ILayer.set_output_type = set_output_type  # type: ignore[attr-defined]

    class INetworkDefinition(Bound):
        num_inputs = num_layers = 0

        def __init__(self, flags: int) -> None:
            self._flags, self._model = flags, None
            self._inputs: list[ITensor] = []
            self._layers: list[ILayer] = []

        def get_input(self, index: int) -> ITensor:
            return self._inputs[index]

        def get_layer(self, index: int) -> ILayer:
            return self._layers[index]

    class ParserError(Bound):
        def __init__(self, index: int, node: onnx.NodeProto) -> None:
            self._index, self._node = index, node

        def node(self) -> int:
            return self._index

        def node_name(self) -> str:
            return str(self._node.name)

        def node_operator(self) -> str:
            return str(self._node.op_type)

        def desc(self) -> str:
            return "no importer for this operator,\nand no plugin either"

        def code(self) -> Any:
            return trt.ErrorCode.UNSUPPORTED_NODE

    class OnnxParser(Bound):
        num_errors = 0

        def __init__(self, network: INetworkDefinition, logger: Any) -> None:
            self._network, self._logger = network, logger
            self._errors: list[ParserError] = []

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

        def parse_from_file(self, model: str) -> bool:
            try:
                read = onnx.load(model)
            except Exception:  # noqa: BLE001  # whatever it is, it is no model
                complain(self._logger, f"failed to parse {model}")
                return False
            bad = [(index, node) for index, node in enumerate(read.graph.node) if node.op_type in UNKNOWN]
            self._errors = [ParserError(*pair) for pair in bad]
            self.num_errors = len(bad)
            weights = {weight.name for weight in read.graph.initializer}
            network = self._network
            network._model = read
            network._inputs = [ITensor(i.name, _open_shape(i)) for i in read.graph.input if i.name not in weights]
            network._layers = [ILayer(node) for node in read.graph.node]
            network.num_inputs, network.num_layers = len(network._inputs), len(network._layers)
            return not bad

    class IOptimizationProfile(Bound):
        def __init__(self) -> None:
            self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002  # the bindings' own names
            self._shapes[input] = (tuple(min), tuple(opt), tuple(max))

    class ITimingCache(Bound):
        def __init__(self, known: bytes) -> None:
            self._known = known

        def serialize(self) -> memoryview:
            return memoryview(self._known)

    class IBuilderConfig(Bound):
        builder_optimization_level = 3
        max_aux_streams = -1
        profiling_verbosity: Any = trt.ProfilingVerbosity.LAYER_NAMES_ONLY

        def __init__(self, logger: Any) -> None:
            self._flags = {trt.BuilderFlag.TF32}
            self._pools: dict[str, int] = {}
            self._profiles: list[IOptimizationProfile] = []
            self._timings: ITimingCache | None = None
            self._logger = logger

        def set_flag(self, flag: Any) -> None:
            self._flags.add(trt.BuilderFlag(flag))

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(trt.BuilderFlag(flag))

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._pools[trt.MemoryPoolType(pool).name] = pool_size

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            if not told.takes_profiles:
                return -1
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
            return ITimingCache(bytes(serialized_timing_cache))

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:  # noqa: FBT001  # theirs
            if cache._known and not cache._known.startswith(gpu.name.encode()) and not ignore_mismatch:
                complain(self._logger, "the timing cache was made on another GPU")
                return False
            self._timings = cache
            return True

        def get_timing_cache(self) -> ITimingCache | None:
            return self._timings

    class Builder(Bound):
        def __init__(self, logger: Any) -> None:
            if not isinstance(logger, ILogger):
                raise TypeError("incompatible constructor arguments")
            self._logger = logger

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(self._logger)

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> memoryview | None:
            flags = {flag.name for flag in config._flags}
            typed = (
                bool(network._flags & 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)) or not weakly_typed
            )
            constraints = [layer for layer in network._layers if layer._constraints]
            profiled = config._profiles[0]._shapes if config._profiles else {}
            missing = [tensor.name for tensor in network._inputs if -1 in tensor.shape and tensor.name not in profiled]
            if typed and flags & {"FP16", "BF16"}:
                return complain(self._logger, "a strongly typed network takes no precision flags")
            if missing:
                return complain(self._logger, f"no profile for {missing}")
            assert config._timings is not None
            told.timings.append(config._timings._known)
            config._timings._known = gpu.name.encode() + b" timings"
            built = {
                "flags": flags,
                "typed": typed,
                "level": config.builder_optimization_level,
                "aux_streams": config.max_aux_streams,
                "pools": config._pools,
                "profile": profiled,
                "constraints": {layer.get_output(0).name: layer._constraints for layer in constraints},
                "norms": [
                    layer.compute_precision.name  # type: ignore[attr-defined]
                    for layer in network._layers
                    if isinstance(layer, INormalizationLayer)
                ],
                "detailed": config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED,
            }
            told.built.append(built)
            content = (trt.__version__, gpu.name, built, network._model.SerializeToString())
            return memoryview(MAGIC + pickle.dumps(content))

    class Runtime(Bound):
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            if not serialized_engine.startswith(MAGIC):
                return complain(self._logger, "magic tag does not match")
            version, name, built, model = pickle.loads(serialized_engine[len(MAGIC) :])
            if (version, name) != (trt.__version__, gpu.name):
                return complain(self._logger, f"the engine was built by {version} for {name}, not supported here")
            return ICudaEngine(self._logger, built, onnx.load_model_from_string(model))

    class EngineInspector(Bound):
        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine

        def get_engine_information(self, format: Any) -> str:  # noqa: A002  # the bindings' own name
            assert format == trt.LayerInformationFormat.JSON
            layers = [_layer(node, self._engine._built, weakly_typed) for node in self._engine._model.graph.node]
            if not (told.verbose and self._engine._built["detailed"]):
                return json.dumps({"Layers": [layer["Name"] for layer in layers], "Bindings": []})
            return json.dumps({"Layers": layers})

    class ICudaEngine(Bound):
        num_io_tensors = num_aux_streams = 0
        device_memory_size_v2 = 4096

        def __init__(self, logger: Any, built: dict[str, Any], model: onnx.ModelProto) -> None:
            self._logger, self._built, self._model = logger, built, model
            weights = {weight.name for weight in model.graph.initializer}
            self._inputs = {value.name: value for value in model.graph.input if value.name not in weights}
            self._outputs = {value.name: value for value in model.graph.output}
            self._evaluator = ReferenceEvaluator(model)
            self.num_io_tensors = len(self._inputs) + len(self._outputs)
            self.num_aux_streams = max(0, built["aux_streams"])

        def _value(self, name: str) -> onnx.ValueInfoProto:
            return self._inputs.get(name) or self._outputs[name]

        def get_tensor_name(self, index: int) -> str:
            return [*self._inputs, *self._outputs][index]

        def get_tensor_mode(self, name: str) -> Any:
            return trt.TensorIOMode.INPUT if name in self._inputs else trt.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return trt.DataType[KINDS[_kind(self._value(name)).name]]

        def get_tensor_location(self, name: str) -> Any:
            readers = [node for node in self._model.graph.node if node.op_type == "Reshape" and node.input[1] == name]
            return trt.TensorLocation.HOST if readers else trt.TensorLocation.DEVICE

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return _open_shape(self._value(name))

        def create_execution_context(self) -> IExecutionContext:
            told.contexts += 1
            return IExecutionContext(self)

        def create_engine_inspector(self) -> EngineInspector:
            return EngineInspector(self)

    class IExecutionContext(Bound):
        nvtx_verbosity: Any = trt.ProfilingVerbosity.DETAILED

        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine
            self._shapes = {name: engine.get_tensor_shape(name) for name in engine._inputs}
            self._addresses: dict[str, int] = {}
            self._called = False

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            least, _, most = self._engine._built["profile"][name]
            if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
                return False
            self._shapes[name] = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            if name in self._shapes:
                return self._shapes[name]
            engine = self._engine
            makers = {output: node.op_type for node in engine._model.graph.node for output in node.output}
            if makers[name] == "NonZero":
                return (-1, -1)
            zeros = {key: np.zeros(shape, _kind(engine._inputs[key])) for key, shape in self._shapes.items()}
            return tuple(engine._evaluator.run([name], zeros)[0].shape)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            if name not in self._engine._inputs and name not in self._engine._outputs:
                return False
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            engine = self._engine
            if not told.answers:
                complain(engine._logger, "Error Code 1: Cuda Runtime (an illegal memory access was encountered)")
                return False
            if self._addresses.keys() != {*engine._inputs, *engine._outputs} or not stream_handle:
                complain(engine._logger, "no address, or no stream")
                return False
            if gpu.capturing_on(stream_handle) and not self._called:
                complain(engine._logger, "a first call cannot be captured")
                return False
            self._called = True
            gpu.submit(stream_handle, self._work)
            return True

        def _work(self) -> None:
            engine = self._engine
            feeds = {
                name: _array(self._addresses[name], shape, _kind(engine._inputs[name])).copy()
                for name, shape in self._shapes.items()
            }
            for (name, value), answer in zip(engine._outputs.items(), engine._evaluator.run(None, feeds), strict=True):
                _array(self._addresses[name], answer.shape, _kind(value))[...] = answer

    for kind in (
        ILogger, ITensor, ILayer, INormalizationLayer, INetworkDefinition, ParserError, OnnxParser, ITimingCache,
        IOptimizationProfile, IBuilderConfig, Builder, Runtime, EngineInspector, ICudaEngine, IExecutionContext,
    ):  # fmt: skip
        setattr(trt, kind.__name__, kind)
    trt.init_libnvinfer_plugins = init_libnvinfer_plugins
    return trt


def _kind(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _open_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value if size.HasField("dim_value") else -1 for size in value.type.tensor_type.shape.dim)


def _array(address: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), kind).reshape(shape)


def _layer(node: onnx.NodeProto, built: dict[str, Any], old: bool) -> dict[str, Any]:  # noqa: FBT001  # a fact
    """What the inspector would say of a node: in the words of 10.x, or with 11.x's split field."""
    half = "FP16" in built["flags"]
    words = {"Format/Datatype": f"Row major linear {'FP16' if half else 'FP32'} format"}
    if not old:
        words = {"Format": "Row major linear (kLINEAR)", "DataType": "Float"}
    tactic = "tf32f32_tf32f32_f32" if "TF32" in built["flags"] else "f16f16" if half else "f32f32"
    return {
        "Name": node.name or node.output[0],
        "LayerType": "CaskConvolution" if node.op_type == "Conv" else "kgen",
        "Inputs": [{"Name": name, **words} for name in node.input[:1]],
        "Outputs": [{"Name": name, **words} for name in node.output],
        "TacticName": f"sm90_xmma_fprop_implicit_gemm_{tactic}" if node.op_type == "Conv" else "",
    }
