"""The oracle: if it is wrong, right engines are accused and wrong ones rank."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from models.errors import ModelError
from models.oracle import write_oracle
from models.oracle_file import load_facts, load_oracle
from models.prepare import prepare_user
from models.reference import OPERATORS, Reference, ReferenceUnsupported, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.card import Card

FLOAT = TensorProto.FLOAT


def node_model(
    make_model: Callable[..., onnx.ModelProto], op: str, feeds: dict[str, Any], opset: int = 18, **attributes: Any
) -> onnx.ModelProto:
    node = helper.make_node(op, list(feeds), ["y"], **attributes)
    return make_model([node], {n: (v.shape, FLOAT) for n, v in feeds.items()}, {"y": (None, FLOAT)}, opset=opset)


def ours(model: onnx.ModelProto, feeds: dict[str, Any]) -> Any:
    return ReferenceEvaluator(model, new_ops=OPERATORS).run(None, feeds)[0]


def draw(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


CONVOLUTIONS = [
    ((1, 4, 11), (6, 2, 3), {"group": 2, "strides": [2], "pads": [2, 0]}),
    ((2, 3, 9, 8), (3, 1, 3, 2), {"group": 3, "pads": [1, 1, 1, 0]}),
    ((1, 2, 9, 10), (4, 2, 3, 3), {"dilations": [2, 3], "strides": [1, 2]}),
    ((1, 2, 7, 8), (4, 2, 2, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 2, 7, 8), (4, 2, 2, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 2, 7, 8), (4, 2, 2, 3), {"auto_pad": "VALID"}),
    ((1, 4, 5, 6, 7), (4, 2, 2, 3, 1), {"group": 2, "pads": [1, 0, 0, 0, 1, 0]}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), CONVOLUTIONS)
def test_conv_equals_the_stock_one(
    make_model: Callable[..., onnx.ModelProto], x: Sequence[int], w: Sequence[int], attributes: Any
) -> None:
    feeds = {"x": draw(*x), "w": draw(*w), "b": draw(w[0])}
    model = node_model(make_model, "Conv", feeds, **attributes)
    stock, got = ReferenceEvaluator(model).run(None, feeds)[0], ours(model, feeds)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, stock, rtol=1e-5, atol=1e-5)


def test_conv_sums_in_double(make_model: Callable[..., onnx.ModelProto]) -> None:
    # 1e8 + 1 - 1e8 is 0 in float32 sums; the oracle must not add rounding of its own.
    feeds = {"x": np.array([[[1e8], [1.0], [-1e8]]], np.float32), "w": np.ones((1, 3, 1), np.float32)}
    assert ours(node_model(make_model, "Conv", feeds), feeds).item() == 1.0


@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((1, 2, 5), (2, 3, 4), {"strides": [2], "pads": [1, 1], "output_padding": [1]}),
        ((2, 2, 4, 5), (2, 2, 3, 3), {"strides": [2, 1], "dilations": [1, 2]}),
        ((1, 2, 4, 4), (2, 1, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ],
)
def test_conv_transpose_equals_the_stock_one(
    make_model: Callable[..., onnx.ModelProto], x: Sequence[int], w: Sequence[int], attributes: Any
) -> None:
    feeds = {"x": draw(*x), "w": draw(*w), "b": draw(w[1])}
    model = node_model(make_model, "ConvTranspose", feeds, **attributes)
    np.testing.assert_allclose(ours(model, feeds), ReferenceEvaluator(model).run(None, feeds)[0], rtol=1e-5, atol=1e-5)


def test_grouped_conv_transpose_is_two_small_ones(make_model: Callable[..., onnx.ModelProto]) -> None:
    x, w = draw(1, 4, 5), draw(4, 3, 2)
    halves = [{"x": x[:, i : i + 2], "w": w[i : i + 2]} for i in (0, 2)]
    single = [ours(node_model(make_model, "ConvTranspose", half, strides=[2]), half) for half in halves]
    both = {"x": x, "w": w}
    model = node_model(make_model, "ConvTranspose", both, strides=[2], group=2)
    np.testing.assert_allclose(ours(model, both), np.concatenate(single, axis=1), rtol=1e-6)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil", [0, 1])
def test_pooling_by_hand(make_model: Callable[..., onnx.ModelProto], op: str, ceil: int) -> None:
    x, kernel, stride, pads = draw(1, 2, 7, 6), (3, 2), (2, 3), (1, 0, 0, 1)
    feeds = {"x": x}
    got = ours(node_model(make_model, op, feeds, kernel_shape=kernel, strides=stride, pads=pads, ceil_mode=ceil), feeds)
    for row, column in itertools.product(*map(range, got.shape[2:])):
        top, left = row * stride[0] - pads[0], column * stride[1] - pads[1]
        window = x[:, :, max(top, 0) : top + kernel[0], max(left, 0) : left + kernel[1]]
        want = window.max(axis=(2, 3)) if op == "MaxPool" else window.mean(axis=(2, 3))
        np.testing.assert_allclose(got[:, :, row, column], want, rtol=1e-5)
    assert got.shape[2:] == ((4, 2) if ceil else (3, 2))


def test_global_max_over_one_axis_keeps_its_rank(make_model: Callable[..., onnx.ModelProto]) -> None:
    feeds = {"x": draw(1, 3, 5)}
    assert ours(node_model(make_model, "GlobalMaxPool", feeds), feeds).shape == (1, 3, 1)


def test_old_batch_norm_uses_the_stored_statistics(make_model: Callable[..., onnx.ModelProto]) -> None:
    feeds = {"x": draw(1, 2, 8), "s": draw(2), "b": draw(2), "m": draw(2), "v": np.abs(draw(2))}
    answers = [ours(node_model(make_model, "BatchNormalization", feeds, opset=o, epsilon=0.0), feeds) for o in (9, 15)]
    s, b, m, v = (feeds[n].reshape(1, 2, 1) for n in "sbmv")
    for answer in answers:
        np.testing.assert_allclose(answer, (feeds["x"] - m) / np.sqrt(v) * s + b, rtol=1e-4, atol=1e-5)


@pytest.fixture
def stateful(gru: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path) -> Card:
    return prepare_user(saved(gru), shapes={"x": (2, 1, 2)}, states={"h_in": "h_out"}, folder=tmp_path)


def test_states_are_fed_back(stateful: Card, tmp_path: Path) -> None:
    oracle = write_oracle(stateful, tmp_path, 3, 1)
    inputs, expected = load_oracle(oracle.path)
    # Three calls of two frames with the state carried over are one call of six frames.
    run, whole = Reference(Path(stateful.path)), np.concatenate([feeds["x"] for feeds in inputs[0]])
    joined = run({"x": whole, "h_in": np.zeros((1, 1, 3), np.float32)})[0]
    np.testing.assert_allclose(np.concatenate([answer[0] for answer in expected[0]]), joined, rtol=1e-5, atol=1e-6)
    forgotten = run({**inputs[0][1], "h_in": np.zeros((1, 1, 3), np.float32)})[0]
    assert not np.allclose(expected[0][1][0], forgotten)


def test_one_oracle_per_model_form_and_input(
    linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path
) -> None:
    path = saved(linear)
    card = prepare_user(path, folder=tmp_path)
    other = prepare_user(path, values={"x": "0..1"}, folder=tmp_path)
    made = [write_oracle(c, tmp_path, r, n) for c, r, n in [(card, 2, 1), (card, 2, 2), (card, 3, 1), (other, 2, 1)]]
    assert len({oracle.path for oracle in made}) == len({oracle.sha256 for oracle in made}) == 4
    linear.graph.initializer[0].raw_data = bytes(48)
    saved(linear)
    assert write_oracle(prepare_user(path, folder=tmp_path), tmp_path, 2, 1).path not in {o.path for o in made}


def test_oracle_is_reused_and_mended(linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path) -> None:
    card = prepare_user(saved(linear), folder=tmp_path)
    first = write_oracle(card, tmp_path, 2, 2)
    stamp = first.path.stat().st_mtime_ns
    assert write_oracle(card, tmp_path, 2, 2) == first
    assert first.path.stat().st_mtime_ns == stamp
    first.path.write_bytes(first.path.read_bytes()[:200])
    with pytest.raises(ModelError, match="delete it"):
        load_oracle(first.path)
    assert write_oracle(card, tmp_path, 2, 2) == first
    inputs, expected = load_oracle(first.path)
    w = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
    np.testing.assert_allclose(expected[1][1][0], inputs[1][1]["x"] @ w, rtol=1e-6)


def test_nan_names_output_and_first_node(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Log", ["x"], ["logged"], name="the log"),
        helper.make_node("Add", ["logged", "x"], ["y"], name="the sum"),
    ]
    model = make_model(nodes, {"x": ([1, 8], FLOAT)}, {"y": ([1, 8], FLOAT)})
    card = prepare_user(saved(model), folder=tmp_path)
    with pytest.raises(ModelError, match=r"output 'y'.*'the log' \(Log\).*--input"):
        write_oracle(card, tmp_path, 2, 1)
    assert not list(tmp_path.glob("*.npz"))


def test_denormals_are_found_where_they_arise(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "tiny"], ["small"], name="shrink"),
        helper.make_node("Mul", ["small", "huge"], ["y"], name="grow"),
    ]
    model = make_model(
        nodes, {"x": ([1, 64], FLOAT)}, {"y": ([1, 64], FLOAT)}, {"tiny": np.float32(1e-39), "huge": np.float32(1e38)}
    )
    (warning,) = write_oracle(prepare_user(saved(model), folder=tmp_path), tmp_path, 2, 1).warnings
    assert "denormal" in warning
    assert "'shrink'" in warning


def test_dead_outputs_are_told(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceMean", ["x"], ["mean"]),
        helper.make_node("Expand", ["mean", "sizes"], ["flat"]),
    ]
    outputs = {"shape": ([2], TensorProto.INT64), "flat": ([2, 5], FLOAT)}
    model = make_model(nodes, {"x": ([1, 5], FLOAT)}, outputs, {"sizes": np.array([2, 5])})
    text = write_oracle(prepare_user(saved(model), folder=tmp_path), tmp_path, 2, 1).warnings
    assert "'shape' does not depend on the input" in text[0]
    assert "'flat' has the same value everywhere" in text[1]


def test_an_unknown_operator_is_named_and_another_evaluator_may_answer(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path
) -> None:
    node = helper.make_node("Magic", ["x"], ["y"], domain="my.company")
    model = make_model([node], {"x": ([1, 3], FLOAT)}, {"y": ([1, 3], FLOAT)}, domains=["my.company"])
    card = prepare_user(saved(model), folder=tmp_path)
    with pytest.raises(ReferenceUnsupported, match=r"my\.company::Magic"):
        write_oracle(card, tmp_path, 1, 1)
    oracle = write_oracle(card, tmp_path, 2, 1, lambda feeds: [feeds["x"] * 2], "a friend")
    assert oracle.origin == load_facts(oracle.path)["origin"] == "a friend"
    inputs, expected = load_oracle(oracle.path)
    assert np.array_equal(expected[0][1][0], inputs[0][1]["x"] * 2)
    assert write_oracle(card, tmp_path, 2, 1, lambda feeds: [feeds["x"]], "a foe").path != oracle.path


def test_what_the_evaluator_would_ignore_is_refused(
    gru: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path
) -> None:
    gru.graph.node[0].attribute.append(helper.make_attribute("clip", 0.5))
    card = prepare_user(saved(gru), shapes={"x": (2, 1, 2)}, folder=tmp_path)
    with pytest.raises(ReferenceUnsupported, match=r"GRU.*'memory'.*clip"):
        evaluate(card, [])


def test_external_data_with_two_hard_links_is_evaluated(
    linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path
) -> None:
    onnx.save(linear, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "elsewhere").hardlink_to(tmp_path / "w.bin")
    x = draw(1, 4)
    w = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
    np.testing.assert_allclose(Reference(tmp_path / "m.onnx")({"x": x})[0], x @ w, rtol=1e-6)


def test_integer_inputs(make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path) -> None:
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    table = np.arange(10, dtype=np.float32) ** 2
    model = make_model([node], {"x": (["b", 4], TensorProto.INT64)}, {"y": (["b", 4], FLOAT)}, {"table": table})
    card = prepare_user(saved(model), values={"x": "0..10"}, folder=tmp_path)
    inputs, expected = load_oracle(write_oracle(card, tmp_path, 2, 1).path)
    assert np.array_equal(expected[0][1][0], table[inputs[0][1]["x"]])
    # An index out of reach is the input's fault, and the sentence says where it failed.
    far = prepare_user(saved(model), values={"x": "99"}, folder=tmp_path)
    with pytest.raises(ReferenceUnsupported, match="Gather"):
        write_oracle(far, tmp_path, 1, 1)


def test_state_that_changes_its_shape(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path
) -> None:
    node = helper.make_node("Compress", ["h", "x"], ["k"], axis=0)
    model = make_model([node], {"x": ([3], TensorProto.BOOL), "h": ([3], FLOAT)}, {"k": (["n"], FLOAT)})
    card = prepare_user(saved(model), states={"h": "k"}, values={"x": "0"}, folder=tmp_path)
    with pytest.raises(ModelError, match="--state h=k"):
        write_oracle(card, tmp_path, 2, 1)
