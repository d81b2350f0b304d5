"""``rtfloor nodes`` from end to end: every engine here explains a real model, and a failure is a row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import Cli, third_party, tiny_model

from results.nodes import NodeTimes
from runtimes import registry

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_PROFILER = """
from runtimes.base import Runtime
from runtimes.fake import Fake
class Mute(Fake):
    name, title = "mute", "mute engine"
    profile = Runtime.profile
"""


def rows(cli: Cli, *arguments: str, **settings: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    result = cli("nodes", *arguments, "--json", **settings)
    assert result.stdout, result.stderr
    return result.returncode, {row["cell"]: row for row in json.loads(result.stdout)["cells"]}


@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino", "tract", "torch"])
def test_a_real_model_is_explained_to_the_last_node(cli: Cli, runtime: str) -> None:
    probe = registry.get(runtime).probe()
    if not probe.available:
        pytest.skip(probe.reason)
    code, found = rows(cli, "--model", "rt8", "--form", "ln", "--runtime", runtime, "--threads", "1")
    [row] = found.values()
    assert (code, row["status"]) == (0, "ok"), row
    times = NodeTimes.from_json(row["times"])
    assert (times.version, times.origin, times.threads) == (probe.version, "measured", 1)
    # Whole microseconds, cut off, cost a small model's many nodes something; counted twice they would exceed the call.
    assert 0.4 < times.covered < 1.1
    shares = [node["share"] for node in row["nodes"]]
    assert sum(shares) <= 1 + 1e-9
    assert sum(total["share"] for total in row["operators"]) == pytest.approx(sum(shares))
    claimed = {original for node in row["nodes"] for original in node["originals"]}
    assert {"enc0.0.depthwise", "enc0.0.pointwise", "head", "head.sigmoid"} <= claimed
    assert row["answer"]


def test_of_a_layout_with_two_calls_one_is_profiled(cli: Cli, tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "net.onnx"))
    code, found = rows(cli, "--model", model, "--runtime", "fake", "--threads", "1", "--layout", "seq")
    [row] = found.values()
    assert code == 0
    # The fake engine deals 200 µs out evenly to the convolution and the ReLU.
    assert [(node["name"], node["share"]) for node in row["nodes"]] == [
        ("c", pytest.approx(0.5)),
        ("y", pytest.approx(0.5)),
    ]
    assert any("One of the two calls" in note for note in row["notes"])


def test_a_wrong_engine_is_not_explained(cli: Cli) -> None:
    code, found = rows(cli, "--model", "null", "--runtime", "fake", "--option", "mode=wrong")
    [row] = found.values()
    assert (code, row["status"]) == (1, "failed")
    assert "max abs error" in row["reason"]


def test_an_engine_without_a_profiler_says_so_and_the_others_go_on(cli: Cli, tmp_path: Path) -> None:
    settings = {"env": third_party(tmp_path / "package", "mute", WITHOUT_PROFILER)}
    code, found = rows(cli, "--model", "null", "--runtime", "mute", "--runtime", "fake", **settings)
    assert code == 0
    assert {row["status"] for row in found.values()} == {"ok", "failed"}
    assert ["mute engine has no profiler" in row.get("reason", "") for row in found.values()] == [True, False]


def test_people_get_the_answer_first_and_pages_get_markdown(cli: Cli) -> None:
    shown = cli("nodes", "--model", "null", "--runtime", "fake").stdout
    assert "100.0 % of a call goes into Identity, which computes nothing" in shown.splitlines()[0]
    page = cli("nodes", "--model", "null", "--runtime", "fake", "--markdown").stdout
    assert page.startswith("### null/raw/fake/mono/")
    assert "| Identity | 1 | 100.0 % |" in page
