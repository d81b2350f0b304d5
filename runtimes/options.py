"""Options: declared once by an adapter; flags, help, validation and requests are derived from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value = str | int | float | bool


class OptionError(ValueError):
    """An option name or value that the runtime does not have; the text names those it has."""


@dataclass(frozen=True)
class Option:
    """One knob of one runtime.

    Attributes:
        name: as a user types it.
        default: its value when nobody says anything; fixes the option's type.
        help: what it does, in one line.
        choices: the allowed values; empty when any value of the default's type is allowed.
        minimum: the least allowed number, for numeric options.
        settings: what the vendor calls it, one name per setting that it reaches, spelled as
            :meth:`~runtimes.base.Runtime.settings_here` spells them; empty where the vendor has no name for it.
        since: the first version of the runtime that has it; empty where every version that we support does.
        tried: the values that a sweep tries; empty: all choices, and both values of a switch.
        needs: values of other options without which it changes nothing; a sweep sets them beside it, and judges it
            beside a cell that has them alone.
    """

    name: str
    default: Value
    help: str
    choices: tuple[Value, ...] = ()
    minimum: float | None = None
    settings: tuple[str, ...] = ()
    since: str = ""
    tried: tuple[Value, ...] = ()
    needs: tuple[tuple[str, Value], ...] = ()

    @property
    def values(self) -> tuple[Value, ...]:
        """What a sweep tries, the default first; the default alone where nobody said what else."""
        switch = (True, False) if isinstance(self.default, bool) else ()
        others = self.tried or self.choices or switch
        return (self.default, *(value for value in others if value != self.default))

    def parse(self, given: object) -> Value:
        """The value that ``given`` (text or a TOML value) stands for.

        Raises:
            OptionError: it stands for none that is allowed.
        """
        value = self._convert(given)
        if value is None or (self.choices and value not in self.choices):
            raise OptionError(f"{self.name}={given!r} is not allowed; allowed: {self.allowed()}")
        if self.minimum is not None and (isinstance(value, str) or value < self.minimum):
            raise OptionError(f"{self.name}={given!r} is below {self.minimum:g}; allowed: {self.allowed()}")
        return value

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return ", ".join(text(choice) for choice in self.choices)
        words = {bool: "true, false", int: "a whole number", float: "a number", str: "any text"}
        least = "" if self.minimum is None else f" of at least {self.minimum:g}"
        return words[type(self.default)] + least

    def _convert(self, given: object) -> Value | None:
        kind = type(self.default)
        if kind is bool:
            named = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
            return given if isinstance(given, bool) else named.get(str(given).lower())
        if isinstance(given, bool):
            return None
        try:
            value = kind(str(given))
        except ValueError:
            return None
        return value if isinstance(value, str) or math.isfinite(value) else None


@dataclass(frozen=True)
class Fixed:
    """A setting of the vendor's that is no axis.

    Attributes:
        setting: as the vendor spells it; see :meth:`~runtimes.base.Runtime.settings_here`.
        why: either "cannot change latency, because …", or who sets it, such as the axis ``threads``.
    """

    setting: str
    why: str


@dataclass(frozen=True)
class Clash:
    """Values of options that do not go together.

    Attributes:
        values: option to the values that clash, all of which must be there; an empty tuple stands for any value
            but the default.
        why: what would happen, one sentence.
    """

    values: tuple[tuple[str, tuple[Value, ...]], ...]
    why: str

    def hits(self, options: Mapping[str, Value], declared: Iterable[Option]) -> bool:
        """Whether these options have all of it."""
        defaults = {option.name: option.default for option in declared}
        return all(
            options[name] in values if values else options[name] != defaults[name] for name, values in self.values
        )


def text(value: Value) -> str:
    """A value as a user types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def resolve(runtime: str, declared: Iterable[Option], given: Mapping[str, object]) -> dict[str, Value]:
    """Every declared option with its value: the given one, or the default.

    Raises:
        OptionError: a name that is not declared or a value that is not allowed.
    """
    known = {option.name: option for option in declared}
    for name in given:
        if name not in known:
            raise OptionError(f"runtime {runtime!r} has no option {name!r}; it has: {', '.join(known)}")
    try:
        return {name: option.parse(given.get(name, option.default)) for name, option in known.items()}
    except OptionError as error:
        raise OptionError(f"runtime {runtime!r}: {error}") from None
