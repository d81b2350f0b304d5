"""Threads and layouts: what one runtime gains from more threads, or from another way of meeting the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import words
from reports.charts.canvas import INK, MUTED, SURFACE, figure, heading, legend, log_scale, style
from reports.charts.chart import Chart, looks, slug
from reports.source import timed

if TYPE_CHECKING:
    from results.summary import CellSummary

Setting = tuple[str, int]
LINEAR_MOST = 8.0


def layouts(model: str, kind: str, cells: list[CellSummary]) -> Chart | None:
    """p50 per layout and threads, a marker per runtime; None where there is one setting only.

    Args:
        model: the model's name.
        kind: ``mono`` or ``stereo``.
        cells: of the run; those of another model or signal are ignored.
    """
    best = _best([cell for cell in timed(cells) if cell.spec["model"] == model and cell.race[1] == kind])
    settings = sorted({setting for _, setting in best}, key=lambda setting: (setting[1], setting[0]))
    runtimes = list(dict.fromkeys(runtime for runtime, _ in best))
    if len(settings) < 2:
        return None
    fig = figure(8.2, 1.5 + 0.4 * len(settings))
    axes = style(fig.add_subplot(), grid="both")
    found = looks(runtimes)
    for number, runtime in enumerate(runtimes):
        points = [
            (best[runtime, setting], place) for place, setting in enumerate(settings) if (runtime, setting) in best
        ]
        shift = (number - (len(runtimes) - 1) / 2) * min(0.18, 0.7 / len(runtimes))
        times, places = [cell.p50_ms or 0.0 for cell, _ in points], [place + shift for _, place in points]
        for cell, place in points:
            if cell.p50_ci_ms:
                axes.plot(cell.p50_ci_ms, [place + shift] * 2, color=found[runtime].colour, linewidth=1.4, zorder=2)
        axes.plot(
            times,
            places,
            linestyle="",
            marker=found[runtime].marker,
            markersize=7.5,
            label=runtime,
            zorder=3,
            color=found[runtime].colour,
            markeredgecolor=SURFACE,
            markeredgewidth=0.8,
        )
    every = [cell.p50_ms or 0.0 for cell in best.values()]
    if max(every) > LINEAR_MOST * min(every):
        log_scale(axes.xaxis)
    else:
        axes.set_xlim(0, max(every) * 1.08)
    names = [_setting(setting) for setting in settings]
    axes.set_yticks(range(len(settings)), names)
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    axes.set_xlabel("p50, milliseconds per call; left is better", loc="left", color=MUTED)
    legend(axes, min(5, len(runtimes)))
    rows = [(name, *_times(best, runtimes, setting)) for name, setting in zip(names, settings, strict=True)]
    told = "; ".join(
        f"{row[0]}: " + ", ".join(f"{r} {v}" for r, v in zip(runtimes, row[1:], strict=True)) for row in rows
    )
    title = f"Threads and layouts: {model}, {kind}"
    heading(fig, title)
    return Chart(
        name=slug("layouts", model, kind),
        title=title,
        description=f"p50 of the fastest form of each runtime per layout and threads, for {model}, {kind}. {told}.",
        figure=fig,
        columns=("layout, threads", *runtimes),
        rows=rows,
        note="The fastest form and options of each runtime in each setting; the line is the 95 % interval.",
        group=f"{model}, {kind}",
    )


def _best(cells: list[CellSummary]) -> dict[tuple[str, Setting], CellSummary]:
    found: dict[tuple[str, Setting], CellSummary] = {}
    for cell in sorted(cells, key=lambda cell: cell.p50_ms or 0.0):
        found.setdefault((str(cell.spec["runtime"]), (str(cell.spec["layout"]), int(cell.spec["threads"]))), cell)
    return found


def _times(best: dict[tuple[str, Setting], CellSummary], runtimes: list[str], setting: Setting) -> list[str]:
    cells = [best.get((runtime, setting)) for runtime in runtimes]
    return [words.milliseconds(cell.p50_ms) if cell else words.NOTHING for cell in cells]


def _setting(setting: Setting) -> str:
    name, count = setting
    each = max(count // 2, 1)
    shown = f"par {each}‖{each}" if name == "par" else name
    return f"{shown}, {count} thread{'s' if count != 1 else ''}"
