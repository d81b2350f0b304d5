"""Forms and models beside each other: right ratios, no false races, causes beside inversions."""

from __future__ import annotations

from typing import Any

import pytest
from made import record, spec

from reports import forms, work
from results.summary import CellSummary, summarise

ROUNDS = 5


def run(*entries: tuple[str, float, dict[str, Any]]) -> list[CellSummary]:
    """Cells by name, p50 in ms, and what differs from the usual specification."""
    cells, records = {}, []
    for name, p50_ms, changes in entries:
        cells[name] = spec(**{key: value for key, value in changes.items() if key != "facts"})
        for number in range(ROUNDS):
            # Rounds that slow all cells down alike must not widen a ratio.
            took = int(p50_ms * 1e6 * (1 + 0.2 * number) * (1 + 0.001 * ((number * 7 + len(name)) % 3)))
            records.append(record(name, number, [took] * 50, **changes.get("facts", {})))
    return summarise(cells, records)


def quality(**figures: Any) -> dict[str, Any]:
    return {"quality": {"snr_db": 120.0, "max_abs_error": 1e-6, "mismatch": None, **figures}}


FORMS = [
    ("raw", 3.0, {"form": "raw", "precision": "fp32", "facts": quality()}),
    ("ln", 2.0, {"form": "ln", "precision": "fp32", "facts": quality()}),
    ("best", 1.5, {"form": "swap+ln", "precision": "fp32", "facts": quality()}),
    ("int8", 1.0, {"form": "ln+int8", "precision": "int8", "facts": quality(snr_db=20.0)}),
]


def test_a_form_is_compared_with_the_known_one_in_pairs_of_rounds() -> None:
    [rows] = forms.form_rows(run(*FORMS)).values()
    ratios = {str(row.cell.spec["form"]): row.ratio for row in rows}
    assert ratios == pytest.approx({"raw": 1.5, "ln": 1.0, "swap+ln": 0.75, "ln+int8": 0.5}, rel=5e-3)
    best = rows[2].interval
    assert best is not None
    # Rounds differ by 80 %, forms within a round by a thousandth.
    assert best.high / best.low < 1.01


def test_the_best_rewrite_is_one_of_equal_precision() -> None:
    [rows] = forms.form_rows(run(*FORMS)).values()
    # int8 is faster still, and another thing.
    assert {name: row.cell.spec["form"] for name, row in forms.best_rewrite(rows).items()} == {"fake": "swap+ln"}
    [line] = forms.gains(rows)
    assert "0.750 ×" in line or "0.75" in line
    assert line.endswith("faster")


def test_a_form_that_is_wrong_is_shown_without_a_time() -> None:
    cells = run(*FORMS[:2])
    cells.append(
        CellSummary("q", spec(form="ln+int8", precision="int8"), "wrong", "output 'y': the cosine is 0.5 | below 0.98")
    )
    page = forms.markdown(cells)
    [line] = [line for line in page.splitlines() if "ln+int8" in line]
    assert "wrong" in line
    assert "\\|" in line  # a bar in a reason would make another column


def test_layouts_do_not_mix_with_forms() -> None:
    entries = [
        ("ln/seq", 2.0, {"form": "ln"}),
        ("ln/par", 1.0, {"form": "ln", "layout": "par"}),
        ("raw/seq", 1.8, {"form": "raw"}),
        ("raw/par", 1.6, {"form": "raw", "layout": "par"}),
    ]
    [rows] = forms.form_rows(run(*entries)).values()
    assert {row.cell.cell: round(row.ratio or 0, 1) for row in rows} == {"ln/par": 1.0, "raw/par": 1.6}


def test_a_race_of_one_form_has_nothing_to_compare() -> None:
    assert forms.form_rows(run(("a", 1.0, {}), ("b", 2.0, {"runtime": "other"}))) == {}


def model(name: str, p50_ms: float, parameters: int, flops: int, audio_s: float = 4.0, **changes: Any) -> Any:
    work = {"flops": flops, "activation_bytes": flops // 10}
    entry = {"model": name, "parameters": parameters, "nodes": 75, "work": work, "audio_s": audio_s}
    return (name, p50_ms, {"layout": "mono", **entry, **changes})


def test_fewer_parameters_and_more_time_is_seen_and_explained() -> None:
    rows = work.work_rows(run(model("teacher", 400, 3_600_000, 10**11), model("lite", 1600, 1_850_000, 5 * 10**11)))
    assert [row.time_ms for row in rows] == pytest.approx([140, 560], rel=0.03)
    [line] = work.inversions(rows)
    assert "lite has 0.51 × the parameters of teacher and takes 4.0" in line
    assert "5.00 × the operations" in line
    assert "4 " not in line.split("takes")[0]


def test_no_inversion_where_the_smaller_is_faster_or_the_audio_is_another() -> None:
    assert work.inversions(work.work_rows(run(model("a", 400, 10, 10), model("b", 500, 20, 10)))) == []
    # A call of a millisecond pays for itself four thousand times in four seconds.
    assert work.inversions(work.work_rows(run(model("a", 9, 10, 10, 0.001), model("b", 9, 20, 10)))) == []


def test_stereo_counts_twice_the_audio() -> None:
    rows = work.work_rows(run(model("a", 8, 10, 10), model("b", 8, 20, 10, layout="seq")))
    assert rows[0].time_ms == pytest.approx(2 * rows[1].time_ms, rel=0.01)


def test_one_model_alone_is_no_comparison() -> None:
    assert work.work_rows(run(model("a", 8, 10, 10))) == []
    assert work.work_rows(run(model("a", 8, 10, 10), model("b", 8, 10, 10, audio_s=None))) == []
