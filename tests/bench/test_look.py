"""What a GPU does in a call is looked at after all timing: two clocks, counts, and promises that are held to them.

Over real GPU sessions, on a driver without a GPU whose every step takes a microsecond of its own clock.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_gpu_engine import STEP_S, Engine, LateGpu, asked, engine, feeds, made_during, right, use

from bench import look as looking
from bench.layouts import Layout, make_layout
from bench.look import COUNTED_CALLS, WATCHED_CALLS, broken_promise, clocks, look
from bench.resident import Resident
from bench.tasks import measure
from models.card import Card, Port
from models.oracle_file import save_oracle
from results.gpu_calls import gpu_call
from runtimes.base import Facts, Runtime, Session
from runtimes.errors import EngineError
from runtimes.gpu.counting import COPIES, Counts, Kernel
from runtimes.gpu.cupti import CuptiError
from runtimes.gpu.driver import NoGpuError
from runtimes.gpu.graph import Graph
from runtimes.gpu.session import open_gpu

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runtimes.base import Request

STEP_NS = STEP_S * 1e9
# Made by the test at hand, and closed after it.
LAYOUTS: list[Layout] = []
EVENTS = {"cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime"}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[LateGpu]:
    yield use(monkeypatch, LateGpu())
    while LAYOUTS:
        LAYOUTS.pop().close()


class Tally:
    """Stands for CUPTI's counter: counts what the driver was asked for, or cannot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gpu: LateGpu, error: Exception | None = None) -> None:
        self.gpu, self.error = gpu, error
        self.begun: int | None = None
        self.stopped = 0
        monkeypatch.setattr(looking.Counter, "load", classmethod(lambda cls: self._loaded()))

    def _loaded(self) -> Tally:
        if isinstance(self.error, NoGpuError):
            raise self.error
        return self

    def start(self) -> None:
        if self.error is not None:
            raise self.error
        self.begun = len(self.gpu.calls)

    def stop(self) -> Counts:
        self.stopped += 1
        calls = self.gpu.calls[self.begun :]
        up, down, graphs = (calls.count(f"cu{n}") for n in ("MemcpyHtoDAsync_v2", "MemcpyDtoHAsync_v2", "GraphLaunch"))
        copies = {**dict.fromkeys(COPIES, (0, 0)), "to device": (up, 16 * up), "from device": (down, 16 * down)}
        waits = calls.count("cuStreamSynchronize")
        kernels = max(waits, 1)
        return Counts(
            kernels=kernels,
            kernel_ns=700 * kernels,
            busy_ns=900 * kernels,
            copies=copies,
            memsets=0,
            launches=0 if graphs else kernels,
            graph_launches=graphs,
            synchronisations=waits,
            calls={},
            by_kernel=(Kernel("double", kernels, 700 * kernels),),
            dropped=0,
        )


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch, gpu: LateGpu) -> Tally:
    return Tally(monkeypatch, gpu)


def card() -> Card:
    ports = [Port(name, (1, 4), "float32") for name in ("x", "y")]
    signature: dict[str, Any] = {"inputs": tuple(ports[:1]), "outputs": tuple(ports[1:]), "states": {}}
    rest: dict[str, Any] = {"audio_s": None, "audio": "", "parameters": 0, "nodes": 1, "operators": {}, "opset": 18}
    return Card(name="net", form="raw", batch=1, path="net.onnx", sha256="", signal="normal", **signature, **rest)


def layout(name: str, sessions: Sequence[Session], *, resident: bool = False) -> Layout:
    inputs = [[feeds(100 * side + turn) for turn in range(3)] for side in range(2)]
    kind: Any = Resident if resident else make_layout
    LAYOUTS.append(kind(name, (card(), card()), inputs, list(sessions)))
    return LAYOUTS[-1]


class Longer(Engine):
    """An engine with five more kernels in a call."""

    def enqueue(self) -> Sequence[int] | None:
        for _ in range(5):
            self._library.submit(self.gpu.stream.value, lambda: None)
        return super().enqueue()


class Captured(Engine):
    """An engine that keeps its promise of a graph."""

    def __init__(self, request: Request, gpu: Any) -> None:
        super().__init__(request, gpu)
        self._graph = Graph(gpu, super().enqueue)

    def enqueue(self) -> None:
        self._graph.launch()


def longer() -> Longer:
    return Longer(asked(), open_gpu("spin"))


# Clocks


def test_the_devices_clock_stands_beside_the_hosts(gpu: LateGpu) -> None:
    session = engine()
    seen = clocks(layout("mono", [session]), [session])
    assert seen["calls"] == WATCHED_CALLS
    # The mark itself, a copy, the work, a copy.
    assert seen["device_p50_ns"] == seen["device_p99_ns"] == pytest.approx(4 * STEP_NS, abs=1)
    assert 0 < seen["host_p50_ns"] <= seen["host_p99_ns"]


