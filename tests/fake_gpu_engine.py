# ruff: noqa: N802  # functions are called as the driver calls them
"""A tiny engine on a GPU that is not there, and a driver that is as late and as strict as a real one."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fake_gpu_memory import FakeGpu

from runtimes.base import Facts, Request, Tensor
from runtimes.gpu.driver import Driver
from runtimes.gpu.session import GpuSession, open_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from runtimes.gpu.device import Gpu

INVALID_CONTEXT = 201
STEP_S = 1e-6
ANYWHERE = (
    *("cuInit", "cuDeviceGet", "cuDriverGetVersion", "cuDevicePrimaryCtx", "cuCtxSetCurrent", "cuGetErrorName"),
    *("cuCtxGetCurrent",),
)


X, Y = Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32")


def asked(
    inputs: tuple[Tensor, ...] = (X,), outputs: tuple[Tensor, ...] = (Y,), *, sessions: int = 1, **options: Any
) -> Request:
    """A request for a model that nobody reads."""
    return Request(Path("net.onnx"), "0" * 64, inputs, outputs, "fp32", 1, sessions, options, Path("cache"))


class LateGpu(FakeGpu):
    """What lies on a stream is done when somebody waits for it, never before.

    A thread that has made no context current gets an error, as from the real driver. Every step on a stream takes a
    microsecond of the GPU's clock.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.queues: dict[int, list[Callable[[], None]]] = {}
        self.marked: dict[int, int] = {}
        self.flags: list[int] = []
        self.capture_modes: list[tuple[int, int]] = []
        self.threads = threading.local()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("cu"):
            if not name.startswith(ANYWHERE) and not hasattr(self.threads, "context"):
                return lambda *_: INVALID_CONTEXT
            found.__name__ = name  # as functions of ctypes have it
        return found

    def submit(self, stream: int, work: Callable[[], None]) -> None:
        """Put work on a stream, or note it where the stream is being captured."""
        if self.capturing_on(stream):
            super().submit(stream, work)
        else:
            assert stream in self.taken["stream"], f"work for {stream}, which is no stream"
            self.queues.setdefault(stream, []).append(work)

    def waiting(self) -> int:
        """How many steps nobody has waited for."""
        return sum(map(len, self.queues.values()))

    def cuCtxSetCurrent(self, context: Any) -> None:
        super().cuCtxSetCurrent(context)
        self.threads.context = context.value

    def cuThreadExchangeStreamCaptureMode(self, mode: Any) -> None:
        self.capture_modes.append((threading.get_ident(), mode._obj.value))
        super().cuThreadExchangeStreamCaptureMode(mode)

    def cuDevicePrimaryCtxSetFlags_v2(self, device: Any, flags: Any) -> int:
        self.flags.append(flags.value)
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:
        if (code := super().cuStreamSynchronize(stream)) == 0:
            self._work_off(stream.value)
        return code

    def cuCtxSynchronize(self) -> None:
        for stream in list(self.queues):
            self._work_off(stream)

    def cuStreamDestroy_v2(self, stream: Any) -> None:
        assert not self.queues.get(stream.value), "a stream was given back with work on it"
        super().cuStreamDestroy_v2(stream)

    def cuMemsetD8_v2(self, address: Any, byte: Any, size: Any) -> None:
        ctypes.memset(address.value, byte.value, size.value)

    def cuEventRecord(self, event: Any, stream: Any) -> None:
        self.marked[event.value] = stream.value
        self.submit(stream.value, lambda: self.events.update({event.value: self.gpu_s}))

    def cuEventSynchronize(self, event: Any) -> None:
        self._work_off(self.marked[event.value])

    def _work_off(self, stream: int) -> None:
        for work in self.queues.pop(stream, []):
            work()
            self.gpu_s += STEP_S


class Engine(GpuSession):
    """Answers each input with ``factor`` times it plus one, in the outputs' own types.

    Args:
        own_memory: whether it has inputs and outputs of its own, of which the outputs' places change with every call.
    """

    def __init__(self, request: Request, gpu: Gpu, factor: int = 2, *, own_memory: bool = False) -> None:
        super().__init__(request, gpu, "tiny engine")
        self.factor, self.attached = factor, 0
        self.threads: list[int] = []
        self._own = own_memory
        self._sources = [buffer.address for buffer in self.inputs]
        if own_memory:
            self._sources = [gpu.allocate(buffer.host.nbytes) for buffer in self.inputs]
            self.move_inputs(self._sources)
            self._turns = [[gpu.allocate(buffer.host.nbytes) for buffer in self.outputs] for _ in range(2)]

    def attach(self) -> None:
        self.attached += 1
        self.threads.append(threading.get_ident())

    def enqueue(self) -> Sequence[int] | None:
        places = [buffer.address for buffer in self.outputs]
        if self._own:
            self._turns.reverse()
            places = self._turns[0]
        self._library.submit(self.gpu.stream.value, lambda: self._compute(places))
        return places if self._own else None

    def facts(self) -> Facts:
        return Facts("fp32", "cuda:0")

    def _compute(self, places: Sequence[int]) -> None:
        for source, given, place, answer in zip(self._sources, self.inputs, places, self.outputs, strict=True):
            values = array_at(source, given.host)
            kind = answer.host.dtype
            array_at(place, answer.host)[...] = ~values if kind.kind == "b" else (values * self.factor + 1).astype(kind)


def array_at(address: int, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What lies at an address, as an array of another one's shape and type."""
    place = (ctypes.c_char * like.nbytes).from_address(address)
    return np.frombuffer(place, like.dtype).reshape(like.shape)


def use(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu) -> Any:
    """Have this driver found in the place of the machine's."""
    monkeypatch.setattr(Driver, "load", classmethod(lambda cls: cls(gpu)))
    return gpu


def engine(factor: int = 2, *, own_memory: bool = False) -> Engine:
    """An engine for one input and one output of four numbers."""
    return Engine(asked(), open_gpu("spin"), factor, own_memory=own_memory)


def feeds(value: float) -> dict[str, Any]:
    """Four numbers from this one on."""
    return {"x": np.float32([[value, value + 1, value + 2, value + 3]])}


def right(value: float, factor: int = 2) -> list[list[float]]:
    """What the engine should answer to :func:`feeds`."""
    return [[float(factor * (value + step) + 1) for step in range(4)]]


def made_during(gpu: FakeGpu, call: Callable[..., Any], *arguments: Any) -> list[str]:
    """Which functions of the driver a call calls, in order."""
    before = len(gpu.calls)
    call(*arguments)
    return gpu.calls[before:]
