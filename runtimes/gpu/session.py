"""A session on an NVIDIA GPU: one stream, memory at fixed places on both sides, and the copies between them.

An engine's own session class says only how its work is put on the stream (:meth:`GpuSession.enqueue`). Everything else
is the same for all engines, so that what differs between their times is theirs.
"""

from __future__ import annotations

import ctypes
import threading
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtimes.device_session import DeviceSession
from runtimes.errors import EngineError, UnavailableError, UnsupportedError, engine_error
from runtimes.gpu.device import Gpu
from runtimes.gpu.driver import CudaError, Driver, NoGpuError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtimes.base import Array, Request, Tensor

# How a thread waits for the GPU: CU_CTX_SCHED_SPIN, CU_CTX_SCHED_YIELD, CU_CTX_SCHED_BLOCKING_SYNC.
WAITS = {"spin": 1, "yield": 2, "block": 4}

# Which session's context and stream a thread is set up for.
_here = threading.local()


@dataclass(frozen=True)
class Buffer:
    """One input or output in both memories.

    Attributes:
        tensor: which.
        address: on the device.
        host: its pinned twin, as an array that is written or read in place.
    """

    tensor: Tensor
    address: int
    host: Array


def open_gpu(wait: str) -> Gpu:
    """The first GPU that is visible, entered; :meth:`Gpu.__exit__` gives it back.

    Args:
        wait: a key of :data:`WAITS`; the first caller in a process decides.

    Raises:
        UnavailableError: there is none that could be used.
    """
    try:
        gpu = Gpu(Driver.load(), 0)
        gpu.wait_by(WAITS[wait])
        return gpu.__enter__()
    except NoGpuError as error:
        raise UnavailableError(str(error)) from None


@contextmanager
def opened_gpu(wait: str) -> Iterator[Gpu]:
    """:func:`open_gpu` for whoever makes a session of it: given back where that fails, and kept where it works.

    Raises:
        UnavailableError: as :func:`open_gpu`; everything else as it comes.
    """
    gpu = open_gpu(wait)
    try:
        yield gpu
    except BaseException:
        gpu.__exit__(None, None, None)
        raise


