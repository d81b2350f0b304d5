"""Names of the files that are kept between runs, and what to say when they cannot be kept."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from models.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 60


def slug(name: str) -> str:
    """What of a model's name goes into a file name: at most 60 characters, no separator, no leading dot.

    Two names may give the same slug: whoever uses it adds a digest.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_MOST].lstrip(".-") or "model"


def check_text(path: Path) -> None:
    """Refuse a path that is no UTF-8, which no record could hold.

    Raises:
        ModelError: showing the path with its foreign bytes written out.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise ModelError(f"the path {shown} is not UTF-8 text; rename the file or its folder") from None


def unwritable(what: str, place: Path, error: OSError) -> ModelError:
    """The error for something that cannot be kept at a place in the cache."""
    return ModelError(
        f"cannot keep the {what} in {place}: {error.strerror or error}; "
        "delete it, or name another cache folder in RTFLOOR_CACHE"
    )
