"""Memory that CUPTI fills with records, handed over without Python wherever that can be done.

CUPTI asks for memory, and gives it back, in the middle of an engine's calls and from a thread of its own, while it
holds a lock of its own. A callback in Python would wait there for Python's lock; an engine that calls CUDA while it
holds Python's lock would wait for CUPTI's; neither would ever go on. So both callbacks are a few instructions of
machine code that know nothing of Python. Where those cannot run (another processor, a system that forbids code made
at run time), Python does the same; that is safe with engines that let go of Python's lock before they call CUDA.

Signatures: CUPTI, ``cupti_activity.h`` of CUDA 13.0, ``CUpti_BuffersCallbackRequestFunc`` and
``CUpti_BuffersCallbackCompleteFunc``.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from typing import Any

# About 20,000 kernels; CUPTI advises 1 to 10 MiB. Nothing is taken from the system before it is written to.
BUFFER_BYTES = 4 << 20
BUFFERS = 64

# Words before the entries of a table: how many were taken or given so far, how many there can be.
_HEAD = 2

_ASK = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)
_GIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_size_t)

# System V x86-64, assembled; {T} is the address of a table and {B} the size of a buffer, both little-endian.
#   endbr64; mov rcx, table; mov eax, 1; lock xadd [rcx], rax
_TAKE_A_NUMBER = "f30f1efa 48b9{T} b801000000 f0480fc101"
#   *rdx = 0 (any number of records); edx = 0; *rsi = 0; if rax < [rcx+8]: rdx = [rcx+16+8*rax], *rsi = size; *rdi = rdx
_ASKED = _TAKE_A_NUMBER + "48c70200000000 31d2 48c70600000000 483b4108 730c 488b54c110 48c706{B} 488917 c3"
#   if rax < [rcx+8]: [rcx+16+16*rax] = rdx (buffer), [rcx+24+16*rax] = r8 (bytes that are valid)
_GIVEN = _TAKE_A_NUMBER + "483b4108 730e 48c1e004 4889540110 4c89440118 c3"


class Buffers:
    """All memory for records there is in this process, and the two callbacks that lend it to CUPTI.

    It lives as long as the process: nobody can tell when CUPTI calls back for the last time.

    Args:
        native: whether to try machine code first.
        count: of buffers; what does not fit is dropped by CUPTI, which counts it.

    Attributes:
        native: whether the callbacks are machine code.
        asked: address of the callback that lends a buffer.
        given: address of the callback that takes it back.
    """

    def __init__(self, *, native: bool = True, count: int = BUFFERS) -> None:
        self._memory = mmap.mmap(-1, count * BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._view = memoryview(self._memory)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._free = (ctypes.c_uint64 * (_HEAD + count))()
        self._full = (ctypes.c_uint64 * (_HEAD + 2 * count))()
        self._lent: set[int] = set()
        self._all = [self._base + number * BUFFER_BYTES for number in range(count)]
        self.native = False
        if native:
            self.native = self._assemble()
        if not self.native:
            self._keep = (_ASK(self._ask), _GIVE(self._give))
            self.asked, self.given = (ctypes.cast(function, ctypes.c_void_p).value or 0 for function in self._keep)
        self.ready()
        # Not even the end of the interpreter may take away what CUPTI could still write to or call.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def ready(self) -> None:
        """Forget what was given back and lend anew; only while CUPTI records nothing."""
        self.filled()  # what nobody asked for is noted as given back
        free = [address for address in self._all if address not in self._lent]
        self._full[0], self._full[1] = 0, len(self._all)
        self._free[1] = 0  # nothing is lent while the table is written
        for place, address in enumerate(free):
            self._free[_HEAD + place] = address
        self._free[0], self._free[1] = 0, len(free)

    def filled(self) -> list[tuple[int, int]]:
        """Address and valid bytes of every buffer that came back since :meth:`ready`."""
        lent = min(self._free[0], self._free[1])
        self._lent |= {self._free[_HEAD + place] for place in range(lent)}
        found = []
        for place in range(min(self._full[0], self._full[1])):
            address, valid = self._full[_HEAD + 2 * place], self._full[_HEAD + 2 * place + 1]
            if address in self._lent:
                self._lent.remove(address)
                found.append((address, min(valid, BUFFER_BYTES)))
        return found

    def at(self, address: int) -> tuple[memoryview, int]:
        """All memory, and where in it an address is."""
        return self._view, address - self._base

    def _assemble(self) -> bool:
        if platform.machine() != "x86_64" or sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
            return False
        codes = [
            bytes.fromhex(text.format(T=_little(ctypes.addressof(table), 8), B=_little(BUFFER_BYTES, 4)))
            for text, table in ((_ASKED, self._free), (_GIVEN, self._full))
        ]
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.write(b"".join(codes))
            self._code = page
            start = ctypes.addressof(ctypes.c_char.from_buffer(page))
            protect: Any = ctypes.CDLL(None).mprotect
        except (OSError, AttributeError):
            return False
        wanted = ctypes.c_int(mmap.PROT_READ | mmap.PROT_EXEC)
        if protect(ctypes.c_void_p(start), ctypes.c_size_t(mmap.PAGESIZE), wanted):
            return False
        self.asked, self.given = start, start + len(codes[0])
        return True

    # The same two in Python; its lock keeps others out.

    def _ask(self, buffer: Any, size: Any, records: Any) -> None:
        number = self._free[0]
        self._free[0] = number + 1
        lend = number < self._free[1]
        buffer[0] = self._free[_HEAD + number] if lend else 0
        size[0] = BUFFER_BYTES if lend else 0
        records[0] = 0

    def _give(self, context: Any, stream: int, buffer: int, size: int, valid: int) -> None:
        number = self._full[0]
        self._full[0] = number + 1
        if number < self._full[1]:
            self._full[_HEAD + 2 * number], self._full[_HEAD + 2 * number + 1] = buffer, valid


def _little(value: int, size: int) -> str:
    return value.to_bytes(size, "little").hex()
