"""A run file holds minutes of somebody's machine: nothing committed may be lost, nothing foreign taken for it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import record, spec
from support import ROOT

from results.errors import RunFileError
from results.record import Record
from results.runfile import SCHEMA_VERSION, RunFile

FACTS: dict[str, Any] = {"status": "running", "seed": 7, "plan": {"title": "µ ‖ ×"}, "cpus": None}
CELLS = {"b": spec(runtime="b"), "a": spec(runtime="a")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "run.sqlite"


@pytest.fixture
def run(path: Path) -> Iterator[RunFile]:
    with RunFile.create(path, FACTS, CELLS) as opened:
        yield opened


def refused(path: Path, *words: str) -> None:
    """Both ways of opening say, in a sentence, which file and why; neither changes it."""
    before = path.read_bytes() if path.is_file() else None
    for opening in (RunFile.read, RunFile.resume):
        with pytest.raises(RunFileError) as caught:
            opening(path)
        for word in (str(path), *words):
            assert word in str(caught.value), str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def same(one: Record, other: Record) -> bool:
    plain = ("cell", "round", "status", "reason", "started_at", "facts", "warmup")
    arrays = (np.array_equal(getattr(one, key), getattr(other, key)) for key in ("wall_ns", "cpu_ns"))
    return all(getattr(one, key) == getattr(other, key) for key in plain) and all(arrays)


def test_what_was_written_is_what_is_read(path: Path) -> None:
    written = [
        record("a", 0, [1, 2, 3], warmup=1),
        record("b", 0, [2**62, 0, 1], notes=["é", None, True, 1.5]),
        Record("a", 1, "failed", "it crashed: “\x00”", "2026", {}),
    ]
    with RunFile.create(path, FACTS, CELLS) as run:
        for one in written:
            run.add(one)
    with RunFile.read(path) as run:
        assert run.facts() == FACTS
        assert list(run.cells()) == ["b", "a"]  # the plan's order, not the alphabet's
        assert run.cells() == CELLS
        read = list(run.records())
    assert all(same(one, other) for one, other in zip(written, read, strict=True))
    for one in read:
        assert one.wall_ns.dtype == one.cpu_ns.dtype == np.int64
    assert read[0].settled_ns.tolist() == [2, 3]
    assert read[2].wall_ns.size == 0


def test_samples_are_little_endian_in_the_file_as_documented(path: Path, run: RunFile) -> None:
    # Scripts read the table without us.
    big = Record("a", 0, "ok", "", "", {}, np.array([1, 258], ">i8"), np.array([3, 4], ">i8"))
    run.add(big)
    with sqlite3.connect(path) as database:
        ((wall, cpu),) = database.execute("SELECT wall_ns, cpu_ns FROM process").fetchall()
    assert wall == (1).to_bytes(8, "little") + (258).to_bytes(8, "little")
    assert cpu == (3).to_bytes(8, "little") + (4).to_bytes(8, "little")
    (back,) = run.records()
    assert back.wall_ns.tolist() == [1, 258]


def test_a_resumed_run_goes_on_where_it_was(path: Path) -> None:
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0))
    with RunFile.resume(path) as run:
        assert [one.round for one in run.records()] == [0]
        run.add(record("a", 1))
        run.set_fact("status", "finished")
        run.set_fact("ended_by", "time")
        run.set_cell("b", "unavailable", "not installed")
    with RunFile.read(path) as run:
        assert [one.round for one in run.records()] == [0, 1]
        assert run.facts() == {**FACTS, "status": "finished", "ended_by": "time"}
        assert run.cells()["b"]["status"] == "unavailable"
        assert run.cells()["b"]["reason"] == "not installed"
        assert run.cells()["a"]["status"] is None


def test_records_come_in_the_order_of_rounds(run: RunFile) -> None:
    for cell, number in (("b", 1), ("a", 0), ("a", 1), ("b", 0)):
        run.add(record(cell, number))
    assert [(one.cell, one.round) for one in run.records()] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]


def test_one_process_cannot_be_recorded_twice(run: RunFile) -> None:
    # It would count double in every interval.
    run.add(record("a", 0, [5]))
    with pytest.raises(RunFileError, match="cannot be written"):
        run.add(record("a", 0, [6]))
    run.add(record("a", 1, [7]))
    assert [one.wall_ns.tolist() for one in run.records()] == [[5], [7]]


def test_a_second_writer_is_refused_while_the_first_holds_it(path: Path, run: RunFile) -> None:
    with pytest.raises(RunFileError, match=r"run\.sqlite is being written by another rtfloor; wait"):
        RunFile.resume(path)
    run.add(record("a", 0))
    run.close()
    with RunFile.resume(path) as second:
        second.add(record("a", 1))


def test_a_second_writer_from_another_process_is_refused(path: Path, run: RunFile) -> None:
    code = (
        "import sys; from pathlib import Path; from results.runfile import RunFile; RunFile.resume(Path(sys.argv[1]))"
    )
    result = python(code, str(path))
    assert "being written by another" in result.stderr
    run.add(record("a", 0))
    assert len(list(run.records())) == 1


def test_a_refused_writer_does_not_take_the_lock_along(path: Path, run: RunFile) -> None:
    for _ in range(2):
        with pytest.raises(RunFileError, match="being written"):
            RunFile.resume(path)


def test_it_can_be_read_while_it_is_written(path: Path, run: RunFile) -> None:
    with RunFile.read(path) as reader:
        for number in range(3):
            run.add(record("a", number))
            assert len(list(reader.records())) == number + 1
            with RunFile.read(path) as another:
                assert another.facts()["status"] == "running"


def test_a_reader_cannot_write(path: Path, run: RunFile) -> None:
    with RunFile.read(path) as reader:
        with pytest.raises(RunFileError):
            reader.add(record("a", 0))
        with pytest.raises(RunFileError):
            reader.set_fact("status", "finished")
    assert run.facts() == FACTS
    assert list(run.records()) == []


def test_a_run_is_never_written_over(path: Path) -> None:
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0))
    with pytest.raises(RunFileError, match="no run file can be written"):
        RunFile.create(path, {}, {})
    with RunFile.read(path) as run:
        assert len(list(run.records())) == 1


def test_any_name_will_do(tmp_path: Path) -> None:
    # Read as an address, "%20" and "?" would name another file.
    path = tmp_path / "a b#c?d%20e" / "run ‖.sqlite"
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0))
    with RunFile.read(path) as run:
        assert len(list(run.records())) == 1
    RunFile.resume(path).close()


def test_a_file_that_is_not_there_says_how_to_find_those_that_are(tmp_path: Path) -> None:
    refused(tmp_path / "none.sqlite", "there is no run file", "rtfloor show")
    refused(tmp_path, "there is no run file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"title = 'mine'\n",
        b"# a page\n" * 500,
        bytes(4096),
        b"SQLite format 3\x00",
        b"SQLite format 3\x00" * 99,
    ],
    ids=["empty", "one byte", "short text", "text", "zeros", "a cut header", "a false header"],
)
def test_a_file_of_another_kind_is_no_run_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    refused(path, "rtfloor run")


def test_a_foreign_database_is_no_run_file(tmp_path: Path) -> None:
    path = tmp_path / "browser.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE run (key TEXT, value TEXT)")
    database.close()
    refused(path, "is not an rtfloor run file", "'rtfloor run'")


@pytest.mark.parametrize(("step", "words"), [(1, ("update rtfloor",)), (-1, ("with the version that wrote it",))])
def test_another_versions_file_is_named_as_such(path: Path, step: int, words: tuple[str, ...]) -> None:
    RunFile.create(path, FACTS, CELLS).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + step}")
    database.close()
    refused(path, f"version {SCHEMA_VERSION + step}", str(SCHEMA_VERSION), *words)


def test_a_damaged_file_is_an_error_and_not_an_empty_run(path: Path) -> None:
    with RunFile.create(path, FACTS, CELLS) as run:
        for number in range(4):
            run.add(record("a", number, range(2000)))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(RunFileError, match=r"run\.sqlite cannot be read"), RunFile.read(path) as run:
        list(run.records())


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("facts = '{'", "no JSON"),
        ("facts = '[]'", "should be a table"),
        ("facts = '{\"threads_used\": NaN}'", "'threads_used'"),
        ("facts = '{\"turns\": [9, 3]}'", "counts of calls, in order"),
        ('facts = \'{"turns": "x"}\'', "counts of calls, in order"),
        ('facts = \'{"error": {"snr_db": 1}}\'', "has no 'max_abs'"),
        ('facts = \'{"phases_ns": {"start": 1}}\'', "has no 'import'"),
        ("wall_ns = x'010203'", "no 64-bit numbers"),
        ("wall_ns = 'abcdefgh'", "no 64-bit numbers"),
        ("wall_ns = x'0100000000000000'", "1 times and 50"),
        ("wall_ns = x'fbffffffffffffff', cpu_ns = x'0100000000000000'", "one is -5 ns"),
        ("wall_ns = x'0000000000000000', cpu_ns = x'0100000000000000'", "took no time at all"),
        ("status = 'fine'", "none of ok, wrong"),
        ("warmup = -1", "warm-up of -1"),
        ("round = 'x'", "no whole number"),
        ("reason = x'00'", "no text"),
    ],
)
def test_a_damaged_record_is_an_error_with_the_files_name_and_what_is_wrong(
    path: Path, column: str, reason: str
) -> None:
    changed(path, f"UPDATE process SET {column}")
    with pytest.raises(RunFileError, match=r"run\.sqlite cannot be read") as caught, RunFile.read(path) as run:
        list(run.records())
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "has no 'model'"),
        ("[]", "should be a table"),
        (json.dumps(spec(threads="2")), "'threads'"),
        (json.dumps(spec(audio_s=float("nan"))), "'audio_s'"),
        (json.dumps(spec(options=[1])), "'options'"),
        (json.dumps(spec(changed="precision")), "'changed'"),
        (json.dumps(spec(version=2)), "'version'"),
    ],
)
def test_a_cell_that_says_too_little_is_named(path: Path, text: str, reason: str) -> None:
    changed(path, "UPDATE cell SET spec = ? WHERE id = 'a'", text)
    with pytest.raises(RunFileError, match=r"run\.sqlite cannot be read: .*cell 'a'") as caught:
        RunFile.read(path).cells()
    assert reason in str(caught.value)


@pytest.mark.parametrize("key", ["plan", "peaks", "host", "node_times", "environment"])
def test_a_table_that_is_null_is_not_known_and_a_list_is_refused(path: Path, key: str) -> None:
    # Whoever asks for facts().get("plan", {}) would get None.
    changed(path, "INSERT OR REPLACE INTO run VALUES (?, 'null')", key)
    with RunFile.read(path) as run:
        assert key not in run.facts()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE run SET value = '[1]' WHERE key = ?", (key,))
    database.close()
    with RunFile.read(path) as run, pytest.raises(RunFileError, match=f"the fact '{key}' should be a table"):
        run.facts()


def test_an_engine_that_answered_with_infinities_is_read(path: Path) -> None:
    wrong = record("a", error={"max_abs": float("inf"), "snr_db": float("nan"), "cosine": None})
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(wrong)
        (back,) = run.records()
    assert back.facts["error"]["max_abs"] == float("inf")


def changed(path: Path, statement: str, *values: str) -> None:
    """A run file with one record, after somebody's hand was in it."""
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0))
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    database.close()


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFileError, match=r"no run file can be written in .*file.*: .*; name .* --results DIR"):
        RunFile.create(tmp_path / "file" / "runs" / "run.sqlite", FACTS, CELLS)


