"""Which runtimes there are: ours, and those that other packages register; each by name, or in a named version."""

from __future__ import annotations

import importlib
import re
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
# A version in the normal form of PEP 440: nothing that an installer could read as a flag, a range or a path.
VERSION = re.compile(r"(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+(\.[a-z0-9]+)*)?", re.ASCII)


def names() -> list[str]:
    """Every runtime that can be named: ours first, then other packages'."""
    return [*BUILT_IN, *sorted(_third_party().keys() - BUILT_IN.keys())]


def plain(name: str) -> str:
    """The name without its version: ``ort-cpu`` of ``ort-cpu@1.24.4``."""
    return name.partition("@")[0]


def version(name: str) -> str:
    """The version that a name asks for: ``1.24.4`` of ``ort-cpu@1.24.4``; empty where it asks for none.

    Raises:
        KeyError: what stands there is no version.
    """
    _, at, asked = name.partition("@")
    if at and not VERSION.fullmatch(asked):
        raise KeyError(
            f"runtime {name!r}: {asked!r} is no version; after the @ belongs one as packages write it, "
            "such as ort-cpu@1.24.4 or tvm@0.27.0.post1"
        )
    return asked


def get(name: str) -> Runtime:
    """The adapter of that name, which is the same for all versions; no vendor library is imported.

    Raises:
        KeyError: there is none; the text names those there are. Or what stands after ``@`` is no version.
        UnavailableError: it is registered, but its own code cannot be imported.
    """
    version(name)
    name = plain(name)
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
