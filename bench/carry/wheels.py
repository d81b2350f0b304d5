"""Which wheels to carry, and where they come from."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

# What a machine with CUDA, numpy and onnx still lacks; which versions, the project's own extras say.
DEFAULTS = ("onnxruntime-gpu", "apache-tvm", "apache-tvm-ffi")
EXTRAS = {'extra == "gpu"', 'extra == "cpu"'}
# glibc 2.17 is the oldest that wheels are still built for; pip wants every tag by its own name.
GLIBC_MINORS = range(17, 42)

# Runs pip with arguments; returns its exit code and what it printed.
Runner = Callable[[Sequence[str]], tuple[int, str]]


@dataclass(frozen=True)
class Wheel:
    """A wheel file and what its name says."""

    path: Path
    name: str
    version: str
    tags: tuple[str, str, str]

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The oldest glibc it runs with, by the easiest of its tags; None where that does not matter."""
        found = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", self.tags[2])]
        return min(found, default=None)


def pinned(packages: Sequence[str] = ()) -> list[str]:
    """Requirements as this project's extras state them, for the defaults or for names that have no version.

    Raises:
        UserError: the project is not installed, so that nothing says which versions it wants.
    """
    try:
        stated = metadata.requires("rtfloor") or []
    except metadata.PackageNotFoundError:
        raise UserError(
            "rtfloor is not installed here, so its pins are unknown; run 'pip install -e .' first"
        ) from None
    pins: dict[str, str] = {}
    for line in stated:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if marker.replace("'", '"') in EXTRAS:
            # What an extra brings along is no part of the wheel.
            bare = re.sub(r"\[[^\]]*\]", "", requirement)
            pins[canonical(re.split(r"[^\w.-]", bare, maxsplit=1)[0])] = bare
    return [pins.get(canonical(name), name) for name in packages or DEFAULTS]


def fetch(requirements: Sequence[str], into: Path, python: str, machine: str, pip: Runner | None = None) -> list[Wheel]:
    """Download the wheels of exactly these packages, without what they depend on.

    Args:
        requirements: such as ``apache-tvm==0.27.0``.
        into: an empty folder.
        python: of the machine they are for, such as ``3.12``.
        machine: ``x86_64`` or ``aarch64``.
        pip: runs pip with arguments and returns its exit code and output.

    Raises:
        UserError: pip could not get one; says what pip said.
    """
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    arguments += [f"--platform={tag}" for tag in platforms]
    code, output = (pip or run_pip)([*arguments, "--dest", str(into), *requirements])
    if code:
        errors = [line for line in output.splitlines() if line.upper().startswith("ERROR")] or output.splitlines()[-3:]
        said = " / ".join(line.strip() for line in errors) or "nothing"
        raise UserError(
            f"pip could not download {', '.join(requirements)} for Python {python} on {machine}; it said: {said}. "
            "Wheels that are here already can be named with --wheels"
        )
    return in_folder(into)


def in_folder(folder: Path, requirements: Sequence[str] = ()) -> list[Wheel]:
    """The wheels of a folder: those of the named packages, or all.

    Raises:
        UserError: there is none for a name, or several, or one of another version than asked for.
    """
    wheels = [parse(path) for path in sorted(folder.glob("*.whl"))]
    if not requirements:
        if not wheels:
            raise UserError(f"there are no wheels in {folder}")
        return wheels
    chosen = []
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        named = [wheel for wheel in wheels if wheel.name == canonical(name)]
        found = [wheel for wheel in named if version in {"", wheel.version}]
        if len(found) != 1:
            there = ", ".join(wheel.path.name for wheel in named) or "none"
            raise UserError(f"{folder} must have exactly one wheel for {requirement}; it has: {there}")
        chosen += found
    return chosen


def parse(path: Path) -> Wheel:
    """What a wheel's file name says.

    Raises:
        UserError: it is no wheel's name.
    """
    parts = path.name.removesuffix(".whl").split("-")
    if len(parts) not in {5, 6}:
        raise UserError(f"{path.name} is no wheel's name: it must be NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    return Wheel(path, canonical(parts[0]), parts[1], (parts[-3], parts[-2], parts[-1]))


def canonical(name: str) -> str:
    """A package's name as indexes write it: ``apache_tvm`` and ``Apache.TVM`` are ``apache-tvm``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def run_pip(arguments: Sequence[str]) -> tuple[int, str]:
    """Run this Python's pip; returns its exit code and all it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout
