"""Whole runs through the command line: every way to fail at once, stopping, killing, going on.

What a user would lose: minutes of measurements, or the knowledge that some of them are wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Cli, cells, third_party, tiny_model

from results.runfile import RunFile

FAKE = ("run", "--model", "null", "--runtime", "fake", "--threads", "1", "--profile", "smoke")


def only_run(folder: Path) -> Path:
    (path,) = (folder / "results" / "runs").glob("*.sqlite")
    return path


def processes(path: Path) -> dict[tuple[str, int], tuple[str, bytes]]:
    """What is committed: cell and round → when it started and its samples."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as database:
        rows = database.execute("SELECT cell, round, started_at, wall_ns FROM process").fetchall()
    return {(cell, number): (started, wall) for cell, number, started, wall in rows}


def test_five_ways_to_fail_are_five_rows_and_everything_else_is_measured(cli: Cli) -> None:
    modes = ("ok", "crash", "hang", "garbage", "allocate", "wrong", "stale", "late-stale")
    options = [word for mode in modes for word in ("--option", f"mode={mode}")]
    result = cli(*FAKE, *options, "--timeout", "5", "--time", "90", "--memory-limit", "600M", "--json")
    assert result.returncode == 0, result.stderr
    found = {cell["options"]["mode"]: cell for cell in cells(result).values()}
    assert {mode: found[mode]["status"] for mode in modes} == {
        "ok": "ok",
        "crash": "failed",
        "hang": "timeout",
        "garbage": "ok",
        "allocate": "failed",
        "wrong": "wrong",
        "stale": "wrong",
        "late-stale": "wrong",
    }
    reasons = {found[mode]["reason"] for mode in modes if found[mode]["status"] != "ok"}
    assert len(reasons) >= 5
    assert "SIGSEGV" in found["crash"]["reason"]
    assert "memory" in found["allocate"]["reason"]
    for mode in ("wrong", "stale", "late-stale", "crash", "hang"):
        # A cell without a right answer has no time and no place.
        assert found[mode]["p50_ms"] is None
        assert found[mode]["rank"] is None
        assert found[mode]["rtf"] is None
    assert found["ok"]["p50_ms"] > 0.15
    assert found["ok"]["processes"] == 3
    assert found["wrong"]["processes"] == 1  # one wrong answer settles a cell


def test_nothing_right_is_exit_code_1_and_nothing_available_4(cli: Cli) -> None:
    assert cli(*FAKE, "--option", "mode=wrong").returncode == 1
    skipped = cli("run", "gpu")
    if "no NVIDIA GPU" in skipped.stdout:
        assert skipped.returncode == 4
        assert "unavailable: ort-cuda" in skipped.stdout


def test_a_layout_that_cannot_be_had_is_a_row_with_its_reason_beside_those_that_can(tmp_path: Path, cli: Cli) -> None:
    path = third_party(
        tmp_path / "pretends",
        "pretends",
        "from runtimes.fake import Fake\n"
        "from runtimes.gpu.options import TRANSFER\n"
        "class Pretends(Fake):\n"
        "    name, device = 'pretends', 'gpu'\n"
        "    options = (*Fake.options, TRANSFER)\n",
    )
    layouts = ("--layout", "seq", "--layout", "streams", "--option", "transfer=device")
    result = cli(*FAKE, "--runtime", "pretends", *layouts, "--json", env=path)
    assert result.returncode == 0, result.stderr
    found = {(cell["runtime"], cell["layout"]): (cell["status"], cell["reason"]) for cell in cells(result).values()}
    no_device = "is for engines that compute on a device with memory of its own, such as a GPU"
    assert found["fake", "seq"] == ("ok", None)
    assert found["fake", "streams"] == ("unavailable", f"streams {no_device}")
    status, reason = found["pretends", "seq"]
    assert (status, "left and right cannot both lie there; measure mono" in reason) == ("unavailable", True)
    # That it is no such engine shows only when it is loaded.
    assert found["pretends", "streams"] == ("failed", f"transfer=device {no_device}")


