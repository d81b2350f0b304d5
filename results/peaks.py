"""What a machine could do at most: arithmetic, bandwidth, the cost of a call; measured or from a datasheet.

Values only. ``bench/peaks`` measures them, ``results/hardware/`` holds those of datasheets, and
:mod:`results.floor` makes bounds of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from results.errors import PeaksError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA_VERSION = 1
MEMORY = "memory"
# What has no instructions of its own is converted and computed in this, and so are the parts of a
# graph of lower precision that an engine leaves as they were.
COMMON = "fp32"


@dataclass(frozen=True)
class Arithmetic:
    """The most operations in a second with one instruction set.

    Attributes:
        precision: ``fp64``, ``fp32``, ``tf32``, ``fp16``, ``bf16``, ``fp8`` or ``int8``: of the factors; ``isa`` says
            how they are summed.
        isa: the instructions, such as ``avx512f`` or ``tensor core, fp16 sum``.
        threads: that ran at once; 0 where the whole device is meant.
        flops_per_s: operations, a multiply-add being two; the best of all repeats.
        median_flops_per_s: of the repeats; None where nothing was measured.
        origin: ``measured``, ``published`` or ``derived``.
        source: how it was come by: kernel, or formula, or document and line.
    """

    precision: str
    isa: str
    threads: int
    flops_per_s: float
    median_flops_per_s: float | None = None
    origin: str = "measured"
    source: str = ""


@dataclass(frozen=True)
class Level:
    """A cache level, or memory.

    Attributes:
        name: ``L1``, ``L2``, ``L3`` or ``memory``.
        bytes: its size; one core's where ``private``; None for memory, which holds everything.
        private: whether every core has one of its own.
    """

    name: str
    bytes: int | None
    private: bool


@dataclass(frozen=True)
class Bandwidth:
    """The most bytes in a second from or to one level.

    Attributes:
        level: name of the level, or ``PCIe`` for the bus between a GPU and its host.
        kind: ``read``, ``write``, ``copy``, or ``add`` (two read, one written); all bytes count.
        threads: that ran at once; 0 where the whole device is meant.
        bytes_per_s: of all threads together; the best of all repeats.
        median_bytes_per_s: of the repeats; None where nothing was measured.
        working_set_bytes: what each thread went over, in order to stay in that level; None where nothing was measured.
        origin, source: as in :class:`Arithmetic`.
    """

    level: str
    kind: str
    threads: int
    bytes_per_s: float
    median_bytes_per_s: float | None = None
    working_set_bytes: int | None = None
    origin: str = "measured"
    source: str = ""


@dataclass(frozen=True)
class Call:
    """What it costs to call something that computes next to nothing.

    Attributes:
        what: a runtime's name; or on a GPU ``launch`` (of one kernel), ``graph launch`` (of a captured graph), ``graph
            node``, either with ``and wait``, or ``small copy to device`` and ``small copy from device``.
        version: the runtime's, or None.
        seconds: per call; the median.
        origin, source: as in :class:`Arithmetic`.
    """

    what: str
    version: str | None
    seconds: float
    origin: str = "measured"
    source: str = ""


@dataclass(frozen=True)
class Peaks:
    """One machine's peaks, or one GPU's.

    Attributes:
        name: ``host``, or a profile's name such as ``ryzen-7-5800x``.
        title: for people, such as ``AMD Ryzen 7 5800X``.
        device: ``cpu`` or ``gpu``.
        cores: processor cores, or multiprocessors.
        levels: from the nearest to memory.
        arithmetic, bandwidth, calls: what was measured or derived.
        clock_hz: the highest core clock seen while measuring, or the datasheet's; None where it could not be told.
        fingerprint: of the host it was measured on (``bench.host``), or "".
        made: when, UTC, ISO 8601; "" for a datasheet.
        notes: what a reader must know; full sentences.
        facts: anything else, JSON values.
    """

    name: str
    title: str
    device: str
    cores: int
    levels: tuple[Level, ...]
    arithmetic: tuple[Arithmetic, ...] = ()
    bandwidth: tuple[Bandwidth, ...] = ()
    calls: tuple[Call, ...] = ()
    clock_hz: float | None = None
    fingerprint: str = ""
    made: str = ""
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def flops_per_s(self, precision: str, threads: int) -> Arithmetic | None:
        """The fastest arithmetic that a call of this precision could use on so many threads.

        Args:
            precision: one, or several joined by ``+``. That of :data:`COMMON` always counts.
            threads: the budget.

        Returns:
            None where nothing is known of any of them.
        """
        wanted = {*precision.split("+"), COMMON}
        rows = [row for row in self.arithmetic if row.precision in wanted]
        known = [replace(row, flops_per_s=row.flops_per_s * factor) for row, factor in _for_threads(rows, threads)]
        return max(known, key=lambda row: row.flops_per_s, default=None)

    def bytes_per_s(self, level: str, threads: int) -> Bandwidth | None:
        """The fastest way to or from a level on so many threads, whatever the kind; None where unknown."""
        rows = [row for row in self.bandwidth if row.level == level]
        known = [replace(row, bytes_per_s=row.bytes_per_s * factor) for row, factor in _for_threads(rows, threads)]
        return max(known, key=lambda row: row.bytes_per_s, default=None)

    def capacity_bytes(self, level: Level, threads: int) -> int | None:
        """What a level holds for so many threads, each on a core of its own; None for memory."""
        if level.bytes is None:
            return None
        return level.bytes * max(1, min(threads, self.cores)) if level.private and threads else level.bytes

    def call_s(self, what: str) -> float | None:
        """What one call of a runtime, or one launch, costs; None where unknown."""
        return next((call.seconds for call in self.calls if call.what == what), None)

    def best_of(self, other: Self) -> Self:
        """These, with every figure replaced by the other's where that is higher (for a call: lower).

        A slow phase of the machine makes figures too low, never too high, so the best of two sittings is
        nearer to the truth.
        """
        return replace(
            self,
            arithmetic=_best(self.arithmetic, other.arithmetic),
            bandwidth=_best(self.bandwidth, other.bandwidth),
            calls=_cheapest((*self.calls, *other.calls)),
            clock_hz=max((hz for hz in (self.clock_hz, other.clock_hz) if hz is not None), default=None),
            made=max(self.made, other.made),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`from_json` reads them back."""
        return {"schema": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read back :meth:`to_json`.

        Raises:
            PeaksError: another schema, or not peaks at all.
        """
        values = dict(record)
        try:
            if values.pop("schema") != SCHEMA_VERSION:
                raise PeaksError("these peaks were written by another version of rtfloor; measure again: rtfloor peaks")
            values["levels"] = tuple(Level(**row) for row in values["levels"])
            values["arithmetic"] = tuple(Arithmetic(**row) for row in values["arithmetic"])
            values["bandwidth"] = tuple(Bandwidth(**row) for row in values["bandwidth"])
            values["calls"] = tuple(Call(**row) for row in values["calls"])
            values["notes"] = tuple(values["notes"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise PeaksError(f"these are no peaks of this version ({error}); measure again: rtfloor peaks") from None


def _for_threads(rows: Iterable[Any], threads: int) -> list[tuple[Any, float]]:
    """Rows that hold for so many threads, and what to multiply them with.

    Where that many were not measured, the most a smaller number could give stands in: proportionally more,
    which no machine exceeds. Rows of the whole device hold for any number.
    """
    found = []
    for row in rows:
        if row.threads == 0 or row.threads >= threads:
            found.append((row, 1.0))
        else:
            found.append((row, threads / row.threads))
    exact = [(row, factor) for row, factor in found if row.threads in (0, threads)]
    if exact or not found:
        return exact
    # Of those at hand, the tightest of what are all upper bounds.
    more = min((row.threads for row, _ in found if row.threads > threads), default=None)
    fewer = max((row.threads for row, _ in found if row.threads < threads), default=None)
    return [(row, factor) for row, factor in found if row.threads == (fewer if fewer is not None else more)]


def _best(one: Iterable[Any], other: Iterable[Any]) -> tuple[Any, ...]:
    found: dict[tuple[Any, ...], Any] = {}
    for row in (*one, *other):
        if isinstance(row, Arithmetic):
            key, rate = (row.precision, row.isa, row.threads), row.flops_per_s
            before = found[key].flops_per_s if key in found else 0.0
        else:
            key, rate = (row.level, row.kind, row.threads), row.bytes_per_s
            before = found[key].bytes_per_s if key in found else 0.0
        if rate > before:
            found[key] = row
    return tuple(found.values())


def _cheapest(calls: Iterable[Call]) -> tuple[Call, ...]:
    found: dict[tuple[str, str | None], Call] = {}
    for call in calls:
        key = (call.what, call.version)
        if key not in found or call.seconds < found[key].seconds:
            found[key] = call
    return tuple(found.values())
