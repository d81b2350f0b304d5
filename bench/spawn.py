"""Start one worker, hand it a request, and bring back its reply or the reason there is none.

Every measurement gets a fresh process: ``python -P -m bench.worker``. The request goes in on
stdin; the reply comes back on a descriptor of its own, so that a library that prints cannot
corrupt it; stdout and stderr go to a file whose tail explains a crash.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from bench.baton import HEADER

ROOT = Path(__file__).resolve().parent.parent
# A worker that has answered gets this long to tear its engine down.
FAREWELL_S = 10.0
STACKS_S = 0.5
TAIL_BYTES = 4000
MEMORY_WORDS = ("bad_alloc", "bad allocation", "memoryerror", "out of memory", "cannot allocate memory")


@dataclass(frozen=True)
class Outcome:
    """What came of one worker.

    Attributes:
        status: ``ok`` (it replied), ``failed`` (it did not), ``timeout``.
        body: its reply; empty when there is none.
        reason: why there is none; empty when there is one.
        tail: the end of what it printed.
    """

    status: str
    body: dict[str, Any]
    reason: str = ""
    tail: str = ""


Spawn = Callable[[dict[str, Any], Mapping[str, str], float], Outcome]


def spawn(request: dict[str, Any], environment: Mapping[str, str], timeout_s: float) -> Outcome:
    """Run one worker to its end.

    Args:
        request: JSON values; ``task`` names what to do. ``python`` is the interpreter, and ``root`` the folder that
            rtfloor is taken from, where they are not ours: a named version of a runtime has an environment of its own.
        environment: added to this process's own before anything is imported.
        timeout_s: from start to reply; a worker that takes longer is killed with all it started.

    Raises:
        KeyboardInterrupt: passed on after the worker was killed.
    """
    with Worker(request, environment) as worker:
        worker.ask()
        return worker.answer(timeout_s)


class Worker:
    """One worker process, from its start until it and all it started are gone.

    Args:
        request, environment: as for :func:`spawn`.
    """

    def __init__(self, request: dict[str, Any], environment: Mapping[str, str]) -> None:
        self._request, self._environment = request, environment

    def __enter__(self) -> Self:
        python = self._request.get("python", sys.executable)
        reply_read, reply_write = os.pipe()
        self._output = tempfile.TemporaryFile()  # closed when the worker is gone
        self._reply = os.fdopen(reply_read, "rb")
        try:
            self._process = subprocess.Popen(
                [python, "-P", "-m", "bench.worker", str(reply_write), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(reply_write,),
                env=worker_environment(self._environment, Path(self._request.get("root", ROOT))),
                # A group of its own: Ctrl-C reaches the parent alone, and a kill reaches everything below.
                start_new_session=True,
            )
        except BaseException:
            self._output.close()
            self._reply.close()
            raise
        finally:
            os.close(reply_write)
        return self

    def __exit__(self, *_: object) -> None:
        _kill_group(self._process)
        self._close()

    def ask(self, *, more: bool = False) -> None:
        """Hand over the request.

        Args:
            more: whether turns are given afterwards.
        """
        line = json.dumps({**self._request, "spawned_ns": time.perf_counter_ns()}).encode() + b"\n"
        self._write(line)
        if not more:
            with suppress(BrokenPipeError):
                self._stdin.close()

    def turn(self) -> None:
        """Let it compute again, and tell it so."""
        self._signal(signal.SIGCONT)
        self._write(b"\n")

    def stop(self) -> None:
        """Not a thread of it computes until its next turn."""
        self._signal(signal.SIGSTOP)

    def answer(self, timeout_s: float) -> Outcome:
        """Wait for its reply, and for its end; one that takes longer is killed."""
        outcome = self.heard(timeout_s)
        assert outcome is not None, "it was given no turns"
        return outcome

    def heard(self, timeout_s: float, allowed_s: float | None = None) -> Outcome | None:
        """Wait for its reply, and for its end; None where it gave back its turn instead.

        Args:
            timeout_s: from now on.
            allowed_s: what it had in all, for the reason.
        """
        deadline = time.monotonic() + timeout_s
        raw = _read_frame(self._process, self._reply.fileno(), deadline)
        if raw is None:
            return self._silent(deadline, timeout_s if allowed_s is None else allowed_s)
        if not raw:
            return None
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            status = self._process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            _kill_group(self._process)
            status = self._process.wait()
        body = json.loads(raw)
        # The answer stands, but an engine that dies while it is torn down should be known for it.
        body["exit"] = status
        return Outcome("ok", body, "", _tail(self._output))

    def _silent(self, deadline: float, allowed_s: float) -> Outcome:
        timed_out = time.monotonic() >= deadline and self._process.poll() is None
        if timed_out:
            _ask_for_stacks(self._process)
        _kill_group(self._process)
        status = self._process.wait()
        tail = _tail(self._output)
        if timed_out:
            return Outcome("timeout", {}, f"no answer within {allowed_s:g} s; it was stopped", tail)
        return Outcome("failed", {}, _death(status, tail), tail)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _write(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # it died at once: its exit status says why
            self._stdin.write(data)
            self._stdin.flush()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close(self) -> None:
        with suppress(BrokenPipeError):  # what was not read is nobody's any more
            self._stdin.close()
        self._output.close()
        self._reply.close()


def worker_environment(added: Mapping[str, str], root: Path = ROOT) -> dict[str, str]:
    """The variables of a worker: ours, where to find rtfloor, and some more; the same for every interpreter.

    Args:
        added: what the runtime needs.
        root: the folder that rtfloor is taken from.
    """
    environment = dict(os.environ)
    paths = [str(root), *filter(None, [environment.get("PYTHONPATH", "")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    # NumPy's own matrix library would keep a pool of idle threads beside the engine's.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    environment.update(added)
    return environment


def _read_frame(process: subprocess.Popen[bytes], descriptor: int, deadline: float) -> bytes | None:
    """One length-prefixed reply; None when the worker died or the time ran out first."""
    buffer = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    while True:
        if len(buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(buffer)
            if len(buffer) >= HEADER.size + size:
                return bytes(buffer[HEADER.size : HEADER.size + size])
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        # A worker's own children may hold the descriptor open after it died, so the wait is cut
        # into long pieces; each wake-up costs microseconds.
        if not poll.poll(min(left, 1.0) * 1000):
            if process.poll() is not None and not poll.poll(0):
                return None
            continue
        piece = os.read(descriptor, 1 << 20)
        if not piece:
            process.wait()
            return None
        buffer += piece


def _ask_for_stacks(process: subprocess.Popen[bytes]) -> None:
    """Let a worker that hangs print where, before it is killed."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STACKS_S)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL_BYTES))
    return output.read().decode("utf-8", "replace").strip()


def _telling_line(tail: str) -> str:
    """The line that explains an end: of a Python stack, where it was; else the last one."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    frames = [line for line in lines if line.startswith("File ")]
    if any(line.startswith("Fatal Python error") for line in lines) and frames:
        return frames[0][-200:]
    return lines[-1][:200] if lines else ""


def _death(status: int, tail: str) -> str:
    """In words, how a process ended that gave no answer."""
    last = _telling_line(tail)
    said = f"; it said: {last}" if last else ""
    if any(word in tail.lower() for word in MEMORY_WORDS):
        return f"it ran out of memory{said}"
    if status >= 0:
        return f"it exited with status {status} before it answered{said}"
    name = signal.Signals(-status).name
    if name == "SIGKILL":
        return f"it was killed by SIGKILL, most likely because the machine ran out of memory{said}"
    return f"it crashed with {name}{said}"
