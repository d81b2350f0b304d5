"""Where CUDA's libraries, compiler and headers are: packages keep them in folders that no loader path names."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Below it toolkits are installed, the default one as ``cuda``.
TOOLKITS = Path("/usr/local")
TOOLKIT_FOLDERS = ("extras/CUPTI/lib64", "lib64", "lib", "targets/*/lib")


def library_files(name: str, paths: Iterable[str] | None = None) -> Iterator[Path]:
    """Files of that name: in NVIDIA's packages, whose releases belong together, in toolkits, in PyTorch's own folder.

    Args:
        name: as programs ask for it, such as ``libcudart.so.13``.
        paths: where modules are imported from; ``sys.path`` where nobody says.
    """
    places = [Path(path or ".") for path in dict.fromkeys(sys.path if paths is None else paths)]
    for place in places:
        yield from sorted(place.glob(f"nvidia/*/lib/{name}"))
    for folder in TOOLKIT_FOLDERS:
        yield from sorted(TOOLKITS.glob(f"cuda*/{folder}/{name}"), reverse=True)
    for place in places:
        yield from place.glob(f"torch/lib/{name}")


def load_library(name: str) -> ctypes.CDLL | None:
    """The library, loaded, so that others which name it find it; None where it is nowhere.

    One that is loaded already is taken as it is.
    """
    with suppress(OSError):
        return ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    for place in (*library_files(name), name):
        with suppress(OSError):
            return ctypes.CDLL(str(place))
    return None


def compiler_home() -> Path | None:
    """The folder of CUDA's toolkit that holds ``bin/nvcc`` and its headers; None where there is none."""
    found = shutil.which("nvcc")
    homes = [Path(found).resolve().parent.parent] if found else []
    homes += [TOOLKITS / "cuda", *(Path(path or ".") / "nvidia" / "cu13" for path in dict.fromkeys(sys.path))]
    needed = ("bin/nvcc", "include/cuda_runtime.h")
    return next((home for home in homes if all((home / part).is_file() for part in needed)), None)
