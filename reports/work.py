"""Models beside each other: what a second of audio costs, and the work that explains it.

Times of different models are no race: they do different work on different pieces of audio. Per
second of audio they can be laid beside each other, with parameters, operations, nodes and bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from reports import words
from results.intervals import log_ratio_interval
from results.works import on_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results.summary import CellSummary


# By how much a smaller model must be slower to be worth a sentence, and how alike two pieces of audio must be.
INVERTED, SAME_AUDIO = 1.1, 0.05


@dataclass(frozen=True)
class WorkRow:
    """One model's fastest cell, per second of audio.

    Attributes:
        cell: the cell.
        time_ms: p50 per second of audio and signal.
        gflop: 10⁹ operations per second of audio.
        activation_mb: megabytes written and read between nodes, per second of audio.
        parameters: trained values.
        nodes: nodes of the form that was measured.
    """

    cell: CellSummary
    time_ms: float
    gflop: float | None
    activation_mb: float | None
    parameters: int
    nodes: int


def work_rows(cells: Sequence[CellSummary]) -> list[WorkRow]:
    """The fastest right cell of every model with known audio, per runtime, in the plan's order.

    Only runtimes that answered for two models or more are of interest here.
    """
    best: dict[tuple[str, str], CellSummary] = {}
    for cell in cells:
        if cell.status != "ok" or cell.p50_ms is None or not cell.audio_s or not cell.spec.get("parameters"):
            continue
        if on_device(cell.spec.get("options", {})):
            # Its calls do less than those of a model that is measured from host to host.
            continue
        key = (str(cell.spec["runtime"]), str(cell.spec["model"]))
        if key not in best or _per_second(cell) < _per_second(best[key]):
            best[key] = cell
    counts: dict[str, int] = {}
    for runtime, _ in best:
        counts[runtime] = counts.get(runtime, 0) + 1
    order = {runtime: place for place, runtime in enumerate(counts)}
    chosen = [cell for (runtime, _), cell in best.items() if counts[runtime] > 1]
    return [_row(cell) for cell in sorted(chosen, key=lambda cell: order[str(cell.spec["runtime"])])]


def inversions(rows: Sequence[WorkRow]) -> list[str]:
    """A sentence for every pair in which the model with fewer parameters takes longer, with its cause.

    Only models that answer for equally long pieces of audio in the same layout (a short call pays for itself
    as often as it is made, whatever is in it), and only where three processes or more leave no doubt.
    """
    lines = []
    for small in rows:
        for large in rows:
            if small.cell.spec["runtime"] != large.cell.spec["runtime"] or small.parameters >= large.parameters:
                continue
            ratio = small.time_ms / large.time_ms
            if ratio > INVERTED and abs(_audio(small) / _audio(large) - 1) < SAME_AUDIO and _sure(small, large):
                lines.append(_inversion(small, large, ratio))
    return lines


def table(rows: Sequence[WorkRow]) -> Table:
    """For a terminal."""
    columns = _headings()
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="work per second of audio", title_justify="left")
    for index, name in enumerate(columns):
        drawn.add_column(name, justify="left" if index < 3 else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(text) for text in _columns(row)))
    return drawn


def markdown(rows: Sequence[WorkRow]) -> str:
    """For a page."""
    columns = _headings()
    lines = [f"| {' | '.join(columns)} |", "|---|---|---|" + "---:|" * (len(columns) - 3)]
    lines += [f"| {' | '.join(_columns(row))} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {line}" for line in inversions(rows))])


def _headings() -> list[str]:
    return [
        "runtime",
        "model",
        "form, layout",
        "audio per call",
        "p50 per call",
        "p50 per s of audio",
        "parameters",
        "nodes",
        "GFLOP per s",
        "activations per s",
        "GFLOP/s reached",
    ]


def _columns(row: WorkRow) -> list[str]:
    cell = row.cell
    reached = words.NOTHING if row.gflop is None else words.digits(row.gflop / row.time_ms * 1e3)
    return [
        str(cell.spec["runtime"]),
        str(cell.spec["model"]),
        f"{cell.spec['form']}, {words.layout(cell)}",
        words.milliseconds((cell.audio_s or 0) * 1e3),
        f"{words.milliseconds(cell.p50_ms)} {words.spread(cell)}".strip(),
        words.milliseconds(row.time_ms),
        f"{row.parameters:,}",
        str(row.nodes),
        words.NOTHING if row.gflop is None else words.digits(row.gflop),
        words.NOTHING if row.activation_mb is None else f"{words.digits(row.activation_mb)} MB",
        reached,
    ]


def _sure(slow: WorkRow, fast: WorkRow) -> bool:
    """Whether the difference is more than that between equal processes."""
    if slow.cell.spec["layout"] != fast.cell.spec["layout"]:
        return False
    found = log_ratio_interval(slow.cell.medians_ns, fast.cell.medians_ns)
    return found is not None and found[1].low > 1


def _audio(row: WorkRow) -> float:
    return row.cell.audio_s or 1.0


def _per_second(cell: CellSummary) -> float:
    """p50 per second of audio of one signal, in milliseconds."""
    signals = 1 if cell.spec["layout"] == "mono" else 2
    return (cell.p50_ms or 0.0) / (cell.audio_s or 1.0) / signals


def _row(cell: CellSummary) -> WorkRow:
    work, audio = cell.spec.get("work") or {}, cell.audio_s or 1.0
    # With operators that nobody could count, totals are lower bounds, and no lower bound is shown as a figure.
    whole = not work.get("unknown")
    flops, moved = (work.get(key) if whole else None for key in ("flops", "activation_bytes"))
    return WorkRow(
        cell,
        _per_second(cell),
        None if flops is None else flops / audio * 1e-9,
        None if moved is None else moved / audio * 1e-6,
        int(cell.spec.get("parameters") or 0),
        int(cell.spec.get("nodes") or 0),
    )


def _inversion(small: WorkRow, large: WorkRow, ratio: float) -> str:
    share = small.parameters / large.parameters
    text = (
        f"{small.cell.spec['runtime']}: {small.cell.spec['model']} has {share:.2f} × the parameters of "
        f"{large.cell.spec['model']} and takes {ratio:.2f} × the time per second of audio"
    )
    causes = []
    if small.gflop and large.gflop:
        causes.append(f"{small.gflop / large.gflop:.2f} × the operations")
    if small.activation_mb and large.activation_mb:
        causes.append(f"{small.activation_mb / large.activation_mb:.2f} × the bytes between nodes")
    causes.append(f"{small.nodes} nodes for {large.nodes}")
    return f"{text}: it does {', '.join(causes)}"
