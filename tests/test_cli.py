"""The command line as a person meets it: clear refusals, quick answers, one document for scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import ROOT, Cli, cells, third_party, tiny_model

KEYS = [
    "cell",
    "model",
    "form",
    "runtime",
    "version",
    "layout",
    "threads",
    "options",
    "status",
    "reason",
    "p50_ms",
    "p50_ci_ms",
    "p90_ms",
    "p99_ms",
    "p99_ci_ms",
    "rtf",
    "x_realtime",
    "audio_s",
    "cold_ms",
    "rss_peak_mb",
    "max_abs_error",
    "snr_db",
    "threads_used",
    "samples",
    "processes",
    "rank",
]
HEAVY = ("numpy", "onnx", "rich", "onnxruntime", "openvino", "tvm", "tract", "torch", "sqlite3")


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, an explanation, no traceback, nothing on stdout."""
    assert result.returncode == 2, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("list", "cpu"), ("list", "cpu", "--json"), ("models",)])
def test_help_and_list_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; sys.argv[1:] = " + repr(list(arguments)) + "\n"
        "from bench.cli import main\n"
        "try: main()\n"
        f"finally: sys.stderr.write(repr([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stderr == "[]"


def test_json_has_every_key_and_stdout_nothing_else(cli: Cli) -> None:
    result = cli("run", "--model", "null", "--runtime", "fake", "--profile", "smoke", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert Path(document["run"]).name.endswith(".sqlite")
    (cell,) = document["cells"]
    assert set(KEYS) <= set(cell)
    assert (cell["status"], cell["rank"], cell["reason"]) == ("ok", 1, None)
    assert cell["p50_ci_ms"][0] <= cell["p50_ms"] <= cell["p50_ci_ms"][1]
    assert cell["rtf"] == pytest.approx(cell["p50_ms"] / 1e3 / cell["audio_s"])
    assert cell["x_realtime"] == pytest.approx(1 / cell["rtf"])


def test_show_tells_what_run_told(cli: Cli) -> None:
    ran = cli("run", "--model", "null", "--runtime", "fake", "--profile", "smoke", "--json")
    shown = cli("show", "latest", "--json")
    assert json.loads(shown.stdout)["cells"] == json.loads(ran.stdout)["cells"]
    assert "fastest is" not in cli("show").stdout
    assert "a call costs" in cli("show", "latest").stdout


def test_a_model_of_ones_own_with_dynamic_shapes_states_and_integers(tmp_path: Path, cli: Cli) -> None:
    model = streaming_model(tmp_path / "voice.onnx")
    flags = ("--shape", "x=1,1,4", "--input", "rate=16000", "--state", "h=hn", "--audio-seconds", "0.02")
    result = cli("run", "--model", str(model), *flags, "--runtime", "ort-cpu", "--profile", "smoke", "--json")
    assert result.returncode == 0, result.stderr
    (cell,) = cells(result).values()
    assert (cell["model"], cell["form"], cell["status"]) == ("voice", "raw", "ok")
    assert cell["audio_s"] == 0.02
    assert cell["snr_db"] > 100


def test_two_channels_in_one_call_where_the_batch_is_free(tmp_path: Path, cli: Cli) -> None:
    layouts = ("--layout", "mono", "--layout", "seq", "--layout", "par", "--layout", "batch2")
    flags = (*layouts, "--runtime", "fake", "--threads", "2", "--profile", "smoke", "--json")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("par needs two processors")
    free = cells(cli("run", "--model", str(tiny_model(tmp_path / "free.onnx", batch="batch")), *flags))
    assert free["free/raw/fake/batch2/2"]["status"] == "ok"
    assert free["free/raw/fake/seq/2"]["status"] == "ok"
    # Mono does half the work: it must never be ranked against the others.
    assert free["free/raw/fake/mono/2"]["rank"] == 1
    fixed = cells(cli("run", "--model", str(tiny_model(tmp_path / "fixed.onnx")), *flags))
    # The file says 1; the pass `batch` rewrites it, and the answers are held to those for one signal.
    assert fixed["fixed/raw/fake/batch2/2"]["status"] == "ok"
    assert fixed["fixed/raw/fake/seq/2"]["status"] == "ok"


def test_an_unsupported_operator_is_a_row_with_a_reason(tmp_path: Path, cli: Cli) -> None:
    result = cli("run", "--model", "null", "--runtime", "fake", "--option", "mode=unsupported", "--json")
    (cell,) = cells(result).values()
    assert (result.returncode, cell["status"]) == (1, "failed")
    assert "not supported" in cell["reason"]


def test_files_that_are_no_models(tmp_path: Path, cli: Cli) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("this is no model\n" * 50)
    refused(cli("run", "--model", str(text)), "text.onnx")
    whole = tiny_model(tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    refused(cli("run", "--model", str(tmp_path / "cut.onnx")), "cut.onnx")
    refused(cli("run", "--model", str(tmp_path / "absent.onnx")), "absent.onnx")
    refused(cli("run", "--model", "nosuchmodel"), "nosuchmodel", "rt48")


def test_external_data_that_is_missing_or_outside(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    model = onnx.load(str(tiny_model(tmp_path / "net.onnx")))
    onnx.save(model, str(folder / "big.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    ran = cli("run", "--model", str(folder / "big.onnx"), "--runtime", "fake", "--profile", "smoke")
    assert ran.returncode == 0, ran.stderr
    (folder / "w.bin").rename(tmp_path / "w.bin")
    refused(cli("run", "--model", str(folder / "big.onnx"), "--runtime", "fake"), "w.bin")
    outside = onnx.load(str(folder / "big.onnx"), load_external_data=False)
    for entry in outside.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../w.bin"
    (folder / "out.onnx").write_bytes(outside.SerializeToString())
    refused(cli("run", "--model", str(folder / "out.onnx"), "--runtime", "fake"), "../w.bin")


def test_wrong_shapes_and_flags_are_refused_by_name(tmp_path: Path, cli: Cli) -> None:
    model = str(tiny_model(tmp_path / "net.onnx", batch="batch"))
    refused(cli("run", "--model", model, "--shape", "x=1,3,16"), "x")
    refused(cli("run", "--model", model, "--shape", "nosuch=1,2,16"), "nosuch", "x")
    refused(cli("run", "--model", model, "--shape", "x=1,zero"), "--shape")
    refused(cli("run", "--model", model, "--frames", "4"), "hop")
    refused(cli("run", "--model", model, "--layout", "quad"), "quad", "batch2")
    refused(cli("run", "--model", model, "--runtime", "nosuch"), "nosuch", "ort-cpu")
    refused(cli("run", "--model", model, "--option", "nosuch=1"), "nosuch")
    refused(cli("run", "--model", model, "--threads", "4096"), "4096")
    refused(cli("run", "--model", model, "--profile", "huge"), "huge", "smoke")
    refused(cli("run", "cpu", "--shape", "x=1"), "--model")
    refused(cli("run"), "cpu")
    refused(cli("run", "nosuchsuite"), "nosuchsuite", "cpu")
    refused(cli("run", "--model", "null", "--form", "ln"), "ln", "raw")
    refused(cli("run", "--model", "null", "--memory-limit", "lots"), "lots")


def test_a_suite_with_an_unknown_key_is_refused_by_name(tmp_path: Path, cli: Cli) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text('[[cells]]\nmodels = ["null"]\nruntimes = ["fake"]\nthread = [1]\n')
    refused(cli("run", str(suite)), "mine.toml", "'thread'", "threads")


def test_results_that_cannot_be_written_are_refused_before_anything_is_measured(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(cli("run", "cpu", "--results", str(tmp_path / "file")), "--results")


def test_a_file_that_is_no_run_is_refused(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "other.sqlite").write_text("hello")
    refused(cli("show", str(tmp_path / "other.sqlite")), "other.sqlite")
    refused(cli("show", "latest"), "rtfloor run")
    refused(cli("run", "--resume", "nosuch"), "nosuch")


def test_inputs_that_give_nan_are_refused_with_the_next_step(tmp_path: Path, cli: Cli) -> None:
    graph = helper.make_graph(
        [helper.make_node("Log", ["x"], ["y"])],
        "log",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
    )
    path = tmp_path / "log.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    refused(cli("run", "--model", str(path), "--runtime", "fake"), "NaN", "--input")
    fed = cli("run", "--model", str(path), "--runtime", "fake", "--input", "x=0.5..2", "--profile", "smoke")
    assert fed.returncode == 0, fed.stderr


def test_versions_are_runtimes_wherever_one_may_be_named(cli: Cli) -> None:
    two = ("list", "--model", "null", "--threads", "1", "--runtime", "ort-cpu@1.24.4,ort-cpu@1.31.1", "--json")
    ids = [cell["cell"] for cell in json.loads(cli(*two).stdout)["cells"]]
    assert ids == [f"null/raw/ort-cpu@{version}/mono/1" for version in ("1.24.4", "1.31.1")]

    def off(*options: str) -> list[bool]:
        flags = [word for option in options for word in ("--option", option)]
        return [not cell["options"]["enable_mem_reuse"] for cell in json.loads(cli(*two, *flags).stdout)["cells"]]

    assert off("enable_mem_reuse=false") == [True, True]
    assert off("ort-cpu.enable_mem_reuse=false") == [True, True]
    assert off("ort-cpu@1.24.4.enable_mem_reuse=false") == [True, False]
    refused(cli(*two, "--option", "ort-cpu@1.20.1.enable_mem_reuse=false"), "'ort-cpu@1.20.1', which is not among")
    refused(cli(*two, "--option", "ort-cpu.nothing=1"), "'nothing'")


@pytest.mark.parametrize("text", ["ort-cpu@", "ort-cpu@latest; rm", "ort-cpu@1.24.4,ort-cpu@--help"])
def test_what_is_no_version_is_refused_before_anything_is_installed(cli: Cli, text: str) -> None:
    refused(cli("run", "--model", "null", "--runtime", text), "is no version", "such as ort-cpu@1.24.4")


def test_a_comma_too_many_is_refused(cli: Cli) -> None:
    refused(cli("run", "--model", "null", "--runtime", "fake,"), "--runtime 'fake,'")


def test_a_version_takes_the_place_of_its_runtime_in_a_suite(tmp_path: Path, cli: Cli) -> None:
    suite = tmp_path / "mine.toml"
    group = "[[cells]]\nmodels = ['null']\nthreads = [1]\nruntimes = "
    suite.write_text(
        f"{group}['ort-cpu']\noptions.ort-cpu.enable_mem_reuse = false\n{group}['fake']\nlayouts = ['mono', 'seq']\n"
    )
    result = cli("list", str(suite), "--runtime", "ort-cpu@1.24.4", "--json")
    assert [cell["cell"] for cell in json.loads(result.stdout)["cells"]] == [
        "null/raw/ort-cpu@1.24.4/mono/1/enable_mem_reuse=false"
    ]


def test_doctor_names_what_mends_a_missing_runtime(cli: Cli) -> None:
    result = cli("doctor", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    for row in document["runtimes"]:
        assert row["available"] or (row["reason"] and row["remedy"]), row
    assert document["steadiness"]["sentence"]
    assert document["host"]["fingerprint"]


def test_openvino_asked_for_fp32_runs_fp32_and_bf16_is_judged_as_bf16(cli: Cli) -> None:
    pytest.importorskip("openvino")
    options = [word for name in ("fp32", "bf16", "default") for word in ("--option", f"precision={name}")]
    result = cli(
        "run", "--model", "rt48", "--form", "ln", "--runtime", "openvino", *options, "--profile", "smoke", "--json"
    )
    found = {cell["precision_asked"]: cell for cell in cells(result).values()}
    assert found["fp32"]["precision_ran"] == "fp32"
    assert found["fp32"]["status"] == "ok"
    assert found["fp32"]["snr_db"] > 100
    for name in ("bf16", "default"):
        # Where the chip has no bf16 the engine says fp32, and is then held to that.
        assert found[name]["status"] == "ok", found[name]["reason"]
        if found[name]["precision_ran"] == "bf16":
            assert found[name]["snr_db"] < 80


def test_a_real_engine_that_lowers_precision_behind_our_back_is_wrong(cli: Cli, tmp_path: Path) -> None:
    # The adapter is told fp32 and made to run bf16, as OpenVINO would by itself: the oracle must see it.
    pytest.importorskip("openvino")
    environment = third_party(
        tmp_path / "sly",
        "sly",
        "from dataclasses import replace\n"
        "from runtimes.openvino_rt import OpenVinoCpu\n"
        "class Sly(OpenVinoCpu):\n"
        "    name = 'sly'\n"
        "    def load(self, request):\n"
        "        return super().load(replace(request, options={**request.options, 'precision': 'default'}))\n",
    )
    result = cli(
        "run", "--model", "rt48", "--form", "ln", "--runtime", "sly", "--profile", "smoke", "--json", env=environment
    )
    (cell,) = cells(result).values()
    assert cell["precision_asked"] == "fp32"
    if cell["precision_ran"] == "bf16":
        assert cell["status"] == "wrong"
        assert cell["p50_ms"] is None
        assert "(fp32)" in cell["reason"]
        assert "rt48/ln" in cell["reason"]


def test_the_oracle_belongs_to_one_form_of_one_model(cli: Cli) -> None:
    # Judged by another form's weights or inputs, every engine would look wrong.
    result = cli("run", "--model", "rt48", "--runtime", "ort-cpu", "--profile", "smoke", "--json")
    found = cells(result)
    assert {cell["form"] for cell in found.values()} == {"raw", "ln"}
    assert all(cell["status"] == "ok" and cell["snr_db"] > 100 for cell in found.values())


def streaming_model(path: Path) -> Path:
    """A GRU with a state, a dynamic length, and a rate that goes in as an integer."""
    generator = np.random.default_rng(1)
    weights = [
        onnx.numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (1, 18, 4)), ("r", (1, 18, 6)))
    ]
    graph = helper.make_graph(
        [
            helper.make_node("GRU", ["x", "w", "r", "", "", "h"], ["", "hn"], hidden_size=6, linear_before_reset=1),
            helper.make_node("Cast", ["rate"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["hn", "f"], ["y"]),
        ],
        "voice",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", 1, 4]),
            helper.make_tensor_value_info("rate", TensorProto.INT64, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 1, 6]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 6]),
            helper.make_tensor_value_info("hn", TensorProto.FLOAT, [1, 1, 6]),
        ],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path