def test_options_that_cannot_be_had_here_are_rows_with_a_reason(tmp_path: Path, cli: Cli) -> None:
    # Most engines take a key that they do not know without a word, and the row would claim what was never set.
    path = third_party(
        tmp_path / "aged",
        "aged",
        "from runtimes.fake import Fake\n"
        "from runtimes.installed import Probe\n"
        "from runtimes.options import Clash, Option\n"
        "class Aged(Fake):\n"
        "    name = 'aged'\n"
        "    options = (*Fake.options, Option('shiny', False, 'new', since='2.1'), Option('dull', False, 'old'))\n"
        "    clashes = (Clash((('dull', ()), ('shiny', (True,))), 'dull and shiny exclude each other'),)\n"
        "    def probe(self): return Probe(True, '2.0.3')\n",
    )
    options = ("shiny=true", "shiny=false", "dull=true", "dull=false")
    flags = [word for option in options for word in ("--option", option)]
    result = cli("run", "--model", "null", "--runtime", "aged", *flags, "--profile", "smoke", "--json", env=path)
    assert result.returncode == 0, result.stderr
    found = {
        tuple(cell["options"][name] for name in ("shiny", "dull")): (cell["status"], cell["reason"])
        for cell in cells(result).values()
    }
    newer = "shiny=true needs aged 2.1 or newer; 2.0.3 would take it without a word"
    assert found[False, False] == found[False, True] == ("ok", None)
    assert found[True, False] == ("unavailable", newer)
    assert found[True, True] == ("unavailable", "dull and shiny exclude each other")


def test_a_version_of_another_packages_runtime_is_a_row_with_its_reason(tmp_path: Path, cli: Cli) -> None:
    path = third_party(
        tmp_path / "mine", "mine", "from runtimes.fake import Fake\nclass Mine(Fake):\n    name = 'mine'\n"
    )
    result = cli("run", "--model", "null", "--runtime", "mine@1.0,fake@2.0", "--json", env=path)
    assert result.returncode == 4, result.stderr
    reasons = {cell["runtime"]: (cell["status"], cell["reason"]) for cell in cells(result).values()}
    assert reasons["mine@1.0"][0] == reasons["fake@2.0"][0] == "unavailable"
    assert "comes from another package" in reasons["mine@1.0"][1]


def test_killed_in_mid_run_and_resumed_nothing_is_lost_or_measured_twice(tmp_path: Path, cli: Cli) -> None:
    options = [word for us in (150, 160, 170, 180) for word in ("--option", f"latency_us={us}")]
    parent = start(tmp_path, *FAKE, *options)
    before = wait_for_processes(tmp_path, parent, 4)
    workers = children(parent.pid)
    parent.kill()
    parent.communicate()
    path = only_run(tmp_path)
    before = processes(path)
    assert_all_gone(workers)
    assert 4 <= len(before) < 12
    result = cli("run", "--resume", "latest", "--json")
    assert result.returncode == 0, result.stderr
    after = processes(path)
    assert set(after) == {(cell, number) for cell, _ in before for number in range(3)} | set(after)
    assert len(after) == 12
    for key, value in before.items():
        assert after[key] == value, "a finished process was measured again"
    assert json.loads(result.stdout)["status"] == "finished"


def test_the_same_seed_keeps_the_order_of_cells(tmp_path: Path, cli: Cli) -> None:
    # A resumed run must go on in the order it had, or rounds would no longer be random.
    orders = []
    options = [word for us in (150, 160, 170) for word in ("--option", f"latency_us={us}")]
    for number in range(2):
        folder = tmp_path / str(number)
        result = cli(*FAKE, *options, "--seed", "5", "--results", str(folder))
        assert result.returncode == 0, result.stderr
        (path,) = folder.glob("*.sqlite")
        with RunFile.read(path) as run:
            orders.append([(record.round, record.cell) for record in run.records()])
    assert orders[0] == orders[1]
    assert [cell for number, cell in orders[0] if number == 0] != sorted({cell for _, cell in orders[0]}) or [
        cell for number, cell in orders[0] if number == 1
    ] != sorted({cell for _, cell in orders[0]})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_shows_what_there_is_and_leaves_no_worker(tmp_path: Path, number: signal.Signals) -> None:
    options = [word for us in (150, 160, 170, 180) for word in ("--option", f"latency_us={us}")]
    parent = start(tmp_path, *FAKE, *options, "--json")
    wait_for_processes(tmp_path, parent, 2)
    workers = children(parent.pid)
    parent.send_signal(number)
    out, error = parent.communicate(timeout=60)
    assert parent.returncode == 130, error
    shown = json.loads(out)
    assert shown["status"] == "interrupted"
    assert sum(cell["processes"] for cell in shown["cells"]) >= 2
    assert_all_gone(workers)


