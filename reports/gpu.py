"""What the GPU does in a call, in sentences and as a table: its time beside the host's, kernels, launches, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports import words
from results.gpu_calls import held_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from results.gpu_calls import Counted
    from results.record import Record
    from results.summary import CellSummary

# What NVML tells, as people want it.
WATCHED = {
    "sm_clock_hz": ("MHz", 1e-6),
    "memory_clock_hz": ("MHz", 1e-6),
    "temperature_c": ("°C", 1.0),
    "power_w": ("W", 1.0),
}
HEAD = ("cell", "p50", "GPU's clock", "at work", "kernels", "launched singly", "graphs", "copies", "waits")
HINTS = {
    "p50": "host to host, or device to device where the cell says so; timed while nobody looked",
    "GPU's clock": "from the first to the last thing of a call that is put on its stream, by the GPU's own clock",
    "at work": "how long at least one kernel or copy ran",
    "kernels": "that ran in a call, those in CUDA graphs included",
    "graphs": "CUDA graphs launched",
    "copies": "to the device, and from it; then those within it",
}


def described(gpu: Mapping[str, Any]) -> str:
    """What NVML says of one GPU, in a line."""
    parts = [str(gpu.get("name") or "a GPU without a name")]
    if gpu.get("memory_bytes"):
        parts.append(f"{gpu['memory_bytes'] / 2**30:.0f} GiB")
    parts.append(f"driver {gpu.get('driver') or 'unknown'}")
    parts += [f"{gpu[key] * scale:.0f} {unit}" for key, (unit, scale) in WATCHED.items() if gpu.get(key) is not None]
    held = gpu.get("clocks_held_back_by") or []
    return ", ".join(parts) + (f"; its clocks are held back: {', '.join(held)}" if held else "")


def watched(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Lowest and highest clocks, temperature and power, seen right before and after calls were timed."""
    seen = [record.facts["gpu"] for record in records if record.facts.get("gpu")]
    found = []
    for key, (unit, scale) in WATCHED.items():
        ends = [end * scale for each in seen for end in each.get(key) or () if isinstance(end, int | float)]
        if ends:
            low, high = min(ends), max(ends)
            shown = f"{low:.0f} {unit}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f} {unit}"
            found.append((key.rpartition("_")[0].replace("_", " "), shown))
    if seen:
        found.append(("clocks held back by", ", ".join(held_back(seen)) or "nothing"))
    return found


def looked_at(cells: Sequence[CellSummary]) -> list[CellSummary]:
    """Cells of which something is known of what the GPU does, race by race, the fastest first."""
    seen = [cell for cell in cells if cell.gpu_call is not None]
    places = {race: place for place, race in enumerate(dict.fromkeys(cell.race for cell in seen))}
    return sorted(seen, key=lambda cell: (places[cell.race], cell.p50_ms is None, cell.p50_ms or 0.0))


def sentence(cell: CellSummary) -> str:
    """Where the time of one cell goes; empty where nobody looked."""
    call = cell.gpu_call
    if call is None or call.counted is None or cell.p50_ms is None:
        return ""
    found = call.counted
    share = found.busy_ms / cell.p50_ms
    busy = words.milliseconds(found.busy_ms)
    # Other calls were counted than were timed, and recording them takes time.
    how_long = f"for {busy} of it ({share:.0%})" if share < 1 else f"all the time ({busy} in calls that were recorded)"
    text = f"the GPU is at work {how_long}: {_kernels(found)}"
    if found.dropped:
        text += f"; {found.dropped} records were lost, so it is more"
    return text


def rows(cells: Sequence[CellSummary]) -> list[tuple[CellSummary, tuple[str, ...]]]:
    """A row of :data:`HEAD` for every cell that was looked at."""
    return [(cell, _row(cell)) for cell in looked_at(cells)]


def kernels(cell: CellSummary) -> list[tuple[str, str, str, str]]:
    """The longest kinds of kernels of a cell: name, how often, time in a call, share of all kernels' time."""
    call = cell.gpu_call
    if call is None or call.counted is None:
        return []
    whole = call.counted.kernel_ms
    return [
        (
            kernel.name,
            _count(kernel.count),
            words.milliseconds(kernel.ms),
            f"{kernel.ms / whole:.1%}" if whole else words.NOTHING,
        )
        for kernel in call.counted.longest
    ]


def markdown(cells: Sequence[CellSummary]) -> str:
    """All cells as one table, then the longest kernels of the fastest; empty where nobody looked."""
    shown = rows(cells)
    if not shown:
        return ""
    lines = [f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 1)]
    lines += [f"| {' | '.join(row)} |" for _, row in shown]
    lines += ["", *(f"- {note}" for note in notes(cells))]
    timed = [cell for cell, _ in shown if cell.p50_ms is not None and kernels(cell)]
    if timed:
        best = min(timed, key=lambda cell: cell.p50_ms or 0.0)
        lines += [
            "",
            f"Longest kernels of {best.cell}:",
            "",
            "| kernel | in a call | time | share |",
            "|---|---:|---:|---:|",
        ]
        lines += [f"| `{name}` | {count} | {time} | {share} |" for name, count, time, share in kernels(best)]
    return "\n".join(lines).rstrip()


def notes(cells: Sequence[CellSummary]) -> Iterator[str]:
    """Why something is missing, each reason once."""
    said = [note for cell in looked_at(cells) if cell.gpu_call is not None for note in cell.gpu_call.notes]
    yield from dict.fromkeys(said)


def _row(cell: CellSummary) -> tuple[str, ...]:
    call = cell.gpu_call
    assert call is not None
    head = (cell.cell, words.milliseconds(cell.p50_ms), words.milliseconds(call.device_ms))
    found = call.counted
    if found is None:
        return (*head, *[words.NOTHING] * (len(HEAD) - len(head)))
    ways = f"{_count(found.copies_to[0])} + {_count(found.copies_from[0])}"
    within = f"; {_count(found.copies_on[0])}" if found.copies_on[0] else ""
    size = found.copies_to[1] + found.copies_from[1]
    return (
        *head,
        words.milliseconds(found.busy_ms),
        _count(found.kernels),
        _count(found.launches),
        _count(found.graph_launches),
        f"{ways}{within} ({size / 1e3:.4g} kB)",
        _count(found.waits),
    )


def _count(value: float) -> str:
    """An average over calls; whole where all calls were alike."""
    return f"{value:.0f}" if value == round(value) else words.digits(value)


def _kernels(found: Counted) -> str:
    if not found.kernels:
        return "no kernel runs"
    how = []
    if found.graph_launches:
        how.append(f"{_count(found.graph_launches)} CUDA graph{'s' if found.graph_launches != 1 else ''}")
    if found.launches:
        how.append(f"{_count(found.launches)} launched one by one")
    plural = "s" if found.kernels != 1 else ""
    return f"{_count(found.kernels)} kernel{plural}" + (f", {' and '.join(how)}" if how else "")
