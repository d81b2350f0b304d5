"""A published figure as rtfloor keeps it, and where it was published."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from results.published.printed import Interval, interval, middle

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass(frozen=True)
class Source:
    """Where figures were published.

    Attributes:
        key: what rows call it.
        title: of the document.
        url: where it can be read.
    """

    key: str
    title: str
    url: str


@dataclass(frozen=True)
class Check:
    """How a figure follows from others.

    Attributes:
        rule: its name, see :mod:`results.audit.rules`.
        of: what it is given: ids of rows, or numbers.
        rival: another rule that might explain the figure as well; None without one.
        rival_fits: whether that one does.
    """

    rule: str
    of: tuple[str | int | float, ...]
    rival: str | None = None
    rival_fits: bool | None = None


@dataclass(frozen=True)
class Row:
    """One published figure.

    Attributes:
        id: claim and figure, such as ``A24.rtf``.
        claim: such as ``A24``.
        title: what the claim is about.
        what: what this figure is.
        value: as printed, see :func:`results.published.printed.interval`.
        unit: one of ``vocabulary.toml``.
        scale: what turns the value into seconds, bytes or plain numbers.
        source: where it was published.
        lines: of the source's text, the first being where it is said best; empty where a document has none.
        conditions: under which it holds, our words.
        origin: ``published``, or ``derived``: ours, from figures of the source.
        exact: a count or a definition, not rounded.
        to: what the value was rounded to where its digits do not tell; None where they do.
        check: how to recompute it; None where that cannot be done.
        rebuilt: model and fact of the zoo that rebuild it, such as ``rt48.parameters``; None without one.
        needs: why it cannot be recomputed, a word of ``vocabulary.toml``; None where it can.
        command: what measures something comparable; None without one.
        expect: the verdict that is expected: ``agrees``, ``contradicts``, ``measured`` or ``cannot``.
        why: what explains the verdict; "" where nothing needs explaining.
    """

    id: str
    claim: str
    title: str
    what: str
    value: str
    unit: str
    scale: Fraction
    source: Source
    lines: tuple[int, ...] = ()
    conditions: str = ""
    origin: str = "published"
    exact: bool = False
    to: int | None = None
    check: Check | None = None
    rebuilt: str | None = None
    needs: str | None = None
    command: str | None = None
    expect: str = "cannot"
    why: str = ""

    @property
    def interval(self) -> Interval:
        """What the figure can have been before rounding, in seconds, bytes or plain numbers."""
        return interval(self.value, exact=self.exact, to=self.to).times(self.scale)

    @property
    def number(self) -> float:
        """The figure itself, in seconds, bytes or plain numbers."""
        return float(middle(self.value) * self.scale)

    @property
    def line(self) -> int | None:
        """Where it is said best; None where the document has no lines."""
        return self.lines[0] if self.lines else None

    @property
    def cited(self) -> str:
        """Source and line, for people."""
        return f"{self.source.title}, line {self.line}" if self.lines else self.source.title

    @property
    def printed(self) -> str:
        """Value and unit, for people."""
        return with_unit(self.value, self.unit)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        values = asdict(self)
        del values["scale"]
        return {**values, "source": self.source.key, "title": self.title, "lines": list(self.lines)}


def with_unit(value: str, unit: str) -> str:
    """A figure as people write it; the unit ``1`` is none."""
    match unit:
        case "1":
            return value
        case "time/audio":
            return f"RTF {value}"
        case "audio/time":
            return f"{value} × real time"
        case "×" | "%":
            return value + unit
        case _:
            return f"{value} {unit}"
