"""The page in a real browser: nothing leaves it, nothing is wrong in it, and its tables do what they promise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser
from made import dead, record, spec
from made_runs import source, steady, two_runtimes

from reports.charts.every import charts
from reports.charts.ratios import ratios
from reports.compare import compare
from reports.page import several
from reports.page.page import page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
TABLE = "document.querySelector('#ladder > .data')"
HEADERS = f"[...{TABLE}.querySelectorAll('th')]"


def column(title: str, *, shown_only: bool = False) -> str:
    """Texts of one column of the table of all cells, in the order of its rows."""
    rows = f"[...{TABLE}.querySelectorAll('tbody tr')]" + (".filter(row => !row.hidden)" if shown_only else "")
    place = f"{HEADERS}.findIndex(one => one.textContent === '{title}')"
    return f"{rows}.map(row => row.cells[{place}].textContent)"


def header(title: str) -> str:
    return f"{HEADERS}.find(one => one.textContent === '{title}')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells whose times sort differently as texts (9 before 20 before 100) and as figures."""
    cells = two_runtimes() | {
        "long": spec(runtime="tract"),
        "evil": spec(runtime="torch", model="<script>x()</script>"),
    }
    times = {"quick": 9.0, "slow": 20.0, "long": 100.0}
    records = [record(name, turn, steady(ms, seed=turn), warmup=9) for name, ms in times.items() for turn in range(4)]
    records.append(dead("evil", 0, "failed", "<img src=https://example.org/x onerror=alert(1)> & more"))
    made = source(tmp_path_factory.mktemp("runs") / "run.sqlite", cells, records)
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page(made, charts(made, ())), "utf-8")
    return path


