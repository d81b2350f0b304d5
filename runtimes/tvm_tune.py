"""TVM's MetaSchedule: a search for fast loops; every candidate is compiled and timed in a process of its own."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from runtimes.errors import UnavailableError
from runtimes.tvm_axes import pass_config
from runtimes.tvm_database import Records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtimes.base import Request

# What MetaSchedule imports beyond TVM's own requirements; xgboost is brought by two distributions.
MODULES = ("cloudpickle", "psutil", "xgboost")
REMEDY = "pip install 'rtfloor[tvm-tune]'"
# Half of the trials go round all tasks, the other half to where most of the time is.
ROUNDS = 2
LARGEST_BATCH = 64
# Sizes of the evolutionary search, as its constructor calls them; those that are not here are the library's own.
SEARCH: dict[str, Any] = {}
# A line on stderr this many times in a tuning, at most.
LINES = 16
PR_SET_PDEATHSIG = 1
VENDOR_LOGGER = "tvm.s_tir.meta_schedule"


def check_packages() -> None:
    """Whatever tuning needs is installed.

    Raises:
        UnavailableError: something is not; the text has the command that mends it.
    """
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        lacking = " and ".join(missing)
        verb = "is" if len(missing) == 1 else "are"
        raise UnavailableError(f"tvm cannot tune: {lacking} {verb} not installed; {REMEDY}, or ask for trials=0")


def versions() -> dict[str, str]:
    """Of what the search depends on."""
    return {name: metadata.version(name) for name in ("xgboost-cpu", "xgboost") if _installed(name)}


def tune(module: Any, target: Any, request: Request, folder: Path) -> None:
    """Bring the records in ``folder`` to ``request.options["trials"]``, or to the end of the search space.

    Args:
        module: Relax, legalised and fused, as it will be when the records are applied.
        target: with ``num-cores``.
        request: whose ``threads`` candidates are timed with.
        folder: of the records; see :class:`~runtimes.tvm_database.Records`. Its name ends in the number of trials.
    """
    from tvm.s_tir.meta_schedule.relax_integration import extract_tasks

    records, trials = Records(folder), int(request.options["trials"])
    before = records.open()
    # The harness times the last sitting alone; what a tuning cost is the sum of all.
    begin = time.monotonic()
    with _quiet():
        tasks = extract_tasks(module, target)
        database = _database(records)

    def note(*, finished: bool = False) -> None:
        spent_s = before.spent_s + time.monotonic() - begin
        sittings = before.sittings + 1
        records.note(replace(before, spent_s=spent_s, sittings=sittings, tasks=len(tasks), finished=finished))

    note()
    if tasks and records.count() < trials:
        with _quiet(), _environment(request, records.scratch):
            _search(tasks, request, records, database, note)
    note(finished=True)


def told(folder: Path) -> dict[str, Any]:
    """Facts about a tuning that is over.

    Returns:
        Trials ``on_record``, ``tasks``, ``spent_s`` in all sittings, whether it was ``resumed``, and how many records
        were ``seeded`` by a tuning of fewer trials; nothing where the records were deleted.
    """
    if not folder.exists():
        return {}
    records = Records(folder)
    known = records.sittings()
    return {
        "records": folder.name,
        "on_record": records.count(),
        "tasks": known.tasks,
        "spent_s": round(known.spent_s, 1),
        "resumed": known.sittings > 1,
        "seeded": known.seeded,
    }


def best_of(module: Any, target: Any, folder: Path) -> Any:
    """The module with the fastest loops on record; where there are none, as it was."""
    from tvm import relax

    with target, _database(Records(folder)):
        return relax.transform.MetaScheduleApplyDatabase()(module)


def compile_candidate(config: dict[str, Any], module: Any, target: Any, _params: Any) -> Any:
    """MetaSchedule's own way, without its import of every tensor intrinsic: 15 s in every new process.

    Args:
        config: of the passes, as the whole model is compiled with.
        module: one function.
        target: with everything that the options say about it.
        _params: none, ever.
    """
    import tvm
    from tvm.driver import build
    from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

    with tvm.transform.PassContext(config=config):
        return build(RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(module), target=target)


def die_with(parent: int) -> None:
    """In a process that compiles or times candidates: end when its parent does, however that is (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _installed(distribution: str) -> bool:
    try:
        return bool(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return False


def _database(records: Records) -> Any:
    from tvm.s_tir.meta_schedule.database import JSONDatabase

    try:
        return JSONDatabase(work_dir=str(records.folder))
    except Exception:  # noqa: BLE001  # whatever is wrong with the tables, they are of no use any more
        records.discard()
        return JSONDatabase(work_dir=str(records.folder))


def _search(tasks: list[Any], request: Request, records: Records, database: Any, note: Any) -> None:
    from tvm.s_tir import meta_schedule
    from tvm.s_tir.meta_schedule.relax_integration import extracted_tasks_to_tune_contexts

    known, trials = records.count(), int(request.options["trials"])
    born = functools.partial(die_with, os.getpid())
    contexts, weights = extracted_tasks_to_tune_contexts(
        tasks,
        str(records.folder),
        # Searching is over when candidates are timed, so it may have every processor.
        num_threads=len(os.sched_getaffinity(0)),
        strategy=meta_schedule.search_strategy.EvolutionarySearch(**SEARCH),
        # A second sitting with the first one's seed would look at the same candidates again.
        seed=1 + known,
    )
    pairs = _in_order(list(zip(contexts, weights, strict=True)), database)
    scheduler = meta_schedule.TaskScheduler.create("gradient")
    builder = meta_schedule.builder.LocalBuilder(
        max_workers=request.threads * request.sessions,
        f_build=functools.partial(compile_candidate, pass_config(request.options)),
        initializer=born,
    )
    meta_schedule.tune.tune_tasks(
        tasks=[context for context, _ in pairs],
        task_weights=[weight for _, weight in pairs],
        work_dir=str(records.folder),
        max_trials_global=trials - known,
        num_trials_per_iter=min(LARGEST_BATCH, max(1, (trials - known) // (ROUNDS * len(pairs)))),
        builder=_prompt(builder, scheduler, _progress(records, trials, note)),
        runner=meta_schedule.runner.LocalRunner(initializer=born),
        # A few hundred rows: more threads only wait for each other, for minutes where another program is busy.
        cost_model=meta_schedule.CostModel.create("xgb", num_tuning_cores=1),
        database=database,
        task_scheduler=scheduler,
    )


def _in_order(pairs: list[tuple[Any, float]], database: Any) -> list[tuple[Any, float]]:
    """Tasks without records first, and of those the ones with most to do: they are gone round in this order."""
    from tvm.s_tir.analysis import estimate_tir_flops

    records = database.get_all_tuning_records()

    def place(pair: tuple[Any, float]) -> tuple[bool, float]:
        context, weight = pair
        workload = database.commit_workload(context.mod)
        seen = any(record.workload.same_as(workload) for record in records)
        return seen, -weight * estimate_tir_flops(context.mod)

    return sorted(pairs, key=place)


def _prompt(builder: Any, scheduler: Any, progress: Any) -> Any:
    """A builder that first puts on record what has been timed.

    On its own the scheduler does so when it comes back to a task, which is minutes later: a kill would lose them.
    """
    from tvm.ir.utils import derived_object
    from tvm.s_tir.meta_schedule.builder import PyBuilder

    @derived_object
    class Prompt(PyBuilder):  # type: ignore[misc]
        def build(self, inputs: list[Any]) -> list[Any]:
            for number in range(len(scheduler.tasks_)):
                scheduler.touch_task(number)
            progress()
            return list(builder.build(inputs))

    return Prompt()


def _progress(records: Records, trials: int, note: Any) -> Any:
    """Notes the time, and says now and then how far it is."""
    step, said = max(1, trials // LINES), records.count()

    def progress() -> None:
        nonlocal said
        note()
        known = records.count()
        if known >= said + step:
            said = known
            spent_s = records.sittings().spent_s
            print(f"tuning: {known} of {trials} trials, {spent_s:.0f} s", file=sys.stderr, flush=True)  # noqa: T201

    return progress


@contextmanager
def _environment(request: Request, scratch: Path) -> Iterator[None]:
    """Variables for what is imported and started meanwhile."""
    added = {
        "TVM_NUM_THREADS": str(request.threads),
        "TVM_BIND_THREADS": "0",
        # For xgboost, which is imported when the first candidates have been timed.
        "OMP_NUM_THREADS": "1",
        # Started with -m: a folder of the user's own named like one of our packages would come first.
        "PYTHONSAFEPATH": "1",
        # So that what a killed process leaves behind is found and removed by the next one.
        "TMPDIR": str(scratch),
    }
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of MetaSchedule's on stdout; its own files beside the records have all of it."""
    logger = logging.getLogger(VENDOR_LOGGER)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith(VENDOR_LOGGER)]:
            for handler in list(logging.getLogger(name).handlers):
                logging.getLogger(name).removeHandler(handler)
                handler.close()
        logger.setLevel(level)