def test_ctrl_c_in_mid_write_leaves_a_file_that_can_be_written(run: RunFile) -> None:
    # The run would end with "cannot be written" instead of saying that it was interrupted.
    def interrupted() -> None:
        with run._writing():
            run._db.execute("INSERT INTO run VALUES ('half', '1')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    run.set_fact("status", "interrupted")
    assert run.facts() == {**FACTS, "status": "interrupted"}


def test_a_fact_that_json_cannot_hold_does_not_spoil_the_file(run: RunFile) -> None:
    with pytest.raises(TypeError):
        run.set_fact("status", object())
    run.add(record("a", 0))
    assert [one.round for one in run.records()] == [0]


def test_a_run_file_that_cannot_be_begun_is_not_left_behind(tmp_path: Path) -> None:
    # 'show latest' would stumble over it for ever.
    path = tmp_path / "run.sqlite"
    result = python(
        LIMITED + "\n"
        "from made import spec\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))\n"
        "try: RunFile.create(path, {'plan': 'x' * 20000}, {'a': spec()})\n"
        "except RunFileError as error: print(error)\n",
        str(path),
    )
    assert "cannot be written" in result.stdout, result.stderr
    assert not path.exists()


# A child that may not write past a limit, as on a disk that fills up; root could write on a full one's reserve.
LIMITED = """
import resource, signal, sys
from pathlib import Path
from made import record
from results.errors import RunFileError
from results.runfile import RunFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
path = Path(sys.argv[1])
"""


def test_a_full_disk_keeps_what_was_committed_and_says_how_to_go_on(path: Path) -> None:
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0, range(100)))
    code = LIMITED + (
        "run = RunFile.resume(path)\n"
        "run.add(record('a', 1, range(100)))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4096, hard))\n"
        "try: run.add(record('a', 2, range(20000)))\n"
        "except RunFileError as error: print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "run.add(record('a', 3, range(100)))\n"  # room was made
    )
    result = python(code, str(path))
    assert result.returncode == 0, result.stderr
    assert f"run file {path} cannot be written" in result.stdout
    assert f"rtfloor run --resume {path}" in result.stdout
    with RunFile.read(path) as run:
        assert [one.round for one in run.records()] == [0, 1, 3]


