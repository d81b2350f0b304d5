"""Peaks out of JSON values, every field looked at: a file that somebody edited must not end in a traceback; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

from results.errors import PeaksError

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

AGAIN = "measure again: rtfloor peaks"
_CHOICES = {
    "device": ("cpu", "gpu"),
    "origin": ("measured", "published", "derived"),
    "kind": ("read", "write", "copy", "add"),
}


def checked(kind: Callable[..., Value], record: Any, where: str, nested: Mapping[str, Any]) -> Value:
    """A frozen dataclass from JSON values.

    Args:
        kind: the dataclass; its annotations say what each field may be.
        record: what was read.
        where: it stands, for complaints.
        nested: the dataclass of the items, for fields that are lists of such.

    Raises:
        PeaksError: it is no table, or a key is missing, unknown, or of the wrong type; numbers must be finite and above
            0, numbers of threads at least 0.
    """
    if not isinstance(record, Mapping):
        raise _wrong(where, f"it is {_short(record)} and no table")
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]  # a dataclass, all callers see to it
    if unknown := sorted(str(key) for key in record if key not in known):
        raise _wrong(where, f"key {unknown[0]!r} is unknown")
    values: dict[str, Any] = {}
    for name, one in known.items():
        if name not in record:
            if one.default is MISSING and one.default_factory is MISSING:
                raise _wrong(where, f"key {name!r} is missing")
            continue
        value, here = record[name], f"{where}, {name}"
        if name in nested:
            items = enumerate(_several(value, here), 1)
            values[name] = tuple(checked(nested[name], item, f"{here} number {number}", {}) for number, item in items)
        else:
            values[name] = _value(name, str(one.type), value, here)
    return kind(**values)


def _value(name: str, annotated: str, value: Any, where: str) -> Any:
    """One value that is no list of dataclasses; the annotation is the text that stands in the source."""
    expected, _, optional = annotated.partition(" | ")
    if value is None and optional:
        return None
    if expected.startswith("tuple"):
        return tuple(_text(item, where) for item in _several(value, where))
    if expected.startswith("Mapping"):
        if not isinstance(value, Mapping):
            raise _wrong(where, f"it is {_short(value)} and no table")
        return dict(value)
    if expected == "bool":
        if not isinstance(value, bool):
            raise _wrong(where, f"it is {_short(value)} and neither true nor false")
        return value
    if expected == "str":
        text = _text(value, where)
        if text not in _CHOICES.get(name, (text,)):
            raise _wrong(where, f"it is {text!r} and none of {', '.join(_CHOICES[name])}")
        return text
    assert expected in ("int", "float"), annotated
    return _number(value, where, whole=expected == "int", least=0 if name == "threads" else None)


def _number(value: Any, where: str, *, whole: bool, least: int | None) -> float:
    allowed: Any = int if whole else (int, float)
    # In Python True is a number; nobody means that here.
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise _wrong(where, f"it is {_short(value)} and no {'whole ' if whole else ''}number")
    if not is_rate(value) and value != least:
        raise _wrong(where, f"it is {_short(value)} and no finite number above 0")
    number: float = value if whole else float(value)
    return number


def is_rate(value: Any) -> bool:
    """Whether it is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and value > 0
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _several(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong(where, f"it is {_short(value)} and no list")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, f"it is {_short(value)} and no text")
    return value


def _short(value: Any) -> str:
    """A value in a complaint; a long one would hide the rest of the sentence."""
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "a number of very many digits"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _wrong(where: str, what: str) -> PeaksError:
    return PeaksError(f"{where}: {what}; {AGAIN}")
