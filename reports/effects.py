"""What a sweep found: which options matter on this machine, by how much, and how large an effect could hide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from reports import words
from results.effects import NO_EFFECT, NOT_MEASURED, AxisEffects, Effect, by_axis, copies, effects
from results.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from results.summary import CellSummary

CONFIDENCE = 0.95
TIMES = " × "
HEAD = ("axis", "value", "default", "ratio", "interval", "verdict", "rounds")
HINTS = {
    "default": "what it is compared with",
    "ratio": "time with the value over time without; of two values together, over what each does alone",
    "interval": "all of this table hold together with 95 %",
    "rounds": "of fresh processes, in which both sides were measured",
}
# So many of a kind are named in a sentence; the table has them all.
NAMED_MOST = 8
REASON_MOST = 160


@dataclass(frozen=True)
class View:
    """One sweep of a run with what it found.

    Attributes:
        sweep: what was asked.
        default: the cell that everything is compared with; None where the run does not have it.
        effects: one per arm, in the sweep's order.
    """

    sweep: Sweep
    default: CellSummary | None
    effects: tuple[Effect, ...]

    @property
    def title(self) -> str:
        """Model, form, runtime, layout and threads of the default."""
        if self.default is None:
            return self.sweep.default
        spec, threads = self.default.spec, int(self.default.spec["threads"])
        budget = f"{threads} thread{'s' if threads != 1 else ''}"
        return f"{spec['model']}, {spec['form']}, {words.runtime(self.default)}, {spec['layout']}, {budget}"

    @cached_property
    def axes(self) -> list[AxisEffects]:
        """Single axes and pairs of them, those that do something first."""
        return by_axis(self.effects)

    @cached_property
    def copies(self) -> list[Effect]:
        """Cells that differ from the default in nothing."""
        return [one for one in copies(self.effects) if one.ratio is not None]

    @cached_property
    def rows(self) -> list[Effect]:
        """Effects as tables have them: what does something, largest first; what cannot be told; what has no time."""
        values = [one for one in self.effects if one.arm.kind != "copy"]
        return [*sorted(values, key=_order), *copies(self.effects)]

    @property
    def band(self) -> tuple[float, float]:
        """The least and the largest ratio of cells that are equal; 1 and 1 without copies."""
        ratios = [1.0, *(one.ratio for one in self.copies if one.ratio is not None)]
        return min(ratios), max(ratios)


def views(facts: Mapping[str, Any], cells: Sequence[CellSummary]) -> list[View]:
    """Every sweep of a run; none where it was no sweep, or older than sweeps.

    Args:
        facts: of the run.
        cells: its summaries.
    """
    by_id = {cell.cell: cell for cell in cells}
    found = map(Sweep.from_json, (facts.get("plan") or {}).get("sweeps") or ())
    return [View(one, by_id.get(one.default), tuple(effects(one, by_id, CONFIDENCE))) for one in found]


def sentences(view: View) -> list[str]:
    """What a sweep found, the most important first."""
    return list(_sentences(view))


def label(effect: Effect) -> str:
    """An arm as a user would type it: ``threads=1``, and of two values together ``threads=1 × layout=par``."""
    axis, value = effect.arm.axis, effect.arm.value
    names, values = axis.split(TIMES), value.split(TIMES)
    if effect.arm.kind == "pair" and len(names) == len(values):
        return TIMES.join(f"{name}={one}" for name, one in zip(names, values, strict=True))
    return f"copy {value}" if effect.arm.kind == "copy" else f"{axis}={value}"


def ratio(value: float) -> str:
    """A ratio with three digits, and three decimals where it is close to 1."""
    return f"{value:.3f}" if abs(value - 1) < 0.1 else words.digits(value)


def interval(effect: Effect) -> str:
    """Both ends, or nothing."""
    ends = effect.interval
    return words.NOTHING if ends is None else f"{ratio(ends.low)} to {ratio(ends.high)}"


def percent(share: float) -> str:
    """A share as ± percent."""
    return f"±{share * 100:.1f} %" if share < 0.1 else f"±{share * 100:.0f} %"


def verdict(effect: Effect) -> str:
    """The verdict with what limits it."""
    if effect.verdict == NOT_MEASURED:
        return f"{NOT_MEASURED}: {_short(effect.reason)}"
    if effect.verdict == NO_EFFECT:
        text = f"{NO_EFFECT} beyond {percent(effect.hidden or 0.0)}"
    else:
        text = f"{effect.verdict}, by less than 1 %" if effect.negligible else effect.verdict
    return f"{text} ({_short(effect.reason)})" if effect.reason else text


def columns(view: View, effect: Effect) -> list[str]:
    """An effect under :data:`HEAD`."""
    return [
        effect.arm.axis,
        effect.arm.value,
        default_of(view, effect.arm.axis),
        words.NOTHING if effect.ratio is None else ratio(effect.ratio),
        interval(effect),
        verdict(effect),
        str(effect.rounds or words.NOTHING),
    ]


def default_of(view: View, axis: str) -> str:
    """What an axis is in the default cell; nothing where that is not known."""
    if view.default is None:
        return words.NOTHING
    spec = view.default.spec
    known = {**{name: spec.get(name) for name in ("layout", "threads")}, **spec.get("options", {})}
    known["placement"] = spec.get("placement", "free")
    found = [known.get(name) for name in axis.split(TIMES)]
    if any(value is None for value in found):
        return words.NOTHING
    return TIMES.join(str(value).lower() if isinstance(value, bool) else str(value) for value in found)


def table(view: View) -> Table:
    """For a terminal."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(view.title), title_justify="left")
    for name in HEAD:
        right = name in {"ratio", "rounds"}
        whole = right or name == "interval"
        drawn.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    for one in view.rows:
        style = "bold" if one.told_apart else "dim" if one.verdict == NOT_MEASURED or one.arm.kind == "copy" else None
        drawn.add_row(*(Text(value) for value in columns(view, one)), style=style)
    for axis, value, why in view.sweep.left_out:
        drawn.add_row(*map(Text, (axis, value, default_of(view, axis), *_left_out(why))), style="dim")
    return drawn


