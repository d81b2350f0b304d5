"""A report as files: one HTML page, and the same as Markdown, JSON, CSV and pictures.

pandas takes long to load, so only those who write CSV pay for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reports import budgets, compare, duel, effects, forms, gate, gpu, kept, ladder_steps, tuned, words, work
from reports.answer import answer, headline
from reports.charts import canvas
from reports.charts.chart import distinct
from reports.charts.every import SECTIONS, charts
from reports.charts.ratios import ratios
from reports.document import document_of, finite
from reports.floor import markdown as floor_markdown
from reports.floor import run_views
from reports.page import page, several
from results.gate import of_run as of_gate
from results.runfile import RunFile
from results.tuned import of_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from reports.charts.chart import Chart
    from reports.compare import Comparison
    from reports.source import Source

FORMATS = ("html", "md", "json", "csv", "svg", "png")
PAGE = "index.html"


@dataclass
class Written:
    """Files that were written, in order; the page first.

    Attributes:
        folder: in which they lie.
        paths: the files.
    """

    folder: Path
    paths: list[Path] = field(default_factory=list)

    def text(self, name: str, content: str) -> None:
        """Write one text file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
        self.paths.append(path)


def one_run(source: Source, folder: Path, formats: Sequence[str] = FORMATS, *, samples: bool = False) -> Written:
    """Write the report of one run.

    Args:
        source: the run.
        folder: is made; files of the same names are replaced, and those of another run's report go.
        formats: of :data:`FORMATS`.
        samples: also write every timed call as ``samples.csv``.
    """
    written = Written(folder)
    views = run_views(source.cells, source.floors, f"run {source.name}")
    drawn = charts(source, views)
    if "html" in formats:
        written.text(PAGE, page.page(source, drawn))
    if "md" in formats:
        shown = drawn if "svg" in formats else {}
        written.text("report.md", markdown(source, shown))
    if "json" in formats:
        written.text("report.json", _json(_document(source)))
    with RunFile.read(source.path) as run:
        if "csv" in formats:
            from results.frames import frame_of_cells, processes_frame

            cells = frame_of_cells(source.cells, source.facts, source.name)
            written.text("cells.csv", cells.to_csv(index=False))
            written.text("processes.csv", processes_frame(run).to_csv(index=False))
            _effects_csv([source], written)
        if samples:
            from results.frames import samples_frame

            written.text("samples.csv", samples_frame(run).to_csv(index=False))
    _pictures([chart for section in SECTIONS for chart in drawn[section]], written, formats)
    kept.clear(folder, written.paths, [_identity(source)], formats)
    return written


def several_runs(sources: Sequence[Source], folder: Path, formats: Sequence[str] = FORMATS) -> Written:
    """Write the report of several runs beside the first; arguments as in :func:`one_run`.

    Raises:
        CompareError: nothing in them can be compared.
    """
    comparison = compare.compare(sources)
    sources = comparison.sources
    written = Written(folder)
    drawn = distinct([chart for other in range(1, len(sources)) if (chart := ratios(comparison, other)) is not None])
    if "html" in formats:
        written.text(PAGE, several.page(comparison, drawn))
    if "md" in formats:
        written.text("report.md", comparison_markdown(comparison))
    if "json" in formats:
        documents = [_document(source) for source in sources]
        written.text("report.json", _json({"runs": documents, "comparison": comparison_entry(comparison)}))
    if "csv" in formats:
        import pandas as pd

        from results.frames import frame_of_cells

        frames = [frame_of_cells(source.cells, source.facts, source.name) for source in sources]
        written.text("cells.csv", pd.concat(frames, ignore_index=True).to_csv(index=False))
        written.text("comparison.csv", pd.DataFrame(comparison_entry(comparison)["pairs"]).to_csv(index=False))
        _effects_csv(sources, written)
    _pictures(drawn, written, formats)
    kept.clear(folder, written.paths, [_identity(source) for source in sources], formats)
    return written


def _effects_csv(sources: Sequence[Source], written: Written) -> None:
    """Effects of sweeps, where there are any."""
    rows = [row for one in sources for row in effects.csv_rows(effects.views(one.facts, one.cells), one.name)]
    if rows:
        import pandas as pd

        written.text("effects.csv", pd.DataFrame(rows).to_csv(index=False))


