"""``tune``, ``axes`` and sweeps as a user runs them: real processes, a fake engine where times must be known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support import Cli, tiny_model

if TYPE_CHECKING:
    from pathlib import Path

FAKE = ("--model", "null", "--runtime", "fake", "--layout", "mono", "--threads", "1", "--profile", "smoke")
LATENCIES = [f"latency_us={value}" for value in (2000, 2600, 3000, 3400, 3800, 4200, 4600, 5000)]


def options(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--option", text)]


def searched(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)["search"]
    return found


def test_a_search_finds_the_fastest_right_cell_in_less_than_everything(cli: Cli) -> None:
    found = searched(cli("tune", *FAKE, *options(*LATENCIES, "mode=ok", "mode=wrong"), "--json"))
    # The wrong ones are as fast.
    assert found["best"] == "null/raw/fake/mono/1/latency_us=2000.0"
    assert found["cells"] == 8
    assert found["sure"] > 0.9
    # Of eight cells a search costs about as much as trying them all: five times as many would tell.
    assert 0 < found["share"] < 3
    assert found["rounds"][0] == 16
    assert found["rounds"][-1] < 8
    assert found["snippet"]["why_not"]
    shown = cli("show", "latest").stdout
    # A busy machine adds to it.
    assert re.search(r"best at p50: fake 1 latency_us=2000\.0 raw mono, 2\.\d+ ms", shown)
    assert "sure that none of the 8 cells is better by more than 2 %" in shown
    assert "of what it costs to try everything" in shown


def test_conditions_that_nothing_meets_end_with_status_1_and_say_which(cli: Cli) -> None:
    result = cli("tune", *FAKE, *options(*LATENCIES[:2]), "--within", "0.5")
    assert result.returncode == 1, result.stderr
    assert "the search found nothing" in result.stdout
    assert "past 0.5 ms" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "null", "--runtime", "fake", "--layout", "mono", "--layout", "seq"), "do the same work"),
        (("--model", "null", "--max-memory", "much"), "--max-memory 'much'"),
        (("--resume", "latest", "--objective", "p99"), "takes no suite and no other conditions"),
        (("--resume", "latest"), "there are no runs"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_the_next_step(
    arguments: tuple[str, ...], words: str, cli: Cli
) -> None:
    result = cli("tune", *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_search_that_was_cut_short_goes_on_where_it_was(cli: Cli, tmp_path: Path) -> None:
    short = cli("tune", *FAKE, *options(*LATENCIES), "--time", "0", "--json")
    before = json.loads(short.stdout)["search"]
    # One more process than there are cells: the pick was judged before it stands.
    assert before["rounds"] == [8, 1]
    assert before["best"] is not None
    rest = searched(cli("tune", "--resume", "latest", "--time", "300", "--json"))
    assert rest["rounds"][0] == 8
    assert len(rest["rounds"]) > 3
    assert rest["best"] == "null/raw/fake/mono/1/latency_us=2000.0"
    assert len(list((tmp_path / "results" / "runs").glob("*.sqlite"))) == 1


def test_the_winner_comes_as_code_that_runs(cli: Cli, tmp_path: Path) -> None:
    tiny_model(tmp_path / "net.onnx")
    arguments = ("--runtime", "ort-cpu", "--layout", "mono", "--threads", "1", "--profile", "smoke")
    result = cli("tune", "--model", "net.onnx", *arguments, *options("enable_mem_pattern=false"), "--json")
    snippet = searched(result)["snippet"]
    assert snippet["settings"]
    script = tmp_path / "results" / "runs" / snippet["file"]
    code = script.read_text() + (
        "\nimport numpy as np\nprint(answer({'x': np.ones((1, 2, 16), np.float32)})[0].shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.strip() == "(1, 3, 16)", done.stderr
    assert "enable_mem_pattern" in script.read_text()


SWEEP = """
[profiles.smoke]
process_s = 0.05
rounds_most = 7
budget_s = 120

[[cells]]
models = ["null"]
runtimes = ["fake"]
threads = [1]
options.fake.latency_us = 3000
options.fake.between = 0.001
options.fake.slower = [0.0, 0.3]
sweep = "one-at-a-time"
axes = ["label", "slower"]
copies = 2
"""


def test_a_sweep_finds_what_was_planted_and_not_what_was_not(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "planted.toml").write_text(SWEEP)
    result = cli("run", "planted.toml", "--profile", "smoke", "--no-floor", "--json")
    assert result.returncode == 0, result.stderr
    (sweep,) = json.loads(result.stdout)["sweeps"]
    found = {(effect["axis"], effect["value"]): effect for effect in sweep["effects"]}
    assert found["slower", "0.3"]["verdict"] == "slower"
    assert found["slower", "0.3"]["ratio"] == pytest.approx(1.3, rel=0.1)
    # What is slower beyond doubt needs no more rounds than that took.
    assert found["slower", "0.3"]["rounds"] >= 3
    assert found["label", "b"]["rounds"] == 7
    # A/A: whatever the machine did, it did to both.
    assert found["label", "b"]["ratio"] == pytest.approx(1.0, rel=0.1)
    assert {axis for axis, _ in found} == {"label", "slower", "copy"}


def test_axes_are_printed_and_counted(cli: Cli) -> None:
    table = cli("axes", "ort-cpu")
    assert table.returncode == 0, table.stderr
    assert "enable_mem_reuse" in table.stdout
    assert "settings of this version are accounted for" in table.stdout
    entry = json.loads(cli("axes", "ort-cpu", "--json").stdout)
    names = {axis["name"] for axis in entry["axes"]}
    assert {"enable_mem_reuse", "execution_mode"} <= names
    assert "SessionOptions.enable_mem_reuse" in entry["settings"]
    assert entry["unknown"] == []
    assert len(entry["fixed"]) > 5


def test_axes_of_a_runtime_that_is_not_here_are_told_all_the_same(cli: Cli) -> None:
    result = cli("axes", "tensorrt")
    assert result.returncode == 0, result.stderr
    assert "could not be asked" in result.stdout
    unknown = cli("axes", "tensorflow")
    assert unknown.returncode == 2
    assert "there is no runtime 'tensorflow'" in unknown.stderr
