"""The study of the gate: real gates over things that do not differ, and over changes that are planted.

Each is an ordinary gate with a run file of its own; what is kept of it is its verdict and a thinned copy of every
process, which is enough to judge it again, and to draw other gates from the same processes.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from bench import campaign
from bench.expand import Choice, default_suite, expand
from bench.gate_plan import gate_plan
from bench.plan import ModelSpec
from bench.study.noise import noise
from models.prepare import prepare_zoo
from results.gate import of_run
from results.gate_spec import BASELINE, CANDIDATE, Gate
from results.record import Record
from results.runfile import RunFile
from results.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from bench.plan import Plan
    from results.gate import Verdict

MODEL, FORM, RUNTIME, LAYOUT, THREADS = "rt8", "ln", "ort-cpu", "mono", 1
PROFILE = "quick"
NOISY_PROCESSES = 2
# So many calls of a process are kept, evenly spread over it.
CALLS_KEPT = 48
LONG_S = 3600.0
# Share of the arithmetic in convolutions that the wrong candidate leaves out, at least.
LEFT_OUT = 0.5


@dataclass(frozen=True)
class Kind:
    """What is tried.

    Attributes:
        slower: what is planted on the candidate's side.
        noisy: whether noise is made on purpose.
        title: in words.
    """

    slower: float
    noisy: bool
    title: str


KINDS = {
    "same-quiet": Kind(0.0, False, "nothing differs, quiet"),
    "same-noisy": Kind(0.0, True, "nothing differs, noise on purpose"),
    "plus2-quiet": Kind(0.02, False, "+2 % planted, quiet"),
    "plus5-noisy": Kind(0.05, True, "+5 % planted, noise on purpose"),
}


@dataclass(frozen=True)
class Done:
    """One real gate.

    Attributes:
        kind: of :data:`KINDS`.
        number: within its kind.
        verdict: what it said.
        records: its processes, thinned; cells are ``baseline`` and ``candidate``.
        took_s: of all its processes, from their start to their end.
        process_s: round → seconds of timed calls in the baseline's process.
    """

    kind: str
    number: int
    verdict: str
    records: tuple[Record, ...]
    took_s: float
    process_s: Mapping[int, float]


# The same candidate, where it may answer otherwise: how much faster it is.
LET_THROUGH = "let-through"
# A candidate that is faster because it leaves something out.
WRONG = "wrong"
NAMES = (*KINDS, WRONG, LET_THROUGH)


def wrong_plan(folder: Path, *, same_answers: bool) -> Plan:
    """The plan of a gate whose candidate lacks some convolutions.

    Args:
        folder: where both files are written.
        same_answers: False lets it through, to see how much faster it is.
    """
    right, wrong = folder / "right.onnx", folder / "wrong.onnx"
    card = prepare_zoo(MODEL, FORM, 1, folder, None)
    model = onnx.load(card.path)
    onnx.save(model, right)
    onnx.save(without_convolutions(model), wrong)
    choice = Choice(runtimes=(RUNTIME,), layouts=(LAYOUT,), threads=(THREADS,))
    plans = [
        expand(
            default_suite(["net"]),
            replace(choice, models=("net",), extra_models={"net": ModelSpec("net", str(path), audio_s=card.audio_s)}),
            PROFILE,
            THREADS,
        )
        for path in (right, wrong)
    ]
    says = {BASELINE: "as it is", CANDIDATE: "without some convolutions"}
    return gate_plan((plans[0], plans[1]), Gate((), says=says), same_answers=same_answers)


def without_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without its largest convolutions whose output has the shape of their input."""
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    weights = {one.name: math.prod(one.dims) for one in model.graph.initializer}
    cost = {
        node.output[0]: weights.get(node.input[1], 0) * math.prod(shapes.get(node.output[0], [0])[2:])
        for node in model.graph.node
        if node.op_type == "Conv"
    }
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    gone = 0
    for node in sorted(model.graph.node, key=lambda node: -cost.get(node.output[0], 0)):
        kept = shapes.get(node.input[0]) if node.input else None
        if node.op_type != "Conv" or kept is None or kept != shapes.get(node.output[0]):
            continue
        here = next(other for other in changed.graph.node if other.output[:] == node.output[:])
        source = here.input[0]  # which may stand for one that is gone by now
        for other in changed.graph.node:
            other.input[:] = [source if name == node.output[0] else name for name in other.input]
        changed.graph.node.remove(here)
        gone += cost[node.output[0]]
        if gone >= LEFT_OUT * sum(cost.values()):
            break
    return changed


def plan_of(kind: Kind) -> Plan:
    """The plan of one gate."""
    suite = default_suite([MODEL])
    choice = Choice(models=(MODEL,), forms=(FORM,), runtimes=(RUNTIME,), layouts=(LAYOUT,), threads=(THREADS,))
    plan = expand(suite, choice, PROFILE, THREADS)
    says = {BASELINE: "as it is", CANDIDATE: f"slower by {kind.slower:.0%}" if kind.slower else "as it is"}
    return gate_plan((plan, plan), Gate((), says=says), slower=(0.0, kind.slower))


def measure(folder: Path, name: str, count: int) -> None:
    """Make real gates until there are so many of a kind; what is there is not made again."""
    kind = KINDS.get(name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.jsonl.gz"
    there = len(_lines(path))
    beside: AbstractContextManager[None] = noise(NOISY_PROCESSES) if kind and kind.noisy else nullcontext()
    with beside:
        for number in range(there, count):
            line = _one(kind, name, number)
            # One after the other, compressed members are one file.
            with path.open("ab") as file:
                file.write(gzip.compress(f"{json.dumps(line)}\n".encode(), mtime=0))


def read(folder: Path, name: str) -> Iterator[Done]:
    """Every gate of a kind."""
    for line in _lines(folder / f"{name}.jsonl.gz"):
        found = json.loads(line)
        records = tuple(_record(one) for one in found["processes"])
        timed = {one["round"]: one["timed_s"] for one in found["processes"] if one["side"] == BASELINE}
        yield Done(name, found["number"], found["verdict"], records, found["took_s"], timed)


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines() if path.exists() else []


def _one(kind: Kind | None, name: str, number: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="rtfloor-study-") as folder:
        plan = plan_of(kind) if kind else wrong_plan(Path(folder), same_answers=name == WRONG)
        settings = campaign.Settings(
            results=Path(folder),
            budget_s=LONG_S,
            timeout_s=None,
            memory_bytes=None,
            seed=1000 * NAMES.index(name) + number,
            command="python -m bench.study gates",
            floor=False,
        )
        ended = campaign.start(plan, PROFILE, None, settings)
        if ended.code == campaign.STOPPED:
            raise SystemExit(ended.code)
        with RunFile.read(ended.path) as run:
            facts, specs, records = run.facts(), run.cells(), list(run.records())
    outcome = of_run(facts, summarise(specs, records), records)
    assert outcome is not None, "it came to its end"
    (found,) = outcome.verdicts
    return {
        "number": number,
        "verdict": found.verdict,
        "seen": _seen(found),
        "host": facts["host"]["fingerprint"],
        "created": facts["created"],
        "took_s": round(sum(float(record.facts["took_s"]) for record in records), 2),
        "processes": [] if kind is None else [_thinned(record, found) for record in records],
    }


def _seen(found: Verdict) -> dict[str, Any]:
    seen = found.seen
    if seen is None:
        return {"pairs": found.pairs, "view": found.view}
    figures = {"estimate": seen.estimate, "low": seen.low, "high": seen.high}
    return {"pairs": found.pairs, "view": found.view, **{key: round(value or 0.0, 5) for key, value in figures.items()}}


def _thinned(record: Record, found: Verdict) -> dict[str, Any]:
    wall, cpu = record.settled_ns, record.cpu_ns[record.warmup :]
    kept = np.unique(np.linspace(0, len(wall) - 1, CALLS_KEPT).round().astype(int))
    # Tens of nanoseconds are noise of the clock.
    figures = [[round(int(value) / 100) for value in series[kept]] for series in (wall, cpu)]
    return {
        "side": BASELINE if record.cell == found.pair.baseline else CANDIDATE,
        "round": record.round,
        "turns": [int(np.searchsorted(kept + record.warmup, begin)) for begin in record.facts.get("turns", ())],
        "wall_100ns": figures[0],
        "cpu_100ns": figures[1],
        "timed_s": round(float(record.wall_ns.sum()) * 1e-9, 3),
        "took_s": round(float(record.facts["took_s"]), 3),
    }


def _record(found: dict[str, Any]) -> Record:
    wall, cpu = (np.array(found[key], np.int64) * 100 for key in ("wall_100ns", "cpu_100ns"))
    facts = {"took_s": found["took_s"], "turns": found["turns"]}
    return Record(found["side"], found["round"], "ok", "", "", facts, wall, cpu, 0)


def shifted(record: Record, share: float) -> Record:
    """The same process with a change planted afterwards: every call longer by a share of its own time."""
    longer = [(series * (1.0 + share)).round().astype(np.int64) for series in (record.wall_ns, record.cpu_ns)]
    return replace(record, wall_ns=longer[0], cpu_ns=longer[1])