def test_a_killed_writer_loses_nothing_it_had_committed(path: Path) -> None:
    code = (
        "import sys\n"
        "from itertools import count\n"
        "from pathlib import Path\n"
        "from made import record, spec\n"
        "from results.runfile import RunFile\n"
        "run = RunFile.create(Path(sys.argv[1]), {'status': 'running'}, {'a': spec()})\n"
        "for number in count():\n"
        "    run.add(record('a', number, range(20000)))\n"
        "    print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment(), stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        told = [int(child.stdout.readline()) for _ in range(5)]
    finally:
        child.kill()
    told += [int(line) for line in child.stdout.read().splitlines()]
    child.stdout.close()
    assert child.wait(10) == -signal.SIGKILL
    with RunFile.resume(path) as run:
        kept = [one.round for one in run.records()]
        assert kept[: len(told)] == told
        assert len(kept) <= len(told) + 1  # the last one was committed but not told
        assert all(one.wall_ns.size == 20000 for one in run.records())
        run.add(record("a", len(kept)))


def test_a_commit_that_was_cut_off_is_undone_by_the_next_reader(path: Path) -> None:
    # What a power cut leaves: half a transaction in the file, and the journal that undoes it.
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0, range(3000)))
    code = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        "db.execute('PRAGMA cache_spill = 1')\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute('DELETE FROM process')\n"
        "db.execute('CREATE TABLE ballast (x)')\n"
        "db.executemany('INSERT INTO ballast VALUES (?)', [(bytes(3000),)] * 200)\n"
        "os._exit(9)\n"
    )
    assert python(code, str(path)).returncode == 9
    journal = path.with_name(path.name + "-journal")
    assert journal.exists()
    with RunFile.read(path) as run:
        assert [one.wall_ns.size for one in run.records()] == [3000]
    assert not journal.exists()


