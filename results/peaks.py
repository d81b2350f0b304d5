"""What a machine could do at most: arithmetic, bandwidth, the cost of a call; measured or from a datasheet.

Values only. ``bench/peaks`` measures them, ``results/hardware/`` holds those of datasheets, and
:mod:`results.floor` makes bounds of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from results.errors import PeaksError
from results.peaks_checked import AGAIN, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA_VERSION = 1
MEMORY = "memory"
# What has no instructions of its own is converted and computed in this, and so are the parts of a
# graph of lower precision that an engine leaves as they were.
COMMON = "fp32"
# What engines widen numbers to that there are no instructions for: a bound has to count those, too.
IMPLIED = {
    "int4": ("int8", "fp8", "fp16", "bf16"),
    "fp8": ("fp16", "bf16"),
}


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


Row = TypeVar("Row", Arithmetic, Bandwidth)


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
            precision: one, or several joined by ``+``. That of :data:`COMMON` always counts, and so does what
                :data:`IMPLIED` says of each.
            threads: the budget.

        Returns:
            None where nothing is known of any of them.
        """
        wanted = {COMMON}
        for name in precision.split("+"):
            wanted |= {name, *IMPLIED.get(name, ())}
        rows: dict[tuple[str, str], list[Arithmetic]] = {}
        for row in self.arithmetic:
            if row.precision in wanted:
                rows.setdefault((row.precision, row.isa), []).append(row)
        known = [_for_threads(several, threads) for several in rows.values()]
        return max(known, key=lambda row: row.flops_per_s, default=None)

    def bytes_per_s(self, level: str, threads: int) -> Bandwidth | None:
        """The fastest way to or from a level on so many threads, whatever the kind; None where unknown."""
        rows: dict[str, list[Bandwidth]] = {}
        for row in self.bandwidth:
            if row.level == level:
                rows.setdefault(row.kind, []).append(row)
        known = [_for_threads(several, threads) for several in rows.values()]
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
    def from_json(cls, record: Any) -> Self:
        """Read back :meth:`to_json`.

        Args:
            record: JSON values; nothing is taken for granted, since people edit files and disks fill up.

        Raises:
            PeaksError: another schema, or a field that is missing, unknown or wrong; the text names it.
        """
        values = dict(record) if isinstance(record, Mapping) else {}
        if values.pop("schema", None) != SCHEMA_VERSION:
            raise PeaksError(f"these are no peaks, or those of another version of rtfloor; {AGAIN}")
        nested = {"levels": Level, "arithmetic": Arithmetic, "bandwidth": Bandwidth, "calls": Call}
        return checked(cls, values, "peaks", nested)


def _for_threads(rows: Sequence[Row], threads: int) -> Row:
    """What rows that differ in their threads only say about so many threads.

    Where exactly that many were measured, or the whole device was: the fastest of those and of fewer threads, since
    more can do at least as much. Otherwise the next smaller number stands in, times what no machine exceeds:
    proportionally more. Where only larger numbers were measured, the smallest of them does. Whatever stands in is
    derived, and says so.
    """
    fewer = [row for row in rows if row.threads <= threads]
    if not fewer:
        least = min(rows, key=lambda row: row.threads)
        return _standing_in(least, _rate(least), threads, f"at most that of {_several(least.threads)}")
    best, most = max(fewer, key=_rate), max(row.threads for row in fewer)
    if most == threads or any(row.threads == 0 for row in rows):
        return best
    return _standing_in(best, _rate(best) * threads / most, threads, f"{threads}/{most} of that of {_several(most)}")


def _standing_in(row: Row, rate: float, threads: int, how: str) -> Row:
    source = f"{how}, for want of one of {_several(threads)}" + (f"; {row.source}" if row.source else "")
    figures: dict[str, Any] = {"threads": threads, "origin": "derived", "source": source}
    if isinstance(row, Arithmetic):
        figures |= {"flops_per_s": rate, "median_flops_per_s": None}
    else:
        figures |= {"bytes_per_s": rate, "median_bytes_per_s": None, "working_set_bytes": None}
    return replace(row, **figures)


def _rate(row: Arithmetic | Bandwidth) -> float:
    return row.flops_per_s if isinstance(row, Arithmetic) else row.bytes_per_s


def _several(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _best(one: Iterable[Any], other: Iterable[Any]) -> tuple[Any, ...]:
    found: dict[tuple[Any, ...], Any] = {}
    for row in (*one, *other):
        what = (row.precision, row.isa) if isinstance(row, Arithmetic) else (row.level, row.kind)
        key = (*what, row.threads)
        if key not in found or _rate(row) > _rate(found[key]):
            found[key] = row
    return tuple(found.values())


def _cheapest(calls: Iterable[Call]) -> tuple[Call, ...]:
    found: dict[tuple[str, str | None], Call] = {}
    for call in calls:
        key = (call.what, call.version)
        if key not in found or call.seconds < found[key].seconds:
            found[key] = call
    return tuple(found.values())
