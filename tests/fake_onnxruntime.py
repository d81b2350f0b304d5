"""ONNX Runtime for GPUs without a GPU: as much of its Python interface as the adapters of GPUs use.

A session "runs" in onnx's reference evaluator, on memory at the addresses that were bound, on the stream it was given.
It keeps a graph for every thread, as the CUDA provider does, and what it does when a provider or a kernel is missing
is what the real one was seen to do.
"""

from __future__ import annotations

import ctypes
import threading
import time
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_gpu_memory import FakeGpu

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
NO_FALLBACK = "session.disable_cpu_ep_fallback"
# The run after the first is captured.
CAPTURED_RUN = 2


class Strict:
    """A class of the bindings: attributes that are not there cannot be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


class SessionOptions(Strict):
    """What a session is told; ``_entries`` are the configuration entries."""

    intra_op_num_threads = inter_op_num_threads = 0
    execution_mode: Any = None
    graph_optimization_level: Any = None
    enable_mem_reuse = enable_mem_pattern = enable_cpu_mem_arena = True
    _entries: dict[str, str]

    def __init__(self) -> None:
        object.__setattr__(self, "_entries", {})

    def add_session_config_entry(self, key: str, value: str) -> None:
        assert isinstance(value, str)
        self._entries[key] = value


class RunOptions(Strict):
    """What a run is told."""

    _entries: dict[str, str]

    def __init__(self) -> None:
        object.__setattr__(self, "_entries", {})

    def add_run_config_entry(self, key: str, value: str) -> None:
        assert isinstance(value, str)
        self._entries[key] = value


class IOBinding:
    """Where inputs and outputs lie."""

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[Any, tuple[int, ...], int]] = {}
        self.outputs: dict[str, tuple[Any, tuple[int, ...], int]] = {}

    def bind_input(self, name: str, device: str, number: int, kind: Any, shape: list[int], address: int) -> None:
        assert (device, number) == ("cuda", 0)
        self.inputs[name] = (kind, tuple(shape), address)

    def bind_output(self, name: str, device: str, number: int, kind: Any, shape: list[int], address: int) -> None:
        assert (device, number) == ("cuda", 0)
        self.outputs[name] = (kind, tuple(shape), address)


def make(gpu: FakeGpu) -> Any:
    """A module to put in the place of ``onnxruntime``.

    Its ``_told`` says what happened: ``sessions`` (settings and providers of each), ``captures`` (the thread of each),
    ``clashes`` (what another thread did while one captured), ``waits`` (of its own after a run), ``preloaded``. It
    takes orders: ``available`` (whether this build has the provider), ``loads`` (whether its library loads), ``lacks``
    (operators without a kernel for the GPU), ``capture_s`` (how long capturing takes), ``refuses`` and ``fails`` (what
    loading and a run raise), ``open_sizes`` (whether it could not infer the sizes of outputs).
    """
    ort: Any = ModuleType("onnxruntime")
    told = ort._told = SimpleNamespace(
        sessions=[], captures=[], clashes=[], waits=0, preloaded=0, available=True, loads=True, lacks=set(),
        capture_s=0.0, refuses=None, fails=None, open_sizes=False, capturing=None,
    )  # fmt: skip

    class InferenceSession:
        def __init__(
            self, path: str, sess_options: SessionOptions, providers: list[Any], *, enable_fallback: int = 1
        ) -> None:
            told.sessions.append(SimpleNamespace(options=sess_options, providers=providers, fallback=enable_fallback))
            if told.refuses is not None:
                raise told.refuses
            self._model = onnx.load(path)
            self._settings = dict(providers[0][1])
            self._runs: dict[int, int] = {}
            names = [CUDA, CPU] if told.available and told.loads else [CPU]
            lacking = {node.op_type for node in self._model.graph.node} & (told.lacks if CUDA in names else {"Conv"})
            if lacking and sess_options._entries.get(NO_FALLBACK) == "1":
                if not enable_fallback:
                    raise RuntimeError(
                        "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the "
                        "default CPU EP, but fallback to CPU EP has been explicitly disabled by the user."
                    )
                names = [CPU]  # a second try of its own, about which nobody is told
            self._names = names
            self._evaluator = ReferenceEvaluator(self._model)

        def get_providers(self) -> list[str]:
            return self._names

        def get_outputs(self) -> list[Any]:
            # Where the file states no shape, it is inferred while loading.
            outputs = onnx.shape_inference.infer_shapes(self._model).graph.output
            shapes = [[size.dim_value for size in output.type.tensor_type.shape.dim] for output in outputs]
            return [
                SimpleNamespace(name=output.name, shape=["unknown"] * len(shape) if told.open_sizes else shape)
                for output, shape in zip(outputs, shapes, strict=True)
            ]

        def run(self, names: list[str], feeds: dict[str, Any], options: RunOptions) -> list[Any]:
            self._begun(options)
            return list(self._evaluator.run(names, feeds))

        def io_binding(self) -> IOBinding:
            return IOBinding()

        def run_with_iobinding(self, binding: IOBinding, options: RunOptions) -> None:
            if told.fails is not None:
                raise told.fails
            self._begun(options)
            gpu.submit(int(self._settings["user_compute_stream"]), self._work(binding))
            if options._entries.get("disable_synchronize_execution_providers") != "1":
                told.waits += 1

        def _begun(self, options: RunOptions) -> None:
            """Count a run, and capture where its turn has come."""
            thread = threading.get_ident()
            if self._settings["enable_cuda_graph"] != "1" or options._entries.get("gpu_graph_id") == "-1":
                return
            self._runs[thread] = number = self._runs.get(thread, 0) + 1
            if number <= CAPTURED_RUN:
                # Taking memory for a graph, and capturing it, bear no other thread that does the same.
                if told.capturing not in (None, thread):
                    told.clashes.append((told.capturing, thread))
                told.capturing = thread
                time.sleep(told.capture_s)
                if number == CAPTURED_RUN:
                    told.captures.append(thread)
                    told.capturing = None

        def _work(self, binding: IOBinding) -> Callable[[], None]:
            def work() -> None:
                feeds = {name: _array(*place).copy() for name, place in binding.inputs.items()}
                for name, place in binding.outputs.items():
                    (answer,) = self._evaluator.run([name], feeds)
                    _array(*place)[...] = answer

            return work

    def preload_dlls() -> None:
        told.preloaded += 1

    ort.InferenceSession, ort.SessionOptions, ort.RunOptions = InferenceSession, SessionOptions, RunOptions
    ort.IOBinding = IOBinding
    ort.ExecutionMode = Enum("ExecutionMode", ["ORT_SEQUENTIAL", "ORT_PARALLEL"])
    levels = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_LAYOUT", "ORT_ENABLE_ALL"]
    ort.GraphOptimizationLevel = Enum("GraphOptimizationLevel", levels)
    ort.get_available_providers = lambda: [CUDA, CPU] if told.available else [CPU]
    ort.set_default_logger_severity = lambda level: None
    ort.preload_dlls = preload_dlls
    return ort


def _array(kind: Any, shape: tuple[int, ...], address: int) -> Any:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), kind).reshape(shape)
