"""ONNX Runtime's TensorRT provider: TensorRT runs the parts of a graph that it takes, CUDA kernels the rest.

Not yet run on hardware. Names of options are strings in ``libonnxruntime_providers_tensorrt.so`` of onnxruntime-gpu
1.31.1, which asks for ``libnvinfer.so.10``.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from ctypes.util import find_library
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.artefacts import key_digest
from runtimes.errors import UnavailableError, UnsupportedError
from runtimes.gpu.libraries import library_files, load_library
from runtimes.gpu.session import open_gpu
from runtimes.installed import Probe
from runtimes.options import Option
from runtimes.ort_cuda import OrtCuda, OrtGpuSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.base import Facts, Request, Session
    from runtimes.gpu.device import Gpu
    from runtimes.options import Value

LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10")
# Written beside the engines when all of them are whole.
COMPLETE = "complete"
# What leaves engines as they are.
SHAPELESS = {"transfer", "wait", "cuda_graph", "trt_context_memory_sharing_enable"}
HALVES = {"fp16": "trt_fp16_enable", "bf16": "trt_bf16_enable"}
# Where this request's engines and timings are kept, for the method that tells the provider.
ENGINES, TIMINGS = "engine cache", "timing cache"

# Left out: trt_build_heuristics_enable (the library itself says it does nothing any more), trt_tactic_sources (most of
# them are gone), int8 and DLA (for other models and chips), profiles of sizes (sizes are fixed here).
TRT_OPTIONS = (
    Option("trt_builder_optimization_level", 3, "how long the builder looks for faster kernels", (0, 1, 2, 3, 4, 5)),
    Option("trt_auxiliary_streams", -1, "streams beside the session's own; -1: TensorRT's own choice", minimum=-1),
    Option(
        "trt_max_workspace_size", 0, "most GPU memory that one layer may use to compute, bytes; 0: no limit", minimum=0
    ),
    Option("trt_min_subgraph_size", 1, "fewest nodes that are worth an engine", minimum=1),
    Option("trt_layer_norm_fp32_fallback", False, "with fp16: powers and means of layer normalisation in float32"),
    Option("trt_context_memory_sharing_enable", False, "engines of one graph share their working memory"),
    Option("trt_sparsity_enable", False, "kernels for sparse weights, where weights are sparse enough"),
)


class OrtTensorRt(OrtCuda):
    """TensorRT first, CUDA second; engines are built ahead, into a folder of their own for every question."""

    name = "ort-tensorrt"
    title = "ONNX Runtime, TensorRT"
    install = "pip install 'rtfloor[gpu]' 'tensorrt-cu13<11'  (in an environment without onnxruntime)"
    provider: ClassVar[str] = "TensorrtExecutionProvider"
    needs: ClassVar[str] = "TensorRT 10, CUDA 13 and cuDNN 9"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "precision",
            "fp32",
            "fp32 switches TF32 off, tf32 allows it; fp16 and bf16 let TensorRT use them, and no TF32",
            ("fp32", "tf32", *HALVES),
        ),
        *TRT_OPTIONS,
        *(option for option in OrtCuda.options if option.name != "precision"),
    )

    def environment(self, request: Request) -> dict[str, str]:
        """The provider cannot forbid TensorRT to use TF32; this variable does, for all of NVIDIA's libraries."""
        return {} if request.options["precision"] == "tf32" else {"NVIDIA_TF32_OVERRIDE": "0"}

    def start(self) -> None:
        """Import ONNX Runtime, and load TensorRT's libraries, which its provider asks for by name."""
        super().start()
        with suppress(ImportError):
            # NVIDIA's package of the libraries loads them all when it is imported.
            importlib.import_module("tensorrt_libs")
        for name in LIBRARIES:
            if load_library(name) is None:
                raise UnavailableError(f"onnxruntime's TensorRT provider needs {name}; pip install 'tensorrt-cu13<11'")

    def build(self, request: Request) -> dict[str, Any]:
        """Let the provider build engines, by loading once; unless that was done before for the same question."""
        gpu = open_gpu(str(request.options["wait"]))
        try:
            folder = self._engines(request, gpu)
        finally:
            gpu.__exit__(None, None, None)
        if (folder / COMPLETE).is_file():
            return {"cached": True, "artefact": folder.name, "artefact_bytes": _size(folder)}
        for session in self.load(replace(request, sessions=1)):
            session.close()
        return {"artefact": folder.name, "artefact_bytes": _size(folder)}

    def provider_settings(self, options: Mapping[str, Value], stream: int) -> list[Any]:
        """TensorRT's settings, then those of CUDA for what TensorRT leaves.

        Args:
            options: of the request, and where the caches are.
            stream: address of the stream that both shall use.
        """
        # A graph is captured by the one provider that has every node; here that is TensorRT's.
        ((_, cuda),) = super().provider_settings({**options, "cuda_graph": False}, stream)
        given = {option.name: options[option.name] for option in TRT_OPTIONS}
        if not given["trt_max_workspace_size"]:
            del given["trt_max_workspace_size"]
        asked = str(options["precision"])
        given |= {name: asked == half for half, name in HALVES.items()}
        given |= {
            "trt_cuda_graph_enable": bool(options["cuda_graph"]),
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": options[ENGINES],
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": options[TIMINGS],
            "user_compute_stream": stream,
        }
        # Unlike the CUDA provider's, its switches are True and False to the letter; a stream implies that there is one.
        settings = {name: str(value) for name, value in given.items()}
        return [(self.provider, settings), (OrtCuda.provider, cuda)]

    def _packages(self) -> Probe:
        found = super()._packages()
        if not found.available or _nvinfer():
            return found
        reason = f"{LIBRARIES[0]}, TensorRT 10's own library, is nowhere to be found"
        return Probe(False, found.version, reason, "pip install 'tensorrt-cu13<11'")

    def _settings(self, request: Request) -> Any:
        settings = super()._settings(request)
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        return settings

    def _loaded(self, request: Request, gpu: Gpu) -> Session:
        if request.options["trt_layer_norm_fp32_fallback"] and request.options["precision"] != "fp16":
            raise UnsupportedError("onnxruntime: trt_layer_norm_fp32_fallback goes with precision=fp16")
        timings = request.cache / f"timings-{key_digest(_here(gpu))}"
        timings.mkdir(exist_ok=True)
        folder = self._engines(request, gpu)
        if not (folder / COMPLETE).is_file():
            # Whatever is there was left by a build that did not end.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        places = {ENGINES: str(folder), TIMINGS: str(timings)}
        session = super()._loaded(replace(request, options={**request.options, **places}), gpu)
        (folder / COMPLETE).touch()
        return session

    def _session_kind(self) -> type[OrtGpuSession]:
        return OrtTensorRtSession

    def _engines(self, request: Request, gpu: Gpu) -> Path:
        """Where the engines for this request, on this GPU, belong: the provider's own names leave out most options."""
        key = {
            "model": request.model_sha256,
            **_here(gpu),
            "options": {name: value for name, value in request.options.items() if name not in SHAPELESS},
        }
        return request.cache / f"{request.model.stem[:60]}-{request.options['precision']}-{key_digest(key)}"


