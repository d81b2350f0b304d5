"""A deterministic engine that answers rightly, in a time of its own choosing, or fails on request.

It computes with the ONNX reference evaluator and then waits until its planned latency is over.
It is an ordinary adapter: production code runs it, so that the harness itself can be measured,
shown and tested without any vendor library.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from runtimes.base import Facts, Request, Runtime, Session
from runtimes.errors import UnsupportedError, engine_error
from runtimes.installed import Probe
from runtimes.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array
    from runtimes.profiled_nodes import Profile

VERSION = "1"
MODES = {
    "ok": "answers rightly",
    "wrong": "adds to every float answer",
    "stale": "answers with the previous call's outputs",
    "late-stale": "turns stale after 40 calls, when checks before timing are over",
    "late-wrong": "turns wrong after 40 calls",
    "shared": "hands out one buffer that later calls overwrite",
    "unsupported": "refuses the model",
    "raise": "raises at the first call",
    "garbage": "prints to stdout and stderr, then answers rightly",
    "crash": "dies of a segmentation fault at the first call",
    "exit": "ends the process with status 3 at the first call",
    "hang": "never answers",
    "allocate": "allocates memory without end",
    "greedy": "computes on twice the threads it was given",
    "bf16": "computes in bf16 although fp32 was asked for, and says so",
}
LATE = 40


class Fake(Runtime):
    """The fake engine."""

    name = "fake"
    title = "fake engine, for trying the harness"
    distributions = ()
    install = ""
    options = (
        Option("precision", "fp32", "what it is asked to compute in", ("fp32", "bf16")),
        Option("mode", "ok", "; ".join(f"{name}: {what}" for name, what in MODES.items()), tuple(MODES), tried=("ok",)),
        Option("latency_us", 200.0, "its planned latency, microseconds", minimum=0),
        Option("spread", 0.01, "standard deviation of single calls, as a share", minimum=0),
        Option("between", 0.005, "standard deviation between processes, as a share", minimum=0),
        Option("warmup_calls", 0, "this many first calls take three times as long", minimum=0),
        Option("seed", -1, "fixes its latencies; -1: another seed in each process"),
        Option("label", "a", "changes nothing at all, so that a sweep of it must find nothing", ("a", "b")),
        Option("slower", 0.0, "makes every call so much longer, as a share", minimum=0, tried=(0.03,)),
        Option("memory_mib", 0, "touches so many MiB when it loads, and keeps them", minimum=0),
    )

    def probe(self) -> Probe:
        return Probe(True, VERSION)

    def start(self) -> None:
        """There is nothing to import."""

    def load(self, request: Request) -> list[Session]:
        from onnx.reference import ReferenceEvaluator

        mode = str(request.options["mode"])
        if mode == "unsupported":
            raise UnsupportedError(f"fake could not load {request.model.name}: operator 'Anything' is not supported")
        try:
            evaluator = ReferenceEvaluator(str(request.model))
        except Exception as error:  # as in every adapter, a foreign failure becomes a row
            raise engine_error(f"fake could not load {request.model.name}", error) from error
        return [FakeSession(evaluator, request, index) for index in range(request.sessions)]

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Its planned latency, dealt out evenly to the nodes that depend on an input."""
        from runtimes.graph_nodes import read_graph
        from runtimes.profiled_nodes import Profile, ProfiledNode

        graph = read_graph(request.model)
        planned_ns = float(request.options["latency_us"]) * 1e3 * (1 + float(request.options["slower"]))
        each_ns = planned_ns / max(len(graph.live), 1)
        nodes = tuple(
            ProfiledNode(node.key, node.operator, each_ns, 1.0, (node.key,))
            for node in graph.nodes
            if node.key in graph.live
        )
        return Profile(calls, planned_ns, nodes, ("The fake engine deals its planned latency out evenly.",))


class FakeSession(Session):
    """One fake session, with its own random latencies."""

    def __init__(self, evaluator: Any, request: Request, index: int) -> None:
        given = request.options
        self._evaluator = evaluator
        self._names = [output.name for output in request.outputs]
        self._mode, self._threads = str(given["mode"]), request.threads
        seed = int(given["seed"])
        self._random = random.Random(os.urandom(8) if seed < 0 else seed + index)  # noqa: S311  # latencies, not secrets
        process = self._random.gauss(1.0, float(given["between"]))
        longer = 1 + float(given["slower"])
        self._latency_ns = float(given["latency_us"]) * 1e3 * max(process, 0.1) * longer
        # Copied from bytes that are not zero, or the pages would not be touched.
        self._hoard = b"\1" * (int(given["memory_mib"]) << 20)
        self._spread, self._warmup = float(given["spread"]), int(given["warmup_calls"])
        self._precision = request.precision
        self._calls = 0
        self._previous: list[Array] | None = None
        self._buffers: list[Array] | None = None

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        # The planned latency includes the real computation, so it starts before it.
        begin = time.perf_counter_ns()
        self._calls += 1
        self._misbehave()
        answers = self._answer(feeds)
        planned = self._latency_ns * max(self._random.gauss(1.0, self._spread), 0.1)
        if self._calls <= self._warmup:
            planned *= 3
        end = begin + planned
        while time.perf_counter_ns() < end:
            pass
        return answers

    def facts(self) -> Facts:
        return Facts("bf16" if self._mode == "bf16" else self._precision, "cpu", {"calls": self._calls})

    def _answer(self, feeds: dict[str, Array]) -> list[Array]:
        right: list[Any] = [answer.copy() for answer in self._evaluator.run(self._names, feeds)]
        late = self._calls > LATE
        if self._mode == "wrong" or (self._mode == "late-wrong" and late):
            return [answer + 1 if answer.dtype.kind == "f" else answer for answer in right]
        if self._mode == "bf16":
            return [_to_bf16(answer) for answer in right]
        if self._mode == "stale" or (self._mode == "late-stale" and late):
            before, self._previous = self._previous, right
            return before if before is not None else right
        if self._mode == "shared":
            if self._buffers is None:
                self._buffers = right
            for buffer, answer in zip(self._buffers, right, strict=True):
                buffer[...] = answer
            return self._buffers
        return right

    def _misbehave(self) -> None:
        if self._mode == "raise":
            raise RuntimeError("the fake engine was told to raise")
        if self._mode == "garbage":
            print('{"status": "ok"}\x00 not for you', flush=True)  # noqa: T201  # the point of this mode
            os.write(1, b"\xff\xfe raw bytes on descriptor 1\n")
            print("and a complaint", file=sys.stderr, flush=True)  # noqa: T201
        elif self._mode == "crash":
            import ctypes

            ctypes.string_at(0)
        elif self._mode == "exit":
            os._exit(3)
        elif self._mode == "hang":
            while True:
                time.sleep(3600)
        elif self._mode == "allocate":
            hoard = []
            while True:
                hoard.append(bytearray(64 << 20))
        elif self._mode == "greedy" and self._calls == 1:
            self._start_extra_threads()

    def _start_extra_threads(self) -> None:
        import threading

        for _ in range(2 * self._threads):
            threading.Thread(target=_burn, daemon=True).start()


def _burn() -> None:
    import hashlib

    block = bytes(1 << 26)
    while True:
        hashlib.sha256(block).digest()  # gives up the interpreter lock while it computes


def _to_bf16(values: Array) -> Array:
    import numpy as np

    if values.dtype != np.float32:
        return values
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
