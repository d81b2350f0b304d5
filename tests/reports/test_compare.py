"""Several runs: what may stand beside each other does, and what must not is refused with its reason."""

from pathlib import Path
from typing import Any

import pytest
from made import dead, record, spec
from made_runs import HOST, source, steady, two_runtimes

from reports.charts.ratios import ratios
from reports.compare import CompareError, compare
from reports.page.several import page
from reports.source import Source, read
from results.runfile import RunFile

OTHER_HOST = {"host": HOST | {"cpu": "Other CPU", "fingerprint": "ba9876543210", "name_sha256": "bb"}}


def run(
    path: Path,
    quick_ms: float,
    slow_ms: float = 4.0,
    *,
    rounds: int = 6,
    cell: dict[str, Any] | None = None,
    **facts: Any,
) -> Source:
    cells = two_runtimes()
    cells["quick"] |= cell or {}
    levels = {"quick": quick_ms, "slow": slow_ms}
    records = [
        record(name, n, [int(value * (1 + 0.01 * (n % 3))) for value in steady(ms, seed=n)])
        for name, ms in levels.items()
        for n in range(rounds)
    ]
    return source(path, cells, records, **facts)


def test_a_change_is_told_from_chance(tmp_path: Path) -> None:
    base, other = run(tmp_path / "a.sqlite", 2.0), run(tmp_path / "b.sqlite", 1.5)
    quick, slow, gone = compare([base, other]).pairs
    assert quick.verdict == "faster"
    assert quick.ratio == pytest.approx(0.75, rel=0.01)
    assert quick.interval is not None
    assert quick.interval.low < 0.75 < quick.interval.high < 1
    assert slow.verdict == "cannot be told apart"
    assert gone.ratio is None
    assert "it is not installed" in "; ".join(gone.notes)


def test_rounds_of_different_runs_are_not_paired(tmp_path: Path) -> None:
    # Each round is 2 % slower than the one before, in both runs alike. Paired, the difference would seem to be
    # without spread; but round 3 of one run has nothing to do with round 3 of another.
    def drifting(path: Path, ms: float) -> Source:
        return source(path, two_runtimes(), [record("quick", n, [int(ms * 1e6 * 1.02**n)] * 50) for n in range(6)])

    (pair, *_) = compare([drifting(tmp_path / "a.sqlite", 2.0), drifting(tmp_path / "b.sqlite", 2.02)]).pairs
    assert pair.interval is not None
    assert pair.interval.low < 0.97
    assert pair.verdict == "cannot be told apart"


def test_too_few_processes_give_a_ratio_and_no_verdict(tmp_path: Path) -> None:
    pair = compare([run(tmp_path / "a.sqlite", 2.0, rounds=1), run(tmp_path / "b.sqlite", 1.0, rounds=1)]).pairs[0]
    assert pair.ratio == pytest.approx(0.5, rel=0.01)
    assert pair.verdict == "no interval"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"model_sha256": "a" * 64}, {"model_sha256": "b" * 64}, "the graph of the form is another one"),
        ({"called_sha256": "a" * 64}, {"called_sha256": "b" * 64}, "the graph that is called is another one"),
        ({"audio_s": 48 * 512 / 44100}, {"audio_s": 47 * 512 / 44100}, "0.557279 s of audio in one, for 0.545669 s"),
        ({"audio_s": 0.5}, {"audio_s": None}, "only one says how much audio"),
    ],
)
def test_different_things_of_one_name_are_refused_with_a_reason(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], reason: str
) -> None:
    # T·hop and (T - 1)·hop is not the same audio: an RTF beside the other would lie.
    found = compare([run(tmp_path / "a.sqlite", 2.0, cell=before), run(tmp_path / "b.sqlite", 1.0, cell=after)])
    quick, slow, _ = found.pairs
    assert quick.ratio is None
    assert reason in "; ".join(quick.refused)
    assert slow.ratio is not None, "what is the same is compared all the same"


def test_another_precision_is_another_computation(tmp_path: Path) -> None:
    runs = [
        source(tmp_path / f"{ran}.sqlite", {"c": spec()}, [record("c", n, precision_ran=ran) for n in range(3)])
        for ran in ("fp32", "bf16")
    ]
    with pytest.raises(CompareError, match="one computed in fp32, the other in bf16"):
        compare(runs)


