"""Run by an environment's own Python, with a runtime's name: what is really in there, told as one line of JSON.

Asked with the variables and paths that a worker gets, so that what a worker would import is what is looked at.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import sys
import sysconfig
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import registry

if TYPE_CHECKING:
    from runtimes.base import Runtime

# Whatever these do at the start of one interpreter and not of the other would be taken for the runtime's doing.
CUSTOM = ("sitecustomize", "usercustomize")


def main() -> None:
    """Print ``python``, ``packages``, ``probe``, ``outside``, ``custom`` and ``failed``.

    The arguments are a runtime, such as ``ort-cpu@1.24.4``, and ``start`` to import its library as well.
    """
    name, *start = sys.argv[1:]
    adapter = registry.get(name)
    told = {
        "python": platform.python_version(),
        "packages": packages(),
        "probe": asdict(adapter.probe()),
        "outside": outside(adapter.distributions[0]),
        "custom": customised(),
        "failed": started(adapter) if start else "",
    }
    print(f"\n{json.dumps(told)}")  # noqa: T201  # the answer


def packages() -> dict[str, str]:
    """Name and version of every distribution of this environment alone."""
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = {normal(one.name): one.version for one in metadata.distributions(path=places)}
    return dict(sorted(found.items()))


def outside(distribution: str) -> str:
    """Where a distribution, or what an import of it would find, lies, if that is elsewhere; else empty."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return ""
    home = Path(sys.prefix).resolve()
    if not Path(str(found.locate_file(""))).resolve().is_relative_to(home):
        return str(found.locate_file(""))
    files = [Path(str(file)) for file in found.files or ()]
    modules = {file.parts[0] for file in files if file.suffix == ".py" and len(file.parts) > 1}
    for module in sorted(name for name in modules if name.isidentifier()):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None and not Path(spec.origin).resolve().is_relative_to(home):
            return spec.origin
    return ""


def customised() -> dict[str, str]:
    """Modules that the interpreter imports by itself when it starts: name to place."""
    specs = {name: importlib.util.find_spec(name) for name in CUSTOM}
    return {name: str(spec.origin) for name, spec in specs.items() if spec is not None}


def started(adapter: Runtime) -> str:
    """Why its library cannot be imported; empty where it can."""
    # What is compiled now need not be in the first process that is timed, whatever is set for this one.
    sys.dont_write_bytecode, before = False, sys.dont_write_bytecode
    try:
        import numpy as np  # noqa: F401  # every worker needs it
        import onnx  # noqa: F401  # compiling and profiling need it

        adapter.start()
    except Exception as error:  # noqa: BLE001  # whatever a library raises is the reason
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
    finally:
        sys.dont_write_bytecode = before
    return ""


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
