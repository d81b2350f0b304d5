"""From published rows to verdicts: what can be recomputed is, and every verdict is compared with the expected one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from results.audit.lock import ADDED
from results.audit.rules import RULES
from results.errors import PublishedError
from results.published.figure import with_unit
from results.published.printed import Interval, exactly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from results.published.figure import Check, Row

    # Model of the zoo to its facts, such as {"rt48": {"parameters": 117032}}.
    Zoo = Mapping[str, Mapping[str, float]]

# A model rebuilt without its layer table counts as the same within this share of a published count.
REBUILT_WITHIN = 0.02
AGREES, CONTRADICTS, MEASURED, CANNOT = "agrees", "contradicts", "measured", "cannot"


@dataclass(frozen=True)
class Finding:
    """The verdict on one row.

    Attributes:
        row: the figure.
        verdict: ``agrees``, ``contradicts``, ``measured`` (rtfloor measures something comparable) or ``cannot``.
        shown: the recomputation, the command, or what it would need; for people.
        changed: keys that differ from what was checked against the source.
    """

    row: Row
    verdict: str
    shown: str
    changed: tuple[str, ...] = ()

    @property
    def expected(self) -> bool:
        """Whether the verdict is the one that the row says and explains, and nobody has changed the row."""
        return self.verdict == self.row.expect and not self.changed

    @property
    def problem(self) -> str:
        """What is wrong and what to do, one sentence; "" where nothing is."""
        row = self.row
        if ADDED in self.changed:
            return f"{row.id}: it is new; check it against {row.cited} and run: python -m results.audit --lock"
        if self.changed:
            return (
                f"{row.id}: {', '.join(self.changed)} changed since the row was checked against "
                f"{row.cited}; put it back, or check it again and run: python -m results.audit --lock"
            )
        if not self.expected:
            return f"{row.id}: {self.verdict} where '{row.expect}' was expected: {self.shown} against {row.printed}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        values = {"row": self.row.to_json(), "verdict": self.verdict, "shown": self.shown}
        return {**values, "changed": list(self.changed), "expected": self.expected}


def audit(
    rows: Mapping[str, Row], zoo: Zoo, needs: Mapping[str, str], changed: Mapping[str, tuple[str, ...]]
) -> list[Finding]:
    """The verdict on every row.

    Args:
        rows: by id.
        zoo: facts about models that rows were rebuilt as.
        needs: the sentences behind the words of ``needs``.
        changed: rows that differ from the lock, and the keys that do; see :mod:`results.audit.lock`.

    Raises:
        PublishedError: a row names a rule or a model that there is not.
    """
    return [_finding(row, rows, zoo, needs, changed.get(row.id, ())) for row in rows.values()]


def _finding(
    row: Row, rows: Mapping[str, Row], zoo: Zoo, needs: Mapping[str, str], changed: tuple[str, ...]
) -> Finding:
    if row.check is not None:
        return Finding(row, *_recomputed(row, row.check, rows), changed)
    needed = needs[row.needs] if row.needs else ""
    if row.rebuilt is not None:
        return Finding(row, *_rebuilt(row, row.rebuilt, zoo), changed)
    if row.command is not None:
        return Finding(row, MEASURED, row.command + (f" ({needed})" if needed else ""), changed)
    return Finding(row, CANNOT, needed, changed)


def _recomputed(row: Row, check: Check, rows: Mapping[str, Row]) -> tuple[str, str]:
    missing = [item for item in check.of if isinstance(item, str) and item not in rows]
    if missing:
        return CANNOT, f"it is computed from {', '.join(missing)}, and there is no such row"
    outcome, shown = _apply(row, check.rule, check, rows)
    agrees = outcome.meets(row.interval)
    if check.rival is not None:
        other, other_shown = _apply(row, check.rival, check, rows)
        fits = other.meets(row.interval)
        shown += f"; {other_shown} {'fits too' if fits else 'does not fit'}"
        if fits != check.rival_fits:
            return CONTRADICTS, f"{shown}, and that is not what was expected"
    return AGREES if agrees else CONTRADICTS, shown


def _apply(row: Row, name: str, check: Check, rows: Mapping[str, Row]) -> tuple[Interval, str]:
    rule = RULES.get(name)
    if rule is None:
        raise PublishedError(f"row {row.id}: there is no rule {name!r}; there are {', '.join(RULES)}")
    if not rule.fits(len(check.of)):
        more = " or more" if rule.more else ""
        raise PublishedError(f"row {row.id}: rule {name} takes {rule.takes}{more} operands, {len(check.of)} are given")
    operands, said = [], []
    for item in check.of:
        if isinstance(item, str):
            operands.append(rows[item].interval)
            said.append(rows[item].printed)
        else:
            operands.append(exactly(Fraction(str(item))))
            said.append(f"{item:,}" if isinstance(item, int) and item > 99_999 else f"{item:g}")
    if not all(operand.bounded for operand in operands):
        raise PublishedError(f"row {row.id}: it is computed from a figure without an upper end")
    outcome = rule.compute(operands)
    if name == "same":
        return outcome, f"{said[0]} in {check.of[0]}"
    return outcome, f"{rule.said(said)} = {_span(outcome, row)}"


def _span(outcome: Interval, row: Row) -> str:
    """An outcome in the row's unit, with enough digits to tell its ends apart."""
    low, high = float(outcome.low / row.scale), float(outcome.high / row.scale)
    if low == high:
        return with_unit(_number(low, 5), row.unit)
    digits = 2 + math.floor(math.log10(high)) - math.floor(math.log10(high - low)) if math.isfinite(high) else 3
    return with_unit(f"{_number(low, max(digits, 3))} to {_number(high, max(digits, 3))}", row.unit)


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text else text


def _rebuilt(row: Row, name: str, zoo: Zoo) -> tuple[str, str]:
    model, _, fact = name.partition(".")
    value = zoo.get(model, {}).get(fact)
    if value is None:
        raise PublishedError(f"row {row.id}: the zoo has no {name}")
    difference = value / row.number - 1
    beside = f"{difference:+.2%}" if difference else "the same"
    shown = f"our rebuild {model} has {value:,.0f} ({beside}; {row.command})"
    return MEASURED if abs(difference) <= REBUILT_WITHIN else CONTRADICTS, shown
