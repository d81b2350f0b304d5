"""Task: measure one cell in this process: start, load, check, time, check again."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import disturbance
from bench.baton import Baton
from bench.check import Checker
from bench.layouts import Layout, Par, make_layout
from bench.look import look
from bench.measure import Samples, sample, timer_cost_ns
from bench.plant import slow_down
from bench.resident import Resident
from bench.tasks.common import engine_request
from bench.threads import parallelism, thread_cpu_ns, threads_used
from bench.warmup import is_steady, warmup_samples
from models.card import Card
from models.oracle_file import load_oracle, save_answers
from results.works import on_device
from runtimes import registry
from runtimes.gpu.nvml import gpu_watch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtimes.base import Facts

# A budget is broken only when more threads than it ran and together they got more processor
# time than it: a pool's sleeping helpers do not count.
TOLERATED_PARALLELISM = 1.1


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with one record.

    The request has ``runtime``, ``layout``, ``threads``, ``threads_each``, ``sessions``,
    ``options``, ``cards`` (one channel, and as called), ``oracle``, ``engine_cache``,
    ``process_s``, ``samples_least``, ``samples_most`` and the two times ``spawned_ns`` and
    ``born_ns``; with ``turns``, another process computes in turns with this one.
    """
    clock = time.perf_counter_ns
    cards = (Card.from_json(request["cards"][0]), Card.from_json(request["cards"][1]))
    inputs, expected = load_oracle(Path(request["oracle"]))
    adapter = registry.get(request["runtime"])
    begin = clock()
    adapter.start()
    started = clock()
    sessions = adapter.load(engine_request(request, cards[1]))
    loaded = clock()
    if len(sessions) != request["sessions"]:
        raise RuntimeError(f"the adapter made {len(sessions)} sessions where {request['sessions']} were asked for")
    layout: Layout | None = None
    try:
        make = Resident if on_device(request["options"]) else make_layout
        layout = make(request["layout"], cards, inputs, sessions)
        if share := float(request.get("slower", 0.0)):
            slow_down(layout, share)
        checker = Checker(layout, expected, cards[0], str(request["oracle_origin"]))
        # The stated precision decides how much error is allowed; where none was stated, what ran does.
        first_ns, answers = checker.answers()
        phases = {
            "start": request["born_ns"] - request["spawned_ns"],
            "import": started - begin,
            "load": loaded - started,
            "first_call": first_ns,
        }
        stated = str(request["options"].get("precision", "default"))
        facts = sessions[0].facts()
        precision = "+".join(sorted({facts.precision if stated == "default" else stated, cards[0].precision}))
        reply = {
            "phases_ns": phases,
            "precision_asked": stated,
            "precision_ran": facts.precision,
            "device": facts.device,
            "engine_facts": dict(facts.details),
            "timer_cost_ns": timer_cost_ns(),
            "judged_as": precision,
        }
        wrong = checker.verdict(answers, precision, "before timing")
        if wrong:
            return {**reply, "status": "wrong", "reason": wrong, "error": checker.worst()}
        reply |= _timed(request, layout, checker, precision, facts)
        if request.get("look") and reply.get("status", "ok") == "ok":
            reply |= look(layout, sessions, facts.details)
        if target := request.get("answers_to"):
            # After timing, so that writing them disturbs nothing.
            save_answers(Path(target), [layout.answers(outputs) for _, outputs in answers])
        return reply
    finally:
        if layout is not None:
            layout.close()
        for session in sessions:
            session.close()


def _timed(request: dict[str, Any], layout: Layout, checker: Checker, precision: str, facts: Facts) -> dict[str, Any]:
    """Time calls, and judge them and what the process did meanwhile."""
    layout.begin()
    machine = disturbance.Watch()
    baton = Baton.of_worker(request["reply"], machine) if request.get("turns") else None
    watch = gpu_watch() if facts.device.startswith("cuda") else None
    if watch is not None:
        watch.sample()
    threads = thread_cpu_ns()
    begin = time.perf_counter_ns()
    samples, warmup, steady = _sample(request, layout, baton)
    window_ns = time.perf_counter_ns() - begin - (baton.rested_ns if baton else 0)
    threads_after = thread_cpu_ns()
    if watch is not None:
        # At once, before the GPU rests.
        watch.sample()
        watch.close()
    reply: dict[str, Any] = {
        "disturbance": machine.facts(),
        "rss_peak_bytes": disturbance.peak_rss_bytes(),
        "wall_ns": _packed(samples.wall()),
        "cpu_ns": _packed(samples.cpu()),
        "warmup": warmup,
        "steady": steady,
        "threads_used": threads_used(threads, threads_after, window_ns),
        "parallelism": parallelism(threads, threads_after, window_ns),
        "overlap": _overlap(layout),
    }
    if baton is not None:
        reply["turns"] = baton.turns
    if watch is not None and (seen := watch.facts()):
        reply["gpu"] = seen
    wrong = checker.after(list(samples.last), precision)
    reply["error"] = checker.worst()
    if wrong:
        return {**reply, "status": "wrong", "reason": wrong}
    broken = _broken_budget(reply, request["threads"])
    if layout.stateful and (runaway := checker.runaway(samples.last)):
        broken = f"{runaway}: its states run away on these inputs; feed others with --input"
    return {**reply, "status": "failed", "reason": broken} if broken else reply


def _overlap(layout: Layout) -> float | None:
    side = layout.inner if isinstance(layout, Resident) else layout
    asked = isinstance(side, Par) and side.shorter_ns > 0
    return side.overlap_ns / side.shorter_ns if asked and isinstance(side, Par) else None


def _sample(request: dict[str, Any], layout: Layout, baton: Baton | None) -> tuple[Samples, int, bool]:
    """Time calls; once more as long when warm-up was not over by half."""
    duration, least, most = request["process_s"], request["samples_least"], request["samples_most"]
    samples = sample(layout, duration, least, most, baton=baton)
    wall = samples.wall()
    warmup = warmup_samples(wall)
    if not is_steady(wall, warmup):
        samples = sample(layout, duration, least, most, samples, baton)
        wall = samples.wall()
        warmup = warmup_samples(wall)
    return samples, warmup, is_steady(wall, warmup)


def _broken_budget(reply: dict[str, Any], budget: int) -> str:
    used, busy = reply["threads_used"], reply["parallelism"]
    if used is None or busy is None or used <= budget or busy <= budget * TOLERATED_PARALLELISM:
        return ""
    return f"{used} threads ran on {busy:.1f} processors where the budget is {budget}; its time is not comparable"


def _packed(values: NDArray[np.int64]) -> str:
    return base64.b64encode(values.astype("<i8").tobytes()).decode("ascii")
