"""What came of the study of the gate: alarms, what was found, and how long it took; real gates and drawn ones apart.

Drawn gates take their pairs from the processes of real ones, in random order, each pair with its sides as they were
or exchanged, as a coin says: they are judged by the very code that judges real ones. A planted change is multiplied
into the candidate's calls afterwards.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.study.gates import KINDS, read, shifted
from results.gate import IMPROVED, INCONCLUSIVE, REGRESSED, verdicts
from results.gate_spec import BASELINE, CANDIDATE, Gate, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.study.gates import Done, Kind
    from results.record import Record

# What is promised.
ALARMS_MOST = 4 / 200
INCONCLUSIVE_MOST = 0.10
FOUND_LEAST = 0.95
DRAWN = 200
COLUMNS = (
    *("what", "gates", "called slower", "called faster", "inconclusive"),
    *("pairs (median, most)", "seconds a side (median, most)", "kept"),
)
SPEC = {BASELINE: {"layout": "mono", "threads": 1}, CANDIDATE: {"layout": "mono", "threads": 1}}

# The two processes of one round, baseline first.
Both = tuple["Record", "Record"]


@dataclass(frozen=True)
class Tally:
    """Gates of one kind.

    Attributes:
        kind: of :data:`bench.study.gates.KINDS`.
        drawn: whether their pairs were drawn from real ones.
        verdicts: of each gate.
        pairs: how many pairs each took.
        side_s: seconds of timed calls on one side of each.
    """

    kind: str
    drawn: bool
    verdicts: tuple[str, ...]
    pairs: tuple[int, ...]
    side_s: tuple[float, ...]

    def share(self, *names: str) -> float:
        """Of gates with one of these verdicts."""
        return sum(name in names for name in self.verdicts) / len(self.verdicts)

    @property
    def kept(self) -> bool:
        """Whether the promise that is about this kind is kept."""
        planted = KINDS[self.kind].slower
        if planted:
            return self.share(REGRESSED) >= FOUND_LEAST
        calm = KINDS[self.kind].noisy or self.share(INCONCLUSIVE) <= INCONCLUSIVE_MOST
        return self.share(REGRESSED, IMPROVED) <= ALARMS_MOST and calm


def tallies(folder: Path, drawn: int = DRAWN) -> list[Tally]:
    """Judge every kind that is there: as it was, and drawn.

    Args:
        folder: of the study.
        drawn: so many gates are drawn of each kind.
    """
    found = []
    for name, kind in KINDS.items():
        done = list(read(folder, name))
        if done:
            found.append(_real(name, done))
        pool = _pool(folder, kind)
        if pool:
            found.append(_drawn(name, kind, pool, drawn))
    return found


def wrong(folder: Path) -> list[str]:
    """Verdicts about the candidate that is faster and wrong."""
    return [one.verdict for one in read(folder, "wrong")]


def told(found: Sequence[Tally], wrongs: Sequence[str]) -> str:
    """A table, and a line about wrong answers."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for one in found:
        how = "drawn" if one.drawn else "real"
        counts = [sum(verdict == name for verdict in one.verdicts) for name in (REGRESSED, IMPROVED, INCONCLUSIVE)]
        pairs = f"{statistics.median(one.pairs):.0f}, {max(one.pairs)}"
        side = f"{statistics.median(one.side_s):.0f}, {max(one.side_s):.0f}"
        cells = [
            KINDS[one.kind].title,
            f"{len(one.verdicts)} {how}",
            *map(str, counts),
            pairs,
            side,
            "yes" if one.kept else "**no**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if wrongs:
        lines += [
            "",
            f"A candidate that is faster and wrong: called wrong in {wrongs.count('wrong')} of {len(wrongs)} gates.",
        ]
    return "\n".join(lines)


def _real(name: str, done: Sequence[Done]) -> Tally:
    both = [_both(one.records) for one in done]
    return Tally(
        name,
        False,
        tuple(one.verdict for one in done),
        tuple(map(len, both)),
        tuple(math.fsum(one.process_s.values()) for one in done),
    )


def _pool(folder: Path, kind: Kind) -> list[tuple[Both, float]]:
    """Pairs of gates over the same thing on the same kind of machine, with the seconds that a side was timed for."""
    pool = []
    for name, other in KINDS.items():
        if other.noisy == kind.noisy and not other.slower:
            for one in read(folder, name):
                pool += [(both, one.process_s[both[0].round]) for both in _both(one.records)]
    return pool


def _both(records: Sequence[Record]) -> list[Both]:
    sides = [{one.round: one for one in records if one.cell == side} for side in (BASELINE, CANDIDATE)]
    return [(sides[0][number], sides[1][number]) for number in sorted(sides[0].keys() & sides[1].keys())]


def _drawn(name: str, kind: Kind, pool: Sequence[tuple[Both, float]], count: int) -> Tally:
    chance = random.Random(name)  # noqa: S311  # draws, no secret
    gate = Gate((Pair("drawn", BASELINE, CANDIDATE),))
    found, pairs, side_s = [], [], []
    for _ in range(count):
        records: list[Record] = []
        timed: list[float] = []
        for number in range(gate.pairs_most):
            both, seconds = chance.choice(pool)
            first, second = both if chance.random() < 0.5 else both[::-1]
            records.append(replace(first, cell=BASELINE, round=number))
            records.append(replace(shifted(second, kind.slower), cell=CANDIDATE, round=number))
            timed.append(seconds)
        # As if it had looked on the way: the verdict is that of the first look that decides.
        (one,) = verdicts(gate, SPEC, records)
        took = one.seen.pairs if one.decided and one.seen is not None else gate.pairs_most
        found.append(one.verdict)
        pairs.append(took)
        side_s.append(math.fsum(timed[:took]))
    return Tally(name, True, tuple(found), tuple(pairs), tuple(side_s))
