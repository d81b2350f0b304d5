"""A user's own metric: their mistakes must come back as sentences, and their limits must hold."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support import ROOT

from models.errors import ModelError
from models.metric import MetricSpec, judge, measure, parse_metric

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = [[[np.array([3.0, 4.0]), np.array(1.0)]] * 3, [[np.array([0.0, 1.0]), np.array(2.0)]] * 3]
NAMES = ["y", "gain"]


def value(folder: Path, body: str, text: str = "mine") -> float:
    file = folder / "own.py"
    file.write_text(body)
    return measure(parse_metric(f"{file}:{text}"), ANSWERS, ANSWERS, NAMES)


def test_the_function_gets_every_call_by_name(tmp_path: Path) -> None:
    body = """
def mine(expected, got):
    assert len(expected) == len(got) == 6
    assert [sorted(call) for call in got] == [["gain", "y"]] * 6
    return sum(float(call["y"][-1]) for call in expected[:3]) + 100 * float(got[3]["gain"])
"""
    assert value(tmp_path, body) == 212.0


def test_a_function_in_place_changes_nothing(tmp_path: Path) -> None:
    body = "def mine(expected, got):\n    got[0]['y'] -= expected[0]['y']\n    return abs(got[0]['y']).max()\n"
    assert value(tmp_path, body) == 0
    assert ANSWERS[0][0][0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("text", "side", "limit"),
    [
        ("{}:esr", "", None),
        ("{}:esr<=0.01", "<=", 0.01),
        (" {}:esr >= -1e-3 ", ">=", -1e-3),
        ("{}:esr<= 5", "<=", 5.0),
    ],
)
def test_what_can_be_typed(tmp_path: Path, text: str, side: str, limit: float | None) -> None:
    file = tmp_path / "a b:c.py"
    file.touch()
    spec = parse_metric(text.format(file))
    assert spec == MetricSpec(str(file), "esr", side, limit)
    assert parse_metric(spec.text) == spec
    assert spec.name == "a b:c.py:esr"


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker may have another working folder.
    (tmp_path / "esr.py").touch()
    monkeypatch.chdir(tmp_path)
    assert parse_metric("esr.py:esr<=0.01").text == f"{tmp_path}/esr.py:esr<=0.01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("esr.py", "FILE.py:FUNCTION"),
        ("esr.py:", "FILE.py:FUNCTION"),
        ("esr.py:esr<0.1", "FILE.py:FUNCTION"),
        ("esr.py:esr<=", "FILE.py:FUNCTION"),
        ("esr.py:1st", "FILE.py:FUNCTION"),
        ("nowhere.py:esr", "there is no file .*nowhere.py; check the path"),
        ("not a module:esr", "neither a .py file nor a module's name"),
        ("json:dumps<=much", "the limit 'much' is no finite number"),
        ("json:dumps<=nan", "the limit 'nan' is no finite number"),
    ],
)
def test_what_cannot(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_metric(text)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x = 1", "there is no function 'mine' in .*own.py; it has no functions"),
        ("def theirs(a, b): ...\ndef other(a, b): ...", "its functions are other, theirs"),
        ("mine = 3", "there is no function 'mine'"),
        ("def mine(a, b)\n    pass", "cannot be loaded: SyntaxError: .* in line 1 of"),
        ("\n\n1 / 0", "cannot be loaded: ZeroDivisionError: division by zero in line 3 of .*own.py; correct it"),
        ("import not_installed_at_all", "ModuleNotFoundError: No module named 'not_installed_at_all' in line 1"),
        ("import sys\nsys.exit(3)", "cannot be loaded: SystemExit: 3"),
        ("def mine(a): ...", "raised TypeError: mine.* takes 1 positional argument"),
        ("def mine(a, b):\n    return a[0]['z']", "raised KeyError: 'z' in line 2 of .*own.py; correct the function"),
        ("import sys\ndef mine(a, b):\n    sys.exit()", "raised SystemExit in line 3"),
        ("def mine(a, b):\n    print('esr 0.1')\n    return 0.1", "printed 'esr 0.1'; return the value"),
        ("def mine(a, b): ...", r"returned None \(NoneType\); it must return one finite number"),
        ("def mine(a, b): return float('nan')", "returned nan"),
        ("def mine(a, b): return float('-inf')", "returned -inf"),
        ("def mine(a, b): return True", "returned True"),
        ("def mine(a, b): return '0.1'", "returned '0.1'"),
        ("def mine(a, b): return 1j", "returned 1j"),
        ("def mine(a, b): return 10 ** 400", "returned 1000"),
        ("def mine(a, b): return a[0]['y']", r"returned array\(\[3., 4.\]\) \(ndarray\)"),
        ("import numpy\ndef mine(a, b): return numpy.bool_(True)", "it must return one finite number"),
    ],
)
def test_mistakes_come_back_as_sentences(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        value(tmp_path, body)
    assert str(caught.value).startswith("--metric own.py:mine")


@pytest.mark.parametrize("number", ["2", "2.0", "np.float32(2)", "np.int64(2)", "np.array(2.0)", "np.array([2])"])
def test_numbers_of_every_kind(tmp_path: Path, number: str) -> None:
    assert value(tmp_path, f"import numpy as np\ndef mine(a, b): return {number}") == 2.0


def test_what_loading_prints_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert value(tmp_path, "print('hello')\ndef mine(a, b): return 1") == 1
    assert capsys.readouterr().out == ""


def test_neighbours_and_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "its_neighbour_here.py").write_text("TWO = 2")
    body = """
