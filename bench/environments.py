"""Named versions of runtimes, each in a cached environment of its own, so that several can be measured in one run.

An environment is complete when its note is there, which is written last; one without is wiped and made again. While it
is used, its lock is held in common; while it is made, alone. The installer inherits the lock, so that one that
outlives a killed rtfloor still keeps others out.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.inside import normal
from bench.installers import Complaint, Installer, Wanted, choose, complaint, newest
from bench.spawn import ROOT, worker_environment
from bench.version_needs import Extra, attempts, differences, extra_of, ours, with_old_numpy
from runtimes import registry
from runtimes.errors import UnavailableError
from runtimes.gpu.options import probe_gpu
from runtimes.installed import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtimes.base import Runtime

# Part of every folder's name: raise it when environments must be made again.
RECIPE = 1
NOTE = "rtfloor.json"
PACKAGES = ("bench", "models", "reports", "results", "runtimes")
# torch for GPUs is several gigabytes.
INSTALL_TIMEOUT_S = 3600.0
LOOK_TIMEOUT_S = 300.0
# How the line begins with which bench.inside answers.
ANSWER = '{"python"'
PATIENCE_S = 0.2


@dataclass(frozen=True)
class Environment:
    """One that is ready.

    Attributes:
        folder: where it is.
        probe: what the runtime's adapter says of it from inside.
        facts: ``python``, ``packages`` (name to version), ``installer``, ``took_s`` and ``warnings``.
        outside: what a worker would import in the runtime's place, where that lies elsewhere.
    """

    folder: Path
    probe: Probe
    facts: Mapping[str, Any]
    outside: str

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return interpreter(self.folder)


class Environments:
    """Environments of named versions, made when they are first asked for.

    Args:
        folder: of the cache; one folder, lock and log below it for each.
        say: is told, in one line, what is being done.
        installer: chooses what fills them.
    """

    def __init__(
        self, folder: Path, say: Callable[[str], None], installer: Callable[[bool], Installer] | None = None
    ) -> None:
        self._folder, self._say = folder, say
        self._installer = installer or (lambda by_pip: choose(by_pip=by_pip))
        self._known: dict[str, Environment | UnavailableError] = {}
        self._locks: dict[Path, int] = {}

    @property
    def facts(self) -> dict[str, Mapping[str, Any]]:
        """Of every environment that is ready: the runtime as it was named, and :attr:`Environment.facts`."""
        return {name: found.facts for name, found in self._known.items() if isinstance(found, Environment)}

    @property
    def warnings(self) -> list[str]:
        """What else differs between versions, one sentence each."""
        return [warning for facts in self.facts.values() for warning in facts["warnings"]]

    def get(self, runtime: str) -> Environment:
        """The environment of a runtime with a version; it is used by this process from now on.

        Raises:
            UnavailableError: there can be none; says which version of what, why, and what to do next.
        """
        if runtime not in self._known:
            try:
                self._known[runtime] = self._ready(runtime)
            except UnavailableError as error:
                self._known[runtime] = error
        found = self._known[runtime]
        if isinstance(found, UnavailableError):
            raise found
        return found

    def worker(self, runtime: str) -> dict[str, str]:
        """What a worker's request has more for a runtime with a version; nothing for one without."""
        found = self._known.get(runtime)
        return {"python": str(found.python), "root": str(self._root())} if isinstance(found, Environment) else {}

    def close(self) -> None:
        """Others may change them again."""
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    def _ready(self, runtime: str) -> Environment:
        adapter, version = registry.get(runtime), registry.version(runtime)
        if registry.plain(runtime) not in registry.BUILT_IN:
            raise UnavailableError(
                f"{registry.plain(runtime)} comes from another package, which rtfloor cannot install in two versions; "
                f"install the one that you want beside rtfloor, and leave out @{version}"
            )
        if not adapter.distributions:
            raise UnavailableError(f"{registry.plain(runtime)} is part of rtfloor and has no versions")
        if adapter.device == "gpu" and not (gpu := probe_gpu(lambda: Probe(True, version))).available:
            raise UnavailableError(f"{gpu.reason}; to mend it: {gpu.remedy}")
        folder = self._folder / _folder_name(adapter, version, extra_of(runtime))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = self._locked(runtime, adapter, version, folder)
        except OSError as error:
            raise UnavailableError(f"an environment for {runtime} cannot be made in {folder}: {error}") from error
        return _usable(found, adapter, version)

    def _locked(self, runtime: str, adapter: Runtime, version: str, folder: Path) -> Environment:
        """The environment, complete, and its lock held in common; without one no lock is held."""
        try:
            self._lock(folder)
            found = self._intact(runtime, folder)
            if found is None:
                self._lock(folder, alone=True)
                # Another rtfloor may have made it in the meantime.
                found = self._intact(runtime, folder) or self._made(runtime, adapter, version, folder)
                self._lock(folder)
        except (OSError, UnavailableError):
            if (lock := self._locks.pop(folder, None)) is not None:
                os.close(lock)
            raise
        return found

    def _intact(self, runtime: str, folder: Path) -> Environment | None:
        """The environment as it was made; None where it is half-made, or somebody has changed it since."""
        try:
            facts = json.loads((folder / NOTE).read_text("utf-8"))
            seen = self._look(runtime, folder)
            same = facts["packages"] == seen["packages"] and facts["python"] == seen["python"]
        except (OSError, ValueError, KeyError, TypeError, UnavailableError):
            return None
        return Environment(folder, Probe(**seen["probe"]), facts, seen["outside"]) if same else None

    def _made(self, runtime: str, adapter: Runtime, version: str, folder: Path) -> Environment:
        distribution, extra = adapter.distributions[0], extra_of(runtime)
        self._say(f"installing {distribution} {version} into an environment of its own")
        begin = time.monotonic()
        installer = self._installer(extra.by_pip)
        refused = self._filled(folder, installer, attempts(adapter, version, extra))
        if refused is not None:
            _wipe(folder)
            after = refused.next or f"all that the installer said is in {_log(folder)}"
            raise UnavailableError(f"{distribution} {version} cannot be installed: {refused.reason}; {after}")
        seen = self._look(runtime, folder, start=True)
        failed, old = seen["failed"], ""
        if failed and not seen["packages"].get("numpy", "").startswith("1."):
            old = "it cannot be imported with NumPy 2"
            if self._filled(folder, installer, [with_old_numpy(adapter, version, extra)]) is None:
                seen = self._look(runtime, folder, start=True)
                failed = seen["failed"] and failed
        if failed:
            _wipe(folder)
            raise UnavailableError(
                f"{distribution} {version} can be installed, but not imported ({failed}); try another version"
            )
        facts = {
            "python": seen["python"],
            "packages": seen["packages"],
            "installer": installer.name,
            "took_s": round(time.monotonic() - begin, 1),
            "warnings": differences(runtime, seen, old or "no other can be installed beside it"),
        }
        unfinished = folder / f"{NOTE}.unfinished"
        unfinished.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        unfinished.replace(folder / NOTE)
        return Environment(folder, Probe(**seen["probe"]), facts, seen["outside"])

    def _filled(self, folder: Path, installer: Installer, attempts: list[Wanted]) -> Complaint | None:
        """Make the environment and fill it by the first attempt that can be had; None when it is done."""
        _wipe(folder)
        log = _log(folder)
        with log.open("w", encoding="utf-8") as file, tempfile.TemporaryDirectory(prefix="rtfloor-") as aside:
            status, said = self._run(installer.create(folder), folder, file)
            if status:
                return complaint(said, attempts[0])
            found = Complaint("nothing was tried")
            for wanted in attempts:
                constraints = Path(aside) / "constraints.txt"
                constraints.write_text("".join(f"{line}\n" for line in wanted.constraints))
                status, said = self._run(installer.install(interpreter(folder), wanted, constraints), folder, file)
                if not status:
                    return None
                found = complaint(said, wanted)
                if found.final:
                    break
            asked = installer.newest(interpreter(folder), attempts[0].distribution)
            if not found.next and asked:
                status, said = self._run(asked, folder, file)
                if not status and (version := newest(said, attempts[0].distribution)):
                    here = f"Python {sys.version_info.major}.{sys.version_info.minor}"
                    found = Complaint(found.reason, f"the newest for {here} and this machine is {version}")
        return found

    def _run(self, command: list[str], folder: Path, log: Any) -> tuple[int, str]:
        """Exit status and output of one command of an installer."""
        process = subprocess.Popen(
            command,
            # Settings of a project in the folder that a user is in are no business of this environment.
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=[self._locks[folder]],
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=INSTALL_TIMEOUT_S)
            status = process.returncode
        except subprocess.TimeoutExpired:
            status, said = 1, f"error: the installer had not finished after {INSTALL_TIMEOUT_S / 60:g} minutes"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.write(f"$ {' '.join(command)}\n{said}\n")
        return status, said

    def _look(self, runtime: str, folder: Path, *, start: bool = False) -> dict[str, Any]:
        """What :mod:`bench.inside` tells."""
        command = [str(interpreter(folder)), "-P", "-m", "bench.inside", runtime, *(["start"] if start else [])]
        try:
            result = subprocess.run(
                command,
                env=worker_environment({}, self._root()),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LOOK_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            said = f"the environment of {runtime} gave no answer within {LOOK_TIMEOUT_S:g} s; try another version"
            raise UnavailableError(said) from None
        if result.returncode:
            last = (result.stderr.strip().splitlines() or [""])[-1][:200]
            raise UnavailableError(
                f"the environment of {runtime} does not work: {last or f'status {result.returncode}'}"
            )
        # A library may print after us, as it ends.
        lines = [line for line in result.stdout.splitlines() if line.startswith(ANSWER)]
        if not lines:
            raise UnavailableError(f"the environment of {runtime} does not say what is in it; try another version")
        seen: dict[str, Any] = json.loads(lines[-1])
        return seen

    def _lock(self, folder: Path, *, alone: bool = False) -> None:
        """Hold an environment's lock, alone or in common, for as long as this process lives."""
        if folder not in self._locks:
            self._locks[folder] = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
        told = False
        while True:
            try:
                fcntl.flock(self._locks[folder], (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    self._say(f"waiting for another rtfloor that uses or makes {folder.name}")
                told = True
                time.sleep(PATIENCE_S)
            else:
                return

    def _root(self) -> Path:
        """The folder from which a worker gets rtfloor, and nothing else.

        An installed rtfloor lies beside the packages of its own environment, which a worker would find first.
        """
        if not any(ROOT.glob("*.dist-info")):
            return ROOT
        folder = self._folder / f"rtfloor-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]}"
        folder.mkdir(exist_ok=True)
        for package in PACKAGES:
            with suppress(FileExistsError):
                (folder / package).symlink_to(ROOT / package)
        return folder


def interpreter(folder: Path) -> Path:
    """The Python of the environment in a folder."""
    return folder / "bin" / "python"


def cached(folder: Path) -> list[dict[str, Any]]:
    """Complete environments below the cache's folder: ``name``, ``folder``, ``bytes``, and what their notes say."""
    found = []
    for note in sorted(folder.glob(f"*/{NOTE}")):
        with suppress(OSError, ValueError):
            facts = json.loads(note.read_text("utf-8"))
            size = sum(file.lstat().st_size for file in note.parent.rglob("*") if not file.is_dir())
            found.append({"name": note.parent.name, "folder": str(note.parent), "bytes": size, **facts})
    return found


def _folder_name(adapter: Runtime, version: str, extra: Extra) -> str:
    """Readable, and another one for everything that shapes what is in it."""
    python = os.path.realpath(sys.executable)
    shape = [RECIPE, python, platform.python_version(), platform.machine(), ours(), repr(extra)]
    digest = hashlib.sha256(json.dumps([adapter.distributions[0], version, *shape]).encode()).hexdigest()[:10]
    short = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return f"{adapter.distributions[0]}-{version}-{short}-{digest}"


def _usable(found: Environment, adapter: Runtime, version: str) -> Environment:
    """The environment, unless something else than it would be measured.

    Raises:
        UnavailableError: PYTHONPATH brings another copy, or the versions do not agree.
    """
    if found.outside:
        raise UnavailableError(
            f"{adapter.distributions[0]} {version} is installed, but a worker would import {found.outside} "
            "in its place; take that off PYTHONPATH"
        )
    there = found.facts["packages"].get(normal(adapter.distributions[0]))
    if found.probe.available and found.probe.version != there:
        raise UnavailableError(
            f"{adapter.distributions[0]} {there} is installed, but a worker finds {found.probe.version}; "
            f"delete {found.folder}, and it is made again"
        )
    return found


def _log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _wipe(folder: Path) -> None:
    if folder.exists():
        # The note first: what is left of a folder that cannot be wiped must not pass for complete.
        (folder / NOTE).unlink(missing_ok=True)
        shutil.rmtree(folder)
