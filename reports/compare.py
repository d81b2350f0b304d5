"""Several runs beside each other: which cells can be compared, and what came of it.

Runs are never merged. Samples of two runs stay apart, and so do their processes: a cell of one run is beside the same
cell of another, with a ratio whose interval knows that rounds of different runs have nothing in common.

Of a hundred cells that did not change, five would seem to at 95 %. So a verdict allows for how many cells are compared
(Holm 1979: at most one comparison in twenty has any wrong verdict), while each interval stays one of 95 %.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from results.intervals import Interval, log_ratio_interval
from results.works import signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reports.source import Source
    from results.record import Record
    from results.summary import CellSummary

# Facts about machines that can explain a difference.
HOST = (
    "fingerprint",
    "cpu",
    "cpu_id",
    "cpus_usable",
    "smt",
    "isa",
    "caches",
    "memory_bytes",
    "virtual",
    "kernel",
    "governor",
    "boost",
    "python",
)
FASTER, SLOWER, SAME, NO_INTERVAL = "faster", "slower", "cannot be told apart", "no interval"
# Of all that could be said of nothing that changed, so much is said wrongly at most.
WRONG_MOST = 0.05
# Audio per call is a quotient of whole numbers; this is rounding.
AUDIO_ALIKE = 1e-9
Key = tuple[str, str, str, str, int, tuple[tuple[str, str], ...]]


class CompareError(Exception):
    """Runs have nothing in common that could be compared; the text says why."""


@dataclass(frozen=True)
class Pair:
    """The same cell in two runs.

    Attributes:
        cells: in the base run and in the other.
        other: which run the second is of, as an index.
        ratio: p50 of the other over that of the base; below 1 is faster. None where it cannot be made.
        interval: 95 %; None from too few processes.
        verdict: ``faster``, ``slower``, ``cannot be told apart``, ``no interval``, or ``""`` where there is no ratio;
            it allows for all cells that are compared.
        refused: why the two must not be compared; empty where they may.
        notes: what differs and may explain the ratio, such as the runtime's version.
    """

    cells: tuple[CellSummary, CellSummary]
    other: int
    ratio: float | None
    interval: Interval | None
    verdict: str
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Several runs, each beside the first.

    Attributes:
        sources: the runs; the first is the base.
        pairs: cells that are in the base and in another run, in the base's order.
        only: per run, cells that no other run has.
        differences: facts about hosts and packages that are not the same everywhere: name to a value per run.
    """

    sources: tuple[Source, ...]
    pairs: tuple[Pair, ...]
    only: tuple[tuple[CellSummary, ...], ...]
    differences: Mapping[str, tuple[str, ...]]

    @property
    def same_host(self) -> bool | None:
        """Whether all runs were made on one machine; None where it cannot be told."""
        names = ("fingerprint", "name_sha256", "cpu")
        found = {name: {source.host.get(name) for source in self.sources} - {None, "", "unknown"} for name in names}
        if any(len(values) > 1 for values in found.values()):
            return False
        told = all(source.host.get(name) not in (None, "", "unknown") for source in self.sources for name in names[:2])
        return True if told else None

    @property
    def tested(self) -> int:
        """Pairs with an interval, for which verdicts allow."""
        return sum(pair.interval is not None for pair in self.pairs)

    @property
    def compared(self) -> list[Pair]:
        """Pairs with a ratio."""
        return [pair for pair in self.pairs if pair.ratio is not None]

    @property
    def refused(self) -> list[Pair]:
        """Pairs that must not be compared."""
        return [pair for pair in self.pairs if pair.refused]


def compare(sources: Sequence[Source]) -> Comparison:
    """Lay runs beside the first of them.

    Raises:
        CompareError: fewer than two runs, the same one twice, or no cell of the first can be compared with any of
            another.
    """
    if len(sources) < 2:
        raise CompareError("a comparison needs two runs or more")
    for one, other in combinations(sources, 2):
        if one.path.resolve() == other.path.resolve():
            raise CompareError("the same run was named twice; a run is always as fast as itself")
        if _same_run(one, other):
            raise CompareError(f"{one.path} and {other.path} are the same run; a run is always as fast as itself")
    sources = named_apart(sources)
    keyed = _keyed(sources)
    pairs: list[Pair] = []
    for key, base in keyed[0].items():
        pairs += [_pair(base, there[key], other) for other, there in enumerate(keyed) if other and key in there]
    if all(pair.ratio is None for pair in pairs):
        raise CompareError(_nothing(sources, pairs))
    return Comparison(tuple(sources), tuple(_judged(pairs)), tuple(_only(keyed)), differences(sources))


