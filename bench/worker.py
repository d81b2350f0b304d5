"""The worker: reads one request, does one task, writes one reply, and ends.

Affinity, limits and the tie to the parent are in place before anything is imported; environment
variables were set by the parent.
"""

from __future__ import annotations

import time

BORN_NS = time.perf_counter_ns()

# ruff would sort these above the clock, which is read before anything else.
import faulthandler
import importlib
import json
import os
import signal
import struct
import sys
from typing import Any

TASKS = {
    "prepare": "bench.tasks.prepare",
    "oracle": "bench.tasks.oracle",
    "axes": "bench.tasks.axes",
    "batch": "bench.tasks.batch",
    "build": "bench.tasks.build",
    "measure": "bench.tasks.measure",
    "nodes": "bench.tasks.nodes",
    "quality": "bench.tasks.quality",
    "surgery": "bench.tasks.surgery",
    "peaks_cuda": "bench.tasks.peaks_cuda",
    "steady": "bench.tasks.steady",
    "peaks": "bench.tasks.peaks",
}
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve one request; the arguments are the descriptor for the reply and the parent's process id."""
    reply = int(sys.argv[1])
    os.set_inheritable(reply, False)
    # Told, not asked of the system: a parent that died while we started would already be forgotten.
    _die_with_parent(int(sys.argv[2]))
    # A crash and a hang (the parent asks before it kills) leave the Python stack of every thread
    # in the captured output, which is often the only hint there is.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    # One line; what follows it, if anything, are turns.
    request = json.loads(sys.stdin.buffer.readline())
    request["reply"] = reply
    if affinity := request.get("affinity"):
        os.sched_setaffinity(0, affinity)
    if limit := request.get("memory_limit_bytes"):
        _limit_memory(limit)
    body = _serve(request)
    frame = json.dumps(body).encode()
    with os.fdopen(reply, "wb") as pipe:
        pipe.write(struct.pack("<Q", len(frame)) + frame)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    request["born_ns"] = BORN_NS
    try:
        task = importlib.import_module(TASKS[request["task"]])
        body: dict[str, Any] = task.serve(request)
    except Exception as error:  # noqa: BLE001  # whatever an engine raises becomes a row with its reason
        return _failure(error, request)
    return {"status": "ok", "reason": "", **body}


def _failure(error: Exception, request: dict[str, Any]) -> dict[str, Any]:
    text = " ".join(str(error).split())[:600]
    kind = type(error).__name__
    if isinstance(error, MemoryError) or "bad_alloc" in text or "bad allocation" in text:
        limit = request.get("memory_limit_bytes", 0)
        return _reply("failed", "memory", f"it asked for more memory than the limit of {limit / 2**30:.3g} GiB")
    status = "unavailable" if kind == "UnavailableError" else "failed"
    known = kind in ("EngineError", "UnsupportedError", "UnavailableError", "ModelError", "ReferenceUnsupported")
    if not known:
        import traceback

        traceback.print_exc()  # onto the captured stderr: the tail is kept with the record
        text = f"{kind}: {text}" if text else kind
    return _reply(status, kind, text)


def _reply(status: str, kind: str, reason: str) -> dict[str, Any]:
    return {"status": status, "kind": kind, "reason": reason}


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, however it dies (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request was made
        os._exit(1)


def _limit_memory(limit: int) -> None:
    """Cap private writable memory; address space stays free, which engines reserve generously."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


if __name__ == "__main__":
    main()
