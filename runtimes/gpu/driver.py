"""The CUDA driver's own library, called through ctypes: nothing of CUDA needs to be installed but the driver.

Names and values: CUDA driver API, ``cuda.h``.
"""

from __future__ import annotations

import ctypes
from typing import Any

LIBRARY = "libcuda.so.1"
NO_DRIVER = f"there is no NVIDIA driver here ({LIBRARY} cannot be loaded)"

_SENTENCES = {
    1: "an argument was refused; this is a mistake in rtfloor",
    2: "the GPU's memory is full; end other programs that use it",
    3: "the driver could not be initialised",
    34: "the driver that is loaded is only a stub, which computes nothing",
    46: "the GPU is held by another program or reset; 'nvidia-smi' shows which",
    100: "the driver shows no GPU; CUDA_VISIBLE_DEVICES may hide it",
    101: "there is no GPU of that number; 'nvidia-smi -L' lists them",
    200: "the driver does not take the kernel for one",
    209: "the driver has no code for this GPU",
    218: "the driver could not compile the kernel",
    222: "the kernel is written for a newer driver; update it",
    700: "the kernel reached for memory that is not its own",
    701: "the kernel asked for more registers or threads than a multiprocessor has",
    702: "the kernel ran longer than this system allows",
    715: "the GPU does not know an instruction of the kernel",
    719: "the kernel failed while it ran",
    802: "the GPUs of this system are not ready; its fabric manager may not be running",
    803: "the driver's library does not match the loaded driver; restart the machine after an update",
    804: "the driver's library is newer than this GPU allows",
}
# After these the whole context is lost: every later call answers with the same error.
_FATAL = {214, 220, 700, 702, *range(709, 720), 999}

_INFO_LOG, _INFO_LOG_BYTES, _ERROR_LOG, _ERROR_LOG_BYTES = 3, 4, 5, 6
_LOG_BYTES = 8192
_MAJOR, _MINOR = 75, 76


class NoGpuError(Exception):
    """There is no GPU that could be measured; the text is one sentence."""


class CudaError(Exception):
    """A call of the driver failed.

    Attributes:
        code: ``CUresult``.
        fatal: whether nothing more can be done in this process.
    """

    def __init__(self, call: str, code: int, said: str, log: str = "") -> None:
        self.code, self.fatal = code, code in _FATAL
        known = _SENTENCES.get(code)
        name = f"{call}: {said}"
        text = f"{known} ({name})" if known else name
        super().__init__(f"{text}; it said: {log}" if log else text)


def uuid_text(raw: bytes) -> str:
    """Sixteen bytes as tools write them, ``GPU-...``."""
    digits = raw.hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Driver:
    """Calls into the driver's library; every failure becomes a :class:`CudaError`.

    Args:
        library: a ``ctypes.CDLL``, or anything with the same functions.
    """

    def __init__(self, library: Any) -> None:
        self.library = library

    @classmethod
    def load(cls) -> Driver:
        """The driver of this machine.

        Raises:
            NoGpuError: there is none.
        """
        try:
            return cls(ctypes.CDLL(LIBRARY))
        except OSError:
            raise NoGpuError(NO_DRIVER) from None

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function.

        Args:
            name: as the library exports it, version and all.
            arguments: ctypes values; plain integers stand for ``int`` and ``unsigned int`` only.

        Raises:
            CudaError: it answered with an error, or this driver has no such function.
        """
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise CudaError(name, 500, "this driver does not have it; update it") from None
        code = function(*arguments)
        if code:
            raise CudaError(name, code, self.name_of(code))

    def name_of(self, code: int) -> str:
        """The driver's own name of an error, such as ``CUDA_ERROR_INVALID_PTX``."""
        text = ctypes.c_char_p()
        if self.library.cuGetErrorName(code, ctypes.byref(text)) or not text.value:
            return f"error {code}"
        return text.value.decode("utf-8", "replace")

    def count(self) -> int:
        """How many GPUs there are.

        Raises:
            NoGpuError: the driver does not start, or shows none.
        """
        number = ctypes.c_int()
        try:
            self.call("cuInit", ctypes.c_uint(0))
            self.call("cuDeviceGetCount", ctypes.byref(number))
        except CudaError as error:
            raise NoGpuError(str(error)) from None
        if number.value == 0:
            raise NoGpuError(_SENTENCES[100])
        return number.value

    def version(self) -> int:
        """The CUDA version of the driver: 13020 is 13.2."""
        number = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return number.value

    def capability(self, ordinal: int) -> int:
        """Compute capability of a GPU, 90 for 9.0; nothing is held on it.

        Raises:
            CudaError: there is no such GPU.
        """
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
        self.call("cuDeviceGetAttribute", ctypes.byref(major), ctypes.c_int(_MAJOR), device)
        self.call("cuDeviceGetAttribute", ctypes.byref(minor), ctypes.c_int(_MINOR), device)
        return 10 * major.value + minor.value

    def uuid(self, ordinal: int) -> str:
        """What tools call a GPU, ``GPU-...``; it never leaves the process.

        Raises:
            CudaError: there is no such GPU.
        """
        device, uuid = ctypes.c_int(), ctypes.create_string_buffer(16)
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
        self.call("cuDeviceGetUuid_v2", uuid, device)
        return uuid_text(uuid.raw)

    def load_module(self, text: str) -> ctypes.c_void_p:
        """Compile PTX for the current GPU.

        Raises:
            CudaError: with what the driver's compiler complained of.
        """
        complaints, remarks = ctypes.create_string_buffer(_LOG_BYTES), ctypes.create_string_buffer(_LOG_BYTES)
        options = (ctypes.c_int * 4)(_ERROR_LOG, _ERROR_LOG_BYTES, _INFO_LOG, _INFO_LOG_BYTES)
        # Sizes travel in the place of pointers.
        values = (ctypes.c_void_p * 4)(ctypes.addressof(complaints), _LOG_BYTES, ctypes.addressof(remarks), _LOG_BYTES)
        module = ctypes.c_void_p()
        image = ctypes.create_string_buffer(text.encode())
        code = self.library.cuModuleLoadDataEx(ctypes.byref(module), image, ctypes.c_uint(4), options, values)
        if code:
            log = " ".join((complaints.value or remarks.value).decode("utf-8", "replace").split())[:400]
            raise CudaError("cuModuleLoadDataEx", code, self.name_of(code), log)
        return module