# A child without the right to pass over permissions, which root has; a file's owner stays bound by its mode.
POWERLESS = """
import ctypes, sys
from pathlib import Path
from made import record, spec
from results.errors import RunFileError
from results.runfile import RunFile
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
path = Path(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="rights are given up in Linux's way")
def test_a_read_only_folder_can_be_read_and_says_that_it_cannot_be_written(path: Path) -> None:
    # A colleague's results on a share.
    with RunFile.create(path, FACTS, CELLS) as run:
        run.add(record("a", 0))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        result = python(
            POWERLESS + "with RunFile.read(path) as run: print(len(list(run.records())))\n"
            "for attempt in (RunFile.resume, lambda path: RunFile.create(path.with_name('new.sqlite'), {}, {})):\n"
            "    try: attempt(path)\n"
            "    except RunFileError as error: print(error)\n",
            str(path),
        )
    finally:
        path.parent.chmod(0o755)
    assert result.returncode == 0, result.stderr
    read, resumed, created = result.stdout.splitlines()
    assert read == "1"
    assert resumed == f"run file {path} cannot be written: Permission denied"
    assert created.startswith(f"no run file can be written in {path.parent}: Permission denied; ")
    assert "--results DIR" in created


def test_a_closed_file_can_be_closed_again(path: Path) -> None:
    run = RunFile.create(path, FACTS, CELLS)
    run.close()
    run.close()


def test_facts_are_readable_without_us(path: Path, run: RunFile) -> None:
    with sqlite3.connect(path) as database:
        rows = dict(database.execute("SELECT key, value FROM run").fetchall())
        specs = database.execute("SELECT id, spec FROM cell ORDER BY position").fetchall()
    assert {key: json.loads(value) for key, value in rows.items()} == FACTS
    assert [name for name, _ in specs] == ["b", "a"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
