"""What goes into a graph and what comes out: names, element types, and sizes made static."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto

from models.card import Port
from models.errors import FixedBatchError, ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_DTYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.BOOL: "bool",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
}
_BATCH_NAME = re.compile(r"(?i)^(n|b|bs)$|batch")
_MOST_ELEMENTS = 1 << 29

# A size as the file has it: a number, the name of a symbol, or "" for an unnamed unknown.
Dim = int | str


def signature(
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    batch: int | None = None,
    states: Collection[str] = (),
) -> tuple[tuple[Port, ...], tuple[Port, ...], bool]:
    """The real inputs and outputs of a graph, every input size fixed.

    A symbol has one value everywhere: fixed through one input it is known in the others. An input
    whose first size alone stays unknown gets 1 there.

    Args:
        model: the graph; initializers that older files also list as inputs are left out.
        shapes: sizes the user gave, by input name.
        batch: signals per call; None or 1 leaves the sizes as they are.
        states: names of the state inputs, which may have their batch anywhere.

    Returns:
        inputs, outputs, and whether the file leaves a size open, so that a fixed copy is needed.

    Raises:
        ModelError: a size is missing, contradicts the file or another one, or an element type is
            not supported.
    """
    declared = {value.name: _dims(value) for value in real_inputs(model)}
    dtypes = {value.name: _dtype(value, "input") for value in real_inputs(model)}
    zeros = {value.name for value in real_inputs(model) if _has_zero(value)}
    fixed = _resolve(declared, shapes, zeros)
    inputs = tuple(Port(name, shape, dtypes[name]) for name, shape in fixed.items())
    if batch is not None and batch != 1:
        inputs = with_batch(model, inputs, batch, states)
    for port in inputs:
        if math.prod(port.sizes) > _MOST_ELEMENTS:
            raise ModelError(
                f"input {port.name!r} would be {show(port.sizes)}, over 2 GiB; give smaller sizes (--shape)"
            )
    solved = fix_shapes(model, inputs)
    outputs = tuple(Port(v.name, _static(_dims(v)), _dtype(v, "output")) for v in solved.graph.output)
    return inputs, outputs, any(declared[port.name] != port.sizes for port in inputs)


def real_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs without the initializers that older files list among them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in weights]


def with_batch(
    model: onnx.ModelProto, inputs: Sequence[Port], batch: int, states: Collection[str] = ()
) -> tuple[Port, ...]:
    """The same inputs for several signals per call.

    The first size of every input that is neither a state nor a scalar must be open in the file.
    A state follows: its sizes with the same symbol, or its unnamed open sizes of 1.

    Args:
        model: the graph as the file has it.
        inputs: its inputs for one signal.
        batch: signals per call, at least 1.
        states: names of state inputs.

    Raises:
        FixedBatchError: the file fixes the batch.
    """
    if batch < 1:
        raise ModelError(f"a batch of {batch} is not possible; it is 1 or more")
    declared = {value.name: _dims(value) for value in real_inputs(model)}
    symbols = set()
    for port in inputs:
        dims = declared[port.name]
        if port.name in states or not port.sizes:
            continue
        first = dims[0] if dims else ""
        if isinstance(first, int):
            raise FixedBatchError(
                f"the file fixes its batch at {first}: input {port.name!r} has the shape {show(dims)}; "
                "export it with a dynamic first dimension, or use a layout with one signal per call"
            )
        symbols.add(first)

    def grown(port: Port) -> tuple[int, ...]:
        dims: tuple[Dim, ...] = declared[port.name] or ("",) * len(port.sizes)
        state = port.name in states
        return tuple(
            size * batch
            if (axis == 0 and not state)
            or (isinstance(dim, str) and dim and dim in symbols)
            or (state and dim == "" and size == 1)
            else size
            for axis, (dim, size) in enumerate(zip(dims, port.sizes, strict=True))
        )

    for port in inputs:
        if port.name in states and grown(port) == port.sizes:
            raise FixedBatchError(
                f"the file fixes its batch: state input {port.name!r} has the shape {show(declared[port.name])}; "
                "export it with a dynamic batch, or use a layout with one signal per call"
            )
    return tuple(Port(port.name, grown(port), port.dtype) for port in inputs)


def fix_shapes(model: onnx.ModelProto, inputs: Sequence[Port]) -> onnx.ModelProto:
    """A copy of the model whose inputs have exactly these sizes.

    Sizes noted for intermediate values are dropped, since they may be those of another batch;
    outputs get what shape inference finds, and else what the file says.

    Args:
        model: the graph; not changed.
        inputs: one port per real input.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    wanted = {port.name: port.sizes for port in inputs}
    symbols: dict[str, int] = {}
    for value in real_inputs(fixed):
        dims = _dims(value)
        symbols |= {d: n for d, n in zip(dims or (), wanted[value.name], strict=False) if isinstance(d, str) and d}
        _write(value, wanted[value.name])
    del fixed.graph.value_info[:]
    said = [_dims(value) for value in fixed.graph.output]
    for value in fixed.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    found = _infer(fixed)
    for value, dims, guess in zip(fixed.graph.output, said, found, strict=True):
        if not value.type.HasField("tensor_type"):
            continue
        known = dims if guess is None else guess
        if dims is not None and guess is not None and len(dims) == len(guess):
            known = tuple(
                g if isinstance(g, int) else symbols.get(d, d) if isinstance(d, str) else d
                for d, g in zip(dims, guess, strict=True)
            )
        if known is not None:
            _write(value, tuple(symbols.get(d, d) if isinstance(d, str) else d for d in known))
    return fixed


