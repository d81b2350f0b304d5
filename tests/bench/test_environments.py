"""Versions side by side: an environment of its own for each, whole or made again, and a sentence where there is none.

What a user would lose: a comparison of two versions that measured one of them twice, or something else altogether.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Cli, cells

from bench import campaign
from bench.environments import NOTE, Environments, cached
from bench.errors import UserError
from bench.installers import UNREACHABLE, Complaint, Pip, Wanted, choose, complaint, newest
from bench.version_needs import attempts, extra_of, ours, too_new, with_old_numpy
from results.runfile import RunFile
from runtimes import registry
from runtimes.errors import UnavailableError
from runtimes.options import Option

WANTED = Wanted("onnxruntime", "", "9.9.9", ("numpy==2.4.6",), (), ("numpy", "onnxruntime"))
# Puts packages into an environment without asking anybody: each is a folder that can be imported, and its metadata.
WRITE = """
import pathlib, sys, time
folder, borrowed, wait, *packages = sys.argv[1:]
(site,) = pathlib.Path(folder).glob("lib/python*/site-packages")
pathlib.Path(folder, "begun").touch()
time.sleep(float(wait))
(site / "borrowed.pth").write_text(borrowed)
for package in packages:
    name, version, code = package.split("|")
    facts = site / f"{name}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    if code:
        (facts / "RECORD").write_text(f"{name}/__init__.py,,\\n")
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(code)
"""
LIBRARY = "def set_default_logger_severity(level): pass"


class Writer:
    """An installer that writes small packages, or fails as it is told."""

    name = "writer 1"

    def __init__(self, *, wait_s: float = 0.0, code: str = LIBRARY, refuses: str = "", says: str = "") -> None:
        self.asked: list[tuple[str, ...]] = []
        self._wait_s, self._code, self._refuses, self._says = wait_s, code, refuses, says

    def __call__(self, by_pip: bool) -> Writer:  # noqa: FBT001  # as the real choice is called
        return self

    def create(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "venv", "--without-pip", str(folder)]

    def install(self, python: Path, wanted: Wanted, constraints: Path) -> list[str]:
        self.asked.append(wanted.requirements)
        if self._refuses and any(self._refuses in line for line in wanted.requirements):
            return [sys.executable, "-c", f"print({self._says!r}); raise SystemExit(1)"]
        versions = dict(line.split("==") for line in wanted.requirements if "==" in line)
        numpy = versions.get("numpy", "1.26.4")
        packages = [f"onnxruntime|{wanted.version}|{self._code}", f"numpy|{numpy}|", f"onnx|{ours()['onnx']}|"]
        # The real NumPy and onnx are ours; this environment's own packages come first.
        borrowed = sysconfig.get_path("purelib")
        return [sys.executable, "-c", WRITE, str(python.parent.parent), borrowed, str(self._wait_s), *packages]

    def newest(self, python: Path, distribution: str) -> list[str]:
        return [sys.executable, "-c", f"print(' + {distribution}==1.32.0')"]


def refusal(environments: Environments, runtime: str) -> str:
    with pytest.raises(UnavailableError) as caught:
        environments.get(runtime)
    return str(caught.value)


def test_two_versions_in_one_run_from_a_clean_cache(tmp_path: Path, cli: Cli) -> None:
    # The one test with a real index and real wheels.
    clean = {"RTFLOOR_CACHE": str(tmp_path / "cache")}
    flags = ("--model", "null", "--threads", "1", "--profile", "smoke", "--no-floor", "--json")
    versions = {"ort-cpu@1.24.4": "1.24.4", "ort-cpu@1.31.1": "1.31.1"}
    result = cli("run", *flags, "--runtime", ",".join(versions), env=clean)
    found = {cell["runtime"]: cell for cell in cells(result).values()}
    if any("cannot be reached" in (cell["reason"] or "") for cell in found.values()):
        pytest.skip("no index of packages can be reached from here")
    assert result.returncode == 0, result.stderr
    assert {name: (cell["status"], cell["version"]) for name, cell in found.items()} == {
        name: ("ok", version) for name, version in versions.items()
    }
    with RunFile.read(tmp_path / json.loads(result.stdout)["run"]) as run:
        facts = run.facts()["environments"]
        order = [(record.round, record.cell) for record in run.records()]
    assert {name: kept["packages"]["onnxruntime"] for name, kept in facts.items()} == versions
    for kept in facts.values():
        # The runtime alone differs.
        assert {name: kept["packages"][name] for name in ours()} == ours()
    assert sorted(number for number, _ in order) == [0, 0, 1, 1, 2, 2]
    again = cli("run", "--resume", "latest", "--json", env=clean)
    assert again.returncode == 0, again.stderr
    assert "installing" not in again.stderr


def test_a_second_run_finds_what_the_first_made(tmp_path: Path) -> None:
    writer, said = Writer(), list[str]()
    first = Environments(tmp_path, said.append, writer)
    made = first.get("ort-cpu@1.24.4")
    first.close()
    second = Environments(tmp_path, said.append, writer)
    found = second.get("ort-cpu@1.24.4")
    second.close()
    assert said == ["installing onnxruntime 1.24.4 into an environment of its own"]
    assert (found.probe.available, found.probe.version) == (True, "1.24.4")
    assert found.facts == made.facts
    assert made.facts["packages"] == {"numpy": ours()["numpy"], "onnx": ours()["onnx"], "onnxruntime": "1.24.4"}
    assert second.worker("ort-cpu@1.24.4") == {"python": str(found.python), "root": str(ROOT)}
    assert second.worker("ort-cpu") == {}
    assert [one["name"] for one in cached(tmp_path)] == [found.folder.name]


@pytest.mark.parametrize("harm", ["torn", "gone", "added", "no interpreter"])
def test_one_that_is_not_whole_is_made_again(tmp_path: Path, harm: str) -> None:
    writer = Writer()
    environments = Environments(tmp_path, lambda _: None, writer)
    made = environments.get("ort-cpu@1.24.4")
    environments.close()
    if harm == "torn":
        (made.folder / NOTE).write_text('{"python": "3.1')
    elif harm == "gone":
        (made.folder / NOTE).unlink()
    elif harm == "added":
        (site,) = made.folder.glob("lib/python*/site-packages")
        (site / "other-2.dist-info").mkdir()
        (site / "other-2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2\n")
    else:
        made.python.unlink()
    again = Environments(tmp_path, lambda _: None, writer)
    assert again.get("ort-cpu@1.24.4").facts["packages"] == made.facts["packages"]
    again.close()
    assert len(writer.asked) == 2


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    writer, found = Writer(wait_s=0.3), list[str]()

    def ask() -> None:
        environments = Environments(tmp_path, lambda _: None, writer)
        found.append(str(environments.get("ort-cpu@1.24.4").probe.version))
        environments.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["1.24.4", "1.24.4"]
    assert len(writer.asked) == 1


def test_one_that_was_killed_half_way_is_made_again_once_its_installer_is_gone(tmp_path: Path) -> None:
    # The installer outlives rtfloor, and would go on writing into what somebody else has begun anew.
    code = (
        "import sys; from pathlib import Path; from test_environments import Writer\n"
        "from bench.environments import Environments\n"
        "Environments(Path(sys.argv[1]), print, Writer(wait_s=1.5)).get('ort-cpu@1.24.4')\n"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "bench")])
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths})
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/begun")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said: list[str] = []
    environments = Environments(tmp_path, said.append, Writer())
    found = environments.get("ort-cpu@1.24.4")
    environments.close()
    assert "waiting for another rtfloor" in said[0]
    assert found.probe.version == "1.24.4"
    assert json.loads((found.folder / NOTE).read_text())["packages"] == found.facts["packages"]


UV = (
    "error: No solution found when resolving dependencies\n"
    "  cause: Because there is no version of onnxruntime==9.9.9 and you require onnxruntime==9.9.9, we can conclude "
    "that your requirements are unsatisfiable.\n"
)
UV_BOX = (
    "  × No solution found when resolving dependencies:\n"
    "  ╰─▶ Because there is no version of onnxruntime==9.9.9 and you require\n"
    "      onnxruntime==9.9.9, we can conclude that your requirements are\n"
    "      unsatisfiable.\n"
)
UV_WHEEL = (
    "error: No solution found when resolving dependencies\n"
    "  cause: Because onnxruntime==9.9.9 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require "
    "onnxruntime==9.9.9, we can conclude that your requirements are unsatisfiable.\n\n"
    "hint: You require CPython 3.11 (`cp311`), but we only found wheels for `onnxruntime` (v9.9.9)\n"
)
UV_BESIDE = (
    "  cause: Because onnxruntime==9.9.9 depends on numpy<2 and you require onnxruntime==9.9.9, we can conclude that "
    "you require numpy<2. And because you require numpy==2.4.6, we can conclude that your requirements are "
    "unsatisfiable."
)
UV_OFFLINE = (
    "error: Request failed after 3 retries in 5.3s\n"
    "  cause: Failed to fetch: https://pypi.org/simple/onnxruntime/\n"
    "  cause: tcp connect error\n  cause: Connection refused (os error 111)\n"
)
PIP = (
    "ERROR: Could not find a version that satisfies the requirement onnxruntime==9.9.9 "
    "(from versions: 1.30.0, 1.31.0.dev20260417008, 1.31.1, 1.32.0rc1)\n"
    "ERROR: No matching distribution found for onnxruntime==9.9.9\n"
)
PIP_NUMPY = PIP.replace("onnxruntime==9.9.9", "numpy==2.4.6")


@pytest.mark.parametrize(
    ("said", "reason", "after", "final"),
    [
        (UV, "there is no version of onnxruntime==9.9.9", "", True),
        (UV_BOX, "there is no version of onnxruntime==9.9.9", "", True),
        (UV_WHEEL, "onnxruntime==9.9.9 has no wheels with a matching Python ABI tag (e.g., `cp311`)", "", True),
        (UV_BESIDE, "onnxruntime==9.9.9 depends on numpy<2", "", False),
        (UV_OFFLINE, "(Connection refused (os error 111))", "with a network", True),
        (PIP, "pip finds no onnxruntime==9.9.9 that fits Python 3.", "the newest that do are 1.30.0, 1.31.1", True),
        (PIP_NUMPY, "pip finds no numpy==2.4.6", "", False),
        ("error: No space left on device (os error 28)\n", "No space left on device", "RTFLOOR_CACHE", True),
        ("what?\nhint: none\n", "what?", "", False),
        ("", "the installer did not say why", "", False),
    ],
)
def test_what_an_installer_says_becomes_one_line(*, said: str, reason: str, after: str, final: bool) -> None:
    found = complaint(said, WANTED)
    assert reason in found.reason
    assert "\n" not in found.reason
    assert after in found.next
    assert found.final == final


def test_one_that_does_not_exist_is_a_sentence_with_what_does(tmp_path: Path) -> None:
    writer = Writer(refuses="onnxruntime", says=UV)
    environments = Environments(tmp_path, lambda _: None, writer)
    text = refusal(environments, "ort-cpu@9.9.9")
    assert text.startswith("onnxruntime 9.9.9 cannot be installed: there is no version of onnxruntime==9.9.9; ")
    assert text.endswith("this machine is 1.32.0")
    # Other packages beside it would change nothing, and a second cell asks nobody again.
    assert refusal(environments, "ort-cpu@9.9.9") == text
    assert len(writer.asked) == 1
    assert environments.facts == {}
    assert not cached(tmp_path)
    # Nothing half-made is left to take up room, but for what the installer said.
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    (log,) = tmp_path.glob("*.log")
    assert UV.splitlines()[0] in log.read_text()


def test_another_numpy_is_taken_where_ours_cannot_be_had_and_said_so(tmp_path: Path) -> None:
    environments = Environments(tmp_path, lambda _: None, Writer(refuses="numpy==", says=UV_BESIDE))
    facts = environments.get("ort-cpu@1.24.4").facts
    environments.close()
    assert facts["packages"]["numpy"] == "1.26.4"
    [warning] = facts["warnings"]
    assert warning == (
        f"ort-cpu@1.24.4 is measured with numpy 1.26.4, where rtfloor itself uses {ours()['numpy']}: "
        "no other can be installed beside it"
    )


@pytest.mark.parametrize("mends", [True, False])
def test_a_wheel_from_before_numpy_2_gets_an_older_one(tmp_path: Path, *, mends: bool) -> None:
    # Its metadata allows NumPy 2, and its import fails.
    old = "'numpy-1' in str(list(__import__('pathlib').Path(__file__).parent.parent.glob('numpy-*')))"
    code = f"if not ({mends} and {old}): raise ImportError('compiled for another NumPy')\n{LIBRARY}"
    writer = Writer(code=code)
    environments = Environments(tmp_path, lambda _: None, writer)
    if mends:
        [warning] = environments.get("ort-cpu@1.17.0").facts["warnings"]
        assert "numpy 1.26.4" in warning
        assert warning.endswith("it cannot be imported with NumPy 2")
    else:
        text = refusal(environments, "ort-cpu@1.17.0")
        assert "onnxruntime 1.17.0 can be installed, but not imported (ImportError: compiled for another NumPy)" in text
        assert not cached(tmp_path)
    environments.close()
    assert ["numpy<2" in line or "numpy>=1.26,<2" in line for line in writer.asked[-1]].count(True) == 1


def test_a_copy_on_pythonpath_is_not_measured_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = Environments(tmp_path / "cache", lambda _: None, Writer())
    environments.get("ort-cpu@1.24.4")
    environments.close()
    elsewhere = tmp_path / "elsewhere" / "onnxruntime"
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(elsewhere.parent))
    again = Environments(tmp_path / "cache", lambda _: None, Writer())
    text = refusal(again, "ort-cpu@1.24.4")
    again.close()
    assert str(elsewhere) in text
    assert "PYTHONPATH" in text


def test_an_installed_rtfloor_is_taken_without_the_packages_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Workers of another environment would import the runtime that is installed beside rtfloor.
    installed = tmp_path / "site-packages"
    (installed / "rtfloor-1.dist-info").mkdir(parents=True)
    for package in ("bench", "models", "reports", "results", "runtimes"):
        (installed / package).symlink_to(ROOT / package)
    (installed / "onnxruntime").mkdir()
    (installed / "onnxruntime" / "__init__.py").write_text("raise ImportError('not mine')")
    monkeypatch.setattr("bench.environments.ROOT", installed)
    environments = Environments(tmp_path / "cache", lambda _: None, Writer())
    assert environments.get("ort-cpu@1.24.4").probe.version == "1.24.4"
    root = Path(environments.worker("ort-cpu@1.24.4")["root"])
    environments.close()
    assert sorted(path.name for path in root.iterdir()) == ["bench", "models", "reports", "results", "runtimes"]


def test_what_has_no_versions_says_so_and_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", list)
    monkeypatch.setattr(registry, "_third_party", lambda: {"mine": lambda: type(registry.get("fake"))})
    writer = Writer()
    environments = Environments(tmp_path, lambda _: None, writer)
    assert "part of rtfloor and has no versions" in refusal(environments, "fake@1.0")
    assert "leave out @2.0" in refusal(environments, "mine@2.0")
    # Gigabytes that nothing here could use.
    assert "no NVIDIA GPU" in refusal(environments, "ort-cuda@1.30.0")
    assert writer.asked == []


def test_what_is_asked_for_first_is_what_we_have_ourselves() -> None:
    adapter = registry.get("tvm")
    asked = attempts(adapter, "0.27.0.post1", extra_of("tvm@0.27.0.post1"))
    assert asked[0].requirements == ("apache-tvm==0.27.0.post1", *(f"{name}=={here}" for name, here in ours().items()))
    # 0.1.15 crashes while it saves a tuned module: it is taken only where nothing else can be had.
    assert [bool(one.constraints) for one in asked] == [True, True, False, False]
    assert asked[0].constraints == ("apache-tvm-ffi==0.1.14.post1",)
    assert [one.requirements[1].startswith("numpy==") for one in asked] == [True, False, True, False]
    assert with_old_numpy(adapter, "0.18", extra_of("tvm")).requirements[1].endswith("<2")
    assert len(attempts(registry.get("ort-cpu"), "1.24.4", extra_of("ort-cpu"))) == 2


def test_torch_is_left_to_pip_and_everything_else_to_uv_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose(by_pip=extra_of("torch@2.13.0").by_pip), Pip)
    assert not extra_of("ort-cpu@1.24.4").by_pip
    monkeypatch.setattr("bench.installers._uv", lambda: None)
    assert choose(by_pip=False).name == "pip"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install uv"):
        choose(by_pip=False)


def test_the_newest_is_read_off_a_dry_run() -> None:
    assert newest("Would install 1 package\n + onnxruntime==1.32.0\n", "onnxruntime") == "1.32.0"
    assert newest("Would make no changes\n", "onnxruntime") == ""
    assert Complaint("x").next == ""
    assert all(sign == sign.lower() for sign in UNREACHABLE)


@pytest.mark.parametrize(
    ("version", "since", "refused"),
    [
        ("1.20.1", "1.22", True),
        ("1.9.0", "1.22", True),
        ("1.22", "1.22.0", False),
        ("1.22.0rc1", "1.22", False),
        ("1.22.0.dev20250101", "1.22", False),
        ("2.13.0+cpu", "2.6", False),
        ("0.27.0.post1", "0.27", False),
        ("2025.4.1", "2026.0", True),
        (None, "1.22", False),
    ],
)
def test_an_option_that_a_version_does_not_have_is_refused(*, version: str | None, since: str, refused: bool) -> None:
    class Aged(type(registry.get("fake"))):  # type: ignore[misc]  # a class that is looked up by name
        options = (Option("shiny", False, "new", since=since),)
        distributions = ("aged",)

    said = too_new(Aged(), {"shiny": True}, ("shiny",), version)
    assert said == (
        f"shiny=true needs aged {since} or newer; {version} would take it without a word" if refused else ""
    )
    # At its default it is not spoken of at all.
    assert too_new(Aged(), {"shiny": False}, (), version) == ""


def test_a_run_is_not_gone_on_with_beside_other_packages() -> None:
    before: dict[str, Any] = {"ort-cpu@1.24.4": {"python": "3.11.7", "packages": {"numpy": "2.4.6", "onnx": "1.19"}}}
    campaign._check_environments(Path("run"), before, before)
    # A version that could not be measured then, or cannot be now, is no difference.
    campaign._check_environments(Path("run"), before, {})
    campaign._check_environments(Path("run"), {}, before)
    now = {"ort-cpu@1.24.4": {"python": "3.11.7", "packages": {"numpy": "2.5.0", "protobuf": "7"}}}
    with pytest.raises(UserError) as caught:
        campaign._check_environments(Path("run"), before, now)
    for words in ("ort-cpu@1.24.4", "numpy 2.4.6 → 2.5.0", "onnx 1.19 → is gone", "protobuf was not there → 7"):
        assert words in str(caught.value)
