"""``rtfloor audit``: published figures recomputed from each other, and guarded against changes by hand."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from results import published
from results.audit import tables
from results.audit.lock import REMOVED, changes
from results.audit.verdict import AGREES, CANNOT, CONTRADICTS, MEASURED, Finding, audit
from results.audit.zoo import zoo_rows
from results.errors import PublishedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from results.audit.verdict import Zoo

__all__ = ["AGREES", "CANNOT", "CONTRADICTS", "MEASURED", "Finding", "audit", "audit_published", "counts"]


def audit_published(zoo: Zoo, claims: Mapping[str, tuple[int, str]]) -> tuple[list[Finding], list[str]]:
    """Every published row that rtfloor has.

    Args:
        zoo: model to facts, such as ``{"rt48": {"parameters": 117032, "nodes": 123, "frames": 48}}``.
        claims: model to the number of parameters that it was built to match, and where that was published.

    Returns:
        A finding per row in the order of the files; and a sentence for each row that was taken away, and for each
        series and hardware profile that was changed.

    Raises:
        PublishedError: data or lock cannot be read, or a row or a series names what there is not.
        PeaksError: a hardware profile is wrong.
    """
    rows = published.rows()
    changed = changes(rows, _lock("rows.lock"))
    beside = tables.problems(tables.changes(tables.tables(), _lock("tables.lock")))
    gone = [
        f"{name}: it was checked against its source and is here no more; put it back, or, if it had to go, "
        "run: python -m results.audit --lock"
        for name, keys in changed.items()
        if keys == (REMOVED,)
    ]
    return audit({**rows, **zoo_rows(claims)}, zoo, published.words().needs, changed), gone + beside


def counts(findings: list[Finding]) -> Mapping[str, int]:
    """How many rows have each verdict."""
    return {verdict: sum(found.verdict == verdict for found in findings) for verdict in published.VERDICTS}


def _lock(name: str) -> str:
    try:
        return resources.files("results.published").joinpath(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PublishedError(
            f"results/published/{name} cannot be read: {error}; put it back from version control"
        ) from None
