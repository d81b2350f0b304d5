"""ONNX Runtime on a CUDA GPU, host to host.

Not yet run on hardware.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from runtimes.errors import UnavailableError, UnsupportedError
from runtimes.gpu.names import gpu_names
from runtimes.installed import Probe
from runtimes.options import Option
from runtimes.ort import OrtCpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array, Request, Session
    from runtimes.profiled_nodes import Profile


class OrtCuda(OrtCpu):
    """The CUDA provider; falling back to the CPU is an error here, not a slower answer."""

    name = "ort-cuda"
    device = "gpu"
    title = "ONNX Runtime, CUDA"
    distributions = ("onnxruntime-gpu",)
    install = "pip install 'rtfloor[gpu]'  (in an environment without onnxruntime)"
    options = (
        Option("precision", "fp32", "fp32 switches TF32 off, tf32 switches it on", ("fp32", "tf32")),
        *(option for option in OrtCpu.options if option.name != "precision"),
        Option(
            "cudnn_conv_algo_search",
            "EXHAUSTIVE",
            "how convolution kernels are chosen",
            ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
        ),
    )

    def probe(self) -> Probe:
        if not gpu_names():
            remedy = "run on a machine with a CUDA GPU; 'nvidia-smi' must list it"
            return Probe(False, None, "no NVIDIA GPU with a working driver is here", remedy)
        found = super().probe()
        if not found.available:
            return found
        try:
            metadata.version("onnxruntime")
        except metadata.PackageNotFoundError:
            return found
        reason = "onnxruntime and onnxruntime-gpu are both installed and share one module name"
        remedy = "pip uninstall onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        return Probe(False, found.version, reason, remedy)

    def start(self) -> None:
        super().start()
        import onnxruntime as ort

        # Finds CUDA and cuDNN in their own packages, which no loader path names.
        ort.preload_dlls()

    def load(self, request: Request) -> list[Session]:
        sessions = super().load(request)
        for session in sessions:
            if session.facts().device == "cpu":
                raise UnavailableError(
                    "onnxruntime fell back to the CPU because its CUDA provider could not be loaded; "
                    "CUDA 13 and cuDNN 9 libraries must be findable"
                )
        return sessions

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Refused: a kernel runs after the node that launched it is over."""
        raise UnsupportedError(
            f"{self.title} times the launching of kernels, not the kernels: its trace would show what the GPU "
            "did not do; a GPU profiler such as Nsight Systems tells"
        )

    def _providers(self, request: Request) -> list[Any]:
        settings = {
            "use_tf32": "1" if request.options["precision"] == "tf32" else "0",
            "cudnn_conv_algo_search": request.options["cudnn_conv_algo_search"],
        }
        return [("CUDAExecutionProvider", settings)]
