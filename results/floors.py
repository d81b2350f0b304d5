"""The floors of a run: for every cell its three lines, from what the run file says of graphs and peaks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from results.errors import PeaksError
from results.floor import BUS, Graph, Lines, floor_of_totals, lines, node_bounds
from results.peaks import Peaks
from results.works import on_device, signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from results.nodes import NodeBound
    from results.summary import CellSummary

NOT_MEASURED = (
    "the peaks of the machine were not measured for this run; on that machine 'rtfloor floor RUN' uses what "
    "'rtfloor peaks' found"
)
BELOW = (
    "below its floor, which cannot be: the peaks, the count or the time is wrong; measure again: rtfloor peaks --again"
)


class Floors:
    """Lines for the cells of one run.

    Args:
        facts: of a run file; ``peaks`` and ``graphs`` are used.
        host: peaks to use where the run has none of its own, such as those of a hardware profile.
    """

    def __init__(self, facts: Mapping[str, Any], host: Peaks | None = None) -> None:
        said = facts.get("peaks") or {}
        self.reasons: dict[str, str] = dict(said.get("reasons", {}))
        self.peaks: dict[str, Peaks] = {}
        for device in ("cpu", "gpu"):
            try:
                if said.get(device):
                    self.peaks[device] = Peaks.from_json(said[device])
            except PeaksError as error:
                self.reasons[device] = str(error)
        if host is not None:
            self.peaks.setdefault(host.device, host)
        self._graphs: Mapping[str, Any] = facts.get("graphs") or {}

    def of(self, cell: CellSummary) -> Lines | None:
        """The lines under a cell at the precision it ran in; None where peaks or costs are not known."""
        peaks = self.peaks.get(self._device(cell))
        spec = cell.spec
        if peaks is None or cell.precision_ran is None:
            return None
        if on_device(spec.get("options", {})):
            # What stays on the device crosses no bus.
            peaks = replace(peaks, bandwidth=tuple(row for row in peaks.bandwidth if row.level != BUS))
        # A GPU computes as a whole, however many threads its host may use.
        threads = 0 if peaks.device == "gpu" else spec["threads"]
        signals = 1 if signal(spec["layout"]) == "mono" else 2
        graph = self._graph(cell)
        if graph is not None:
            return lines(graph, peaks, cell.precision_ran, threads, signals=signals)
        if not spec.get("work"):
            return None
        written = str(spec.get("precision") or "fp32")
        return floor_of_totals(spec["work"], peaks, cell.precision_ran, threads, written_in=written, signals=signals)

    def bounds(self, cell: CellSummary) -> list[NodeBound]:
        """What every node of a cell's graph would take at least, per signal; empty where that is not known."""
        peaks, graph = self.peaks.get(self._device(cell)), self._graph(cell)
        if peaks is None or graph is None or cell.precision_ran is None:
            return []
        # Side by side, each signal has half of the budget.
        threads = cell.spec["threads"] // 2 if cell.spec["layout"] == "par" else cell.spec["threads"]
        return node_bounds(graph, peaks, cell.precision_ran, 0 if peaks.device == "gpu" else max(threads, 1))

    def why_not(self, cell: CellSummary) -> str:
        """Why a cell has no lines, one sentence."""
        device = self._device(cell)
        if device not in self.peaks:
            return self.reasons.get(device, NOT_MEASURED)
        if cell.precision_ran is None:
            return "it did not run"
        return "its operations could not be counted"

    def _graph(self, cell: CellSummary) -> Graph | None:
        table = self._graphs.get(str(cell.spec.get("model_sha256")))
        return Graph.from_table(table, str(cell.spec.get("precision") or "fp32")) if table else None

    @staticmethod
    def _device(cell: CellSummary) -> str:
        return "gpu" if (cell.device or "cpu").startswith("cuda") else "cpu"
