"""Names that CUPTI gives to calls and kernels, made readable; and which calls are worth counting.

Names of calls: CUPTI, ``cupti_driver_cbid.h`` and ``cupti_runtime_cbid.h`` of CUDA 13.0. Of kernels: Itanium C++ ABI.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KERNEL_CHARACTERS = 120

LAUNCH = re.compile(r"(?:cu|cuda)Launch(?:Grid(?:Async)?|Kernel(?:Ex|ExC)?|CooperativeKernel(?:MultiDevice)?)?$")
GRAPH_LAUNCH = re.compile(r"(?:cu|cuda)GraphLaunch$")
SYNCHRONISE = re.compile(r"(?:cu|cuda)(?:Stream|Event|Ctx|Device|Thread|ExecutionCtx)Synchronize$")
_COPIES = re.compile(r"(?:cu|cuda)Mem(?:cpy|set)")
_WAITS = re.compile(r"(?:cu|cuda)(?:(?:Stream|Ctx|GreenCtx|ExecutionCtx)WaitEvent|(?:Stream|Event)Query)$")
_ALLOCATIONS = re.compile(r"cuda(?:Malloc|HostAlloc|Free)|cuMem(?:Alloc|HostAlloc|Free|Create|Release)")
_OF_INTEREST = (LAUNCH, GRAPH_LAUNCH, SYNCHRONISE, _COPIES, _WAITS, _ALLOCATIONS)
# Several versions of one function, and those for a default stream per thread.
_SUFFIX = re.compile(r"(?:_ptsz|_ptds|_v\d+)+$")


@cache
def of_call(name: str) -> str:
    """A function's name without its version; empty where it is not worth counting."""
    plain = _SUFFIX.sub("", name).lstrip("_")
    return plain if any(pattern.match(plain) for pattern in _OF_INTEREST) else ""


def count(calls: Mapping[str, int], pattern: re.Pattern[str]) -> int:
    """How many calls have such names."""
    return sum(number for name, number in calls.items() if pattern.match(name))


def of_kernel(name: bytes) -> str:
    """A kernel's name as its author wrote it, without what it returns and takes, at most 120 characters."""
    text = _demangled(name)
    if text.endswith(")"):
        depth = 0
        for place in range(len(text) - 1, 0, -1):
            depth += {")": 1, "(": -1}.get(text[place], 0)
            if depth == 0:
                text = text[:place]
                break
    text = text.removeprefix("void ")
    return text if len(text) <= KERNEL_CHARACTERS else text[: KERNEL_CHARACTERS - 1] + "…"


def _demangled(name: bytes) -> str:
    plain = name.decode("utf-8", "replace")
    if not name.startswith(b"_Z") or (demangle := _demangler()) is None:
        return plain
    status = ctypes.c_int()
    place = demangle(ctypes.c_char_p(name), None, None, ctypes.byref(status))
    if not place:
        return plain
    found = ctypes.string_at(place).decode("utf-8", "replace")
    ctypes.CDLL(None).free(ctypes.c_void_p(place))
    return found


@cache
def _demangler() -> Any:
    """The C++ library's own function for it; None where there is no such library."""
    try:
        function = ctypes.CDLL("libstdc++.so.6")["__cxa_demangle"]
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    return function
