"""The rewrites around the norm: right on the zoo, right on graphs of other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from models.build import build
from models.compare import compare, verdict
from models.errors import ModelError
from models.inputs import make_inputs
from models.prepare import prepare_zoo
from models.reference import Reference
from models.surgery.base import Context
from models.surgery.catalogue import form_name, form_precision, parse_form
from models.surgery.chain import operate

if TYPE_CHECKING:
    from pathlib import Path

BEST = "swap+ln_last+split+up"


def run(model: onnx.ModelProto, folder: Path, feeds: dict[str, Any]) -> list[Any]:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return Reference(path)(feeds)


def check(model: onnx.ModelProto, form: str, folder: Path, feeds: dict[str, Any]) -> onnx.ModelProto:
    formed, _ = operate(model, parse_form(form), Context(), "model")
    error = compare(run(model, folder, feeds), run(formed, folder, feeds), [v.name for v in model.graph.output])
    assert verdict(error, "fp32", "the graph before", subject=form) is None
    return formed


@pytest.mark.parametrize("form", ["ln", "swap", "split", "swap+ln", "ln+swap", "ln_last", BEST])
def test_rewrites_say_the_same(form: str, tmp_path: Path) -> None:
    feeds = make_inputs(prepare_zoo("rt8", "raw", 1, tmp_path), 1, 1)[0][0]
    check(build("rt8"), form, tmp_path, feeds)


def test_swapping_leaves_no_transpose_but_at_the_ends(tmp_path: Path) -> None:
    formed, _ = operate(build("rt8"), parse_form("swap"), Context(), "rt8")
    assert [node.op_type for node in formed.graph.node].count("Transpose") == 2


def test_after_swapping_the_norm_turns_between_channels_first_and_last() -> None:
    formed, _ = operate(build("rt8"), parse_form("swap+ln_last"), Context(), "rt8")
    perms = {tuple(n.attribute[0].ints) for n in formed.graph.node if n.op_type == "Transpose"}
    # These two are what ONNX Runtime melts into its own reordering; the third turns input and output.
    assert perms == {(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)}


def graph(nodes: list[onnx.NodeProto], constants: dict[str, Any], sizes: dict[str, Any], out: list[str]) -> Any:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, 1, size) for name, size in sizes.items()],
        [helper.make_tensor_value_info(name, 1, None) for name in out],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def values(*size: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *size]).standard_normal(size).astype(np.float32)


def test_swap_on_a_graph_with_everything(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node(
            "Conv", ["padded", "w"], ["conv"], kernel_shape=[3, 2], strides=[2, 1], dilations=[1, 2], pads=[1, 0, 0, 1]
        ),
        helper.make_node("Mul", ["conv", "row"], ["rowed"]),
        helper.make_node("Add", ["rowed", "column"], ["columned"]),
        helper.make_node("PRelu", ["columned", "slope"], ["bent"]),
        helper.make_node("ReduceMax", ["bent", "axis3"], ["loudest"], keepdims=1),
        helper.make_node("Sub", ["bent", "loudest"], ["below"]),
        helper.make_node("Slice", ["below", "from", "to", "axis2"], ["cut"]),
        helper.make_node("Concat", ["cut", "cut"], ["twice"], axis=-2),
        helper.make_node("Softmax", ["twice"], ["soft"], axis=-1),
        helper.make_node(
            "ConvTranspose", ["soft", "v"], ["up"], kernel_shape=[3, 1], strides=[2, 1], pads=[0, 0, 1, 0]
        ),
        helper.make_node("Resize", ["up", "", "scales"], ["large"], mode="linear"),
        # From here on nothing can be swapped.
        helper.make_node("Reshape", ["large", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "m"], ["y"]),
        helper.make_node("Transpose", ["bent"], ["z"], perm=[0, 3, 1, 2]),
    ]
    constants = {
        "pads": np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64),
        "w": values(3, 2, 3, 2),
        "row": values(1, 1, 1, 9),
        "column": values(5, 1),
        "slope": values(3, 1, 1),
        "axis3": np.array([3], np.int64),
        "axis2": np.array([2], np.int64),
        "from": np.array([1], np.int64),
        "to": np.array([5], np.int64),
        "v": values(3, 2, 3, 1),
        "scales": np.array([1, 1, 2, 1], np.float32),
        "flat": np.array([1, -1, 9], np.int64),
        "m": values(9, 4),
    }
    model = graph(nodes, constants, {"x": [1, 2, 9, 8]}, ["y", "z", "bent"])
    formed = check(model, "swap", tmp_path, {"x": values(1, 2, 9, 8, seed=5)})
    kinds = [node.op_type for node in formed.graph.node]
    assert kinds.count("Transpose") <= 4  # in, out to the Reshape, out to the output; the old one took one in


def test_split_of_three_parts_with_a_bias(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["a", "b", "c"], ["abc"], axis=-3),
        helper.make_node("Conv", ["abc", "d", "e"], ["deep"], group=6, kernel_shape=[1, 3], pads=[0, 1, 0, 1]),
        helper.make_node("Conv", ["deep", "w", "v"], ["y"], kernel_shape=[1, 1]),
    ]
    constants = {"d": values(6, 1, 1, 3), "e": values(6), "w": values(4, 6, 1, 1), "v": values(4)}
    sizes = {"a": [1, 1, 3, 5], "b": [1, 2, 3, 5], "c": [1, 3, 3, 5]}
    model = graph(nodes, constants, sizes, ["y"])
    feeds = {name: values(*size, seed=7) for name, size in sizes.items()}
    formed = check(model, "split", tmp_path, feeds)
    assert "Concat" not in [node.op_type for node in formed.graph.node]


@pytest.mark.parametrize("broken", ["two readers", "grouped", "free weight", "an output"])
def test_split_keeps_off_what_it_cannot_part(broken: str) -> None:
    group = 2 if broken == "grouped" else 1
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["ab"], axis=1),
        helper.make_node("Conv", ["ab", "w"], ["y"], group=group),
        *([helper.make_node("Relu", ["ab"], ["z"])] if broken == "two readers" else []),
    ]
    sizes = {"a": [1, 2, 3, 5], "b": [1, 2, 3, 5]}
    constants = {"w": values(4, 4 // group, 1, 1)}
    if broken == "free weight":
        sizes["w"], constants = [4, 4, 1, 1], {}
    out = ["y", *(["z"] if broken == "two readers" else ["ab"] if broken == "an output" else [])]
    with pytest.raises(ModelError, match="nothing in this graph"):
        operate(graph(nodes, constants, sizes, out), parse_form("split"), Context(), "model")


def test_up_only_where_a_value_is_repeated(tmp_path: Path) -> None:
    def resized(mode: str, size: list[int], before: str = "x") -> Any:
        nodes = [
            helper.make_node("Conv", ["x", "one"], ["conv"]),
            helper.make_node(
                "Resize",
                [before, "", "", "sizes"],
                ["y"],
                mode=mode,
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
        ]
        constants = {"sizes": np.array(size, np.int64), "one": values(2, 2, 1, 1)}
        return graph(nodes, constants, {"x": [1, 2, 3, 4]}, ["y", "conv"])

    x = {"x": values(1, 2, 3, 4)}
    check(resized("nearest", [1, 2, 3, 8]), "up", tmp_path, x)
    others = [("linear", [1, 2, 3, 8], "x"), ("nearest", [1, 2, 3, 7], "x"), ("nearest", [1, 2, 3, 8], "conv")]
    for mode, size, before in others:
        with pytest.raises(ModelError, match="nothing in this graph"):
            operate(resized(mode, size, before), parse_form("up"), Context(), "model")


def test_names_of_forms() -> None:
    assert form_name("raw") == "raw"
    assert form_name("raw, ln,fp16") == form_name("ln+fp16") == "ln+fp16"
    assert form_name("opset21+batch2") == "opset21+batch2"
    assert form_precision("ln") == "fp32"
    assert form_precision("int8+fp16") == "int8"
    for bad, word in (("nix", "no pass 'nix'"), ("opset", "needs a number"), ("ln2", "no pass"), ("", "no pass")):
        with pytest.raises(ModelError, match=word):
            form_name(bad)


def test_a_pass_does_not_change_what_it_was_given() -> None:
    model = build("rt8")
    before = model.SerializeToString(deterministic=True)
    operate(model, parse_form(BEST), Context(), "rt8")
    assert model.SerializeToString(deterministic=True) == before


def test_up_leaves_odd_factors_alone() -> None:
    # 2.3 on three rows makes six, and repeats others than 2 does.
    nodes = [
        helper.make_node(
            "Resize",
            ["x", "", "scales"],
            ["y"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    ]
    model = graph(nodes, {"scales": np.array([1, 1, 2.3, 1], np.float32)}, {"x": [1, 2, 3, 4]}, ["y"])
    with pytest.raises(ModelError, match="nothing in this graph"):
        operate(model, parse_form("up"), Context(), "model")


def test_swap_keeps_off_an_old_softmax(tmp_path: Path) -> None:
    # Before operator set 13 it went over its axis and all behind it.
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Softmax", ["c"], ["y"], axis=3)]
    model = graph(nodes, {"w": values(2, 2, 1, 1)}, {"x": [1, 2, 3, 4]}, ["y"])
    model.opset_import[0].version = 11
    check(model, "swap", tmp_path, {"x": values(1, 2, 3, 4)})
