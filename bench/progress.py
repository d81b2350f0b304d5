"""Progress on stderr: a bar for a person, plain lines for a log, nothing when asked for silence.

The bar is redrawn only between processes: a thread that redraws while a worker is being timed
would compete with it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from bench.plan import Cell
    from results.record import Record


class Bar:
    """Draws on a terminal; implements :class:`bench.run.Watcher`."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("", total=1.0, left="")
        self._budget_s = 0.0
        self._processes = 0

    def say(self, text: str) -> None:
        """One step of preparation."""
        self._progress.update(self._task, description=text)
        self._progress.start()
        self._progress.refresh()

    def begin(self, cells: int, budget_s: float) -> None:
        """Measuring starts."""
        self._budget_s = budget_s
        self.say(f"measuring {cells} cells")

    def before(self, cell: Cell, number: int, elapsed_s: float) -> None:
        """A process is about to start."""
        self._progress.update(self._task, description=f"round {number + 1}: {cell.id}")
        self._progress.refresh()

    def after(self, cell: Cell, record: Record, elapsed_s: float, processes_left: int) -> None:
        """A process has ended."""
        self._processes += 1
        left_s = time_left_s(elapsed_s, self._budget_s, self._processes, processes_left)
        share = elapsed_s / (elapsed_s + left_s) if elapsed_s + left_s > 0 else 1.0
        self._progress.update(self._task, completed=share, left=f"at most {_clock(left_s)} left")
        self._progress.refresh()
        if record.status != "ok":
            # As plain text: a reason may have brackets of its own.
            line = Text.assemble((record.status, "red"), f" {cell.id}: {record.reason}")
            self._progress.print(line, highlight=False)

    def end(self) -> None:
        """Wipe the bar."""
        self._progress.stop()


class Lines:
    """One line per step and per round, for logs; implements :class:`bench.run.Watcher`."""

    def __init__(self) -> None:
        self._round = -1

    def say(self, text: str) -> None:
        """One step of preparation."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def begin(self, cells: int, budget_s: float) -> None:
        """Measuring starts."""
        self.say(f"measuring {cells} cells, at most {_clock(budget_s)} after every cell was measured once")

    def before(self, cell: Cell, number: int, elapsed_s: float) -> None:
        """A process is about to start; a line per round."""
        if number != self._round:
            self._round = number
            self.say(f"round {number + 1}, {_clock(elapsed_s)} so far")

    def after(self, cell: Cell, record: Record, elapsed_s: float, processes_left: int) -> None:
        """A process has ended; a line when it failed."""
        if record.status != "ok":
            self.say(f"{record.status} {cell.id}: {record.reason}")

    def end(self) -> None:
        """Nothing to wipe."""


def watcher() -> Bar | Lines:
    """The one that suits stderr."""
    return Bar() if sys.stderr.isatty() else Lines()


def time_left_s(elapsed_s: float, budget_s: float, done: int, left: int) -> float:
    """An upper bound for the time left: what is left of the budget, or less when few processes are."""
    by_count = elapsed_s / done * left if done else budget_s
    return max(0.0, min(by_count, max(budget_s - elapsed_s, 0.0)) if done else budget_s)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