class OrtTensorRtSession(OrtGpuSession):
    """Says who runs how many nodes."""

    def facts(self) -> Facts:
        """Nodes by provider, where ONNX Runtime tells."""
        facts = super().facts()
        return replace(facts, details={**facts.details, "nodes": _nodes(self._session)})


def _nodes(session: Any) -> dict[str, int]:
    """How many nodes each provider has; empty where this version does not tell."""
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    if tell is None:
        return {}
    counted: Counter[str] = Counter()
    for part in tell():
        counted[part.ep_name] += len(part.get_nodes())
    return dict(counted)


def _here(gpu: Gpu) -> dict[str, object]:
    """What engines and timings are tied to: the GPU, and the packages that make them, as far as they are packages."""
    versions = {}
    for name in ("onnxruntime-gpu", "tensorrt-cu13-libs", "tensorrt-cu12-libs", "tensorrt"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    facts = gpu.facts()
    return {"versions": versions, "gpu": facts.name, "capability": facts.capability, "driver": facts.driver}


def _nvinfer() -> bool:
    """Whether TensorRT's library can be found, without loading its hundreds of megabytes."""
    name = LIBRARIES[0]
    folders = [Path(place or ".") / "tensorrt_libs" for place in sys.path]
    folders += [Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if place]
    if any((folder / name).is_file() for folder in folders) or next(library_files(name), None) is not None:
        return True
    return find_library("nvinfer") == name


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
