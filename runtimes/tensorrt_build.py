"""TensorRT's builder: from an ONNX file to a serialised engine, with a cache of what it timed.

Source: TensorRT's Python API reference, 10.16 and 11.4.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from runtimes.artefacts import intact, keep, key_digest
from runtimes.errors import EngineError, UnsupportedError, engine_error
from runtimes.options import Option
from runtimes.tensorrt_io import sizes
from runtimes.tensorrt_norms import force_half

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import tensorrt as trt

    from runtimes.base import Request

# Part of every cache key: raise it when the steps of the build change.
RECIPE = 1
FLAGS = {"fp16": "FP16", "bf16": "BF16"}
TYPED_REMEDY = (
    "with precision=fp32 a strongly typed network computes in the types of its graph: use a float16 form, such as "
    "fp16_io32"
)
OPTIONS = (
    Option(
        "precision",
        "fp32",
        "fp32 switches TF32 off, tf32 allows it; fp16 and bf16 allow kernels of these types, and no TF32",
        ("fp32", "tf32", *FLAGS),
    ),
    Option(
        "layer_norm",
        "own",
        "with fp16: TensorRT's own choice for layer normalisation, float32; or float16, forced",
        ("own", "fp16"),
    ),
    Option("strongly_typed", False, "every type as the graph states it; from TensorRT 11 on always so"),
    Option("builder_optimization_level", 3, "how long the builder looks for faster kernels", (0, 1, 2, 3, 4, 5)),
    Option("max_aux_streams", -1, "streams beside the session's own; -1: TensorRT's own choice", minimum=-1),
    Option("workspace_mib", 0, "most GPU memory that one layer may use to compute, MiB; 0: no limit", minimum=0),
    Option("sparsity", False, "kernels for sparse weights, where weights are sparse enough"),
)


def make_log() -> Any:
    """TensorRT's logger: silent, and keeps the last errors; TensorRT uses the first one of a process for everything.

    With it TensorRT's own plugins are registered, which some operators become.
    """
    import tensorrt as trt

    grave = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Log(trt.ILogger):  # type: ignore[misc, unused-ignore]  # untyped library
        def __init__(self) -> None:
            # Not super(): the bindings want their own constructor called by name.
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=20)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if severity in grave:
                self.errors.append(msg)

    log = Log()
    trt.init_libnvinfer_plugins(log, "")
    return log


def failure(doing: str, log: Any, error: BaseException | None = None) -> EngineError:
    """What went wrong, in TensorRT's last words; what they were is forgotten afterwards.

    Args:
        doing: such as ``"tensorrt could not build rt48.onnx"``.
        log: of :func:`make_log`.
        error: what was raised, if anything was; most of TensorRT's functions only answer None or False.
    """
    said = log.errors[-1] if log.errors else str(error) if error is not None else "TensorRT gave no reason"
    log.errors.clear()
    return engine_error(doing, RuntimeError(said))


def shaping(request: Request) -> dict[str, Any]:
    """Everything of a request that shapes the engine; sizes and batch are the model's own."""
    return {
        "recipe": RECIPE,
        "model": request.model_sha256,
        "inputs": [[tensor.name, list(tensor.shape)] for tensor in request.inputs],
        "options": {option.name: request.options[option.name] for option in OPTIONS},
    }


def compile_engine(request: Request, here: Mapping[str, Any], log: Any) -> tuple[memoryview, dict[str, Any]]:
    """Build an engine; a CUDA context is current.

    Args:
        request: which model and options.
        here: TensorRT's version and the GPU; timings are kept apart by it.
        log: of :func:`make_log`.

    Returns:
        The engine, and facts about the build.

    Raises:
        UnsupportedError: the model or an option is not for this TensorRT.
        EngineError: the builder failed.
    """
    import tensorrt as trt

    doing = f"tensorrt could not build {request.model.name}"
    log.errors.clear()
    try:
        builder = trt.Builder(log)
        typed = is_typed(request)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if typed else 0
        network, config = builder.create_network(flags), builder.create_builder_config()
        _arithmetic(config, request, typed=typed)
        _limits(config, request)
        _parse(network, request, log)
        norms = (0, 0)
        if request.options["layer_norm"] == "fp16":
            norms = _half_norms(network, config, request)
        _profile(builder, network, config, request)
        timings = request.cache / f"timings-{key_digest(here)}.bin"
        # It must live until the engine is built.
        cache = _with_timings(config, timings)
        log.errors.clear()
        # None where it fails, and a buffer.
        engine: Any = builder.build_serialized_network(network, config)
        if engine is None:
            raise failure(doing, log)  # noqa: TRY301  # all that can go wrong here is one function's business
        timed: Any = config.get_timing_cache().serialize()
        keep(timings, memoryview(timed))
        del cache
    except EngineError:
        raise
    except Exception as error:  # every failure of a foreign library becomes a row
        raise failure(doing, log, error) from error
    facts = {"strongly_typed": typed, "norms_forced_to_fp16": norms[0], "norm_parts_forced_to_fp16": norms[1]}
    return memoryview(engine), facts


