"""Carry out a plan: rounds of fresh processes in random order, each committed as it ends."""

from __future__ import annotations

import base64
import itertools
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bench.duet import Played, Task, knows_turns
from bench.pairs import same_processors, together
from bench.policy import policy_of
from bench.rounds import Round
from results.goal import Goal, seen_in
from results.record import Record
from results.tuned import pick, spent_s
from runtimes.registry import on_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.duet import Duet
    from bench.plan import Cell, Plan
    from bench.prepare import Preparer, Ready
    from bench.profile import Profile
    from bench.spawn import Outcome, Spawn
    from results.goal import Seen
    from results.runfile import RunFile

# Of a call that takes microseconds, this many samples per process say all there is to say.
SAMPLES_MOST = 20_000
SAMPLES_LEAST = 3
KEPT_TAIL = 1500
# The detection chain over the largest model's answers takes about a minute on a busy processor.
QUALITY_TIMEOUT_S = 300.0


class Watcher(Protocol):
    """Is told what happens; draws progress, or does nothing."""

    def begin(self, cells: int, budget_s: float) -> None:
        """Measuring starts: so many cells, at most so long."""

    def before(self, cell: Cell, number: int, elapsed_s: float) -> None:
        """A process is about to start."""

    def after(self, cell: Cell, record: Record, elapsed_s: float, processes_left: int) -> None:
        """A process has ended and is committed."""


@dataclass(frozen=True)
class Limits:
    """What every worker may use.

    Attributes:
        timeout_s: from its start to its answer.
        memory_bytes: private writable memory.
        cpus: the processors it may run on; None leaves them as they are.
    """

    timeout_s: float
    memory_bytes: int
    cpus: tuple[int, ...] | None = None


@dataclass(frozen=True)
class _Asked:
    """A process that is about to be started.

    Attributes:
        cell: whose.
        ready: what preparation found out about it.
        request: what its worker is asked.
    """

    cell: Cell
    ready: Ready
    request: dict[str, Any]


