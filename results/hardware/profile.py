"""A hardware profile, from the values of its file to :class:`results.peaks.Peaks`; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from results.errors import PeaksError
from results.peaks import Arithmetic, Bandwidth, Call, Level, Peaks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOP = {
    "title",
    "device",
    "cores",
    "threads",
    "clock",
    "clock_hz",
    "notes",
    "facts",
    "level",
    "arithmetic",
    "bandwidth",
    "call",
}
_RATE = {"per_clock_and_core", "per_s", "formula", "source"}
_KEYS = {
    "level": {"name", "bytes", "private", "source"},
    "arithmetic": {"precision", "isa", *_RATE},
    "bandwidth": {"level", "kind", *_RATE},
    "call": {"what", "version", "seconds", "source"},
}
_PRECISIONS = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4")
_DEVICES = ("cpu", "gpu")
_KINDS = ("read", "write", "copy")


def parse(values: Mapping[str, Any], name: str, where: str) -> Peaks:
    """Peaks from a profile.

    A rate stands as ``per_s``, for the whole device whatever the threads; or as ``per_clock_and_core``: times
    the clock named under ``clock`` and, on a CPU, times the cores that so many threads can use; on a GPU times
    all multiprocessors.

    Args:
        values: of the TOML file.
        name: what a user types.
        where: the file, for complaints.

    Raises:
        PeaksError: a key is missing, unknown or of the wrong type.
    """
    reader = _Reader(values, where)
    device = reader.choice("device", _DEVICES)
    cores = reader.count("cores")
    threads = reader.count("threads") if "threads" in values else cores
    if threads < cores:
        reader.fail(f"threads is {threads}, fewer than the {cores} cores")
    clock_hz = reader.clock_hz()
    scale = _Scale(device, cores, threads, clock_hz)
    levels = tuple(_level(row) for row in reader.rows("level"))
    known = {level.name for level in levels}
    arithmetic = [row for table in reader.rows("arithmetic") for row in _arithmetic(table, scale)]
    bandwidth = [row for table in reader.rows("bandwidth") for row in _bandwidth(table, scale, known)]
    return Peaks(
        name=name,
        title=reader.text("title"),
        device=device,
        cores=cores,
        levels=levels,
        arithmetic=tuple(arithmetic),
        bandwidth=tuple(bandwidth),
        calls=tuple(_call(row) for row in reader.rows("call")),
        clock_hz=clock_hz,
        notes=tuple(reader.texts("notes")),
        facts={**_facts(reader), "threads": threads, "clocks_hz": reader.table("clock_hz")},
    )


def _facts(reader: _Reader) -> dict[str, Any]:
    """Anything else; of ``matches`` alone it is known what it must be: a text would match letter by letter."""
    facts = reader.table("facts")
    matches = facts.get("matches", [])
    if not isinstance(matches, list) or not all(isinstance(item, str) and item.strip() for item in matches):
        reader.fail(f"key 'matches' of [facts] is {matches!r}; it must be a list of parts of a processor's name")
    return facts


class _Scale:
    """How a rate per clock and core becomes rates per second."""

    def __init__(self, device: str, cores: int, threads: int, clock_hz: float) -> None:
        self.device, self.cores, self.threads, self.clock_hz = device, cores, threads, clock_hz

    def rates(self, table: _Reader) -> Iterable[tuple[int, float, str, str]]:
        """Threads (0: the whole device), rate per second, origin, source; one tuple per number of threads."""
        source = table.text("source")
        formula = table.text("formula") if "formula" in table.values else ""
        if ("per_s" in table.values) == ("per_clock_and_core" in table.values):
            table.fail("exactly one of per_s and per_clock_and_core must be given")
        if "per_s" in table.values:
            origin = "derived" if formula else "published"
            yield 0, table.number("per_s"), origin, f"{formula}; {source}" if formula else source
            return
        each = table.number("per_clock_and_core")
        counts = [0] if self.device == "gpu" else range(1, self.threads + 1)
        for threads in counts:
            # Two threads of one core share its pipes.
            cores = min(threads, self.cores) if threads else self.cores
            word = "multiprocessors" if self.device == "gpu" else "core" if cores == 1 else "cores"
            said = f"{each:g} × {cores} {word} × {self.clock_hz / 1e9:g} GHz"
            yield threads, each * cores * self.clock_hz, "derived", f"{said}, {formula}; {source}".replace(", ;", ";")


def _level(table: _Reader) -> Level:
    size = table.count("bytes") if "bytes" in table.values else None
    return Level(table.text("name"), size, table.flag("private"))


def _arithmetic(table: _Reader, scale: _Scale) -> Iterable[Arithmetic]:
    for threads, rate, origin, source in scale.rates(table):
        precision, isa = table.choice("precision", _PRECISIONS), table.text("isa")
        yield Arithmetic(precision, isa, threads, rate, origin=origin, source=source)


def _bandwidth(table: _Reader, scale: _Scale, levels: set[str]) -> Iterable[Bandwidth]:
    level, kind = table.text("level"), table.choice("kind", _KINDS)
    if level not in levels and level != "PCIe":
        table.fail(f"level {level!r} is none of the levels of this file ({', '.join(sorted(levels))}) nor PCIe")
    for threads, rate, origin, source in scale.rates(table):
        yield Bandwidth(level, kind, threads, rate, origin=origin, source=source)


def _call(table: _Reader) -> Call:
    version = table.text("version") if "version" in table.values else None
    source = table.text("source")
    return Call(table.text("what"), version, table.number("seconds"), origin="derived", source=source)


class _Reader:
    """Reads one table; every complaint names file, table and key."""

    def __init__(self, values: Mapping[str, Any], where: str, allowed: set[str] = _TOP) -> None:
        self.values, self.where = values, where
        unknown = sorted(set(values) - allowed)
        if unknown:
            self.fail(f"key {unknown[0]!r} is unknown; known are {', '.join(sorted(allowed))}")

    def fail(self, what: str) -> NoReturn:
        raise PeaksError(f"hardware profile {self.where}: {what}; docs/published.md lists the keys")

    def _get(self, key: str, kinds: type | tuple[type, ...], words: str) -> Any:
        if key not in self.values:
            self.fail(f"key {key!r} is missing; it must be {words}")
        value = self.values[key]
        # In Python True is a number; nobody means that here.
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            self.fail(f"key {key!r} is {value!r}; it must be {words}")
        return value

    def text(self, key: str) -> str:
        value = str(self._get(key, str, "text"))
        if not value.strip():
            self.fail(f"key {key!r} is empty")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._get(key, bool, "true or false"))

    def number(self, key: str) -> float:
        value = float(self._get(key, (int, float), "a number above 0"))
        if not 0 < value < float("inf"):
            self.fail(f"key {key!r} is {value:g}; it must be a number above 0")
        return value

    def count(self, key: str) -> int:
        value = int(self._get(key, int, "a whole number above 0"))
        if value < 1:
            self.fail(f"key {key!r} is {value}; it must be a whole number above 0")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            self.fail(f"key {key!r} is {value!r}; it must be one of {', '.join(allowed)}")
        return value

    def texts(self, key: str) -> list[str]:
        found = self._get(key, list, "a list of sentences") if key in self.values else []
        if not all(isinstance(item, str) for item in found):
            self.fail(f"key {key!r} must be a list of sentences")
        return list(found)

    def table(self, key: str) -> dict[str, Any]:
        return dict(self._get(key, dict, "a table")) if key in self.values else {}

    def rows(self, key: str) -> list[_Reader]:
        found = self._get(key, list, f"a list of tables [[{key}]]") if key in self.values else []
        if key in ("level", "arithmetic") and not found:
            self.fail(f"there is no [[{key}]]; at least one is needed")
        if not all(isinstance(item, dict) for item in found):
            self.fail(f"key {key!r} must be a list of tables [[{key}]]")
        return [
            _Reader(item, f"{self.where}, [[{key}]] number {number}", _KEYS[key])
            for number, item in enumerate(found, 1)
        ]

    def clock_hz(self) -> float:
        """The clock that rates hold at."""
        which, clocks = self.text("clock"), self.table("clock_hz")
        value = clocks.get(which)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            self.fail(f"clock is {which!r}, and [clock_hz] gives no number above 0 under that name")
        return float(clocks[which])