def markdown(view: View) -> str:
    """The same for a page: sentences, then the table."""
    rule = "|" + "".join("---:|" if name in {"ratio", "rounds"} else "---|" for name in HEAD)
    lines = [f"### {words.markdown(view.title)}", "", *(f"- {words.markdown(line)}" for line in sentences(view)), ""]
    lines += [f"| {' | '.join(HEAD)} |", rule]
    lines += [_row(columns(view, one)) for one in view.rows]
    lines += [_row((axis, value, default_of(view, axis), *_left_out(why))) for axis, value, why in view.sweep.left_out]
    return "\n".join(lines)


def entry(view: View) -> dict[str, Any]:
    """One sweep as JSON values; null where there is no honest value. Ratios are of times: below 1 is faster."""
    spec: Mapping[str, Any] = {} if view.default is None else view.default.spec
    return {
        "kind": view.sweep.kind,
        "default": view.sweep.default,
        "default_p50_ms": None if view.default is None else view.default.p50_ms,
        **{name: spec.get(name) for name in ("model", "form", "runtime")},
        "copies": list(view.sweep.copies),
        "copies_ratio_low": view.band[0] if view.copies else None,
        "copies_ratio_high": view.band[1] if view.copies else None,
        "confidence": CONFIDENCE,
        "effects": [arm_entry(view, one) for one in view.effects],
        "axes": [_axis_entry(one) for one in view.axes],
        "left_out": [{"axis": axis, "value": value, "reason": why} for axis, value, why in view.sweep.left_out],
        "sentences": sentences(view),
        "origin": "derived",
    }


def arm_entry(view: View, effect: Effect) -> dict[str, Any]:
    """One effect as JSON values, and a row of ``effects.csv``."""
    ends = effect.interval
    return {
        "axis": effect.arm.axis,
        "value": effect.arm.value,
        "kind": effect.arm.kind,
        "default_value": None if (known := default_of(view, effect.arm.axis)) == words.NOTHING else known,
        "verdict": effect.verdict,
        "ratio": effect.ratio,
        "ratio_low": None if ends is None else ends.low,
        "ratio_high": None if ends is None else ends.high,
        "largest_hidden_share": effect.hidden if effect.verdict == NO_EFFECT else None,
        "within_one_percent": None if ends is None else effect.negligible,
        "detectable_ratio": effect.detectable,
        "rounds": effect.rounds,
        "contrasts": effect.contrasts,
        "contrasts_asked": len(effect.arm.contrasts),
        "reason": effect.reason or None,
    }


def csv_rows(found: Sequence[View], run: str) -> list[dict[str, Any]]:
    """Rows of ``effects.csv``: every effect of every sweep, with what it belongs to."""
    rows = []
    for view in found:
        shared = {name: value for name, value in entry(view).items() if name in {"model", "form", "runtime", "default"}}
        rows += [{"run": run, **shared, **arm_entry(view, one), "origin": "derived"} for one in view.effects]
    return rows


