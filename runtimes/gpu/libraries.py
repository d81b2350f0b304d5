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
    from collections.abc import Iterator

TOOLKIT = Path("/usr/local/cuda")
TOOLKIT_FOLDERS = ("lib64", "lib", "extras/CUPTI/lib64", "targets/*/lib")


def nvidia_folders() -> Iterator[Path]:
    """The folders ``nvidia`` of every place that modules are imported from; NVIDIA's packages lie below them."""
    for place in dict.fromkeys(sys.path):
        folder = Path(place or ".") / "nvidia"
        if folder.is_dir():
            yield folder


def library_files(name: str) -> Iterator[Path]:
    """Files of that name in NVIDIA's packages, whose releases belong together, then in the toolkit's folders.

    Args:
        name: as programs ask for it, such as ``libcudart.so.13``.
    """
    for folder in nvidia_folders():
        yield from sorted(folder.glob(f"*/lib/{name}"))
    for pattern in TOOLKIT_FOLDERS:
        yield from sorted(TOOLKIT.glob(f"{pattern}/{name}"))


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
    homes += [TOOLKIT, *(folder / "cu13" for folder in nvidia_folders())]
    needed = ("bin/nvcc", "include/cuda_runtime.h")
    return next((home for home in homes if all((home / part).is_file() for part in needed)), None)
