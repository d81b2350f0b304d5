"""Where CUDA's libraries, compiler and headers are: packages keep them in folders that no loader path names."""

from __future__ import annotations

import ctypes
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLKIT = Path("/usr/local/cuda")


def nvidia_folders() -> Iterator[Path]:
    """The folders ``nvidia`` of every place that modules are imported from; NVIDIA's packages lie below them."""
    for place in dict.fromkeys(sys.path):
        folder = Path(place or ".") / "nvidia"
        if folder.is_dir():
            yield folder


def library_files(name: str) -> Iterator[Path]:
    """Files of that name in NVIDIA's packages, then in the toolkit's own folders.

    Args:
        name: as a program asks for it, such as ``libcudart.so.13``.
    """
    for folder in nvidia_folders():
        yield from sorted(folder.glob(f"*/lib/{name}"))
    for pattern in ("lib64", "lib", "extras/CUPTI/lib64", "targets/*/lib"):
        yield from sorted(TOOLKIT.glob(f"{pattern}/{name}"))


def load_library(name: str) -> ctypes.CDLL | None:
    """The library, loaded so that others which need it find it; None where it is nowhere."""
    with suppress(OSError):
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    for file in library_files(name):
        with suppress(OSError):
            return ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
    return None


def compiler_home() -> Path | None:
    """The folder of CUDA's toolkit that holds ``bin/nvcc`` and ``include``; None where there is none."""
    found = shutil.which("nvcc")
    homes = [Path(found).resolve().parent.parent] if found else []
    homes += [TOOLKIT, *(folder / "cu13" for folder in nvidia_folders())]
    return next((home for home in homes if (home / "bin" / "nvcc").is_file() and (home / "include").is_dir()), None)
