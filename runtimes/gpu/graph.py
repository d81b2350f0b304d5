"""A captured graph: work that was put on a stream once and can be started again as a whole, by one call."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import TYPE_CHECKING

from runtimes.gpu.driver import CudaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimes.gpu.device import Gpu

# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile is none of its business.
_THREAD_LOCAL = 1


class Graph:
    """Work, captured from the GPU's stream; given back with the GPU.

    Args:
        gpu: whose stream.
        work: puts the work there, and neither waits nor takes memory. It is not carried out while it is captured.

    Raises:
        CudaError: something in it cannot be captured.
    """

    def __init__(self, gpu: Gpu, work: Callable[[], object]) -> None:
        self._library, self._name_of = gpu.driver.library, gpu.driver.name_of
        driver, graph, ready = gpu.driver, ctypes.c_void_p(), ctypes.c_void_p()
        driver.call("cuStreamBeginCapture_v2", gpu.stream, ctypes.c_int(_THREAD_LOCAL))
        try:
            work()
        except BaseException:
            # The stream must not stay in capture, whatever went wrong.
            with suppress(CudaError):
                driver.call("cuStreamEndCapture", gpu.stream, ctypes.byref(graph))
            raise
        driver.call("cuStreamEndCapture", gpu.stream, ctypes.byref(graph))
        gpu.later("cuGraphDestroy", graph)
        driver.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_uint64(0))
        gpu.later("cuGraphExecDestroy", ready)
        # What cuGraphLaunch is called with.
        self.arguments = (ready, gpu.stream)

    def launch(self) -> None:
        """Start all of it.

        Raises:
            CudaError: the driver refuses.
        """
        code = self._library.cuGraphLaunch(*self.arguments)
        if code:
            raise CudaError("cuGraphLaunch", code, self._name_of(code))