def _sentences(view: View) -> Iterator[str]:
    single = [axis for axis in view.axes if axis.kind != "pair"]
    tried = [axis for axis in single if axis.measured]
    matter = [axis for axis in tried if axis.told_apart]
    if not tried:
        yield "no axis has an effect that was measured"
    elif matter:
        named = _listed([_acts(axis) for axis in matter])
        yield f"of {_axes(len(tried))}, {len(matter)} mattered on this machine: {named}"
    else:
        yield f"of {_axes(len(tried))}, none was seen to matter on this machine"
    quiet = [axis for axis in tried if not axis.told_apart]
    hidden = [axis.hidden for axis in quiet if axis.hidden is not None]
    if hidden:
        most = percent(max(hidden))
        typical = percent(sorted(hidden)[len(hidden) // 2])
        half = f", {typical} for half of them" if typical != most else ""
        yield f"{len(quiet)} cannot be told from nothing: what could hide is {most} at most{half}"
    yield from _together([axis for axis in view.axes if axis.kind == "pair" and axis.measured])
    yield from _check(view)
    without = [one for one in view.effects if one.verdict == NOT_MEASURED and one.arm.kind != "copy"]
    if without:
        named = _listed([f"{label(one)} ({_short(one.reason)})" for one in without])
        yield f"not measured: {named}"
    if view.sweep.left_out:
        named = _listed([f"{axis}={value} ({_short(why)})" for axis, value, why in view.sweep.left_out])
        yield f"not tried: {named}"


def _acts(axis: AxisEffects) -> str:
    """What an axis does: the value that does most, and where another goes the other way that as well."""
    first, *others = axis.told_apart
    shown = [first, *(one for one in others if one.verdict != first.verdict)][:2]
    more = len(axis.told_apart) - len(shown)
    text = " and ".join(
        f"{label(one)} {ratio(one.ratio or 1.0)} × the time ({interval(one)}{_little(one)})" for one in shown
    )
    return f"{text}, and {more} more of its values" if more else text


def _little(effect: Effect) -> str:
    return ", less than 1 %" if effect.negligible else ""


def _together(pairs: Sequence[AxisEffects]) -> Iterator[str]:
    if not pairs:
        return
    found = [one for axis in pairs for one in axis.told_apart]
    count = sum(len(axis.measured) for axis in pairs)
    if not found:
        yield f"of {count} pairs of values, none was seen to do more or less together than each alone"
        return
    named = _listed(
        [
            f"{label(one)} {ratio(one.ratio or 1.0)} × what each alone would give ({interval(one)})"
            for one in sorted(found, key=lambda one: -one.size)
        ]
    )
    yield f"of {count} pairs of values, {len(found)} act on each other: {named}"


def _check(view: View) -> Iterator[str]:
    """What cells say that differ in nothing."""
    if not view.copies:
        return
    widest = max(view.copies, key=lambda one: one.size)
    apart = percent(abs((widest.ratio or 1.0) - 1)).removeprefix("±")
    many = len(view.copies) > 1
    cells = f"{len(view.copies) + 1} identical cells" if many else "two identical cells"
    told = [one for one in view.copies if one.told_apart]
    if told:
        yield (
            f"the check failed: {label(told[0])} differs from the default in nothing and seems {told[0].verdict} "
            f"({interval(told[0])}); measure again on a quieter machine before believing small effects"
        )
        return
    yield f"check: {cells} differed by {apart}{' at most' if many else ''}, and none was told apart"


def _order(effect: Effect) -> tuple[bool, bool, float]:
    return effect.ratio is None, not effect.told_apart, -effect.size


def _axes(count: int) -> str:
    return f"{count} axes" if count != 1 else "1 axis"


def _listed(found: Sequence[str]) -> str:
    more = f"; and {len(found) - NAMED_MOST} more" if len(found) > NAMED_MOST else ""
    return "; ".join(found[:NAMED_MOST]) + more


def _short(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= REASON_MOST else f"{text[: REASON_MOST - 1]}…"


def _left_out(why: str) -> tuple[str, ...]:
    return words.NOTHING, words.NOTHING, f"not tried: {_short(why)}", words.NOTHING


def _row(values: Sequence[str]) -> str:
    return f"| {' | '.join(words.markdown(value) for value in values)} |"


def _axis_entry(axis: AxisEffects) -> dict[str, Any]:
    found = axis.measured
    return {
        "axis": axis.axis,
        "kind": axis.kind,
        "matters": bool(axis.told_apart) if found else None,
        "fastest": {"value": found[0].arm.value, "ratio": found[0].ratio} if found else None,
        "slowest": {"value": found[-1].arm.value, "ratio": found[-1].ratio} if found else None,
        "told_apart": [one.arm.value for one in axis.told_apart],
        "largest_hidden_share": axis.hidden,
    }