def _identity(source: Source) -> str:
    """What tells a run from others, wherever its file lies."""
    return f"{source.path.stem} {source.facts.get('created')} {source.facts.get('seed')}"


def _document(source: Source) -> dict[str, Any]:
    found = document_of(str(source.path), source.facts, source.cells, source.records)
    return found | {"report": json_entry(source)}


def json_entry(source: Source) -> dict[str, Any]:
    """What a report says beyond the run's document: the budgets of each cell."""
    cells = {}
    for cell in source.cells:
        cells[cell.cell] = {
            "budgets": {
                one.budget.name: {"most_ms": one.budget.most_ms, "p50": one.p50, "p99": one.p99, "origin": "published"}
                for one in budgets.standings(cell)
            }
            if cell.status == "ok"
            else None,
        }
    return {"cells": cells, "origins": {"cells": "measured", "budgets": "published", "floors": "derived"}}


def comparison_entry(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON values."""
    names = [source.name for source in comparison.sources]
    return {
        "base": names[0],
        "same_host": comparison.same_host,
        "verdicts_allow_for": comparison.tested,
        "differences": {name: list(values) for name, values in comparison.differences.items()},
        "pairs": [
            {
                "cell": pair.cells[0].cell,
                "run": names[pair.other],
                "base_p50_ms": pair.cells[0].p50_ms,
                "p50_ms": pair.cells[1].p50_ms,
                "ratio": pair.ratio,
                "ratio_low": None if pair.interval is None else pair.interval.low,
                "ratio_high": None if pair.interval is None else pair.interval.high,
                "verdict": pair.verdict or None,
                "refused": "; ".join(pair.refused) or None,
                "notes": "; ".join(pair.notes) or None,
                "origin": "derived" if pair.ratio is not None else None,
            }
            for pair in comparison.pairs
        ],
        "only": {name: [cell.cell for cell in cells] for name, cells in zip(names, comparison.only, strict=True)},
    }


def markdown(source: Source, drawn: Mapping[str, Sequence[Chart]]) -> str:
    """One run in Markdown, in the order of the page.

    Args:
        source: the run.
        drawn: charts to link to, by section; they lie in ``charts/`` beside the file.
    """
    facts = source.facts
    said = headline(source.title, source.noise, facts.get("status"), facts.get("ended_by")).split("\n")
    parts = [f"# {said[0]}", "", *said[1:], "", "## The answer", ""]
    parts += [f"- {line.strip()}" for line in answer(source.cells)]
    if (gated := of_gate(facts, source.cells, source.records)) is not None:
        parts += ["", "## The gate's verdict", "", *_links(drawn, "gate"), gate.markdown(gated)]
    if climbed := ladder_steps.page(facts, source.cells):
        parts += ["", "## Step by step", "", *_links(drawn, "steps"), climbed]
    swept = effects.views(facts, source.cells)
    if swept:
        parts += ["", "## What matters", "", *_links(drawn, "effects"), "\n\n".join(map(effects.markdown, swept))]
    if (search := of_run(facts, source.cells, source.records)) is not None:
        parts += ["", "## What the search found", ""]
        parts += [f"- {line.strip()}" for line in tuned.sentences(search, source.cells)]
        if code := (tuned.snippet_of(search, facts) or {}).get("python"):
            parts += ["", "```python", code.rstrip(), "```"]
    parts += ["", "## Ladder", "", *_links(drawn, "ladder"), *_cells_table(source)]
    views = run_views(source.cells, source.floors, f"run {source.name}")
    parts += ["", "## Distance from the floor", "", *_links(drawn, "floor")]
    if views:
        parts += [floor_markdown(view) for view in views]
    else:
        reasons = sorted({source.floors.why_not(cell) for cell in source.cells if source.floors.of(cell) is None})
        parts += [f"Not known: {'; '.join(reasons)}."]
    for section in ("tails", "samples", "phases", "layouts"):
        parts += _links(drawn, section)
    rewrites = forms.markdown(source.cells)
    if rewrites:
        parts += ["", "## Quality against latency", "", *_links(drawn, "quality"), rewrites]
    seen = gpu.markdown(source.cells)
    if seen:
        parts += [
            "",
            "## What the GPU does in a call",
            "",
            *(f"- {line}" for line in duel.sentences(source.cells)),
            "",
            seen,
        ]
    rows = work.work_rows(source.cells)
    if rows:
        parts += ["", "## Work per second of audio", "", work.markdown(rows)]
    parts += ["", "## Again", "", f"    {facts.get('command')}", ""]
    parts += [f"Run `{source.path.name}`, seed {facts.get('seed')}, {facts.get('created')} (UTC), on"]
    parts += [
        f"{source.host.get('cpu')} (host {source.host.get('fingerprint')}). Times are measured; floors are derived."
    ]
    return "\n".join(parts).rstrip() + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """Several runs in Markdown."""
    names = [source.name for source in comparison.sources]
    parts = [f"# {' beside '.join(reversed(names))}", ""]
    parts += [f"- {several.sentence(comparison, other)}" for other in range(1, len(names))]
    if comparison.same_host is None:
        parts += ["- not known: whether these runs were made on one machine"]
    elif not comparison.same_host:
        parts += ["- the machines differ: no samples are pooled"]
    if comparison.tested > 1:
        parts += [f"- verdicts allow for {comparison.tested} comparisons (Holm); each interval is one of 95 %"]
    parts += ["", "| cell | run | base | here | ratio | 95 % interval | verdict |", "|---|---|---:|---:|---:|---|---|"]
    for pair in comparison.pairs:
        interval = words.NOTHING if pair.interval is None else f"{pair.interval.low:.3f} to {pair.interval.high:.3f}"
        figures = [words.milliseconds(cell.p50_ms) for cell in pair.cells]
        ratio = words.NOTHING if pair.ratio is None else f"{pair.ratio:.3f}"
        verdict = f"refused: {'; '.join(pair.refused)}" if pair.refused else pair.verdict or words.NOTHING
        row = [pair.cells[0].cell, names[pair.other], *figures, ratio, interval, verdict]
        parts.append(_table_row(row))
    parts += ["", f"| what differs | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    parts += [_table_row([what, *values]) for what, values in comparison.differences.items()]
    return "\n".join(parts) + "\n"


def _cells_table(source: Source) -> list[str]:
    head = ["race", "cell", "p50", "±", "p99", "RTF ↓", "cold", "error", "status"]
    rows = [_table_row(head), "|---|---|" + "---:|" * 5 + "---|---|"]
    for cell in source.cells:
        failed = f"{cell.status}: {cell.reason}"
        rows += [
            _table_row(
                [
                    words.race(cell.race),
                    cell.cell,
                    words.milliseconds(cell.p50_ms),
                    words.spread(cell),
                    words.milliseconds(cell.p99_ms),
                    words.NOTHING if cell.rtf is None else words.digits(cell.rtf),
                    words.milliseconds(cell.cold_ms),
                    words.error(cell),
                    cell.status if cell.status == "ok" else failed,
                ]
            )
        ]
    return rows


def _table_row(values: Sequence[str]) -> str:
    # A pipe would end its column, and a newline its row; markup of others is no markup here.
    safe = [words.markdown(value) for value in values]
    return f"| {' | '.join(safe)} |"


def _links(drawn: Mapping[str, Sequence[Chart]], section: str) -> list[str]:
    found = []
    for chart in drawn.get(section, ()):
        title = " ".join(chart.title.split()).replace("[", "\\[").replace("]", "\\]").replace("<", "&lt;")
        found += [f"![{title}](charts/{chart.name}.svg)", ""]
    return found


def _pictures(drawn: Sequence[Chart], written: Written, formats: Sequence[str]) -> None:
    names = [chart.name for chart in drawn]
    assert len(set(names)) == len(names), "a chart would take another's place"
    folder = written.folder / "charts"
    if drawn and {"svg", "png"} & set(formats):
        folder.mkdir(parents=True, exist_ok=True)
    for chart in drawn:
        for ending in ("svg", "png"):
            if ending in formats:
                path = folder / f"{chart.name}.{ending}"
                if ending == "svg":
                    canvas.svg(chart.figure, path, drawn=chart.drawn)
                else:
                    canvas.png(chart.figure, path)
                written.paths.append(path)


def _json(entry: Any) -> str:
    return json.dumps(finite(entry), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
