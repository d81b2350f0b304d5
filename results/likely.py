"""How sure a pick is: the probability that no other cell is better by more than a margin."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.moderation import fit_prior

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAWS = 4000
# What one process may be off, where nothing was measured twice.
SPREAD_UNKNOWN = 0.05
# Spreads differ between cells and rounds: no fewer than this is believed of any.
SPREAD_LEAST = 0.002


@dataclass(frozen=True)
class Beside:
    """A cell beside the pick.

    Attributes:
        mean: of the log of its value over the pick's.
        error: standard error of that.
        df: degrees of freedom behind the error.
    """

    mean: float
    error: float
    df: float


def beside(pick: str, values: Mapping[str, Mapping[int, float]]) -> dict[str, Beside]:
    """Every other cell beside the pick, over the rounds they have in common.

    Spreads of few rounds are steadied by those of the other cells (:mod:`results.moderation`); what was measured once
    has the typical spread of those that were measured more often.

    Args:
        pick: a cell.
        values: cell id → round → the value of that process.

    Returns:
        Cells that have a round in common with the pick.
    """
    own = values[pick]
    logs = {
        cell: [math.log(rounds[number] / own[number]) for number in sorted(rounds.keys() & own.keys())]
        for cell, rounds in values.items()
        if cell != pick and rounds.keys() & own.keys()
    }
    variances = {cell: statistics.variance(found) for cell, found in logs.items() if len(found) > 1}
    prior = fit_prior(list(variances.values()), [len(logs[cell]) - 1.0 for cell in variances])
    typical = statistics.median(variances.values()) if variances else SPREAD_UNKNOWN**2
    placed = {}
    for cell, found in logs.items():
        if cell in variances:
            variance, df = prior.moderate(variances[cell], len(found) - 1.0)
        else:
            variance, df = (prior.variance, prior.df) if prior.df else (typical, 1.0)
        error = math.sqrt(max(variance, SPREAD_LEAST**2) / len(found))
        placed[cell] = Beside(statistics.mean(found), error, max(df, 1.0))
    return placed


def probability_within(others: Mapping[str, Beside], margin: float, seed: int = 0) -> float:
    """How probable it is that the pick is within a margin of the best of all.

    Draws from Student's t around each mean; cells are drawn independently, which overlooks that all share the pick's
    own error, and so says rather too little than too much for many equal cells.

    Args:
        others: every other cell beside the pick.
        margin: as a share: 0.02 for 2 %.
        seed: of the draws.
    """
    if not others:
        return 1.0
    generator = np.random.default_rng(seed)
    means = np.array([one.mean for one in others.values()])
    errors = np.array([one.error for one in others.values()])
    dfs = np.array([one.df for one in others.values()])
    draws = means + errors * generator.standard_t(dfs, size=(DRAWS, len(means)))
    return float(np.mean(draws.min(axis=1) >= -math.log1p(margin)))
