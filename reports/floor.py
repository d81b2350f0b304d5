"""How far from what the hardware could do: bars of times over lines of bounds, as values, text and Markdown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from reports import words
from results import hardware, published
from results.floor import launch
from results.floors import BELOW
from results.works import signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results.floor import Launch, Lines
    from results.floors import Floors
    from results.summary import CellSummary

# Kind of line -> its words. Only the first is called floor.
KINDS = {
    "floor": "floor",
    "ideal": "ideal fusion",
    "none": "no fusion",
    "launch": "launches one by one",
    "graph": "one CUDA graph launched",
}


# Where the peaks behind a line are from -> in words. A line itself is always derived.
BASES = {"measured": "measured peaks", "derived": "a datasheet"}


@dataclass(frozen=True)
class Bar:
    """One time.

    Attributes:
        label: what ran.
        seconds: per call; for a stereo signal both channels.
        origin: ``measured``, ``published``, or ``derived`` from a published ratio.
        precision: of the arithmetic, where it is known.
        floor_s: the floor at that precision; None where unknown.
        interval_s: 95 %, where there is one.
        note: host and run, or source and line.
        estimate: nobody has seen it, somebody expects it.
    """

    label: str
    seconds: float
    origin: str
    precision: str | None = None
    floor_s: float | None = None
    interval_s: tuple[float, float] | None = None
    note: str = ""
    estimate: bool = False

    @property
    def gap(self) -> float | None:
        """How many times its floor it is."""
        return self.seconds / self.floor_s if self.floor_s else None


@dataclass(frozen=True)
class Line:
    """One bound.

    Attributes:
        kind: a key of :data:`KINDS`.
        seconds: per call.
        precision, threads: that it holds for; 0 threads for a whole device.
        basis: whose peaks it is derived from: ``measured peaks`` or ``a datasheet``.
        limit: what makes a floor as high as it is.
        formula: how it came about, in words and numbers.
    """

    kind: str
    seconds: float
    precision: str
    threads: int
    basis: str
    limit: str = ""
    formula: str = ""

    @property
    def label(self) -> str:
        """In words."""
        return KINDS[self.kind]

    @property
    def holds_for(self) -> str:
        """Precision and budget."""
        if not self.threads:
            return self.precision
        return f"{self.precision}, {self.threads} thread{'s' if self.threads != 1 else ''}"


@dataclass(frozen=True)
class FloorView:
    """Everything that one floor chart shows.

    Attributes:
        title: the machine and what it computes.
        audio_s: of one call; None where unknown.
        bars: in the order in which they are drawn.
        lines: those that stand under all bars.
        table: every line for every precision and budget.
        notes: full sentences.
    """

    title: str
    audio_s: float | None
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    table: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Bar | None:
        """The shortest bar that somebody has seen on this machine."""
        seen = (bar for bar in self.bars if not bar.estimate and bar.floor_s is not None)
        return min(seen, key=lambda bar: bar.seconds, default=None)

    def answer(self) -> str:
        """One sentence: how far the best is from the floor."""
        best = self.best
        floors = [line for line in self.lines if line.kind == "floor"]
        if best is None or best.gap is None or not floors:
            return "there is nothing to compare with a floor"
        if best.gap < 1:
            return f"{best.label}: {words.milliseconds(best.seconds * 1e3)} is {BELOW}"
        text = (
            f"{best.label}: {words.milliseconds(best.seconds * 1e3)} ({best.origin}) is "
            f"{words.digits(best.gap)} × the floor of {words.milliseconds((best.floor_s or 0) * 1e3)} "
            f"({best.precision}, derived from {floors[0].basis})"
        )
        ideal = next((line for line in self.lines if line.kind == "ideal" and line.precision == best.precision), None)
        if ideal is None:
            return text
        return f"{text}, and {words.digits(best.seconds / ideal.seconds)} × what ideal fusion would take"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        bars = [asdict(bar) | {"gap": bar.gap} for bar in self.bars]
        lines = [[asdict(line) for line in group] for group in (self.lines, self.table)]
        return {
            "title": self.title,
            "audio_s": self.audio_s,
            "answer": self.answer(),
            "bars": bars,
            "lines": lines[0],
            "table": lines[1],
            "notes": list(self.notes),
        }


def as_lines(found: Lines, peak: str, *, launch: Launch | None = None) -> list[Line]:
    """The lines of :mod:`results.floor`, with how they came about.

    Args:
        found: the lines.
        peak: the machine's name in formulas.
        launch: on a GPU, what starting the kernels of ideal fusion costs; None elsewhere.
    """
    if found.limit == "arithmetic":
        formula = (
            f"{found.flops / 1e9:.4g} GFLOP / {found.arithmetic.flops_per_s / 1e9:.5g} GFLOP/s "
            f"({found.arithmetic.isa}, {peak})"
        )
    else:
        formula = f"{found.compulsory_bytes / 1e6:.4g} MB of weights, inputs and outputs through {found.limit} ({peak})"
    basis = BASES[found.origin]
    rows = [Line("floor", found.floor_s, found.precision, found.threads, basis, found.limit, formula)]
    if found.ideal_s is not None and found.none_s is not None:
        rows.append(
            Line(
                "ideal",
                found.ideal_s,
                found.precision,
                found.threads,
                basis,
                formula=f"{_groups(found.launches or 0)}, each the longer of its arithmetic and its bytes",
            )
        )
        rows.append(
            Line(
                "none",
                found.none_s,
                found.precision,
                found.threads,
                basis,
                formula="the same sum, node by node",
            )
        )
    if launch is not None:
        ways = (
            ("launch", launch.singly_s, f"{_kernels(found)}, each launched by itself"),
            ("graph", launch.graph_s, f"{_kernels(found)} as one captured graph, waited for"),
        )
        rows += [
            Line(kind, seconds, found.precision, found.threads, basis, formula=formula)
            for kind, seconds, formula in ways
            if seconds is not None
        ]
    return rows


def _kernels(found: Lines) -> str:
    return f"{found.launches} kernel{'s' if found.launches != 1 else ''}, one for each group of ideal fusion"


def _groups(count: int) -> str:
    return f"{count} group{'s' if count != 1 else ''}"


def run_views(cells: Sequence[CellSummary], floors: Floors, where: str) -> list[FloorView]:
    """One view per race of a run: the best right cell of every runtime and precision over the race's lines.

    Args:
        cells: of the run.
        floors: their lines.
        where: host and run, for the bars' notes.
    """
    races: dict[tuple[str, str, int], list[CellSummary]] = {}
    for cell in cells:
        if cell.status == "ok" and cell.p50_ms is not None and cell.spec["model"] != "null":
            races.setdefault(cell.race, []).append(cell)
    views = []
    for race, group in races.items():
        best = best_cells(group)
        found = {cell.cell: lines for cell in best if (lines := floors.of(cell)) is not None}
        under = found.get(best[0].cell)
        if under is None:
            continue
        device = "gpu" if (best[0].device or "").startswith("cuda") else "cpu"
        peaks = floors.peaks[device]
        started = launch(peaks, under.launches or 0)
        by_precision = {lines.precision: lines for lines in reversed(found.values())}
        views.append(
            FloorView(
                # How many threads a host may use says nothing about its GPU.
                title=f"{peaks.title}: {words.race(race) if device == 'cpu' else ', '.join(race[:2])}",
                audio_s=best[0].audio_s,
                bars=(
                    *(measured_bar(cell, found.get(cell.cell), _where(cell, floors, where)) for cell in best),
                    *published_bars(race, device),
                ),
                lines=tuple(as_lines(under, peaks.title, launch=started)),
                table=tuple(
                    row
                    for lines in by_precision.values()
                    for row in as_lines(
                        lines, peaks.title, launch=started if lines.precision == under.precision else None
                    )
                ),
                notes=_notes(under),
            )
        )
    return views


def _where(cell: CellSummary, floors: Floors, where: str) -> str:
    """Host and run, after the GPU where one computed."""
    gpu = floors.peaks.get("gpu")
    return f"{gpu.title}; {where}" if gpu is not None and str(cell.device or "").startswith("cuda") else where


def published_bars(race: tuple[str, str, int], device: str) -> list[Bar]:
    """What was published of a race's model and signal on a GPU, for a run on another one; nothing for processors."""
    if device != "gpu":
        return []
    bars = []
    for name in published.series_names():
        series = published.series_about(name)
        if (series.model, series.signal) != race[:2] or series.hardware not in hardware.names():
            continue
        machine = hardware.hardware(series.hardware)
        if machine.device != device:
            continue
        bars += [
            Bar(
                f"{step.label}, {machine.title}",
                step.seconds,
                step.origin,
                step.precision,
                note=step.cited,
            )
            for step in series.steps
            if step.hardware == series.hardware and step.kind != "estimate"
        ]
    return bars


