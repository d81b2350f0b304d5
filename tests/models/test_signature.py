"""Sizes: a wrong guess would time another model than the one the user ships."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

from models.card import Port
from models.errors import ModelError
from models.signature import fix_shapes, guessed_batches, signature, with_batch

if TYPE_CHECKING:
    from collections.abc import Callable

FLOAT = TensorProto.FLOAT


def identity(make_model: Callable[..., onnx.ModelProto], shape: Any, kind: int = FLOAT) -> onnx.ModelProto:
    return make_model([helper.make_node("Identity", ["x"], ["y"])], {"x": (shape, kind)}, {"y": (None, kind)})


def fails(model: onnx.ModelProto, shapes: dict[str, Any], *words: str, batch: Any = None) -> None:
    with pytest.raises(ModelError) as caught:
        signature(model, shapes, batch)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_static_file_needs_no_copy(make_model: Callable[..., onnx.ModelProto]) -> None:
    inputs, outputs, rewrite = signature(identity(make_model, [1, 4]), {})
    assert inputs == (Port("x", (1, 4), "float32"),)
    assert outputs == (Port("y", (1, 4), "float32"),)
    assert not rewrite


@pytest.mark.parametrize("batch", ["batch", "N", "unk__214", None])
def test_an_open_first_size_alone_is_a_batch_of_one(make_model: Callable[..., onnx.ModelProto], batch: Any) -> None:
    inputs, outputs, rewrite = signature(identity(make_model, [batch, 4]), {})
    assert inputs[0].shape == outputs[0].shape == (1, 4)
    assert rewrite


def test_a_guess_that_is_no_batch_is_said(make_model: Callable[..., onnx.ModelProto]) -> None:
    assert not guessed_batches(identity(make_model, ["batch", 4]), {})
    assert "--shape x=B,4" in guessed_batches(identity(make_model, ["frames", 4]), {})[0]


def test_message_shows_the_flag(make_model: Callable[..., onnx.ModelProto]) -> None:
    fails(identity(make_model, ["batch", 2, 513, "frames"]), {}, "(batch, 2, 513, frames)", "--shape x=B,2,513,T")
    fails(identity(make_model, None), {}, "--shape x=")


@pytest.mark.parametrize(
    ("shape", "word"), [((1, 2), "needs 3"), ((1, 3, 4), "fixes size 2 at 2"), ((0, 2, 4), "1 or more")]
)
def test_wrong_sizes(make_model: Callable[..., onnx.ModelProto], shape: Any, word: str) -> None:
    fails(identity(make_model, ["b", 2, "t"]), {"x": shape}, word, "--shape x=")


def test_unknown_input_name(make_model: Callable[..., onnx.ModelProto]) -> None:
    fails(identity(make_model, ["b", 2]), {"z": (1, 2)}, "'z'", "inputs are x")


def test_impossibly_large_input(make_model: Callable[..., onnx.ModelProto]) -> None:
    fails(identity(make_model, [1, 1 << 40]), {}, "2 GiB")


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.BFLOAT16, TensorProto.COMPLEX64])
def test_unsupported_element_types(make_model: Callable[..., onnx.ModelProto], kind: int) -> None:
    fails(identity(make_model, [1, 4], kind), {}, "'x'", "float32", "int64")


def test_sequences_are_unsupported(make_model: Callable[..., onnx.ModelProto]) -> None:
    model = identity(make_model, [1])
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", FLOAT, [1]))
    fails(model, {}, "sequence")


def test_float16_is_supported(make_model: Callable[..., onnx.ModelProto]) -> None:
    assert signature(identity(make_model, [1, 4], TensorProto.FLOAT16), {})[0][0].dtype == "float16"


def test_a_symbol_is_one_size_in_all_inputs(gru: onnx.ModelProto) -> None:
    inputs, outputs, _ = signature(gru, {"x": (5, 3, 2)})
    assert [port.shape for port in inputs] == [(5, 3, 2), (1, 3, 3)]
    assert [port.shape for port in outputs] == [(5, 1, 3, 3), (1, 3, 3)]
    fails(gru, {"x": (5, 3, 2), "h_in": (1, 2, 3)}, "'batch'", "one size")


def test_initializers_listed_as_inputs_are_no_inputs(linear: onnx.ModelProto) -> None:
    linear.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [4, 3]))
    assert [port.name for port in signature(linear, {})[0]] == ["x"]


def test_stale_output_sizes_give_way(make_model: Callable[..., onnx.ModelProto]) -> None:
    # Traced at batch 1: the file says so, and with two signals it is wrong.
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": (["b", 4], FLOAT)}, {"y": ([1, 4], FLOAT)})
    assert signature(model, {}, 2)[1][0].shape == (2, 4)


def test_size_that_only_shows_at_run_time_is_unknown(make_model: Callable[..., onnx.ModelProto]) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"])
    model = make_model([node], {"x": ([3], FLOAT)}, {"y": ([1, "found"], TensorProto.INT64)})
    assert signature(model, {})[1][0].shape is None


def test_fixed_copy_leaves_the_model_alone(gru: onnx.ModelProto) -> None:
    before = gru.SerializeToString()
    inputs, _, _ = signature(gru, {"x": (5, 1, 2)})
    assert signature(fix_shapes(gru, inputs), {}) == (inputs, signature(gru, {"x": (5, 1, 2)})[1], False)
    assert gru.SerializeToString() == before


def test_batch(linear: onnx.ModelProto, make_model: Callable[..., onnx.ModelProto]) -> None:
    inputs, _, _ = signature(linear, {})
    assert with_batch(linear, inputs, 2)[0].shape == (2, 4)
    fails(identity(make_model, [1, 4]), {}, "fixes its batch at 1", batch=2)


def test_batch_reaches_the_state_by_its_symbol(make_model: Callable[..., onnx.ModelProto]) -> None:
    model = make_model(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["h"], ["k"])],
        {"x": (["b", 4], FLOAT), "h": ([2, "b", 3], FLOAT), "rate": ([], TensorProto.INT64)},
        {"y": (None, FLOAT), "k": (None, FLOAT)},
    )
    inputs, _, _ = signature(model, {}, 2, states=["h"])
    assert [port.shape for port in inputs] == [(2, 4), (2, 2, 3), ()]


def test_zero_sizes_are_named(make_model: Callable[..., onnx.ModelProto]) -> None:
    fails(identity(make_model, [1, 0]), {}, "zero sizes are not supported")
    fails(identity(make_model, [1, "n"]), {"x": (1, 0)}, "zero sizes are not supported")


def test_classifiers_with_maps_are_told_the_export_option(make_model: Callable[..., onnx.ModelProto]) -> None:
    model = identity(make_model, [1, 4])
    model.graph.output[0].CopyFrom(
        helper.make_value_info("y", helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, [1])))
    )
    fails(model, {}, "sequence", "{'zipmap': False}")