def test_machines_that_differ_are_named_and_their_samples_stay_apart(tmp_path: Path) -> None:
    base, other = run(tmp_path / "a.sqlite", 2.0), run(tmp_path / "b.sqlite", 1.0, **OTHER_HOST)
    found = compare([base, other])
    assert not found.same_host
    assert found.differences["cpu"] == ("Test CPU", "Other CPU")
    # Each side has its own processes and no more.
    assert [cell.processes for cell in found.pairs[0].cells] == [6, 6]
    assert compare([base, run(tmp_path / "c.sqlite", 1.0)]).same_host


def test_a_new_version_is_compared_and_said(tmp_path: Path) -> None:
    found = compare([run(tmp_path / "a.sqlite", 2.0), run(tmp_path / "b.sqlite", 1.0, cell={"version": "2"})])
    assert "version 1 and 2" in found.pairs[0].notes
    assert found.pairs[0].verdict == "faster"


def test_a_default_that_changed_is_said(tmp_path: Path) -> None:
    changed = {"options": {"precision": "fp32", "spread": 0.02}}
    found = compare([run(tmp_path / "a.sqlite", 2.0), run(tmp_path / "b.sqlite", 1.0, cell=changed)])
    assert "spread is 0.01 and 0.02" in found.pairs[0].notes


def test_settings_that_were_asked_for_make_other_cells(tmp_path: Path) -> None:
    asked = {"options": {"precision": "bf16"}, "changed": ["precision"]}
    found = compare([run(tmp_path / "a.sqlite", 2.0), run(tmp_path / "b.sqlite", 1.0, cell=asked)])
    assert [cell.cell for cell in found.only[0]] == ["quick"]
    assert [cell.cell for cell in found.only[1]] == ["quick"]


def test_runs_with_nothing_in_common_are_refused_with_what_differs(tmp_path: Path) -> None:
    mono = source(tmp_path / "mono.sqlite", {"c": spec(layout="mono")}, [record("c")])
    stereo = source(tmp_path / "stereo.sqlite", {"c": spec(layout="seq")}, [record("c")])
    with pytest.raises(CompareError, match="no cell in common: signals mono and stereo"):
        compare([mono, stereo])


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    one = run(tmp_path / "a.sqlite", 2.0)
    with pytest.raises(CompareError, match="named twice"):
        compare([one, one])
    with pytest.raises(CompareError, match="two runs"):
        compare([one])