def _notes(lines: Lines) -> tuple[str, ...]:
    if not lines.unknown:
        return ()
    return (f"Not counted, and taken for free: {', '.join(lines.unknown)}.",)


def best_cells(group: Sequence[CellSummary]) -> list[CellSummary]:
    """The fastest right cell of every runtime and precision, the fastest first."""
    found: dict[tuple[str, str], CellSummary] = {}
    for cell in group:
        if cell.status != "ok" or cell.p50_ms is None:
            continue
        key = (str(cell.spec["runtime"]), str(cell.precision_ran))
        if key not in found or (cell.p50_ms or 0) < (found[key].p50_ms or 0):
            found[key] = cell
    return sorted(found.values(), key=lambda cell: cell.p50_ms or 0)


def measured_bar(cell: CellSummary, lines: Lines | None, where: str) -> Bar:
    """The bar of one cell over its lines.

    Args:
        cell: with a p50.
        lines: None where they are not known.
        where: host and run.
    """
    assert cell.p50_ms is not None
    precision = cell.precision_ran or ""
    shown = f" {precision}" if precision != "fp32" else ""
    interval = (cell.p50_ci_ms[0] / 1e3, cell.p50_ci_ms[1] / 1e3) if cell.p50_ci_ms else None
    label = f"{' '.join([str(cell.spec['runtime']), *words.changes(cell)])} {cell.spec['form']}{shown}"
    if signal(cell.spec["layout"]) != "mono":
        label += f" {words.layout(cell)}"
    return Bar(label, cell.p50_ms / 1e3, "measured", precision, lines.floor_s if lines else None, interval, where)