def guessed_batches(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """A sentence for every first size that became 1 although its name does not sound like a batch."""
    sentences = []
    for value in real_inputs(model):
        dims = _dims(value)
        if not dims or isinstance(dims[0], int) or value.name in shapes or _BATCH_NAME.search(dims[0]):
            continue
        sentences.append(
            f"input {value.name!r} has the shape {show(dims)}: its first size was taken to be a batch of 1; "
            f"if it is not, give every size with --shape {value.name}={_example(dims)}"
        )
    return sentences


def show(dims: Sequence[Dim] | None) -> str:
    """A shape in words: ``(batch, 2, ?)``."""
    return "of unknown rank" if dims is None else f"({', '.join(str(dim) or '?' for dim in dims)})"


def _resolve(
    declared: Mapping[str, tuple[Dim, ...] | None], shapes: Mapping[str, tuple[int, ...]], zeros: Collection[str]
) -> dict[str, tuple[int, ...]]:
    symbols: dict[str, int] = {}
    for name, sizes in shapes.items():
        _bind(name, sizes, declared, symbols)
    fixed: dict[str, tuple[int, ...]] = {name: tuple(sizes) for name, sizes in shapes.items()}
    while True:
        open_inputs = [name for name in declared if name not in fixed]
        for name in open_inputs:
            dims = declared[name]
            if dims is None:
                continue
            known: list[Dim] = [symbols.get(d, d) if isinstance(d, str) else d for d in dims]
            if known and isinstance(known[0], str) and all(isinstance(d, int) for d in known[1:]):
                if known[0]:
                    symbols[known[0]] = 1
                known[0] = 1
            sizes = tuple(d for d in known if isinstance(d, int))
            if len(sizes) == len(known):
                fixed[name] = sizes
        still_open = [name for name in declared if name not in fixed]
        if not still_open:
            return {name: fixed[name] for name in declared}
        if still_open == open_inputs:
            name = still_open[0]
            zero = "; the file has a size of 0 there: zero sizes are not supported" if name in zeros else ""
            raise ModelError(
                f"input {name!r} has the shape {show(declared[name])}: "
                f"give every size with --shape {name}={_example(declared[name])}{zero}"
            )


def _bind(
    name: str, sizes: tuple[int, ...], declared: Mapping[str, tuple[Dim, ...] | None], symbols: dict[str, int]
) -> None:
    given = f"--shape {name}={','.join(map(str, sizes))}"
    if name not in declared:
        raise ModelError(f"{given}: the model has no input {name!r}; its inputs are {', '.join(declared) or 'none'}")
    if any(size < 1 for size in sizes):
        raise ModelError(f"{given}: every size must be 1 or more; zero sizes are not supported")
    dims = declared[name]
    if dims is None:
        return
    if len(sizes) != len(dims):
        raise ModelError(
            f"{given} has {len(sizes)} sizes, but the input has the shape {show(dims)}, which needs {len(dims)}"
        )
    for axis, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
        if isinstance(dim, int) and dim != size:
            raise ModelError(f"{given}: the file fixes size {axis + 1} at {dim}; the input has the shape {show(dims)}")
        if isinstance(dim, str) and dim and symbols.setdefault(dim, size) != size:
            raise ModelError(
                f"{given}: {dim!r} would be {size} here and {symbols[dim]} elsewhere; it is one size, give one value"
            )


def _dims(value: onnx.ValueInfoProto) -> tuple[Dim, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    # Exporters write an open size as nothing, as a symbol, as -1 or as 0.
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param for d in tensor.shape.dim)


def _has_zero(value: onnx.ValueInfoProto) -> bool:
    return any(d.HasField("dim_value") and d.dim_value == 0 for d in value.type.tensor_type.shape.dim)


def _static(dims: tuple[Dim, ...] | None) -> tuple[int, ...] | None:
    sizes = tuple(dim for dim in dims or () if isinstance(dim, int))
    return sizes if dims is not None and len(sizes) == len(dims) else None


def _dtype(value: onnx.ValueInfoProto, role: str) -> str:
    kind, remedy = value.type.WhichOneof("value"), ""
    if kind not in {"tensor_type", None}:
        found = str(kind).removesuffix("_type").replace("_", " ")
        remedy = "; with skl2onnx: options={'zipmap': False}" if kind in {"sequence_type", "map_type"} else ""
    else:
        code = value.type.tensor_type.elem_type
        if code in _DTYPES:
            return _DTYPES[code]
        found = TensorProto.DataType.Name(code).lower() if code in TensorProto.DataType.values() else f"number {code}"
    raise ModelError(
        f"{role} {value.name!r} has the element type {found}, which is not supported; "
        f"supported are tensors of {', '.join(_DTYPES.values())}: export the model with one of these{remedy}"
    )


def _write(value: onnx.ValueInfoProto, dims: Sequence[Dim]) -> None:
    shape = value.type.tensor_type.shape
    shape.ClearField("dim")
    shape.SetInParent()
    for dim in dims:
        entry = shape.dim.add()
        if isinstance(dim, int):
            entry.dim_value = dim
        elif dim:
            entry.dim_param = dim


def _infer(model: onnx.ModelProto) -> list[tuple[Dim, ...] | None]:
    """Output shapes as inference sees them; inference gives up on graphs that run well, so never fails."""
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # noqa: BLE001  # over 2 GiB, unknown operators, contradictions: nothing was found
        return [None] * len(model.graph.output)
    return [_dims(value) for value in graph.output]


def _example(dims: tuple[Dim, ...] | None) -> str:
    """Sizes to type, letters where the user must choose: ``B,2,513,T``."""
    if dims is None:
        return "1,2,3"
    letters = iter("TUVWXYZ" * len(dims))
    return ",".join(
        str(d) if isinstance(d, int) else "B" if axis == 0 else next(letters) for axis, d in enumerate(dims)
    )
