"""Figures, and how they become a picture, a file, or a part of the page.

A figure is drawn once, in the colours of :mod:`reports.charts.palette`. Each colour is then replaced: by that of the
dark theme, or, on the page, by a CSS variable, so that one drawing follows the reader's theme.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from contextlib import contextmanager, nullcontext
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports.charts.dark import darkened
from reports.charts.palette import ACCENT, DARK, GRID, INK, MARKERS, MUTED, RAISED, SERIES, SURFACE, VARIABLES, WARN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = [
    "ACCENT",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "RAISED",
    "SERIES",
    "SURFACE",
    "WARN",
    "any_script",
    "beside",
    "drawing",
    "figure",
    "heading",
    "inline",
    "legend",
    "log_scale",
    "origin_style",
    "png",
    "style",
    "svg",
]

# Read at the time of drawing; a figure that is saved elsewhere would look like matplotlib's own.
SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": SURFACE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "figure.facecolor": SURFACE,
    "figure.edgecolor": SURFACE,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}
# Beyond so many decades a logarithmic axis names powers of ten alone.
DECADES_MOST = 2.5
_ANY_FONT = "rtfloor-font"
_FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif"
_TAG = re.compile(r"<[^<>]*>")
_DECIMALS = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def figure(width_in: float = 8.0, height_in: float = 4.5) -> Figure:
    """An empty figure that lays itself out; needs no display and leaves no global state.

    Args:
        width_in: inches; the page shows 96 pixels for each, and shrinks it where there is less room.
        height_in: inches.
    """
    with mpl.rc_context(SETTINGS):
        made = Figure(figsize=(width_in, height_in), layout="constrained")
    made.get_layout_engine().set(w_pad=0.1, h_pad=0.06)  # type: ignore[union-attr,call-arg]
    return made


def heading(fig: Figure, title: str) -> None:
    """Give a figure its title, so that it can be read wherever it is shown."""
    fig.suptitle(title, x=0.012, ha="left", fontsize=11.5, fontweight="bold", color=INK)


def legend(axes: Axes, columns: int) -> None:
    """A legend between title and axes, from the axes' left edge."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=max(1, columns),
        frameon=False,
        borderaxespad=0.5,
        borderpad=0,
        labelcolor=INK,
        fontsize=9,
    )


