"""The graph walk, one operator at a time, against ONNX's own reference implementation."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from runtimes.base import Request, Tensor
from runtimes.errors import UnsupportedError
from runtimes.options import resolve
from runtimes.torch_rt import TorchCpu

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from pathlib import Path

X = (2, 3, 8, 7)


def values(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positive(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.abs(values(shape, seed)) + np.float32(0.1)


def ints(*numbers: int) -> Any:
    return np.array(numbers, dtype=np.int64)


@dataclass(frozen=True)
class Case:
    """One node: inputs that vary, then inputs that are part of the graph, by position."""

    op: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    outputs: int
    opset: int
    weights: tuple[int, ...]


def case(op: str, *inputs: Any, outputs: int = 1, opset: int = 18, live: tuple[int, ...] = (0,), **given: Any) -> Any:
    weights = tuple(i for i, value in enumerate(inputs) if value is not None and i not in live)
    words = "-".join(str(v) for v in given.values())
    return pytest.param(Case(op, inputs, given, outputs, opset, weights), id=f"{op}-{words}" if words else op)


def model(one: Case) -> onnx.ModelProto:
    names = [f"in.{i}" if value is not None else "" for i, value in enumerate(one.inputs)]
    outputs = [f"out.{i}" for i in range(one.outputs)]
    node = helper.make_node(one.op, names, outputs, name="the node", **one.attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for i, (name, value) in enumerate(zip(names, one.inputs, strict=True))
            if value is not None and i not in one.weights
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(one.inputs[i], names[i]) for i in one.weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", one.opset)], ir_version=10)


def feeds(one: Case) -> dict[str, Any]:
    return {f"in.{i}": v for i, v in enumerate(one.inputs) if v is not None and i not in one.weights}


def walk(proto: onnx.ModelProto, given: dict[str, Any]) -> list[Any]:
    from runtimes.onnx_torch import build_module

    with torch.inference_mode():
        return [out.numpy() for out in build_module(proto)(*(torch.from_numpy(v.copy()) for v in given.values()))]


def check(one: Case) -> None:
    want = ReferenceEvaluator(model(one)).run(None, feeds(one))
    got = walk(model(one), feeds(one))
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, atol=1e-5, rtol=1e-5)


ELEMENTWISE = [
    *(case(op, values(X)) for op in ("Abs", "Neg", "Exp", "Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Identity")),
    *(case(op, values(X)) for op in ("Elu", "LeakyRelu", "HardSigmoid", "Floor", "Ceil", "Sin", "Cos", "Softmax")),
    *(case(op, positive(X)) for op in ("Log", "Sqrt", "Reciprocal")),
    *(case(op, values(X), values((3, 1, 7), 1), live=(0, 1)) for op in ("Add", "Sub", "Mul", "Div", "Min", "Max")),
    *(case(op, values(X), values((3, 1, 1), 1)) for op in ("Add", "Sub", "Mul", "Div")),
    *(case(op, values(X), np.float32(1.5)) for op in ("Add", "Sub", "Mul", "Div", "Less", "Greater", "Equal")),
    *(case(op, values(X), values(X, 1), live=(0, 1)) for op in ("Less", "Greater", "LessOrEqual", "GreaterOrEqual")),
    case("Sub", np.float32([1]), values(X), live=(1,)),
    case("Sum", values(X), values(X, 1), values((7,), 2), live=(0, 1)),
    case("Div", ints(7, -7, 9), ints(2, 2, -4), live=(0, 1)),
    case("Equal", ints(1, 2, 3), ints(1, 0, 3), live=(0, 1)),
    case("Pow", values(X), np.float32(2)),
    case("Pow", positive(X), values((7,), 1), live=(0, 1)),
    case("Pow", ints(2, 3), np.float32(2)),
    case("Elu", values(X), alpha=0.3),
    case("LeakyRelu", values(X), alpha=0.3),
    case("HardSigmoid", values(X), alpha=0.3, beta=0.6),
    case("Gelu", values(X), opset=20),
    case("Gelu", values(X), opset=20, approximate="tanh"),
    case("PRelu", values(X), values((3, 1, 1), 1)),
    case("PRelu", values(X), values((1,), 1)),
    case("PRelu", values(X), values((7,), 1)),
    case("Softmax", values(X), axis=1),
    case("LogSoftmax", values(X), axis=2),
    case("Clip", values(X), np.float32(-0.5), np.float32(0.5)),
    case("Clip", values(X), None, np.float32(0.5)),
    case("Clip", values(X), np.float32(0.0)),
    case("Clip", values(X)),
    case("Where", np.array([[True], [False]]), values((2, 3)), values((3,), 1), live=(0, 1, 2)),
    *(case(op, np.array([True, False, True]), np.array([True, True, False]), live=(0, 1)) for op in ("And", "Or")),
    case("Not", np.array([True, False])),
    case("Cast", values(X) * 3, to=TensorProto.INT64),
    case("Cast", ints(0, 1, 2), to=TensorProto.BOOL),
    case("Cast", np.array([True, False]), to=TensorProto.FLOAT),
    case("Dropout", values(X)),
    case("Dropout", values(X), np.float32(0.5), np.array(False), outputs=2),
]

PRODUCTS = [
    case("MatMul", values((2, 3, 4)), values((4, 5), 1)),
    case("MatMul", values((2, 1, 3, 4)), values((3, 4, 2), 1), live=(0, 1)),
    case("Gemm", values((3, 4)), values((5, 4), 1), values((5,), 2), transB=1),
    case("Gemm", values((4, 3)), values((4, 5), 1), values((3, 1), 2), transA=1, alpha=0.5, beta=2.0),
    case("Gemm", values((3, 4)), values((4, 5), 1), alpha=0.5),
    case("Einsum", values((2, 3, 4)), values((2, 4, 5), 1), live=(0, 1), equation="b i j, b j k -> b i k"),
]

REDUCTIONS = [
    *(
        case(op, values(X), axes=[1, -1], keepdims=keep, opset=13)
        for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2")
        for keep in (0, 1)
    ),
    *(case(op, values(X), ints(1, -1)) for op in ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2")),
    *(case(op, values(X), keepdims=0) for op in ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2")),
    case("ReduceSum", values(X), ints(2), opset=13, keepdims=0),
    case("ReduceSum", values(X), opset=18, noop_with_empty_axes=1),
    case("ReduceSum", np.int32([[1, 2], [3, 4]]), ints(0)),
]

MOVES = [
    case("Transpose", values(X)),
    case("Transpose", values(X), perm=[0, 2, 3, 1]),
    case("Reshape", values(X), ints(0, -1, 4)),
    case("Reshape", values(X), ints(6, 56)),
    case("Flatten", values(X)),
    case("Flatten", values(X), axis=-1),
    case("Flatten", values(X), axis=0),
    case("Squeeze", values((1, 3, 1, 2)), ints(0, -2)),
    case("Squeeze", values((1, 3, 1, 2))),
    case("Unsqueeze", values((3, 2)), ints(0, -1)),
    case("Concat", values(X), values((2, 1, 8, 7), 1), live=(0, 1), axis=1),
    case("Split", values(X), ints(3, 5), outputs=2, axis=2),
    case("Split", values(X), outputs=3, axis=3, num_outputs=3),
    case("Split", values(X), outputs=3, axis=1, opset=13),
    case("Slice", values(X), ints(1, -5), ints(100, -1), ints(2, 3), ints(2, 1)),
    case("Slice", values(X), ints(-1, 5), ints(-100, 1), ints(2, 3), ints(-1, -2)),
    case("Slice", values(X), ints(0, 1), ints(1, 2)),
    case("Gather", values(X), ints(2, 0, -1), axis=2),
    case("Gather", values(X), np.int64(-2), axis=1),
    case("Gather", values(X), np.int64([[0, 1], [-1, 2]]), live=(0, 1), axis=3),
    case("Gather", ints(3, 4, 5), ints(1, -1), live=(1,)),
    case("Expand", values((3, 1)), ints(2, 1, 6)),
    case("ConstantOfShape", ints(2, 3), live=(), value=numpy_helper.from_array(np.int64([7]))),
    case("ConstantOfShape", ints(2, 3), live=()),
    case("Constant", live=(), value=numpy_helper.from_array(values((2, 3)))),
    case("Constant", live=(), value_floats=[1.0, 2.5]),
    case("Constant", live=(), value_int=3),
    case("Shape", values(X)),
    case("Shape", values(X), start=1, end=-1),
    case("Pad", values(X), ints(0, 0, 1, 2, 0, 0, 3, 0)),
    case("Pad", values(X), ints(1, 0, 0, 2, 0, 2, 3, 1), np.float32(1.5)),
    case("Pad", values(X), ints(1, 2, 3, 0), None, ints(3, 1), mode="constant"),
    case("Pad", values(X), ints(0, 2, 1, 2, 0, 1, 3, 6), mode="reflect"),
    case("Pad", values(X), ints(0, 2, 1, 2, 0, 1, 3, 9), mode="edge"),
    case("Pad", values(X), ints(2, 3), None, ints(-1), mode="reflect"),
]

SIGNAL = [
    case("Conv", values(X), values((4, 3, 3, 2), 1)),
    case("Conv", values(X), values((4, 3, 3, 3), 1), values((4,), 2), pads=[1, 1, 1, 1], strides=[2, 1]),
    case("Conv", values(X), values((4, 3, 3, 3), 1), values((4,), 2), pads=[2, 1, 0, 1], dilations=[2, 1]),
    case("Conv", values(X), values((3, 1, 3, 3), 1), group=3, pads=[2, 2, 0, 0]),
    case("Conv", values((1, 4, 9)), values((6, 2, 3), 1), values((6,), 2), group=2, pads=[2, 0], strides=[2]),
    case("Conv", values(X), values((4, 3, 3, 4), 1), auto_pad="SAME_UPPER", strides=[2, 2]),
    case("Conv", values(X), values((4, 3, 3, 4), 1), auto_pad="SAME_LOWER"),
    case("Conv", values(X), values((4, 3, 3, 4), 1), auto_pad="VALID"),
    case("Conv", values((1, 2, 4, 5, 6)), values((3, 2, 2, 2, 2), 1)),
    case("ConvTranspose", values(X), values((3, 4, 3, 3), 1), values((4,), 2), strides=[2, 2], pads=[1, 1, 1, 1]),
    case("ConvTranspose", values(X), values((3, 4, 3, 3), 1), values((4,), 2), strides=[2, 1], pads=[0, 1, 1, 0]),
    case("ConvTranspose", values(X), values((3, 4, 3, 3), 1), strides=[2, 2], output_padding=[1, 1]),
    case("ConvTranspose", values((1, 3, 5)), values((3, 4, 4), 1), values((4,), 2), strides=[2], dilations=[2]),
    case("MaxPool", values(X), kernel_shape=[2, 2], strides=[2, 2]),
    case("MaxPool", values(X), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    case("MaxPool", values(X) - 9, kernel_shape=[2, 3], pads=[1, 0, 0, 2], strides=[2, 1]),
    case("MaxPool", values((1, 2, 9)), kernel_shape=[2], dilations=[3]),
    case("MaxPool", values((1, 2, 9)), kernel_shape=[2], strides=[2], ceil_mode=1),
    case("AveragePool", values(X), kernel_shape=[2, 2], strides=[2, 2]),
    case("AveragePool", values(X), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    case("AveragePool", values(X), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    case("AveragePool", values(X), kernel_shape=[3, 3], pads=[2, 0, 0, 1]),
    case("AveragePool", values(X), kernel_shape=[3, 3], pads=[2, 0, 0, 1], count_include_pad=1),
    case("GlobalAveragePool", values(X)),
    case("LayerNormalization", values(X), values((7,), 1), values((7,), 2)),
    case("LayerNormalization", values(X), values((8, 7), 1), axis=2, epsilon=1e-3),
    case("LayerNormalization", values(X), values((7,), 1), values((7,), 2), axis=1),
    case("BatchNormalization", values(X), values((3,), 1), values((3,), 2), values((3,), 3), positive((3,), 4)),
    case("InstanceNormalization", values(X), values((3,), 1), values((3,), 2), epsilon=1e-3),
]

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")

RESIZES = [
    case(
        "Resize",
        values(X),
        None,
        np.float32([1, 1, 2, 2]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    *(
        case("Resize", values((1, 2, 5)), None, np.float32([1, 1, s]), coordinate_transformation_mode=c, nearest_mode=n)
        for s in (0.5, 2.5)
        for c in ("half_pixel", "asymmetric")
        for n in ROUNDINGS
    ),
    *(
        case("Resize", values(X), None, None, ints(2, 3, 11, 5), mode="linear", coordinate_transformation_mode=c)
        for c in COORDINATES
    ),
    *(
        case("Resize", values(X), None, np.float32([1, 1, 1.7, 2]), mode="linear", coordinate_transformation_mode=c)
        for c in COORDINATES
        if c != "align_corners"  # there the reference divides by a broken size
    ),
    case("Resize", values(X), None, np.float32([2, 0.5]), mode="linear", axes=[2, 3]),
    case("Resize", values((4, 6)), None, None, ints(5, 9), nearest_mode="ceil"),
]

T, B, F, H = 5, 2, 3, 4


def recurrent(op: str, gates: int, *, bias: bool = True, states: int = 0, **given: Any) -> Any:
    inputs = [
        values((T, B, F)),
        values((1, gates * H, F), 1),
        values((1, gates * H, H), 2),
        values((1, 2 * gates * H), 3) if bias else None,
        None,
        *(values((1, B, H), 4 + index) for index in range(states)),
    ]
    return case(op, *inputs, outputs=2, live=(0, 5, 6), hidden_size=H, **given)


RECURRENT = [
    recurrent("LSTM", 4),
    recurrent("LSTM", 4, bias=False),
    recurrent("LSTM", 4, states=2),
    recurrent("GRU", 3),
    recurrent("GRU", 3, bias=False),
    recurrent("GRU", 3, linear_before_reset=1),
    recurrent("GRU", 3, linear_before_reset=1, states=1),
    recurrent("GRU", 3, states=1),
]


@pytest.mark.parametrize("one", [*ELEMENTWISE, *PRODUCTS, *REDUCTIONS, *MOVES, *SIGNAL, *RESIZES, *RECURRENT])
def test_one_node_answers_as_the_standard_says(one: Case) -> None:
    # Otherwise torch's row would time another model than its neighbours' rows.
    check(one)


def answer(op: str, *inputs: Any, **given: Any) -> Any:
    one = case(op, *inputs, **given).values[0]
    return walk(model(one), feeds(one))[0]


# The reference implementation refuses the next three; each is held against an equal that it knows.


def test_negative_padding_crops() -> None:
    got = answer("Pad", values(X), ints(0, 0, -1, 0, 0, 0, 0, -2))
    np.testing.assert_array_equal(got, values(X)[:, :, 1:, :-2])


def test_groups_of_a_transposed_convolution_stand_side_by_side() -> None:
    x, w = values(X), values((3, 2, 3, 3), 1)
    parts = [answer("ConvTranspose", x[:, i : i + 1], w[i : i + 1], strides=[2, 1]) for i in range(3)]
    got = answer("ConvTranspose", x, w, strides=[2, 1], group=3)
    np.testing.assert_allclose(got, np.concatenate(parts, 1), atol=1e-6)


def test_the_wanted_size_of_a_transposed_convolution_decides_its_padding() -> None:
    x, w = values((1, 3, 5)), values((3, 4, 3), 1)
    for auto, pads in (("NOTSET", [1, 0]), ("SAME_UPPER", [0, 1])):
        got = answer("ConvTranspose", x, w, strides=[3], output_shape=[14], auto_pad=auto)
        np.testing.assert_allclose(got, answer("ConvTranspose", x, w, strides=[3], pads=pads), atol=1e-6)


def test_resized_sizes_are_computed_in_float32() -> None:
    # 5 * 2.6 is 13 in float32, as in ONNX's shape inference, and a little less in float64.
    assert answer("Resize", values((1, 2, 5)), None, np.float32([1, 1, 2.6])).shape == (1, 2, 13)


@pytest.mark.parametrize(("op", "gates", "linear"), [("LSTM", 4, 0), ("GRU", 3, 0), ("GRU", 3, 1)])
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_other_directions_are_the_forward_one_on_turned_time(op: str, gates: int, linear: int, direction: str) -> None:
    # The reference implementation knows the forward direction only.
    count = 2 if direction == "bidirectional" else 1
    x, w = values((T, B, F)), values((count, gates * H, F), 1)
    r, b = values((count, gates * H, H), 2), values((count, 2 * gates * H), 3)
    given: dict[str, Any] = {"hidden_size": H, **({"linear_before_reset": linear} if op == "GRU" else {})}

    def forward(one: int, inputs: Any) -> list[Any]:
        whole = Case(op, (inputs, w[one : one + 1], r[one : one + 1], b[one : one + 1]), given, 2, 18, (1, 2, 3))
        return ReferenceEvaluator(model(whole)).run(None, feeds(whole))

    backward_y, backward_h = forward(count - 1, x[::-1])
    y, h = backward_y[::-1], backward_h
    if count == 2:
        forward_y, forward_h = forward(0, x)
        y, h = np.concatenate([forward_y, y], 1), np.concatenate([forward_h, h], 0)
    whole = Case(op, (x, w, r, b), {**given, "direction": direction}, 2, 18, (1, 2, 3))
    got = walk(model(whole), feeds(whole))
    np.testing.assert_allclose(got[0], y, atol=1e-5)
    np.testing.assert_allclose(got[1], h, atol=1e-5)


def graph(nodes: list[onnx.NodeProto], x: tuple[int, ...], outputs: list[str], **weights: Any) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_shape_arithmetic_is_settled_beforehand() -> None:
    # Exporters write reshapes this way; done anew at every call it would be timed.
    from runtimes.onnx_torch import build_module

    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    proto = graph(nodes, (2, 3, 4), ["y"], first=ints(0), rest=ints(-1))
    module = build_module(proto)
    assert len(module.steps) == 1
    assert list(module.buffers()) == []
    assert module(torch.zeros(2, 3, 4))[0].shape == (2, 12)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Det", ["x"], ["y"], name="the node"), "operator Det .*'the node'"),
        (helper.make_node("Relu", ["x"], ["y"], name="n", domain="com.example"), "operator com.example.Relu .*'n'"),
        (helper.make_node("Resize", ["x", "", "s"], ["y"], name="n", mode="cubic"), "Resize in mode cubic .*'n'"),
        (helper.make_node("MaxPool", ["x"], ["y", "i"], name="n", kernel_shape=[2, 2]), "MaxPool with indices"),
        (helper.make_node("Slice", ["x", "live", "s"], ["y"], name="n"), "Slice with starts computed while running"),
    ],
)
def test_what_is_not_covered_names_operator_and_node(node: onnx.NodeProto, words: str) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["live"], to=TensorProto.INT64), node]
    with pytest.raises(UnsupportedError, match=words):
        walk(graph(nodes, (1, 1, 4, 4), ["y"], s=np.float32([1, 1, 2, 2])), {"x": values((1, 1, 4, 4))})


def ask(path: Path, proto: onnx.ModelProto, x: tuple[int, ...], outputs: list[str], **options: str) -> Request:
    onnx.save(proto, path / "m.onnx")
    (path / "cache").mkdir()
    chosen = resolve("torch", TorchCpu.options, options)
    signature = tuple(Tensor(name, (), "float32") for name in outputs)
    return Request(
        path / "m.onnx", "0" * 64, (Tensor("x", x, "float32"),), signature, "fp32", 1, 1, chosen, path / "cache"
    )


def test_outputs_are_the_callers_own(tmp_path: Path) -> None:
    # An output that lies in an input's or a weight's memory would change under the caller's hands.
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Identity", ["w"], ["weight"]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Transpose", ["y"], ["turned"]),
    ]
    names = ["same", "weight", "y", "turned"]
    request = ask(tmp_path, graph(nodes, (2, 3), names, w=values((4,))), (2, 3), names)
    runtime = TorchCpu()
    runtime.start()
    (session,) = runtime.load(request)
    x = values((2, 3), 1)
    x.flags.writeable = False
    first = session.run({"x": x})
    kept = [array.copy() for array in first]
    for array in first:
        assert array.flags.c_contiguous
        assert not np.shares_memory(array, x)
        array[...] = 0
    for again, want in zip(session.run({"x": x}), kept, strict=True):
        np.testing.assert_array_equal(again, want)
    facts = session.facts()
    assert (facts.precision, facts.device, facts.details["compiler"]) == ("fp32", "cpu", "eager")
    assert facts.details["float32_matmul_precision"] == "highest"


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_answers_as_eager_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 0, 0]),
        helper.make_node("Resize", ["c", "", "s"], ["r"], coordinate_transformation_mode="asymmetric"),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    proto = graph(nodes, (1, 2, 4, 4), ["y"], w=values((3, 2, 2, 2), 1), s=np.float32([1, 1, 2, 2]))
    request = ask(tmp_path, proto, (1, 2, 4, 4), ["y"], compiler="inductor")
    runtime = TorchCpu()
    for name, value in runtime.environment(request).items():
        monkeypatch.setenv(name, value)
    runtime.start()
    assert runtime.build(request)["cache_bytes"] > 0
    (session,) = runtime.load(request)
    given = {"x": values((1, 2, 4, 4))}
    np.testing.assert_allclose(session.run(given)[0], walk(proto, given)[0], atol=1e-6)
    assert session.facts().details["compiler"] == "inductor"


def test_environment_sizes_both_thread_pools(tmp_path: Path) -> None:
    proto = graph([helper.make_node("Relu", ["x"], ["y"])], (2,), ["y"])
    variables = TorchCpu().environment(ask(tmp_path, proto, (2,), ["y"]))
    assert variables["OMP_NUM_THREADS"] == variables["MKL_NUM_THREADS"] == "1"
