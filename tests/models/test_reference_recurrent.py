"""Recurrent operators: an activation that is quietly taken for another would accuse every engine that honours it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from models.reference import OPERATORS, Reference, ReferenceUnsupported
from models.reference_recurrent import FUNCTIONS, GRU, LSTM, RNN, USUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

Feeds = dict[str, "NDArray[Any]"]

FRAMES, BATCH, FEATURES, HIDDEN = 5, 3, 2, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Relu"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"activations": ["Sigmoid", "Relu"]}),
    ("GRU", {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.3, 0.2], "activation_beta": [0.4]}),
    ("RNN", {}),
    *(("RNN", {"activations": [name]}) for name in ("Relu", "Sigmoid", "Softsign", "HardSigmoid", "Softplus", "Elu")),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [0.7], "activation_beta": [1.4]}),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.6]}),
]


def draw(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def layer(
    make_model: Callable[..., onnx.ModelProto],
    op: str,
    direction: str = "forward",
    *,
    bias: bool = True,
    states: bool = True,
    holes: bool = False,
    **attributes: Any,
) -> tuple[onnx.ModelProto, Feeds]:
    """One operator with all its outputs, and inputs for it; weights are inputs, too."""
    count, gates = DIRECTIONS[direction], GATES[op]
    if "activations" in attributes:
        attributes = {
            key: list(value) * count if key.startswith("activation") else value for key, value in attributes.items()
        }
    feeds = {
        "x": draw(FRAMES, BATCH, FEATURES),
        "w": draw(count, gates * HIDDEN, FEATURES),
        "r": draw(count, gates * HIDDEN, HIDDEN) / 2,
    }
    if bias:
        feeds["b"] = draw(count, 2 * gates * HIDDEN) / 2
    if states:
        feeds |= {state: draw(count, BATCH, HIDDEN) * (i + 1) for i, state in enumerate(STATES[op])}
    if holes:
        feeds["p"] = draw(count, 3 * HIDDEN) / 2
    names = ["x", "w", "r", "b", "lengths", *STATES[op], "p"]
    inputs = [name if name in feeds else "" for name in names]
    outputs = ["y", *(f"{state}_next" for state in STATES[op])]
    node = helper.make_node(
        op, inputs[: 8 if holes else 7], outputs, hidden_size=HIDDEN, direction=direction, **attributes
    )
    while node.input[-1] == "":
        node.input.pop()
    ports = {name: (value.shape, TensorProto.FLOAT) for name, value in feeds.items()}
    return make_model([node], ports, dict.fromkeys(outputs, (None, TensorProto.FLOAT))), feeds


def ours(model: onnx.ModelProto, feeds: Feeds) -> Sequence[NDArray[Any]]:
    answers: Sequence[NDArray[Any]] = ReferenceEvaluator(model, new_ops=OPERATORS).run(None, feeds)
    return answers


def agree(got: Sequence[NDArray[Any]], want: Sequence[NDArray[Any]], tolerance: float = 2e-6) -> None:
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op", "attributes"), OPTIONS)
def test_onnx_runtime_agrees(
    make_model: Callable[..., onnx.ModelProto], op: str, attributes: dict[str, Any], direction: str
) -> None:
    ort = pytest.importorskip("onnxruntime")
    model, feeds = layer(make_model, op, direction, **attributes)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    agree(ours(model, feeds), session.run(None, feeds))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_onnx_runtime_agrees_on_peepholes(make_model: Callable[..., onnx.ModelProto], direction: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    model, feeds = layer(make_model, "LSTM", direction, holes=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    agree(ours(model, feeds), session.run(None, feeds))


@pytest.mark.parametrize("op", GATES)
def test_what_is_left_out_is_zero(make_model: Callable[..., onnx.ModelProto], op: str) -> None:
    model, feeds = layer(make_model, op, "bidirectional", bias=False, states=False)
    full, zeros = layer(make_model, op, "bidirectional")
    agree(ours(model, feeds), ours(full, {name: feeds.get(name, 0 * zero) for name, zero in zeros.items()}), 1e-7)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("op", "attributes"), [("LSTM", {"holes": True}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})]
)
def test_the_stock_operators_agree_on_what_they_can(
    make_model: Callable[..., onnx.ModelProto], op: str, attributes: dict[str, Any], direction: str
) -> None:
    model, feeds = layer(make_model, op, direction, **attributes)
    agree(ours(model, feeds), ReferenceEvaluator(model).run(None, feeds))


@pytest.mark.parametrize("op", GATES)
def test_batch_first_is_the_same_with_axes_swapped(make_model: Callable[..., onnx.ModelProto], op: str) -> None:
    model, feeds = layer(make_model, op, "bidirectional")
    swapped = {name: v.swapaxes(0, 1) if name in {"x", *STATES[op]} else v for name, v in feeds.items()}
    node = model.graph.node[0]
    layout = {"hidden_size": HIDDEN, "direction": "bidirectional", "layout": 1}
    other = make_model(
        [helper.make_node(op, list(node.input), list(node.output), **layout)],
        {name: (value.shape, TensorProto.FLOAT) for name, value in swapped.items()},
        {output.name: (None, TensorProto.FLOAT) for output in model.graph.output},
    )
    y, *ends = ours(other, swapped)
    agree([y.transpose(1, 2, 0, 3), *(end.swapaxes(0, 1) for end in ends)], ours(model, feeds), 1e-7)


def test_frames_walk_one_by_one(make_model: Callable[..., onnx.ModelProto]) -> None:
    # The same operator, once over all frames and once a frame at a time with its state carried by hand.
    model, feeds = layer(make_model, "GRU", activations=["Sigmoid", "Relu"])
    whole, end = ours(model, feeds)
    for frame in range(FRAMES):
        y, feeds["h"] = ours(model, {**feeds, "x": feeds["x"][:1]})
        feeds["x"] = feeds["x"][1:]
        agree([y[0]], [whole[frame]], 1e-6)
    agree([feeds["h"]], [end], 1e-6)


def test_sums_in_double(make_model: Callable[..., onnx.ModelProto]) -> None:
    # 1e8 + 1 - 1e8 is 0 in float32 sums; the oracle must not add rounding of its own.
    model, feeds = layer(make_model, "RNN", bias=False, states=False, activations=["Affine"])
    feeds = {"x": np.ones((1, 1, 3), np.float32), "w": np.array([[[1e8, 1, -1e8]]], np.float32)}
    assert ours(model, {**feeds, "r": np.zeros((1, 1, 1), np.float32)})[0].item() == 1.0


def test_outputs_that_are_not_wanted(make_model: Callable[..., onnx.ModelProto]) -> None:
    model, feeds = layer(make_model, "LSTM")
    whole = ours(model, feeds)
    model.graph.node[0].output[0] = ""
    del model.graph.output[0], model.graph.output[1], model.graph.node[0].output[2]
    agree(ours(model, feeds), whole[1:2], 0)


def test_large_values_overflow_no_activation() -> None:
    # 1 / (1 + exp(1e4)) warns, log(1 + exp(1e4)) is infinite: an oracle must be neither.
    x = np.array([-1e4, -1.0, 0.0, 1.0, 1e4])
    for function in FUNCTIONS.values():
        assert np.isfinite(function.formula(x, function.alpha or 0.0, function.beta or 0.0)).all()


def test_operators_and_their_usual_activations_belong_together() -> None:
    assert {operator.__name__ for operator in (GRU, LSTM, RNN)} == set(USUAL) == set(GATES)
    assert {GRU, LSTM, RNN} <= set(OPERATORS)


def test_relu_in_a_gru_is_no_longer_refused(gru: onnx.ModelProto, saved: Callable[..., Path]) -> None:
    feeds = {"x": draw(2, 1, 2), "h_in": np.zeros((1, 1, 3), np.float32)}
    usual = Reference(saved(gru))(feeds)
    gru.graph.node[0].attribute.append(helper.make_attribute("activations", ["Sigmoid", "Relu"]))
    assert not np.allclose(Reference(saved(gru))(feeds)[0], usual[0])


@pytest.mark.parametrize(
    ("name", "value"), [("clip", 0.5), ("activations", ["Sigmoid", "Magic"]), ("sequence_lens", None)]
)
def test_what_would_be_ignored_is_refused(
    gru: onnx.ModelProto, saved: Callable[..., Path], name: str, value: Any
) -> None:
    node = gru.graph.node[0]
    if name == "sequence_lens":
        node.input[4] = name
        gru.graph.initializer.append(helper.make_tensor(name, TensorProto.INT32, [1], [2]))
    else:
        node.attribute.append(helper.make_attribute(name, value))
    with pytest.raises(ReferenceUnsupported, match=rf"GRU.*'memory'.*({name}|Magic)"):
        Reference(saved(gru))
