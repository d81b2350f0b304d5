"""What a call costs is measured as every cell is, and a runtime that fails takes nobody along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.peaks import calls
from bench.peaks.calls import call_costs
from bench.spawn import Outcome, spawn
from results.peaks import Call
from runtimes import registry

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(autouse=True)
def _only_the_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real path through preparing and measuring, without an engine's start-up time.
    monkeypatch.setattr(registry, "names", lambda: ["fake"])
    monkeypatch.setattr(calls, "PRETENDS", "")
    monkeypatch.setattr(calls, "PROCESS_S", 0.02)


def test_a_call_is_the_median_of_a_process() -> None:
    (cost,) = call_costs(spawn, lambda _: None)
    assert isinstance(cost, Call)
    assert cost.what == "fake"
    assert 0 < cost.seconds < 1
    assert "null" in cost.source


def test_an_engine_that_only_pretends_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PRETENDS", "fake")
    assert call_costs(spawn, lambda _: None) == []


def test_a_runtime_that_crashes_becomes_a_sentence() -> None:
    def crashing(request: dict[str, Any], environment: Mapping[str, str], timeout_s: float) -> Outcome:
        if request["task"] == "measure":
            return Outcome("failed", {}, "it crashed with SIGSEGV")
        return spawn(request, environment, timeout_s)

    assert call_costs(crashing, lambda _: None) == ["a call of fake could not be measured: it crashed with SIGSEGV"]


def test_a_runtime_on_another_device_is_no_matter_of_this_processor() -> None:
    def elsewhere(request: dict[str, Any], environment: Mapping[str, str], timeout_s: float) -> Outcome:
        outcome = spawn(request, environment, timeout_s)
        if request["task"] == "measure":
            outcome.body["device"] = "cuda:0"
        return outcome

    assert call_costs(elsewhere, lambda _: None) == []
