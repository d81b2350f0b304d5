"""Figures as files and on the page: one drawing, in the reader's theme, with words for those who listen."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from reports.charts import canvas
from reports.charts.palette import DARK

STRANGE = "a <b> & $x^2$ #1154aa 0.123456"


def drawn() -> Figure:
    fig = canvas.figure(4, 3)
    axes = canvas.style(fig.add_subplot(), grid="both")
    for place, origin in enumerate(("measured", "published", "derived")):
        axes.barh(place, 2 + place, **canvas.origin_style(origin, canvas.SERIES[place]))
    axes.text(1, 1, STRANGE)
    axes.plot([1, 2], [0, 2], marker="o", color=canvas.SERIES[3])
    return fig


def pixels(path: Path) -> set[tuple[int, int, int]]:
    image = np.asarray(Image.open(path).convert("RGB"))
    return {tuple(map(int, colour)) for colour in np.unique(image.reshape(-1, 3), axis=0)}


def rgb(colour: str) -> tuple[int, int, int]:
    return (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16))


def test_the_page_decides_about_colours_and_fonts() -> None:
    text = canvas.inline(drawn(), "title", "description")
    in_tags = "".join(re.findall(r"<[^>]*>", text))
    assert not re.search(r"#[0-9a-f]{6}\b(?!-)", re.sub(r'(href="|url\()#[^")]*', "", in_tags))
    assert "var(--s0)" in in_tags
    assert "font-family: inherit" in in_tags


def test_what_people_wrote_stays_as_they_wrote_it() -> None:
    # Neither mathematics, nor a colour to replace, nor a number to round, nor markup.
    element = ET.fromstring(canvas.inline(drawn(), "<title>", "<description>"))
    assert STRANGE in [text.text for text in element.iter("text")]
    assert element.findtext("title") == "<title>"
    assert element.findtext("desc") == "<description>"


def test_who_cannot_see_the_chart_hears_its_title_and_description() -> None:
    element = ET.fromstring(canvas.inline(drawn(), "the title", "what it shows"))
    assert element.get("role") == "img"
    named = [one for one in element.iter() if one.get("id") in (element.get("aria-labelledby") or "").split()]
    assert [one.text for one in named] == ["the title", "what it shows"]


def test_two_charts_on_one_page_do_not_borrow_from_each_other() -> None:
    one, other = (canvas.inline(drawn(), title, "x") for title in ("one", "other"))
    names = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, other)]
    assert names[0]
    assert not names[0] & names[1]
    for text, own in zip((one, other), names, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= own


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    canvas.svg(drawn(), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "://" not in text


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    # A chart under version control changes when its figures do, and not with the date.
    for name in ("a", "b"):
        fig = drawn()
        canvas.svg(fig, tmp_path / f"{name}.svg")
        canvas.png(fig, tmp_path / f"{name}.png", dpi=50)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_one_figure_gives_a_light_and_a_dark_picture(tmp_path: Path) -> None:
    fig = drawn()
    # Twice before: the layout takes a second drawing to come to rest.
    for name, dark in (("before", False), ("before", False), ("dark", True), ("after", False)):
        canvas.png(fig, tmp_path / f"{name}.png", dark=dark, dpi=50)
    light, dark_ones = pixels(tmp_path / "before.png"), pixels(tmp_path / "dark.png")
    assert {rgb(canvas.SURFACE), rgb(canvas.SERIES[0])} <= light
    assert {rgb(DARK[canvas.SURFACE]), rgb(DARK[canvas.SERIES[0]])} <= dark_ones
    assert rgb(canvas.SURFACE) not in dark_ones
    # Drawing in dark leaves no trace in the figure.
    assert (tmp_path / "before.png").read_bytes() == (tmp_path / "after.png").read_bytes()
    canvas.svg(fig, tmp_path / "dark.svg", dark=True)
    text = (tmp_path / "dark.svg").read_text("utf-8")
    assert DARK[canvas.SERIES[0]] in text
    assert canvas.SERIES[1] not in text


def test_text_that_nobody_coloured_can_be_read_in_the_dark() -> None:
    fig = canvas.figure(3, 2)
    fig.add_subplot().annotate("plain", (0.5, 0.5))
    assert "var(--ink)" in canvas.inline(fig, "t", "d")


def test_a_logarithmic_axis_is_labelled_in_plain_numbers() -> None:
    fig = canvas.figure(4, 2)
    axes = canvas.style(fig.add_subplot())
    axes.plot([0.5, 300], [0, 1])
    canvas.log_scale(axes.xaxis)
    texts = [text.text for text in ET.fromstring(canvas.inline(fig, "t", "d")).iter("text")]
    assert {"1", "10", "100"} <= set(texts)
    assert not any("$" in (text or "") for text in texts)


def test_each_origin_has_looks_of_its_own() -> None:
    looks = [canvas.origin_style(origin, canvas.SERIES[0]) for origin in ("measured", "published", "derived")]
    told = {(look["facecolor"], look.get("hatch"), look.get("linestyle")) for look in looks}
    assert len(told) == 3


def test_names_of_ticks_do_not_meet_over_many_decades() -> None:
    for decades in (1, 2, 4, 8):
        fig = canvas.figure(8, 3)
        axes = canvas.style(fig.add_subplot())
        canvas.log_scale(axes.xaxis)
        axes.set_xlim(1e-4, 10.0 ** (decades - 4))
        fig.draw_without_rendering()
        names = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        shown = sorted(
            (box.x0, box.x1) for box in names if axes.bbox.x0 - 1 <= box.x0 + box.width / 2 <= axes.bbox.x1 + 1
        )
        assert len(shown) >= 3
        assert all(left[1] < right[0] for left, right in pairwise(shown))


def test_letters_that_our_font_lacks_stay_text_and_are_no_warning(tmp_path: Path) -> None:
    # Warnings are errors here; a user would have one on the terminal for every letter.
    fig = drawn()
    canvas.heading(fig, "日本語 🎸")
    assert "日本語 🎸" in canvas.drawing(fig)
    canvas.png(fig, tmp_path / "a.png")
