"""Temperature, power and what holds the clocks back, from NVIDIA's management library, where there is one.

Names and values: NVML API reference; bits of clock event reasons: NvmlClocksEventReasons.
"""

from __future__ import annotations

import ctypes
from typing import Any

from runtimes.gpu.driver import CudaError, Driver, NoGpuError

LIBRARY = "libnvidia-ml.so.1"
_SM_CLOCK, _MEMORY_CLOCK = 1, 2
_CORE_TEMPERATURE = 0
_REASONS = {
    0x002: "clocks set by an administrator or an application",
    0x004: "power limit",
    0x008: "hardware slowdown",
    0x010: "clocks kept equal with another GPU",
    0x020: "too hot (by the driver)",
    0x040: "too hot (by the hardware)",
    0x080: "power brake",
    0x100: "display clocks",
}
# Not the GPU's fault when it is seen right after a kernel.
_IDLE = 0x001


class Watch:
    """Samples of one GPU, taken while it works; without the library it stays empty.

    Args:
        library: ``libnvidia-ml`` or anything with the same functions; None where there is none.
        uuid: the GPU's, ``GPU-...``.
    """

    def __init__(self, library: Any, uuid: str) -> None:
        self._library = library
        self._handle: ctypes.c_void_p | None = None
        self._seen: dict[str, list[float]] = {}
        self._reasons = 0
        if library is not None and library.nvmlInit_v2() == 0:
            handle = ctypes.c_void_p()
            if library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) == 0:
                self._handle = handle
            else:  # a part of a GPU (MIG) is not found under its own name
                library.nvmlShutdown()

    @classmethod
    def load(cls, uuid: str) -> Watch:
        """Watch a GPU of this machine."""
        try:
            return cls(ctypes.CDLL(LIBRARY), uuid)
        except OSError:
            return cls(None, uuid)

    def sample(self) -> None:
        """Look once."""
        if self._handle is None:
            return
        self._look("sm_clock_hz", "nvmlDeviceGetClockInfo", 1e6, ctypes.c_int(_SM_CLOCK))
        self._look("memory_clock_hz", "nvmlDeviceGetClockInfo", 1e6, ctypes.c_int(_MEMORY_CLOCK))
        self._look("temperature_c", "nvmlDeviceGetTemperature", 1, ctypes.c_int(_CORE_TEMPERATURE))
        self._look("power_w", "nvmlDeviceGetPowerUsage", 1e-3)
        self._look("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", 1e-3)
        self._look("bus_generation", "nvmlDeviceGetCurrPcieLinkGeneration", 1)
        self._look("bus_lanes", "nvmlDeviceGetCurrPcieLinkWidth", 1)
        reasons = ctypes.c_ulonglong()
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            function = getattr(self._library, name, None)
            if function is not None and function(self._handle, ctypes.byref(reasons)) == 0:
                self._reasons |= reasons.value
                break

    def _look(self, key: str, name: str, scale: float, *which: Any) -> None:
        value = ctypes.c_uint()
        function = getattr(self._library, name, None)
        if function is not None and function(self._handle, *which, ctypes.byref(value)) == 0:
            self._seen.setdefault(key, []).append(value.value * scale)

    def facts(self) -> dict[str, Any]:
        """Lowest and highest of everything seen, and what held the clocks back; empty when nobody looked."""
        if not self._seen:
            return {}
        ranges: dict[str, Any] = {key: [min(values), max(values)] for key, values in self._seen.items()}
        ranges["clocks_held_back_by"] = [text for bit, text in _REASONS.items() if self._reasons & bit]
        if unknown := self._reasons & ~(_IDLE | sum(_REASONS)):
            ranges["clocks_held_back_by"].append(f"reasons this version does not know ({unknown:#x})")
        return ranges

    def close(self) -> None:
        """Let go of the library."""
        if self._handle is not None:
            self._library.nvmlShutdown()
            self._handle = None


def gpu_names() -> list[str]:
    """Names of the GPUs the driver shows; empty when there is no driver or no GPU."""
    return [str(gpu["name"]) for gpu in gpu_facts(details=False)]


def gpu_facts(library: Any = None, *, details: bool = True) -> list[dict[str, Any]]:
    """What NVML says of every GPU now; empty without a driver or a GPU.

    Args:
        library: stands for NVML's own; None loads that.
        details: more than names.

    Returns:
        For each GPU ``name`` and, as far as the driver tells, ``driver``, ``memory_bytes``, ``sm_clock_hz`` and the
        others of :class:`Watch`, ``sm_clock_max_hz``, ``memory_clock_max_hz``, and ``clocks_held_back_by``.
    """
    if library is None:
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError:
            return []
    if library.nvmlInit_v2() != 0:
        return []
    try:
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        found = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
                continue
            name = _text(library.nvmlDeviceGetName, handle)
            if name is not None:
                found.append({"name": name, **(_details(library, handle) if details else {})})
        return found
    finally:
        library.nvmlShutdown()


def _details(library: Any, handle: ctypes.c_void_p) -> dict[str, Any]:
    facts: dict[str, Any] = {"driver": _text(library.nvmlSystemGetDriverVersion)}
    sizes = (ctypes.c_ulonglong * 3)()  # in all, free, in use
    if library.nvmlDeviceGetMemoryInfo(handle, sizes) == 0:
        facts["memory_bytes"] = sizes[0]
    for key, which in (("sm_clock_max_hz", _SM_CLOCK), ("memory_clock_max_hz", _MEMORY_CLOCK)):
        value = ctypes.c_uint()
        if library.nvmlDeviceGetMaxClockInfo(handle, ctypes.c_int(which), ctypes.byref(value)) == 0:
            facts[key] = value.value * 1e6
    uuid = _text(library.nvmlDeviceGetUUID, handle)
    if uuid is not None:
        watch = Watch(library, uuid)
        watch.sample()
        # Looked at once, the lowest is the highest.
        facts |= {key: seen if key == "clocks_held_back_by" else seen[0] for key, seen in watch.facts().items()}
        watch.close()
    return facts


def _text(function: Any, *arguments: Any) -> str | None:
    """What a function writes into a buffer that is its last argument but one."""
    buffer = ctypes.create_string_buffer(96)
    code = function(*arguments, buffer, ctypes.c_uint(len(buffer)))
    return buffer.value.decode("utf-8", "replace") if code == 0 else None


def gpu_watch() -> Watch | None:
    """Watch the first GPU that is visible to this process; None where the driver shows none."""
    try:
        driver = Driver.load()
        driver.count()
        return Watch.load(driver.uuid(0))
    except (NoGpuError, CudaError):
        return None
