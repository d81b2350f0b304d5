"""A floor chart for a machine: its lines for one model, what was published about it, and what was measured on it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.plan import ModelSpec
from bench.tasks.prepare import card_of, graph_of
from models.facts import zoo
from reports.floor import Bar, FloorView, Line, as_lines, best_cells, measured_bar
from results import published
from results.floor import PRECISIONS, Graph, launch, lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.card import Card
    from results.floor import Lines
    from results.floors import Floors
    from results.peaks import Peaks
    from results.published import Series, Step
    from results.summary import CellSummary

DEFAULT_MODEL = "rt48"
# The form that published times of our models are of, where their source does not say.
PUBLISHED_FORM, DEFAULT_FORM = "ln", "raw"


@dataclass(frozen=True)
class Wanted:
    """What to draw lines for; None where the machine's published figures, or a default, decide.

    Attributes:
        model: zoo model, or a description of a file.
        form: as on the command line.
        signal: ``mono`` or ``stereo``.
        threads: budgets, the headline's first.
        precisions: likewise.
    """

    model: str | ModelSpec | None = None
    form: str | None = None
    signal: str | None = None
    threads: tuple[int, ...] = ()
    precisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A run, as far as a chart needs it.

    Attributes:
        cells: of the run.
        floors: their lines.
        host: the processor's name.
        where: host and run, for people.
    """

    cells: Sequence[CellSummary]
    floors: Floors
    host: str
    where: str


def machine_view(peaks: Peaks, wanted: Wanted, measured: Measured | None) -> FloorView:
    """One model on one machine.

    Args:
        peaks: of the machine.
        wanted: which model, and in what way.
        measured: a run whose cells join where they were measured on this very hardware.

    Raises:
        UserError: there is no arithmetic of that precision in the profile.
        ModelError: the model or form cannot be made, or its cost cannot be told.
    """
    about = _published(peaks.name)
    ours = about is not None and wanted.model in (None, about.model) and wanted.signal in (None, about.signal)
    steps = about.steps if ours and about is not None else ()
    model = wanted.model if wanted.model is not None else about.model if about else DEFAULT_MODEL
    usual = PUBLISHED_FORM if steps else DEFAULT_FORM
    form = wanted.form or next((step.form for step in reversed(steps) if step.form), usual)
    signal = wanted.signal or (about.signal if ours and about else "mono")
    threads = wanted.threads or ((0,) if peaks.device == "gpu" else (peaks.cores, 1) if peaks.cores > 1 else (1,))
    precisions = wanted.precisions or _precisions(steps, peaks) or ("fp32",)
    _check(peaks, threads, precisions)
    with tempfile.TemporaryDirectory(prefix="rtfloor-floor-") as folder:
        card, graph = _graph(model, form, Path(folder))
    found = {
        (precision, count): _lines(graph, peaks, precision, count, 2 if signal == "stereo" else 1)
        for precision in precisions
        for count in threads
    }
    first = found[precisions[0], threads[0]]
    bars = [_bar(step, peaks, found) for step in steps]
    if measured is not None and is_this(peaks, measured):
        here = [cell for cell in measured.cells if _same(cell, card.name, signal)]
        bars += [measured_bar(cell, measured.floors.of(cell), measured.where) for cell in best_cells(here)]
    budget = f", {threads[0]} thread{'s' if threads[0] > 1 else ''}" if threads[0] else ""
    return FloorView(
        title=f"{peaks.title}: {card.name}, {signal}{budget}",
        audio_s=about.audio_s if about is not None and steps else card.audio_s,
        bars=tuple(bars),
        lines=tuple(_rows(first, peaks)),
        table=tuple(row for each in found.values() for row in _rows(each, peaks)),
        notes=(*_cited(steps), *_counted(card, graph), *peaks.notes),
    )


def is_this(peaks: Peaks, measured: Measured) -> bool:
    """Whether a run was made on the very hardware of a profile."""
    matches = [str(text).casefold() for text in peaks.facts.get("matches", ())]
    if peaks.device == "cpu":
        return any(text in measured.host.casefold() for text in matches)
    found = measured.floors.peaks.get("gpu")
    # What a GPU is called ends with its number: an RTX 3060 Ti is another one.
    return found is not None and any(found.title.casefold().endswith(text) for text in matches)


def _graph(model: str | ModelSpec, form: str, folder: Path) -> tuple[Card, Graph]:
    if isinstance(model, str) and model not in zoo():
        raise UserError(
            f"there is no model {model!r} in the zoo; 'rtfloor models list' shows them, or name an .onnx file"
        )
    spec = ModelSpec(model) if isinstance(model, str) else model
    card = card_of(spec, form, 1, folder)
    graph = Graph.from_table(graph_of(card), card.precision)
    if graph is None:
        raise UserError(
            f"what {card.name} costs cannot be told: its sizes show only when it runs; fix them with --shape"
        )
    return card, graph


def _check(peaks: Peaks, threads: Sequence[int], precisions: Sequence[str]) -> None:
    for precision in precisions:
        if not set(precision.split("+")) <= set(PRECISIONS):
            raise UserError(f"there is no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    most = max([peaks.cores, int(peaks.facts.get("threads") or 0), *(row.threads for row in peaks.arithmetic)])
    for count in threads if peaks.device == "cpu" else ():
        if count > most:
            raise UserError(f"{peaks.title} runs {most} threads at once, and {count} were asked for; see --threads")


def _lines(graph: Graph, peaks: Peaks, precision: str, threads: int, signals: int) -> Lines:
    found = lines(graph, peaks, precision, threads, signals=signals)
    if found is None:
        known = ", ".join(sorted({row.precision for row in peaks.arithmetic})) or "none"
        raise UserError(f"{peaks.title}: nothing is known of its arithmetic in {precision}; known: {known}")
    return found


def _cited(steps: Sequence[Step]) -> list[str]:
    titles = dict.fromkeys(step.row.source.title for step in steps)
    return [f"Lines of: {'; '.join(titles)}."] if titles else []


def _published(hardware: str) -> Series | None:
    """The series about a machine; None where nothing was published about it."""
    every = (published.series_about(name) for name in published.series_names())
    return next((series for series in every if series.hardware == hardware), None)


def _precisions(steps: Sequence[Step], peaks: Peaks) -> tuple[str, ...]:
    """Those of the steps on this machine, that of the last one first: it is the headline."""
    return tuple(dict.fromkeys(step.precision for step in reversed(steps) if step.hardware == peaks.name))


def _bar(step: Step, peaks: Peaks, found: Mapping[tuple[str, int], Lines]) -> Bar:
    """A published time over the floor of its precision, where it was taken on this machine."""
    here = next((lines for (precision, _), lines in found.items() if precision == step.precision), None)
    return Bar(
        step.label,
        step.seconds,
        step.origin,
        step.precision,
        here.floor_s if here is not None and step.hardware == peaks.name else None,
        # The source itself is cited once, below.
        note="; ".join(text for text in (f"line {step.row.line}", step.formula) if text),
        estimate=step.kind == "estimate",
    )


def _rows(found: Lines, peaks: Peaks) -> list[Line]:
    return as_lines(found, peaks.title, launch=launch(peaks, found.launches or 0))


def _same(cell: CellSummary, model: str, signal: str) -> bool:
    # What stays on a device stands over other lines.
    return cell.status == "ok" and cell.race[:2] == (model, signal)


def _counted(card: Card, graph: Graph) -> list[str]:
    said = [f"The lines are those of the form {card.form}."]
    if graph.unknown:
        said.append(f"Not counted, and taken for free: {', '.join(graph.unknown)}.")
    return said
