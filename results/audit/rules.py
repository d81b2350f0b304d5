"""How figures follow from figures: a few pure rules over intervals. Times are seconds, sizes bytes.

Every operand stands for all values it can have been before rounding, and so does what comes out. An operand that a
rule uses twice is taken as two: that can make the outcome wider, never too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING

from results.published.printed import Interval, exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Rule:
    """One way of computing.

    Attributes:
        takes: how many operands, at least where ``more``.
        compute: from operands to outcome.
        said: the computation for people, from the operands as printed.
        more: whether any number of further operands will do.
    """

    takes: int
    compute: Callable[[Sequence[Interval]], Interval]
    said: Callable[[Sequence[str]], str]
    more: bool = False

    def fits(self, count: int) -> bool:
        """Whether so many operands can be computed with."""
        return count >= self.takes if self.more else count == self.takes


def _add(one: Interval, other: Interval) -> Interval:
    return Interval(one.low + other.low, one.top + other.top)


def _sum(of: Sequence[Interval]) -> Interval:
    total = exactly(0)
    for one in of:
        total = _add(total, one)
    return total


def _less(one: Interval, other: Interval) -> Interval:
    # Figures here are never below 0; nor is a difference that makes sense.
    return Interval(max(one.low - other.top, Fraction(0)), max(one.top - other.low, Fraction(0)))


def _product(of: Sequence[Interval]) -> Interval:
    return Interval(prod((one.low for one in of), start=Fraction(1)), prod((one.top for one in of), start=Fraction(1)))


def _ratio(of: Sequence[Interval]) -> Interval:
    one, other = of
    high = one.top / other.low if other.low else float("inf")
    return Interval(one.low / other.top, high)


def _audio(frames: Interval, hop: Interval, rate: Interval, *, gaps: int) -> Interval:
    """Seconds that so many frames span: T · hop / rate, or (T − 1) · hop / rate between the first and the last."""
    return _ratio([_product([_less(frames, exactly(gaps)), hop]), rate])


def _rtf(gaps: int) -> Callable[[Sequence[Interval]], Interval]:
    return lambda of: _ratio([of[0], _audio(*of[1:], gaps=gaps)])


def _time(gaps: int) -> Callable[[Sequence[Interval]], Interval]:
    return lambda of: _product([of[0], _audio(*of[1:], gaps=gaps)])


def _saved(of: Sequence[Interval]) -> Interval:
    return _product([_less(of[0], of[1]), _audio(*of[2:], gaps=1)])


def _per_audio(of: Sequence[Interval]) -> Interval:
    return _ratio([_ratio(of[:2]), _ratio(of[2:])])


def _f1(of: Sequence[Interval]) -> Interval:
    """2·TP / (2·TP + FP + FN), from rates of hits and false alarms and the sizes of both classes."""
    hit, false, positives, negatives = of

    def score(hits: Fraction, alarms: Fraction, ones: Fraction, zeros: Fraction) -> Fraction:
        return 2 * hits * ones / (2 * hits * ones + alarms * zeros + (1 - hits) * ones)

    # It grows with hits and falls with alarms. Rates end at 1.
    most = min(hit.top, Fraction(1))
    low = score(hit.low, min(false.top, Fraction(1)), positives.low, negatives.top)
    return Interval(low, score(most, false.low, positives.top, negatives.low))


def _each(of: Sequence[Interval]) -> Interval:
    """What is left of a total when its known parts are taken away, dealt out to so many."""
    return _ratio([_less(of[0], _sum(of[2:])), of[1]])


def _said(template: str) -> Callable[[Sequence[str]], str]:
    return lambda of: template.format(*of)


def _joined(operator: str) -> Callable[[Sequence[str]], str]:
    return f" {operator} ".join


RULES: dict[str, Rule] = {
    "same": Rule(1, lambda of: of[0], _said("{0}")),
    "ratio": Rule(2, _ratio, _said("{0} / {1}")),
    "sum": Rule(2, _sum, _joined("+"), more=True),
    "product": Rule(2, _product, _joined("×"), more=True),
    "chunk": Rule(3, lambda of: _audio(*of, gaps=0), _said("{0} × {1} / {2} Hz")),
    "rtf_frames": Rule(4, _rtf(0), _said("{0} / ({1} × {2} / {3} Hz)")),
    "rtf_gaps": Rule(4, _rtf(1), _said("{0} / (({1} − 1) × {2} / {3} Hz)")),
    "time_gaps": Rule(4, _time(1), _said("{0} × ({1} − 1) × {2} / {3} Hz")),
    "saved_gaps": Rule(5, _saved, _said("({0} − {1}) × ({2} − 1) × {3} / {4} Hz")),
    "per_audio": Rule(4, _per_audio, _said("({0} / {1}) / ({2} / {3})")),
    "bins": Rule(1, lambda of: _sum([_ratio([of[0], exactly(2)]), exactly(1)]), _said("{0} / 2 + 1")),
    "f1": Rule(4, _f1, _said("F1 of {0} found and {1} false alarms among {2} and {3}")),
    "float32_steps": Rule(1, lambda of: _product([of[0], exactly(Fraction(1, 2**24))]), _said("{0} × 2⁻²⁴")),
    "each": Rule(3, _each, lambda of: f"({' − '.join((of[0], *of[2:]))}) / {of[1]}", more=True),
}