def test_two_processes_cannot_write_one_run(tmp_path: Path, cli: Cli) -> None:
    options = [word for us in (150, 160, 170) for word in ("--option", f"latency_us={us}")]
    parent = start(tmp_path, *FAKE, *options)
    wait_for_processes(tmp_path, parent, 1)
    second = cli("run", "--resume", "latest")
    shown = cli("show", "latest", "--json")
    parent.kill()
    parent.communicate()
    assert second.returncode == 2
    assert "written by another" in second.stderr
    assert json.loads(shown.stdout)["status"] == "running"


def test_a_changed_model_file_cannot_be_gone_on_with(tmp_path: Path, cli: Cli) -> None:
    model = tiny_model(tmp_path / "net.onnx")
    flags = ("run", "--model", str(model), "--runtime", "fake", "--profile", "smoke")
    assert cli(*flags).returncode == 0
    content = model.read_bytes()
    model.write_bytes(content.replace(b"tiny", b"TINY"))
    result = cli("run", "--resume", "latest")
    assert result.returncode == 2
    assert "model_sha256" in result.stderr
    model.write_bytes(content)
    again = cli("run", "--resume", "latest")
    assert again.returncode == 0, again.stderr


def test_a_runtime_that_came_back_is_measured_on_resume(tmp_path: Path, cli: Cli) -> None:
    # Its row once kept the old reason and hid what was measured since.
    path = third_party(
        tmp_path / "late",
        "late",
        "import os\n"
        "from runtimes.fake import Fake\n"
        "from runtimes.installed import Probe\n"
        "class Late(Fake):\n"
        "    name = 'late'\n"
        "    def probe(self):\n"
        "        here = 'LATE' in os.environ\n"
        "        return Probe(here, '1', '' if here else 'it is not here yet')\n",
    )
    flags = ("--model", "null", "--runtime", "fake", "--runtime", "late", "--profile", "smoke", "--json")
    first = cells(cli("run", *flags, env=path))
    assert first["null/raw/late/mono/" + str(len(os.sched_getaffinity(0)))]["status"] == "unavailable"
    again = cells(cli("run", "--resume", "latest", "--json", env={**path, "LATE": "1"}))
    assert {cell["status"] for cell in again.values()} == {"ok"}


def test_a_worker_whose_parent_is_already_dead_does_not_start(tmp_path: Path) -> None:
    # The parent may die while the worker's interpreter is still starting.
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    command = [sys.executable, "-P", "-m", "bench.worker", "1", ended.stdout.decode().strip()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, input=b"{}", env=environment, capture_output=True, check=False, timeout=30)
    assert result.returncode == 1
    assert result.stdout == b""


def test_a_full_disk_keeps_what_was_measured(tmp_path: Path) -> None:
    # The run file may grow to 24 KiB and no further, as on a disk that fills up.
    code = (
        "import resource, sys; from bench import campaign; "
        "from results.runfile import RunFile; add = RunFile.add\n"
        "def full(self, record):\n"
        "    if record.round == 1: resource.setrlimit(resource.RLIMIT_FSIZE, (24576, 24576))\n"
        "    add(self, record)\n"
        "RunFile.add = full\n"
        "from bench.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code, *FAKE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert "--resume" in result.stderr
    with RunFile.read(only_run(tmp_path)) as run:
        assert [record.round for record in run.records()] == [0]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_processes(folder: Path, parent: subprocess.Popen[str], least: int) -> dict[Any, Any]:
    """Wait until so many processes are committed and another one is running."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert parent.poll() is None, parent.communicate()
        paths = list((folder / "results" / "runs").glob("*.sqlite"))
        if paths:
            try:
                found = processes(paths[0])
            except sqlite3.OperationalError:
                found = {}  # its tables are being made
            if len(found) >= least and children(parent.pid):
                return found
        time.sleep(0.02)
    raise AssertionError("nothing was measured in a minute")


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def assert_all_gone(pids: list[int]) -> None:
    """Orphans would go on burning a processor beside every later measurement."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if _alive(pid)]
        if not alive:
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {alive}")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
