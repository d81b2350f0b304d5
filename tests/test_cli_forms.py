"""Forms and quality from the command line: no form is fast and wrong unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from support import Cli, cells, tiny_model

if TYPE_CHECKING:
    import subprocess

DATA = Path(__file__).parent / "models" / "surgery" / "data"
QUICK = ("--runtime", "fake", "--threads", "1", "--profile", "smoke", "--time", "0", "--json")


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Any:
    """``rtfloor run`` on the fake engine, as fast as it goes; returns cells by form."""

    def go(*arguments: str, **settings: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, dict[str, Any]]]:
        result = cli("run", *arguments, *QUICK, "--results", str(tmp_path / "runs"), **settings)
        return result, {cell["form"]: cell for cell in cells(result).values()}

    return go


def metric(folder: Path, body: str) -> str:
    (folder / "mine.py").write_text(f"import numpy as np\n\n\ndef far(expected, got):\n    {body}\n")
    return str(folder / "mine.py")


ERROR = "return max(float(np.max(np.abs(e['y'] - g['y']))) for e, g in zip(expected, got))"


def test_a_form_of_a_users_file_is_judged_beside_the_form_raw(run: Any, tmp_path: Path) -> None:
    _, found = run("--model", str(tiny_model(tmp_path / "net.onnx")), "--form", "raw", "--form", "fp16_io32")
    assert found["raw"]["quality"]["snr_db"] is None or found["raw"]["quality"]["snr_db"] > 120
    half = found["fp16_io32"]
    assert half["status"] == "ok", half["reason"]
    # Rounded to 11 bits: against its own oracle it is right, beside the form raw it is not exact.
    assert 45 < half["quality"]["snr_db"] < 90
    assert half["precision"] == "fp16"
    assert [step["step"] for step in half["surgery"]] == ["fp16_io32"]


def test_a_form_past_a_metric_of_mine_is_wrong_and_has_no_time(run: Any, tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "net.onnx"))
    limit = f"{metric(tmp_path, ERROR)}:far<=1e-5"
    _, found = run("--model", model, "--form", "raw", "--form", "fp16_io32", "--metric", limit)
    assert found["raw"]["status"] == "ok", found["raw"]["reason"]
    assert found["raw"]["quality"]["metrics"]["mine.py:far"] <= 1e-5
    half = found["fp16_io32"]
    assert (half["status"], half["p50_ms"], half["rank"]) == ("wrong", None, None)
    assert "mine.py:far" in half["reason"]
    assert half["quality"]["metrics"]["mine.py:far"] > 1e-5


def test_a_metric_that_fails_leaves_no_cell_unjudged(run: Any, tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "net.onnx"))
    result, found = run("--model", model, "--metric", f"{metric(tmp_path, 'raise KeyError(3)')}:far")
    assert result.returncode == 1
    assert found["raw"]["status"] == "failed"
    assert "KeyError" in found["raw"]["reason"]
    assert "Traceback" not in result.stderr


def test_a_metric_that_is_not_there_is_refused_before_anything_is_measured(cli: Cli, tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "net.onnx"))
    result = cli("run", "--model", model, "--runtime", "fake", "--metric", str(tmp_path / "nix.py:far"))
    assert result.returncode == 2
    assert "nix.py" in result.stderr


def test_a_form_that_changes_nothing_is_a_row_and_the_others_go_on(run: Any, tmp_path: Path) -> None:
    _, found = run("--model", str(tiny_model(tmp_path / "net.onnx")), "--form", "raw", "--form", "ln")
    assert found["raw"]["status"] == "ok", found["raw"]["reason"]
    assert found["ln"]["status"] == "unavailable"
    assert "nothing in this graph to change" in found["ln"]["reason"]


def test_a_wrong_engine_is_wrong_in_every_form(run: Any, tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "net.onnx"))
    _, found = run("--model", model, "--form", "raw", "--form", "fp16_io32", "--option", "mode=wrong")
    assert {cell["status"] for cell in found.values()} == {"wrong"}


def test_the_custom_form_fails_with_a_clear_row(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    arguments = ("--model", str(DATA / "power-dynamo.onnx"), "--form", "raw", "--form", "custom", "--form", "ln")
    result = cli(
        *("run", *arguments, "--runtime", "ort-cpu", "--threads", "1", "--profile", "smoke", "--time", "0", "--json"),
        *("--results", str(tmp_path)),
    )
    found = {cell["form"]: cell for cell in cells(result).values()}
    assert found["raw"]["status"] == found["ln"]["status"] == "ok"
    assert found["custom"]["status"] == "failed"
    assert "CausalChannelLayerNorm" in found["custom"]["reason"]


def test_two_signals_in_a_file_that_fixes_one(cli: Cli, tmp_path: Path) -> None:
    # Without the pass `batch` this layout would be refused: the file says 1.
    model = str(tiny_model(tmp_path / "net.onnx"))
    result = cli("run", "--model", model, "--layout", "batch2", *QUICK, "--results", str(tmp_path))
    [cell] = cells(result).values()
    assert cell["status"] == "ok", cell["reason"]


def test_surgery_writes_a_checked_file(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    source = DATA / "var-dynamo.onnx"
    result = cli("models", "surgery", str(source), "--form", "ln,fp16_io32", "-o", str(target), "--json")
    assert result.returncode == 0, result.stderr
    body = json.loads(result.stdout)
    assert [step["step"] for step in body["passes"]] == ["ln", "fp16_io32"]
    assert body["form"] == "ln+fp16_io32"
    assert 40 < body["error"]["snr_db"] < 100
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert "LayerNormalization" in kinds
    shown = cli("models", "surgery", str(source), "--form", "ln", "-o", str(target))
    assert "checked against the form raw" in shown.stdout


def test_surgery_on_a_zoo_model(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "rt8.onnx"
    result = cli("models", "surgery", "rt8", "--form", "swap,ln_last,split,up", "-o", str(target))
    assert result.returncode == 0, result.stderr
    assert target.is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nix.onnx", "--form", "ln", "-o", "out.onnx"), ("no model file", "nix.onnx")),
        (("rt8", "--form", "nix", "-o", "out.onnx"), ("no pass 'nix'",)),
        (("rt8", "--form", "raw", "-o", "out.onnx"), ("changes nothing",)),
        (("null", "--form", "ln", "-o", "out.onnx"), ("nothing in this graph",)),
        (("rt8", "--form", "ln", "-o", "."), ("is a folder",)),
        (("rt8", "--form", "ln", "-o", "nowhere/out.onnx", "--shape", "x=1"), ("a zoo model brings its own",)),
    ],
)
def test_surgery_refuses(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    result = cli("models", "surgery", *arguments)
    assert result.returncode == 2, result.stdout
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_surgery_that_would_change_the_answer_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    # float16 cannot hold these weights: the graph still runs, and says something else.
    model = onnx.load(tiny_model(tmp_path / "net.onnx"))
    [weight] = model.graph.initializer
    values = onnx.numpy_helper.to_array(weight) * 1e30
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "huge.onnx")
    result = cli("models", "surgery", str(tmp_path / "huge.onnx"), "--form", "fp16", "-o", str(tmp_path / "out.onnx"))
    assert result.returncode == 2
    assert not (tmp_path / "out.onnx").exists()


def test_views_of_a_run(cli: Cli, tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "net.onnx"))
    arguments = ("--model", model, "--form", "raw", "--form", "fp16_io32", "--audio-seconds", "0.01")
    cli("run", *arguments, *QUICK, "--results", str(tmp_path / "runs"))
    shown = cli("show", "latest", "--results", str(tmp_path / "runs"), "--view", "forms")
    assert "| runtime | form |" in shown.stdout
    assert "`fp16_io32`" in shown.stdout
    alone = cli("show", "latest", "--results", str(tmp_path / "runs"), "--view", "work")
    assert "no two models" in alone.stdout


def test_models_list_says_everything(cli: Cli) -> None:
    listed = json.loads(cli("models", "list", "--json").stdout)["models"]
    assert json.loads(cli("models", "--json").stdout)["models"] == listed
    for entry in listed:
        assert {"parameters", "parameters_published", "nodes", "flops", "audio_s"} <= set(entry)
        difference = entry["parameters_difference"]
        assert difference is None or abs(difference) <= 0.005
        assert entry["nodes"] >= 1
        assert entry["audio_s"] > 0
    passes = json.loads(cli("models", "passes", "--json").stdout)["passes"]
    assert {"ln", "fp16", "int8", "int4", "sim", "batch", "opset", "static"} <= {entry["name"] for entry in passes}
