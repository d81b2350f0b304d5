"""Settings of the verbs that measure until they know: a search and a gate."""

from __future__ import annotations

import math
import shlex
import sys
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench import campaign


def settings(
    results: Path | None, budget_s: float | None, timeout_s: float | None, seed: int | None
) -> campaign.Settings:
    """Without floors, and with the command line as it was given."""
    from bench import campaign

    return campaign.Settings(
        results=results,
        budget_s=budget_s,
        timeout_s=timeout_s,
        memory_bytes=None,
        seed=seed,
        command=shlex.join(["rtfloor", *sys.argv[1:]]),
        floor=False,
    )


def check_numbers(numbers: Mapping[str, float | None]) -> None:
    """Refuse what click takes for a number and is none.

    Args:
        numbers: flag → what was given; None for nothing.

    Raises:
        UserError: naming the flag.
    """
    for flag, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UserError(f"{flag} {number} is no number")
