"""``python -m results.audit --lock``: published rows, series and profiles, as they are now, were checked."""

from __future__ import annotations

import sys
from pathlib import Path

from results import published
from results.audit import tables
from results.audit.lock import changes, write
from results.errors import PeaksError, PublishedError

USAGE = """\
usage: python -m results.audit --lock
Write rows.lock and tables.lock in results/published anew, after every changed row, series and hardware profile was
checked against its source.
'rtfloor audit' shows verdicts."""


def main(arguments: list[str], path: Path) -> int:
    """Write the lock.

    Args:
        arguments: of the command line.
        path: of the lock of rows; that of tables is beside it.

    Returns:
        The exit code: 0 written, 2 not.
    """
    if arguments != ["--lock"]:
        print(USAGE, file=sys.stderr)  # noqa: T201 - this is the command's answer
        return 2
    try:
        rows, found, beside = published.rows(), tables.tables(), path.with_name("tables.lock")
        before, before_tables = (one.read_text("utf-8") if one.exists() else "" for one in (path, beside))
        path.write_text(write(rows), "utf-8")
        beside.write_text(tables.write(found), "utf-8")
    except (PublishedError, PeaksError, OSError) as error:
        print(f"results.audit: {error}", file=sys.stderr)  # noqa: T201 - this is the command's answer
        return 2
    for name, keys in (changes(rows, before) | tables.changes(found, before_tables)).items():
        print(f"{name}: {', '.join(keys)}")  # noqa: T201 - this is the command's answer
    print(f"{len(rows)} rows locked in {path}, {len(found)} tables in {beside}")  # noqa: T201 - this is the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(published.__file__).with_name("rows.lock")))
