"""What a gate compares, and what counts as a change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BASELINE, CANDIDATE = "baseline", "candidate"
SIDES = (BASELINE, CANDIDATE)
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Objective:
    """One thing that a gate can hold a candidate to; more is worse.

    Attributes:
        title: in words.
        min_effect: the smallest change worth a verdict, unless the user says: a share, or for ``misses`` a difference
            of shares.
        ratio: whether changes multiply; else they add.
        fixed: the same in every process, so that one look says all.
    """

    title: str
    min_effect: float
    ratio: bool = True
    fixed: bool = False


# No bare p99: with nothing changed, its alarms were 9 in 14 (docs/gate.md).
OBJECTIVES: dict[str, Objective] = {
    "p50": Objective("median time of a call", 0.02),
    "p90": Objective("time that nine calls in ten keep to", 0.05),
    "misses": Objective("share of calls past the deadline", 0.01, ratio=False),
    "cold": Objective("from starting the process to the first answer", 0.10),
    "memory": Objective("most resident memory", 0.05),
    "size": Objective("size of the model's file and of what is compiled from it", 0.01, fixed=True),
}


@dataclass(frozen=True)
class Pair:
    """Two cells that are measured in turns.

    Attributes:
        title: what both have in common.
        baseline, candidate: ids of the cells.
    """

    title: str
    baseline: str
    candidate: str


@dataclass(frozen=True)
class Gate:
    """A gate.

    Attributes:
        pairs: what is compared.
        says: side → what it is, in words.
        objectives: of :data:`OBJECTIVES` → smallest change worth a verdict.
        confidence: that no pair is called regressed or improved by chance, over the whole gate.
        pairs_most: pairs of processes after which the gate ends, decided or not.
        deadline_ms: for ``misses``.
        roots: side → commit whose code measures it; empty for the code that runs the gate.
        warnings: what a user should know about the comparison.
        apart: whether the processes of a pair are measured one after the other, rather than in turns.
        recorded: a baseline on record as JSON, see :mod:`results.baselines`, in the place of one that is measured now.
    """

    pairs: tuple[Pair, ...]
    says: Mapping[str, str] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=lambda: {"p50": OBJECTIVES["p50"].min_effect})
    confidence: float = CONFIDENCE
    pairs_most: int = 120
    deadline_ms: float | None = None
    roots: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    apart: bool = False
    recorded: Mapping[str, Any] | None = None

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Gate:
        """The inverse of :func:`dataclasses.asdict`."""
        pairs = tuple(Pair(**pair) for pair in data["pairs"])
        return Gate(**{**data, "pairs": pairs, "warnings": tuple(data.get("warnings", ()))})

    @property
    def error(self) -> float:
        """Probability of a false alarm in one direction that one comparison may spend."""
        measured = sum(not OBJECTIVES[name].fixed for name in self.objectives)
        return (1.0 - self.confidence) / 2.0 / max(1, measured * len(self.pairs))