def is_typed(request: Request) -> bool:
    """Whether the network takes its types from the graph alone."""
    import tensorrt as trt

    return bool(request.options["strongly_typed"]) or not hasattr(trt.BuilderFlag, "FP16")


def _arithmetic(config: trt.IBuilderConfig, request: Request, *, typed: bool) -> None:
    import tensorrt as trt

    asked = str(request.options["precision"])
    if typed and asked in FLAGS:
        raise UnsupportedError(f"tensorrt: a strongly typed network has no precision={asked}; {TYPED_REMEDY}")
    if request.options["layer_norm"] == "fp16" and asked != "fp16":
        raise UnsupportedError("tensorrt: layer_norm=fp16 goes with precision=fp16")
    # Allowed unless it is forbidden.
    if asked == "tf32":
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if asked in FLAGS:
        config.set_flag(getattr(trt.BuilderFlag, FLAGS[asked]))
    if request.options["sparsity"]:
        config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)


def _limits(config: trt.IBuilderConfig, request: Request) -> None:
    import tensorrt as trt

    given = request.options
    config.builder_optimization_level = int(given["builder_optimization_level"])
    # Otherwise the inspector knows names only, and nobody could say what ran.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if (streams := int(given["max_aux_streams"])) >= 0:
        config.max_aux_streams = streams
    if workspace_mib := int(given["workspace_mib"]):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib << 20)


def _parse(network: trt.INetworkDefinition, request: Request, log: Any) -> None:
    import tensorrt as trt

    parser = trt.OnnxParser(network, log)
    # From the file, so that weights beside it are found.
    if parser.parse_from_file(str(request.model)):
        return
    complaints = [_complaint(parser.get_error(index)) for index in range(parser.num_errors)]
    if not complaints:
        raise failure(f"tensorrt could not read {request.model.name}", log)
    log.errors.clear()
    text = " ".join("; ".join(complaints).split())[:400]
    raise UnsupportedError(f"tensorrt cannot take {request.model.name}: {text}")


def _complaint(error: trt.ParserError) -> str:
    """Which node, and why."""
    node = f"{error.node_operator()} {error.node_name()!r}" if error.node_operator() else f"node {error.node()}"
    return f"{node}: {error.desc()} ({error.code().name})"


def _half_norms(network: trt.INetworkDefinition, config: trt.IBuilderConfig, request: Request) -> tuple[int, int]:
    import onnx
    import tensorrt as trt

    whole, parts = force_half(network, onnx.load(request.model, load_external_data=False).graph)
    if parts:
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    return whole, parts


def _profile(
    builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig, request: Request
) -> None:
    """One profile, of exactly the sizes asked for, where a file left some open."""
    shapes = {tensor.name: tensor.shape for tensor in request.inputs}
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    pending = [tensor for tensor in tensors if -1 in sizes(tensor.shape)]
    if not pending:
        return
    profile = builder.create_optimization_profile()
    for tensor in pending:
        shape: Any = shapes[tensor.name]
        profile.set_shape(tensor.name, shape, shape, shape)
    if config.add_optimization_profile(profile) < 0:
        raise UnsupportedError(f"tensorrt takes no profile of the sizes {shapes}")


def _with_timings(config: trt.IBuilderConfig, path: Path) -> Any:
    """Give the builder what it timed before; what is damaged, or does not fit, is begun anew."""
    known = path.read_bytes() if intact(path) else b""
    cache: Any = config.create_timing_cache(known)
    if known and (cache is None or not config.set_timing_cache(cache, ignore_mismatch=False)):
        known = b""
        cache = config.create_timing_cache(known)
    if not known:
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache
