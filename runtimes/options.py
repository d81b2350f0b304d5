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
    """

    name: str
    default: Value
    help: str
    choices: tuple[Value, ...] = ()
    minimum: float | None = None

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
            return ", ".join(_text(choice) for choice in self.choices)
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


def _text(value: Value) -> str:
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
