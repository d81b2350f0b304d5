# ruff: noqa: N802  # functions are called as the driver calls them
"""A CUDA driver whose device memory is the host's: copies are real, streams are immediate, graphs are Python calls.

An engine's fake reads and writes the addresses it is given, and hands its work to :meth:`FakeGpu.submit`.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from fake_cuda import FakeCuda

if TYPE_CHECKING:
    from collections.abc import Callable

CAPTURE_UNSUPPORTED = 900


class FakeGpu(FakeCuda):
    """See the module's text.

    Args:
        name: of the GPU.
        version: of CUDA, as the driver says it.
        settings: as for :class:`FakeCuda`.
    """

    def __init__(self, *, name: str = "NVIDIA Fake", version: int = 13020, **settings: Any) -> None:
        super().__init__(**settings)
        self.name, self.version = name, version
        self.contexts = 0
        self.blocks: dict[int, Any] = {}
        self.recordings: dict[int, list[Callable[[], None]]] = {}  # by stream that is being captured
        self.works: dict[int, list[Callable[[], None]]] = {}  # by graph
        self.captures = self.launches = 0

    def submit(self, stream: int, work: Callable[[], None]) -> None:
        """Carry work out, or note it where the stream is being captured."""
        assert stream in self.taken["stream"], f"work for {stream}, which is no stream"
        if stream in self.recordings:
            self.recordings[stream].append(work)
        else:
            work()

    def capturing_on(self, stream: int) -> bool:
        """Whether work is only noted now."""
        return stream in self.recordings

    def cuDriverGetVersion(self, number: Any) -> None:
        number._obj.value = self.version

    def cuDeviceGetName(self, name: Any, size: Any, device: Any) -> None:
        name.value = self.name.encode()

    def cuDevicePrimaryCtxSetFlags_v2(self, device: Any, flags: Any) -> int:
        return 0

    def cuThreadExchangeStreamCaptureMode(self, mode: Any) -> None:
        mode._obj.value = 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> None:
        context._obj.value = 7
        self.contexts += 1

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> None:
        self.contexts -= 1

    def cuMemAlloc_v2(self, address: Any, size: Any) -> None:
        block = (ctypes.c_uint8 * size.value)(*(0xA5 for _ in range(size.value)))
        place = ctypes.addressof(block)
        self.blocks[place] = block
        address._obj.value = place
        self.taken.setdefault("memory", set()).add(place)

    def cuMemFree_v2(self, address: Any) -> None:
        self._give("memory", address)
        del self.blocks[address.value]

    def cuMemcpyHtoDAsync_v2(self, device: Any, host: Any, size: Any, stream: Any) -> None:
        self.submit(stream.value, lambda: self._move(device.value, host.value, size.value))

    def cuMemcpyDtoHAsync_v2(self, host: Any, device: Any, size: Any, stream: Any) -> None:
        self.submit(stream.value, lambda: self._move(host.value, device.value, size.value))

    @staticmethod
    def _move(to: int, source: int, size: int) -> None:
        ctypes.memmove(to, source, size)

    def cuStreamSynchronize(self, stream: Any) -> int:
        return CAPTURE_UNSUPPORTED if self.capturing_on(stream.value) else 0

    def cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:
        self.recordings[stream.value] = []
        self.captures += 1

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> None:
        self.works[self._take("graph", graph)] = self.recordings.pop(stream.value)

    def cuGraphInstantiateWithFlags(self, ready: Any, graph: Any, flags: Any) -> None:
        self.works[self._take("ready graph", ready)] = self.works[graph.value]

    def cuGraphLaunch(self, ready: Any, stream: Any) -> None:
        self.launches += 1
        for work in self.works[ready.value]:
            self.submit(stream.value, work)