def test_device_to_device_the_clock_spans_the_work_alone(gpu: LateGpu) -> None:
    session = engine()
    seen = clocks(layout("mono", [session], resident=True), [session])
    assert seen["device_p50_ns"] == pytest.approx(2 * STEP_NS, abs=1)


@pytest.mark.parametrize("longer_first", [True, False])
def test_of_two_sides_the_longer_one_is_the_devices_time(gpu: LateGpu, *, longer_first: bool) -> None:
    # Their sum would be more than the call took, the shorter one would hide what it waited for.
    sessions = [longer(), engine()] if longer_first else [engine(), longer()]
    seen = clocks(layout("streams", sessions), sessions)
    assert seen["device_p50_ns"] == pytest.approx(9 * STEP_NS, abs=1)


def test_the_clock_is_off_again_afterwards(gpu: LateGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is counted next must not hold the events of our own looking.
    sessions = [engine(), engine()]
    made = layout("streams", sessions)
    clocks(made, sessions)
    assert not EVENTS & set(made_during(gpu, made.call, made.feeds(0)))

    def fail(_: Any) -> Any:
        raise EngineError("the GPU is lost")

    monkeypatch.setattr(made, "call", fail)
    with pytest.raises(EngineError):
        clocks(made, sessions)
    assert not EVENTS & set(made_during(gpu, sessions[1].run, feeds(0)))


def test_looking_at_a_slow_call_ends_after_a_second(gpu: LateGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now[0])
    session = engine()
    made = layout("mono", [session])
    call = made.call
    monkeypatch.setattr(made, "call", lambda fed: (now.__setitem__(0, now[0] + 400_000_000), call(fed))[1])
    assert clocks(made, [session])["calls"] == 3


# Counts


@pytest.mark.parametrize(("name", "resident"), [("mono", False), ("mono", True), ("streams", False), ("streams", True)])
def test_counts_are_those_of_one_call_and_none_of_feeding(
    gpu: LateGpu, tally: Tally, name: str, *, resident: bool
) -> None:
    sides = 2 if name == "streams" else 1
    sessions = [engine() for _ in range(sides)]
    found = gpu_call(look(layout(name, sessions, resident=resident), sessions, {})["look"])
    assert found.counted is not None
    copies = (0.0, 0.0) if resident else (float(sides), 16.0 * sides)
    assert (found.counted.copies_to, found.counted.copies_from) == (copies, copies)
    assert (found.counted.kernels, found.counted.waits, found.counted.kernel_ms) == (sides, sides, sides * 7e-4)
    assert found.device_ms is not None
    assert (found.notes, tally.stopped) == ((), 1)


def test_they_are_averaged_over_what_was_called(gpu: LateGpu, tally: Tally) -> None:
    session = engine()
    counted = look(layout("mono", [session]), [session], {})["look"]["counts"]
    assert counted["averaged_over"] == COUNTED_CALLS
    assert counted["by_kernel"] == [{"name": "double", "count": 1.0, "ns": 700.0}]


@pytest.mark.parametrize(
    "error", [NoGpuError("CUPTI is not installed"), CuptiError("cuptiActivityEnable", "not permitted")], ids=str
)
def test_where_nothing_can_be_counted_a_note_says_why_and_clocks_stay(
    gpu: LateGpu, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Tally(monkeypatch, gpu, error)
    session = engine()
    seen = look(layout("mono", [session]), [session], {"cuda_graph": True})
    # Nobody counted, so nobody can say that a promise was broken.
    assert set(seen) == {"look"}
    assert seen["look"]["notes"] == [f"kernels, copies and launches were not counted: {error}"]
    assert "counts" not in seen["look"]
    assert seen["look"]["clocks"]["calls"] == WATCHED_CALLS


def test_counting_ends_where_a_call_fails(gpu: LateGpu, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    # Left on, it would slow down, and count, whatever comes next.
    session = engine()
    made = layout("mono", [session])
    looking.counts(made)
    gpu.fails["cuStreamSynchronize"] = 719
    with pytest.raises(EngineError):
        looking.counts(made)
    assert tally.stopped == 2


def test_of_two_calls_in_one_only_counts_are_told(gpu: LateGpu, tally: Tally) -> None:
    # The clock would tell of the second, and look twice as fast as the GPU is.
    session = engine()
    seen = look(layout("seq", [session]), [session], {})["look"]
    assert "clocks" not in seen
    assert seen["counts"]["synchronisations"] == 2.0
    assert "seq makes two" in seen["notes"][0]
    gpu_call(seen)


def test_where_there_is_no_device_there_is_nothing_to_see(gpu: LateGpu, tally: Tally) -> None:
    class OnHost(Session):
        def run(self, feeds: dict[str, Any]) -> Any:
            raise AssertionError("called for nothing")

        def facts(self) -> Facts:
            return Facts("fp32")

    session = OnHost()
    assert look(layout("mono", [session]), [session], {"cuda_graph": True}) == {}
    assert tally.stopped == 0


# Promises


def test_a_graph_that_was_asked_for_and_not_launched_fails_the_cell(gpu: LateGpu, tally: Tally) -> None:
    # Its row would say CUDA graph over the time of single launches.
    session = engine()
    seen = look(layout("mono", [session]), [session], {"cuda_graph": True})
    assert seen["status"] == "failed"
    assert seen["reason"] == (
        "a CUDA graph was asked for and none was launched: 1 kernels a call were launched one by one"
    )
    assert seen["look"]["counts"]["graph_launches"] == 0


def test_a_graph_that_was_launched_keeps_the_promise(gpu: LateGpu, tally: Tally) -> None:
    session = Captured(asked(), open_gpu("spin"))
    seen = look(layout("mono", [session]), [session], {"cuda_graph": True})
    assert set(seen) == {"look"}
    assert seen["look"]["counts"]["graph_launches"] == 1.0


@pytest.mark.parametrize(
    ("counted", "graph"),
    [
        (None, True),
        ({"graph_launches": 0, "kernels": 3, "launches": 3}, False),
        ({"graph_launches": 1, "kernels": 3, "launches": 0}, True),
        # A model that only copies has no kernel that a graph could hold.
        ({"graph_launches": 0, "kernels": 0, "launches": 0}, True),
    ],
)
def test_nobody_is_accused_without_evidence(counted: dict[str, Any] | None, *, graph: bool) -> None:
    assert broken_promise(counted, graph=graph) == ""


# In the process that measures


class Adapter(Runtime):
    """A runtime over the tiny engine, one answer of which may be wrong."""

    options = ()
    title = name = "tiny"
    kind: type[Engine] = Engine
    told: dict[str, Any]

    def start(self) -> None:
        """There is nothing to import."""

    def load(self, request: Request) -> list[Session]:
        sessions = [self.kind(asked(), open_gpu("spin")) for _ in range(request.sessions)]
        for session in sessions:
            session.facts = lambda: Facts("fp32", "cuda:0", self.told)  # type: ignore[method-assign]
        return list(sessions)


def serve(monkeypatch: pytest.MonkeyPatch, folder: Path, told: dict[str, Any], **changes: Any) -> dict[str, Any]:
    adapter = Adapter()
    adapter.told = told
    monkeypatch.setattr(measure.registry, "get", lambda name: adapter)
    monkeypatch.setattr(measure, "gpu_watch", lambda: None)
    inputs = [[feeds(100 * side + turn) for turn in range(3)] for side in range(2)]
    expected = [[[np.float32(right(100 * side + turn))] for turn in range(3)] for side in range(2)]
    save_oracle(folder / "oracle.npz", inputs, expected, ["x"], {})
    cell = {"runtime": "tiny", "layout": "mono", "threads": 2, "threads_each": 2, "sessions": 1, "options": {}}
    oracle = {"oracle": str(folder / "oracle.npz"), "oracle_origin": "a formula", "cards": [card().to_json()] * 2}
    limits = {"process_s": 0.01, "samples_least": 3, "samples_most": 50, "spawned_ns": 0, "born_ns": 0}
    request = {**cell, **oracle, **limits, "engine_cache": str(folder), "look": True, **changes}
    return measure.serve(request)


@pytest.mark.parametrize("transfer", ["host", "device"])
def test_a_process_that_is_asked_to_look_does_so_after_its_timing(
    gpu: LateGpu, tally: Tally, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transfer: str
) -> None:
    reply = serve(monkeypatch, tmp_path, {"cuda_graph": False}, options={"transfer": transfer})
    assert "status" not in reply, reply
    assert reply["wall_ns"]
    copies = reply["look"]["counts"]["copies"]["to device"]["count"]
    assert copies == (1.0 if transfer == "host" else 0.0)
    timed = len(base64.b64decode(reply["wall_ns"])) // 8
    assert gpu.calls[: gpu.calls.index("cuEventRecord")].count("cuStreamSynchronize") > timed
    assert "look" not in serve(monkeypatch, tmp_path, {}, look=False)


def test_a_process_whose_graph_was_not_launched_keeps_its_samples_and_fails(
    gpu: LateGpu, tally: Tally, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reply = serve(monkeypatch, tmp_path, {"cuda_graph": True})
    assert (reply["status"], bool(reply["wall_ns"])) == ("failed", True)
    assert "none was launched" in reply["reason"]


def test_a_wrong_answer_is_not_looked_at(
    gpu: LateGpu, tally: Tally, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Engine, "_compute", lambda self, places: None)
    reply = serve(monkeypatch, tmp_path, {})
    assert (reply["status"], "look" in reply, tally.stopped) == ("wrong", False, 0)
