"""Which runtimes there are: ours, and those that other packages register."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING

from runtimes.base import Runtime
from runtimes.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "rtfloor.runtimes"
BUILT_IN = {
    "ort-cpu": "runtimes.ort:OrtCpu",
    "openvino": "runtimes.openvino_rt:OpenVinoCpu",
    "tvm": "runtimes.tvm_rt:TvmCpu",
    "tract": "runtimes.tract_rt:TractCpu",
    "torch": "runtimes.torch_rt:TorchCpu",
    "ort-cuda": "runtimes.ort_cuda:OrtCuda",
    "torch-cuda": "runtimes.torch_cuda:TorchCuda",
    "tvm-cuda": "runtimes.tvm_cuda:TvmCuda",
    "tensorrt": "runtimes.tensorrt_rt:TensorRt",
    "ort-tensorrt": "runtimes.ort_tensorrt:OrtTensorRt",
    "fake": "runtimes.fake:Fake",
}


def names() -> list[str]:
    """Every runtime that can be named: ours first, then other packages'."""
    return [*BUILT_IN, *sorted(_third_party().keys() - BUILT_IN.keys())]


def get(name: str) -> Runtime:
    """The adapter of that name; no vendor library is imported.

    Raises:
        KeyError: there is none; the text names those there are.
        UnavailableError: it is registered, but its own code cannot be imported.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        adapter = getattr(importlib.import_module(module), attribute)()
    elif (entry := _third_party().get(name)) is not None:
        try:
            adapter = entry()()
        except Exception as error:  # somebody else's code: whatever it raises is the reason
            raise UnavailableError(f"the package that registers runtime {name!r} is broken: {error}") from error
    else:
        raise KeyError(f"there is no runtime {name!r}; there are: {', '.join(names())}")
    if not isinstance(adapter, Runtime):
        raise UnavailableError(f"runtime {name!r} is registered as {adapter!r}, which is no runtimes.base.Runtime")
    return adapter


def on_gpu(name: str) -> bool:
    """Whether a runtime computes on a GPU; one that cannot be imported does not."""
    try:
        return get(name).device == "gpu"
    except (KeyError, UnavailableError):
        return False


def _third_party() -> dict[str, Callable[[], type[Runtime]]]:
    return {entry.name: entry.load for entry in metadata.entry_points(group=GROUP)}