def test_the_page_says_what_changed_first_and_refuses_in_the_open(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    runs = [
        run(tmp_path / f"{digest}.sqlite", ms, cell={"model_sha256": digest * 64, "model": evil}, **facts)
        for digest, ms, facts in (("a", 2.0, {}), ("b", 1.0, OTHER_HOST | {"command": evil, "plan": {"title": evil}}))
    ]
    found = compare(runs)
    chart = ratios(found, 1)
    assert chart is not None
    html = page(found, [chart])
    assert evil not in html
    assert html.index("These are different machines") < html.index("cannot be told apart")
    assert "the graph of the form is another one (aaaaaaaaaaaa and bbbbbbbbbbbb)" in html
    assert "1 must not be compared" in html


def many(path: Path, shifts: list[float], **facts: Any) -> Source:
    """Cells c0, c1, …, each so many times 2 ms, with 3 % between processes."""
    cells = {f"c{place}": spec(model=f"m{place}") for place in range(len(shifts))}
    records = [
        record(name, n, [int(2e6 * shift * (1 + 0.03 * (n % 3 - 1)))] * 30)
        for name, shift in zip(cells, shifts, strict=True)
        for n in range(6)
    ]
    return source(path, cells, records, **facts)


def test_a_verdict_allows_for_how_many_cells_are_compared(tmp_path: Path) -> None:
    # 4 % is told from chance where it is the only question, and is not where it is one of forty.
    alone = compare([many(tmp_path / "a.sqlite", [1.0]), many(tmp_path / "b.sqlite", [1.045])])
    assert [pair.verdict for pair in alone.pairs] == ["slower"]
    sources = [many(tmp_path / "c.sqlite", [1.0] * 40), many(tmp_path / "d.sqlite", [1.045, 2.0] + [1.0] * 38)]
    found = compare(sources)
    assert found.tested == 40
    assert [pair.verdict for pair in found.pairs[:3]] == ["cannot be told apart", "slower", "cannot be told apart"]
    assert found.pairs[0].interval == alone.pairs[0].interval, "the interval shown stays one of 95 %"
    assert "of 40 it may be chance" in "; ".join(found.pairs[0].notes)
    assert "Verdicts allow for 40 comparisons" in page(found, [])


def test_cells_that_were_told_apart_leave_more_to_the_others(tmp_path: Path) -> None:
    # Holm: with 39 of 40 far apart, the last one stands alone.
    shifts = [2.0] * 39 + [1.045]
    found = compare([many(tmp_path / "a.sqlite", [1.0] * 40), many(tmp_path / "b.sqlite", shifts)])
    assert {pair.verdict for pair in found.pairs} == {"slower"}


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({}, {}, None),
        ({"fingerprint": "unknown", "name_sha256": "a"}, {"fingerprint": "unknown", "name_sha256": "a"}, None),
        ({"fingerprint": "a"}, {"fingerprint": "a"}, None),
        ({"cpu": "one"}, {"cpu": "another"}, False),
        (HOST, {}, None),
        (HOST, HOST, True),
    ],
)
def test_a_host_that_nobody_noted_is_not_said_to_be_the_same(
    tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any], *, same: bool | None
) -> None:
    found = compare([run(tmp_path / "a.sqlite", 2.0, host=ours), run(tmp_path / "b.sqlite", 1.0, host=theirs)])
    assert found.same_host is same
    said = page(found, [])
    assert ("All runs were made on one machine" in said) is (same is True)
    assert ("Not known: whether these runs" in said) is (same is None)


def test_cells_that_differ_in_nothing_but_the_version_are_all_compared(tmp_path: Path) -> None:
    def versions(path: Path, levels: dict[str, float]) -> Source:
        cells = {f"v{version}": spec(version=version) for version in levels}
        timed = [(f"v{version}", ms) for version, ms in levels.items()]
        return source(path, cells, [record(name, n, steady(ms, seed=n)) for name, ms in timed for n in range(4)])

    both = versions(tmp_path / "a.sqlite", {"1": 2.0, "2": 3.0})
    found = compare([both, versions(tmp_path / "b.sqlite", {"2": 3.1, "1": 2.1, "3": 4.0})])
    assert [tuple(cell.cell for cell in pair.cells) for pair in found.pairs] == [("v1", "v1"), ("v2", "v2")]
    assert [[cell.cell for cell in cells] for cells in found.only] == [[], ["v3"]]


def test_a_copy_is_the_same_run_and_so_is_its_beginning(tmp_path: Path) -> None:
    one = many(tmp_path / "a.sqlite", [1.0, 2.0])
    (tmp_path / "b.sqlite").write_bytes(one.path.read_bytes())
    with pytest.raises(CompareError, match=r"a\.sqlite and .*b\.sqlite are the same run"):
        compare([one, read(tmp_path / "b.sqlite")])
    with RunFile.resume(tmp_path / "b.sqlite") as resumed:
        resumed.add(record("c0", 99))
    with pytest.raises(CompareError, match="are the same run"):
        compare([one, read(tmp_path / "b.sqlite")])


def test_runs_of_one_name_are_called_apart(tmp_path: Path) -> None:
    runs = [run(tmp_path / folder / "run.sqlite", ms) for folder, ms in (("x", 2.0), ("y", 1.0), ("z/x", 3.0))]
    names = [one.name for one in compare(runs).sources]
    assert names == ["x/run", "y/run", "x/run (2)"]


def test_runs_without_a_time_in_common_are_refused(tmp_path: Path) -> None:
    one = run(tmp_path / "a.sqlite", 2.0)
    failed = source(
        tmp_path / "b.sqlite", two_runtimes(), [dead(name, 0, "failed", "boom") for name in ("quick", "slow")]
    )
    with pytest.raises(CompareError, match=r"cannot be compared.*failed in the other: boom"):
        compare([one, failed])
