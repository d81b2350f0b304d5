"""``gate`` and ``baseline`` as a user runs them: real processes, a fake engine where times must be known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support import ROOT, Cli, git, tiny_model

from results.runfile import RunFile

FAKE = ("--model", "null", "--runtime", "fake", "--layout", "mono", "--threads", "1", "--profile", "smoke")
CALM = ("--option", "latency_us=2000", "--option", "between=0.002", "--option", "spread=0.002")
ORT = ("--runtime", "ort-cpu", "--threads", "1", "--profile", "smoke")


def gated(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.stdout, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)["gate"]
    return found


def test_a_planted_change_is_found_and_every_file_is_written(cli: Cli, tmp_path: Path) -> None:
    files = ("--junit", "out/gate.xml", "--pytest-benchmark", "out", "--action-benchmark", "out/action.json")
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    result = cli(
        *("gate", *FAKE, *CALM, "--candidate", "planted=20%", *files, "--json"),
        env={"GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert result.returncode == 1, result.stderr
    found = gated(result)
    (check,) = found["checks"]
    assert (found["verdict"], check["verdict"]) == ("regressed", "regressed")
    view = check["views"][check["view"]]
    assert view["estimate"] == pytest.approx(0.2, abs=0.05)
    assert view["low"] > 0
    assert check["pairs"] < 24

    suite = ET.parse(tmp_path / "out" / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    assert "regressed" in str(suite.find(".//failure").get("message"))  # type: ignore[union-attr]
    assert summary.read_text().startswith("before\n### rtfloor gate: regressed")
    (entry,) = json.loads((tmp_path / "out" / "action.json").read_text())
    assert entry["unit"] == "ms"
    assert entry["value"] == pytest.approx(2.4, abs=0.3)
    assert entry["range"].startswith("± ")

    shown = cli("show", "latest").stdout
    assert "gate: REGRESSED — planted=20% beside as it is" in shown
    report = cli("report", "latest")
    assert report.returncode == 0, report.stderr
    page = next((tmp_path / "results" / "reports").rglob("index.html")).read_text("utf-8")
    assert "The gate&#x27;s verdict" in page or "The gate's verdict" in page

    # The real reader lays both files side by side.
    compared = subprocess.run(
        [Path(sys.executable).with_name("pytest-benchmark"), "compare", "out/baseline.json", "out/candidate.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stderr
    assert "2 tests" in compared.stdout or compared.stdout.count("null/raw/fake/mono/1") >= 2


def test_what_does_not_differ_passes(cli: Cli) -> None:
    result = cli("gate", *FAKE, *CALM, "--candidate", "same", "--min-effect", "10%", "--json")
    assert result.returncode == 0, result.stderr
    assert gated(result)["verdict"] == "pass"


def test_both_sides_take_turns_unless_they_are_kept_apart(cli: Cli, tmp_path: Path) -> None:
    for flags, turns in (((), True), (("--apart",), False)):
        few = ("--pairs", "4", "--confidence", "0.6")
        result = cli("gate", *FAKE, *CALM, "--candidate", "same", *few, *flags, "--json")
        assert gated(result)["checks"][0]["pairs"] >= 3, result.stderr
        with RunFile.read(tmp_path / json.loads(result.stdout)["run"]) as run:
            assert {"turns" in record.facts for record in run.records()} == {turns}


def test_a_restless_machine_is_inconclusive_with_status_3(cli: Cli) -> None:
    noisy = ("--option", "latency_us=500", "--option", "between=0.6", "--pairs", "9")
    result = cli("gate", *FAKE, *noisy, "--candidate", "same", "--junit", "gate.xml", "--json")
    assert result.returncode == 3, result.stderr
    assert gated(result)["verdict"] == "inconclusive"


def test_a_wrong_candidate_that_is_faster_is_wrong(cli: Cli, tmp_path: Path) -> None:
    old = tiny_model(tmp_path / "old.onnx")
    model = onnx.load(old)
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0] *= 1.5
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight.astype(np.float32), "w"))
    onnx.save(model, str(tmp_path / "new.onnx"))
    sides = ("--baseline", "old.onnx", "--candidate", "new.onnx")
    result = cli("gate", *sides, *ORT, "--json")
    assert result.returncode == 1, result.stderr
    (check,) = gated(result)["checks"]
    assert check["verdict"] == "wrong"
    assert "form raw" in check["reason"] or "signal" in check["reason"]
    # Whoever meant it says so.
    meant = cli("gate", *sides, *ORT, "--retrained", "--min-effect", "50%", "--json")
    assert gated(meant)["checks"][0]["verdict"] != "wrong", meant.stderr


def test_a_file_against_a_commit(cli: Cli, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", ".")
    tiny_model(tmp_path / "net.onnx")
    git(tmp_path, "add", "net.onnx")
    git(tmp_path, "commit", "-qm", "first")
    gate = ("gate", "--model", "net.onnx", *ORT, "--min-effect", "60%", "--pairs", "12")
    same = cli(*gate, "--against", "HEAD", "--json")
    assert "nothing differs but chance" in " ".join(json.loads(same.stdout)["warnings"])
    assert gated(same)["baseline"].startswith("at HEAD (")
    model = onnx.load(tmp_path / "net.onnx")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((3, 2, 3), np.float32), "w"))
    onnx.save(model, str(tmp_path / "net.onnx"))
    changed = cli(*gate, "--against", "HEAD", "--json")
    assert gated(changed)["checks"][0]["verdict"] == "wrong", changed.stderr
    unknown = cli(*gate, "--against", "no-such-branch")
    assert unknown.returncode == 2
    assert "git fetch" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what differs"),
        (("--model", "null", "--candidate", "nonsense"), "no model file, zoo model, runtime, layout or form"),
        (("--model", "null", "--candidate", "same", "--objective", "p99"), "cries wolf"),
        (("--model", "null", "--candidate", "same", "--objective", "p98"), "there is no 'p98'"),
        (("--model", "null", "--candidate", "same", "--objective", "misses"), "--deadline MS"),
        (("--model", "null", "--candidate", "same", "--min-effect", "200%"), "no share between 0 and 1"),
        (("--model", "null", "--candidate", "same", "--pairs", "3"), "allow at least 9"),
        (("--baseline", "rt8", "--candidate", "null", "--form", "raw"), "answer different questions"),
        (("--model", "null", "--candidate", "same", "--against", "HEAD"), "in a git repository"),
        (("cpu", "--baseline", "tvm", "--candidate", "ln"), "cannot be paired"),
        (("--resume", "latest", "--candidate", "same"), "--resume goes on"),
        (("--recorded", "net"), "there is no baseline 'net'"),
        (("--recorded", "net", "--objective", "memory"), "which is what baselines keep"),
    ],
)
def test_a_gate_that_cannot_be_is_refused_with_the_next_step(arguments: tuple[str, ...], words: str, cli: Cli) -> None:
    result = cli("gate", *arguments)
    assert result.returncode == 2, result.stdout
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_half_way_it_leaves_no_verdict_and_no_orphan(number: signal.Signals, cli: Cli, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "gate", *FAKE, *CALM, "--candidate", "same", "--junit", "gate.xml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("round 3"):
            break
    process.send_signal(number)
    process.wait(30)
    process.stderr.close()
    assert process.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not (tmp_path / "gate.xml").exists()
    shown = cli("show", "latest", "--json")
    assert json.loads(shown.stdout)["gate"] is None
    deadline = time.monotonic() + 10
    while _workers(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _workers(process.pid) == []
    rest = cli("gate", "--resume", "latest", "--junit", "gate.xml", "--json")
    assert gated(rest)["verdict"] in ("pass", "inconclusive", "regressed", "improved")
    assert (tmp_path / "gate.xml").exists()


def _workers(parent: int) -> list[str]:
    """Workers that a rtfloor with this process id had started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"bench.worker" in words and str(parent).encode() in words:
            found.append(entry.parent.name)
    return found