class Runner:
    """Measures a plan into a run file.

    Args:
        plan: what to measure.
        profile: how much.
        run: where records go; what is in it already is not measured again.
        seed: fixes the order of cells in every round.
        spawn: starts a worker.
        limits: for every worker.
        watcher: is told what happens.
        duet: measures two cells of a pair in turns; None where they follow each other.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        plan: Plan,
        profile: Profile,
        run: RunFile,
        seed: int,
        spawn: Spawn,
        limits: Limits,
        watcher: Watcher,
        duet: Callable[[Task, Task, float], Duet] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._run, self._seed = plan, run, seed
        self._profile = replace(profile, race=profile.race and plan.race)
        self._policy = policy_of(plan, self._profile, run.cells())
        self._spawn, self._limits, self._watcher, self._clock = spawn, limits, watcher, clock
        self._duet = duet
        self._history: dict[str, dict[int, Seen]] = {}
        self._ended: set[str] = set()
        self._done: set[tuple[str, int]] = set()
        self._judged: set[str] = set()
        self._looked: set[str] = set()
        self._spent_s = 0.0
        for record in run.records():
            self._count(record)
            self._spent_s += spent_s([record])

    def measure(self, preparer: Preparer, ready: Mapping[str, Ready]) -> str:
        """Go on until every cell is settled or the time is up.

        Returns:
            Why it ended: ``settled`` or ``time``.

        Raises:
            KeyboardInterrupt: passed on; everything finished is in the run file.
            RunFileError: a record could not be written.
        """
        cells = [cell for cell in self._plan.cells if not ready[cell.id].status]
        self._watcher.begin(len(cells), self._profile.budget_s)
        ended = self._rounds(cells, preparer, ready)
        if self._plan.goal is not None:
            self._vouch(cells, Goal.from_json(self._plan.goal), preparer, ready)
        return ended

    def _rounds(self, cells: list[Cell], preparer: Preparer, ready: Mapping[str, Ready]) -> str:
        begin = self._clock()
        # A search that goes on decides about its last round again, and leaves those before it as they are.
        last = max((number for _, number in self._done), default=0) if self._plan.goal is not None else 0
        for number in itertools.count(last):
            coming = self._policy.next_round(
                number, [cell for cell in cells if cell.id not in self._ended], self._history
            )
            if coming is None:
                break
            for group in together(self._policy.order(cells, number, self._seed), coming.pairs):
                due = [cell for cell in group if self._due(cell, number, coming)]
                if not due:
                    continue
                elapsed = self._spent_s + self._clock() - begin
                if number > 0 and elapsed >= self._profile.budget_s:
                    return "time"
                for cell, record in self._group(due, number, preparer, ready, coming, elapsed):
                    self._run.add(record)
                    self._count(record)
                    elapsed = self._spent_s + self._clock() - begin
                    self._watcher.after(cell, record, elapsed, self._left(cells, coming.going, number))
        return "settled"

    def _due(self, cell: Cell, number: int, coming: Round) -> bool:
        return cell.id in coming.going and cell.id not in self._ended and (cell.id, number) not in self._done

    def _group(
        self,
        group: list[Cell],
        number: int,
        preparer: Preparer,
        ready: Mapping[str, Ready],
        coming: Round,
        elapsed_s: float,
    ) -> Iterator[tuple[Cell, Record]]:
        """A process each: of two that belong together in turns, if they can; else one after the other."""
        if coming.pairs:
            seed = f"{self._seed}/{number}/{group[0].model}/{group[0].id}"
            ready = same_processors(group, ready, self._limits.cpus, seed)
        asked = [self._asked(cell, preparer, ready[cell.id], coming) for cell in group]
        if len(group) == 2 and coming.together and all(map(self._takes_turns, asked)):
            self._watcher.before(group[0], number, elapsed_s)
            yield from zip(group, self._measured(asked, number, preparer, self._in_turns), strict=True)
            return
        for one in asked:
            self._watcher.before(one.cell, number, elapsed_s)
            yield one.cell, self._one(one, number, preparer)

    def _takes_turns(self, one: _Asked) -> bool:
        return self._duet is not None and knows_turns(one.request) and not self._to_look_at(one.cell)

    def _vouch(self, cells: list[Cell], goal: Goal, preparer: Preparer, ready: Mapping[str, Ready]) -> None:
        """Have the quality of a search's pick judged, wherever its time ended, until one stands."""
        by_name = {cell.id: cell for cell in cells}
        number = max((number for _, number in self._done), default=-1) + 1
        while True:
            allowed = {
                name: rounds
                for name, rounds in self._history.items()
                if name not in self._ended and not goal.breaks(rounds.values())
            }
            best = pick(goal, allowed)
            if best is None or best in self._judged:
                return
            coming = Round(frozenset({best}), self._profile.process_s)
            record = self._one(self._asked(by_name[best], preparer, ready[best], coming), number, preparer)
            self._run.add(record)
            self._count(record)
            # A process without an answer to judge, such as one that was stopped, settles its cell as well.
            number += 1
            if "quality" not in record.facts and record.status == "ok":
                return

    def _left(self, cells: list[Cell], going: Collection[str], number: int) -> int:
        """How many processes would follow at most."""
        alive = [cell for cell in cells if cell.id in going and cell.id not in self._ended]
        rest = sum(1 for cell in alive if (cell.id, number) not in self._done)
        return rest + self._policy.ahead(number, len(alive))

    def _asked(self, cell: Cell, preparer: Preparer, ready: Ready, coming: Round) -> _Asked:
        if not coming.judge:
            ready = replace(ready, parent="")
        request = measure_request(preparer.request(cell), ready, coming.process_s) | self._bounds()
        if ready.cpus:
            request["affinity"] = list(ready.cpus)
        return _Asked(cell, ready, request)

    def _one(self, one: _Asked, number: int, preparer: Preparer) -> Record:
        """One process of one cell, not yet written down."""
        if self._to_look_at(one.cell):
            return self._looking(one, number, preparer)
        return self._measured([one], number, preparer, self._alone)[0]

    def _to_look_at(self, cell: Cell) -> bool:
        return cell.id not in self._looked and on_gpu(cell.runtime)

    def _looking(self, one: _Asked, number: int, preparer: Preparer) -> Record:
        """Measure, and look what the GPU does in a call; looking must not cost a cell its time."""
        self._looked.add(one.cell.id)
        looking = replace(one, request=one.request | {"look": True})
        (record,) = self._measured([looking], number, preparer, self._alone)
        if record.status not in ("failed", "timeout") or "phases_ns" in record.facts:
            return record
        # It ended without an answer, and may have done so because it was looked at.
        (again,) = self._measured([one], number, preparer, self._alone)
        # A resumed run counts what was spent, on both.
        took_s = sum(float(process.facts.get("took_s", 0.0)) for process in (record, again))
        again = replace(again, facts={**again.facts, "took_s": took_s})
        if again.status != "ok":
            return again
        said = f"nobody can say what the GPU does: a process that was looked at did not survive it ({record.reason})"
        return replace(again, facts={**again.facts, "look": {"notes": [said]}})

    def _measured(
        self,
        asked: Sequence[_Asked],
        number: int,
        preparer: Preparer,
        play: Callable[[Sequence[Task]], Sequence[Played]],
    ) -> list[Record]:
        """Start these processes, by ``play``, and judge what they answered."""
        with ExitStack() as stack:
            # Every process is held to its form's oracle; beside the form raw, one process stands for its cell.
            judged = [one for one in asked if one.cell.id not in self._judged and one.ready.parent]
            answers: dict[str, str] = {}
            if judged:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtfloor-answers-")))
                answers = {one.cell.id: str(folder / f"{place}.npz") for place, one in enumerate(judged)}
            tasks = []
            for one in asked:
                target = answers.get(one.cell.id)
                tasks.append(Task(one.request | ({"answers_to": target} if target else {}), one.ready.environment))
            started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            records = []
            for one, played in zip(asked, play(tasks), strict=True):
                record = to_record(one.cell.id, number, started_at, played.took_s, played.outcome)
                if one.cell.id in answers and record.status == "ok":
                    record = self._judge(record, preparer, one.ready, answers[one.cell.id])
                records.append(record)
        return records

    def _alone(self, tasks: Sequence[Task]) -> list[Played]:
        (task,) = tasks
        begin = self._clock()
        outcome = self._spawn(task.request, task.environment, self._limits.timeout_s)
        return [Played(outcome, self._clock() - begin)]

    def _in_turns(self, tasks: Sequence[Task]) -> Duet:
        assert self._duet is not None, "asked before"
        return self._duet(tasks[0], tasks[1], self._limits.timeout_s)

    def _bounds(self) -> dict[str, Any]:
        """What every worker of this run may use."""
        return {
            "memory_limit_bytes": self._limits.memory_bytes,
            "affinity": list(self._limits.cpus) if self._limits.cpus else None,
        }

    def _judge(self, record: Record, preparer: Preparer, ready: Ready, answers: str) -> Record:
        """The record with its quality beside the form raw; one that is past a limit is wrong."""
        request = preparer.quality_request(ready, str(record.facts["judged_as"]), answers) | self._bounds()
        begin = self._clock()
        outcome = self._spawn(request, {}, QUALITY_TIMEOUT_S)
        record = replace(record, facts={**record.facts, "judged_s": self._clock() - begin})
        if outcome.status != "ok" or outcome.body["status"] != "ok":
            reason = outcome.reason or str(outcome.body.get("reason"))
            return replace(record, status="failed", reason=f"its quality could not be judged: {reason}")
        facts = {**record.facts, "quality": outcome.body["quality"]}
        wrong = str(outcome.body["wrong"])
        return replace(record, facts=facts, status="wrong" if wrong else "ok", reason=wrong)

    def _count(self, record: Record) -> None:
        self._done.add((record.cell, record.round))
        self._policy.note(record)
        if "look" in record.facts:
            self._looked.add(record.cell)
        if "quality" in record.facts:
            self._judged.add(record.cell)
        if record.status != "ok":
            # One wrong answer or one crash settles a cell: its time would mean nothing.
            self._ended.add(record.cell)
        elif (seen := seen_in(record)) is not None:
            self._history.setdefault(record.cell, {})[record.round] = seen


