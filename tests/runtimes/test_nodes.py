"""Reading engines' profiles: a node is not blamed for another's time, and stands for what it really computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper
from support import tiny_model

from runtimes import openvino_nodes, ort_nodes, torch_nodes, tract_nodes
from runtimes.errors import EngineError, UnsupportedError
from runtimes.graph_nodes import Graph, GraphNode, fill_gaps, named_model, read_graph, to_graph
from runtimes.ort_cuda import OrtCuda
from runtimes.tvm_nodes import Recorder, operator

if TYPE_CHECKING:
    from pathlib import Path

MINE = "com.microsoft.nchwc"


def model(nodes: list[Any], inputs: tuple[str, ...] = ("x",), outputs: tuple[str, ...] = ("y",)) -> Any:
    def values(names: tuple[str, ...]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in names]

    return helper.make_model(helper.make_graph(nodes, "g", values(inputs), values(outputs)))


def graph(*nodes: Any, **ends: Any) -> Graph:
    return to_graph(model(list(nodes), **ends))


node = helper.make_node
# A norm in elementary nodes, as an exporter leaves it, after a convolution.
NORM = (
    node("Conv", ["x", "w"], ["c"], name="conv"),
    node("ReduceMean", ["c"], ["m"], name="mean"),
    node("Sub", ["c", "m"], ["d"], name="centred"),
    node("Mul", ["d", "d"], ["s"], name="squared"),
    node("Div", ["d", "s"], ["n"], name="scaled"),
    node("Relu", ["n"], ["y"], name="relu"),
)


# ------------------------------------------------------------------ the model's graph


def test_nodes_without_names_or_with_the_same_name_go_by_their_first_output() -> None:
    found = graph(node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["b"], name="n"), node("Abs", ["b"], ["y"], name="n"))
    assert [one.key for one in found.nodes] == ["a", "b", "y"]
    assert found.key_of("b") == "b"
    assert found.key_of("nothing") is None


def test_what_does_not_depend_on_an_input_is_no_work_of_a_call() -> None:
    found = graph(node("Constant", [], ["k"], name="k", value_float=1.0), node("Mul", ["x", "k"], ["y"], name="mul"))
    assert found.live == {"mul"}


def test_a_graph_inside_a_node_reads_what_it_takes_from_outside() -> None:
    body = helper.make_graph([node("Add", ["outer", "outer"], ["r"])], "body", [], [])
    body.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 4]))
    branches = node("If", ["k"], ["y"], name="if", then_branch=body, else_branch=body)
    found = graph(node("Relu", ["x"], ["outer"], name="relu"), branches)
    assert ("relu", "if") in set(found.edges())
    assert "if" in found.live


def test_a_profiled_copy_differs_in_names_alone(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "net.onnx")
    copy, found = named_model(path, tmp_path)
    assert copy != path
    assert [one.name for one in onnx.load(copy).graph.node] == [one.key for one in found.nodes] == ["c", "y"]
    assert named_model(copy, tmp_path / "elsewhere")[0] == copy
    assert onnx.load(copy).graph.initializer[0].raw_data == onnx.load(path).graph.initializer[0].raw_data


def test_nodes_that_an_optimiser_replaced_are_found_by_their_neighbours() -> None:
    found = graph(*NORM)
    claims = {"k1": ["conv"], "k2": [], "r": [], "k3": [], "k4": ["scaled", "relu"]}
    edges = [("k1", "k2"), ("k2", "r"), ("r", "k3"), ("k3", "k4"), ("k1", "k4")]
    filled = fill_gaps(found, claims, edges, {"r"})
    assert filled["k2"] == filled["k3"] == ("mean", "centred", "squared")
    assert filled["r"] == ()
    assert filled["k4"] == ("scaled", "relu")


def test_a_nameless_node_elsewhere_gets_nothing() -> None:
    filled = fill_gaps(graph(*NORM), {"k1": ["conv"], "k2": [], "k3": ["relu"]}, [("k3", "k2")], set())
    assert filled["k2"] == ()


# ------------------------------------------------------------------ ONNX Runtime


def event(name: str, op: str, ts: float, dur: float, index: int = 0) -> dict[str, Any]:
    arguments = {"op_name": op, "node_index": str(index)}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": arguments}


def run(ts: float, dur: float) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur}


def test_warm_up_and_the_slower_half_are_left_out() -> None:
    events = [run(0, 1), event("a", "Conv", 0.5, 0.1)]
    for number, us in enumerate((10, 90, 20)):
        events += [run(1000 * (number + 1), us + 5), event("a", "Conv", 1000 * (number + 1) + 2, us)]
    found = ort_nodes.read_trace(events, 1, {"a": ("conv",)})
    assert (found.calls, found.call_ns) == (3, 20_000)
    assert [(n.name, n.operator, n.ns, n.count, n.originals) for n in found.nodes] == [
        ("a", "Conv", 15_000, 1.0, ("conv",))
    ]


def test_nodes_add_up_to_their_calls_however_they_were_disturbed() -> None:
    # In every call another node is held up. Medians per node would lose all of that time.
    events = []
    for number in range(3):
        begin = 1000 * number
        events.append(run(begin, 120))
        events += [event(name, "Conv", begin + 40 * i, 100 if i == number else 10) for i, name in enumerate("abc")]
    found = ort_nodes.read_trace(events, 0, {})
    assert sum(n.ns for n in found.nodes) == pytest.approx(found.call_ns)


def test_a_loop_has_its_own_time_and_its_body_belongs_to_it() -> None:
    # The trace gives the loop the time of everything inside it as well.
    inside = [event("step", "MatMul", 12, 20, 3), event("step", "MatMul", 40, 30, 3)]
    events = [run(0, 110), event("loop", "Loop", 10, 80), *inside, event("after", "Relu", 95, 5)]
    found = {n.name: n for n in ort_nodes.read_trace(events, 0, {"loop": ("rnn",), "after": ("relu",)}).nodes}
    assert found["loop"].ns == 30_000
    assert (found["step"].ns, found["step"].count, found["step"].originals) == (50_000, 2.0, ("rnn",))
    assert found["after"].originals == ("relu",)


def test_a_trace_without_calls_is_an_error() -> None:
    with pytest.raises(EngineError, match="without a single call"):
        ort_nodes.read_trace([run(0, 1)], 1, {})


def test_a_huge_graph_is_called_less_often_than_a_trace_can_hold() -> None:
    many = Graph([GraphNode(str(i), "Relu", (), ()) for i in range(10_000)], (), ())
    assert ort_nodes.calls_for(many, 100) == 20
    assert ort_nodes.calls_for(graph(*NORM), 100) == 100


def test_a_fused_node_stands_for_all_that_leads_to_what_it_writes() -> None:
    rewritten = model([node("Conv", ["x", "w"], ["c"], name="conv"), node("Norm", ["c"], ["y"], name="fused")])
    found = ort_nodes.stand_for(graph(*NORM), rewritten)
    assert found == {"conv": ("conv",), "fused": ("mean", "centred", "squared", "scaled", "relu")}


def test_a_change_of_layout_stands_for_nothing_and_hides_nothing() -> None:
    original = graph(
        node("Conv", ["x", "w"], ["c"], name="conv"),
        node("Relu", ["c"], ["r"], name="relu"),
        node("MaxPool", ["r"], ["p"], name="pool"),
        node("Resize", ["p"], ["y"], name="up"),
    )
    rewritten = model(
        [
            node("ReorderInput", ["x"], ["t0"], name="in", domain=MINE),
            node("Conv", ["t0", "w2"], ["t1"], name="conv_nchwc", domain=MINE),  # with the Relu in it
            node("MaxPool", ["t1"], ["t2"], name="pool_nchwc", domain=MINE),
            node("ReorderOutput", ["t2"], ["p"], name="out", domain=MINE),
            node("Resize", ["p"], ["y"], name="up"),
        ]
    )
    found = ort_nodes.stand_for(original, rewritten)
    assert found == {"conv_nchwc": ("conv", "relu"), "pool_nchwc": ("pool",), "up": ("up",)}


def test_a_node_that_an_optimiser_put_in_stands_for_nothing() -> None:
    original = graph(node("Conv", ["x", "w"], ["c"], name="conv"), node("Relu", ["c"], ["y"], name="relu"))
    rewritten = model(
        [
            node("Conv", ["x", "w"], ["c"], name="conv"),
            node("Transpose", ["c"], ["c_moved"], name="new"),
            node("Relu", ["c_moved"], ["y"], name="relu"),
        ]
    )
    assert ort_nodes.stand_for(original, rewritten) == {"conv": ("conv",), "new": (), "relu": ("relu",)}


def test_launching_times_do_not_pass_for_kernel_times() -> None:
    with pytest.raises(UnsupportedError, match="launching of kernels"):
        OrtCuda().profile(None, [], 1, lambda: 0)  # type: ignore[arg-type]  # it refuses before it looks


# ------------------------------------------------------------------ OpenVINO


def test_averages_since_loading_become_the_mean_of_the_calls_in_between() -> None:
    # Five calls of 100 µs on average, then ten more: 40 µs over all fifteen means 10 µs for each of the ten.
    before = [openvino_nodes.Counter("a", "Conv", "jit", 100.0)]
    after = [openvino_nodes.Counter("a", "Conv", "jit", 40.0), openvino_nodes.Counter("b", "MVN", "ref", 3.0)]
    found = openvino_nodes.read_counters(before, after, (5, 15), [20e3] * 10, {"a": ("conv",)})
    assert [(n.name, n.ns, n.kernel, n.originals) for n in found.nodes] == [
        ("a", pytest.approx(10_000), "jit", ("conv",)),
        ("b", pytest.approx(4_500), "ref", ()),
    ]
    assert (found.calls, found.call_ns) == (10, 20e3)


def test_what_the_importer_numbered_belongs_to_the_node_it_leads_to() -> None:
    op = openvino_nodes.Op
    original = graph(*NORM)
    imported = [
        op("x", ("x",), ()),
        op("conv/WithoutBiases", (), ("x",)),
        op("conv", ("c",), ("conv/WithoutBiases",)),
        op("mean", ("m",), ("conv",)),
        op("Other_7", ("d",), ("conv", "mean")),
        op("squared", ("s",), ("Other_7",)),
        op("scaled", ("n",), ("Other_7", "squared")),
        op("relu", ("y",), ("scaled",)),
    ]
    compiled = [
        op("x", (), (), ("x",), "Input"),
        op("conv/WithoutBiases", (), ("x",), ("conv/WithoutBiases", "conv"), "Convolution"),
        op("reorder", (), ("conv/WithoutBiases",), (), "Reorder"),
        op("Made_1", (), ("reorder",), ("Made_1",), "Reduce"),
        op("relu", (), ("Made_1", "conv/WithoutBiases"), ("Other_7", "squared", "scaled", "relu"), "Subgraph"),
    ]
    assert openvino_nodes.stand_for(original, imported, compiled) == {
        "conv/WithoutBiases": ("conv",),
        "reorder": (),
        "Made_1": ("mean",),
        "relu": ("centred", "squared", "scaled", "relu"),
    }


# ------------------------------------------------------------------ tract, TVM, PyTorch


def test_pieces_of_a_node_are_named_after_it() -> None:
    found = graph(node("Conv", ["x", "w"], ["c"], name="enc.0.conv"), node("Relu", ["c"], ["y"], name="enc.0.conv1"))
    assert tract_nodes.stands_for(found, "enc.0.conv.pack_a") == ("enc.0.conv",)
    assert tract_nodes.stands_for(found, "enc.0.conv1-recip") == ("enc.0.conv1",)
    assert tract_nodes.stands_for(found, "enc.0.convolution") == ()


def test_a_plan_is_read_in_its_order_and_without_what_has_no_time() -> None:
    nodes = [
        {"qualified_id": [[], 7], "op_name": "Relu", "node_name": "relu", "secs_per_iter": 2e-6},
        {"qualified_id": [[], 2], "op_name": "Const", "node_name": "k"},
        {"qualified_id": [[], 3], "op_name": "Conv", "node_name": "conv.mm", "secs_per_iter": 5e-6},
        {"qualified_id": [[[3, "loop"]], 0], "op_name": "Inner", "node_name": "inner"},
    ]
    info = {"iterations": 9, "secs_per_iter": 8e-6}
    found = tract_nodes.read_profile({"nodes": nodes, "profiling_info": info}, graph(*NORM))
    assert [(n.name, n.ns, n.originals) for n in found.nodes] == [
        ("conv.mm", pytest.approx(5000), ("conv",)),
        ("relu", pytest.approx(2000), ("relu",)),
    ]
    assert (found.calls, found.call_ns) == (9, pytest.approx(8000))


def test_hooks_add_up_what_runs_between_them() -> None:
    ticks = iter([0, 10, 25, 30, 37, 50, *(100 + t for t in (0, 10, 35, 40, 47, 60))])
    recorder = Recorder(lambda: next(ticks))
    for _ in range(2):
        recorder.begin()
        for _ in range(2):
            assert recorder.hook(None, "fused_conv2d3_add", True, None) == 0
            recorder.hook(None, "fused_conv2d3_add", False, None)
        recorder.end()
    found = recorder.profile(0)
    # The first call is the faster half of the two.
    assert (found.calls, found.call_ns) == (2, 50)
    assert [(n.name, n.operator, n.ns, n.count) for n in found.nodes] == [("fused_conv2d3_add", "conv2d_add", 22, 2.0)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("conv2d12", "conv2d"),
        ("fused_mean3_add1_tir_sqrt_divide3", "mean_add_tir_sqrt_divide"),
        ("vm.builtin.alloc_storage", "vm.builtin"),
        ("max_pool2d", "max_pool2d"),
    ],
)
def test_kernels_of_one_kind_are_one_operator(name: str, said: str) -> None:
    assert operator(name) == said


def test_a_step_has_the_time_of_all_that_it_called() -> None:
    span = torch_nodes.Span
    slow = span("aten::convolution", 80.0, [span("aten::_slow", 70.0, [span("aten::empty", 1.0)])])
    call = span(torch_nodes.CALL, 100.0, [span(f"{torch_nodes.STEP}0", 90.0, [slow]), span("aten::other", 1.0)])
    found = torch_nodes.read_steps([call], [torch_nodes.Step("c", "Conv", ("c",))])
    assert [(n.name, n.ns, n.kernel, n.originals) for n in found.nodes] == [("c", 90_000, "aten::_slow", ("c",))]
    assert found.call_ns == 100_000


def test_compiled_code_is_read_kernel_by_kernel() -> None:
    span = torch_nodes.Span
    inside = [span("graph_0_cpp_fused_relu_3", 5.0), span("aten::convolution", 7.0), span("aten::convolution", 9.0)]
    call = span(torch_nodes.CALL, 30.0, [span("region", 28.0, [span(f"{torch_nodes.COMPILED} f1", 25.0, inside)])])
    found = torch_nodes.read_compiled([call, call])
    assert [(n.name, n.operator, n.ns, n.count) for n in found.nodes] == [
        ("graph_0_cpp_fused_relu_3", "cpp_fused_relu", 5_000, 1.0),
        ("aten::convolution 1", "aten::convolution", 7_000, 1.0),
        ("aten::convolution 2", "aten::convolution", 9_000, 1.0),
    ]
    with pytest.raises(EngineError, match="nothing of the compiled code"):
        torch_nodes.read_compiled([span(torch_nodes.CALL, 1.0)])


def test_the_graph_of_a_file_is_read_without_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(
        onnx.load(tiny_model(tmp_path / "t.onnx")),
        str(path),
        save_as_external_data=True,
        location="w",
        size_threshold=0,
    )
    (tmp_path / "w").unlink()
    assert [one.operator for one in read_graph(path).nodes] == ["Conv", "Relu"]
