"""Whether what stands in a run file can be worked with: kinds of values, and figures that a measurement can have.

A run file is a database that anybody can open, and disks and scripts do change it. What is checked here nobody
else has to doubt. Errors are ``ValueError``; :mod:`results.runfile` adds the file's name.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from results.gpu_calls import gpu_call
from results.record import STATUSES, Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Facts of a run that are tables. One that is null is one that is not known.
TABLES = ("host", "environment", "profile", "plan", "peaks", "node_times", "gpu")
_TEXTS = ("model", "form", "runtime", "layout")
_NUMBERS = ("threads_used", "parallelism", "overlap", "rss_peak_bytes")
_PHASES = ("start", "import", "load", "first_call")
_SAMPLE_BYTES = 8


def facts_of_run(rows: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """The ``run`` table from its rows of key and JSON; tables that are null are left out."""
    found = {str(key): _json(value, f"the fact {key!r}") for key, value in rows}
    for key in TABLES:
        if key in found and found[key] is None:
            del found[key]
        elif key in found:
            _table(found[key], f"the fact {key!r}")
    gpus = found.get("gpus")
    if gpus is not None and not (isinstance(gpus, list) and all(isinstance(gpu, dict) for gpu in gpus)):
        raise ValueError(f"the fact 'gpus' is {_shown(gpus)}, which is no list of tables")
    for key in ("packages", "variables"):
        said = found.get("environment", {}).get(key)
        if said is not None:
            _table(said, f"{key!r} of the environment")
    return found


def spec_of_cell(name: Any, text: Any) -> dict[str, Any]:
    """The specification of a cell from its JSON."""
    where = f"the specification of cell {name!r}"
    spec = _table(_json(text, where), where)
    for key in _TEXTS:
        if not isinstance(spec.get(key), str):
            raise ValueError(f"{where} {_lacks(spec, key, 'a text')}")  # noqa: TRY004
    threads = spec.get("threads")
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ValueError(f"{where} {_lacks(spec, 'threads', 'a whole number from 1 on')}")
    for key in ("options", "work"):
        if spec.get(key) is not None:
            _table(spec[key], f"{key!r} in {where}")
    changed = spec.get("changed", ())
    if not isinstance(changed, list | tuple) or not all(isinstance(option, str) for option in changed):
        raise ValueError(f"{where} {_lacks(spec, 'changed', 'a list of options')}")
    audio = spec.get("audio_s")
    if audio is not None and not (_finite(audio) and audio >= 0):
        raise ValueError(f"{where} {_lacks(spec, 'audio_s', 'a length of audio in seconds')}")
    for key in ("version", "model_sha256", "called_sha256"):
        if not isinstance(spec.get(key), str | None):
            raise ValueError(f"{where} {_lacks(spec, key, 'a text')}")  # noqa: TRY004
    return spec


def record_of(row: Sequence[Any]) -> Record:
    """One process from its row: cell, round, status, reason, start, facts, wall and CPU times, warm-up."""
    cell, number, status, reason, started_at, facts, wall, cpu, warmup = row
    where = f"round {number} of cell {cell!r}"
    if not isinstance(number, int):
        raise ValueError(f"{where} has no whole number")  # noqa: TRY004 (damage, not a caller's mistake)
    if status not in STATUSES:
        raise ValueError(f"{where} ended as {status!r}, which is none of {', '.join(STATUSES)}")
    if not isinstance(reason, str) or not isinstance(started_at, str):
        raise ValueError(f"{where} has a reason or a start that is no text")  # noqa: TRY004
    said = _process_facts(facts, f"the facts of {where}")
    wall_ns, cpu_ns = _samples(wall, f"the times of {where}"), _samples(cpu, f"the processor times of {where}")
    if wall_ns.size != cpu_ns.size:
        raise ValueError(f"{where} has {wall_ns.size} times and {cpu_ns.size} processor times")
    if not isinstance(warmup, int) or warmup < 0:
        raise ValueError(f"{where} has a warm-up of {warmup!r} calls")
    found = Record(cell, number, status, reason, started_at, said, wall_ns, cpu_ns, warmup)
    if found.settled_ns.size and float(np.median(found.settled_ns)) <= 0:
        raise ValueError(f"half of the calls in {where} took no time at all, so that it has no median")
    return found


def _process_facts(text: Any, where: str) -> dict[str, Any]:
    facts = _table(_json(text, where), where)
    for key in _NUMBERS:
        if facts.get(key) is not None and not _finite(facts[key]):
            raise ValueError(f"{where} {_lacks(facts, key, 'a number')}")
    for key in ("error", "phases_ns", "disturbance", "quality", "look", "gpu", "engine_facts"):
        if facts.get(key):
            _table(facts[key], f"{key!r} in {where}")
    begins = facts.get("turns")
    if begins is not None and not (
        isinstance(begins, list)
        and all(isinstance(one, int) and one >= 0 for one in begins)
        and begins == sorted(begins)
    ):
        raise ValueError(f"{where} {_lacks(facts, 'turns', 'counts of calls, in order')}")
    # An engine may well answer with infinities; how wrong it is must only be a number.
    if facts.get("error"):
        for key in ("max_abs", "snr_db", "cosine"):
            said = facts["error"].get(key)
            if not _number(said) and (key == "max_abs" or said is not None):
                raise ValueError(f"'error' in {where} {_lacks(facts['error'], key, 'a number')}")
    if facts.get("look"):
        try:
            gpu_call(facts["look"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if facts.get("gpu"):
        _watched(facts["gpu"], f"'gpu' in {where}")
    if facts.get("phases_ns"):
        for key in _PHASES:
            if not _finite(facts["phases_ns"].get(key)):
                raise ValueError(f"'phases_ns' in {where} {_lacks(facts['phases_ns'], key, 'a time')}")
    return facts


def _watched(seen: Mapping[str, Any], where: str) -> None:
    """What was seen of a GPU: reasons, and the lowest and highest of each figure."""
    for key, value in seen.items():
        whole = isinstance(value, list)
        if key == "clocks_held_back_by":
            wanted, sound = "a list of reasons", whole and all(isinstance(reason, str) for reason in value)
        else:
            wanted, sound = "a lowest and a highest figure", whole and len(value) == 2 and all(map(_finite, value))
        if not sound:
            raise ValueError(f"{where} {_lacks(seen, key, wanted)}")


def _samples(blob: Any, where: str) -> NDArray[np.int64]:
    if not isinstance(blob, bytes) or len(blob) % _SAMPLE_BYTES:
        raise ValueError(f"{where} are no 64-bit numbers")
    found = np.frombuffer(blob, "<i8").astype(np.int64)
    if found.size and int(found.min()) < 0:
        raise ValueError(f"{where} go backwards: one is {int(found.min())} ns")
    return found


def _json(text: Any, where: str) -> Any:
    if not isinstance(text, str):
        raise ValueError(f"{where} is no text")  # noqa: TRY004
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where} is no JSON ({error})") from None


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} should be a table and is {_shown(value)}")  # noqa: TRY004
    return value


def _lacks(table: Mapping[str, Any], key: str, wanted: str) -> str:
    if key not in table:
        return f"has no {key!r}"
    return f"has {_shown(table[key])} as {key!r}, which is not {wanted}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return _number(value) and math.isfinite(value)