def style(axes: Axes, *, grid: str = "x") -> Axes:
    """Give axes the looks of the house: no box, muted ticks, grid lines along one axis.

    Args:
        axes: just added to a figure of :func:`figure`.
        grid: ``x``, ``y``, ``both`` or ``""``.
    """
    axes.set_facecolor(SURFACE)
    axes.set_axisbelow(True)
    axes.title.set_color(INK)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.tick_params(which="both", color=GRID, labelcolor=MUTED, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
    return axes


def beside(axes: Axes, text: str, end: float, place: float, *, bold: bool) -> None:
    """Write what a horizontal bar says behind its end, legible on whatever lies there.

    Args:
        axes: with the bar.
        text: its figures.
        end: where the bar, and whatever else is drawn on it, ends; data coordinates.
        place: its height; data coordinates.
        bold: for the one that matters most.
    """
    axes.annotate(
        text,
        (end, place),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=INK,
        fontweight="bold" if bold else "normal",
        fontsize=9.5,
        bbox={"facecolor": SURFACE, "edgecolor": "none", "pad": 1},
        zorder=6,
    )


def origin_style(origin: str, colour: str) -> dict[str, Any]:
    """How a bar looks, by where its figure comes from: the same on every chart.

    Args:
        origin: ``measured`` is filled, ``published`` is hatched, ``derived`` is an outline.
        colour: one of this module's.

    Returns:
        Keywords for a matplotlib patch.
    """
    if origin == "published":
        return {"facecolor": colour, "edgecolor": SURFACE, "hatch": "////", "linewidth": 0.0}
    if origin == "derived":
        return {"facecolor": SURFACE, "edgecolor": colour, "linestyle": (0, (4, 2)), "linewidth": 1.3}
    return {"facecolor": colour, "edgecolor": colour, "linewidth": 0.0}


class _Ticks(LogLocator):
    """Ticks at 1, 2 and 5 times a power of ten; over many decades at the powers alone, or their names would meet."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Where ticks stand between two ends."""
        low, high = sorted((vmin, vmax))
        decades = math.log10(high / low) if 0 < low < high < math.inf else 0.0
        self.set_params(subs=(1.0, 2.0, 5.0) if decades <= DECADES_MOST else (1.0,))
        return super().tick_values(vmin, vmax)


@contextmanager
def any_script() -> Iterator[None]:
    """No word on letters that our font lacks: a drawing keeps its text as text, and its reader has other fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support", category=UserWarning)
        yield


def log_scale(axis: Axis) -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5 times a power of ten, written as plain numbers."""
    axis._set_axes_scale("log")  # type: ignore[attr-defined]  # noqa: SLF001
    axis.set_major_locator(_Ticks(numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def png(fig: Figure, path: Path, *, dark: bool = False, dpi: int = 200) -> None:
    """Write a picture."""
    _settle(fig)
    with any_script(), mpl.rc_context(SETTINGS), darkened(fig) if dark else nullcontext():
        fig.set_dpi(dpi)
        canvas: Any = FigureCanvasAgg(fig)
        canvas.print_png(path, metadata={"Software": None})


def svg(fig: Figure, path: Path, *, dark: bool = False, drawn: str | None = None) -> None:
    """Write a drawing whose text stays text; the same figure gives the same bytes.

    Args:
        fig: the figure.
        path: of the file.
        dark: in the colours of the dark theme.
        drawn: of :func:`drawing`, where it was made already.
    """
    drawn = _recoloured(drawn or drawing(fig), DARK if dark else {}).replace(_ANY_FONT, _FONTS)
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{drawn}', "utf-8")


def inline(fig: Figure, title: str, description: str, drawn: str | None = None) -> str:
    """The figure as an element of the page, in the page's colours and font.

    Args:
        fig: the figure.
        title: its name, for those who hear it.
        description: what it shows, in words, for those who cannot see it.
        drawn: of :func:`drawing`, where it was made already.
    """
    drawn = _recoloured(drawn or drawing(fig), VARIABLES).replace(_ANY_FONT, "inherit")
    start = drawn.index(">") + 1
    width, height = fig.get_size_inches() * 72
    name = "c" + hashlib.sha256(f"{title}\0{description}\0{drawn}".encode()).hexdigest()[:8]
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawn[start:])
    return (
        f'<svg role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {width:g} {height:g}"'
        f' style="width:{width / 72 * 96:.0f}px;stroke-linejoin:round"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{body}'
    )


def drawing(fig: Figure) -> str:
    """SVG of a figure, in no theme and no font yet: no prologue, no metadata, no unused names, two decimals."""
    _settle(fig)
    out = io.StringIO()
    # The salt takes the place of a random number in the names of clip paths and markers.
    with any_script(), mpl.rc_context({**SETTINGS, "svg.hashsalt": "rtfloor"}):
        canvas: Any = FigureCanvasSVG(fig)
        canvas.print_svg(out, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL).replace("<defs>\n </defs>", "")
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = text.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    text = re.sub(r"font-family: [^;\"]+", f"font-family: {_ANY_FONT}", text)
    text = re.sub(r"font: ([^\"']*?px) [^;\"]+", lambda found: f"font: {found[1]} {_ANY_FONT}", text)
    text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", text)
    text = _TAG.sub(lambda tag: _DECIMALS.sub(_two_decimals, tag[0]), text)
    text = re.sub(r' d="[^"]*"', lambda path: f" {' '.join(path[0].split())}", text)
    return re.sub(r"\s*\n\s*", "\n", text)


def _settle(fig: Figure) -> None:
    """Take every text as it is, a model may be called $x$; and in our ink where nobody chose another."""
    for text in fig.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        if same_color(text.get_color(), "black"):
            text.set_color(INK)


def _two_decimals(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _recoloured(text: str, by: Mapping[str, str]) -> str:
    """Colours replaced inside of tags; what people wrote stays as it is."""
    return _TAG.sub(lambda tag: _COLOUR.sub(lambda found: by.get(found[0], found[0]), tag[0]), text) if by else text
