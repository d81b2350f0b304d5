"""The gate over the harness's own cost: the earlier code is really what is measured, and a slow-down is found."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support import ROOT

from bench import overhead
from bench.errors import UserError
from results.gate import INCONCLUSIVE, PASS, REGRESSED

if TYPE_CHECKING:
    from pathlib import Path

CALLS = "test_ten_thousand_timed_calls_of_nothing"


def test_a_slow_down_is_found_and_what_does_not_differ_passes() -> None:
    generator = np.random.default_rng(0)

    def run(side: int) -> overhead.Medians:
        noise = np.exp(0.02 * generator.standard_normal(2))
        return {"same": 1.0 * noise[0], "slower": (1.3 if side else 1.0) * noise[1]}

    found = {cost.name: cost for cost in overhead.compare(run, 0)}
    assert (found["same"].verdict, found["slower"].verdict) == (PASS, REGRESSED)
    assert found["slower"].pairs < 40
    said = overhead.told(list(found.values()), {"baseline": "old", "candidate": "new"})
    assert "regressed: slower +" in said


def test_noise_is_inconclusive() -> None:
    generator = np.random.default_rng(1)
    (cost,) = overhead.compare(lambda _side: {"x": float(np.exp(generator.standard_normal()))}, 0)
    assert cost.verdict == INCONCLUSIVE


def test_nothing_in_common_is_said() -> None:
    with pytest.raises(UserError, match="no benchmark in common"):
        overhead.compare(lambda side: {str(side): 1.0}, 0)


def test_the_code_below_the_given_root_is_what_is_measured(tmp_path: Path) -> None:
    for name in ("bench", "models", "reports", "results", "runtimes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("runs", "evidence", "__pycache__"))
    source = tmp_path / "bench" / "measure.py"
    text = source.read_text("utf-8")
    slower = text.replace(
        "            begin = clock()\n", "            sum(range(2000))\n            begin = clock()\n", 1
    )
    assert slower != text
    source.write_text(slower, "utf-8")
    assert overhead.measured(tmp_path)[CALLS] > 1.5 * overhead.measured(ROOT)[CALLS]
