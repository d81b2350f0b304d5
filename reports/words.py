"""Figures in words: the same digits and units wherever they are shown."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.summary import CellSummary

NOTHING = "–"


def milliseconds(value: float | None) -> str:
    """A time with three significant digits, in µs below a tenth of a millisecond."""
    if value is None:
        return NOTHING
    if value < 0.1:
        return f"{digits(value * 1000)} µs"
    return f"{digits(value)} ms" if value < 10_000 else f"{digits(value / 1000)} s"


def digits(value: float) -> str:
    """Three significant digits, without an exponent; what is infinite or no number says so."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else "-∞"
    rounded = float(f"{value:.3g}")
    if rounded == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{value:.{places}f}"


# Leading figures of a text, with what they are of: 0.510 µs, 1,234, 2.5 ×, ±3 %, 0.9 to 1.1, 60 dB.
_QUANTITY = re.compile(
    r"[±+]?(-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?)(?: ?(µs|ms|s|dB|×|%))?(?![\w.])(.*)", re.DOTALL
)
_SIZES = {"µs": ("s", 1e-6), "ms": ("s", 1e-3), "s": ("s", 1.0)}
_TAILS = ("", ",", " to ", " ±", " dB")


def quantity(text: str) -> tuple[str, float] | None:
    """What a text of a table is worth: its unit, and its size in that unit; None where it is no figure.

    Times come in seconds, whatever their prefix. Of an interval it is the lower end, and the unit may stand at
    its upper end.
    """
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or not any(found[3] == tail or (tail and found[3].startswith(tail)) for tail in _TAILS):
        return {"fastest": ("×", 1.0), "exact": ("dB", math.inf)}.get(text.strip())
    unit, factor = _SIZES.get(found[2] or "", (found[2] or "", 1.0))
    return unit, float(found[1].replace(",", "")) * factor


def gap(value: float | None) -> str:
    """How many times the floor; a time below its floor is no gap but a mistake somewhere."""
    if value is None:
        return NOTHING
    return f"{digits(value)} ×" if value >= 1 else "below: wrong"


def spread(cell: CellSummary) -> str:
    """The p50 interval as ± percent; nothing where there is none."""
    if cell.p50_ci_ms is None:
        return ""
    share = cell.half_width * 100
    return f"±{share:.1f} %" if share < 10 else f"±{share:.0f} %"


def layout(cell: CellSummary) -> str:
    """``par 1‖1`` with the threads of each side; other layouts by name."""
    name = str(cell.spec["layout"])
    each = max(int(cell.spec["threads"]) // 2, 1)
    return f"{name} {each}‖{each}" if name == "par" else name


def runtime(cell: CellSummary) -> str:
    """Runtime, version, changed options, and what else tells the cell from its neighbours."""
    options: dict[str, Any] = dict(cell.spec.get("options", {}))
    changed = [f"{name}={_text(options[name])}" for name in cell.spec.get("changed", ())]
    placement, copy = cell.spec.get("placement", "free"), cell.spec.get("copy", 0)
    changed += [f"placement={placement}"] if placement != "free" else []
    changed += [f"copy={copy}"] if copy else []
    return " ".join([engine(str(cell.spec["runtime"]), cell.version), *changed])


def named(cell: CellSummary) -> str:
    """A cell among those of its race: runtime, form and layout."""
    return f"{runtime(cell)} {cell.spec['form']} {layout(cell)}"


def engine(runtime: str, version: str | None) -> str:
    """A runtime with its version, which a named one has in its name."""
    return runtime if not version or runtime.endswith(f"@{version}") else f"{runtime} {version}"


def changes(cell: CellSummary) -> list[str]:
    """Changed options as short as a chart wants them: switches by name, choices by value, but no precision that ran."""
    options: dict[str, Any] = dict(cell.spec.get("options", {}))
    found = []
    for name in cell.spec.get("changed", ()):
        value = options.get(name)
        if isinstance(value, bool):
            found.append(name if value else f"no {name}")
        elif not (name == "precision" and value == cell.precision_ran):
            found.append(value if isinstance(value, str) else f"{name}={value}")
    return found


def threads(cell: CellSummary) -> str:
    """Threads that ran, of those allowed."""
    used = NOTHING if cell.threads_used is None else str(cell.threads_used)
    return f"{used}/{cell.spec['threads']}"


def error(cell: CellSummary) -> str:
    """Largest error against the right answer, with the signal-to-error ratio."""
    if cell.max_abs_error is None:
        return NOTHING
    ratio = "" if cell.snr_db is None or math.isnan(cell.snr_db) else f"{cell.snr_db:.0f} dB"
    if not math.isfinite(cell.max_abs_error):
        return digits(cell.max_abs_error)
    return f"{cell.max_abs_error:.1e} {ratio}".strip() if cell.max_abs_error else "exact"


def beside_raw(cell: CellSummary) -> str:
    """Quality beside the form raw: the signal-to-error ratio, and by how much the detector's score moved."""
    found = cell.quality or {}
    ratio, verdict = found.get("snr_db"), found.get("verdict") or {}
    if not found or found.get("mismatch"):
        return NOTHING
    text = f"{ratio:.0f} dB" if ratio is not None else "exact" if found.get("max_abs_error") == 0 else NOTHING
    moved = verdict.get("score_shift")
    if not moved:
        return text
    return f"{text} ΔP {moved:.0e}" + ("" if verdict.get("accepted") else " (!)")


def race(key: tuple[str, str, int]) -> str:
    """What a group of comparable cells has in common."""
    model, signal, budget = key
    return f"{model}, {signal}, {budget} thread{'s' if budget != 1 else ''}"


def markdown(text: str) -> str:
    """A text as part of a Markdown table or list: on one line, and neither the end of a cell nor a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
