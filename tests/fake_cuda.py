# ruff: noqa: N802  # functions are called as the driver calls them
"""A CUDA driver without a GPU: the same functions, over :mod:`ptx_machine`, failing where a test tells it to."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import ptx_machine

NAMES = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 218: b"CUDA_ERROR_INVALID_PTX", 700: b"CUDA_ERROR_ILLEGAL_ADDRESS"}
UUID = bytes(range(16))
TRIP_S = 1e-3
# What things cost the host.
LAUNCH_NS, WAIT_NS, COPY_NS, GRAPH_NS, NODE_NS, IDLE_NS = 2000, 6000, 1500, 3000, 1000, 400


class FakeCuda:
    """Stands for ``ctypes.CDLL("libcuda.so.1")``.

    Args:
        gpus: how many it shows.
        capability: of all of them.
        free_bytes: of their memory.
        fails: by function: the error to answer with; a function may be told to fail from its n-th call on.
        refuses: entry points that do not compile.
        breaks: entry points that end in an illegal address.
        spoils: entry points whose answers are changed behind their back: called with the memory and arguments.
    """

    def __init__(
        self,
        *,
        gpus: int = 1,
        capability: int = 90,
        free_bytes: int = 8 * 256 * 1024,
        fails: dict[str, int] | None = None,
        refuses: tuple[str, ...] = (),
        breaks: tuple[str, ...] = (),
        spoils: dict[str, Any] | None = None,
    ) -> None:
        self.gpus, self.free_bytes = gpus, free_bytes
        self.fails, self.refuses, self.breaks = fails or {}, refuses, breaks
        self.spoils = spoils or {}
        self.memory = ptx_machine.Memory()
        self.taken: dict[str, set[int]] = {}
        self.programs: dict[int, ptx_machine.Program] = {}
        self.graphs: dict[int, int] = {}
        self.capturing: int | None = None
        self.pinned: dict[int, Any] = {}
        self.events: dict[int, float] = {}
        self.gpu_s = 0.0
        self.host_ns = 0
        self.lost = 0
        self.calls: list[str] = []
        self.launched: list[ptx_machine.Run] = []
        self._handle = 100
        self.attributes = {
            13: 1_980_000, 16: 2, 36: 3_201_000, 37: 6144, 38: 512 * 1024, 39: 1024, 75: capability // 10,
            76: capability % 10, 81: 228 * 1024,
        }  # fmt: skip

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if not name.startswith("cu"):
            return found

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == "cuGetErrorName":
                return found(*arguments)
            if name in self.fails:
                return self.fails[name]
            if self.lost:
                return self.lost
            try:
                return found(*arguments) or 0
            except ptx_machine.FaultError:
                self.lost = ptx_machine.ILLEGAL_ADDRESS
                return self.lost

        return call

    # Host

    def now_ns(self) -> int:
        return self.host_ns

    def idle(self, *_: Any) -> int:
        self.host_ns += IDLE_NS
        return 1

    def _take(self, kind: str, place: Any) -> int:
        self._handle += 1
        self.taken.setdefault(kind, set()).add(self._handle)
        place._obj.value = self._handle
        return self._handle

    def _give(self, kind: str, handle: Any) -> None:
        self.taken[kind].remove(handle.value)

    def still_taken(self) -> dict[str, set[int]]:
        """What nobody gave back."""
        return {kind: handles for kind, handles in self.taken.items() if handles}

    # Device

    def cuInit(self, flags: Any) -> int:
        return 0

    def cuDeviceGetCount(self, number: Any) -> None:
        number._obj.value = self.gpus

    def cuDriverGetVersion(self, number: Any) -> None:
        number._obj.value = 13020

    def cuGetErrorName(self, code: int, text: Any) -> int:
        text._obj.value = NAMES.get(code, b"CUDA_ERROR_FAKE")
        return 0

    def cuDeviceGet(self, device: Any, ordinal: Any) -> None:
        device._obj.value = ordinal.value

    def cuDeviceGetName(self, name: Any, size: Any, device: Any) -> None:
        name.value = b"NVIDIA Fake"

    def cuDeviceGetUuid_v2(self, uuid: Any, device: Any) -> None:
        uuid.raw = UUID

    def cuDeviceTotalMem_v2(self, size: Any, device: Any) -> None:
        size._obj.value = 1 << 30

    def cuDeviceGetAttribute(self, value: Any, number: Any, device: Any) -> int:
        if number.value not in self.attributes:
            return 1
        value._obj.value = self.attributes[number.value]
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> None:
        context._obj.value = 7
        self.taken.setdefault("context", set()).add(7)

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> None:
        self.taken["context"].remove(7)

    def cuCtxSetCurrent(self, context: Any) -> None:
        assert context.value == 7

    def cuCtxSynchronize(self) -> None:
        pass

    # Memory

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> None:
        free._obj.value, total._obj.value = self.free_bytes, 1 << 30

    def cuMemAlloc_v2(self, address: Any, size: Any) -> None:
        address._obj.value = self.memory.allocate(size.value)
        self.taken.setdefault("memory", set()).add(address._obj.value)

    def cuMemFree_v2(self, address: Any) -> None:
        self._give("memory", address)
        del self.memory.blocks[address.value]

    def cuMemHostAlloc(self, address: Any, size: Any, flags: Any) -> None:
        buffer = (ctypes.c_uint8 * size.value)()
        address._obj.value = ctypes.addressof(buffer)
        self.pinned[ctypes.addressof(buffer)] = buffer
        self.taken.setdefault("pinned", set()).add(ctypes.addressof(buffer))

    def cuMemFreeHost(self, address: Any) -> None:
        self._give("pinned", address)

    def cuMemsetD32_v2(self, address: Any, word: Any, words: Any) -> None:
        self.memory.bytes_at(address.value, words.value * 4).view("<u4")[:] = word.value

    def cuMemcpyHtoD_v2(self, device: Any, host: Any, size: Any) -> None:
        raw = ctypes.string_at(host.value, size.value)
        self.memory.bytes_at(device.value, size.value)[:] = np.frombuffer(raw, np.uint8)

    def cuMemcpyDtoH_v2(self, host: Any, device: Any, size: Any) -> None:
        ctypes.memmove(host.value, self.memory.bytes_at(device.value, size.value).tobytes(), size.value)

    def cuMemcpyHtoDAsync_v2(self, device: Any, host: Any, size: Any, stream: Any) -> None:
        self.cuMemcpyHtoD_v2(device, host, size)
        self.gpu_s += TRIP_S
        self.host_ns += COPY_NS

    def cuMemcpyDtoHAsync_v2(self, host: Any, device: Any, size: Any, stream: Any) -> None:
        self.cuMemcpyDtoH_v2(host, device, size)
        self.gpu_s += TRIP_S
        self.host_ns += COPY_NS

    # Streams, events, kernels

    def cuStreamCreate(self, stream: Any, flags: Any) -> None:
        self._take("stream", stream)

    def cuStreamDestroy_v2(self, stream: Any) -> None:
        self._give("stream", stream)

    def cuStreamSynchronize(self, stream: Any) -> None:
        self.host_ns += WAIT_NS

    def cuEventCreate(self, event: Any, flags: Any) -> None:
        self._take("event", event)

    def cuEventDestroy_v2(self, event: Any) -> None:
        self._give("event", event)

    def cuEventRecord(self, event: Any, stream: Any) -> None:
        self.events[event.value] = self.gpu_s

    def cuEventSynchronize(self, event: Any) -> None:
        assert event.value in self.events

    def cuEventElapsedTime(self, passed_ms: Any, begin: Any, end: Any) -> None:
        passed_ms._obj.value = (self.events[end.value] - self.events[begin.value]) * 1e3

    def cuModuleLoadDataEx(self, module: Any, image: Any, count: Any, options: Any, values: Any) -> int:
        program = ptx_machine.parse(image.value.decode())
        assert list(options) == [5, 6, 3, 4]
        if program.name in self.refuses:
            said = b"ptxas application ptx input, line 7; error   : Unknown modifier '.surprise'"
            ctypes.memmove(values[0], said, len(said) + 1)
            return 218
        self.programs[self._take("module", module)] = program
        return 0

    def cuModuleUnload(self, module: Any) -> None:
        self._give("module", module)

    def cuModuleGetFunction(self, function: Any, module: Any, name: Any) -> int:
        if self.programs[module.value].name != name.value.decode():
            return 500
        function._obj.value = module.value
        return 0

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(self, blocks: Any, function: Any, block: Any, shared: Any) -> None:
        assert block.value == self.programs[function.value].block
        blocks._obj.value = 1

    def cuFuncSetAttribute(self, function: Any, attribute: Any, value: Any) -> None:
        assert (attribute.value, value.value) == (9, 100)

    def cuFuncGetAttribute(self, value: Any, attribute: Any, function: Any) -> None:
        value._obj.value = {4: 32, 3: 0}[attribute.value]

    def cuLaunchKernel(self, function: Any, x: Any, y: Any, z: Any, block: Any, by: Any, bz: Any, *rest: Any) -> int:
        places = rest[2]
        self.host_ns += LAUNCH_NS
        if self.capturing is not None:
            self.capturing += 1
            return 0
        program = self.programs[function.value]
        if program.name in self.breaks:
            raise ptx_machine.FaultError(program.name)
        if program.name == "empty":
            return 0
        assert block.value == program.block
        arguments = {}
        for (kind, name), place in zip(program.parameters, places, strict=True):
            arguments[name] = int.from_bytes(ctypes.string_at(place, 8 if kind.endswith("64") else 4), "little")
        with np.errstate(over="ignore"):
            run = ptx_machine.Run(program, self.memory, x.value, arguments).go()
        self.gpu_s += TRIP_S * (run.trips + 1)
        self.launched.append(run)
        if program.name in self.spoils:
            self.spoils[program.name](self.memory, arguments)
        return 0

    # Graphs

    def cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:
        self.capturing = 0

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> None:
        assert self.capturing is not None
        self.graphs[self._take("graph", graph)] = self.capturing
        self.capturing = None

    def cuGraphInstantiateWithFlags(self, ready: Any, graph: Any, flags: Any) -> None:
        self.graphs[self._take("ready graph", ready)] = self.graphs[graph.value]

    def cuGraphDestroy(self, graph: Any) -> None:
        self._give("graph", graph)

    def cuGraphExecDestroy(self, ready: Any) -> None:
        self._give("ready graph", ready)

    def cuGraphLaunch(self, ready: Any, stream: Any) -> None:
        self.host_ns += GRAPH_NS + NODE_NS * self.graphs[ready.value]
