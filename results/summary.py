"""From records to one line per cell: the figures that tables, pages and scripts show."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from results.gpu_calls import GpuCall, gpu_call, held_back
from results.intervals import Interval, geometric_mean_interval, tail_quantile
from results.noise import undisturbed
from results.ranking import rank
from results.works import work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from results.record import Record

# Below this share of the time, left and right did not really run side by side.
OVERLAP_LEAST = 0.5
PARALLELISM_LEAST = 1.2
PHASES = ("start", "import", "load", "first_call")
# When the processes of one cell ended differently, the gravest tells what the cell is.
GRAVITY = ("wrong", "failed", "timeout", "unavailable")


@dataclass(frozen=True)
class CellSummary:
    """Everything that is said about one cell. Times in milliseconds; None where there is no honest value.

    Attributes:
        cell: the plan's id.
        spec: the plan's fields of the cell: model, form, runtime, layout, threads, options, …
        status: ``ok``, ``wrong``, ``failed``, ``timeout`` or ``unavailable``.
        reason: why it is not ``ok``; None when it is.
        version: the runtime's.
        audio_s: seconds of audio per call, the denominator of ``rtf``.
        medians_ns: round → median of that round's process after warm-up.
        p50_ms: geometric mean of the processes' medians; its interval is Student's t on their logs.
        p90_ms, p99_ms, p999_ms: quantiles of all samples after warm-up, pooled.
        effective_samples: how many independent samples the pooled ones are worth at p99.
        rtf: p50 / audio, lower is better; ``x_realtime`` is its inverse, higher is better.
        cold_ms: median over processes of start + import + load + first call.
        rank: within its race (same model, same signal, same thread budget); ties share a rank.
        quality: figures beside the form raw, see docs/quality.md; None where they were not judged.
        gpu_call: what a GPU does in a call; None for processors, and where nobody looked.
        notes: what a reader should know about an ``ok`` cell.
    """

    cell: str
    spec: Mapping[str, Any]
    status: str
    reason: str | None = None
    version: str | None = None
    audio_s: float | None = None
    medians_ns: Mapping[int, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p50_ci_ms: tuple[float, float] | None = None
    p90_ms: float | None = None
    p90_ci_ms: tuple[float, float] | None = None
    p99_ms: float | None = None
    p99_ci_ms: tuple[float, float] | None = None
    p999_ms: float | None = None
    effective_samples: float | None = None
    rtf: float | None = None
    x_realtime: float | None = None
    cold_ms: float | None = None
    phases_ms: Mapping[str, float] = field(default_factory=dict)
    build_s: float | None = None
    rss_peak_mb: float | None = None
    max_abs_error: float | None = None
    snr_db: float | None = None
    cosine: float | None = None
    precision_asked: str | None = None
    precision_ran: str | None = None
    device: str | None = None
    threads_used: int | None = None
    parallelism: float | None = None
    overlap: float | None = None
    samples: int = 0
    warmup_samples: int = 0
    processes: int = 0
    rank: int | None = None
    quality: Mapping[str, Any] | None = None
    gpu_call: GpuCall | None = None
    notes: tuple[str, ...] = ()

    @property
    def race(self) -> tuple[str, str, int]:
        """What makes two cells comparable: model, signal and what a call comprises, thread budget."""
        return self.spec["model"], work(self.spec["layout"], self.spec.get("options", {})), self.spec["threads"]

    @property
    def half_width(self) -> float:
        """Half the p50 interval over the p50; infinite without an interval."""
        if self.p50_ms is None or self.p50_ci_ms is None:
            return math.inf
        return Interval(*self.p50_ci_ms).relative_half_width(self.p50_ms)


def summarise(cells: Mapping[str, Mapping[str, Any]], records: Iterable[Record]) -> list[CellSummary]:
    """One summary per cell, in the plan's order, with ranks.

    Args:
        cells: id → specification, as a run file has them; ``status`` and ``reason`` are set where
            the cell as a whole cannot be measured.
        records: every process of the run.
    """
    by_cell: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_cell[record.cell].append(record)
    summaries = [summarise_cell(name, spec, by_cell[name]) for name, spec in cells.items()]
    ranks: dict[str, int] = {}
    races: dict[tuple[str, str, int], dict[str, Mapping[int, float]]] = defaultdict(dict)
    for item in summaries:
        if item.status == "ok" and item.medians_ns:
            races[item.race][item.cell] = item.medians_ns
    for racers in races.values():
        ranks |= rank(racers)
    return [replace(item, rank=ranks.get(item.cell)) for item in summaries]


def summarise_cell(name: str, spec: Mapping[str, Any], records: Sequence[Record]) -> CellSummary:
    """The summary of one cell, without a rank."""
    base = CellSummary(
        cell=name,
        spec=spec,
        status="ok",
        version=spec.get("version"),
        audio_s=spec.get("audio_s"),
        build_s=spec.get("build_s"),
        processes=len(records),
    )
    status, reason = standing(spec, records)
    base = replace(base, status=status, reason=reason, **_facts(spec, records))
    if status != "ok":
        return base
    return replace(base, **_times(records, base.audio_s))


def standing(spec: Mapping[str, Any], records: Sequence[Record]) -> tuple[str, str | None]:
    """The status of one cell, and the reason where it is not ``ok``."""
    if spec.get("status"):
        return str(spec["status"]), spec.get("reason")
    for status in GRAVITY:
        bad = [record for record in records if record.status == status]
        if bad:
            count = f" (in {len(bad)} of {len(records)} processes)" if len(records) > 1 else ""
            return status, bad[0].reason + count
    if not records:
        return "timeout", "the run ended before its first process"
    overlaps = _numbers(records, "overlap")
    if overlaps and statistics.median(overlaps) < OVERLAP_LEAST:
        share = statistics.median(overlaps)
        return "failed", f"left and right did not run at the same time (they overlapped for {share:.0%} of a call)"
    # Only a process that had the machine to itself can show that an engine uses one processor. Those who wait for a GPU
    # may well wait asleep.
    busy = _numbers([record for record in records if undisturbed(record) and _on_cpu(record)], "parallelism")
    if overlaps and busy and statistics.median(busy) < PARALLELISM_LEAST:
        return "failed", f"left and right took turns on one processor ({statistics.median(busy):.2f} were busy)"
    return "ok", None


def _facts(spec: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """What is known whatever came of the cell."""
    if not records:
        return {}
    errors = [record.facts["error"] for record in records if record.facts.get("error")]
    worst = max(errors, key=lambda error: error["max_abs"]) if errors else {}
    used = _numbers(records, "threads_used")
    # The last process may have died before it could say what ran.
    known = [record.facts for record in records if record.facts.get("precision_ran")] or [records[-1].facts]
    last = known[-1]
    return {
        "max_abs_error": worst.get("max_abs"),
        "snr_db": worst.get("snr_db"),
        "cosine": worst.get("cosine"),
        "precision_asked": last.get("precision_asked"),
        "precision_ran": last.get("precision_ran"),
        "device": last.get("device"),
        "threads_used": int(statistics.median_high(used)) if used else None,
        "parallelism": _median(_numbers(records, "parallelism")),
        "overlap": _median(_numbers(records, "overlap")),
        "rss_peak_mb": _scaled(_median(_numbers(records, "rss_peak_bytes")), 1e-6),
        "gpu_call": _gpu_call(spec, records),
        "quality": next((record.facts["quality"] for record in records if record.facts.get("quality")), None),
        "notes": tuple(_notes(spec, records)),
    }


def _notes(spec: Mapping[str, Any], records: Sequence[Record]) -> Iterable[str]:
    unsteady = sum(1 for record in records if record.facts.get("steady") is False)
    if unsteady:
        yield f"still warming up when timing ended in {unsteady} of {len(records)} processes"
    known = [record.facts for record in records if record.facts.get("precision_ran")] or [{}]
    asked, ran = known[-1].get("precision_asked"), known[-1].get("precision_ran")
    if asked and ran and asked != "default" and not set(ran.split("+")) <= {asked, spec.get("precision")}:
        yield f"asked for {asked}, ran {ran}"
    if records[-1].facts.get("overlap") is not None and not any(map(undisturbed, records)) and _on_cpu(records[-1]):
        yield "the machine was too busy to see whether left and right had a processor each"
    used, budget = _numbers(records, "threads_used"), spec["threads"]
    if used and statistics.median_high(used) > budget:
        yield f"{statistics.median_high(used):.0f} threads took turns on the {budget} that were allowed"
    details = known[-1].get("engine_facts") or {}
    if elsewhere := details.get("elsewhere"):
        yield str(elsewhere)
    nodes = details.get("nodes")
    if isinstance(nodes, dict) and nodes:
        yield f"nodes by provider: {', '.join(f'{name} {count}' for name, count in nodes.items())}"
    if reasons := held_back([record.facts["gpu"] for record in records if record.facts.get("gpu")]):
        yield f"the GPU's clocks were held back: {', '.join(reasons)}"
    deaths = sum(1 for record in records if record.facts.get("exit", 0) != 0)
    if deaths:
        yield f"died while being torn down, after answering, in {deaths} of {len(records)} processes"


def _gpu_call(spec: Mapping[str, Any], records: Sequence[Record]) -> GpuCall | None:
    """What one of the processes saw of the GPU."""
    found = next((gpu_call(record.facts["look"]) for record in records if record.facts.get("look")), None)
    if found is not None and spec["layout"] == "seq":
        # The clock is read at both ends of one call, and there are two: early runs hold that of the second alone.
        return replace(found, host_ms=None, device_ms=None)
    return found


def _on_cpu(record: Record) -> bool:
    return not str(record.facts.get("device") or "cpu").startswith("cuda")


def _times(records: Sequence[Record], audio_s: float | None) -> dict[str, Any]:
    settled = {record.round: record.settled_ns for record in records if record.settled_ns.size}
    if not settled:
        return {}
    medians = {number: float(np.median(values)) for number, values in settled.items()}
    p50_ns = statistics.geometric_mean(medians.values())
    interval = geometric_mean_interval(list(medians.values()))
    processes = list(settled.values())
    p90, p99, p999 = (tail_quantile(processes, p) for p in (0.90, 0.99, 0.999))
    phases = _phases(records)
    return {
        "medians_ns": medians,
        "p50_ms": p50_ns * 1e-6,
        "p50_ci_ms": _pair(interval),
        "p90_ms": _scaled(p90.value_ns, 1e-6),
        "p90_ci_ms": _pair(p90.interval),
        "p99_ms": _scaled(p99.value_ns, 1e-6),
        "p99_ci_ms": _pair(p99.interval),
        "p999_ms": _scaled(p999.value_ns, 1e-6),
        "effective_samples": p99.effective_samples,
        "rtf": p50_ns * 1e-9 / audio_s if audio_s else None,
        "x_realtime": audio_s / (p50_ns * 1e-9) if audio_s else None,
        "cold_ms": sum(phases.values()) if len(phases) == len(PHASES) else None,
        "phases_ms": phases,
        "samples": sum(values.size for values in processes),
        "warmup_samples": sum(record.warmup for record in records),
    }


def _phases(records: Sequence[Record]) -> dict[str, float]:
    known = [record.facts["phases_ns"] for record in records if record.facts.get("phases_ns")]
    return {name: statistics.median(phases[name] for phases in known) * 1e-6 for name in PHASES} if known else {}


def _numbers(records: Sequence[Record], key: str) -> list[float]:
    return [record.facts[key] for record in records if record.facts.get(key) is not None]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _pair(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low * 1e-6, interval.high * 1e-6)
