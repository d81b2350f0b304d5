"""Peaks for people: three tables, and what a reader must know."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bench.peaks.keep import BY_THREADS, LOWEST
from results.floor import BUS
from results.peaks import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from results.peaks import Arithmetic, Bandwidth, Peaks

NARROW = 110


def show(peaks: Peaks, console: Console | None = None) -> None:
    """Print them."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NARROW, file=console.file)
    for line in head(peaks):
        console.print(line, markup=False, soft_wrap=True)
    for table in (arithmetic_table(peaks), bandwidth_table(peaks), calls_table(peaks)):
        if table.row_count:
            console.print(table)
    for line in foot(peaks):
        console.print(line, markup=False, soft_wrap=True)


def head(peaks: Peaks) -> list[str]:
    """The machine, its clock, its caches."""
    cores = "multiprocessors" if peaks.device == "gpu" else "cores usable"
    lines = [f"{peaks.title}, {peaks.cores} {cores}; peaks measured {peaks.made}"]
    if peaks.clock_hz:
        lowest = peaks.facts.get(LOWEST) or peaks.clock_hz
        lines.append(f"core clock while measuring: {lowest / 1e9:.2f} to {peaks.clock_hz / 1e9:.2f} GHz")
    return lines


def arithmetic_table(peaks: Peaks) -> Table:
    """A row per precision and instruction set, a column per number of threads."""
    title = "arithmetic, G operations/s (a multiply-add is two)"
    table, numbers = _table(("precision", "instructions"), title, peaks.arithmetic)
    rows: dict[tuple[str, str], dict[int, float]] = {}
    for row in peaks.arithmetic:
        rows.setdefault((row.precision, row.isa), {})[row.threads] = row.flops_per_s
    # The widest last, whatever it is called.
    for (precision, isa), rates in sorted(rows.items(), key=lambda item: (item[0][0], item[1][min(item[1])])):
        table.add_row(precision, isa, *(_giga(rates.get(number)) for number in numbers), _per_clock(peaks, rates))
    return table


def bandwidth_table(peaks: Peaks) -> Table:
    """A row per level and kind, a column per number of threads."""
    title = "bandwidth, GB/s (a copy counts what is read and what is written)"
    table, numbers = _table(("level", "size", "kind"), title, peaks.bandwidth)
    rows: dict[tuple[str, str], dict[int, float]] = {}
    for row in peaks.bandwidth:
        rows.setdefault((row.level, row.kind), {})[row.threads] = row.bytes_per_s
    for level in (*peaks.levels, Level(BUS, None, private=False)):
        for (name, kind), rates in rows.items():
            if name == level.name:
                figures = (_giga(rates.get(number)) for number in numbers)
                table.add_row(name, _size(level), kind, *figures, _per_clock(peaks, rates))
    return table


def calls_table(peaks: Peaks) -> Table:
    """A row per runtime."""
    title = "what it costs to have it do next to nothing" if peaks.device == "gpu" else "a call, before any arithmetic"
    table = Table("call" if peaks.device == "gpu" else "runtime", "version", title=title)
    table.add_column("µs", justify="right")
    for call in sorted(peaks.calls, key=lambda call: call.seconds):
        table.add_row(call.what, call.version or "", f"{call.seconds * 1e6:.2f}")
    return table


def foot(peaks: Peaks) -> list[str]:
    """How steady the figures are, and the notes."""
    shares = [
        *(row.median_flops_per_s / row.flops_per_s for row in peaks.arithmetic if row.median_flops_per_s),
        *(row.median_bytes_per_s / row.bytes_per_s for row in peaks.bandwidth if row.median_bytes_per_s),
    ]
    lines = []
    if shares:
        lines.append(
            "every figure is the best of many repeats; the median repeat reached "
            f"{statistics.median(shares):.0%} of it in the middle and {min(shares):.0%} at the least"
        )
    return [*lines, *(f"note: {note}" for note in peaks.notes)]


def _table(names: Sequence[str], title: str, rows: Iterable[Arithmetic | Bandwidth]) -> tuple[Table, list[int]]:
    """A table without rows, and the numbers of threads that have a column of their own."""
    numbers = sorted({row.threads for row in rows})
    table = Table(*names, title=title)
    for number in numbers:
        head = "1 thread" if number == 1 else f"{number} threads"
        table.add_column(head if number else "whole device", justify="right")
    # A GPU's clock falls with the power that a kernel draws.
    table.add_column("per clock and core" if any(numbers) else "", justify="right")
    return table, numbers


def _giga(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate / 1e9:.1f}" if rate < 1e12 else f"{rate / 1e9:,.0f}"


def _per_clock(peaks: Peaks, rates: dict[int, float]) -> str:
    """Of the smallest number of threads, at the clock seen with it; nothing where every kernel had another clock."""
    number = min(rates)
    if not number:
        return ""
    clocks: dict[str, Any] = peaks.facts.get(BY_THREADS, {})
    hertz = clocks.get(str(number)) or peaks.clock_hz
    return f"{rates[number] / number / hertz:.1f}" if hertz else ""


def _size(level: Level) -> str:
    if level.bytes is None:
        return ""
    size = f"{level.bytes >> 10} KiB" if level.bytes < 1 << 20 else f"{level.bytes / (1 << 20):g} MiB"
    return f"{size} a core" if level.private else size
