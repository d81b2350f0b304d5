"""Figures that others published, with source and line: facts in our words, none of them measured here.

One TOML file per source; ``docs/published.md`` explains the keys, ``rtfloor audit`` recomputes what can be.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from results.errors import PublishedError
from results.published import read, steps
from results.published.figure import Row, Source
from results.published.read import VERDICTS
from results.published.steps import Series, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "VERDICTS",
    "Row",
    "Series",
    "Source",
    "Step",
    "figures",
    "row",
    "rows",
    "series",
    "series_about",
    "series_names",
    "series_values",
    "words",
]

# In the order in which they are shown.
FILES = ("artifactnet", "real_time_inference", "distilled_effects", "audiosep", "hardware", "others")


@cache
def words() -> read.Vocabulary:
    """Sources, units and reasons that rows may name."""
    return read.vocabulary(_toml("vocabulary"))


@cache
def rows() -> Mapping[str, Row]:
    """Every row by id, file by file.

    Raises:
        PublishedError: a file is wrong; the text names file, claim and key.
    """
    found: dict[str, Row] = {}
    for name in FILES:
        for entry in read.parse(_toml(name), words(), f"results/published/{name}.toml"):
            if entry.id in found:
                raise PublishedError(f"results/published/{name}.toml: there are two rows {entry.id}")
            found[entry.id] = entry
    return found


def row(name: str) -> Row:
    """One row, such as ``A24.rtf``.

    Raises:
        PublishedError: there is none of that id.
    """
    try:
        return rows()[name]
    except KeyError:
        raise PublishedError(f"there is no published figure {name!r}; 'rtfloor audit' lists them") from None


def series_names() -> list[str]:
    """The series there are."""
    return list(_toml("series"))


def series_about(name: str) -> Series:
    """A series: its steps, and what they have in common.

    Raises:
        PublishedError: there is none of that name, or it is wrong.
    """
    return steps.parse(name, series_values(name), rows())


def series_values(name: str) -> Any:
    """A series as it stands in its file; :mod:`results.audit` guards it.

    Raises:
        PublishedError: there is none of that name.
    """
    tables = _toml("series")
    if name not in tables:
        raise PublishedError(f"there is no published series {name!r}; there are {', '.join(tables)}")
    return tables[name]


def series(name: str) -> list[Step]:
    """The steps of a series, in order.

    Raises:
        PublishedError: there is none of that name, or it is wrong.
    """
    return list(series_about(name).steps)


@cache
def figures() -> Mapping[str, tuple[Series, Step]]:
    """Every bar of every series by the row behind its time, such as ``A28.tract_seq``, with its series.

    Raises:
        PublishedError: a file is wrong.
    """
    return {step.row.id: (about, step) for about in map(series_about, series_names()) for step in about.steps}


def _toml(name: str) -> dict[str, Any]:
    file = resources.files("results.published").joinpath(f"{name}.toml")
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PublishedError(f"results/published/{name}.toml cannot be read: {error}") from None
