"""A gate for the tools that others read: JUnit XML, a job's summary, pytest-benchmark, github-action-benchmark."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from reports import gate as gates
from results.gate import INCONCLUSIVE, REGRESSED, WRONG
from results.gate_spec import BASELINE, OBJECTIVES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from results.gate import Gated
    from results.record import Record

# What kind of trouble JUnit calls a verdict: a failure is a test that said no, an error one that could not say.
TROUBLE = {WRONG: "failure", REGRESSED: "failure", INCONCLUSIVE: "error"}
# XML 1.0 has no way to write these.
FORBIDDEN = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF])


def junit(outcome: Gated, records: Sequence[Record]) -> str:
    """JUnit XML: one test case per pair and objective."""
    kinds = [TROUBLE.get(one.verdict) for one in outcome.verdicts]
    counts = {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": "0",
    }
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": "rtfloor gate", **counts, "time": f"{_spent_s(records):.3f}"})
    for one, kind in zip(outcome.verdicts, kinds, strict=True):
        spent = [record for record in records if record.cell in (one.pair.baseline, one.pair.candidate)]
        name = _xml(f"{one.pair.title} {one.objective}")
        attributes = {"classname": "rtfloor.gate", "name": name, "time": f"{_spent_s(spent):.3f}"}
        case = ET.SubElement(suite, "testcase", attributes)
        said = _xml(gates.line(one))
        if kind:
            ET.SubElement(case, kind, {"type": one.verdict, "message": said}).text = said
        else:
            ET.SubElement(case, "system-out").text = said
    if not outcome.verdicts:
        said = "nothing was compared, since no side of any pair can run here"
        for counted in (root, suite):
            counted.attrib |= {"tests": "1", "errors": "1"}
        case = ET.SubElement(suite, "testcase", {"classname": "rtfloor.gate", "name": "gate", "time": "0.000"})
        ET.SubElement(case, "error", {"type": "unavailable", "message": said}).text = said
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def action_benchmark(outcome: Gated) -> str:
    """The JSON that github-action-benchmark reads as ``customSmallerIsBetter``: the candidate's figures."""
    found = []
    for one in outcome.verdicts:
        seen = one.seen or one.other
        if seen is None:
            continue
        figure, unit = _scaled(one.objective, seen.candidate)
        entry = {"name": f"{one.pair.title} {one.objective}", "unit": unit, "value": figure, "extra": gates.line(one)}
        if seen.low is not None and seen.high is not None and OBJECTIVES[one.objective].ratio:
            entry["range"] = f"± {(seen.high - seen.low) / 2 * figure:.3g}"
        found.append(entry)
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def pytest_benchmark(outcome: Gated, side: str, facts: Mapping[str, Any], records: Sequence[Record]) -> str:
    """The JSON that ``pytest-benchmark compare`` reads; one round is the median of one process.

    Args:
        outcome: of the gate.
        side: ``baseline`` or ``candidate``; both have the same names, so that they are laid side by side.
        facts: the run's.
        records: every process.
    """
    host = facts.get("host") or {}
    found = []
    for pair in outcome.gate.pairs:
        cell = pair.baseline if side == BASELINE else pair.candidate
        medians = [
            float(statistics.median(record.settled_ns.tolist())) * 1e-9
            for record in records
            if record.cell == cell and record.status == "ok" and record.settled_ns.size
        ]
        if medians:
            found.append(_benchmark(pair.title, cell, medians))
    packages = (facts.get("environment") or {}).get("packages") or {}
    whole = {
        "machine_info": {
            "node": str(host.get("fingerprint")),
            "machine": str(host.get("architecture")),
            "processor": str(host.get("cpu")),
            "system": str(host.get("system")),
            "release": str(host.get("kernel")),
            "python_version": str(host.get("python")),
            "python_implementation": "CPython",
            "cpu": {"brand_raw": str(host.get("cpu")), "count": host.get("cpus")},
        },
        "commit_info": {"id": outcome.gate.says[side], "dirty": False, "branch": side, "project": "rtfloor"},
        "benchmarks": found,
        "datetime": facts.get("created"),
        "version": f"rtfloor {packages.get('rtfloor', facts.get('rtfloor'))}",
    }
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _benchmark(title: str, cell: str, medians: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(medians)
    mean = statistics.mean(ordered)
    deviation = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    quarters = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else [ordered[0]] * 3
    q1, median, q3 = quarters
    iqr = q3 - q1
    far = [value for value in ordered if value < q1 - 1.5 * iqr or value > q3 + 1.5 * iqr]
    near = [value for value in ordered if q1 - 1.5 * iqr <= value <= q3 + 1.5 * iqr] or ordered
    apart = [value for value in ordered if abs(value - mean) > deviation]
    return {
        "group": None,
        "name": title,
        "fullname": title,
        "params": None,
        "param": None,
        "extra_info": {"cell": cell, "unit": "one round is the median call of one process"},
        "options": {"timer": "perf_counter", "warmup": True},
        "stats": {
            "min": ordered[0],
            "max": ordered[-1],
            "mean": mean,
            "stddev": deviation,
            "rounds": len(ordered),
            "median": median,
            "iqr": iqr,
            "q1": q1,
            "q3": q3,
            "iqr_outliers": len(far),
            "stddev_outliers": len(apart),
            "outliers": f"{len(apart)};{len(far)}",
            "ld15iqr": near[0],
            "hd15iqr": near[-1],
            "ops": 1.0 / mean,
            "total": sum(ordered),
            "iterations": 1,
        },
    }


def _scaled(objective: str, number: float) -> tuple[float, str]:
    if objective in ("memory", "size"):
        return number / 1e6, "MB"
    return (number * 100, "%") if objective == "misses" else (number * 1e-6, "ms")


def _spent_s(records: Sequence[Record]) -> float:
    return sum(float(record.facts.get("took_s", 0.0)) for record in records)


def _xml(text: str) -> str:
    return text.translate(FORBIDDEN)