class GpuSession(DeviceSession):
    """See the module's text.

    Args:
        request: whose inputs and outputs get memory.
        gpu: entered, this session's alone: its stream is the one everything runs on.
        title: of the engine, for messages.
    """

    def __init__(self, request: Request, gpu: Gpu, title: str) -> None:
        self.gpu, self._title = gpu, title
        self._library = gpu.driver.library
        for tensor in (*request.inputs, *request.outputs):
            if 0 in tensor.shape:
                raise UnsupportedError(f"{title}: {tensor.name!r} is empty, shape {tensor.shape}")
        try:
            self.inputs = [self._buffer(tensor) for tensor in request.inputs]
            self.outputs = [self._buffer(tensor) for tensor in request.outputs]
        except CudaError as error:
            raise EngineError(f"{title}: {error}") from None
        self._up = [self._copy(buffer.address, buffer, up=True) for buffer in self.inputs]
        self._down = [self._copy(buffer.address, buffer, up=False) for buffer in self.outputs]
        self._sync = (gpu.stream,)
        self._watching = False
        self._last: Sequence[int] | None = None

    @abstractmethod
    def enqueue(self) -> Sequence[int] | None:
        """Put one call on the stream, reading :attr:`inputs`, and return without waiting.

        Returns:
            Where on the device the outputs will be; None where that is :attr:`outputs`, or what :meth:`move_outputs`
            said.
        """

    def move_inputs(self, addresses: Sequence[int]) -> None:
        """Let inputs be copied to memory of the engine's own instead of :attr:`inputs`."""
        pairs = zip(addresses, self.inputs, strict=True)
        self._up = [self._copy(address, buffer, up=True) for address, buffer in pairs]

    def move_outputs(self, addresses: Sequence[int]) -> None:
        """Let outputs be copied from memory of the engine's own, always the same, instead of :attr:`outputs`."""
        self._down = self._copies_down(addresses)

    def attach(self) -> None:
        """Make this session's stream the engine's current one in this thread; for engines that have such a thing."""

    def begin(self, feeds: dict[str, Array]) -> None:
        """Copy to pinned memory, then put copies, work and copies back on the stream."""
        self._own_thread()
        for buffer in self.inputs:
            buffer.host[...] = feeds[buffer.tensor.name]
        if self._watching:
            self._mark(0)
        for arguments in self._up:
            self._do(self._library.cuMemcpyHtoDAsync_v2, arguments)
        for arguments in self._places(self._enqueued()):
            self._do(self._library.cuMemcpyDtoHAsync_v2, arguments)
        if self._watching:
            self._mark(1)

    def finish(self) -> Sequence[Array]:
        """Wait, and copy out of pinned memory."""
        self.wait()
        return [buffer.host.copy() for buffer in self.outputs]

    def put(self, feeds: dict[str, Array]) -> None:
        """Copy inputs to the device and wait for it."""
        self._own_thread()
        for buffer, arguments in zip(self.inputs, self._up, strict=True):
            buffer.host[...] = feeds[buffer.tensor.name]
            self._do(self._library.cuMemcpyHtoDAsync_v2, arguments)
        self.wait()

    def launch(self) -> None:
        """Put the engine's work alone on the stream."""
        self._own_thread()
        if self._watching:
            self._mark(0)
        self._last = self._enqueued()
        if self._watching:
            self._mark(1)

    def wait(self) -> None:
        """Wait for the stream."""
        self._do(self._library.cuStreamSynchronize, self._sync)

    def get(self) -> Sequence[Array]:
        """Copy the last call's outputs to the host."""
        self._own_thread()
        for arguments in self._places(self._last):
            self._do(self._library.cuMemcpyDtoHAsync_v2, arguments)
        return self.finish()

    def watch(self, *, on: bool) -> None:
        """Whether events are recorded around calls."""
        self._watching = on

    def device_ns(self) -> int:
        """Between the two events; the GPU's clock has a resolution of about half a microsecond."""
        try:
            return round(self.gpu.elapsed_s() * 1e9)
        except CudaError as error:
            raise EngineError(f"{self._title}: {error}") from None

    def close(self) -> None:
        """Give back stream and memory."""
        _here.session = None
        self.gpu.__exit__(None, None, None)

    def _enqueued(self) -> Sequence[int] | None:
        try:
            return self.enqueue()
        except EngineError:
            raise
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"{self._title} could not answer", error) from error

    def _places(self, addresses: Sequence[int] | None) -> list[tuple[Any, ...]]:
        """Arguments of the copies to the host."""
        return self._down if addresses is None else self._copies_down(addresses)

    def _copies_down(self, addresses: Sequence[int]) -> list[tuple[Any, ...]]:
        pairs = zip(addresses, self.outputs, strict=True)
        return [self._copy(address, buffer, up=False) for address, buffer in pairs]

    def _own_thread(self) -> None:
        """Set this thread up for this session, unless it is."""
        if getattr(_here, "session", None) is self:
            return
        try:
            self.gpu.make_current()
            self.gpu.mind_own_captures()
            self.attach()
        except EngineError:
            raise
        except CudaError as error:
            raise EngineError(f"{self._title}: {error}") from None
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"{self._title} could not be set up in this thread", error) from error
        _here.session = self

    def _buffer(self, tensor: Tensor) -> Buffer:
        import numpy as np

        kind = np.dtype(tensor.dtype)
        size = int(np.prod(tensor.shape, dtype=np.int64)) * kind.itemsize
        place = (ctypes.c_char * size).from_address(self.gpu.allocate_pinned(size))
        host = np.frombuffer(memoryview(place), kind).reshape(tensor.shape)
        return Buffer(tensor, self.gpu.allocate(size), host)

    def _copy(self, address: int, buffer: Buffer, *, up: bool) -> tuple[Any, ...]:
        device, host = ctypes.c_uint64(address), ctypes.c_void_p(buffer.host.ctypes.data)
        size = ctypes.c_size_t(buffer.host.nbytes)
        return (device, host, size, self.gpu.stream) if up else (host, device, size, self.gpu.stream)

    def _do(self, function: Any, arguments: tuple[Any, ...]) -> None:
        # Not through the driver's own wrapper, which looks the function up by its name every time.
        code = function(*arguments)
        if code:
            name = getattr(function, "__name__", "a call of the driver")
            raise EngineError(f"{self._title}: {CudaError(name, code, self.gpu.driver.name_of(code))}")

    def _mark(self, end: int) -> None:
        try:
            self.gpu.mark(end)
        except CudaError as error:
            raise EngineError(f"{self._title}: {error}") from None


def precision_ran(asked: str, own: str) -> str:
    """What the heavy operators were computed in: what was asked for, in the place of the graph's float32."""
    return own if asked == "fp32" else "+".join(sorted({asked, *own.split("+")} - {"fp32"}))


def zeros(request: Request) -> dict[str, Array]:
    """Inputs of nothing but zeros: safe to compute with, since even as an index zero points at something."""
    import numpy as np

    return {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in request.inputs}
