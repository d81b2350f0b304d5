"""What every chart of a report is made of: a figure, and the same in words and as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from reports import words
from reports.charts.canvas import drawing
from reports.charts.palette import MARKERS, MUTED, SERIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

    from results.summary import CellSummary

# Each runtime keeps its colour and marker on every chart of every run.
KNOWN = ("ort-cpu", "openvino", "tvm", "tract", "torch", "ort-cuda", "tensorrt")


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: of its files, such as ``ladder-rt48-mono-2``.
        title: a line.
        description: what it shows, in words.
        figure: the drawing.
        columns, rows: the figures it shows, as text.
        note: how to read it; a sentence or two.
        group: the race it belongs to, in words; empty where it is about the whole run.
        origins: where its figures come from: ``measured``, ``published``, ``derived``.
    """

    name: str
    title: str
    description: str
    figure: Figure
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    group: str = ""
    origins: tuple[str, ...] = ("measured",)

    @cached_property
    def drawn(self) -> str:
        """The figure as :func:`reports.charts.canvas.drawing` has it, made once for page and file."""
        return drawing(self.figure)


@dataclass(frozen=True)
class Look:
    """Colour and marker of a runtime."""

    colour: str
    marker: str


def looks(runtimes: Iterable[str]) -> dict[str, Look]:
    """A look for each runtime: known ones have their own, others take what is left."""
    names = list(dict.fromkeys(runtimes))
    free = [place for place in range(len(SERIES)) if KNOWN[place] not in names]
    found = {}
    for name in names:
        if name in KNOWN:
            place = KNOWN.index(name)
        elif free:
            place = free.pop(0)
        else:
            found[name] = Look(MUTED, ".")
            continue
        found[name] = Look(SERIES[place], MARKERS[place])
    return found


def label(cell: CellSummary) -> str:
    """A cell in a few words: runtime, form and layout, with the options that were changed."""
    precision = [str(cell.precision_ran)] if cell.precision_ran not in (None, cell.spec.get("precision")) else []
    said = [str(cell.spec["runtime"]), str(cell.spec["form"]), words.layout(cell), *precision, *words.changes(cell)]
    name = " ".join(said)
    return name if len(name) <= 44 else f"{name[:43]}…"


def distinct(charts: Sequence[Chart]) -> list[Chart]:
    """Charts whose names are all different: names that would be the same are numbered.

    Names of files say less than names of races (``a b`` and ``a-b`` are both ``a-b``); one file must not take the
    place of another.
    """
    given = {chart.name for chart in charts}
    taken: set[str] = set()
    found = []
    for chart in charts:
        name, number = chart.name, 1
        while name in taken or (number > 1 and name in given):
            number += 1
            name = f"{chart.name}--{number}"
        taken.add(name)
        found.append(chart if name == chart.name else replace(chart, name=name))
    return found


def slug(*parts: object) -> str:
    """A file name of letters, digits and hyphens; :func:`distinct` tells apart those that come out the same."""
    text = "-".join(str(part) for part in parts)
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)
    return "-".join(filter(None, safe.lower().split("-")))[:80]
