"""NVIDIA's library that records what a GPU is made to do, found without importing anything, called through ctypes.

Names and values: CUPTI, ``cupti_result.h``, ``cupti_activity.h`` and ``cupti_callbacks.h`` of CUDA 13.0.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.gpu.driver import NoGpuError
from runtimes.gpu.libraries import library_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Releases whose records rtfloor can read.
MAJORS = (13, 12)
MAPS = Path("/proc/self/maps")

_FITS = "install the release of nvidia-cuda-cupti that fits the driver"
_SENTENCES = {
    1: "an argument was refused; this is a mistake in rtfloor",
    8: "there is no memory for what was to be recorded; end other programs that use the GPU",
    11: f"this library does not have the function; {_FITS}",
    14: "this cannot be recorded beside what is recorded already; end the other profiler in this process",
    15: f"it finds no driver it can speak to; {_FITS}",
    21: f"this library does not know what it is asked to record; {_FITS}",
    23: "another profiler has switched it off; run without the other profiler",
    26: "another program holds the GPU's counters; end other profilers and monitors such as DCGM",
    27: f"the driver and this library do not fit each other; {_FITS}",
    33: "it does not work on a virtual GPU; measure on a whole one",
    35: (
        "recording is kept for administrators here; run as root or with CAP_SYS_ADMIN, "
        "or load the driver with NVreg_RestrictProfilingToAdminUsers=0"
    ),
    39: "another profiler is attached to this process; run without Nsight, cuda-gdb and torch.profiler",
    40: "the hypervisor forbids it; have it allowed for this machine, or measure on another",
    41: "it does not work while confidential computing is on; switch that off, or measure elsewhere",
    42: "it does not work on mining cards; measure on another GPU",
    43: "it does not work on a part of a GPU (MIG); measure on a whole one",
    44: "it does not work over SLI; measure on a single GPU",
    45: "it does not work under WSL here; measure on Linux itself",
    999: f"it failed inside, as it does where it does not fit the driver; {_FITS}",
}


class CuptiError(Exception):
    """What the GPU does could not be recorded; the text is one sentence that says what to do.

    Attributes:
        code: ``CUptiResult``, or 0 where another library failed.
    """

    def __init__(self, call: str, said: str, code: int = 0) -> None:
        self.code = code
        known = _SENTENCES.get(code)
        name = f"{call}: {said}"
        super().__init__(f"what the GPU does cannot be recorded: {known} ({name})" if known else name)


class Cupti:
    """Calls into the library; every failure becomes a :class:`CuptiError`.

    Args:
        library: a ``ctypes.CDLL`` of it.
        path: where it was found.
    """

    def __init__(self, library: Any, path: str) -> None:
        self.library, self.path = library, path
        self._names: dict[tuple[int, int], str] = {}

    @classmethod
    def load(cls, driver_version: int) -> Cupti:
        """The library of this machine that fits best.

        Args:
            driver_version: CUDA version of the driver, 13000 for 13.0.

        Raises:
            NoGpuError: there is none, or none that can be loaded.
        """
        refused = ""
        for path in places(sys.path, driver_version):
            try:
                return cls(ctypes.CDLL(path), path)
            except OSError as error:
                # A bare name that the loader does not know says nothing new.
                if "/" in path:
                    refused = f" ({error})"
        major, minor = divmod(driver_version // 10, 100)
        package = "nvidia-cuda-cupti" if major >= 13 else "nvidia-cuda-cupti-cu12"
        raise NoGpuError(
            f"what the GPU does cannot be counted without libcupti{refused}; "
            f"install it with: pip install '{package}=={major}.{minor}.*'"
        )

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function.

        Args:
            name: as the library exports it.
            arguments: ctypes values.

        Raises:
            CuptiError: it answered with an error, or this library has no such function.
        """
        code = self.answer(name, *arguments)
        if code:
            raise CuptiError(name, self._said(code), code)

    def answer(self, name: str, *arguments: Any) -> int:
        """The same, for calls whose errors are answers; returns ``CUptiResult``."""
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise CuptiError(name, f"{self.path} does not have it", 11) from None
        return int(function(*arguments))

    def _said(self, code: int) -> str:
        text = ctypes.c_char_p()
        if self.library.cuptiGetResultString(ctypes.c_int(code), ctypes.byref(text)) or not text.value:
            return f"error {code}"
        return text.value.decode("utf-8", "replace")

    def version(self) -> int:
        """As the library counts itself: 26 is CUDA 12.8, 130001 is 13.0 update 1."""
        number = ctypes.c_uint32()
        self.call("cuptiGetVersion", ctypes.byref(number))
        return number.value

    def function_name(self, domain: int, number: int) -> str:
        """What a function of the driver (domain 1) or runtime (2) is called, such as ``cudaLaunchKernel_v7000``."""
        key = domain, number
        if key not in self._names:
            text = ctypes.c_char_p()
            code = self.answer(
                "cuptiGetCallbackName", ctypes.c_int(domain), ctypes.c_uint32(number), ctypes.byref(text)
            )
            # A library older than the driver does not know the newest; such a call is of no interest then.
            self._names[key] = "" if code or not text.value else text.value.decode("utf-8", "replace")
        return self._names[key]


def places(paths: Sequence[str], driver_version: int) -> Iterator[str]:
    """Where the library may be, best first; what is no file is only a name for the loader.

    Args:
        paths: where Python looks for modules.
        driver_version: CUDA version of the driver, 13000 for 13.0.
    """
    # Two of them in one process would take each other's records.
    yield from _mapped(r"/\S*/libcupti\.so\.\d+\S*")
    runtimes = [int(version) for version in _mapped(r"/libcudart[^/\s]*\.so\.(\d+)")]
    # One from before the driver works, one from after it does not.
    for major in dict.fromkeys((*runtimes, driver_version // 1000, *MAJORS)):
        if major not in MAJORS:
            continue
        name = f"libcupti.so.{major}"
        yield from map(str, library_files(name, paths))
        yield name


def _mapped(pattern: str) -> list[str]:
    """What is loaded into this process already, by a pattern for its path."""
    try:
        text = MAPS.read_text(errors="replace")
    except OSError:
        return []
    return list(dict.fromkeys(re.findall(pattern, text)))
