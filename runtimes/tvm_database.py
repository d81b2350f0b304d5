"""Records of tuning on disk: a folder per question, line by line, so that a killed tuning goes on where it was."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.artefacts import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# MetaSchedule's own names for the two tables of a database, one JSON document per line.
WORKLOADS = "database_workload.json"
RECORDS = "database_tuning_record.json"
STATE = "sittings.json"
# Where candidates lie while they are compiled and timed; of no use to a later sitting.
SCRATCH = "scratch"


@dataclass(frozen=True)
class Sittings:
    """What is known about the tuning so far.

    Attributes:
        spent_s: seconds in every sitting, those that were killed and those of the tuning it was seeded from included.
        sittings: how many there were.
        seeded: records that came from a tuning of fewer trials.
        tasks: functions that there were to tune.
        finished: it came to its end.
    """

    spent_s: float = 0.0
    sittings: int = 0
    seeded: int = 0
    tasks: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Records:
    """The records for one question and one number of trials.

    Attributes:
        folder: named ``<question>-<trials>``, beside those of the same question with other numbers.
    """

    folder: Path

    @property
    def scratch(self) -> Path:
        """Room for files that are gone when the tuning is."""
        return self.folder / SCRATCH

    def count(self) -> int:
        """Trials on record."""
        return len(_lines(self.folder / RECORDS))

    def sittings(self) -> Sittings:
        """What is noted; nothing for a folder that is new, or whose note is damaged."""
        try:
            return Sittings(**json.loads((self.folder / STATE).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return Sittings()

    def note(self, sittings: Sittings) -> None:
        """Keep this, whole or not at all."""
        write_whole(self.folder / STATE, json.dumps(asdict(sittings)).encode())

    def open(self) -> Sittings:
        """Make the folder fit for use: seeded where it is new, without torn lines where a sitting was killed.

        Returns:
            What is known about earlier sittings.
        """
        if not self.folder.exists():
            self._seed()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._mend()
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        return self.sittings()

    def discard(self) -> None:
        """Begin anew: the tables cannot be read, although each line is JSON."""
        for name in (RECORDS, WORKLOADS, STATE):
            (self.folder / name).unlink(missing_ok=True)

    def _seed(self) -> None:
        """Copy the largest finished tuning of fewer trials; one of more trials would promise what it did not do."""
        question, _, trials = self.folder.name.rpartition("-")
        smaller = {}
        for path in self.folder.parent.glob(f"{question}-*"):
            number = path.name.rpartition("-")[2]
            if number.isdecimal() and int(number) < int(trials) and Records(path).sittings().finished:
                smaller[int(number)] = Records(path)
        if not smaller:
            return
        source = smaller[max(smaller)]
        source._mend()  # noqa: SLF001  # the same class
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=self.folder.parent) as folder:
            copy = Records(Path(folder) / self.folder.name)
            copy.folder.mkdir()
            for name in (WORKLOADS, RECORDS):
                shutil.copyfile(source.folder / name, copy.folder / name)
            copy.note(Sittings(spent_s=source.sittings().spent_s, seeded=source.count()))
            copy.folder.replace(self.folder)

    def _mend(self) -> None:
        """Drop what a killed process left half-written.

        Records tell their workload by its line's number: what follows a torn workload has lost its number.
        """
        workloads = _keep(self.folder / WORKLOADS, lambda line: isinstance(line, list), to_the_first_bad=True)
        _keep(
            self.folder / RECORDS,
            lambda line: isinstance(line, list) and len(line) == 2 and line[0] in range(workloads),
            to_the_first_bad=False,
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time: two that wrote into the same tables would mix up their numbers.

    The system lets go of the lock when its holder dies, however that is.
    """
    import fcntl

    with folder.with_name(f"{folder.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except OSError:
        return []


def _keep(path: Path, good: Callable[[Any], bool], *, to_the_first_bad: bool) -> int:
    """Rewrite a table without its bad lines, if it has any; the number of lines that are left."""
    lines, kept = _lines(path), []
    for line in lines:
        # A line is written in one go, its end last: without it, it is torn.
        if line.endswith(b"\n") and _parses(line, good):
            kept.append(line)
        elif to_the_first_bad:
            break
    if kept != lines:
        write_whole(path, b"".join(kept))
    return len(kept)


def _parses(line: bytes, good: Callable[[Any], bool]) -> bool:
    try:
        return good(json.loads(line))
    except (ValueError, RecursionError):
        return False
