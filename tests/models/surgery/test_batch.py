"""Several signals in one call: each must be answered as if it were alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.build import build
from models.errors import ModelError
from models.facts import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

node = helper.make_node
STATEFUL = {"h": "h1", "c": "c1"}


def sizes(values: Any) -> dict[str, list[int]]:
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}


def joined(parts: list[Any], shape: list[int]) -> Any:
    grown = [axis for axis, (small, large) in enumerate(zip(parts[0].shape, shape, strict=True)) if small != large]
    return np.concatenate(parts, axis=grown[0]) if grown else parts[0]


@pytest.fixture
def apart(form: Any, answer: Any) -> Callable[..., onnx.ModelProto]:
    """``apart(model, 2, states)``: the resized model, after seeing that it keeps random signals apart."""

    def check(
        model: onnx.ModelProto, count: int = 2, states: dict[str, str] | None = None, **context: Any
    ) -> onnx.ModelProto:
        result: onnx.ModelProto = form(model, f"batch{count}", states=states or {}, **context)
        single = form(model, "static", **context) if context else model
        wide, generator = sizes(result.graph.input), np.random.default_rng(5)
        feeds = [
            {name: generator.standard_normal(shape) for name, shape in sizes(single.graph.input).items()}
            for _ in range(count)
        ]
        for name, shape in sizes(single.graph.input).items():
            if wide[name] == shape:  # one for all
                feeds = [{**feed, name: feeds[0][name]} for feed in feeds]
        alone = [answer(model, feed) for feed in feeds]
        together = answer(result, {name: joined([feed[name] for feed in feeds], wide[name]) for name in wide})
        for index, (name, shape) in enumerate(sizes(result.graph.output).items()):
            assert list(together[index].shape) == shape, name
            np.testing.assert_allclose(
                together[index], joined([one[index] for one in alone], shape), atol=2e-5, err_msg=name
            )
        return result

    return check


@pytest.mark.parametrize("name", [name for name in zoo() if name not in {"vocos", "hifigan_v2", "fast_4s", "lite_4s"}])
def test_the_zoo_comes_out_as_its_builders_make_it(name: str, form: Any) -> None:
    resized, built = form(build(name), "batch2"), build(name, 2)
    assert sizes(resized.graph.input) == sizes(built.graph.input)
    assert sizes(resized.graph.output) == sizes(built.graph.output)


@pytest.mark.parametrize("name", ["rnnoise", "fx_conditioned_8", "nam_nano"])
def test_states_of_the_zoo_stay_apart(name: str, apart: Any) -> None:
    apart(build(name))


def test_sizes_written_into_constants_follow(graph: Any, apart: Any, draw: Any) -> None:
    nodes = [
        node("Reshape", ["x", "two"], ["a"]),
        node("Slice", ["a", "zeros", "ends", "axes"], ["b"]),
        node("Resize", ["b", "", "", "sizes"], ["c"], mode="nearest"),
        node("Expand", ["half", "whole"], ["e"]),
        node("Mul", ["c", "e"], ["d"]),
        node("Transpose", ["d"], ["f"], perm=[2, 0, 1, 3]),
        node("Reshape", ["f", "rows"], ["g"]),
        node("MatMul", ["g", "w"], ["i"]),
        node("Reshape", ["i", "back"], ["j"]),
        node("Transpose", ["j"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {
        "two": np.array([1, 2, 4, 6]),
        "zeros": np.array([0, 0]),
        "ends": np.array([1, 3]),
        "axes": np.array([0, 2]),
        "sizes": np.array([1, 2, 6, 6]),
        "half": np.full((1, 1, 1, 1), 0.5, "f"),
        "whole": np.array([1, 2, 1, 1]),
        "rows": np.array([6, 12]),
        "w": draw(12, 5),
        "back": np.array([6, 1, 5]),
    }
    model = graph(nodes, [("x", [1, 48])], [("y", [1, 6, 5])], constants)
    assert sizes(apart(model, 3).graph.output) == {"y": [3, 6, 5]}


def test_signals_folded_into_another_axis_come_out_again(graph: Any, apart: Any, draw: Any) -> None:
    # As separation nets do: two sources per signal become rows of the batch.
    nodes = [
        node("Reshape", ["x", "rows"], ["a"]),
        node("Conv", ["a", "w"], ["b"], kernel_shape=[3]),
        node("Reshape", ["b", "sources"], ["c"]),
        node("Softmax", ["c"], ["y"], axis=1),
    ]
    constants = {"rows": np.array([2, 3, 8]), "w": draw(4, 3, 3), "sources": np.array([1, 2, 4, 6])}
    apart(graph(nodes, [("x", [1, 2, 3, 8])], [("y", [1, 2, 4, 6])], constants))


@pytest.mark.parametrize("initial", ["declared", "constant", "none"])
def test_a_recurrent_layer_gets_a_state_for_each(graph: Any, apart: Any, draw: Any, initial: str) -> None:
    given = {"declared": ["h", "c"], "constant": ["zero", "zero"], "none": []}[initial]
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w", "r", "", "", *given], ["s", "h1", "c1"], hidden_size=3),
        node("Squeeze", ["s", "one"], ["q"]),
        node("Transpose", ["q"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {"w": draw(1, 12, 4), "r": draw(1, 12, 3), "zero": draw(1, 1, 3), "one": np.array([1])}
    ins, outs, states = [("x", [1, 5, 4])], [("y", [1, 5, 3])], {}
    if initial == "declared":
        ins, outs, states = (
            [*ins, ("h", [1, 1, 3]), ("c", [1, 1, 3])],
            [*outs, ("h1", [1, 1, 3]), ("c1", [1, 1, 3])],
            STATEFUL,
        )
    result = apart(graph(nodes, ins, outs, constants), 2, states)
    if initial == "declared":
        assert sizes(result.graph.input)["h"] == [1, 2, 3]


def test_states_noted_in_the_file_are_states(graph: Any, form: Any, draw: Any) -> None:
    nodes = [
        node("Concat", ["old", "x"], ["all"], axis=2),
        node("Conv", ["all", "w"], ["y"], kernel_shape=[3]),
        node("Slice", ["all", "from", "to", "axis"], ["new"]),
    ]
    constants = {"w": draw(2, 2, 3), "from": np.array([-2]), "to": np.array([99]), "axis": np.array([2])}
    model = graph(nodes, [("x", [1, 2, 6]), ("old", [1, 2, 2])], [("y", [1, 2, 6]), ("new", [1, 2, 2])], constants)
    helper.set_model_props(model, {"rtfloor.states": '{"old": "new"}'})
    assert sizes(form(model, "batch2").graph.input) == {"x": [2, 2, 6], "old": [2, 2, 2]}


def test_an_open_file_is_fixed_as_well(graph: Any, apart: Any, draw: Any) -> None:
    # The target is computed from the input, and says the right thing by itself.
    nodes = [
        node("Shape", ["x"], ["size"]),
        node("Gather", ["size", "zero"], ["batch"]),
        node("Unsqueeze", ["batch", "zeros"], ["first"]),
        node("Concat", ["first", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["a"]),
        node("MatMul", ["a", "w"], ["y"]),
    ]
    constants = {"zero": np.array(0), "zeros": np.array([0]), "rest": np.array([-1, 4]), "w": draw(4, 2)}
    model = graph(nodes, [("x", ["b", "t"])], [("y", ["b", None, 2])], constants)
    result = apart(model, 2, shapes={"x": (1, 12)})
    assert [n.op_type for n in result.graph.node].count("Shape") == 1


def test_a_sample_rate_is_one_for_all(graph: Any, form: Any) -> None:
    nodes = [node("Cast", ["rate"], ["r"], to=TensorProto.FLOAT), node("Mul", ["x", "r"], ["y"])]
    done: list[Any] = []
    model = graph(nodes, [("x", [1, 4]), ("rate", [1], TensorProto.INT64)], [("y", [1, 4])])
    assert sizes(form(model, "batch2", done).graph.input) == {"x": [2, 4], "rate": [1]}
    assert done[0].notes == ("input 'rate' is one for all signals",)


def test_a_first_size_above_one_belongs_to_one_signal(graph: Any, apart: Any) -> None:
    # Windows of one signal, stacked: two signals have twice as many.
    model = graph([node("Relu", ["x"], ["y"])], [("x", [8, 4])], [("y", [8, 4])])
    assert sizes(apart(model, 2).graph.input) == {"x": [16, 4]}


MIXING = {
    "a mean over everything": [node("ReduceMean", ["x"], ["m"], keepdims=1), node("Sub", ["x", "m"], ["y"])],
    "attention across": [
        node("Squeeze", ["x", "zeros"], ["s"]),
        node("Unsqueeze", ["s", "zeros"], ["y"]),
    ],
    "its own transpose": [
        node("Reshape", ["x", "flat"], ["f"]),
        node("Transpose", ["f"], ["t"]),
        node("MatMul", ["f", "t"], ["p"]),
        node("MatMul", ["p", "f"], ["q"]),
        node("Reshape", ["q", "back"], ["y"]),
    ],
    "the first one alone": [node("Gather", ["x", "nil"], ["g"], axis=0), node("Unsqueeze", ["g", "zeros"], ["y"])],
    "a softmax before operator set 13 runs over all axes": [node("CumSum", ["x", "nil"], ["y"])],
    "places": [node("NonZero", ["x"], ["n"]), node("Cast", ["n"], ["y"], to=TensorProto.FLOAT)],
    "its size as a number": [
        node("Size", ["x"], ["n"]),
        node("Cast", ["n"], ["k"], to=TensorProto.FLOAT),
        node("Div", ["x", "k"], ["y"]),
    ],
    "no operator that we know": [node("Odd", ["x"], ["y"], domain="my")],
}


@pytest.mark.parametrize("how", MIXING)
def test_what_lets_one_signal_into_another_is_refused(graph: Any, form: Any, how: str) -> None:
    constants = {"zeros": np.array([0]), "nil": np.array(0), "flat": np.array([1, 12]), "back": np.array([1, 3, 4])}
    model = graph(MIXING[how], [("x", [1, 3, 4])], [("y", None)], constants, domains=["my"])
    with pytest.raises(ModelError, match="cannot take 2 signals in one call"):
        form(model, "batch2")


def test_branches_are_refused_in_so_many_words(graph: Any, form: Any) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(op, TensorProto.FLOAT, [1, 4])
        return helper.make_graph([node(op, ["x"], [op])], op, [], [out])

    nodes = [node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg"))]
    model = graph(nodes, [("x", [1, 4]), ("c", [], TensorProto.BOOL)], [("y", [1, 4])])
    with pytest.raises(ModelError, match="has graphs inside"):
        form(model, "batch2")


def test_a_constant_that_is_shared_grows_only_where_signals_meet_it(graph: Any, apart: Any) -> None:
    nodes = [
        node("Concat", ["x", "row"], ["a"], axis=1),
        node("Add", ["row", "row"], ["twice"]),
        node("Mul", ["a", "twice"], ["y"]),
    ]
    apart(graph(nodes, [("x", [1, 1, 4])], [("y", [1, 2, 4])], {"row": np.arange(4, dtype="f").reshape(1, 1, 4)}))


def test_old_attributes_are_followed_too(graph: Any, apart: Any) -> None:
    nodes = [
        node("Slice", ["x"], ["a"], starts=[0, 1], ends=[1, 9], axes=[0, 2]),
        node("Unsqueeze", ["a"], ["b"], axes=[0]),
        node("Squeeze", ["b"], ["c"], axes=[0]),
        node("Pad", ["c"], ["y"], pads=[0, 0, 1, 0, 0, 1]),
    ]
    apart(graph(nodes, [("x", [1, 3, 10])], [("y", [1, 3, 10])], opset=9, ir=4))


def test_one_signal_is_nothing_new_and_none_is_impossible(graph: Any, form: Any) -> None:
    model = graph([node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])])
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "batch1")
    with pytest.raises(ModelError, match="a batch of 0 is not possible"):
        form(model, "batch0")


def test_weights_stay_the_same_size(form: Any) -> None:
    before, after = build("rt8"), form(build("rt8"), "batch4")
    big = [{t.name: t for t in m.graph.initializer if numpy_helper.to_array(t).size > 64} for m in (before, after)]
    assert big[0] == big[1]
