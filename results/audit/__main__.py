"""``python -m results.audit --lock``: the published rows, as they are now, were checked against their sources."""

from __future__ import annotations

import sys
from pathlib import Path

from results import published
from results.audit.lock import changes, write
from results.errors import PublishedError

USAGE = """\
usage: python -m results.audit --lock
Write results/published/rows.lock anew, after every changed row was checked against its source.
'rtfloor audit' shows verdicts."""


def main(arguments: list[str], path: Path) -> int:
    """Write the lock.

    Args:
        arguments: of the command line.
        path: of the lock.

    Returns:
        The exit code: 0 written, 2 not.
    """
    if arguments != ["--lock"]:
        print(USAGE, file=sys.stderr)  # noqa: T201 - this is the command's answer
        return 2
    try:
        rows = published.rows()
        before = path.read_text("utf-8") if path.exists() else ""
        path.write_text(write(rows), "utf-8")
    except (PublishedError, OSError) as error:
        print(f"results.audit: {error}", file=sys.stderr)  # noqa: T201 - this is the command's answer
        return 2
    for name, keys in changes(rows, before).items():
        print(f"{name}: {', '.join(keys)}")  # noqa: T201 - this is the command's answer
    print(f"{len(rows)} rows locked in {path}")  # noqa: T201 - this is the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(published.__file__).with_name("rows.lock")))