def table(view: FloorView) -> Table:
    """Bars and lines as a table for a terminal."""
    made = Table(title=f"{view.title}: distance from the floor", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("", "time", "origin", "gap", "how"):
        made.add_column(name, justify="right" if name in ("time", "gap") else "left")
    for bar in view.bars:
        made.add_row(bar.label, words.milliseconds(bar.seconds * 1e3), bar.origin, words.gap(bar.gap), bar.note)
    made.add_section()
    for line in view.table or view.lines:
        name = f"{line.label} ({line.holds_for})"
        made.add_row(name, words.milliseconds(line.seconds * 1e3), f"derived from {line.basis}", "", line.formula)
    return made


def markdown(view: FloorView) -> str:
    """The same in Markdown."""
    rows = [f"### {view.title}", "", f"{view.answer()}.", ""]
    rows += ["| | time | origin | gap | how |", "|---|---:|---|---:|---|"]
    for bar in view.bars:
        figures = f"{words.milliseconds(bar.seconds * 1e3)} | {bar.origin} | {words.gap(bar.gap)}"
        rows.append(f"| {bar.label} | {figures} | {bar.note} |")
    for line in view.table or view.lines:
        name = f"*{line.label}* ({line.holds_for})"
        rows.append(
            f"| {name} | {words.milliseconds(line.seconds * 1e3)} | derived from {line.basis} | | {line.formula} |"
        )
    return "\n".join([*rows, "", *view.notes]).rstrip() + "\n"
