"""What an engine's own profiler says of each node; plain values that leave the adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# Before what is kept: pools start, memory is planned, code is made.
WARMUP_CALLS = 5


@dataclass(frozen=True)
class ProfiledNode:
    """One node as the engine ran it.

    Attributes:
        name: as the engine calls it.
        operator: the engine's word for what it does.
        ns: per call, nanoseconds, all its executions in a call together.
        count: executions per call.
        originals: keys of the nodes of the model's graph that it stands for (:mod:`runtimes.graph_nodes`).
        kernel: the code that ran, where the engine tells it apart from the operator.
    """

    name: str
    operator: str
    ns: float
    count: float = 1.0
    originals: tuple[str, ...] = ()
    kernel: str = ""


@dataclass(frozen=True)
class Profile:
    """What a profiler saw.

    Attributes:
        calls: that were profiled, warm-up left out.
        call_ns: one whole call by the same profiler, nanoseconds; over the same calls as the nodes.
        nodes: in the order in which they ran.
        notes: what a reader must know of this profiler; full sentences.
    """

    calls: int
    call_ns: float
    nodes: tuple[ProfiledNode, ...]
    notes: tuple[str, ...] = ()


def faster_half(whole: Sequence[float]) -> list[int]:
    """Which calls to take means over, by their whole times: the faster half, the slower one being the machine's.

    Medians of nodes would not do: each leaves out the calls in which that node was disturbed, so together
    they fall short of any call, and what is missing would seem to be outside every node.
    """
    order = sorted(range(len(whole)), key=lambda number: whole[number])
    return order[: (len(order) + 1) // 2]


def mean(values: Mapping[int, float], calls: Collection[int]) -> float:
    """The mean over some calls, by number; one that has no value counts as 0."""
    return sum(values.get(number, 0.0) for number in calls) / len(calls)
