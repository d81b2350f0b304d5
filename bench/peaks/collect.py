"""From the repeats of all sittings to peaks: the best and the median of each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.peaks.keep import BY_THREADS, HIGHEST, KERNELS, LOWEST
from results.peaks import Arithmetic, Bandwidth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass
class Collected:
    """Repeats by what was measured.

    Attributes:
        rates: per second; the key is the row without its figures.
        refused: what could not be measured, and why.
    """

    rates: dict[tuple[Any, ...], list[float]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def add(self, reply: Mapping[str, Any]) -> None:
        """One sitting's reply; see :mod:`bench.tasks.peaks`."""
        self.refused.update(reply["refused"])
        for job in reply["jobs"]:
            key: tuple[Any, ...] = (job["what"], job["threads"])
            if job["what"] == "arithmetic":
                key += (job["precision"], job["isa"], job["source"])
            elif job["what"] == "bandwidth":
                key += (job["level"], job["kind"], job["bytes"], job["source"])
            self.rates.setdefault(key, []).extend(job["rates"])

    def arithmetic(self) -> tuple[Arithmetic, ...]:
        """A row per precision, instruction set and number of threads."""
        return tuple(
            Arithmetic(precision, isa, threads, max(rates), statistics.median(rates), "measured", source)
            for (_, threads, precision, isa, source), rates in self._of("arithmetic")
        )

    def bandwidth(self) -> tuple[Bandwidth, ...]:
        """A row per level, kind and number of threads: that of the fastest working set."""
        best: dict[tuple[str, str, int], Bandwidth] = {}
        for (_, threads, level, kind, size, source), rates in self._of("bandwidth"):
            row = Bandwidth(level, kind, threads, max(rates), statistics.median(rates), size, "measured", source)
            key = (level, kind, threads)
            if key not in best or row.bytes_per_s > best[key].bytes_per_s:
                best[key] = row
        return tuple(best.values())

    def clock_facts(self) -> dict[str, Any]:
        """The core clock: lowest and highest seen, and the highest by number of threads; and the kernels' version."""
        clocks = {threads: rates for (_, threads), rates in self._of("clock")}
        everything = [rate for rates in clocks.values() for rate in rates]
        return {
            LOWEST: min(everything, default=None),
            HIGHEST: max(everything, default=None),
            BY_THREADS: {str(threads): max(rates) for threads, rates in clocks.items()},
            "kernels": KERNELS,
        }

    def notes(self) -> tuple[str, ...]:
        """A sentence for everything that is missing."""
        return tuple(f"{what} could not be measured: {why}" for what, why in self.refused.items())

    def _of(self, what: str) -> Iterable[tuple[tuple[Any, ...], list[float]]]:
        return [(key, rates) for key, rates in self.rates.items() if key[0] == what]
