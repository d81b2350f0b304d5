"""``rtfloor peaks`` as a person meets it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bench import host
from bench.peaks.show import show
from results.peaks import Arithmetic, Bandwidth, Call, Level, Peaks

if TYPE_CHECKING:
    from pathlib import Path

    from support import Cli

PEAKS = Peaks(
    "host",
    "A Processor",
    "cpu",
    2,
    (Level("L1", 48 << 10, private=True), Level("L3", 32 << 20, private=False), Level("memory", None, private=False)),
    (Arithmetic("fp32", "fma", 1, 128e9, 120e9), Arithmetic("fp32", "fma", 2, 2560e9, 240e9)),
    (Bandwidth("L1", "read", 1, 512e9, 500e9, 4096), Bandwidth("memory", "copy", 2, 40e9, 10e9, 1 << 20)),
    (Call("tract", "0.1", 12e-6), Call("ort-cpu", "1.2", 3.5e-6)),
    clock_hz=4e9,
    made="2026-11-21T00:00:00+00:00",
    notes=("this is a virtual machine",),
    facts={"clock_hz_lowest": 3e9, "clock_hz_by_threads": {"1": 4e9}},
)


def test_the_tables_have_every_figure_and_say_what_it_is_per_clock() -> None:
    file = io.StringIO()
    show(PEAKS, Console(file=file, highlight=False))
    text = file.getvalue()
    for part in ("A Processor", "3.00 to 4.00 GHz", "128.0", "2,560", "32.0", "512.0", "48 KiB a core"):
        assert part in text, part
    assert text.index("ort-cpu") < text.index("tract")
    assert "note: this is a virtual machine" in text
    assert "9% at the least" in text


def test_peaks_without_any_figure_can_be_shown() -> None:
    file = io.StringIO()
    show(Peaks("host", "A Processor", "cpu", 1, ()), Console(file=file))
    assert "A Processor" in file.getvalue()


def test_it_measures_keeps_and_shows_again(cli: Cli, tmp_path: Path) -> None:
    home = {"RTFLOOR_CACHE": str(tmp_path / "cache")}
    unknown = cli("peaks", "--known", env=home)
    assert unknown.returncode == 2
    assert "measure it: rtfloor peaks" in unknown.stderr
    first = cli("peaks", "--quick", "--threads", "1", "--json", env=home)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert {row["threads"] for row in document["arithmetic"]} == {1}
    assert document["fingerprint"] == host.host_facts()["fingerprint"]
    again = cli("peaks", "--known", "--json", env=home)
    assert json.loads(again.stdout) == document
    shown = cli("peaks", "--known", env=home)
    assert "fp32" in shown.stdout
    assert "Traceback" not in shown.stderr


def test_without_llvmlite_one_sentence_says_how_to_get_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    missing = "raise ModuleNotFoundError(\"No module named 'llvmlite'\", name='llvmlite')\n"
    (tmp_path / "without" / "llvmlite.py").write_text(missing)
    result = cli("peaks", "--quick", env={"PYTHONPATH": f"{host.__file__.rpartition('/bench/')[0]}:{tmp_path}/without"})
    assert result.returncode == 2
    assert "pip install 'rtfloor[cpu]'" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--threads", "0"), "whole numbers from 1"),
        (("--threads", "many"), "whole numbers from 1"),
        (("--threads", "1", "--threads", "99999"), f"this machine lends {host.cpus()} CPUs"),
        (("--known", "--again"), "measures nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    result = cli("peaks", *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_gpus_peaks_are_those_of_the_whole_device_and_name_no_clock_they_did_not_have() -> None:
    whole = replace(
        PEAKS,
        title="A GPU",
        device="gpu",
        cores=132,
        arithmetic=(Arithmetic("fp32", "fma", 0, 66e12, 65e12),),
        bandwidth=(Bandwidth("memory", "read", 0, 3e12, 3e12),),
        calls=(Call("graph launch", None, 2e-6),),
    )
    file = io.StringIO()
    show(whole, Console(file=file, highlight=False, width=120))
    text = file.getvalue()
    assert "132 multiprocessors" in text
    assert "whole device" in text
    assert "66,000" in text
    assert "graph launch" in text
    assert "per clock" not in text


def test_the_peaks_of_a_gpu_that_is_not_here_are_a_sentence(cli: Cli) -> None:
    result = cli("peaks", "--gpu")
    if result.returncode == 0:
        pytest.skip("there is a GPU here")
    assert result.returncode == 2
    assert "NVIDIA" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("flags", [("--known",), ("--threads", "1")])
def test_threads_and_what_is_known_are_no_words_for_a_gpu(cli: Cli, flags: tuple[str, ...]) -> None:
    result = cli("peaks", "--gpu", *flags)
    assert result.returncode == 2
    assert "--gpu is about the whole device" in result.stderr
