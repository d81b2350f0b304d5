"""PyTorch's profile, read: what each step of a module, or each piece of compiled code, took.

Nothing here imports PyTorch: the adapter hands over spans.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtimes.errors import EngineError
from runtimes.profiled_nodes import Profile, ProfiledNode, faster_half, mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Labels that the adapter puts around a call and around every step of it.
CALL = "rtfloor call"
STEP = "rtfloor step "
# What PyTorch itself puts around the code that inductor made.
COMPILED = "## Call CompiledFxGraph"
NOTES = ("PyTorch's profiler takes some microseconds for every operator, which shows where operators are small.",)
COMPILED_NOTES = (
    *NOTES,
    "Inductor fuses across nodes of the graph and does not tell which.",
    "What it takes to get into the compiled code, and out, is outside any node.",
)


@dataclass
class Span:
    """One event of the profiler and what happened within it; microseconds."""

    name: str
    us: float
    within: list[Span] = field(default_factory=list)

    def all(self) -> Iterator[Span]:
        """This one and everything within."""
        yield self
        for span in self.within:
            yield from span.all()


@dataclass(frozen=True)
class Step:
    """A step of the module as a node: its name, its operator, and what it stands for."""

    name: str
    operator: str
    originals: tuple[str, ...]


def read_steps(calls: Sequence[Span], steps: Sequence[Step]) -> Profile:
    """Means per step of an eager module; the operator that took longest within it is its kernel.

    Args:
        calls: spans named :data:`CALL`, warm-up left out.
        steps: by the number in the label.

    Raises:
        EngineError: there is no call.
    """
    taken: dict[int, dict[int, float]] = defaultdict(dict)
    longest: dict[int, str] = {}
    for turn, call in enumerate(calls):
        for span in call.within:
            if span.name.startswith(STEP):
                number = int(span.name.removeprefix(STEP))
                taken[number][turn] = span.us
                longest[number] = _heaviest(span)
    chosen = _chosen(calls)
    nodes = [
        ProfiledNode(step.name, step.operator, mean(taken[number], chosen) * 1e3, 1.0, step.originals, longest[number])
        for number, step in enumerate(steps)
        if number in taken
    ]
    return _profile(calls, nodes, NOTES)


def read_compiled(calls: Sequence[Span]) -> Profile:
    """Means per kernel of code that inductor made.

    Raises:
        EngineError: there is no call, or nothing compiled in it.
    """
    taken: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    kernels: dict[tuple[str, int], str] = {}
    for number, call in enumerate(calls):
        inside = [span for region in call.all() if region.name.startswith(COMPILED) for span in region.within]
        seen: dict[str, int] = defaultdict(int)
        for span in inside:
            # The same operator runs several times in a call, each time on something else.
            key = (span.name, seen[span.name])
            seen[span.name] += 1
            taken[key][number] = span.us
            kernels[key] = _heaviest(span)
    if not taken:
        raise EngineError("torch's profiler saw nothing of the compiled code")
    chosen = _chosen(calls)
    nodes = [
        ProfiledNode(
            f"{name} {turn + 1}" if (name, 1) in taken else name,
            operator(name),
            mean(us, chosen) * 1e3,
            len(us) / len(calls),
            (),
            kernels[name, turn],
        )
        for (name, turn), us in taken.items()
    ]
    return _profile(calls, nodes, COMPILED_NOTES)


def operator(name: str) -> str:
    """``graph_0_cpp_fused_relu_3`` is ``cpp_fused_relu``; other names stay."""
    return re.sub(r"^graph_\d+_(.*?)_\d+$", r"\1", name)


def _heaviest(span: Span) -> str:
    """Of everything within, the operator that took longest by itself; empty where there is none."""
    own: dict[str, float] = defaultdict(float)
    for child in span.within:
        for part in child.all():
            own[part.name] += part.us - sum(inner.us for inner in part.within)
    return max(own, key=lambda name: own[name], default="")


def _chosen(calls: Sequence[Span]) -> list[int]:
    if not calls:
        raise EngineError("torch's profiler saw no call")
    return faster_half([call.us for call in calls])


def _profile(calls: Sequence[Span], nodes: Sequence[ProfiledNode], notes: tuple[str, ...]) -> Profile:
    whole_us = {number: call.us for number, call in enumerate(calls)}
    return Profile(len(calls), mean(whole_us, _chosen(calls)) * 1e3, tuple(nodes), notes)
