"""The files that a gate leaves for other tools: written when it has come to its end, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Wanted:
    """Where to write what; None for not at all.

    Attributes:
        junit: JUnit XML.
        summary: Markdown is added to it.
        pytest_benchmark: a folder for two files.
        action_benchmark: JSON.
    """

    junit: Path | None = None
    summary: Path | None = None
    pytest_benchmark: Path | None = None
    action_benchmark: Path | None = None

    def check(self) -> None:
        """Refuse before minutes are spent.

        Raises:
            UserError: a folder is missing or cannot be made.
        """
        try:
            if self.pytest_benchmark is not None:
                self.pytest_benchmark.mkdir(parents=True, exist_ok=True)
            for path in self._files():
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise UserError(f"{path} is a folder; name a file")
                there = path.exists()
                path.open("ab").close()
                if not there:
                    path.unlink()
        except OSError as error:
            raise UserError(f"{error.filename} cannot be written: {error.strerror}; name another place") from None

    def _files(self) -> Iterator[Path]:
        yield from (path for path in (self.junit, self.summary, self.action_benchmark) if path is not None)


def write(path: Path, wanted: Wanted) -> None:
    """Write what is wanted of a finished gate; of one that was stopped, nothing.

    Raises:
        UserError: a file cannot be written; the run file has everything.
    """
    from reports import gate as gates
    from reports import gate_formats as formats
    from results.gate import of_run
    from results.gate_spec import SIDES
    from results.runfile import RunFile
    from results.summary import summarise

    with RunFile.read(path) as run:
        facts, specs, records = run.facts(), run.cells(), list(run.records())
    outcome = of_run(facts, summarise(specs, records), records)
    if outcome is None:
        return
    try:
        if wanted.junit is not None:
            wanted.junit.write_text(formats.junit(outcome, records), "utf-8")
        if wanted.summary is not None:
            with wanted.summary.open("a", encoding="utf-8") as file:
                file.write(gates.markdown(outcome))
        if wanted.action_benchmark is not None:
            wanted.action_benchmark.write_text(formats.action_benchmark(outcome), "utf-8")
        if wanted.pytest_benchmark is not None:
            for side in SIDES:
                text = formats.pytest_benchmark(outcome, side, facts, records)
                (wanted.pytest_benchmark / f"{side}.json").write_text(text, "utf-8")
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be written: {error.strerror}; the gate's verdict is in {path}, and "
            f"'rtfloor show {path}' tells it again"
        ) from None
