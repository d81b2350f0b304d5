"""What can be set of PyTorch on the CPU, and whether setting it does what it says.

What a user would lose: a knob nobody tried, a value that never reached the engine, or a fast setting that is wrong.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drive_axes import convolutions, drive, others

from runtimes.coverage import unknown
from runtimes.torch_axes import AXES, CLASHES, FIXED, INDUCTOR_OPTIONS
from runtimes.torch_rt import TorchCpu

pytest.importorskip("torch")

if TYPE_CHECKING:
    from pathlib import Path

COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
# All of them hold for the process, so each set has one of its own, and they share what does not clash.
SETS: tuple[dict[str, Any], ...] = (
    {"mkldnn": False, "nnpack": False, "flush_denormal": True, "deterministic": True},
    {"channels_last": True, "grad_mode": "no_grad"},
)
COMPILED: tuple[dict[str, Any], ...] = (
    {"compiler": "inductor", "mode": "lite", "freezing": True, "simdlen": 256, "grad_mode": "no_grad"},
    {
        "compiler": "inductor", "mode": "max-autotune-no-cudagraphs", "cpp_wrapper": True, "conv_1x1_as_mm": True,
        "layout_optimization": False, "simdlen": 512, "channels_last": True,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convolutions(tmp_path_factory.mktemp("models") / "convolutions.onnx")


@pytest.fixture(scope="module")
def right(model: Path) -> Any:
    return drive("torch", model, [{}])[0]


@pytest.fixture(scope="module")
def here() -> tuple[str, ...]:
    return tuple(drive("torch", None, []))


def check(seen: Any, right: Any, given: dict[str, Any]) -> None:
    """Right, the caller's own, and what PyTorch says of itself is what it was told."""
    for turn, expected in zip(seen["answers"], right["answers"], strict=True):
        assert np.abs(np.array(turn[0]) - np.array(expected[0])).max() < 1e-4
    assert seen["owned"]
    told = {name: seen["told"][name] for name in given if name in seen["told"]}
    assert told == {name: value for name, value in given.items() if name in told}
    assert (seen["told"]["denormal"] == 0) == given.get("flush_denormal", False)


def test_nothing_that_pytorch_has_is_left_unsaid(here: tuple[str, ...]) -> None:
    assert unknown(AXES, FIXED, here) == ()


def test_a_setting_that_nobody_declared_is_found(here: tuple[str, ...]) -> None:
    fewer = [option for option in AXES if option.name != "flush_denormal"]
    assert unknown(fewer, FIXED, here) == ("torch.set_flush_denormal",)


def test_every_value_is_tried() -> None:
    tried = {(name, value) for given in (*SETS, *COMPILED) for name, value in given.items()}
    assert all(tried >= given.items() for given in others(TorchCpu()))


@pytest.mark.parametrize("given", SETS, ids=lambda given: next(iter(given)))
def test_every_value_answers_right(given: dict[str, Any], model: Path, right: Any) -> None:
    (seen,) = drive("torch", model, [given])
    check(seen, right, given)


@COMPILER
@pytest.mark.parametrize("given", COMPILED, ids=lambda given: given["mode"])
def test_every_value_of_the_compiler_answers_right(given: dict[str, Any], model: Path, right: Any) -> None:
    (seen,) = drive("torch", model, [given])
    check(seen, right, given)


def test_what_is_inductors_clashes_with_the_eager_compiler() -> None:
    # Otherwise a search would take two names of one thing for two candidates.
    for name, clash in zip(INDUCTOR_OPTIONS, CLASHES, strict=True):
        option = next(option for option in AXES if option.name == name)
        assert clash.hits({"compiler": "eager", name: option.values[1]}, AXES)
        assert not clash.hits({"compiler": "inductor", name: option.values[1]}, AXES)
        assert not clash.hits({"compiler": "eager", name: option.default}, AXES)
