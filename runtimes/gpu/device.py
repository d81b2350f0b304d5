"""One GPU in use: its context, a stream, memory, kernels, and the clock of its own events."""

from __future__ import annotations

import ctypes
import hashlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from runtimes.gpu.driver import CudaError, Driver, NoGpuError, uuid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

_ATTRIBUTES = {
    "clock_khz": 13,
    "multiprocessors": 16,
    "integrated": 18,
    "ecc": 32,
    "memory_clock_khz": 36,
    "memory_bus_bits": 37,
    "l2_bytes": 38,
    "threads_per_multiprocessor": 39,
    "capability_major": 75,
    "capability_minor": 76,
    "shared_bytes_per_multiprocessor": 81,
}
_REGISTERS, _LOCAL_BYTES = 4, 3
_SHARED_SHARE, _ALL_PERCENT = 9, 100
_NON_BLOCKING = 1
_CONTEXT_IN_USE = 708
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
_THREAD_LOCAL = 1


@dataclass(frozen=True)
class Facts:
    """What a GPU says of itself.

    Attributes:
        name: as sold.
        uuid: as tools write it, ``GPU-...``; never leaves the process.
        identity: a hash of it.
        driver: the CUDA version of the driver, 13020 for 13.2.
        capability: compute capability, 90 for 9.0.
        memory_bytes: of device memory, in all.
        values: further attributes of the device, by name.
    """

    name: str
    uuid: str
    identity: str
    driver: int
    capability: int
    memory_bytes: int
    values: dict[str, int]

    @property
    def multiprocessors(self) -> int:
        """How many there are."""
        return self.values["multiprocessors"]

    @property
    def l2_bytes(self) -> int:
        """Size of the L2 cache; 0 where the driver does not say."""
        return self.values["l2_bytes"]


@dataclass(frozen=True)
class Function:
    """A kernel, compiled and loaded.

    Attributes:
        handle: of the driver.
        block: threads in a block.
        per_multiprocessor: blocks that one multiprocessor holds at a time.
        registers: per thread.
        local_bytes: per thread that did not fit into registers.
    """

    handle: ctypes.c_void_p
    block: int
    per_multiprocessor: int
    registers: int
    local_bytes: int


