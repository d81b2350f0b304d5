"""uv and pip: how each makes an environment and fills it, and what it says, in one line, when it cannot."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runtimes.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

REASON_MOST = 300
NAMED_MOST = 6
# Of either program, where the index of packages does not answer.
UNREACHABLE = (
    *("failed to fetch", "error sending request", "dns error", "tunnel error", "connection refused"),
    *("newconnectionerror", "max retries exceeded", "temporary failure in name resolution", "network is unreachable"),
    *("certificate verify failed", "connecttimeout", "proxyerror", "name or service not known"),
)
FULL = "no space left on device"
# A version that is nobody's first choice.
UNFINISHED = re.compile(r"(a|b|rc|\.dev)\d+$")


@dataclass(frozen=True)
class Wanted:
    """What an environment shall hold.

    Attributes:
        distribution: of the runtime.
        extras: of it, in brackets.
        version: of it.
        beside: requirements that come with it.
        constraints: versions of whatever else is needed, should it be needed.
        wheels: distributions that must not be built from their source, which can take hours.
    """

    distribution: str
    extras: str
    version: str
    beside: tuple[str, ...]
    constraints: tuple[str, ...]
    wheels: tuple[str, ...]

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that is asked for by name."""
        return (f"{self.distribution}{self.extras}=={self.version}", *self.beside)


@dataclass(frozen=True)
class Complaint:
    """Why nothing was installed.

    Attributes:
        reason: in one line, without a full stop.
        next: what to do about it; empty where the installer does not know either.
        final: whether other packages beside it would change nothing.
    """

    reason: str
    next: str = ""
    final: bool = False


class Installer(Protocol):
    """A program that makes environments."""

    @property
    def name(self) -> str:
        """Which program, and which version of it where that is known."""

    def create(self, folder: Path) -> list[str]:
        """The command that makes an empty environment of this Python."""

    def install(self, python: Path, wanted: Wanted, constraints: Path) -> list[str]:
        """The command that fills it; ``constraints`` is a file that has ``wanted.constraints``."""

    def newest(self, python: Path, distribution: str) -> list[str]:
        """The command whose answer names the newest version, for one that does not name them all; or none."""


@dataclass(frozen=True)
class Uv:
    """uv, which keeps packages between environments, so that a second one costs next to no time or disk."""

    binary: str
    name: str

    def create(self, folder: Path) -> list[str]:
        return [self.binary, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)]

    def install(self, python: Path, wanted: Wanted, constraints: Path) -> list[str]:
        wheels = [word for name in wanted.wheels for word in ("--only-binary", name)]
        return [*self._pip(python), *wheels, "--constraints", str(constraints), *wanted.requirements]

    def newest(self, python: Path, distribution: str) -> list[str]:
        return [*self._pip(python), "--dry-run", "--no-deps", "--only-binary", distribution, distribution]

    def _pip(self, python: Path) -> list[str]:
        return [self.binary, "pip", "install", "--no-progress", "--color", "never", "--python", str(python)]


@dataclass(frozen=True)
class Pip:
    """pip, with the standard library's own environments."""

    name: str = "pip"

    def create(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "venv", str(folder)]

    def install(self, python: Path, wanted: Wanted, constraints: Path) -> list[str]:
        wheels = ("--only-binary", ",".join(wanted.wheels))
        # -I: a package that lies on PYTHONPATH would count as installed.
        command = [str(python), "-I", "-m", "pip", "install", "--no-input", "--no-color", "--progress-bar", "off"]
        return [*command, "--disable-pip-version-check", *wheels, "-c", str(constraints), *wanted.requirements]

    def newest(self, python: Path, distribution: str) -> list[str]:
        return []


def choose(*, by_pip: bool) -> Installer:
    """The program uv where there is one and nothing speaks against it, else pip.

    Raises:
        UnavailableError: there is neither.
    """
    found = None if by_pip else _uv()
    if found is not None:
        return found
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise UnavailableError(
            "an environment of its own cannot be made: this Python has neither venv nor ensurepip; "
            + (
                "install the system's package for them, such as python3-venv"
                if by_pip
                else "to mend it: pip install uv"
            )
        )
    return Pip()


def _uv() -> Uv | None:
    binaries = [shutil.which("uv")]
    if importlib.util.find_spec("uv") is not None:
        import uv

        with suppress(FileNotFoundError):
            binaries.insert(0, str(uv.find_uv_bin()))
    for binary in filter(None, binaries):
        # One on the path may be a shim that has nothing behind it.
        try:
            said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        return Uv(binary, " ".join(said.split()[:2]))
    return None


def complaint(said: str, wanted: Wanted) -> Complaint:
    """What an installer's output comes to."""
    text = " ".join(re.sub(r"[×│╰├─▶]", " ", said).split())
    low = text.lower()
    if FULL in low:
        return Complaint(FULL.capitalize(), "make room, or put the cache elsewhere with RTFLOOR_CACHE", final=True)
    if any(sign in low for sign in UNREACHABLE):
        return Complaint(
            f"the package index cannot be reached ({_last_line(said)})",
            "try again with a network; a version that was installed before needs none",
            final=True,
        )
    if found := re.search(
        r"Could not find a version that satisfies the requirement (\S+) .*?\(from versions: (.*?)\)", text
    ):
        return _pip_knows_none(found[1], found[2], wanted)
    if found := re.search(r"Because (.+?),? we can conclude", text):
        reason = re.sub(r",? and you require .*$", "", found[1])
        exact = f"{wanted.distribution}{wanted.extras}=={wanted.version}"
        final = reason.startswith((f"there is no version of {exact}", f"{wanted.distribution} was not found", exact))
        return Complaint(_short(reason), final=final and " depends on " not in reason)
    return Complaint(_short(_last_line(said)) or "the installer did not say why")


def newest(said: str, distribution: str) -> str:
    """The version that a dry run would install; empty where it would install none."""
    found = re.search(rf"\+ {re.escape(distribution)}==(\S+)", said)
    return found[1] if found else ""


def _pip_knows_none(requirement: str, listed: str, wanted: Wanted) -> Complaint:
    here = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    final = requirement.startswith(f"{wanted.distribution}==")
    if listed == "none":
        return Complaint(f"pip finds nothing for {requirement} that fits {here} and this machine", final=final)
    versions = [version for version in listed.split(", ") if not UNFINISHED.search(version)]
    reason = f"pip finds no {requirement} that fits {here} and this machine"
    return Complaint(reason, f"the newest that do are {', '.join(versions[-NAMED_MOST:])}", final=final)


def _last_line(said: str) -> str:
    """The line that says most: the last that is no hint."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if not line.lower().startswith(("hint", "warning", "[notice]", "note"))]
    return re.sub(r"^(error|cause|caused by): ", "", telling[-1], flags=re.IGNORECASE) if telling else ""


def _short(text: str) -> str:
    text = text.rstrip(". ")
    return text if len(text) <= REASON_MOST else f"{text[: REASON_MOST - 1]}…"