def test_nothing_leaves_the_page_and_nothing_is_wrong_in_it(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.ask("new Promise(done => setTimeout(done, 300))")
    assert [url for url in browser.requests if url != report.as_uri() and not url.startswith("data:")] == []
    assert browser.complaints == []
    assert browser.ask("document.querySelectorAll('main svg').length") >= 4


def test_a_comparison_is_as_quiet(browser: Browser, tmp_path: Path) -> None:
    levels = {"before": 2.0, "after": 1.0}
    runs = [
        source(tmp_path / f"{name}.sqlite", two_runtimes(), [record("quick", n, steady(ms, seed=n)) for n in range(4)])
        for name, ms in levels.items()
    ]
    found = compare(runs)
    drawn = [chart for chart in [ratios(found, 1)] if chart is not None]
    path = tmp_path / "index.html"
    path.write_text(several.page(found, drawn), "utf-8")
    browser.open(path)
    assert [url for url in browser.requests if url != path.as_uri() and not url.startswith("data:")] == []
    assert browser.complaints == []
    assert "1 faster" in browser.ask("document.querySelector('#answer').textContent")
    assert browser.ask("document.querySelectorAll('#cells svg').length") == 1


def test_a_complaint_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    # The tests above are worth what this one is: a page that does what ours must not.
    path = tmp_path / "index.html"
    path.write_text(
        "<img src='https://rtfloor.invalid/x.png'><script>console.error('oh'); throw new Error('no')</script>"
    )
    browser.open(path)
    assert "https://rtfloor.invalid/x.png" in browser.requests
    assert len(browser.complaints) >= 2


def test_what_a_run_file_says_is_text_and_no_markup(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.ask("document.querySelectorAll('main img, main script').length") == 0
    assert "<script>x()</script>" in browser.ask("document.querySelector('main').textContent")


def test_a_click_sorts_by_size_and_another_turns_it_round(browser: Browser, report: Path) -> None:
    browser.open(report)
    press = f"{header('p50')}.querySelector('button').click()"
    browser.ask(press)
    assert browser.ask(f"{header('p50')}.ariaSort") == "ascending"
    # What has no time is last either way.
    assert [text.split(".")[0] for text in browser.ask(column("p50"))] == ["9", "20", "100 ms", "–", "–"]
    browser.ask(press)
    assert browser.ask(f"{header('p50')}.ariaSort") == "descending"
    assert [text.split(".")[0] for text in browser.ask(column("p50"))] == ["100 ms", "20", "9", "–", "–"]
    browser.ask(f"{header('runtime')}.querySelector('button').click()")
    assert browser.ask(column("runtime")) == ["openvino", "ort-cpu", "torch", "tract", "tvm"]
    assert browser.ask(f"{header('p50')}.ariaSort") == "none"


def test_the_keyboard_sorts_as_well(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.ask(f"{header('p50')}.querySelector('button').focus()")
    browser.key("Enter", "\r")
    assert browser.ask(f"{header('p50')}.ariaSort") == "ascending"


def test_words_and_menus_filter_together(browser: Browser, report: Path) -> None:
    browser.open(report)
    typed = "new Event('input', {bubbles: true})"
    browser.ask(
        f"(() => {{ const box = {TABLE}.querySelector('input'); box.value = 'NET ok'; box.dispatchEvent({typed}) }})()"
    )
    assert sorted(browser.ask(column("runtime", shown_only=True))) == ["openvino", "ort-cpu", "tract"]
    assert browser.ask(f"{TABLE}.querySelector('output').textContent") == "3 of 5"
    choose = f"[...{TABLE}.querySelectorAll('select')].find(one => [...one.options].some(o => o.value === 'tract'))"
    browser.ask(f"(() => {{ const menu = {choose}; menu.value = 'tract'; menu.dispatchEvent({typed}) }})()")
    assert browser.ask(column("runtime", shown_only=True)) == ["tract"]


def test_the_theme_follows_the_reader_until_a_button_says_otherwise(browser: Browser, report: Path) -> None:
    browser.open(report)
    shade = "getComputedStyle(document.body).backgroundColor"
    bar = "getComputedStyle(document.querySelector('#ladder svg path[style*=\"--s0\"]')).fill"
    browser.media(prefers_color_scheme="light")
    assert browser.ask(shade) == "rgb(255, 255, 255)"
    light = browser.ask(bar)
    browser.media(prefers_color_scheme="dark")
    assert browser.ask(shade) == "rgb(21, 24, 29)"
    assert browser.ask(bar) != light, "the charts do not follow"
    browser.ask("document.querySelector('#theme').click()")
    assert browser.ask(shade) == "rgb(255, 255, 255)"
    browser.ask("document.querySelector('#theme').click()")
    browser.media(type="print", prefers_color_scheme="dark")
    assert browser.ask(shade) == "rgb(255, 255, 255)", "paper is white whatever the screen was"
    browser.media()
    browser.ask("localStorage.clear()")


def test_a_narrow_screen_scrolls_charts_and_tables_and_not_the_page(browser: Browser, report: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    browser.open(report)
    assert browser.ask("document.documentElement.scrollWidth") <= 400
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_long_names_stay_on_a_narrow_screen(browser: Browser, tmp_path: Path) -> None:
    long = "x" * 300
    cells = {name: spec(model=long, form=long, runtime=name + long) for name in ("a", "b")}
    facts: dict[str, Any] = {"plan": {"title": long}, "command": long, "host": {"cpu": long, "fingerprint": long}}
    records = [record(name, n, steady(2.0, seed=n)) for name in cells for n in range(3)]
    run = source(tmp_path / "run.sqlite", cells, records, **facts)
    path = tmp_path / "index.html"
    path.write_text(page(run, charts(run, ())), "utf-8")
    browser.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    browser.open(path)
    wide = browser.ask("document.documentElement.scrollWidth")
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert wide <= 400


def test_the_button_names_the_other_theme_when_the_system_changes_its_own(browser: Browser, report: Path) -> None:
    browser.media(prefers_color_scheme="light")
    browser.open(report)
    assert browser.ask("document.querySelector('#theme').textContent") == "dark theme"
    browser.media(prefers_color_scheme="dark")
    # The page hears of it when it is drawn next.
    browser.ask("new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")
    assert browser.ask("document.querySelector('#theme').textContent") == "light theme"
    browser.media()


def test_every_chart_says_in_words_what_it_shows(browser: Browser, report: Path) -> None:
    browser.open(report)
    named = "[...document.querySelectorAll('main svg')].map(one => one.getAttribute('aria-labelledby').split(' ')"
    texts = browser.ask(f"{named}.map(id => document.getElementById(id).textContent))")
    assert all(title and len(description) > 20 for title, description in texts)
    assert browser.ask(
        "document.querySelectorAll('[id]').length === new Set([...document.querySelectorAll('[id]')]"
        ".map(one => one.id)).size"
    ), "two elements bear one name"
