"""Published figures out of TOML tables; pure. Every complaint names file, claim and key."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from results.errors import PublishedError
from results.published.figure import Check, Row, Source
from results.published.printed import interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CLAIM = {"title", "conditions", "needs", "command", "source", "rows"}
_ROW = {
    *("id", "what", "value", "unit", "line", "conditions", "origin", "exact", "to"),
    *("rule", "of", "rival", "rival_fits", "rebuilt", "needs", "command", "expect", "why"),
}
VERDICTS = ("agrees", "contradicts", "measured", "cannot")
_ORIGINS = ("published", "derived")


@dataclass(frozen=True)
class Vocabulary:
    """Words that rows may use.

    Attributes:
        sources: by key.
        needs: word to sentence.
        units: unit to what turns it into seconds, bytes or plain numbers.
    """

    sources: Mapping[str, Source]
    needs: Mapping[str, str]
    units: Mapping[str, Fraction]


def vocabulary(values: Mapping[str, Any]) -> Vocabulary:
    """Read ``vocabulary.toml``.

    Raises:
        PublishedError: something is missing from it.
    """
    try:
        sources = {key: Source(key, entry["title"], entry["url"]) for key, entry in values["sources"].items()}
        units = {unit: Fraction(str(factor)) for unit, factor in values["units"].items()}
        return Vocabulary(sources, dict(values["needs"]), units)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PublishedError(f"results/published/vocabulary.toml is not what it should be: {error!r}") from None


def parse(values: Mapping[str, Any], words: Vocabulary, where: str) -> Iterator[Row]:
    """The rows of one file.

    Args:
        values: of the TOML file: claims, each a table; ``source`` beside them holds for all that name none.
        words: that they may use.
        where: the file, for complaints.

    Raises:
        PublishedError: a key is missing, unknown or wrong.
    """
    for claim, entry in values.items():
        if claim == "source":
            continue
        here = f"{where}, [{claim}]"
        if not isinstance(entry, dict):
            _fail(here, "a claim must be a table")
        _known(entry, _CLAIM, here)
        source = str(entry.get("source", values.get("source")))
        if source not in words.sources:
            _fail(here, f"source {source!r} is none of vocabulary.toml ({', '.join(words.sources)})")
        shared = {key: entry[key] for key in ("conditions", "needs", "command") if key in entry}
        for row in entry.get("rows", []):
            _known(row, _ROW, here)
            yield _row(claim, entry, {**shared, **row}, words, words.sources[source], here)


def _row(
    claim: str, entry: Mapping[str, Any], row: Mapping[str, Any], words: Vocabulary, source: Source, where: str
) -> Row:
    here = f"{where}, row {row.get('id', '?')}"
    values: dict[str, Any] = {key: row[key] for key in row.keys() & {"conditions", "exact", "to", "rebuilt", "why"}}
    texts = {key: _text(row, key, here) for key in ("id", "what", "value", "unit")}
    try:
        interval(texts["value"], exact=row.get("exact", False), to=row.get("to"))
    except ValueError as error:
        _fail(here, str(error))
    if texts["unit"] not in words.units:
        _fail(here, f"unit {texts['unit']!r} is none of vocabulary.toml")
    lines = row.get("line", [])
    values["lines"] = (lines,) if isinstance(lines, int) else tuple(lines)
    values["origin"] = _choice(row, "origin", _ORIGINS, "published", here)
    values["check"] = _check(row, here)
    # A row that can be recomputed has no need; a need that all rows of a claim share is not its own.
    values["needs"] = None if values["check"] else row.get("needs")
    if values["needs"] is not None and values["needs"] not in words.needs:
        _fail(here, f"needs {values['needs']!r} is none of vocabulary.toml ({', '.join(words.needs)})")
    values["command"] = row.get("command")
    if not (values["check"] or values["needs"] or values["command"]):
        _fail(here, "nothing says how it is checked: give rule and of, or command, or needs")
    usual = "agrees" if values["check"] else "measured" if values["command"] else "cannot"
    values["expect"] = _choice(row, "expect", VERDICTS, usual, here)
    if values["expect"] == "contradicts" and not row.get("why"):
        _fail(here, "a contradiction that is expected must be explained: key 'why' is missing")
    return Row(
        id=f"{claim}.{texts['id']}",
        claim=claim,
        title=_text(entry, "title", where),
        what=texts["what"],
        value=texts["value"],
        unit=texts["unit"],
        scale=words.units[texts["unit"]],
        source=source,
        **values,
    )


def _check(row: Mapping[str, Any], where: str) -> Check | None:
    if ("rule" in row) != ("of" in row):
        _fail(where, "rule and of belong together")
    if ("rival" in row) != ("rival_fits" in row):
        _fail(where, "rival and rival_fits belong together")
    if "rule" not in row:
        return None
    return Check(row["rule"], tuple(row["of"]), row.get("rival"), row.get("rival_fits"))


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        _fail(where, f"key {key!r} must be text")
    return value


def _choice(row: Mapping[str, Any], key: str, allowed: tuple[str, ...], usual: str, where: str) -> str:
    value = row.get(key, usual)
    if value not in allowed:
        _fail(where, f"{key} is {value!r}; it must be one of {', '.join(allowed)}")
    return str(value)


def _known(table: Mapping[str, Any], allowed: set[str], where: str) -> None:
    unknown = sorted(set(table) - allowed)
    if unknown:
        _fail(where, f"key {unknown[0]!r} is unknown; known are {', '.join(sorted(allowed))}")


def _fail(where: str, what: str) -> NoReturn:
    raise PublishedError(f"{where}: {what}; docs/published.md explains the keys")
