"""Colours of charts and page: one name, a value in light and one in dark.

The seven of :data:`SERIES` were searched for: at least 3 : 1 beside the surface in both themes (WCAG 2.2, 1.4.11),
and apart from each other for people who see no red, no green or no blue. A test holds them to it. No chart tells
anything by colour alone: a label, a marker or a hatch says the same.
"""

from __future__ import annotations

from dataclasses import dataclass

# A figure is drawn in the colours of the light theme, all different, so that each can be found again and replaced.
INK = "#1b1e23"
MUTED = "#5d6570"
GRID = "#dde0e4"
SURFACE = "#ffffff"
RAISED = "#f5f6f8"
ACCENT = "#0b57b0"
WARN = "#a33a12"
SERIES = ("#1154aa", "#90351a", "#5a8a78", "#654461", "#9b7207", "#009cd0", "#40167e")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Colour:
    """One colour of the design.

    Attributes:
        name: of the page's CSS variable, without its dashes.
        light, dark: ``#rrggbb``; the light one stands for the colour in a figure.
    """

    name: str
    light: str
    dark: str


_DARK_SERIES = ("#4f72c1", "#de5d05", "#77a587", "#975d74", "#edc156", "#15bbdd", "#e8d4fe")
COLOURS = (
    Colour("ink", INK, "#e7e9ec"),
    Colour("muted", MUTED, "#a3abb6"),
    Colour("grid", GRID, "#343a42"),
    Colour("surface", SURFACE, "#15181d"),
    Colour("raised", RAISED, "#1e2228"),
    Colour("accent", ACCENT, "#8ab4f8"),
    Colour("warn", WARN, "#f3a27e"),
    *(Colour(f"s{n}", light, dark) for n, (light, dark) in enumerate(zip(SERIES, _DARK_SERIES, strict=True))),
)
DARK = {colour.light: colour.dark for colour in COLOURS}
VARIABLES = {colour.light: f"var(--{colour.name})" for colour in COLOURS}


def css(*, dark: bool) -> str:
    """Declarations of all variables for one theme."""
    return "".join(f"--{colour.name}:{colour.dark if dark else colour.light};" for colour in COLOURS)