def named_apart(sources: Sequence[Source]) -> list[Source]:
    """Runs whose names are all different: files of one name by their folders, and by a number where those are alike."""
    stems = Counter(source.name for source in sources)
    taken: set[str] = set()
    found = []
    for source in sources:
        name = source.name
        if stems[name] > 1:
            name = f"{source.path.resolve().parent.name}/{name}"
        unique, number = name, 1
        while unique in taken or (number > 1 and unique in stems):
            number += 1
            unique = f"{name} ({number})"
        taken.add(unique)
        found.append(source if unique == source.name else replace(source, label=unique))
    return found


def differences(sources: Sequence[Source]) -> dict[str, tuple[str, ...]]:
    """What is not the same in all runs: host, versions, processors, and how much was measured."""
    rows: dict[str, list[Any]] = {name: [source.host.get(name) for source in sources] for name in HOST}
    packages = [(source.facts.get("environment") or {}).get("packages") or {} for source in sources]
    variables = [(source.facts.get("environment") or {}).get("variables") or {} for source in sources]
    for what, found in (("package", packages), ("variable", variables)):
        for name in sorted(set().union(*found)):
            rows[f"{what} {name}"] = [one.get(name) for one in found]
    rows["profile"] = [(source.facts.get("profile") or {}).get("name") for source in sources]
    rows["processors"] = [source.facts.get("cpus") for source in sources]
    rows["rtfloor"] = [source.facts.get("rtfloor") for source in sources]
    rows["machine"] = [source.noise.sentence for source in sources]
    return {name: tuple(map(_said, values)) for name, values in rows.items() if len(set(map(_said, values))) > 1}


def refusals(base: CellSummary, other: CellSummary) -> Iterator[str]:
    """Why two cells of the same name must not be compared; nothing where they may."""
    for digest, what in (("model_sha256", "the graph of the form"), ("called_sha256", "the graph that is called")):
        ours, theirs = base.spec.get(digest), other.spec.get(digest)
        if ours and theirs and ours != theirs:
            yield f"{what} is another one ({ours[:12]} and {theirs[:12]})"
            break
    if (base.audio_s is None) != (other.audio_s is None):
        yield "only one says how much audio a call answers for"
    elif not math.isclose(base.audio_s or 0.0, other.audio_s or 0.0, rel_tol=AUDIO_ALIKE):
        yield f"a call answers for {base.audio_s:.6g} s of audio in one, for {other.audio_s:.6g} s in the other"
    if base.precision_ran and other.precision_ran and base.precision_ran != other.precision_ran:
        yield f"one computed in {base.precision_ran}, the other in {other.precision_ran}"
    ours, theirs = base.device, other.device
    if ours and theirs and ours.partition(":")[0] != theirs.partition(":")[0]:
        yield f"one ran on {ours}, the other on {theirs}"


def _pair(base: CellSummary, other: CellSummary, number: int) -> Pair:
    refused = tuple(refusals(base, other))
    notes = tuple(_notes(base, other))
    if refused or base.p50_ms is None or other.p50_ms is None:
        return Pair((base, other), number, None, None, "", refused, notes)
    found = log_ratio_interval(_moved(base, other), base.medians_ns)
    if found is None:
        return Pair((base, other), number, other.p50_ms / base.p50_ms, None, NO_INTERVAL, (), notes)
    ratio, interval = found
    return Pair((base, other), number, ratio, interval, SAME, (), notes)


def _judged(pairs: Sequence[Pair]) -> list[Pair]:
    """Verdicts that allow for how many there are (Holm 1979).

    Whoever can be told apart at the level of all n leaves fewer for those that are left, until none can be.
    """
    left = {place for place, pair in enumerate(pairs) if pair.interval is not None}
    tested = len(left)
    apart: set[int] = set()
    while left:
        confidence = 1 - WRONG_MOST / len(left)
        found = {place for place in left if not _holds_one(_interval_at(pairs[place], confidence))}
        if not found:
            break
        apart |= found
        left -= found
    judged = []
    for place, pair in enumerate(pairs):
        if place in apart:
            judged.append(replace(pair, verdict=FASTER if (pair.ratio or 1.0) < 1 else SLOWER))
        elif pair.interval is not None and not _holds_one(pair.interval):
            judged.append(
                replace(pair, notes=(*pair.notes, f"its interval alone would tell; of {tested} it may be chance"))
            )
        else:
            judged.append(pair)
    return judged


def _holds_one(interval: Interval | None) -> bool:
    return interval is None or interval.low <= 1 <= interval.high


def _interval_at(pair: Pair, confidence: float) -> Interval | None:
    base, other = pair.cells
    found = log_ratio_interval(_moved(base, other), base.medians_ns, confidence)
    return None if found is None else found[1]


def _moved(base: CellSummary, other: CellSummary) -> dict[int, float]:
    """Medians of the other with numbers of no round of the base.

    A round's number means nothing in another run: without numbers in common, the two are compared unpaired.
    """
    beyond = max(base.medians_ns, default=0) + 1
    return {beyond + place: median for place, median in enumerate(other.medians_ns.values())}


