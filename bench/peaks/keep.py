"""The peaks of a host from one sitting to the next: one file per host in the cache folder."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import paths
from models.atomic import write_atomically
from results.errors import PeaksError
from results.peaks import Peaks

if TYPE_CHECKING:
    from pathlib import Path

# What older kernels measured is forgotten: a figure that was too high would never go away.
KERNELS = 1
LOWEST, HIGHEST, BY_THREADS = "clock_hz_lowest", "clock_hz_highest", "clock_hz_by_threads"


def place(fingerprint: str) -> Path:
    """Where the peaks of a host are kept."""
    return paths.cache() / "peaks" / f"{fingerprint}.json"


def load(fingerprint: str) -> Peaks | str:
    """What is known of a host, or in one sentence why that cannot be used; empty when nothing was kept."""
    path = place(fingerprint)
    try:
        peaks = Peaks.from_json(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, PeaksError) as error:
        return f"{path} cannot be used ({' '.join(str(error).split())[:120]})"
    if peaks.fingerprint != fingerprint:
        return f"{path} has the peaks of another host"
    if peaks.facts.get("kernels") != KERNELS:
        return f"{path} was measured with kernels of another version"
    return peaks


def save(peaks: Peaks) -> None:
    """Keep them.

    Raises:
        OSError: the file cannot be written.
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
