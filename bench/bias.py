"""What measuring itself costs: the harness beside a bare loop, in interleaved fresh processes.

``python -m bench.bias`` prints, for ONNX Runtime on the null model and on rt48, how far the
harness's p50 lies from that of a script that does nothing but call and look at the clock.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import paths
from bench.plan import Cell, ModelSpec, Plan
from bench.prepare import Preparer, Ready
from bench.run import SAMPLES_MOST, measure_request, to_record
from bench.spawn import spawn
from models.oracle_file import load_oracle
from results.intervals import Interval
from results.student import t_quantile
from runtimes import registry
from runtimes.options import resolve

RUNTIME = "ort-cpu"
# A program of its own: whatever the harness does, this does not.
BARE_LOOP = """
import gc, json, statistics, sys, time
import numpy as np
import onnxruntime as ort
ort.set_default_logger_severity(3)
model, inputs, seconds, most = sys.argv[1], np.load(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
settings = ort.SessionOptions()
settings.intra_op_num_threads = settings.inter_op_num_threads = 1
session = ort.InferenceSession(model, settings, ["CPUExecutionProvider"])
feeds = {session.get_inputs()[0].name: inputs}
names = [output.name for output in session.get_outputs()]
for _ in range(20):
    session.run(names, feeds)
gc.collect()
gc.disable()
clock, run, times = time.perf_counter_ns, session.run, []
end = clock() + int(seconds * 1e9)
while len(times) < most and clock() < end:
    before = clock()
    run(names, feeds)
    times.append(clock() - before)
print(json.dumps(statistics.median(times)))
"""


@dataclass(frozen=True)
class Bias:
    """How far the harness lies from a bare loop.

    Attributes:
        bare_ns: geometric mean of the bare loops' medians.
        harness_ns: the same for the harness.
        share: median over rounds of harness / bare − 1.
        interval: t interval of that share over rounds, on logs.
    """

    bare_ns: float
    harness_ns: float
    share: float
    interval: Interval


def bias(model: str, form: str, rounds: int, seconds: float) -> Bias:
    """Measure one model in ``rounds`` interleaved pairs of fresh processes.

    Args:
        model: a zoo model with one input.
        form: one of its forms.
        rounds: pairs, at least 3; their order alternates.
        seconds: timed part of each process.
    """
    cell = Cell(model, form, RUNTIME, "mono", 1, resolve(RUNTIME, registry.get(RUNTIME).options, {}))
    preparer = Preparer(Plan("", "", "quick", {model: ModelSpec(model)}, (cell,)), spawn, lambda _: None)
    ready = preparer.ready(cell)
    if ready.status:
        raise SystemExit(f"bias needs {RUNTIME}: {ready.reason}")
    pairs = []
    for number in range(rounds):
        if number % 2:
            harness, bare = _harness(preparer, cell, ready, seconds), _bare(ready, seconds)
        else:
            bare, harness = _bare(ready, seconds), _harness(preparer, cell, ready, seconds)
        pairs.append((bare, harness))
    logs = [math.log(harness / bare) for bare, harness in pairs]
    half = t_quantile(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    mean = statistics.mean(logs)
    return Bias(
        statistics.geometric_mean(bare for bare, _ in pairs),
        statistics.geometric_mean(harness for _, harness in pairs),
        math.expm1(statistics.median(logs)),
        Interval(math.expm1(mean - half), math.expm1(mean + half)),
    )


def _harness(preparer: Preparer, cell: Cell, ready: Ready, seconds: float) -> float:
    request = measure_request(preparer.request(cell), ready, seconds)
    record = to_record(cell.id, 0, "", 0.0, spawn(request, ready.environment, 120.0))
    if record.status != "ok":
        raise SystemExit(f"the harness could not measure {cell.id}: {record.reason}")
    return float(np.median(record.settled_ns))


def _bare(ready: Ready, seconds: float) -> float:
    inputs, _ = load_oracle(Path(ready.oracle))
    (values,) = inputs[0][0].values()
    file = paths.cache() / "bias-input.npy"
    np.save(file, values)
    command = [sys.executable, "-P", "-c", BARE_LOOP, str(ready.cards[1]["path"]), str(file), str(seconds)]
    result = subprocess.run([*command, str(SAMPLES_MOST)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"the bare loop failed: {result.stderr[-400:]}")
    return float(json.loads(result.stdout))


def main() -> None:
    """Print both figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    # Equal processes on rt48 differ by some percent, so half a percent takes many short ones to see.
    for model, form, seconds, pairs in (("null", "raw", 0.3, rounds), ("rt48", "ln", 0.4, 4 * rounds)):
        found = bias(model, form, pairs, seconds)
        extra_us = (found.harness_ns - found.bare_ns) / 1e3
        low, high = found.interval.low * 100, found.interval.high * 100
        sys.stdout.write(
            f"{model}/{form} on {RUNTIME}, 1 thread, {pairs} interleaved pairs: "
            f"bare loop {found.bare_ns / 1e3:.2f} µs, harness {extra_us:+.2f} µs, {found.share * 100:+.2f} % "
            f"(95 % interval of the mean {low:+.2f} to {high:+.2f} %)\n"
        )


if __name__ == "__main__":
    main()
