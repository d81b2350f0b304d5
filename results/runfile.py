"""Run files: one SQLite file per run, one transaction per finished process.

A process is committed as it ends, so that whatever happens to the parent loses at most the
process in flight. The file is an ordinary database of three tables: ``run`` (key, JSON value),
``cell`` (the plan's cells in order, with the reason when one cannot be measured at all) and
``process`` (one row per process, samples as little-endian 64-bit integers).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from results.errors import RunFileError
from results.sound import facts_of_run, record_of, spec_of_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from results.record import Record

SCHEMA_VERSION = 1
APPLICATION_ID = 0x52544631  # "RTF1"
SCHEMA = (
    "CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE cell (id TEXT PRIMARY KEY, position INTEGER NOT NULL, spec TEXT NOT NULL, status TEXT, reason TEXT)",
    (
        "CREATE TABLE process (cell TEXT NOT NULL REFERENCES cell (id), round INTEGER NOT NULL, "
        "status TEXT NOT NULL, reason TEXT NOT NULL, started_at TEXT NOT NULL, facts TEXT NOT NULL, "
        "wall_ns BLOB NOT NULL, cpu_ns BLOB NOT NULL, warmup INTEGER NOT NULL, PRIMARY KEY (cell, round))"
    ),
)


class RunFile:
    """An open run file; use it as a context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, Any], cells: Mapping[str, Mapping[str, Any]]) -> Self:
        """A new run file.

        Args:
            path: must not exist; its folder is made.
            facts: goes into the ``run`` table, JSON values.
            cells: id → specification, in the plan's order.

        Raises:
            RunFileError: it cannot be written there.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        except OSError as error:
            raise RunFileError(
                f"no run file can be written in {path.parent}: {error.strerror}; "
                "name a folder you can write to with --results DIR"
            ) from None
        run = cls._open(path, descriptor)
        try:
            run.fill(facts, cells)
        except BaseException:
            run.close()
            path.unlink(missing_ok=True)  # an empty one would stand in the way of 'latest'
            raise
        return run

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open for reading; works while the run is still going on.

        Raises:
            RunFileError: it is missing, no run file, or of another version.
        """
        if not path.is_file():
            raise RunFileError(f"there is no run file {path}; 'rtfloor show' lists the ones there are")
        try:
            # A writer that was killed in mid-commit leaves a journal that the next to open the file
            # rolls back, so a file that we may write is opened for writing, and then never written.
            mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise RunFileError(f"run file {path} cannot be opened: {error}") from None
        run = cls(path, connection, None)
        try:
            run._check_version()
        except RunFileError:
            run.close()
            raise
        return run

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Open for going on with a run.

        Raises:
            RunFileError: as :meth:`read`, or another process is writing it right now.
        """
        cls.read(path).close()
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise RunFileError(f"run file {path} cannot be written: {error.strerror}") from None
        return cls._open(path, descriptor)

    @classmethod
    def _open(cls, path: Path, descriptor: int) -> Self:
        try:
            # Held as long as the file is open for writing, and given up by the kernel however we end.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise RunFileError(f"run file {path} is being written by another rtfloor; wait for it or stop it") from None
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            os.close(descriptor)
            raise RunFileError(f"run file {path} cannot be opened for writing: {error}") from None
        return cls(path, connection, descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, then give up the lock: the other order would drop SQLite's own locks."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def fill(self, facts: Mapping[str, Any], cells: Mapping[str, Mapping[str, Any]]) -> None:
        """Make the tables of a new, empty file, all or nothing."""
        with self._writing():
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for statement in SCHEMA:
                self._db.execute(statement)
            self._db.executemany("INSERT INTO run VALUES (?, ?)", [(k, json.dumps(v)) for k, v in facts.items()])
            self._db.executemany(
                "INSERT INTO cell VALUES (?, ?, ?, NULL, NULL)",
                [(name, position, json.dumps(spec)) for position, (name, spec) in enumerate(cells.items())],
            )

    def facts(self) -> dict[str, Any]:
        """The ``run`` table; a table in it that is null is left out.

        Raises:
            RunFileError: it cannot be read, or holds what no run writes; the same for cells and records.
        """
        with self._reading():
            return facts_of_run(self._db.execute("SELECT key, value FROM run").fetchall())

    def cells(self) -> dict[str, dict[str, Any]]:
        """Specification of every cell in the plan's order, with what was said of it as a whole.

        ``status`` and ``reason`` are None unless the cell cannot be measured at all.
        """
        query = "SELECT id, spec, status, reason FROM cell ORDER BY position"
        with self._reading():
            return {
                name: {**spec_of_cell(name, spec), "status": status, "reason": reason}
                for name, spec, status, reason in self._db.execute(query)
            }

    def records(self) -> Iterator[Record]:
        """Every finished process, in the order of rounds."""
        query = "SELECT cell, round, status, reason, started_at, facts, wall_ns, cpu_ns, warmup FROM process"
        with self._reading():
            for row in self._db.execute(f"{query} ORDER BY round, rowid"):
                yield record_of(row)

    def set_fact(self, key: str, value: Any) -> None:
        """Write one entry of the ``run`` table."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, json.dumps(value)))

    def set_cell(self, cell: str, status: str | None, reason: str | None) -> None:
        """Say of a whole cell that it cannot be measured, and why; None takes it back."""
        with self._writing():
            self._db.execute("UPDATE cell SET status = ?, reason = ? WHERE id = ?", (status, reason, cell))

    def add(self, record: Record) -> None:
        """Commit one finished process.

        Raises:
            RunFileError: it cannot be written, for instance because the disk is full; everything
                committed before stays.
        """
        values = (
            record.cell,
            record.round,
            record.status,
            record.reason,
            record.started_at,
            json.dumps(dict(record.facts)),
            record.wall_ns.astype("<i8").tobytes(),
            record.cpu_ns.astype("<i8").tobytes(),
            record.warmup,
        )
        with self._writing():
            self._db.execute("INSERT INTO process VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _check_version(self) -> None:
        with self._reading():
            application = self._db.execute("PRAGMA application_id").fetchone()[0]
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise RunFileError(f"{self.path} is not an rtfloor run file; runs are made by 'rtfloor run'")
        if version > SCHEMA_VERSION:
            raise RunFileError(
                f"run file {self.path} has schema version {version}; this rtfloor reads up to {SCHEMA_VERSION}: "
                "update rtfloor to open it"
            )
        if version < SCHEMA_VERSION:
            raise RunFileError(
                f"run file {self.path} has schema version {version}, which this rtfloor ({SCHEMA_VERSION}) "
                "no longer reads; open it with the version that wrote it"
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, ValueError) as error:
            raise RunFileError(f"run file {self.path} cannot be read: {error}; is it an rtfloor run file?") from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: whatever stops it, nothing of it stays."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                raise
            raise RunFileError(
                f"run file {self.path} cannot be written: {error}; what was measured before stays in it. "
                f"Make room, then go on with 'rtfloor run --resume {self.path}'"
            ) from None
