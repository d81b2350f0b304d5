"""TVM's knobs: all of them known, each passed on, none of them wrong, and the winner's as code to paste."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tiny_tvm import ask, feeds, pasted

from runtimes.coverage import absent, unknown
from runtimes.errors import EngineError
from runtimes.options import Clash, Value, resolve
from runtimes.tvm_axes import OPTIONS, settings_here
from runtimes.tvm_fixed import FIXED
from runtimes.tvm_rt import TvmCpu

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tvm")

UNTUNED = [
    (option.name, value)
    for option in OPTIONS
    for value in dict.fromkeys((*option.values[1:], *option.choices))
    if option.name not in ("precision", "trials", "spin_count") and value != option.default
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tvm")


def test_every_setting_of_this_version_is_an_option_or_has_a_reason() -> None:
    # Otherwise the fastest answer could hide behind a knob that nobody has heard of.
    here = settings_here()
    assert {"target.mcpu", "PassContext.tirx.UnrollLoop", "TVM_NUM_THREADS", "relax.build.exec_mode"} <= set(here)
    assert unknown(OPTIONS, FIXED, here) == ()
    assert absent(OPTIONS, FIXED, here) == ()
    assert unknown(OPTIONS, FIXED, (*here, "target.new-in-0.28")) == ("target.new-in-0.28",)


@pytest.mark.parametrize(("name", "value"), UNTUNED, ids=str)
def test_an_option_makes_other_code_that_answers_right(folder: Path, name: str, value: Value) -> None:
    runtime, plain = TvmCpu(), ask(folder)
    needed = {key: needs for option in OPTIONS if option.name == name for key, needs in option.needs}
    request = ask(folder, **{name: value, **needed})
    (session,) = runtime.load(request)
    want = ReferenceEvaluator(str(request.model)).run(None, feeds())[0]
    np.testing.assert_allclose(session.run(feeds())[0], want, atol=1e-5)
    session.close()
    same = runtime.build(request)["artefact"] == runtime.build(plain)["artefact"]
    # Allocators are chosen when a library is loaded, and code for any processor is what there is without tuning.
    assert same == (name == "memory_cfg" or value == "generic")


@pytest.mark.parametrize(
    "options",
    [
        {"cl_opt": "nonsense"},
        {"cl_opt": "-no-such"},
        {"cl_opt": "-unroll-threshold:uint=much"},
        {"mattr": "+no-such"},
        {"mattr": "-no-such"},
        {"mattr": "sse4.2"},
    ],
    ids=str,
)
def test_what_llvm_does_not_know_is_refused_in_one_line(folder: Path, options: dict[str, Value]) -> None:
    # LLVM itself goes on without it, and a time would be printed for a setting that was never there.
    (value,) = options.values()
    with pytest.raises(EngineError, match=re.escape(str(value))) as caught:
        TvmCpu().build(ask(folder, **options))
    assert "\n" not in str(caught.value)


def test_what_llvm_knows_reaches_it(folder: Path) -> None:
    request = ask(folder, cl_opt="-unroll-threshold:uint=1000,-vectorize-loops:bool=false")
    assert '"cl-opt":["-unroll-threshold:uint=1000","-vectorize-loops:bool=false"]' in TvmCpu().build(request)["target"]


def test_spinning_threads_need_a_tuned_model() -> None:
    (clash,) = TvmCpu.clashes
    assert isinstance(clash, Clash)
    assert clash.hits(resolve("tvm", OPTIONS, {"spin_count": 0}), OPTIONS)
    assert not clash.hits(resolve("tvm", OPTIONS, {"spin_count": 0, "trials": 64}), OPTIONS)
    assert not clash.hits(resolve("tvm", OPTIONS, {}), OPTIONS)


def test_variables_say_threads_and_spins(folder: Path) -> None:
    request = replace(ask(folder, spin_count=0, trials=64), threads=3)
    want = {"TVM_NUM_THREADS": "3", "TVM_BIND_THREADS": "0", "TVM_THREAD_POOL_SPIN_COUNT": "0"}
    assert TvmCpu().environment(request) == want


def test_more_trials_may_take_longer(folder: Path) -> None:
    # Otherwise a tuning would be stopped in the middle for being a tuning.
    limits = [TvmCpu().build_timeout_s(ask(folder, trials=trials)) for trials in (0, 64, 256)]
    assert limits == [900, 900 + 64 * 60, 900 + 256 * 60]


@pytest.mark.parametrize("options", [{}, {"target": "host", "conv_layout": "NHWC", "fast_math": "all", "cse": False}])
def test_the_snippet_answers_as_the_adapter_does(folder: Path, options: dict[str, Value]) -> None:
    request = replace(ask(folder, **options), sessions=2)
    (first, second) = TvmCpu().load(request)
    snippet = TvmCpu().snippet(request)
    for session in (first, second):
        np.testing.assert_array_equal(pasted(snippet.python, snippet.environment, folder), session.run(feeds())[0])
    assert snippet.settings["target.kind"] == "llvm"
    assert ("target.mcpu" in snippet.settings) == bool(options)
    assert f'MODEL = "{request.model}"' in snippet.python.splitlines()
