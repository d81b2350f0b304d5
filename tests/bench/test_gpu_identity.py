"""Times of two GPUs must not meet in one run, though both sit in the same host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import campaign
from bench.errors import UserError
from bench.peaks_cuda import gpu_identity
from bench.spawn import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

FACTS = {"name": "NVIDIA Fake", "identity": "0123456789ab", "driver": 13020}
HERE = {"name": "NVIDIA Fake", "identity": "0123456789ab", "cuda_driver": "13.2"}
RUN = Path("results/runs/one.sqlite")


def answering(body: dict[str, Any], status: str = "ok") -> Any:
    def spawn(request: dict[str, Any], _environment: Mapping[str, str], _timeout_s: float) -> Outcome:
        assert request["parts"] == []
        return Outcome(status, body)

    return spawn


def test_the_gpu_is_asked_in_a_process_of_its_own_and_known_by_a_hash() -> None:
    assert gpu_identity(answering({"status": "ok", "facts": FACTS})) == HERE


@pytest.mark.parametrize("body", [{}, {"status": "ok", "none": "there is no NVIDIA driver here"}])
def test_a_gpu_that_cannot_be_asked_has_no_identity(body: dict[str, Any]) -> None:
    assert gpu_identity(answering(body)) == {}
    assert gpu_identity(answering(body, "failed")) == {}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"identity": "ba9876543210"}, "another NVIDIA Fake"),
        ({"name": "NVIDIA Other", "identity": "ba9876543210"}, "NVIDIA Other, CUDA 13.2"),
        ({"cuda_driver": "12.8"}, "NVIDIA Fake, CUDA 12.8"),
    ],
)
def test_a_run_does_not_go_on_with_another_gpu_or_driver(changed: dict[str, str], told: str) -> None:
    with pytest.raises(UserError) as refused:
        campaign._check_gpu(RUN, HERE, HERE | changed)
    assert told in str(refused.value)
    assert "start a new run" in str(refused.value)


@pytest.mark.parametrize(("before", "now"), [({}, HERE), (HERE, {}), (HERE, HERE), ({}, {})])
def test_a_run_goes_on_where_nothing_is_known_to_have_changed(before: dict[str, str], now: dict[str, str]) -> None:
    # What is not known about an older run, or a GPU that is gone, is told elsewhere.
    campaign._check_gpu(RUN, before, now)
