"""The colours: to be told apart by everybody, on white and on black."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.charts.palette import ACCENT, COLOURS, DARK, GRID, INK, MARKERS, MUTED, SERIES, SURFACE, WARN

# What people see who lack one kind of cone, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Linear RGB to Oklab (Ottosson 2020), in which distances are near to what is seen: black to white is 1.
TO_CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]
APART = 0.09


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2."""
    lights = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def themes() -> list[tuple[str, ...]]:
    return [SERIES, tuple(DARK[colour] for colour in SERIES)]


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_two_runtimes_can_be_told_apart_by_everybody(theme: tuple[str, ...], vision: str) -> None:
    seen = [np.clip(np.array(VISION[vision]) @ linear(colour), 0, 1) for colour in theme]
    lab = [np.array(TO_LAB) @ np.cbrt(np.array(TO_CONES) @ one) for one in seen]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(lab, 2)) >= APART


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_lines_and_texts_stand_out_from_the_page(*, dark: bool) -> None:
    def shown(colour: str) -> str:
        return DARK[colour] if dark else colour

    assert min(contrast(shown(colour), shown(SURFACE)) for colour in SERIES) >= 3
    assert min(contrast(shown(colour), shown(SURFACE)) for colour in (INK, MUTED, ACCENT, WARN)) >= 4.5


def test_each_colour_can_be_found_again_in_a_drawing() -> None:
    # Two names for one colour would both become the darker theme's last.
    assert len({colour.light for colour in COLOURS}) == len(COLOURS)
    assert GRID in DARK


def test_markers_differ_where_colours_do() -> None:
    assert len(set(MARKERS)) == len(SERIES)
