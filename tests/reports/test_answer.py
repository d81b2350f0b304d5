"""The answer in words: the one line that is quoted must not say more than was measured."""

from dataclasses import replace
from typing import Any

import numpy as np
from made import dead, record, spec

from reports.answer import answer, headline, tail_sentence
from results.noise import noise
from results.record import Record
from results.summary import CellSummary, summarise

MS = 1_000_000


def samples(seed: int, level_ms: float, count: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(level_ms * MS * x) for x in np.exp(0.02 * rng.standard_normal(count))]


def processes(cell: str, level_ms: float, rounds: int = 5, count: int = 2000) -> list[Record]:
    return [record(cell, number, samples(number, level_ms, count)) for number in range(rounds)]


def lines(specs: dict[str, dict[str, Any]], records: list[Record]) -> list[str]:
    return list(answer(summarise(specs, records)))


def test_the_fastest_is_named_with_what_its_figures_rest_on() -> None:
    specs = {"fast": spec(runtime="fast"), "slow": spec(runtime="slow")}
    found = lines(specs, processes("fast", 1.2) + processes("slow", 3.0))
    assert found[0] == "net, stereo, 2 threads: fastest is fast 1 raw seq"
    assert found[2] == "  slower: slow 1 raw seq 2.50×"
    for part in ("p50 1.20 ms (±", "p99 1.2", " to ", "RTF 0.12", "× real time", "5 processes, 10000 samples"):
        assert part in found[1]
    # The denominator stands beside every real-time factor.
    assert "per 0.01 s, as stated" in found[1]
    assert len(found) == 3


def test_what_cannot_be_told_apart_is_not_called_slower() -> None:
    specs = {name: spec(runtime=name) for name in ("a", "b", "c")}
    found = lines(specs, processes("a", 1.0) + processes("b", 1.0) + processes("c", 3.0))
    assert "  cannot be told apart from it: b 1 raw seq" in found
    assert "  slower: c 1 raw seq 3.00×" in found


def test_only_the_best_of_each_other_runtime_is_listed() -> None:
    specs = {
        "a": spec(runtime="a"),
        "a2": spec(runtime="a", layout="par"),
        "b": spec(runtime="b", form="ln"),
        "b2": spec(runtime="b", layout="batch2"),
    }
    levels = {"a": 1.0, "a2": 2.0, "b": 3.0, "b2": 4.0}
    records = [one for name, level in levels.items() for one in processes(name, level)]
    assert lines(specs, records)[2] == "  slower: b 1 ln seq 3.00×"


def test_too_few_processes_say_so() -> None:
    specs = {"a": spec(runtime="a"), "b": spec(runtime="b")}
    found = lines(specs, processes("a", 1.0, 1) + processes("b", 1.2, 1))
    assert "with so few processes nothing can be told apart" in found[2]
    assert "no interval from fewer than 3 processes" in found[1]
    assert "1 process, 2000 samples" in found[1]
    assert "±" not in found[1]


def test_a_tail_without_support_is_unknown_and_says_what_it_lacks() -> None:
    few = lines({"a": spec()}, processes("a", 1.0, 3, 20))
    assert "p99 unknown (60 samples, at least 100 needed)" in few[1]
    some = lines({"a": spec()}, processes("a", 1.0, 3, 100))
    assert "no interval: worth" in some[1]
    assert "368 needed" in some[1]


def test_without_audio_nothing_is_said_of_real_time() -> None:
    found = lines({"a": spec(audio_s=None, audio="")}, processes("a", 1.0))
    assert "RTF" not in found[1]
    assert "per " not in found[1]


def test_a_race_without_a_right_answer_names_no_winner() -> None:
    found = lines({"a": spec()}, [dead("a", 0, "wrong", "off by one")])
    assert found == ["net, stereo, 2 threads: nothing could be measured", "wrong: fake (a): off by one"]


def test_what_is_missing_is_named_once_with_its_reason() -> None:
    specs = {
        "ok": spec(runtime="ok"),
        "x": spec(runtime="x", status="unavailable", reason="x is not installed"),
        "x2": spec(runtime="x", layout="par", status="unavailable", reason="x is not installed"),
        "y": spec(runtime="y"),
    }
    found = lines(specs, [*processes("ok", 1.0), dead("y", 0, "timeout", "no answer within 5 s; it was stopped")])
    assert found[-2:] == [
        "unavailable: x (2 cells, x among them): x is not installed",
        "timeout: y (y): no answer within 5 s; it was stopped",
    ]


def test_the_null_model_tells_what_a_call_costs() -> None:
    null = {"model": "null", "layout": "mono", "threads": 1}
    specs = {
        "a": spec(runtime="a", **null),
        "b": spec(runtime="b", **null),
        "b2": spec(runtime="b", form="ln", **null),
        "c": spec(runtime="c", status="failed", reason="x", **null),
    }
    records = [*processes("a", 0.0543), *processes("b", 0.0123), *processes("b2", 0.0234)]
    found = lines(specs, records)
    assert found[0] == "a call costs, before any arithmetic: b 12.3 µs, a 54.3 µs"
    assert found[1] == "failed: c (c): x"


def test_a_users_model_called_null_is_a_model_like_others() -> None:
    found = lines({"a": spec(model="null", users_file=True)}, processes("a", 1.0))
    assert found[0] == "null, stereo, 2 threads: fastest is fake 1 raw seq"


def test_the_headline_says_whether_the_run_is_whole_and_the_machine_was_quiet() -> None:
    quiet = noise(processes("a", 1.0))
    assert headline("mine", quiet, "finished").startswith("mine\nmachine: quiet")
    assert headline("mine", quiet, "interrupted").startswith("mine — interrupted, incomplete\n")
    assert headline("mine", quiet, "running").startswith("mine — still running, or killed\n")
    assert headline("mine", quiet, "finished", "time").startswith("mine — the time was up")
    noisy = replace(quiet, quiet=False, sentence="NOISY: others were busy")
    assert headline("mine", noisy, "finished").endswith("machine: NOISY: others were busy")


def test_nothing_at_all_is_no_answer() -> None:
    assert lines({}, []) == []


def test_whoever_is_ahead_at_the_tail_is_named_with_how_sure_that_is() -> None:
    # The lower median with the worse tail is the wrong answer for a plugin, if nobody says so.
    def cell(runtime: str, p50: float, p99: float | None, interval: tuple[float, float] | None) -> CellSummary:
        return CellSummary(runtime, spec(runtime=runtime), "ok", p50_ms=p50, p99_ms=p99, p99_ci_ms=interval)

    def said(*cells: CellSummary) -> str:
        return tail_sentence(cells, lambda cell: cell.cell)

    quick = cell("quick", 1.0, 9.0, (8.0, 10.0))
    assert said(quick) == said(quick, cell("slow", 2.0, 9.5, None)) == ""
    assert said(quick, cell("calm", 2.0, 3.0, (2.9, 3.1))).endswith(
        "3.00 ms against 9.00 ms, and their intervals are apart"
    )
    assert said(quick, cell("calm", 2.0, 7.0, (6.0, 8.5))).endswith("but their intervals overlap")
    assert said(quick, cell("calm", 2.0, 7.0, None)).endswith("so it may be chance")
    assert said(cell("quick", 1.0, None, None), cell("calm", 2.0, 7.0, None)) == ""
