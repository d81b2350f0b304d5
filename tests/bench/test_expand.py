"""The plan decides what is measured: a flag that is misread costs minutes, or answers another question."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.expand import Choice, check_option_flags, default_suite, expand
from bench.plan import LAYOUTS, Cell, ModelSpec, Plan
from bench.suite import Group, Suite, builtin_names, load_suite, parse_suite
from runtimes import registry
from runtimes.installed import Probe

CPUS = 4
STEREO = Group(("rt48",), ("ort-cpu", "fake"), ("raw", "ln"), ("seq", "par"), ("all",))
CALL = Group(("null",), ("fake", "tract"), (), ("mono",), (1,))
TWO = Suite("two", "two groups", (STEREO, CALL))


def suite(*groups: Group, **models: ModelSpec) -> Suite:
    return Suite("mine", "mine", groups, models)


def ids(of: Suite, profile: str = "quick", **choice: Any) -> list[str]:
    return [cell.id for cell in expand(of, Choice(**choice), profile, CPUS).cells]


def refused(of: Suite, *words: str, profile: str = "quick", **choice: Any) -> None:
    with pytest.raises(UserError) as caught:
        expand(of, Choice(**choice), profile, CPUS)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_suite_is_the_product_of_its_axes_in_order() -> None:
    assert ids(suite(STEREO)) == [
        f"rt48/{form}/{runtime}/{layout}/4"
        for form in ("raw", "ln")
        for runtime in ("ort-cpu", "fake")
        for layout in ("seq", "par")
    ]


def test_a_flag_narrows_every_group_to_what_it_spans() -> None:
    # tract is spanned by one group only: the other must not take it up.
    assert ids(TWO, runtimes=("tract",)) == ["null/raw/tract/mono/1"]
    assert ids(TWO, runtimes=("ort-cpu",)) == [f"rt48/{f}/ort-cpu/{x}/4" for f in ("raw", "ln") for x in ("seq", "par")]
    assert ids(TWO, models=("null",)) == ["null/raw/fake/mono/1", "null/raw/tract/mono/1"]
    assert ids(TWO, layouts=("par",), forms=("ln",)) == ["rt48/ln/ort-cpu/par/4", "rt48/ln/fake/par/4"]
    # What is left after one axis decides what the next may take up.
    assert ids(TWO, models=("null",), layouts=("par",)) == ["null/raw/fake/par/1", "null/raw/tract/par/1"]


def test_a_thread_budget_is_for_the_whole_run() -> None:
    # Narrowing would leave nothing but the group that happens to span one thread.
    assert {cell.rpartition("/")[2] for cell in ids(TWO, threads=(1,))} == {"1"}
    assert len(ids(TWO, threads=(1,))) == len(ids(TWO))


def test_flags_on_several_axes_narrow_together() -> None:
    assert ids(TWO, runtimes=("fake",), layouts=("seq",), forms=("raw",)) == ["rt48/raw/fake/seq/4"]


def test_a_value_that_no_group_spans_is_taken_up_by_every_group() -> None:
    found = ids(TWO, runtimes=("openvino",))
    assert found == [
        *(f"rt48/{form}/openvino/{layout}/4" for form in ("raw", "ln") for layout in ("seq", "par")),
        "null/raw/openvino/mono/1",
    ]
    assert {cell.rpartition("/")[2] for cell in ids(TWO, threads=(3,))} == {"3"}
    assert {cell.split("/")[3] for cell in ids(TWO, layouts=("batch2",))} == {"batch2"}
    assert {cell.split("/")[0] for cell in ids(TWO, models=("fast16",))} == {"fast16"}


def test_a_value_that_is_spanned_and_one_that_is_not_go_their_own_ways() -> None:
    found = ids(TWO, runtimes=("tract", "openvino"))
    assert [cell for cell in found if "tract" in cell] == ["null/raw/tract/mono/1"]
    assert len([cell for cell in found if "openvino" in cell]) == 5


def test_what_a_group_of_another_profile_spans_does_not_count() -> None:
    both = suite(
        Group(("null",), ("fake",), profiles=("quick",)), Group(("null",), ("tract",), profiles=("full",)), CALL
    )
    assert ids(both, "quick", threads=(1,)) == ["null/raw/fake/mono/1", "null/raw/tract/mono/1"]
    only = suite(Group(("null",), ("fake",), profiles=("full",)))
    # A suite without anything for this profile measures what it has rather than nothing.
    assert ids(only, "quick") == ["null/raw/fake/mono/4"]


def test_forms_that_a_model_lacks_are_left_out_beside_one_that_has_them() -> None:
    mixed = suite(Group(("null", "rt48"), ("fake",), ("ln",)))
    assert ids(mixed) == ["rt48/ln/fake/mono/4"]
    assert ids(suite(Group(("null", "rt48"), ("fake",)))) == [
        "null/raw/fake/mono/4",
        "rt48/raw/fake/mono/4",
        "rt48/ln/fake/mono/4",
    ]


def test_a_form_flag_leaves_other_groups_that_lack_it_out() -> None:
    assert {cell.split("/")[1] for cell in ids(TWO, forms=("ln",))} == {"ln"}


def test_a_form_that_the_only_model_lacks_is_named() -> None:
    refused(suite(Group(("null",), ("fake",), ("ln",))), "'null'", "'ln'", "raw")
    refused(TWO, "'null'", "'ln'", "raw", models=("null",), forms=("ln",))
    refused(TWO, "'xx'", forms=("xx",), models=("rt48",))
    net = ModelSpec("net", "/net.onnx")
    # Whether a file of yours can take a form shows when it is read.
    assert ids(suite(Group(("net",), ("fake",), ("ln,fp16",)), net=net)) == ["net/ln+fp16/fake/mono/4"]


def test_forms_are_named_in_one_way() -> None:
    assert ids(suite(Group(("rt48",), ("fake",), ("raw", "raw+ln", "ln", "swap,ln")))) == [
        "rt48/raw/fake/mono/4",
        "rt48/ln/fake/mono/4",
        "rt48/swap+ln/fake/mono/4",
    ]
    # What changes no CausalCLN suits every model.
    assert ids(suite(Group(("null", "rt48"), ("fake",), ("fp16",)))) == [
        "null/fp16/fake/mono/4",
        "rt48/fp16/fake/mono/4",
    ]


def test_a_users_model_has_the_raw_form_and_its_own_description() -> None:
    net = ModelSpec("net", "/net.onnx", {"x": (1, 2)}, {"h": "k"}, {"x": "0..1"}, 0.5, "0.5 s")
    plan = expand(suite(Group(("net", "null"), ("fake",)), net=net), Choice(), "quick", CPUS)
    assert [cell.id for cell in plan.cells] == ["net/raw/fake/mono/4", "null/raw/fake/mono/4"]
    assert plan.models == {"net": net, "null": ModelSpec("null")}
    # A file named by flag joins a suite that never heard of it.
    flagged = expand(TWO, Choice(models=("net",), extra_models={"net": net}), "quick", CPUS)
    assert {cell.model for cell in flagged.cells} == {"net"}


def test_all_threads_are_those_this_process_may_use() -> None:
    assert {cell.threads for cell in expand(suite(STEREO), Choice(), "quick", 2).cells} == {2}
    assert {cell.threads for cell in expand(TWO, Choice(threads=("all",)), "quick", 2).cells} == {2}


def test_names_that_are_not_there_are_refused_with_those_that_are() -> None:
    refused(TWO, "'huge'", "smoke", "quick", "full", profile="huge")
    refused(TWO, "'onyx'", *registry.BUILT_IN, runtimes=("onyx",))
    refused(TWO, "'quad'", *LAYOUTS, layouts=("quad",))
    refused(TWO, "'rt47'", "rt48", "null", ".onnx", models=("rt47",))
    refused(suite(Group(("rt47",), ("fake",))), "'rt47'", "rt48")
    refused(suite(Group(("null",), ("onyx",))), "'onyx'", *registry.BUILT_IN)


def test_more_threads_than_processors_are_refused() -> None:
    # They would take turns, and the table would call that the runtime's speed.
    refused(TWO, "5 threads", "4 CPUs", "at most 4", threads=(5,))
    refused(suite(Group(("null",), ("fake",), threads=(64,))), "64 threads", "at most 4")


def test_nothing_left_says_how_to_look() -> None:
    refused(suite(Group(("null", "null"), ("fake",))), "nothing is left", "rtfloor list", forms=("ln",))


def test_an_option_given_twice_is_swept_and_different_ones_multiply() -> None:
    null = suite(Group(("null",), ("fake",)))
    found = expand(null, Choice(options=("latency_us=100", "latency_us=300", "mode=ok", "mode=wrong")), "quick", CPUS)
    assert [cell.id for cell in found.cells] == [
        f"null/raw/fake/mono/4{mode}/latency_us={us}" for us in ("100.0", "300.0") for mode in ("", "/mode=wrong")
    ]
    for cell in found.cells:
        # Every option is there, so that the row says all that was asked of the engine.
        assert set(cell.options) == {option.name for option in registry.get("fake").options}


def test_an_option_for_one_runtime_leaves_the_others_alone() -> None:
    both = suite(Group(("null",), ("fake", "openvino")))
    asked = ("openvino.precision=bf16",)
    plan = expand(both, Choice(options=asked), "quick", CPUS)
    assert [(cell.runtime, cell.options["precision"]) for cell in plan.cells] == [
        ("fake", "fp32"),
        ("openvino", "bf16"),
    ]
    everyone = expand(both, Choice(options=("precision=bf16",)), "quick", CPUS)
    assert [cell.options["precision"] for cell in everyone.cells] == ["bf16", "bf16"]
    # A runtime without such an option is measured as it is.
    assert ids(both, options=("latency_us=100",)) == [
        "null/raw/fake/mono/4/latency_us=100.0",
        "null/raw/openvino/mono/4",
    ]


def test_a_flag_replaces_what_the_suite_says_of_an_option() -> None:
    null = suite(Group(("null",), ("fake",), options={"fake": {"latency_us": (1, 2), "mode": ("wrong",)}}))
    assert ids(null) == [f"null/raw/fake/mono/4/mode=wrong/latency_us={us}" for us in ("1.0", "2.0")]
    assert ids(null, options=("latency_us=9",)) == ["null/raw/fake/mono/4/mode=wrong/latency_us=9.0"]


def test_the_default_is_no_change() -> None:
    assert ids(suite(Group(("null",), ("fake",))), options=("fake.mode=ok",)) == ["null/raw/fake/mono/4"]


def test_a_value_that_an_option_does_not_have_is_refused_with_those_it_has() -> None:
    null = suite(Group(("null",), ("fake",)))
    refused(null, "fake", "mode", "'quick'", "ok", "wrong", options=("mode=quick",))
    refused(null, "fake", "latency_us", "a number", options=("fake.latency_us=soon",))
    refused(null, "fake", "latency_us", "at least 0", options=("latency_us=-1",))
    refused(suite(Group(("null",), ("fake",), options={"fake": {"mood": ("ok",)}})), "'mood'", "mode", "latency_us")
    refused(suite(Group(("null",), ("fake",), options={"fake": {"mode": ({"a": 1},)}})), "mode", "allowed")
    for text in ("latency_us", "=3", ""):
        refused(null, repr(text), "KEY=VALUE", options=(text,))
    refused(null, "'speed'", "mode", options=("fake.speed=3",))


def test_an_option_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"'openvino', which is not among: fake, tract"):
        check_option_flags(["openvino.precision=bf16"], ["fake", "tract"])
    with pytest.raises(UserError, match=r"no chosen runtime has an option 'speed'.*fake: precision, mode.*tract: prec"):
        check_option_flags(["speed=3"], ["fake", "tract"])
    with pytest.raises(UserError, match=r"no chosen runtime has an option 'mode'"):
        check_option_flags(["tract.mode=ok"], ["fake", "tract"])
    check_option_flags(["mode=ok", "fake.spread=0", "tract.precision=fp32"], ["fake", "tract"])


def test_a_cell_that_two_groups_span_is_measured_once() -> None:
    assert ids(suite(STEREO, STEREO)) == ids(suite(STEREO))
    assert ids(suite(Group(("null",), ("fake",), threads=("all", 4)))) == ["null/raw/fake/mono/4"]
    assert ids(suite(Group(("null",), ("fake",))), options=("latency_us=3", "latency_us=3.0")) == [
        "null/raw/fake/mono/4/latency_us=3.0"
    ]


@pytest.mark.parametrize("name", builtin_names())
def test_ids_are_unique_and_say_everything_that_differs(name: str) -> None:
    # Two cells of one id would share their samples.
    plan = expand(load_suite(name), Choice(options=("precision=fp32",)), "full", CPUS)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    cells = {json.dumps({**asdict(cell), "changed": None}) for cell in plan.cells}
    assert len(cells) == len(plan.cells)


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    # A stopped run goes on with the plan in its file.
    net = ModelSpec("net", "/net.onnx", {"x": (1, 2)}, {"h": "k"}, {"x": "0..1"}, 0.5, "0.5 s")
    of = suite(STEREO, Group(("net",), ("fake",), layouts=("batch2",)), net=net)
    plan = expand(of, Choice(options=("fake.latency_us=5", "fake.mode=wrong")), "quick", CPUS)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False)))
    assert again == plan
    assert [cell.id for cell in again.cells] == [cell.id for cell in plan.cells]


@pytest.mark.parametrize(
    ("layout", "threads", "shares"),
    [
        ("mono", 4, (1, 4, 1)),
        ("seq", 4, (1, 4, 1)),
        ("par", 4, (2, 2, 1)),
        ("par", 3, (2, 1, 1)),
        ("batch2", 4, (1, 4, 2)),
        ("streams", 4, (2, 2, 1)),
    ],
)
def test_a_thread_budget_is_never_exceeded(layout: str, threads: int, shares: tuple[int, int, int]) -> None:
    # par with the whole budget on each side would beat seq by using twice the machine.
    cell = Cell("null", "raw", "fake", layout, threads)
    assert (cell.sessions, cell.threads_each, cell.batch) == shares
    assert cell.sessions * cell.threads_each <= threads


def test_a_model_without_a_suite_is_tried_on_every_cpu_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", list)
    plan = expand(default_suite(["rt48"]), Choice(models=("rt48",)), "quick", CPUS)
    # Those of processors also where they are missing: their rows say what mends that.
    found = {cell.runtime for cell in plan.cells}
    assert found & registry.BUILT_IN.keys() == {"ort-cpu", "openvino", "tract", "tvm", "torch"}
    assert {(cell.layout, cell.threads) for cell in plan.cells} == {("mono", CPUS)}
    assert {cell.form for cell in plan.cells} == {"raw", "ln"}


def test_and_on_those_of_gpus_that_can_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # Five rows that say "no GPU" would greet everybody without one.
    def here(name: str, *, available: bool) -> None:
        probe = Probe(available, "1" if available else None, "" if available else "it is not installed")
        monkeypatch.setattr(type(registry.get(name)), "probe", lambda self: probe)

    on_gpu = {name for name in registry.BUILT_IN if registry.on_gpu(name)}
    assert on_gpu == {"ort-cuda", "torch-cuda", "tvm-cuda", "tensorrt", "ort-tensorrt"}
    for name in sorted(on_gpu):
        here(name, available=name in ("torch-cuda", "tensorrt"))
    here("openvino", available=False)
    found = {cell.runtime for cell in expand(default_suite(["null"]), Choice(), "quick", CPUS).cells}
    assert found & on_gpu == {"torch-cuda", "tensorrt"}
    assert "openvino" in found


def test_the_suite_in_the_manual_plans_the_cells_in_the_manual() -> None:
    text = """
        [models.net]
        path = "net.onnx"
        [models.cell]
        path = "cell.onnx"
        [[cells]]
        models = ["net"]
        runtimes = ["ort-cpu", "fake"]
        layouts = ["seq", "batch2"]
        threads = [1]
        profiles = ["smoke", "quick"]
        options.ort-cpu.graph_optimization_level = ["basic", "all"]
        options.fake.latency_us = 150
        [[cells]]
        models = ["cell"]
        runtimes = ["fake"]
        layouts = ["mono", "batch2"]
        threads = [1]
    """
    mine = parse_suite(text, "mine.toml", Path.cwd())
    assert ids(mine) == [
        "net/raw/ort-cpu/seq/1/graph_optimization_level=basic",
        "net/raw/ort-cpu/seq/1",
        "net/raw/ort-cpu/batch2/1/graph_optimization_level=basic",
        "net/raw/ort-cpu/batch2/1",
        "net/raw/fake/seq/1/latency_us=150.0",
        "net/raw/fake/batch2/1/latency_us=150.0",
        "cell/raw/fake/mono/1",
        "cell/raw/fake/batch2/1",
    ]
    assert ids(mine, runtimes=("fake",), models=("net",)) == [
        "net/raw/fake/seq/1/latency_us=150.0",
        "net/raw/fake/batch2/1/latency_us=150.0",
    ]
    assert {cell.split("/")[2] for cell in ids(mine, runtimes=("tract",))} == {"tract"}