class Gpu:
    """A GPU to compute on; everything it took is given back when the block ends, however it ends.

    Args:
        driver: of this machine.
        ordinal: the GPU's number.

    Raises:
        NoGpuError: it does not exist, or its context cannot be had.
    """

    def __init__(self, driver: Driver, ordinal: int) -> None:
        self.driver = driver
        count = driver.count()
        if not 0 <= ordinal < count:
            raise NoGpuError(f"there is no GPU {ordinal}; the driver shows {count}, counted from 0")
        device = ctypes.c_int()
        self.driver.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
        self._device = device
        self.stream = ctypes.c_void_p()
        self._begin, self._end = ctypes.c_void_p(), ctypes.c_void_p()
        self._context = ctypes.c_void_p()
        self._cleanup = ExitStack()

    def wait_by(self, flags: int) -> None:
        """How threads wait for this GPU; before its context is first used in this process.

        Args:
            flags: ``CU_CTX_SCHED_...``.

        Raises:
            NoGpuError: it cannot be told so.
        """
        try:
            self.driver.call("cuDevicePrimaryCtxSetFlags_v2", self._device, ctypes.c_uint(flags))
        except CudaError as error:
            if error.code != _CONTEXT_IN_USE:  # an older driver, and somebody was first
                raise NoGpuError(f"the GPU cannot be used: {error}") from None

    def mind_own_captures(self) -> None:
        """Let the current thread do what cannot be captured while another one captures, and the reverse.

        Captures of engines often begin in a mode that forbids it to every thread of the process.
        """
        mode = ctypes.c_int(_THREAD_LOCAL)
        self.driver.call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))

    def make_current(self) -> None:
        """Let calls of the current thread go to this GPU's context."""
        self.driver.call("cuCtxSetCurrent", self._context)

    def __enter__(self) -> Self:
        try:
            with ExitStack() as stack:
                self.driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
                self._later(stack, "cuDevicePrimaryCtxRelease_v2", self._device)
                self.make_current()
                self.driver.call("cuStreamCreate", ctypes.byref(self.stream), ctypes.c_uint(_NON_BLOCKING))
                self._later(stack, "cuStreamDestroy_v2", self.stream)
                for event in (self._begin, self._end):
                    self.driver.call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
                    self._later(stack, "cuEventDestroy_v2", event)
                self._cleanup = stack.pop_all()
        except CudaError as error:
            raise NoGpuError(f"the GPU cannot be used: {error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nothing may still run on what is given back; after a fatal error this fails as all else does.
        with suppress(CudaError):
            self.driver.call("cuCtxSynchronize")
        self._cleanup.close()

    def later(self, call: str, *arguments: Any) -> None:
        """Have the driver called so at the end, to give something back."""
        self._later(self._cleanup, call, *arguments)

    def _later(self, stack: ExitStack, call: str, *arguments: Any) -> None:
        def give_back() -> None:
            with suppress(CudaError):
                self.driver.call(call, *arguments)

        stack.callback(give_back)

    def facts(self) -> Facts:
        """What it says of itself."""
        name, uuid, size = ctypes.create_string_buffer(256), ctypes.create_string_buffer(16), ctypes.c_size_t()
        self.driver.call("cuDeviceGetName", name, ctypes.c_int(len(name)), self._device)
        self.driver.call("cuDeviceGetUuid_v2", uuid, self._device)
        self.driver.call("cuDeviceTotalMem_v2", ctypes.byref(size), self._device)
        values = {key: self._attribute(number) for key, number in _ATTRIBUTES.items()}
        return Facts(
            name=name.value.decode("utf-8", "replace"),
            uuid=uuid_text(uuid.raw),
            identity=hashlib.sha256(uuid.raw).hexdigest()[:12],
            driver=self.driver.version(),
            capability=10 * values["capability_major"] + values["capability_minor"],
            memory_bytes=size.value,
            values=values,
        )

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        try:
            self.driver.call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), self._device)
        except CudaError:  # drivers forget attributes in time
            return 0
        return value.value

    def free_bytes(self) -> int:
        """Device memory that nobody uses now."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def compile(self, text: str, entry: str, block: int) -> Function:
        """Compile and load a kernel.

        Raises:
            CudaError: it does not compile, or does not fit on a multiprocessor.
        """
        module = self.driver.load_module(text)
        self.later("cuModuleUnload", module)
        handle, blocks, registers, local = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self.driver.call("cuModuleGetFunction", ctypes.byref(handle), module, ctypes.c_char_p(entry.encode()))
        with suppress(CudaError):  # only a wish: of what L1 and shared memory divide, shared memory gets all it can
            self.driver.call("cuFuncSetAttribute", handle, ctypes.c_int(_SHARED_SHARE), ctypes.c_int(_ALL_PERCENT))
        self.driver.call(
            "cuOccupancyMaxActiveBlocksPerMultiprocessor",
            ctypes.byref(blocks),
            handle,
            ctypes.c_int(block),
            ctypes.c_size_t(0),
        )
        self.driver.call("cuFuncGetAttribute", ctypes.byref(registers), ctypes.c_int(_REGISTERS), handle)
        self.driver.call("cuFuncGetAttribute", ctypes.byref(local), ctypes.c_int(_LOCAL_BYTES), handle)
        if blocks.value < 1:
            raise CudaError("cuOccupancyMaxActiveBlocksPerMultiprocessor", 701, "no block fits")
        return Function(handle, block, blocks.value, registers.value, local.value)

    def allocate(self, size: int) -> int:
        """Device memory of so many bytes, until the end; returns its address."""
        address = ctypes.c_uint64()
        self.driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self.later("cuMemFree_v2", ctypes.c_uint64(address.value))
        return address.value

    def allocate_pinned(self, size: int) -> int:
        """Host memory that the GPU may reach, until the end; returns its address."""
        address = ctypes.c_void_p()
        self.driver.call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_uint(0))
        self.later("cuMemFreeHost", ctypes.c_void_p(address.value))
        return int(address.value or 0)

    def fill(self, address: int, word: int, words: int) -> None:
        """Set so many 32-bit words."""
        self.driver.call("cuMemsetD32_v2", ctypes.c_uint64(address), ctypes.c_uint(word), ctypes.c_size_t(words))
        # It runs on another stream than kernels do.
        self.driver.call("cuCtxSynchronize")

    def clear(self, address: int, size: int) -> None:
        """Set so many bytes to zero."""
        self.driver.call("cuMemsetD8_v2", ctypes.c_uint64(address), ctypes.c_ubyte(0), ctypes.c_size_t(size))
        self.driver.call("cuCtxSynchronize")

    def put(self, address: int, values: NDArray[Any]) -> None:
        """Copy an array to device memory."""
        self.driver.call(
            "cuMemcpyHtoD_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(values.ctypes.data),
            ctypes.c_size_t(values.nbytes),
        )

    def get(self, address: int, count: int, kind: str) -> NDArray[Any]:
        """An array of ``count`` elements of a NumPy type, from device memory."""
        import numpy as np

        values = np.empty(count, kind)
        self.driver.call(
            "cuMemcpyDtoH_v2",
            ctypes.c_void_p(values.ctypes.data),
            ctypes.c_uint64(address),
            ctypes.c_size_t(values.nbytes),
        )
        return values

    def synchronise(self) -> None:
        """Wait until everything on the stream is done."""
        self.driver.call("cuStreamSynchronize", self.stream)

    def launch(self, function: Function, grid: int, arguments: Sequence[Any]) -> None:
        """Start a kernel on the stream.

        Args:
            function: the kernel.
            grid: blocks.
            arguments: ctypes values of the exact types of its parameters.
        """
        places = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(value) for value in arguments))
        one, none = ctypes.c_uint(1), ctypes.c_void_p()
        self.driver.call(
            "cuLaunchKernel",
            function.handle,
            ctypes.c_uint(grid),
            one,
            one,
            ctypes.c_uint(function.block),
            one,
            one,
            ctypes.c_uint(0),
            self.stream,
            places,
            none,
        )

    def time(self, work: Callable[[], None], meanwhile: Callable[[], None] | None = None) -> float:
        """Seconds between two events of the GPU's own clock, around what ``work`` puts on the stream.

        Args:
            work: enqueues, and does not wait.
            meanwhile: called while the GPU works.
        """
        self.mark(0)
        work()
        self.mark(1)
        if meanwhile is not None:
            meanwhile()
        return self.elapsed_s()

    def mark(self, end: int) -> None:
        """Have the GPU note its clock when all before is done: 0 for the beginning of a stretch, 1 for its end."""
        self.driver.call("cuEventRecord", self._end if end else self._begin, self.stream)

    def elapsed_s(self) -> float:
        """Seconds between the last two marks, once the second is reached."""
        self.driver.call("cuEventSynchronize", self._end)
        passed_ms = ctypes.c_float()
        self.driver.call("cuEventElapsedTime", ctypes.byref(passed_ms), self._begin, self._end)
        return passed_ms.value / 1e3
