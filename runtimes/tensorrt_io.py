"""Whether a TensorRT engine's inputs and outputs are those of the graph it should have been built from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtimes.errors import EngineError, UnsupportedError

if TYPE_CHECKING:
    import tensorrt as trt

    from runtimes.base import Request, Tensor

# Members of ``DataType``, as NumPy calls them.
KINDS = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "BOOL": "bool",
}  # fmt: skip


def check_inputs(engine: trt.ICudaEngine, context: trt.IExecutionContext, request: Request) -> set[str]:
    """Check the engine's inputs and size them; a graph's input that no layer reads may be missing.

    Returns:
        Their names.

    Raises:
        UnsupportedError: an input's type or place is not for us.
        EngineError: it is another graph's engine.
    """
    given = {tensor.name: tensor for tensor in request.inputs}
    found = _names(engine, "INPUT")
    for name in found:
        if name not in given:
            raise EngineError(f"tensorrt: the engine reads {name!r}, which {request.model.name} does not declare")
        _check_kind(engine, given[name])
        shape, stated = given[name].shape, sizes(engine.get_tensor_shape(name))
        if -1 in stated and not context.set_input_shape(name, shape):
            raise UnsupportedError(f"tensorrt: the engine does not take {name!r} of shape {shape}")
        if -1 not in stated and stated != shape:
            raise EngineError(
                f"tensorrt: the engine was built for {name!r} of shape {stated}, and {shape} was asked for"
            )
    return set(found)


def sized_outputs(engine: trt.ICudaEngine, context: trt.IExecutionContext, request: Request) -> tuple[Tensor, ...]:
    """The outputs with their shapes, which a graph need not state and the engine knows once its inputs are sized.

    Raises:
        UnsupportedError: a type or place is not for us, or sizes depend on values.
        EngineError: it is another graph's engine.
    """
    missing = {tensor.name for tensor in request.outputs} - set(_names(engine, "OUTPUT"))
    if missing:
        raise EngineError(f"tensorrt: the engine has no output {', '.join(sorted(missing))}")
    sized = []
    for tensor in request.outputs:
        _check_kind(engine, tensor)
        shape = sizes(context.get_tensor_shape(tensor.name))
        if -1 in shape:
            raise UnsupportedError(f"tensorrt: the size of output {tensor.name!r} depends on values: {shape}")
        if tensor.shape not in {(), shape}:
            raise EngineError(f"tensorrt: output {tensor.name!r} has shape {shape}, and the graph says {tensor.shape}")
        sized.append(replace(tensor, shape=shape))
    return tuple(sized)


def sizes(dims: Any) -> tuple[int, ...]:
    """A shape; -1 for a size that is open."""
    return tuple(dims)


def _names(engine: trt.ICudaEngine, mode: str) -> list[str]:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [name for name in names if engine.get_tensor_mode(name).name == mode]


def _check_kind(engine: trt.ICudaEngine, tensor: Tensor) -> None:
    kind = engine.get_tensor_dtype(tensor.name).name
    if KINDS.get(kind) != tensor.dtype:
        raise UnsupportedError(
            f"tensorrt has {tensor.name!r} as {KINDS.get(kind, kind)}; the graph says {tensor.dtype}"
        )
    if engine.get_tensor_location(tensor.name).name != "DEVICE":
        raise UnsupportedError(f"tensorrt wants {tensor.name!r} in the host's memory: other sizes depend on its values")
