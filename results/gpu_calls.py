"""What a GPU does in a call: by its own clock, and counted. Values, read from what a process noted after its timing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class KernelTime:
    """One kind of kernel.

    Attributes:
        name: as its author wrote it.
        count: how often it ran in a call.
        ms: the GPU's time for all of them in a call.
    """

    name: str
    count: float
    ms: float


@dataclass(frozen=True)
class Counted:
    """Averages over the calls that were counted.

    Attributes:
        kernels: that ran, those in graphs included.
        kernel_ms: the GPU's time for all of them; more than ``busy_ms`` where several ran at once.
        busy_ms: how long at least one kernel or copy was at work.
        launches: kernels that the host launched one by one.
        graph_launches: captured graphs that the host launched.
        waits: how often the host waited by name.
        copies_to, copies_from, copies_on: number and bytes to the device, from it, and within it.
        longest: kinds of kernels, the longest first.
        kinds: how many kinds there were.
        dropped: records that were lost; anything but 0 means that all of these are too low.
    """

    kernels: float
    kernel_ms: float
    busy_ms: float
    launches: float
    graph_launches: float
    waits: float
    copies_to: tuple[float, float]
    copies_from: tuple[float, float]
    copies_on: tuple[float, float]
    longest: tuple[KernelTime, ...]
    kinds: int
    dropped: int


@dataclass(frozen=True)
class GpuCall:
    """What was seen of the calls of one cell, in one process; None where it was not.

    Attributes:
        host_ms: median of the host's times, with the device's clock being read at both ends.
        device_ms: median between these two ends by the device's clock.
        counted: what a call comprises.
        notes: why something is missing.
    """

    host_ms: float | None = None
    device_ms: float | None = None
    counted: Counted | None = None
    notes: tuple[str, ...] = ()


def gpu_call(look: Mapping[str, Any]) -> GpuCall:
    """Read what ``bench.look`` noted.

    Raises:
        ValueError: it holds something else.
    """
    clocks, counts = _table(look, "clocks"), _table(look, "counts")
    notes = look.get("notes") or []
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("'notes' of what a GPU did are no texts")
    return GpuCall(
        host_ms=_figure(clocks, "host_p50_ns") * 1e-6 if clocks else None,
        device_ms=_figure(clocks, "device_p50_ns") * 1e-6 if clocks else None,
        counted=_counted(counts) if counts else None,
        notes=tuple(notes),
    )


def held_back(watched: Sequence[Mapping[str, Any]]) -> list[str]:
    """What held a GPU's clocks back while processes were timed, each reason once."""
    reasons = [reason for seen in watched for reason in seen.get("clocks_held_back_by") or ()]
    return list(dict.fromkeys(str(reason) for reason in reasons))


def _counted(counts: Mapping[str, Any]) -> Counted:
    copies = _table(counts, "copies")
    kernels = counts.get("by_kernel") or []
    if not isinstance(kernels, list) or not all(isinstance(kernel, dict) for kernel in kernels):
        raise ValueError("'by_kernel' of what a GPU did is no list of kernels")
    return Counted(
        kernels=_figure(counts, "kernels"),
        kernel_ms=_figure(counts, "kernel_ns") * 1e-6,
        busy_ms=_figure(counts, "busy_ns") * 1e-6,
        launches=_figure(counts, "launches"),
        graph_launches=_figure(counts, "graph_launches"),
        waits=_figure(counts, "synchronisations"),
        copies_to=_copy(copies, "to device"),
        copies_from=_copy(copies, "from device"),
        copies_on=_copy(copies, "on device"),
        longest=tuple(
            KernelTime(str(kernel.get("name")), _figure(kernel, "count"), _figure(kernel, "ns") * 1e-6)
            for kernel in kernels
        ),
        kinds=int(_figure(counts, "kinds_of_kernels")),
        dropped=int(_figure(counts, "dropped")),
    )


def _copy(copies: Mapping[str, Any], way: str) -> tuple[float, float]:
    found = _table(copies, way)
    return (_figure(found, "count"), _figure(found, "bytes")) if found else (0.0, 0.0)


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{key!r} of what a GPU did is no table")  # noqa: TRY004 (damage, not a caller's mistake)
    return found


def _figure(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{key!r} of what a GPU did is {value!r}, which is no figure")
    return float(value)
