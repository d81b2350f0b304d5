"""Which policy a plan asks for, and those that measure every cell alike. Pure: what was seen in, decisions out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gating import Gating
from bench.halving import Halving
from bench.rounds import Policy, Round, Shuffled
from bench.stopping import live
from results.gate_spec import Gate
from results.goal import Goal
from results.intervals import log_ratio_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bench.plan import Cell, Plan
    from bench.profile import Profile
    from bench.rounds import History
    from results.sweep import Sweep

# A value of a sweep that is slower than this beyond doubt needs no finer figure.
SLOW_MOST = 1.25
SURE = 0.999


class Everyone(Shuffled):
    """Every cell until its interval is narrow enough; in a race, without those that are beaten."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def next_round(self, number: int, cells: Sequence[Cell], history: History) -> Round | None:
        """All that are going, until the last round."""
        if number >= self._profile.rounds_most:
            return None
        going = self._going(number, cells, _medians(history))
        return Round(frozenset(going), self._profile.process_s) if going else None

    def ahead(self, number: int, going: int) -> int:
        """All of them to the last round."""
        return going * (self._profile.rounds_most - number - 1)

    def _going(self, number: int, cells: Sequence[Cell], medians: Mapping[str, Mapping[int, float]]) -> set[str]:
        return live(cells, medians, self._profile)


class Sweeping(Everyone):
    """Every cell in every round, so that no interval depends on when one looked; only what is much slower may stop."""

    def __init__(self, profile: Profile, sweeps: Sequence[Sweep]) -> None:
        super().__init__(profile)
        self._sweeps = sweeps

    def _going(self, number: int, cells: Sequence[Cell], medians: Mapping[str, Mapping[int, float]]) -> set[str]:
        everyone = {cell.id for cell in cells}
        return everyone - self._slow(medians) if number >= self._profile.rounds_least else everyone

    def _slow(self, medians: Mapping[str, Mapping[int, float]]) -> set[str]:
        slow = set()
        for sweep in self._sweeps:
            # What others are compared with has to go on.
            kept = {sweep.default, *sweep.copies}
            kept |= {name for arm in sweep.arms for contrast in arm.contrasts for name in contrast.minus}
            for arm in sweep.arms:
                name = arm.contrasts[0].plus[0]
                beside, own = medians.get(sweep.default, {}), medians.get(name, {})
                if arm.kind != "value" or len(arm.contrasts) > 1 or name in kept:
                    continue
                found = log_ratio_interval(own, beside, SURE)
                if found is not None and found[1].low > SLOW_MOST:
                    slow.add(name)
        return slow


def policy_of(plan: Plan, profile: Profile, specs: Mapping[str, Mapping[str, Any]]) -> Policy:
    """What a plan asks for.

    Args:
        plan: what to measure.
        profile: how much.
        specs: cell id → what the run file says of it.
    """
    if plan.gate is not None and (gate := Gate.from_json(plan.gate)).recorded is None:
        return Gating(profile, gate, specs)
    if plan.goal is not None:
        return Halving(profile, Goal.from_json(plan.goal))
    return Sweeping(profile, plan.sweeps) if plan.sweeps else Everyone(profile)


def _medians(history: History) -> dict[str, dict[int, float]]:
    return {cell: {number: seen.p50_ns for number, seen in rounds.items()} for cell, rounds in history.items()}