from __future__ import annotations
from dataclasses import dataclass
from its_neighbour_here import TWO
@dataclass
class Pair:
    a: int
def mine(expected, got):
    return Pair(TWO).a
"""
    try:
        assert value(tmp_path, body) == 2
    finally:
        sys.path.remove(str(tmp_path))


def test_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "loudness.py").write_text("def calls(expected, got): return len(got)")
    (package / "broken.py").write_text("import not_installed_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    spec = parse_metric("their_package.loudness:calls>=1")
    assert spec.text == "their_package.loudness:calls>=1.0"
    assert measure(spec, ANSWERS, ANSWERS, NAMES) == 6
    with pytest.raises(ModelError, match=r"there is no module 'their_package\.no' here; install it"):
        measure(parse_metric("their_package.no:f"), ANSWERS, ANSWERS, NAMES)
    # The one that is missing is another one: its name helps, ours would not.
    with pytest.raises(ModelError, match="No module named 'not_installed_at_all'"):
        measure(parse_metric("their_package.broken:f"), ANSWERS, ANSWERS, NAMES)


def test_a_file_that_went_away(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.touch()
    spec = parse_metric(f"{file}:mine")
    file.unlink()
    with pytest.raises(ModelError, match="there is no file"):
        measure(spec, ANSWERS, ANSWERS, NAMES)


def test_limits_hold_on_both_sides() -> None:
    most, least = MetricSpec("/a/esr.py", "esr", "<=", 0.01), MetricSpec("pesq.tools", "pesq", ">=", 4.0)
    assert judge(0.01, most) is None
    assert judge(0.02, most) == "esr.py:esr is 0.02, above its limit 0.01, against the form raw"
    assert judge(4.0, least) is None
    assert judge(3.9, least) == "pesq.tools:pesq is 3.9, below its limit 4, against the form raw"
    assert judge(1e9, MetricSpec("/a/esr.py", "esr")) is None


def test_reading_the_text_loads_nothing_heavy() -> None:
    code = "import sys, models.metric; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    page = (ROOT / "docs/quality.md").read_text()
    match = re.search(r"```python\n(.*?def esr.*?)```", page, re.DOTALL)
    assert match is not None
    (tmp_path / "esr.py").write_text(match[1])
    spec = parse_metric(f"{tmp_path}/esr.py:esr<=0.01")
    names = re.findall(r'\["(\w+)"\]', match[1])
    x = np.array([[3.0, 4.0]])
    assert measure(spec, [[[x]]], [[[x * 1.2]]], names[:1]) == pytest.approx(0.04)
    assert judge(0.04, spec) is not None
