"""Tables of the page: they sort by their headers, and the large ones filter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import words
from reports.page.html import Html, join, tag

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: of its header.
        number: whether it holds figures: those stand right, and sort by size.
        filter: whether it gets a menu of its values above the table.
        hint: what it means, for its header's tooltip.
        spare: whether paper does without it.
    """

    title: str
    number: bool = False
    filter: bool = False
    hint: str | None = None
    spare: bool = False

    @property
    def looks(self) -> str | None:
        """Classes of its cells."""
        return " ".join(name for name, wanted in (("num", self.number), ("spare", self.spare)) if wanted) or None


@dataclass(frozen=True)
class Value:
    """One figure of a table.

    Attributes:
        shown: what stands there.
        key: what it sorts by; None sorts last in both directions.
    """

    shown: object
    key: float | None = None


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    caption: str,
    *,
    filters: bool = False,
    marked: Sequence[bool] = (),
) -> Html:
    """A table that can be sorted.

    Args:
        columns: its columns.
        rows: a value per column each; :class:`Value` where what is shown is not what it sorts by.
        caption: what it is, for those who hear it and those who print it.
        filters: a box for text and a menu for each column that says so.
        marked: rows to stress, in the order of ``rows``.
    """
    head = tag("tr", *(_header(column) for column in columns))
    stressed = [*marked, *([False] * (len(rows) - len(marked)))]
    body = [
        tag("tr", *(_cell(column, value) for column, value in zip(columns, row, strict=True)), class_=mark and "first")
        for row, mark in zip(rows, stressed, strict=True)
    ]
    made = tag(
        "div",
        tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body), data_sortable=True),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )
    return tag("div", _filters(columns, rows) if filters else None, made, class_="data")


def plain(columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> Html:
    """A table of texts, as it stands beside a chart; a column of figures sorts by their size all the same."""
    kinds = [_sizes([row[place] for row in rows]) for place in range(len(columns))]
    heads = [Column(title, number=kind is not None) for title, kind in zip(columns, kinds, strict=True)]
    values = [
        [value if kind is None else Value(value, kind[number]) for value, kind in zip(row, kinds, strict=True)]
        for number, row in enumerate(rows)
    ]
    return table(heads, values, caption)


def _sizes(values: Sequence[object]) -> list[float | None] | None:
    """What each text of a column sorts by; None where they are not all figures of one unit."""
    found: list[float | None] = []
    units = set()
    for value in values:
        text = str(value).strip()
        size = None if text in ("", words.NOTHING) else words.quantity(text)
        if size is None and text not in ("", words.NOTHING):
            return None
        found.append(None if size is None else size[1])
        if size is not None:
            units.add(size[0])
    return found if len(units) == 1 else None


def _header(column: Column) -> Html:
    return tag(
        "th",
        tag("button", column.title, type="button", title=column.hint),
        scope="col",
        class_=column.looks,
        aria_sort="none",
    )


def _cell(column: Column, value: object) -> Html:
    shown, key = (value.shown, value.key) if isinstance(value, Value) else (value, None)
    return tag("td", shown, class_=column.looks, data_key=_key(key))


def _key(value: float | None) -> str | None:
    """A size as the page's script reads it."""
    if value is None or math.isnan(value):
        return None
    return f"{value:.9g}" if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _filters(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Html:
    menus = []
    for place, column in enumerate(columns):
        found = sorted({_shown(row[place]) for row in rows})
        if column.filter and len(found) > 1:
            options = [tag("option", "all", value=""), *(tag("option", value, value=value) for value in found)]
            menus.append(tag("label", f"{column.title} ", tag("select", *options, data_column=place)))
    box = tag("label", "search ", tag("input", type="search", data_search=True, size=14))
    return tag(
        "p", join([box, *menus]), tag("output", f"{len(rows)} of {len(rows)}", aria_live="polite"), class_="filters"
    )


def _shown(value: object) -> str:
    return str(value.shown if isinstance(value, Value) else value)
