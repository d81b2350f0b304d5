"""CausalCLN is found however it is written, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from models.build import build
from models.compare import compare, verdict
from models.errors import ModelError
from models.reference import Reference
from models.surgery.base import Context
from models.surgery.catalogue import parse_form
from models.surgery.causal_norm import find_causal_norms
from models.surgery.chain import operate
from models.surgery.rewrite import View

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parent / "data"
FOUND = sorted(path.stem for path in DATA.glob("*.onnx") if not path.stem.startswith("alike"))
ALIKE = sorted(path.stem for path in DATA.glob("alike*.onnx"))
C, F, T = 4, 5, 6


def answers(model: onnx.ModelProto, folder: Path, x: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return Reference(path)({"x": x})


def same(one: onnx.ModelProto, other: onnx.ModelProto, folder: Path, sizes: Sequence[int]) -> None:
    x = np.random.default_rng(3).standard_normal(sizes).astype(np.float32) * 2
    names = [value.name for value in one.graph.output]
    error = compare(answers(one, folder, x), answers(other, folder, x), names)
    assert verdict(error, "fp32", "the graph before", subject="rewritten") is None


def written_out(
    axes: Sequence[int] = (1, 2),
    gain: Any = None,
    extra_output: str = "",
    epsilon: float = 1e-5,
    sizes: Sequence[int] = (1, C, F, T),
) -> onnx.ModelProto:
    gain = np.linspace(0.5, 1.5, C, dtype=np.float32).reshape(1, C, *[1] * (len(sizes) - 2)) if gain is None else gain
    constants = {
        "axes": np.array(axes, np.int64),
        "two": np.float32(2).reshape(()),
        "eps": np.float32(epsilon).reshape(()),
        "gain": gain,
        "shift": np.float32(0.1) * gain,
    }
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"]),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Pow", ["centred", "two"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "axes"], ["variance"]),
        helper.make_node("Add", ["eps", "variance"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Mul", ["gain", "scaled"], ["gained"]),
        helper.make_node("Add", ["gained", "shift"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["y"]),
    ]
    outputs = ["y", *([extra_output] if extra_output else [])]
    graph = helper.make_graph(
        nodes,
        "written out",
        [helper.make_tensor_value_info("x", 1, list(sizes))],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def found(model: onnx.ModelProto) -> int:
    return len(find_causal_norms(View(model)))


@pytest.mark.parametrize("name", FOUND)
def test_found_in_graphs_that_pytorch_exported(name: str, tmp_path: Path) -> None:
    model = onnx.load(DATA / f"{name}.onnx")
    [norm] = find_causal_norms(View(model))
    assert (norm.axes, norm.frame_axis) == ((1, 2), 3)
    formed, _ = operate(model, parse_form("ln"), Context(), name)
    kinds = [node.op_type for node in formed.graph.node]
    assert kinds.count("LayerNormalization") == 1
    # The norm's own nodes are gone, and with them the questions that exporters ask about their shapes.
    assert not {"ReduceMean", "Sqrt", "Pow", "Div"} & set(kinds)
    same(model, formed, tmp_path, (1, 1, 17, 9))


@pytest.mark.parametrize("name", [name for name in FOUND if name.startswith("frames_open")])
def test_found_when_open_sizes_are_fixed_first(name: str) -> None:
    context = Context(shapes={"x": (1, 1, 17, 9)})
    _, done = operate(onnx.load(DATA / f"{name}.onnx"), parse_form("static+ln"), context, name)
    assert [step.places for step in done] == [1, 1]


@pytest.mark.parametrize("name", ALIKE)
def test_a_graph_that_only_looks_alike_is_left_alone(name: str) -> None:
    model = onnx.load(DATA / f"{name}.onnx")
    assert found(model) == 0
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        operate(model, parse_form("ln"), Context(), name)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (written_out(axes=(1, 2, 3)), "frames are averaged over, too"),
        (written_out(axes=(2, 3)), "channels are left out"),
        (written_out(axes=(2,)), "two axes are left"),
        (written_out(axes=(0, 1, 2)), "signals are mixed"),
        (written_out(gain=np.ones((1, 1, 1, T), np.float32)), "the gain changes from frame to frame"),
        (written_out(extra_output="variance"), "the variance is an output"),
        (written_out(extra_output="centred"), "a value within is an output"),
        (written_out(epsilon=2.0), "an epsilon of 2 is none"),
        (written_out(sizes=("N", C, "F", T)), "γ cannot be written out for an unknown number of frequencies"),
    ],
)
def test_left_alone(model: onnx.ModelProto, why: str) -> None:
    # A gain that varies in time still leaves a norm without one; it must then stay outside.
    norms = find_causal_norms(View(model))
    if "gain" in why:
        assert all(norm.y == "scaled" for norm in norms)
    else:
        assert not norms, why


def test_other_layouts_and_ranks(tmp_path: Path) -> None:
    swapped = written_out(axes=(1, 3), sizes=(2, C, T, F))
    assert find_causal_norms(View(swapped))[0].frame_axis == 2
    formed, _ = operate(swapped, parse_form("ln_last"), Context(), "swapped")
    same(swapped, formed, tmp_path, (2, C, T, F))
    flat = written_out(axes=(1,), sizes=(1, C, T))
    formed, _ = operate(flat, parse_form("ln"), Context(), "flat")
    same(flat, formed, tmp_path, (1, C, T))
    negative = written_out(axes=(-3, -2))
    assert found(negative) == 1


def test_a_gain_per_frequency_is_kept(tmp_path: Path) -> None:
    gain = np.random.default_rng(0).normal(1, 0.2, (C, F, 1)).astype(np.float32)
    model = written_out(gain=gain)
    formed, _ = operate(model, parse_form("ln"), Context(), "model")
    same(model, formed, tmp_path, (1, C, F, T))


def test_a_gain_that_the_caller_may_change_is_no_constant() -> None:
    model = written_out()
    model.graph.input.append(helper.make_tensor_value_info("gain", 1, [1, C, 1, 1]))
    assert all(norm.y == "scaled" for norm in find_causal_norms(View(model)))


@pytest.mark.parametrize(("name", "norms"), [("rt48", 9), ("fast16", 14)])
def test_found_in_the_zoo(name: str, norms: int) -> None:
    assert found(build(name)) == norms


def test_custom_is_a_node_of_a_foreign_domain() -> None:
    formed, done = operate(build("rt48"), parse_form("custom"), Context(), "rt48")
    assert sum(node.domain == "rtfloor.custom" for node in formed.graph.node) == done[0].places == 9
    assert {entry.domain for entry in formed.opset_import} == {"", "rtfloor.custom"}


def wired(*middle: onnx.NodeProto, sizes: Sequence[int] = (1, C, F, T), opset: int = 18, **constants: Any) -> Any:
    """Mean, variance and root of x as usual, then nodes of one's own from ``centred`` and ``deviation`` to ``y``."""
    usual = {
        "axes": np.array([1, 2], np.int64),
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "gain": np.linspace(0.5, 1.5, C, dtype=np.float32).reshape(1, C, 1, 1),
    }
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"]),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Pow", ["centred", "two"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "axes"], ["variance"]),
        helper.make_node("Add", ["variance", "eps"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["deviation"]),
        *middle,
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in {**usual, **constants}.items()]
    inputs = [helper.make_tensor_value_info("x", 1, list(sizes))]
    graph = helper.make_graph(nodes, "wired", inputs, [helper.make_tensor_value_info("y", 1, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize("target", [(1, 1, T, 1), (1, T, 1, 1)])
def test_a_row_of_frames_met_as_a_column_is_no_norm_of_frames(target: tuple[int, ...]) -> None:
    # Where another size happens to be T, the graph runs, and means something else.
    sizes = (1, T, T, T)
    model = wired(
        helper.make_node("Reshape", ["deviation", "target"], ["turned"]),
        helper.make_node("Div", ["centred", "turned"], ["y"]),
        sizes=sizes,
        target=np.array(target, np.int64),
    )
    assert found(model) == 0
    inverse = wired(
        helper.make_node("Reciprocal", ["deviation"], ["inverse"]),
        helper.make_node("Transpose", ["inverse"], ["turned"], perm=[0, 1, 3, 2]),
        helper.make_node("Mul", ["centred", "turned"], ["y"]),
        sizes=sizes,
    )
    assert found(inverse) == 0


def test_a_gain_on_the_centred_side(tmp_path: Path) -> None:
    # Python reads γ times x over s from the left, and so do the classic layers for source separation.
    model = wired(
        helper.make_node("Mul", ["gain", "centred"], ["gained"]),
        helper.make_node("Div", ["gained", "deviation"], ["y"]),
    )
    assert found(model) == 1
    formed, _ = operate(model, parse_form("ln"), Context(), "model")
    same(model, formed, tmp_path, (1, C, F, T))


def test_statistics_without_kept_sizes(tmp_path: Path) -> None:
    # As indexing with None writes it.
    model = wired(
        helper.make_node("Squeeze", ["deviation", "axes"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "axes"], ["full"]),
        helper.make_node("Div", ["centred", "full"], ["y"]),
    )
    assert found(model) == 1
    formed, _ = operate(model, parse_form("ln"), Context(), "model")
    same(model, formed, tmp_path, (1, C, F, T))


@pytest.mark.parametrize("name", FOUND)
def test_found_after_swapping_too(name: str, tmp_path: Path) -> None:
    context = Context(shapes={"x": (1, 1, 17, 9)})
    model = onnx.load(DATA / f"{name}.onnx")
    first = "static+" if name.startswith("frames_open") else ""
    formed, _ = operate(model, parse_form(f"{first}swap+ln_last"), context, name)
    assert "LayerNormalization" in [node.op_type for node in formed.graph.node]
    same(model, formed, tmp_path, (1, 1, 17, 9))


def test_a_draw_is_no_constant() -> None:
    model = wired(
        helper.make_node("RandomNormalLike", ["gain"], ["noise"], mean=1.0),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "noise"], ["y"]),
    )
    assert all(norm.y == "scaled" for norm in find_causal_norms(View(model)))
