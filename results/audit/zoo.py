"""Counts that the zoo was built to match, as rows; pure. They stand in ``models/zoo`` and are not locked."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from results.published.figure import Row, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

CLAIM = "zoo"


def zoo_rows(claims: Mapping[str, tuple[int, str]]) -> dict[str, Row]:
    """A row per model with a published number of parameters.

    Args:
        claims: model to the published number and where it stands.

    Returns:
        Rows by id, such as ``zoo.rt48``.
    """
    rows = [_row(name, published, where) for name, (published, where) in claims.items()]
    return {row.id: row for row in rows}


def _row(name: str, published: int, where: str) -> Row:
    return Row(
        id=f"{CLAIM}.{name}",
        claim=CLAIM,
        title="parameters of models that were rebuilt",
        what=f"{name}, published in {where}",
        value=_printed(published),
        unit="parameters",
        scale=Fraction(1),
        source=Source(CLAIM, "Models of the zoo, and the counts that they were built to match", "models/zoo"),
        rebuilt=f"{name}.parameters",
        command="rtfloor models",
        expect="measured",
    )


def _printed(count: int) -> str:
    """A count as it was printed: zeros at its end stand for what was rounded away."""
    digits = Decimal(count).normalize()
    exponent = digits.as_tuple().exponent
    assert isinstance(exponent, int)
    return f"{digits.scaleb(-exponent):f}e{exponent}" if exponent > 2 else str(count)
