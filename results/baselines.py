"""Baselines on record: what cells took on one machine, sitting after sitting, in a file that git can show changes of.

``results/baselines/NAME.json``: the machine, the plan, and one entry per sitting with the median of every process.
Figures have five digits, keys are sorted, and every sitting ends with its own line, so that a diff reads as a sentence.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from results.errors import BaselineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from results.summary import CellSummary

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Sitting:
    """What was measured in one go.

    Attributes:
        created: UTC, ISO 8601.
        commit: of the user's repository; empty where there is none.
        noise: how quiet the machine was, a sentence.
        versions: runtime → version.
        medians_ms: cell → the median of each of its processes, milliseconds.
    """

    created: str
    commit: str
    noise: str
    versions: Mapping[str, str]
    medians_ms: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Baseline:
    """A baseline on record.

    Attributes:
        name: of its file.
        fingerprint: of the machine.
        machine: in words.
        plan: what was measured, see :class:`bench.plan.Plan`.
        profile: how much.
        sittings: the oldest first.
    """

    name: str
    fingerprint: str
    machine: str
    plan: Mapping[str, Any]
    profile: str
    sittings: tuple[Sitting, ...] = field(default_factory=tuple)

    def series_ms(self, cell: str) -> list[float]:
        """One figure per sitting that has the cell: the geometric mean of its processes' medians."""
        return [statistics.geometric_mean(one.medians_ms[cell]) for one in self.sittings if one.medians_ms.get(cell)]

    @property
    def cells(self) -> list[str]:
        """Every cell of any sitting, in the order in which they came."""
        return list(dict.fromkeys(cell for one in self.sittings for cell in one.medians_ms))

    def with_sitting(self, sitting: Sitting) -> Baseline:
        """With one sitting more."""
        return replace(self, sittings=(*self.sittings, sitting))


def sitting_of(facts: Mapping[str, Any], cells: Sequence[CellSummary], noise: str, commit: str) -> Sitting:
    """What a run is worth as a sitting: its right cells.

    Raises:
        BaselineError: it has none, or did not come to its end.
    """
    if facts.get("status") != "finished":
        raise BaselineError("the run did not come to its end; go on with it, or make another, and save that")
    timed = [cell for cell in cells if cell.status == "ok" and cell.medians_ns]
    if not timed:
        raise BaselineError("no cell of the run is right and has a time, so there is nothing to save")
    return Sitting(
        str(facts.get("created", "")),
        commit,
        noise,
        {str(cell.spec["runtime"]): str(cell.version) for cell in timed},
        {cell.cell: tuple(_short(value * 1e-6) for value in cell.medians_ns.values()) for cell in timed},
    )


def read(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineError: there is none, or the file holds something else.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BaselineError(f"baseline {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BaselineError(f"baseline {path} is no JSON ({error}); take the last good version from git") from None
    try:
        if found["format"] != FORMAT:
            raise BaselineError(
                f"baseline {path} has format {found['format']!r}, and this rtfloor reads {FORMAT}; save it anew"
            )
        return from_json({**found, "name": path.stem})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BaselineError(f"baseline {path} is damaged ({error!r}); take the last good version from git") from None


def from_json(found: Mapping[str, Any]) -> Baseline:
    """The inverse of :func:`to_json`; what is missing or of another kind raises what Python raises."""
    return Baseline(
        str(found["name"]),
        str(found["fingerprint"]),
        str(found["machine"]),
        dict(found["plan"]),
        str(found["profile"]),
        tuple(_sitting(one) for one in found["sittings"]),
    )


def to_json(baseline: Baseline) -> dict[str, Any]:
    """JSON values only."""
    sittings = [
        {
            "created": one.created,
            "commit": one.commit,
            "noise": one.noise,
            "versions": dict(one.versions),
            "medians_ms": {cell: " ".join(f"{value:.5g}" for value in own) for cell, own in one.medians_ms.items()},
        }
        for one in baseline.sittings
    ]
    return {
        "format": FORMAT,
        "name": baseline.name,
        "fingerprint": baseline.fingerprint,
        "machine": baseline.machine,
        "profile": baseline.profile,
        "plan": dict(baseline.plan),
        "sittings": sittings,
    }


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline; the file is whole or as it was.

    Raises:
        BaselineError: it cannot be written.
    """
    whole = to_json(baseline)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise BaselineError(f"baseline {path} cannot be written: {error.strerror}; name another folder") from None


def _sitting(found: Mapping[str, Any]) -> Sitting:
    medians = {
        str(cell): tuple(float(text) for text in str(values).split()) for cell, values in found["medians_ms"].items()
    }
    for cell, values in medians.items():
        if not values or not all(math.isfinite(value) and value > 0 for value in values):
            raise ValueError(f"{cell} has a time that is none")
    versions = {str(name): str(version) for name, version in found["versions"].items()}
    return Sitting(str(found["created"]), str(found["commit"]), str(found["noise"]), versions, medians)


def _short(value: float) -> float:
    return float(f"{value:.5g}")
