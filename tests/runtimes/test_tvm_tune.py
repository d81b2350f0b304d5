"""Tuning with MetaSchedule: found again, gone on with after a kill, never done twice, and gone when its worker is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from support import ROOT
from tiny_tvm import ask, feeds, pasted

from runtimes.errors import UnavailableError
from runtimes.tvm_database import RECORDS, STATE, WORKLOADS, Records, Sittings
from runtimes.tvm_rt import TvmCpu
from runtimes.tvm_tune import MODULES, _environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimes.base import Request

LACKING = [name for name in ("tvm", *MODULES) if find_spec(name) is None]
tunes = pytest.mark.skipif(bool(LACKING), reason=f"{', '.join(LACKING)} not installed: extra tvm-tune")

# A search of the usual size takes seconds for every trial.
SMALL = {"population_size": 16, "init_min_unmeasured": 4, "genetic_num_iters": 1}
# Intrinsics of GPUs: every tuning process parses them, which takes 12 s.
UNUSED = "tvm.s_tir.tensor_intrin.cuda"
BUILD = f"""
import sys
from pathlib import Path
from tiny_tvm import ask
from types import ModuleType
from runtimes import tvm_tune
from runtimes.tvm_rt import TvmCpu

sys.modules[{UNUSED!r}] = ModuleType({UNUSED!r})
tvm_tune.SEARCH = {SMALL}
TvmCpu().build(ask(Path(sys.argv[1]), trials=int(sys.argv[2])))
"""


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtimes.tvm_tune.SEARCH", SMALL)
        patch.setitem(sys.modules, UNUSED, ModuleType(UNUSED))
        yield


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder in which three trials were made, and the facts of it."""
    folder = tmp_path_factory.mktemp("tuned")
    return folder, TvmCpu().build(ask(folder, trials=3))


