"""How a baseline went on from sitting to sitting, and where its level changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports import words
from results.changes import SERIES_LEAST, changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from results.baselines import Baseline

BARS = "▁▂▃▄▅▆▇█"


def sentences(baseline: Baseline) -> Iterator[str]:
    """Per cell: the series as a line of bars, its first and last figure, and every change of level."""
    count = len(baseline.sittings)
    yield f"baseline {baseline.name} on {baseline.machine}: {count} sitting{'s' if count != 1 else ''}"
    for cell in baseline.cells:
        series = baseline.series_ms(cell)
        of = [one for one in baseline.sittings if one.medians_ms.get(cell)]
        ends = f"{words.milliseconds(series[0])} → {words.milliseconds(series[-1])}"
        yield f"  {cell}  {bars(series)}  {ends}"
        for change in changes(series):
            sitting = of[change.at]
            commit = f", commit {sitting.commit}" if sitting.commit else ""
            share = (change.ratio - 1.0) * 100
            yield f"    the level changed by {share:+.1f} % at sitting {change.at + 1} ({sitting.created}{commit})"
    if count < SERIES_LEAST:
        yield f"changes of level can be told from {SERIES_LEAST} sittings on"


def entry(baseline: Baseline) -> dict[str, Any]:
    """A baseline as JSON values."""
    cells = []
    for cell in baseline.cells:
        of = [one for one in baseline.sittings if one.medians_ms.get(cell)]
        series = baseline.series_ms(cell)
        found = [
            {"sitting": one.at + 1, "created": of[one.at].created, "commit": of[one.at].commit, "ratio": one.ratio}
            for one in changes(series)
        ]
        cells.append({"cell": cell, "p50_ms": series, "created": [one.created for one in of], "changes": found})
    return {
        "name": baseline.name,
        "machine": baseline.machine,
        "fingerprint": baseline.fingerprint,
        "sittings": len(baseline.sittings),
        "cells": cells,
        "origin": "measured",
    }


def bars(series: list[float]) -> str:
    """A series as one character per figure, the lowest at the bottom."""
    low, high = min(series), max(series)
    if high <= low * 1.01:  # a hundredth is no hill
        return BARS[0] * len(series)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in series)
