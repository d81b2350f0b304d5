"""HTML made of values: whatever is not HTML already is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


# Elements that hold nothing and have no end.
_VOID = {"input", "br", "link", "meta", "img"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as HTML: itself when it is, else escaped."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element.

    Args:
        name: such as ``td``.
        children: escaped unless they are :class:`Html`; None is left out.
        attributes: ``class_`` stands for ``class``, and other underscores for hyphens; True gives an attribute
            without a value, None or False none.
    """
    given = []
    for key, value in attributes.items():
        shown = key.rstrip("_").replace("_", "-")
        if value is True:
            given.append(f" {shown}")
        elif value is not None and value is not False:
            given.append(f' {shown}="{escape(str(value))}"')
    opened = f"<{name}{''.join(given)}>"
    return Html(opened if name in _VOID else f"{opened}{join(children)}</{name}>")


def join(children: Iterable[object], between: str = "") -> Html:
    """Several values one after another."""
    return Html(between.join(text(child) for child in children if child is not None))
