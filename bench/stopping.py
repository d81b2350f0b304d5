"""Which cells still need another round. Pure: medians in, decisions out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from results.intervals import Interval, geometric_mean_interval, log_ratio_interval
from results.ranking import rank
from results.works import work

if TYPE_CHECKING:
    from bench.plan import Cell
    from bench.profile import Profile

Medians = Mapping[str, Mapping[int, float]]


def live(cells: Collection[Cell], medians: Medians, profile: Profile) -> set[str]:
    """Ids of the cells that go into the next round.

    A cell stops when it has ``rounds_most`` rounds; when it has ``rounds_least`` and its p50
    interval is within the target; or, in a race, when it ranks behind the leader beyond doubt and
    is slower by more than the margin.

    Args:
        cells: those that can still be measured.
        medians: cell id → round → median of that process after warm-up, nanoseconds.
        profile: the rules.
    """
    going = {cell.id for cell in cells if not _settled(medians.get(cell.id, {}), profile)}
    return going - _beaten(cells, medians, profile) if profile.race else going


def _settled(medians: Mapping[int, float], profile: Profile) -> bool:
    if len(medians) >= profile.rounds_most:
        return True
    if len(medians) < profile.rounds_least:
        return False
    interval = geometric_mean_interval(list(medians.values()))
    return interval is not None and _half_width(interval) <= profile.target


def _half_width(interval: Interval) -> float:
    return interval.relative_half_width((interval.low * interval.high) ** 0.5)


def _beaten(cells: Collection[Cell], medians: Medians, profile: Profile) -> set[str]:
    races: dict[tuple[str, str, int], dict[str, Mapping[int, float]]] = {}
    for cell in cells:
        own = medians.get(cell.id, {})
        if len(own) >= profile.rounds_least:
            races.setdefault((cell.model, work(cell.layout, cell.options), cell.threads), {})[cell.id] = own
    beaten = set()
    for racers in races.values():
        ranks = rank(racers)
        leader = next(iter(ranks))
        for cell_id, place in ranks.items():
            # Only a cell that the final table would set apart, too, may be left behind.
            ratio = log_ratio_interval(racers[cell_id], racers[leader])
            if place > 1 and ratio is not None and ratio[0] > 1 + profile.race_margin:
                beaten.add(cell_id)
    return beaten
