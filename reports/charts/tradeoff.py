"""Quality against latency: what a faster form or a coarser precision costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import words
from reports.charts.canvas import ACCENT, INK, MUTED, SURFACE, any_script, figure, heading, legend, log_scale, style
from reports.charts.chart import Chart, looks, slug
from reports.source import timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.table import Race
    from results.summary import CellSummary

LINEAR_MOST = 8.0
# Above this, differences are rounding, and nothing to choose by. Chosen by us.
ROUNDING_DB = 100.0


@dataclass(frozen=True)
class Point:
    """One form on one runtime: its fastest cell.

    Attributes:
        cell: the cell.
        snr_db: signal-to-error ratio beside the form raw; infinite where no bit differs.
        best: nothing faster is as good, where everything above :data:`ROUNDING_DB` is equally good.
    """

    cell: CellSummary
    snr_db: float
    best: bool = False


def points(cells: list[CellSummary]) -> list[Point]:
    """Every form on every runtime whose quality is known, with the Pareto front marked, the fastest first."""
    found: dict[tuple[str, str, str], Point] = {}
    for cell in sorted(timed(cells), key=lambda cell: cell.p50_ms or 0.0):
        quality = cell.quality or {}
        ratio = quality.get("snr_db")
        if ratio is None and quality.get("max_abs_error") == 0:
            ratio = float("inf")
        if ratio is not None and not quality.get("mismatch"):
            key = (str(cell.spec["runtime"]), str(cell.spec["form"]), str(cell.precision_ran))
            found.setdefault(key, Point(cell, float(ratio)))
    front, highest = [], float("-inf")
    for point in sorted(found.values(), key=lambda point: (point.cell.p50_ms or 0.0, -point.snr_db)):
        worth = min(point.snr_db, ROUNDING_DB)
        front.append(Point(point.cell, point.snr_db, worth > highest))
        highest = max(highest, worth)
    return front


def tradeoff(race: Race, cells: list[CellSummary]) -> Chart | None:
    """A scatter of quality over p50; None where fewer than two forms or precisions can be compared."""
    found = points(cells)
    if len({(point.cell.spec["form"], point.cell.precision_ran) for point in found}) < 2:
        return None
    finite = [point.snr_db for point in found if point.snr_db != float("inf")]
    top = max(finite, default=ROUNDING_DB) + (12 if len(finite) < len(found) else 0)
    fig = figure(8.2, 4.6)
    axes = style(fig.add_subplot(), grid="both")
    _front(axes, found, top)
    look = looks(str(point.cell.spec["runtime"]) for point in found)
    for runtime, shape in look.items():
        mine = [point for point in found if point.cell.spec["runtime"] == runtime]
        axes.plot(
            [point.cell.p50_ms or 0.0 for point in mine],
            [min(point.snr_db, top) for point in mine],
            linestyle="",
            marker=shape.marker,
            markersize=8,
            color=shape.colour,
            markeredgecolor=SURFACE,
            markeredgewidth=0.8,
            label=runtime,
            zorder=3,
        )
    times = [point.cell.p50_ms or 0.0 for point in found]
    if max(times) > LINEAR_MOST * min(times):
        log_scale(axes.xaxis)
        axes.set_xlim(min(times) / 1.3, max(times) * 1.9)
    else:
        axes.set_xlim(0, max(times) * 1.15)
    axes.set_xlabel("p50, milliseconds per call; left is better", loc="left")
    axes.set_ylabel("signal to error beside raw, dB; up is better", loc="top")
    axes.set_ylim(min([*finite, top]) - 12, top + 14)
    _labels(axes, found, top)
    legend(axes, min(6, len(look) + 1))
    rows = [_row(point) for point in found]
    name = words.race(race)
    told = "; ".join(f"{row[0]} {row[1]}: {row[3]}, {row[4]}" for row in rows if row[5] == "yes")
    title = f"Quality against latency: {name}"
    heading(fig, title)
    return Chart(
        name=slug("quality", *race),
        title=title,
        description=f"Quality beside the form raw over p50, for {name}. Nothing faster is as good as: {told}.",
        figure=fig,
        columns=("runtime", "form", "precision ran", "p50", "signal to error", "nothing faster is as good", "origin"),
        rows=rows,
        note="Bold, on the line: nothing faster is as good (Pareto front). Points: the fastest layout of each form "
        f"and runtime. Above {ROUNDING_DB:.0f} dB differences are rounding, and all count as equally good.",
        group=name,
    )


def _front(axes: Axes, found: Sequence[Point], top: float) -> None:
    front = [point for point in found if point.best]
    axes.step(
        [point.cell.p50_ms or 0.0 for point in front],
        [min(point.snr_db, top) for point in front],
        where="post",
        color=ACCENT,
        linewidth=1.2,
        linestyle=(0, (4, 2)),
        zorder=2,
        label="nothing faster is as good",
    )


def _labels(axes: Axes, found: Sequence[Point], top: float) -> None:
    """Name every point that has room, those of the front first; the others stand in the table."""
    with any_script():
        axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    scale = 72 / axes.figure.dpi
    spots = [axes.transData.transform((point.cell.p50_ms or 0.0, min(point.snr_db, top))) * scale for point in found]
    frame = [edge * scale for edge in axes.bbox.extents]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for point, (x, y) in sorted(zip(found, spots, strict=True), key=lambda item: not item[0].best):
        text = _form(point)
        width = 5.4 * len(text)
        for dx, dy in ((7, 4), (7, -12), (-7 - width, 5), (-7 - width, -12), (7, 17), (7, -24), (7, 29)):
            box = (x + dx, y + dy, x + dx + width, y + dy + 9)
            inside = frame[0] < box[0] and box[2] < frame[2] and frame[1] < box[1] and box[3] < frame[3]
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(
                    text,
                    (point.cell.p50_ms or 0.0, min(point.snr_db, top)),
                    xytext=(dx, dy),
                    textcoords="offset points",
                    fontsize=8.5,
                    color=INK if point.best else MUTED,
                    fontweight="bold" if point.best else "normal",
                    zorder=5,
                )
                break


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _form(point: Point) -> str:
    form, ran = str(point.cell.spec["form"]), point.cell.precision_ran
    return form if ran in (None, "fp32") else f"{form} ({ran})"


def _row(point: Point) -> tuple[str, ...]:
    cell = point.cell
    ratio = "exact" if point.snr_db == float("inf") else f"{point.snr_db:.0f} dB"
    return (
        str(cell.spec["runtime"]),
        str(cell.spec["form"]),
        cell.precision_ran or words.NOTHING,
        words.milliseconds(cell.p50_ms),
        ratio,
        "yes" if point.best else "no",
        "measured",
    )
