"""The peaks of a host from one sitting to the next: one file per host in the cache folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import paths
from bench.errors import UserError
from bench.peaks.limits import CLOCK_HZ, believable
from models.atomic import write_atomically
from results.errors import PeaksError
from results.peaks import Peaks
from results.peaks_checked import AGAIN, is_rate

if TYPE_CHECKING:
    from pathlib import Path

# What older kernels measured is forgotten: a figure that was too high would never go away.
KERNELS = 1
LOWEST, HIGHEST, BY_THREADS = "clock_hz_lowest", "clock_hz_highest", "clock_hz_by_threads"


def place(fingerprint: str) -> Path:
    """Where the peaks of a host are kept."""
    return paths.cache() / "peaks" / f"{fingerprint}.json"


def load(fingerprint: str) -> tuple[Peaks | None, tuple[str, ...]]:
    """What is known of a host.

    Returns:
        The peaks, None where nothing usable was kept; and a sentence for everything that cannot be used.
    """
    try:
        path = place(fingerprint)
        peaks = Peaks.from_json(json.loads(path.read_text("utf-8")))
        reason = _unusable(peaks, fingerprint)
    except FileNotFoundError:
        return None, ()
    except UserError as error:
        return None, (str(error),)
    except (OSError, ValueError, RecursionError, PeaksError) as error:
        # What to do about it is said by those who know whether it is being done.
        said = " ".join(str(error).removesuffix(f"; {AGAIN}").split())[:120]
        return None, (f"{path} cannot be used ({said})",)
    if reason:
        return None, (f"{path} {reason}",)
    peaks, dropped = believable(peaks)
    return peaks, tuple(f"of what {path} has, {what}" for what in dropped)


def _unusable(peaks: Peaks, fingerprint: str) -> str:
    if peaks.fingerprint != fingerprint:
        return "has the peaks of another host"
    if peaks.facts.get("kernels") != KERNELS:
        return "was measured with kernels of another version"
    if not peaks.levels:
        return "cannot be used (it has no levels, not even memory)"
    by_threads = peaks.facts.get(BY_THREADS, {})
    if not isinstance(by_threads, Mapping):
        return f"cannot be used ({BY_THREADS} is no table)"
    clocks = [peaks.facts.get(key) for key in (LOWEST, HIGHEST)]
    for clock in (*(one for one in clocks if one is not None), *by_threads.values()):
        if not is_rate(clock) or clock > CLOCK_HZ:
            return f"cannot be used (no core clock is {str(clock)[:40]} Hz)"
    return ""


def save(peaks: Peaks) -> None:
    """Keep them.

    Raises:
        OSError: the file cannot be written.
        UserError: nor can its folder.
    """
    content = json.dumps(peaks.to_json(), ensure_ascii=False, indent=1).encode()
    write_atomically(place(peaks.fingerprint), lambda file: file.write(content))


def merged(new: Peaks, old: Peaks) -> Peaks:
    """The best of both: figures only ever get better. Facts and notes are the new ones'.

    The lowest and the highest clock are those of all sittings.
    """
    facts: dict[str, Any] = dict(new.facts)
    for key, better in ((LOWEST, min), (HIGHEST, max)):
        known = [peaks.facts[key] for peaks in (new, old) if peaks.facts.get(key)]
        facts[key] = better(known, default=None)
    before, now = old.facts.get(BY_THREADS, {}), new.facts.get(BY_THREADS, {})
    facts[BY_THREADS] = {key: max(before.get(key, 0), now.get(key, 0)) for key in {**before, **now}}
    return replace(new.best_of(old), facts=facts)
