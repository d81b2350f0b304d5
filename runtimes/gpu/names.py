"""Whether an NVIDIA GPU is here, told by the driver's own library, without CUDA."""

from __future__ import annotations

import ctypes


def gpu_names() -> list[str]:
    """Names of the GPUs the driver shows; empty when there is no driver or no GPU.

    Source: NVML's C interface, ``nvmlInit_v2``, ``nvmlDeviceGetCount_v2``,
    ``nvmlDeviceGetHandleByIndex_v2`` and ``nvmlDeviceGetName``.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if nvml.nvmlInit_v2() != 0:
        return []
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        found = []
        for index in range(count.value):
            handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
                continue
            if nvml.nvmlDeviceGetName(handle, name, len(name)) == 0:
                found.append(name.value.decode("utf-8", "replace"))
        return found
    finally:
        nvml.nvmlShutdown()
