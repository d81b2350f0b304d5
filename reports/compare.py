"""Several runs beside each other: which cells can be compared, and what came of it.

Runs are never merged. Samples of two runs stay apart, and so do their processes: a cell of one run is beside the same
cell of another, with a ratio whose interval knows that rounds of different runs have nothing in common.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from results.intervals import Interval, log_ratio_interval
from results.summary import signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reports.source import Source
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
        verdict: ``faster``, ``slower``, ``cannot be told apart``, ``no interval``, or ``""`` where there is no ratio.
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
    def same_host(self) -> bool:
        """Whether all runs were made on one machine, as far as it can be told."""
        return len({(source.host.get("fingerprint"), source.host.get("name_sha256")) for source in self.sources}) == 1

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
    paths = [source.path.resolve() for source in sources]
    if len(set(paths)) < len(paths):
        raise CompareError("the same run was named twice; a run is always as fast as itself")
    keyed = [_by_key(source) for source in sources]
    pairs: list[Pair] = []
    for key, base in keyed[0].items():
        pairs += [_pair(base, there[key], other) for other, there in enumerate(keyed) if other and key in there]
    found = Comparison(tuple(sources), tuple(pairs), tuple(_only(keyed)), differences(sources))
    if all(pair.refused for pair in pairs):
        raise CompareError(_nothing(sources, pairs))
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
    # A round's number means nothing in another run: without numbers in common, the two are compared unpaired.
    beyond = max(base.medians_ns, default=0) + 1
    moved = {beyond + place: median for place, median in enumerate(other.medians_ns.values())}
    found = log_ratio_interval(moved, base.medians_ns)
    if found is None:
        return Pair((base, other), number, other.p50_ms / base.p50_ms, None, NO_INTERVAL, (), notes)
    ratio, interval = found
    verdict = FASTER if interval.high < 1 else SLOWER if interval.low > 1 else SAME
    return Pair((base, other), number, ratio, interval, verdict, (), notes)


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


def _by_key(source: Source) -> dict[Key, CellSummary]:
    """Cells by what is asked of them, whatever the version that answers."""
    return {_key(cell): cell for cell in source.cells}


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
            reasons["; ".join(pair.refused)].append(pair.cells[0].cell)
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
