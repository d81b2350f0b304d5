"""The ladder as it is shown: nothing published may pass for measured, and nothing that failed for slow."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from made import record, spec
from made_runs import source, steady
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle
from support import ROOT

from bench.cli.show import VIEWS, present
from reports import export, ladder_steps
from reports.charts import canvas
from reports.charts.every import charts
from reports.charts.steps import steps
from reports.document import document_of
from reports.page.page import page
from reports.source import Source, read
from results.ladder import Ladder, of_run
from results.runfile import RunFile
from results.summary import summarise

EVIDENCE = ROOT / "results" / "evidence" / "ladder.sqlite"
TIMES = {"seq": 90.0, "par": 50.0, "ort": 16.0, "spin": 17.0, "ln": 12.0, "best": 7.0}
PLAN = [
    {"title": "tract, left then right", "cells": ["seq"], "published": "A28.tract_seq"},
    {"title": "tract, left ‖ right", "cells": ["par"], "published": "A28.tract_par"},
    {"title": "ONNX Runtime", "cells": ["ort"], "published": "A28.ort_par"},
    {"title": "tuned | all", "cells": ["ort", "spin"], "published": "A28.ort_tuned"},
    {"title": "ours alone", "cells": ["ln"], "published": ""},
    {"title": "best", "cells": list(TIMES), "published": "A30.ms", "estimate": "A28.least"},
]
REASON = "tract is not installed: pip install 'rtfloor[tract]'"


def made(tmp_path: Path, *missing: str, rounds: int = 6, ladder: Any = PLAN, **changes: Any) -> Source:
    cells, records = {}, []
    for place, (name, ms) in enumerate(TIMES.items()):
        own = {"model": "rt48", "layout": "par", "runtime": name, "audio_s": 0.55728, **changes}
        if name in missing:
            cells[name] = spec(**own, status="unavailable", reason=REASON)
            continue
        cells[name] = spec(**own)
        records += [record(name, n, steady(ms, 60, seed=n + 50 * place)) for n in range(rounds)]
    return source(tmp_path / "run.sqlite", cells, records, plan={"title": "up", "ladder": ladder})


def of(found: Source) -> Ladder:
    ladder = of_run(found.facts, found.cells)
    assert ladder is not None
    return ladder


def rows(found: Source) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in (ladder_steps.row(of(found), rung) for rung in of(found).rungs)}


def test_measured_and_published_stand_beside_each_other_with_their_gains(tmp_path: Path) -> None:
    found = rows(made(tmp_path))
    time, told, gained, told_gain, whole, told_whole, cell, line = found["ONNX Runtime"]
    assert time.startswith("16.0 ms, RTF 0.029")
    assert gained.startswith("÷ 3.1")
    assert whole.startswith("÷ 5.6")
    assert cell.startswith("ort ")
    assert (told, line) == ("RTF 0.031", "68")
    assert told_gain.startswith("÷ 7.03 (6.9")
    assert told_whole.startswith("÷ 13.4")
    # A step of ours that nobody published, and the published one after it, over the last that was published.
    assert found["ours alone"][1:6:2] == ["–", "–", "–"]
    assert found["best"][3].startswith("÷ 1.3")
    assert found["best"][1] == "11.9 ms, RTF 0.022"


def test_what_gained_most_here_and_there_is_said_first(tmp_path: Path) -> None:
    first, second, *rest = ladder_steps.sentences(of(made(tmp_path)))
    assert first.startswith("here: 'ONNX Runtime' gained most, ÷ 3.1")
    assert "all steps together ÷ 12." in first
    assert second.startswith("published: 'ONNX Runtime' gained most, ÷ 7.03 (rounding leaves")
    # The source's own tuning gained 7 %; here the default stayed the best.
    assert any(
        line.startswith("'tuned | all': no gain here: it is the same cell") and "published: ÷ 1.07" in line
        for line in rest
    )


def test_a_step_that_cannot_run_keeps_its_reason(tmp_path: Path) -> None:
    found = made(tmp_path, "par")
    assert rows(found)["tract, left ‖ right"][0] == f"unavailable: {REASON}"
    assert "over 'tract, left then right'" in rows(found)["ONNX Runtime"][2]
    assert REASON in ladder_steps.markdown(of(found), {})
    assert REASON in json.dumps(ladder_steps.entry(of(found), {}))


def test_the_page_names_both_machines_the_source_and_the_estimate(tmp_path: Path) -> None:
    said = " ".join(ladder_steps.notes(of(made(tmp_path)), {"cpu": "My CPU"}))
    for words in ("My CPU, 2 threads", "Ryzen 7 5800X", "part 5 (2/3)", "545.67 ms", "557.28 ms", "is an estimate"):
        assert words in said
    # Another model beside published figures of this one must not pass unnoticed.
    other = " ".join(ladder_steps.notes(of(made(tmp_path / "b", model="fast16", layout="mono")), {}))
    assert "What is published is of rt48, stereo; measured here is fast16, mono." in other


def test_one_round_makes_no_claim(tmp_path: Path) -> None:
    said = " ".join(ladder_steps.sentences(of(made(tmp_path, rounds=1))))
    assert "too few rounds for an interval" in said
    assert "looks a little faster than it is" in " ".join(ladder_steps.notes(of(made(tmp_path / "b", rounds=1)), {}))


def test_json_has_origins_and_where_a_figure_was_published(tmp_path: Path) -> None:
    found = made(tmp_path)
    entry = document_of(str(found.path), found.facts, found.cells, found.records)["ladder"]
    first, last = entry["steps"][0], entry["steps"][-1]
    assert first["measured"]["origin"] == "measured"
    assert first["published"]["origin"] == "published"
    assert first["published"]["cited"].endswith("line 66")
    assert first["measured"]["gain"] is None
    assert last["measured"]["gain"]["low"] < last["measured"]["gain"]["ratio"] < last["measured"]["gain"]["high"]
    assert last["estimate"]["kind"] == "estimate"
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_a_run_without_a_ladder_has_none_anywhere(tmp_path: Path) -> None:
    found = made(tmp_path, ladder=[])
    drawn = charts(found, ())
    assert drawn["steps"] == []
    assert "Step by step" not in page(found, drawn)
    assert "Step by step" not in export.markdown(found, drawn)
    assert document_of(str(found.path), found.facts, found.cells, found.records)["ladder"] is None


def test_the_page_has_the_picture_and_the_table(tmp_path: Path) -> None:
    found = made(tmp_path, "par")
    html = page(found, charts(found, ()))
    section = re.search(r'<section id="steps">.*?</section>', html, re.DOTALL)
    assert section is not None
    text = " ".join(unescape(re.sub(r"<[^>]*>", " ", section[0])).split())
    assert "<svg" in section[0]
    for words in ("gained most", REASON, "RTF 0.416", "part 5 (2/3)", "Ryzen 7 5800X"):
        assert words in text


def test_a_bar_in_a_title_makes_no_column(tmp_path: Path) -> None:
    table = [line for line in ladder_steps.markdown(of(made(tmp_path)), {}).splitlines() if line.startswith("|")]
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1


def test_published_bars_look_published_and_the_largest_saving_stands_out(tmp_path: Path) -> None:
    chart = steps(of(made(tmp_path)), {"cpu": "My CPU"})
    assert chart is not None
    here, there = chart.figure.axes
    bars = [[patch for patch in axes.patches if isinstance(patch, Rectangle)] for axes in (here, there)]
    assert not any(bar.get_hatch() for bar in bars[0])
    assert sum(bool(bar.get_hatch()) for bar in bars[1]) == 5
    assert chart.origins == ("measured", "published", "derived")
    for own in bars:
        bright = [bar for bar in own if same_color(bar.get_facecolor(), canvas.SERIES[5])]
        assert [round(bar.get_y() + bar.get_height() / 2) for bar in bright] == [2]
    # Both panels share one axis, or the eye would compare nothing.
    assert here.get_xlim() == there.get_xlim()
    texts = [text.get_text() for axes in (here, there) for text in axes.texts]
    said = " ".join([*texts, *(axes.get_title(loc="left") for axes in (here, there))])
    assert "My CPU" in said
    assert "Ryzen 7 5800X" in said
    assert "0.022 · ÷ 1.3" in said


def test_without_anything_published_there_is_one_panel_in_milliseconds(tmp_path: Path) -> None:
    ladder = [{**one, "published": "", "estimate": ""} for one in PLAN]
    chart = steps(of(made(tmp_path, ladder=ladder, audio_s=None)), {})
    assert chart is not None
    assert len(chart.figure.axes) == 1
    assert chart.origins == ("measured",)


def test_the_terminal_shows_the_ladder_after_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    present(made(tmp_path, "par").path, as_json=False)
    said = capsys.readouterr().out
    assert said.index("rank") < said.index("The ladder of rt48") < said.index("fastest is")
    # Brackets are the reason's own, and no markup.
    assert "[tract]" in said[said.index("The ladder") :].replace("\n", "")
    assert "ladder" in VIEWS


@pytest.mark.skipif(not EVIDENCE.exists(), reason="the run of the ladder is not committed yet")
def test_the_table_on_the_page_is_that_of_the_run() -> None:
    with RunFile.read(EVIDENCE) as run:
        facts, cells = run.facts(), summarise(run.cells(), list(run.records()))
    text = (ROOT / "docs" / "ladder.md").read_text("utf-8")
    found = re.search(r"<!-- ladder -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert found is not None
    assert found[1].strip() == ladder_steps.page(facts, cells).strip()


@pytest.mark.skipif(not EVIDENCE.exists(), reason="the run of the ladder is not committed yet")
def test_the_run_behind_the_page_has_every_step() -> None:
    ladder = of(read(EVIDENCE))
    assert [rung.title for rung in ladder.rungs if rung.measured is None] == []
    assert len(ladder.rungs) == 6