@pytest.fixture
def copy(tuned: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """The same in a folder of the test's own, without its library."""
    shutil.copytree(tuned[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "cache" / tuned[1]["artefact"]).unlink()
    return tmp_path


def lines(folder: Path, facts: dict[str, Any]) -> list[bytes]:
    return (folder / "cache" / facts["tuning"]["records"] / RECORDS).read_bytes().splitlines(keepends=True)


@tunes
def test_a_tuned_library_is_found_again(tuned: tuple[Path, dict[str, Any]]) -> None:
    # Otherwise every run would tune again, for half an hour.
    folder, facts = tuned
    before = lines(folder, facts)
    assert TvmCpu().build(ask(folder, trials=3)) == {"cached": True, **facts}
    assert lines(folder, facts) == before
    assert {**facts["tuning"], "spent_s": 0, "records": ""} == {
        "trials": 3,
        "records": "",
        "on_record": 3,
        "tasks": 1,
        "spent_s": 0,
        "resumed": False,
        "seeded": 0,
    }
    assert facts["tuning"]["spent_s"] > 0
    assert '"num-cores":1' in facts["target"]


@tunes
def test_tuned_code_answers_right_and_says_that_it_is_tuned(tuned: tuple[Path, dict[str, Any]]) -> None:
    request = ask(tuned[0], trials=3)
    (session,) = TvmCpu().load(request)
    want = ReferenceEvaluator(str(request.model)).run(None, feeds())[0]
    np.testing.assert_allclose(session.run(feeds())[0], want, atol=1e-5)
    details = session.facts().details
    assert (details["tuned"], details["trials"]) == (True, 3)
    snippet = TvmCpu().snippet(request)
    np.testing.assert_array_equal(pasted(snippet.python, snippet.environment, tuned[0]), session.run(feeds())[0])
    assert snippet.settings["tune_tasks.max_trials_global"] == "3"


@tunes
def test_a_torn_record_is_dropped_and_its_trial_made_again(
    copy: Path, tuned: tuple[Path, dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    # A worker that was killed while it wrote left a line that made every later tuning fail.
    facts = tuned[1]
    folder = copy / "cache" / facts["tuning"]["records"]
    first, second, third = lines(copy, facts)
    (folder / RECORDS).write_bytes(first + second + third[:40])
    again = TvmCpu().build(ask(copy, trials=3))
    assert lines(copy, facts)[:2] == [first, second]
    assert len(lines(copy, facts)) == again["tuning"]["on_record"] == 3
    assert again["tuning"]["resumed"]
    assert again["tuning"]["spent_s"] > facts["tuning"]["spent_s"]
    # The vendor's log is kept beside the records, and does not flood what a worker says.
    assert capfd.readouterr().out == ""


@tunes
def test_tables_that_cannot_be_read_are_made_anew(copy: Path, tuned: tuple[Path, dict[str, Any]]) -> None:
    folder = copy / "cache" / tuned[1]["tuning"]["records"]
    (folder / WORKLOADS).write_text('["1", "bm9uc2Vuc2U="]\n')
    assert TvmCpu().build(ask(copy, trials=3))["tuning"]["on_record"] == 3


@tunes
def test_more_trials_begin_with_what_fewer_have_found(copy: Path, tuned: tuple[Path, dict[str, Any]]) -> None:
    facts = TvmCpu().build(ask(copy, trials=4))["tuning"]
    assert (facts["seeded"], facts["on_record"]) == (3, 4)
    assert facts["spent_s"] > tuned[1]["tuning"]["spent_s"]


@tunes
def test_a_kill_leaves_no_process_and_loses_no_record(tmp_path: Path) -> None:
    # Otherwise a stopped run would go on loading the machine, and its next sitting begin from nothing.
    request = ask(tmp_path, trials=5)
    records = Records(TvmCpu()._records(request))
    mark = f"RTFLOOR_TEST_MARK={tmp_path.name}-{os.getpid()}"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    worker = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(tmp_path), "5"],
        env={**os.environ, "PYTHONPATH": paths, **dict([mark.split("=")])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: (records.count() >= 2 and len(list(marked(mark))) > 1) or worker.poll() is not None, 60)
        assert worker.poll() is None, "it was over before it could be killed"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    wait_until(lambda: not list(marked(mark)), 5)
    assert list(marked(mark)) == []
    records.open()
    before = (records.folder / RECORDS).read_bytes()
    known = records.count()
    facts = TvmCpu().build(request)["tuning"]
    assert (records.folder / RECORDS).read_bytes().startswith(before)
    assert 2 <= known < 5
    assert (facts["on_record"], facts["resumed"]) == (5, True)


def wait_until(true: Any, most_s: float) -> None:
    end = time.monotonic() + most_s
    while not true() and time.monotonic() < end:
        time.sleep(0.05)


def marked(mark: str) -> Iterator[int]:
    """Processes with this variable in their environment, those that only wait to be buried left out."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            alive = path.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if alive and mark.encode() in path.joinpath("environ").read_bytes().split(b"\0"):
                yield int(path.name)
        except OSError:
            continue


def test_without_the_packages_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tvm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "xgboost" else True)
    with pytest.raises(UnavailableError, match=r"xgboost is not installed; pip install 'rtfloor\[tvm-tune\]'"):
        TvmCpu().build(ask(tmp_path, trials=3))
    assert list((tmp_path / "cache").iterdir()) == []
    TvmCpu().build(ask(tmp_path))  # what is not tuned needs none of them


def test_tuned_code_belongs_to_a_number_of_threads(tmp_path: Path) -> None:
    pytest.importorskip("tvm")
    # Its loops are cut for so many: code for another number would be measured under its name.
    runtime = TvmCpu()

    def names(request: Request) -> tuple[Path, Path]:
        return runtime._artefact(request), runtime._records(request)

    tuned, plain = ask(tmp_path, trials=3), ask(tmp_path)
    assert not set(names(tuned)) & set(names(replace(tuned, threads=2)))
    assert runtime._artefact(plain) == runtime._artefact(replace(plain, threads=2))
    # A name for the processor, so that a user who asks for trials alone gets code for this one.
    assert "-generic-" in runtime._artefact(plain).name
    assert "-host-" in runtime._artefact(tuned).name


def test_candidates_are_timed_with_the_threads_of_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVM_NUM_THREADS", "7")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with _environment(replace(ask(tmp_path, trials=3), threads=2), tmp_path):
        assert (os.environ["TVM_NUM_THREADS"], os.environ["PYTHONSAFEPATH"]) == ("2", "1")
    assert os.environ["TVM_NUM_THREADS"] == "7"
    assert "PYTHONSAFEPATH" not in os.environ


def fill(folder: Path, workloads: int, records: list[str], **state: Any) -> Records:
    folder.mkdir()
    (folder / WORKLOADS).write_text("".join(f'["{number}","e30="]\n' for number in range(workloads)))
    (folder / RECORDS).write_text("".join(records))
    made = Records(folder)
    made.note(Sittings(**state))
    return made


def test_records_come_from_the_largest_smaller_tuning_that_is_finished(tmp_path: Path) -> None:
    # More trials may know what fewer found; fewer that knew what more found would be a lie about their number.
    fill(tmp_path / "q-8", 1, ["[0,[1]]\n"] * 8, finished=True, spent_s=5.0)
    fill(tmp_path / "q-16", 1, ["[0,[2]]\n"] * 16, finished=True, spent_s=9.0)
    fill(tmp_path / "q-20", 1, ["[0,[3]]\n"] * 3)
    fill(tmp_path / "q-99", 1, ["[0,[4]]\n"] * 99, finished=True)
    fill(tmp_path / "other-12", 1, ["[0,[5]]\n"] * 12, finished=True)
    (tmp_path / "q-lock").write_text("")
    larger, least = Records(tmp_path / "q-64"), Records(tmp_path / "q-4")
    assert larger.open() == Sittings(spent_s=9.0, seeded=16)
    assert larger.count() == 16
    assert least.open() == Sittings()
    assert least.count() == 0
    assert not list(tmp_path.glob("unfinished-*"))


@pytest.mark.parametrize(
    ("tail", "kept"),
    [("[0,[1", 2), ("[0,[1]]", 2), ("[7,[1]]\n", 2), ("\x00\x00\n", 2), ("[0,[1]]\n", 3), ('{"a":1}\n[0,[1]]\n', 3)],
)
def test_whatever_a_kill_left_is_dropped(tmp_path: Path, tail: str, kept: int) -> None:
    records = fill(tmp_path / "q-8", 1, ["[0,[1]]\n", "[0,[2]]\n", tail], sittings=1)
    assert records.open() == Sittings(sittings=1)
    assert records.count() == kept
    assert (records.folder / RECORDS).read_bytes().endswith(b"\n")


def test_records_of_a_torn_workload_are_dropped(tmp_path: Path) -> None:
    # They tell it by the number of its line: kept, they would speak of another one.
    records = fill(tmp_path / "q-8", 1, ["[0,[1]]\n", "[1,[2]]\n"])
    with (records.folder / WORKLOADS).open("a") as table:
        table.write('["1","e3')
    (records.folder / STATE).write_text("{tor")
    assert records.open() == Sittings()
    assert (records.folder / RECORDS).read_text() == "[0,[1]]\n"
