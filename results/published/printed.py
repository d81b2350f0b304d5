"""What a printed figure can have been before it was rounded: exact intervals over its digits.

Two figures agree when their intervals meet. That follows from the digits alone; nobody has to choose a tolerance.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_FORM = re.compile(rf"(?P<sign>[~<>]?)(?P<low>{_NUMBER})(?:\.\.(?P<high>{_NUMBER}))?")


@dataclass(frozen=True)
class Interval:
    """All values from ``low`` to ``high``, both included. ``high`` may be infinite."""

    low: Fraction
    high: Fraction | float

    def __post_init__(self) -> None:
        assert self.low <= self.high

    def meets(self, other: Interval) -> bool:
        """Whether one value can be in both."""
        return self.low <= other.high and other.low <= self.high

    @property
    def bounded(self) -> bool:
        """Whether it can be computed with."""
        return isinstance(self.high, Fraction)

    @property
    def top(self) -> Fraction:
        """``high``, of an interval that ends."""
        assert isinstance(self.high, Fraction)
        return self.high

    def times(self, factor: Fraction) -> Interval:
        """In a unit so many times smaller."""
        return Interval(self.low * factor, self.high * factor if isinstance(self.high, Fraction) else self.high)


def exactly(value: Fraction | int) -> Interval:
    """An interval of one value."""
    return Interval(Fraction(value), Fraction(value))


def middle(text: str) -> Fraction:
    """The figure itself; of a range ``a..b`` its middle.

    Raises:
        ValueError: not a printed figure.
    """
    low, high, _ = _parts(text)
    return (Fraction(low) + Fraction(high)) / 2


def interval(text: str, *, exact: bool = False, to: int | None = None) -> Interval:
    """What a printed figure stands for.

    ========== =====================================================================================
    ``0.31``   rounded: half a unit of the last digit either way, 0.305 to 0.315
    ``534e3``  the same, in thousands: 533,500 to 534,500
    ``~278``   about: a whole unit either way, 277 to 279
    ``3..4``   a range, its ends rounded: 2.5 to 4.5
    ``<10``    from 0 to 10
    ``>1``     from 1 up
    ========== =====================================================================================

    Args:
        text: the figure.
        exact: it is a count or a definition, and was not rounded.
        to: what it was rounded to where the digits do not tell, such as 10 for a round "50".

    Raises:
        ValueError: not a printed figure; the text says what one looks like.
    """
    low, high, sign = _parts(text)
    if sign == "<":
        return Interval(Fraction(0), Fraction(low))
    if sign == ">":
        return Interval(Fraction(low), math.inf)
    if exact:
        return Interval(Fraction(low), Fraction(high))
    share = 1 if sign == "~" else Fraction(1, 2)
    below, above = (share * (to or _unit(end)) for end in (low, high))
    return Interval(max(Fraction(low) - below, Fraction(0)), Fraction(high) + above)


def _unit(number: Decimal) -> Fraction:
    """One unit of the last digit that was printed."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return Fraction(10) ** exponent


def _parts(text: str) -> tuple[Decimal, Decimal, str]:
    found = _FORM.fullmatch(text)
    if found is None or (found["sign"] in {"<", ">"} and found["high"]):
        raise ValueError(f"{text!r} is no printed figure; one looks like 0.31, 534e3, ~278, 3..4, <10 or >1")
    low = Decimal(found["low"])
    high = Decimal(found["high"]) if found["high"] else low
    if high < low:
        raise ValueError(f"{text!r} is no range: its end is below its beginning")
    return low, high, found["sign"]
