"""The script that is to be pasted into an application: it answers as what was measured, to the bit.

What a user would lose: the time that was promised, because the application's sessions are others.
"""

from __future__ import annotations

import ast
import os
import pickle
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_ort import feeds, float_model, request
from support import ROOT

from runtimes.errors import UnsupportedError
from runtimes.ort import OrtCpu
from runtimes.ort_cuda import OrtCuda

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("onnxruntime")
CPUS = len(os.sched_getaffinity(0))
# Runs a script as it stands, then asks each of its sessions.
ASK = """
import numpy, sys
exec(compile(open(sys.argv[1]).read(), "snippet", "exec"))
given = dict(numpy.load(sys.argv[2]))
answers = [answer(given, session=number) for number in range(int(sys.argv[4]))]
numpy.savez(sys.argv[3], *[array for got in answers for array in got])
print(sorted(name for name in sys.modules if name.split(".")[0] in ("runtimes", "bench", "models")))
"""
# The same through the adapter.
MEASURE = """
import numpy, pickle, sys
from runtimes.ort import OrtCpu
request = pickle.load(open(sys.argv[1], "rb"))
adapter = OrtCpu()
adapter.start()
sessions = adapter.load(request)
given = dict(numpy.load(sys.argv[2]))
numpy.savez(sys.argv[3], *[array for session in sessions for array in session.run(given)])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return float_model(tmp_path_factory.mktemp("snippet") / 'a model\'s "net".onnx')


SETS: list[tuple[int, int, dict[str, Any]]] = [
    (1, 1, {}),
    (1, 2, {"graph_optimization_level": "extended", "enable_mem_reuse": False, "allow_spinning": False}),
    (2, 2, {"use_per_session_threads": False, "execution_mode": "parallel"}),
    (2, 1, {"execution_mode": "parallel", "inter_op_num_threads": 2, "execution_order": "priority_based"}),
    (1, 2, {"env_allocators": "as_requested", "enable_memory_arena_shrinkage": True}),
    (1, 1, {"model_format": "ort", "use_memory_mapped_ort_model": True}),
    (1, 2, {"model_format": "optimised", "enable_gelu_approximation": True, "nchwc_fss_target": 4}),
]
PINNED = (2, 1, {"pin_threads": True, "spin_duration_us": 50, "disable_specified_optimizers": "NchwcTransformer"})
SETS += [PINNED] if CPUS > 1 else []


@pytest.mark.parametrize(("threads", "sessions", "options"), SETS, ids=str)
def test_a_snippet_answers_as_what_was_measured(
    model: Path, tmp_path: Path, threads: int, sessions: int, options: dict[str, Any]
) -> None:
    asked = request(model, tmp_path / "cache", threads, sessions, **options)
    snippet = OrtCpu().snippet(asked)
    assert snippet.environment == OrtCpu().environment(asked)
    np.savez(tmp_path / "feeds.npz", **feeds(asked))
    (tmp_path / "snippet.py").write_text(snippet.python, "utf-8")
    (tmp_path / "request").write_bytes(pickle.dumps(asked))
    variables = {**os.environ, **snippet.environment}
    said = _python(ASK, tmp_path, "snippet.py", "pasted.npz", str(sessions), env={**variables, "PYTHONPATH": ""})
    assert said == "[]\n"
    _python(MEASURE, tmp_path, "request", "measured.npz", env={**variables, "PYTHONPATH": str(ROOT)})
    pasted, measured = (np.load(tmp_path / f"{name}.npz") for name in ("pasted", "measured"))
    assert len(measured.files) == sessions
    for name in measured.files:
        assert np.array_equal(pasted[name], measured[name])


@pytest.mark.parametrize(("threads", "sessions", "options"), SETS, ids=str)
def test_a_snippet_says_what_was_changed_and_nothing_else(
    model: Path, tmp_path: Path, threads: int, sessions: int, options: dict[str, Any]
) -> None:
    asked = request(model, tmp_path / "cache", threads, sessions, **options)
    snippet = OrtCpu().snippet(asked)
    told = {*snippet.settings, *snippet.environment}
    for option in OrtCpu.options:
        changed = asked.options[option.name] != option.default
        # Threads are always said, and one key belongs to two options.
        if option.settings and not option.name.startswith(("intra_op_num", "inter_op")):
            assert changed == bool(told & set(option.settings)), option.name
    assert max(map(len, snippet.python.splitlines())) <= 120 + len(str(model))
    imported = {
        name.name for node in ast.walk(ast.parse(snippet.python)) if isinstance(node, ast.Import) for name in node.names
    }
    assert imported <= {"os", "onnxruntime"}


def test_the_path_is_on_a_line_of_its_own(model: Path, tmp_path: Path) -> None:
    python = OrtCpu().snippet(request(model, tmp_path / "cache")).python
    (line,) = re.findall(r"^MODEL = (.*)$", python, re.MULTILINE)
    assert ast.literal_eval(line) == str(model)


def test_the_default_is_short(model: Path, tmp_path: Path) -> None:
    # Threads are always said: without them the library takes every core.
    snippet = OrtCpu().snippet(request(model, tmp_path / "cache", 3))
    assert snippet.settings == {"SessionOptions.intra_op_num_threads": "3"}
    assert len(snippet.python.splitlines()) < 20


def test_a_gpu_has_none_yet(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="there is no snippet for it"):
        OrtCuda().snippet(request(model, tmp_path / "cache"))


def _python(code: str, folder: Path, first: str, out: str, *more: str, env: dict[str, str]) -> str:
    paths = [str(folder / name) for name in (first, "feeds.npz", out)]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *paths, *more],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
