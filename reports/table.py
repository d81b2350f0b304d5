"""The table of a run, for a terminal: one block per race, the fastest first, failures below with reasons."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from reports import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, RenderableType

    from results.summary import CellSummary

Race = tuple[str, str, int]
LEFT = ("runtime", "form", "layout")
COLUMNS: dict[str, Callable[[CellSummary], str]] = {
    "rank": lambda cell: str(cell.rank or words.NOTHING),
    "runtime": words.runtime,
    "form": lambda cell: str(cell.spec["form"]),
    "layout": words.layout,
    "threads": words.threads,
    "p50": lambda cell: words.milliseconds(cell.p50_ms),
    "±": words.spread,
    "p90": lambda cell: words.milliseconds(cell.p90_ms),
    "p99": lambda cell: words.milliseconds(cell.p99_ms),
    "RTF ↓": lambda cell: words.NOTHING if cell.rtf is None else words.digits(cell.rtf),
    "× real time ↑": lambda cell: words.NOTHING if cell.x_realtime is None else words.digits(cell.x_realtime),
    "cold": lambda cell: words.milliseconds(cell.cold_ms),
    "memory": lambda cell: words.NOTHING if cell.rss_peak_mb is None else f"{cell.rss_peak_mb:.0f} MB",
    "error": words.error,
    "beside raw": words.beside_raw,
}
RUNTIME_LEAST = 18
# What a narrow terminal does without, the first to go first.
SPARED = ("memory", "p90", "beside raw", "error", "× real time ↑", "cold", "threads", "form", "layout")


def races(cells: Sequence[CellSummary]) -> dict[Race, list[CellSummary]]:
    """Cells by race; within one, ranked cells first, the fastest of a rank first, then the rest."""
    grouped: dict[Race, list[CellSummary]] = defaultdict(list)
    for cell in cells:
        grouped[cell.race].append(cell)
    return {key: sorted(group, key=_order) for key, group in grouped.items()}


def tables(cells: Sequence[CellSummary], console: Console) -> RenderableType:
    """All races, one table each, with as many columns as the console is wide."""
    return Group(*(_block(key, group, console) for key, group in races(cells).items()))


def _order(cell: CellSummary) -> tuple[float, float]:
    return (cell.rank or float("inf"), cell.p50_ms or float("inf"))


def _block(key: Race, cells: Sequence[CellSummary], console: Console) -> RenderableType:
    timed = [cell for cell in cells if cell.status == "ok"]
    title = Text(f"\n{words.race(key)}", style="bold")
    return Group(title, *([_fitting(timed, console)] if timed else []), *_remarks(cells))


def _fitting(cells: Sequence[CellSummary], console: Console) -> Table:
    """With as many columns as fit; the name of a runtime folds before a column goes."""
    reformed = any(cell.spec["form"] != "raw" for cell in cells)
    names = [name for name in COLUMNS if reformed or name != "beside raw"]
    unbounded = console.options.update(width=10_000)
    for spared in (None, *SPARED):
        names = [name for name in names if name != spared]
        folded = _table(cells, names, runtime_most=RUNTIME_LEAST)
        if Measurement.get(console, unbounded, folded).maximum <= console.width:
            break
    return _table(cells, names)


def _table(cells: Sequence[CellSummary], names: Sequence[str], runtime_most: int | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        # The name of a runtime with swept options can be long: it folds, so that figures never go.
        folds = name == "runtime"
        table.add_column(
            name,
            no_wrap=not folds,
            overflow="fold",
            justify="left" if name in LEFT else "right",
            max_width=runtime_most if folds else None,
        )
    for cell in cells:
        # As Text: a value may have brackets that rich would take for its own.
        table.add_row(*(Text(COLUMNS[name](cell)) for name in names), style="bold" if cell.rank == 1 else None)
    return table


def _remarks(cells: Sequence[CellSummary]) -> Iterator[Text]:
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cell in cells:
        where = f"{cell.spec['form']} {words.layout(cell)}"
        if cell.status != "ok":
            alike[cell.status, words.runtime(cell), cell.reason or ""].append(where)
        for note in cell.notes:
            yield Text(f"  note: {words.runtime(cell)} {where}: {note}", style="dim")
    for (status, runtime, reason), places in alike.items():
        yield Text.assemble((f"  {status.upper()}", "bold red"), f" {runtime} ({', '.join(places)}): {reason}")
