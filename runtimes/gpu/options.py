"""Options that adapters of GPUs share, and what they ask of the machine before an engine is loaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtimes.errors import UnsupportedError
from runtimes.gpu.nvml import gpu_names
from runtimes.gpu.session import WAITS
from runtimes.installed import Probe
from runtimes.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable

TRANSFER = Option(
    "transfer",
    "host",
    "host: arrays of the host in and out, as an application feels it; device: inputs and outputs stay on the GPU, as "
    "vendors' tools time it",
    ("host", "device"),
)
WAIT = Option("wait", "spin", "how a thread waits for the GPU: busy, giving way to others, or asleep", tuple(WAITS))
GRAPH = Option("cuda_graph", False, "capture the work of a call once and start it as one CUDA graph")


def check_tf32(precision: str, title: str) -> None:
    """Refuse to compute in TF32 under a variable that switches it off in all of NVIDIA's libraries without a word.

    Raises:
        UnsupportedError: it is set so.
    """
    if precision == "tf32" and os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        raise UnsupportedError(f"{title}: NVIDIA_TF32_OVERRIDE=0 forbids TF32; unset it, or ask for precision=fp32")


def probe_gpu(packages: Callable[[], Probe]) -> Probe:
    """Whether there is a GPU, and then what an adapter's packages say; the packages' version either way.

    Args:
        packages: the adapter's own probe.
    """
    found = packages()
    if gpu_names():
        return found
    missing = "" if found.available else f"; and {found.reason}"
    after = "" if found.available or not found.remedy else f", then {found.remedy}"
    remedy = f"run on a machine with a CUDA GPU ('nvidia-smi' must list it){after}"
    return Probe(False, found.version, f"no NVIDIA GPU with a working driver is here{missing}", remedy)
