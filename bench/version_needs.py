"""What goes with a version: what its environment holds, what differs from ours, what it is too old for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench.inside import customised
from bench.installers import Wanted
from runtimes import registry
from runtimes.options import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtimes.base import Runtime
    from runtimes.options import Value

# What a worker needs of ours, and the least of it that will do, as in pyproject.toml.
NEEDED = {"numpy": ">=1.26", "onnx": ">=1.17"}
# Wheels from before NumPy 2 do not say that they cannot be imported with it.
OLD_NUMPY = "numpy>=1.26,<2"


@dataclass(frozen=True)
class Extra:
    """What a runtime's environment needs that its package does not ask for by itself.

    Attributes:
        extras: of the package, in brackets.
        beside: requirements.
        constraints: versions to keep to where they can be had.
        by_pip: whoever set pip up to fetch a small build did so for pip alone.
        built: its package is a small script that fetches the real ones, so it must be run.
    """

    extras: str = ""
    beside: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    by_pip: bool = False
    built: bool = False


# 0.1.15 crashes while it saves a tuned module.
FFI = ("apache-tvm-ffi==0.1.14.post1",)
CUPTI = "nvidia-cuda-cupti==13.0.*"
EXTRAS = {
    "tvm": Extra(constraints=FFI),
    "tvm-cuda": Extra(
        beside=("nvidia-cuda-nvcc>=13,<14", "nvidia-cuda-runtime>=13,<14", "nvidia-cuda-cccl>=13,<14"),
        constraints=FFI,
    ),
    # From an index it is gigabytes of CUDA, which a processor has no use for.
    "torch": Extra(by_pip=True),
    "torch-cuda": Extra(by_pip=True),
    "ort-cuda": Extra(extras="[cuda,cudnn]", beside=(CUPTI,)),
    "ort-tensorrt": Extra(extras="[cuda,cudnn]", beside=(CUPTI, "tensorrt-cu13>=10.16,<11")),
    "tensorrt": Extra(built=True),
}


def extra_of(runtime: str) -> Extra:
    """What a runtime needs beside its package."""
    return EXTRAS.get(registry.plain(runtime), Extra())


def ours() -> dict[str, str]:
    """Versions that every environment should share with ours, so that the runtime alone differs."""
    return {name: metadata.version(name) for name in NEEDED}


def attempts(adapter: Runtime, version: str, extra: Extra) -> list[Wanted]:
    """What to ask for, the likest to our own environment first."""
    pinned = tuple(f"{name}=={here}" for name, here in ours().items())
    free = tuple(f"{name}{least}" for name, least in NEEDED.items())
    return [
        _wanted(adapter, version, extra, beside, constraints)
        for constraints in dict.fromkeys([extra.constraints, ()])
        for beside in (pinned, free)
    ]


def with_old_numpy(adapter: Runtime, version: str, extra: Extra) -> Wanted:
    """What to ask for where a runtime cannot be imported with NumPy 2."""
    return _wanted(adapter, version, extra, (OLD_NUMPY, f"onnx{NEEDED['onnx']}"), extra.constraints)


def _wanted(
    adapter: Runtime, version: str, extra: Extra, beside: tuple[str, ...], constraints: tuple[str, ...]
) -> Wanted:
    distribution = adapter.distributions[0]
    wheels = (*NEEDED, *(() if extra.built else (distribution,)))
    return Wanted(distribution, extra.extras, version, (*beside, *extra.beside), constraints, wheels)


def differences(runtime: str, seen: Mapping[str, Any], why: str) -> list[str]:
    """What else than the runtime differs from our own environment, or from what is known to work.

    Args:
        runtime: with its version.
        seen: what :mod:`bench.inside` told.
        why: other packages could not be the same.
    """
    packages: Mapping[str, str] = seen["packages"]
    wished = dict(line.split("==") for line in extra_of(runtime).constraints)
    said = [
        f"{runtime} is measured with {name} {packages[name]}, where rtfloor itself uses {wanted}: {why}"
        for name, wanted in (ours() | wished).items()
        if packages.get(name, wanted) != wanted
    ]
    here = customised()
    if seen["custom"] != here:
        names = ", ".join(sorted({*seen["custom"], *here}))
        said.append(
            f"{runtime} starts with other customisations of Python ({names}) than a runtime without a version; "
            "compare it with another version, which starts alike"
        )
    return said


def too_new(adapter: Runtime, options: Mapping[str, Value], changed: Sequence[str], version: str | None) -> str:
    """Why an option that was changed cannot be had in this version; empty where all of them can.

    Args:
        adapter: declares since when there are which.
        options: every one.
        changed: names of those that differ from their defaults.
        version: what would run.
    """
    for option in adapter.options:
        if option.name in changed and option.since and version and _release(version) < _release(option.since):
            asked = f"{option.name}={text(options[option.name])}"
            needed = f"{(adapter.distributions or (adapter.name,))[0]} {option.since}"
            return f"{asked} needs {needed} or newer; {version} would take it without a word"
    return ""


def _release(version: str) -> tuple[int, ...]:
    """What orders versions, as far as features go: the numbers in front, without zeros at their end."""
    found = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(number) for number in found[1].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