def measure_request(engine: Mapping[str, Any], ready: Ready, process_s: float) -> dict[str, Any]:
    """What a worker is asked in order to measure one cell.

    Args:
        engine: from :meth:`bench.prepare.Preparer.request`.
        ready: what preparation found out about the cell.
        process_s: seconds to go on timing calls.
    """
    return {
        "task": "measure",
        **engine,
        "cards": list(ready.cards),
        "oracle": ready.oracle,
        "oracle_origin": ready.oracle_origin,
        "process_s": process_s,
        "samples_least": SAMPLES_LEAST,
        "samples_most": SAMPLES_MOST,
    }


def to_record(cell: str, number: int, started_at: str, took_s: float, outcome: Outcome) -> Record:
    """What a worker's end means for its cell."""
    body = dict(outcome.body)
    status = body.pop("status", outcome.status)
    reason = body.pop("reason", outcome.reason)
    wall, cpu = _unpacked(body.pop("wall_ns", "")), _unpacked(body.pop("cpu_ns", ""))
    warmup = body.pop("warmup", 0)
    facts = {**body, "took_s": took_s}
    if outcome.tail:
        facts["printed"] = outcome.tail[-KEPT_TAIL:]
    return Record(cell, number, status, reason, started_at, facts, wall, cpu, warmup)


def cell_specs(plan: Plan, ready: Mapping[str, Ready]) -> dict[str, dict[str, Any]]:
    """What the run file keeps of every cell: the plan's fields and what preparation found out."""
    specs = {}
    for cell in plan.cells:
        prepared = ready[cell.id]
        card = prepared.cards[0] if prepared.cards else {}
        called = prepared.cards[1] if len(prepared.cards) > 1 else {}
        specs[cell.id] = {
            **asdict(cell),
            "version": prepared.version,
            "audio_s": card.get("audio_s"),
            "audio": card.get("audio"),
            "users_file": plan.models[cell.model].path is not None,
            "model_sha256": card.get("sha256"),
            "called_sha256": called.get("sha256"),
            "precision": card.get("precision"),
            "nodes": card.get("nodes"),
            "parameters": card.get("parameters"),
            "work": card.get("work") or None,
            "surgery": list(card.get("surgery", ())),
            "oracle_origin": prepared.oracle_origin,
            "build": dict(prepared.build),
            "build_s": prepared.build_s,
            "size_bytes": prepared.size_bytes,
        }
    return specs


def _unpacked(text: str) -> NDArray[np.int64]:
    return np.frombuffer(base64.b64decode(text), "<i8").astype(np.int64)