def _notes(base: CellSummary, other: CellSummary) -> Iterator[str]:
    if base.version != other.version:
        yield f"version {base.version} and {other.version}"
    ours, theirs = (dict(cell.spec.get("options", {})) for cell in (base, other))
    for option in sorted(ours.keys() & theirs.keys()):
        if ours[option] != theirs[option]:
            yield f"{option} is {ours[option]} and {theirs[option]}"
    for cell, where in ((base, "base"), (other, "other")):
        if cell.status != "ok":
            yield f"{cell.status} in the {where}: {cell.reason}"
    if base.threads_used is not None and other.threads_used is not None and base.threads_used != other.threads_used:
        yield f"{base.threads_used} and {other.threads_used} threads ran"


def _same_run(one: Source, other: Source) -> bool:
    """Whether two files hold one run, or the same at an earlier time: one beginning, and no process that differs."""
    beginnings = [
        (source.facts.get("created"), source.facts.get("seed"), source.host.get("fingerprint"))
        for source in (one, other)
    ]
    if None in beginnings[0][:2] or beginnings[0] != beginnings[1]:
        return False
    if {_identity(cell) for cell in one.cells} != {_identity(cell) for cell in other.cells}:
        return False
    ours, theirs = (set(map(_process, source.records)) for source in (one, other))
    return bool(ours and theirs) and (ours <= theirs or theirs <= ours)


def _identity(cell: CellSummary) -> tuple[str, Key]:
    return cell.cell, _key(cell)


def _process(record: Record) -> tuple[str, int, str, str, bytes]:
    return record.cell, record.round, record.started_at, repr(record.facts), record.wall_ns.tobytes()


def _keyed(sources: Sequence[Source]) -> list[dict[Key, CellSummary]]:
    """Cells of each run by what is asked of them, whatever the version that answers.

    Only where a run asks the same of several versions does the version count, and then their order.
    """
    grouped: list[dict[Key, list[CellSummary]]] = []
    for source in sources:
        groups: dict[Key, list[CellSummary]] = defaultdict(list)
        for cell in source.cells:
            groups[_key(cell)].append(cell)
        grouped.append(groups)
    several = {key for groups in grouped for key, cells in groups.items() if len(cells) > 1}
    return [
        {
            key: cell
            for plain, cells in groups.items()
            for key, cell in (_numbered(plain, cells) if plain in several else [(plain, cells[0])])
        }
        for groups in grouped
    ]


def _numbered(key: Key, cells: Sequence[CellSummary]) -> Iterator[tuple[Key, CellSummary]]:
    seen: Counter[str] = Counter()
    for cell in cells:
        version = str(cell.spec.get("version"))
        seen[version] += 1
        yield (*key[:-1], (*key[-1], ("version", version), ("number", str(seen[version])))), cell


def _key(cell: CellSummary) -> Key:
    spec = cell.spec
    given = dict(spec.get("options", {}))
    options = tuple(sorted((str(name), str(given.get(name))) for name in spec.get("changed", ())))
    return (
        str(spec["model"]),
        str(spec["form"]),
        str(spec["runtime"]),
        str(spec["layout"]),
        int(spec["threads"]),
        options,
    )


def _only(keyed: Sequence[Mapping[Key, CellSummary]]) -> Iterator[tuple[CellSummary, ...]]:
    for number, cells in enumerate(keyed):
        others: set[Key] = set().union(*(set(other) for place, other in enumerate(keyed) if place != number))
        yield tuple(cell for key, cell in cells.items() if key not in others)


def _nothing(sources: Sequence[Source], pairs: Sequence[Pair]) -> str:
    names = " and ".join(source.name for source in sources)
    if pairs:
        reasons: dict[str, list[str]] = defaultdict(list)
        for pair in pairs:
            reasons["; ".join(pair.refused or pair.notes) or "neither has a time"].append(pair.cells[0].cell)
        said = ". ".join(
            f"{cells[0]}{f' and {len(cells) - 1} more' if cells[1:] else ''}: {reason}"
            for reason, cells in reasons.items()
        )
        return f"{names} cannot be compared. {said}"
    for one, other in combinations(sources, 2):
        axes = {
            "models": [_set(source, "model") for source in (one, other)],
            "forms": [_set(source, "form") for source in (one, other)],
            "runtimes": [_set(source, "runtime") for source in (one, other)],
            "signals": [{signal(cell.spec["layout"]) for cell in source.cells} for source in (one, other)],
            "threads": [_set(source, "threads") for source in (one, other)],
        }
        apart = [f"{name} {_list(a)} and {_list(b)}" for name, (a, b) in axes.items() if not a & b]
        if apart:
            return f"{names} have no cell in common: {'; '.join(apart)}"
    return f"{names} have no cell in common: model, form, runtime, layout, threads and options are never all the same"


def _set(source: Source, axis: str) -> set[str]:
    return {str(cell.spec[axis]) for cell in source.cells}


def _list(values: set[str]) -> str:
    return ", ".join(sorted(values))


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
