"""Rows in the order in which a chart shows them, each with a time and a real-time factor; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.errors import PublishedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from results.published.figure import Row

KINDS = ("reported", "claimed floor", "estimate")
_GAPS = {"gaps": 1, "frames": 0}


@dataclass(frozen=True)
class Step:
    """One bar of a published series.

    Attributes:
        label: for a chart, our words.
        kind: ``reported``: measured by those who published it; ``claimed floor``; or ``estimate``.
        seconds: per call; for a stereo signal, both channels.
        low_s, high_s: what rounding leaves open.
        rtf: seconds over audio.
        audio_s: the denominator.
        origin: of ``seconds``: ``published``, or ``derived`` from the real-time factor.
        formula: how it was derived, "" when it was printed.
        precision: of the arithmetic.
        runtime, layout, form, threads: where the source tells; None where it does not.
        hardware: profile of the machine.
        row: the row behind ``seconds``.
        cited: source and line, for people.
    """

    label: str
    kind: str
    seconds: float
    low_s: float
    high_s: float
    rtf: float
    audio_s: float
    origin: str
    formula: str
    precision: str
    runtime: str | None
    layout: str | None
    form: str | None
    threads: int | None
    hardware: str
    row: Row
    cited: str


@dataclass(frozen=True)
class Series:
    """What a series is about.

    Attributes:
        name: such as ``cpu-ladder``.
        title: for people.
        hardware: profile of the machine.
        model: of the zoo.
        signal: ``mono`` or ``stereo``.
        audio_s: audio per call.
        audio: how that was counted, for people.
        steps: in order.
    """

    name: str
    title: str
    hardware: str
    model: str
    signal: str
    audio_s: float
    audio: str
    steps: tuple[Step, ...]


def parse(name: str, values: Mapping[str, Any], rows: Mapping[str, Row]) -> Series:
    """One table of ``series.toml``.

    Raises:
        PublishedError: a key is missing or wrong, or a step names a row that is not there.
    """
    try:
        frames, hop, rate = values["frames"], values["hop"], values["sample_rate"]
        gaps = _GAPS[values["audio"]]
        audio_s = (frames - gaps) * hop / rate
        said = f"{frames - gaps} × {hop} samples / {rate} Hz = {audio_s * 1000:.2f} ms: {values['audio_why']}"
        steps = tuple(_step(entry, values, rows, audio_s) for entry in values["steps"])
        return Series(
            name, values["title"], values["hardware"], values["model"], values["signal"], audio_s, said, steps
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise PublishedError(f"results/published/series.toml, [{name}]: {error} is missing or wrong") from None


def _step(entry: Mapping[str, Any], series: Mapping[str, Any], rows: Mapping[str, Row], audio_s: float) -> Step:
    if entry["kind"] not in KINDS:
        raise PublishedError(f"results/published/series.toml: kind {entry['kind']!r} is none of {', '.join(KINDS)}")
    printed = "time" in entry
    row = rows[entry["time" if printed else "rtf"]]
    factor = 1.0 if printed else audio_s
    seconds, span = row.number * factor, row.interval
    return Step(
        label=entry["label"],
        kind=entry["kind"],
        seconds=seconds,
        low_s=float(span.low) * factor,
        high_s=float(span.high) * factor,
        rtf=rows[entry["rtf"]].number if "rtf" in entry else seconds / audio_s,
        audio_s=audio_s,
        origin="published" if printed else "derived",
        formula="" if printed else f"RTF {row.value} × {audio_s * 1000:.2f} ms of audio",
        precision=entry["precision"],
        runtime=entry.get("runtime"),
        layout=entry.get("layout"),
        form=entry.get("form"),
        threads=entry.get("threads"),
        hardware=entry.get("hardware", series["hardware"]),
        row=row,
        cited=row.cited,
    )
