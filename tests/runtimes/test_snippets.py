"""The code to paste: does it run without rtfloor, and does it do what was measured?

What a user would lose: an afternoon, because the application is slower, or answers otherwise, than the report said.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drive_axes import convolutions, drive, feeds, request

from runtimes import registry
from runtimes.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("bench", "models", "onnx", "reports", "results", "runtimes")
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("openvino", {}),
    ("openvino", {"snippets_mode": "DISABLE", "performance_hint": "THROUGHPUT", "onednn_max_cpu_isa": "AVX2"}),
    ("openvino", {"call": "start_async", "enable_cpu_pinning": True}),
    ("openvino", {"share_inputs": True, "num_streams": "1", "cpu_denormals_optimization": True}),
    ("openvino", {"share_inputs": True, "call": "start_async"}),
    ("tract", {}),
    ("tract", {"transform": "conv_nhwc", "state": "kept", "cpu_isa": "-avx512f"}),
    ("torch", {}),
    ("torch", {"compiler": "inductor", "freezing": True, "simdlen": 256}),
    ("torch", {"channels_last": True, "mkldnn": False, "deterministic": True, "grad_mode": "no_grad"}),
)
RUN = """
import runpy, sys
import numpy as np
script = runpy.run_path({script!r})
given = [dict(np.load(name)) for name in {given!r}]
for turn, session in ((0, 0), (1, 1), (0, 0)):
    answers = script["answer"](given[turn], session=session)
    np.savez(f"out-{{turn}}.npz", *answers)
    kept = [answer.copy() for answer in answers]
script["answer"](given[1], session=0)
assert all((a == b).all() for a, b in zip(answers, kept)), "a later call changed an answer"
print([name for name in {ours!r} if name in sys.modules])
"""


@pytest.mark.parametrize(("runtime", "given"), CASES, ids=str)
def test_a_snippet_answers_as_the_adapter_does(runtime: str, given: dict[str, Any], tmp_path: Path) -> None:
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    if "compiler" in given and shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler")
    model = convolutions(tmp_path / "model.onnx")
    (right,) = drive(runtime, model, [given], sessions=2)
    asked = request(runtime, model, given, tmp_path, {"sessions": 2})
    snippet = registry.get(runtime).snippet(asked)
    assert sum(line.startswith("MODEL = ") for line in snippet.python.splitlines()) == 1
    if runtime == "torch":
        export(model, asked)
    script = tmp_path / "snippet.py"
    script.write_text(snippet.python, "utf-8")
    files = []
    for turn in (0, 1):
        files.append(str(tmp_path / f"in-{turn}.npz"))
        np.savez(files[-1], **feeds(asked, turn))
    result = subprocess.run(
        [sys.executable, "-c", RUN.format(script=str(script), given=files, ours=OURS)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | dict(snippet.environment),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.splitlines()[-1] == "[]"
    for turn in (0, 1):
        with np.load(tmp_path / f"out-{turn}.npz") as found:
            answers = list(found.values())
        for answer, expected in zip(answers, right["answers"][turn], strict=True):
            assert np.abs(answer - np.array(expected)).max() < 1e-5


def export(model: Path, asked: Any) -> None:
    """As a user of PyTorch would save a module; this one is ours."""
    code = (
        "import torch; from pathlib import Path; from runtimes.onnx_torch import load_module; "
        f"module = load_module(Path({str(model)!r})).eval(); "
        f"inputs = tuple(torch.zeros(shape) for shape in {[item.shape for item in asked.inputs]!r}); "
        f"torch.export.save(torch.export.export(module, inputs), {str(model.with_suffix('.pt2'))!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=200)


def test_settings_are_those_of_the_vendor(tmp_path: Path) -> None:
    model = convolutions(tmp_path / "model.onnx")
    given = {"snippets_mode": "DISABLE", "onednn_max_cpu_isa": "AVX2"}
    snippet = registry.get("openvino").snippet(request("openvino", model, given, tmp_path, {"threads": 3}))
    assert snippet.settings["SNIPPETS_MODE"] == "DISABLE"
    assert snippet.settings["INFERENCE_NUM_THREADS"] == "3"
    assert snippet.environment == {"ONEDNN_MAX_CPU_ISA": "AVX2"}


def test_an_engine_without_a_snippet_says_so(tmp_path: Path) -> None:
    asked = request("fake", convolutions(tmp_path / "model.onnx"), {}, tmp_path, {})
    with pytest.raises(UnsupportedError, match="no snippet"):
        registry.get("fake").snippet(asked)