def test_a_baseline_is_kept_shown_and_gated_against(cli: Cli, tmp_path: Path) -> None:
    for count in (1, 2):
        run = cli("run", *FAKE, *CALM, "--no-floor")
        assert run.returncode == 0, run.stderr
        saved = cli("baseline", "save", "net")
        assert f"{count} sitting" in saved.stdout, saved.stderr
    again = cli("baseline", "save", "net")
    assert "already" in again.stderr
    assert "net: 1 cells, 2 sittings" in cli("baseline", "list").stdout
    shown = json.loads(cli("baseline", "show", "net", "--json").stdout)
    assert len(shown["cells"][0]["p50_ms"]) == 2
    assert "2 sittings" in cli("baseline", "show", "net").stdout
    # Whatever else the machine is doing meanwhile: three short processes beside six.
    result = cli("gate", "--recorded", "net", "--min-effect", "60%", "--json")
    assert result.returncode == 0, result.stderr
    assert gated(result)["checks"][0]["verdict"] == "pass"
    path = tmp_path / "results" / "baselines" / "net.json"
    assert str(tmp_path) not in path.read_text("utf-8")
    found = json.loads(path.read_text("utf-8"))
    found["fingerprint"] = "0123456789ab"
    path.write_text(json.dumps(found))
    refused = cli("gate", "--recorded", "net")
    assert refused.returncode == 2
    assert "of another machine" in refused.stderr
    assert cli("baseline", "save", "net", "--replace").returncode == 0
    assert "is no name" in cli("baseline", "save", "a/b").stderr
