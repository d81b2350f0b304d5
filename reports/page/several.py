"""The page of several runs: what changed, what must not be compared, and where the machines differ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reports import words
from reports.page.answer import machine, name, tail
from reports.page.facts import fingerprint, origins_section
from reports.page.html import Html, join, tag
from reports.page.page import document
from reports.page.parts import Section, figures, listed, origin
from reports.page.tables import Column, Value, plain, table
from reports.source import timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.charts.chart import Chart
    from reports.compare import Comparison, Pair
    from reports.source import Source

COLUMNS = (
    Column("model", filter=True),
    Column("runtime", filter=True),
    Column("form", filter=True),
    Column("layout", filter=True),
    Column("threads", number=True),
    Column("run", filter=True),
    Column("p50 in the base", number=True),
    Column("p50 here", number=True),
    Column("ratio", number=True, hint="p50 here over that of the base; below 1 is faster; derived"),
    Column("95 % interval"),
    Column("verdict", filter=True),
    Column("what differs"),
)
REASONS_MOST = 4


def page(comparison: Comparison, charts: Sequence[Chart]) -> str:
    """Several runs as one HTML document.

    Args:
        comparison: of the runs.
        charts: of ratios, one per run beside the base.
    """
    sources = comparison.sources
    sections = [
        _answer(comparison),
        Section("cells", "Cell by cell", join([figures(charts), tag("h3", "All cells"), _cells(comparison)]), "Cells"),
        _refused(comparison),
        _differences(comparison),
        *(_run(source, number) for number, source in enumerate(sources)),
        origins_section(sources[0]),
    ]
    about = tag("p", f"{len(sources)} runs; the first, {sources[0].name}, is the base", class_="muted")
    return document(" beside ".join(source.name for source in reversed(sources)), about, sections)


def sentence(comparison: Comparison, other: int) -> str:
    """What came of one run beside the base."""
    pairs = [pair for pair in comparison.compared if pair.other == other]
    counts = Counter(pair.verdict for pair in pairs)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    here = comparison.sources[other].name
    base = comparison.sources[0].name
    refused = sum(pair.other == other for pair in comparison.refused)
    left = f"; {refused} must not be compared" if refused else ""
    return f"{here} beside {base}: of {len(pairs)} cells {said or 'none could be compared'}{left}"


def _answer(comparison: Comparison) -> Section:
    parts: list[Html] = []
    if comparison.same_host:
        parts.append(tag("p", "All runs were made on one machine."))
    elif comparison.same_host is None:
        text = "Not known: whether these runs were made on one machine. "
        why = "At least one does not say enough of its host, so a ratio may be that of machines."
        parts.append(tag("p", tag("b", text), why, class_="noise loud"))
    else:
        hosts = ", ".join(
            f"{source.name} on {source.host.get('cpu')} ({fingerprint(source)})" for source in comparison.sources
        )
        text = (
            "These are different machines: ratios compare machines and software together, and no samples are pooled. "
        )
        parts.append(tag("p", tag("b", text), hosts, class_="noise loud"))
    parts.append(tag("ul", *(tag("li", sentence(comparison, other)) for other in range(1, len(comparison.sources)))))
    if comparison.tested > 1:
        text = f"Verdicts allow for {comparison.tested} comparisons (Holm); each interval alone is one of 95 %."
        parts.append(tag("p", text, class_="about"))
    noisy = [source.name for source in comparison.sources if not source.noise.quiet]
    if noisy:
        parts.append(
            tag("p", f"Noisy: {', '.join(noisy)}. Small differences are not to be trusted.", class_="noise loud")
        )
    parts.append(_best(comparison))
    return Section("answer", "The answer", join(parts), "Answer")


def _best(comparison: Comparison) -> Html:
    """The fastest of each race in every run."""
    races = list(dict.fromkeys(race for source in comparison.sources for race in source.races))
    columns = [
        Column("race"),
        Column("run", filter=True),
        Column("fastest"),
        Column("p50", number=True),
        Column("±", number=True),
        Column("p99", number=True),
    ]
    rows: list[list[object]] = []
    for race in races:
        for source in comparison.sources:
            right = timed(source.races.get(race, []))
            if right:
                best = right[0]
                rows.append(
                    [
                        words.race(race),
                        source.name,
                        name(best),
                        Value(words.milliseconds(best.p50_ms), best.p50_ms),
                        Value(words.spread(best) or words.NOTHING, None if best.p50_ci_ms is None else best.half_width),
                        Value(words.milliseconds(best.p99_ms), best.p99_ms),
                    ]
                )
    return table(columns, rows, "The fastest cell of each race in every run", filters=len(rows) > 8)


def _cells(comparison: Comparison) -> Html:
    pairs = sorted((pair for pair in comparison.pairs if not pair.refused), key=lambda pair: pair.ratio is None)
    return table(COLUMNS, [_row(comparison, pair) for pair in pairs], "Cells beside the base", filters=True)


def _row(comparison: Comparison, pair: Pair) -> list[object]:
    base, other = pair.cells
    spec = base.spec
    return [
        spec["model"],
        spec["runtime"],
        spec["form"],
        words.layout(base),
        Value(spec["threads"], spec["threads"]),
        comparison.sources[pair.other].name,
        Value(words.milliseconds(base.p50_ms), base.p50_ms),
        Value(words.milliseconds(other.p50_ms), other.p50_ms),
        Value(words.NOTHING if pair.ratio is None else f"{pair.ratio:.3f}", pair.ratio),
        Value(words.NOTHING)
        if pair.interval is None
        else Value(f"{pair.interval.low:.3f} to {pair.interval.high:.3f}", pair.interval.low),
        pair.verdict or words.NOTHING,
        "; ".join(pair.notes) or words.NOTHING,
    ]


def _refused(comparison: Comparison) -> Section:
    parts: list[Html] = []
    if comparison.refused:
        rows = [
            [pair.cells[0].cell, comparison.sources[pair.other].name, "; ".join(pair.refused)]
            for pair in comparison.refused
        ]
        parts.append(plain(("cell", "run", "why not"), rows, "Cells that must not be compared"))
    else:
        parts.append(tag("p", "Every cell that two runs share can be compared."))
    for source, cells in zip(comparison.sources, comparison.only, strict=True):
        if cells:
            shown = plain(("cell", "status"), [(cell.cell, cell.status) for cell in cells], f"Only in {source.name}")
            parts.append(tag("details", tag("summary", f"only in {source.name}: {len(cells)} cells"), shown))
    return Section("refused", "What cannot be compared, and why", join(parts), "Refused")


def _differences(comparison: Comparison) -> Section:
    names = [source.name for source in comparison.sources]
    if not comparison.differences:
        body = tag("p", "Host, packages and settings are the same everywhere.")
    else:
        rows = [(what, *values) for what, values in comparison.differences.items()]
        body = plain(("what", *names), rows, "Differences between runs")
    return Section("differences", "Where runs differ", body, "Differences")


def _run(source: Source, number: int) -> Section:
    best = [timed(cells)[0] for cells in source.races.values() if timed(cells)]
    tails = tag(
        "ul",
        *(tag("li", f"{name(cell)}: {words.milliseconds(cell.p50_ms)}, {tail(cell)}") for cell in best[:REASONS_MOST]),
    )
    bad = sum(cell.status != "ok" for cell in source.cells)
    facts = listed(
        [
            ("host", f"{source.host.get('cpu')} ({fingerprint(source)})"),
            ("measured", f"{source.facts.get('created')} (UTC)"),
            ("cells", f"{len(source.cells)}, {bad} of them without a time"),
            ("run file", tag("code", source.path.name)),
            ("origin", origin("measured", f"run {source.name}")),
        ]
    )
    body = [
        machine(source),
        facts,
        tails,
        tag("p", "Again:"),
        tag("pre", tag("code", source.facts.get("command") or "unknown")),
    ]
    role = "base" if number == 0 else "beside it"
    return Section(f"run{number}", f"{source.title}: {source.name} ({role})", join(body), source.name)
