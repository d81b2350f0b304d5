"""A figure in the colours of the dark theme, for as long as a picture of it is made."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex, to_rgba_array
from matplotlib.text import Text

from reports.charts.palette import DARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

_KINDS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


@contextmanager
def darkened(fig: Figure) -> Iterator[None]:
    """Replace every colour of the light theme in a figure; afterwards all are what they were."""
    fig.draw_without_rendering()  # ticks come into being while a figure is drawn
    undo = []
    for artist in _everything(fig):
        for kind in _KINDS:
            getter, setter = getattr(artist, f"get_{kind}", None), getattr(artist, f"set_{kind}", None)
            if getter is None or setter is None:
                continue
            before = getter()
            after = _dark(before)
            if after is not None:
                setter(after)
                undo.append((setter, before))
    try:
        yield
    finally:
        for setter, before in reversed(undo):
            setter(before)


def _everything(fig: Figure) -> Iterator[Artist]:
    for artist in fig.findobj():
        yield artist
        # What belongs to a text is no child of it.
        box = artist.get_bbox_patch() if isinstance(artist, Text) else None
        for part in (box, getattr(artist, "arrow_patch", None)):
            if part is not None:
                yield part


def _dark(colour: Any) -> Any:
    """The dark counterpart, opacity kept, of one colour or of rows of them; None where there is nothing to replace."""
    if isinstance(colour, str) and colour.lower() == "none":
        return None
    before = to_rgba_array(colour)
    after = np.array([(*_counterpart(row), row[3]) for row in before])
    if not after.size or np.array_equal(before, after):
        return None
    return after if np.ndim(colour) == 2 else tuple(after[0])


def _counterpart(row: Any) -> Any:
    return to_rgba_array(DARK.get(to_hex(row), to_hex(row)))[0, :3]
