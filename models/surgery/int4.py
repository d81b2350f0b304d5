"""4-bit weights of matrix products, in blocks of 32, in standard operators.

A constant matrix on the right of a MatMul becomes a DequantizeLinear over INT4, one scale per
column and per 32 rows, symmetric: values from −7 to 7. A Gemm becomes MatMul and Add first. Only the
weights are rounded; engines that can multiply by 4 bits directly see the pattern and do.

Left alone: matrices with fewer than 32 rows, weights of convolutions and of recurrent operators, and
matrices on the left. Written by us: ONNX Runtime's own tool makes operators of ONNX Runtime alone,
or tensors that its checker of types does not take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models.surgery.base import Change
from models.surgery.graphs import plain_gemms, raise_ir, tidied
from models.surgery.opset import convert
from models.surgery.rewrite import Names, View, attribute, is_standard, opset, rebuilt

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.surgery.base import Context
    from models.surgery.catalogue import Step

BLOCK = 32
# The first set with blocks and 4 bits, and the first file version with INT4.
_LEAST_OPSET, _LEAST_IR = 21, 10
_LARGEST = 7
_FLOATS = {np.dtype(np.float32), np.dtype(np.float16)}


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Round; a place is a weight."""
    source = tidied(model)
    plain_gemms(source)
    view = View(source)
    if all(_weight(node, view) is None for node in view.nodes):
        return Change(model, 0)
    notes: tuple[str, ...] = ()
    if opset(source) < _LEAST_OPSET:
        notes = (f"the operator set went from {opset(source)} to {_LEAST_OPSET}: 4 bits in blocks need it",)
        source = convert(source, _LEAST_OPSET)
    writer = _Writer(source)
    for node in View(source).nodes:
        writer.add(node)
    result = rebuilt(source, writer.nodes, writer.tensors)
    raise_ir(result, _LEAST_IR)
    return Change(result, writer.weights, notes)


class _Writer:
    """Collects the nodes and tensors of the new graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.view, self._names = View(model), Names(model)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.weights = 0
        # A weight that several products read is rounded once.
        self._done: dict[tuple[str, bool], str] = {}

    def add(self, node: onnx.NodeProto) -> None:
        """Take over a node, or what stands in its place."""
        matrix = _weight(node, self.view)
        if matrix is None:
            self.nodes.append(node)
            return
        name, turned = node.input[1], bool(attribute(node, "transB", 0))
        key = (name, turned)
        if key not in self._done:
            self._done[key] = self._dequantised(matrix, f"{name}.T" if turned else name)
            self.weights += 1
        biased = len(node.input) > 2 and bool(node.input[2])
        product = self._names.new(f"{node.output[0]}.product") if biased else node.output[0]
        self.nodes.append(
            helper.make_node("MatMul", [node.input[0], self._done[key]], [product], name=node.name or product)
        )
        if biased:
            self.nodes.append(
                helper.make_node("Add", [product, node.input[2]], node.output, name=self._names.new(f"{product}.bias"))
            )

    def _dequantised(self, matrix: NDArray[Any], name: str) -> str:
        values, scales = quantise(matrix)
        stored, scaled, back = (self._names.new(f"{name}.{part}") for part in ("int4", "scales", "weight"))
        packed = TensorProto(name=stored, data_type=TensorProto.INT4, dims=values.shape, raw_data=pack(values))
        self.tensors += [packed, numpy_helper.from_array(scales, scaled)]
        self.nodes.append(
            helper.make_node("DequantizeLinear", [stored, scaled], [back], name=back, axis=0, block_size=BLOCK)
        )
        return back


def quantise(matrix: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """A (K, N) matrix as integers from −7 to 7 and scales (⌈K/32⌉, N), of the matrix's own type."""
    rows, columns = matrix.shape
    blocks = -(-rows // BLOCK)
    padded = np.zeros((blocks * BLOCK, columns), np.float64)
    padded[:rows] = matrix
    peaks = np.abs(padded.reshape(blocks, BLOCK, columns)).max(axis=1)
    scales = (peaks / _LARGEST).astype(matrix.dtype)
    # A block of zeros, or one below the type's range, has the scale 1: no engine may divide by it.
    scales[scales == 0] = 1
    steps = np.repeat(scales.astype(np.float64), BLOCK, axis=0)[:rows]
    return np.clip(np.rint(matrix / steps), -_LARGEST, _LARGEST).astype(np.int8), scales


def pack(values: NDArray[np.int8]) -> bytes:
    """Two values per byte, the first in the lower half, as ONNX stores them."""
    flat = values.ravel().view(np.uint8)
    flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    return ((flat[0::2] & 15) | (flat[1::2] << 4)).astype(np.uint8).tobytes()


def _weight(node: onnx.NodeProto, view: View) -> NDArray[Any] | None:
    """The matrix (K, N) that a node multiplies by, if it is one to be rounded."""
    if node.op_type not in {"MatMul", "Gemm"} or not is_standard(node) or len(node.input) < 2:
        return None
    # A factor on a bias that is computed, or a transposed input, would take more nodes than it is worth.
    if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0:
        return None
    if view.made_by(node.input[1], "DequantizeLinear") is not None:
        return None  # rounded before
    matrix = view.value(node.input[1])
    if matrix is None or matrix.ndim != 2 or matrix.dtype not in _FLOATS or not np.isfinite(matrix).all():
        return None
    if node.op_type == "Gemm" and attribute(node, "transB", 0):
        matrix = matrix.T
    return matrix if matrix.shape[0] >= BLOCK else None
