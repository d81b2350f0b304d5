"""Task: measure parts of the peaks of one GPU, or only say what GPU it is."""

from __future__ import annotations

import ctypes
import random
import time
from typing import Any

from bench.peaks_cuda.measure import measure
from runtimes.gpu.driver import Driver, NoGpuError
from runtimes.gpu.nvml import Watch


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply as :func:`bench.peaks_cuda.measure.measure` does, or with ``none``: why there is no GPU.

    The request has ``device``, ``parts`` and ``seed``.
    """
    try:
        return measure(
            Driver.load(),
            int(request["device"]),
            request["parts"],
            random.Random(request["seed"]),  # noqa: S311  # decides an order, guards nothing
            now_ns=time.perf_counter_ns,
            # Takes whatever it is given and looks at the first of it: the cheapest C function there is.
            idle=ctypes.CDLL(None).abs,
            watch=Watch.load,
        )
    except NoGpuError as error:
        return {"none": str(error)}
