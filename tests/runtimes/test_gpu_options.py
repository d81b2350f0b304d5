"""What adapters of GPUs share: a reason with its next step, and no precision that a variable takes back."""

from __future__ import annotations

import pytest

from runtimes.errors import UnsupportedError
from runtimes.gpu.options import check_tf32, probe_gpu
from runtimes.installed import Probe

THERE = Probe(True, "1.2")
MISSING = Probe(False, None, "engine-gpu is not installed", "pip install engine-gpu")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", lambda: names)
    return names


def test_without_a_gpu_both_what_is_missing_and_how_to_get_it_are_told(gpus: list[str]) -> None:
    assert gpus == []
    found = probe_gpu(lambda: MISSING)
    assert not found.available
    assert found.reason == "no NVIDIA GPU with a working driver is here; and engine-gpu is not installed"
    assert found.remedy == "run on a machine with a CUDA GPU ('nvidia-smi' must list it), then pip install engine-gpu"
    assert probe_gpu(lambda: THERE) == Probe(
        False,
        "1.2",
        "no NVIDIA GPU with a working driver is here",
        "run on a machine with a CUDA GPU ('nvidia-smi' must list it)",
    )


def test_with_a_gpu_the_packages_have_the_word(gpus: list[str]) -> None:
    gpus.append("NVIDIA Fake")
    assert probe_gpu(lambda: THERE) == THERE
    assert probe_gpu(lambda: MISSING) == MISSING


def test_tf32_under_a_variable_that_forbids_it_is_refused_instead_of_mislabelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with pytest.raises(UnsupportedError, match="unset it"):
        check_tf32("tf32", "an engine")
    check_tf32("fp32", "an engine")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    check_tf32("tf32", "an engine")
