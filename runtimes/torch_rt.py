"""PyTorch on the CPU, eager or compiled."""

from __future__ import annotations

import inspect
import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtimes.base import Facts, Request, Runtime, Session, Snippet
from runtimes.errors import EngineError, engine_error
from runtimes.options import text
from runtimes.torch_axes import AXES, CLASHES, FIXED, INDUCTOR, MODE, inductor_settings
from runtimes.torch_snippet import script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array
    from runtimes.profiled_nodes import Profile
    from runtimes.torch_nodes import Span, Step


class TorchCpu(Runtime):
    """The graph as a module of our own making; one module per concurrent caller."""

    name = "torch"
    title = "PyTorch, CPU"
    distributions = ("torch",)
    install = "pip install 'rtfloor[torch]'"
    options = AXES
    fixed = FIXED
    clashes = CLASHES

    def environment(self, request: Request) -> dict[str, str]:
        """Thread counts of both maths libraries, and where inductor keeps its code."""
        threads = str(request.threads)
        return {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "TORCHINDUCTOR_CACHE_DIR": str(request.cache),
            # Otherwise inductor keeps a pool of processes beside the measured one.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
        }

    def start(self) -> None:
        """Import PyTorch and forbid every arithmetic below float32."""
        import torch

        torch.set_float32_matmul_precision("highest")
        # That speaks of matrix products only. Newer releases have a switch for each kind of
        # operator; older ones have no reduced float32 on the CPU.
        for kind in ("matmul", "conv", "rnn"):
            switch = getattr(torch.backends.mkldnn, kind, None)
            if switch is not None and hasattr(switch, "fp32_precision"):
                switch.fp32_precision = "ieee"

    def settings_here(self) -> tuple[str, ...]:
        """Switches of the process and its libraries, what ``torch.compile`` takes, its modes, and what we set of it."""
        import torch
        import torch._inductor as inductor

        switches = [f"torch.{name}" for name in dir(torch) if name.startswith(("set_", "use_"))]
        switches += [f"torch.{name}" for name in ("inference_mode", "no_grad", "channels_last", "compile")]
        backends = [
            f"torch.backends.{library}.{name}"
            for library in ("mkl", "mkldnn", "mha", "nnpack", "opt_einsum", "quantized")
            for name in _switches(sys.modules[f"torch.backends.{library}"])
        ]
        parameters = [f"torch.compile({name})" for name in inspect.signature(torch.compile).parameters]
        modes = [MODE + name for name in inductor.list_mode_options()]
        ours = {setting for option in AXES for setting in option.settings if setting.startswith(INDUCTOR)}
        entries = sorted(ours & {INDUCTOR + name for name in inductor.list_options()})
        return (*switches, *backends, *parameters, *modes, *entries)

    def snippet(self, request: Request) -> Snippet:
        """The code for the user's own module, saved by ``torch.export``."""
        variables = {name: value for name, value in self.environment(request).items() if name.endswith("_THREADS")}
        kept = {option.name: option for option in AXES if request.options[option.name] != option.default}
        settings = {
            "torch.set_num_threads": str(request.threads),
            **{option.settings[0]: text(request.options[name]) for name, option in kept.items() if option.settings},
        }
        return Snippet(script(request, variables), settings, variables, loads_onnx=False)

    def builds(self, request: Request) -> bool:
        return request.options["compiler"] != "eager"

    def build(self, request: Request) -> dict[str, Any]:
        """Let inductor compile, which fills its cache; eager has nothing to build."""
        if request.options["compiler"] == "eager":
            return {}
        cached = any(request.cache.iterdir())
        _settle(request)
        self._session(request)
        size = sum(path.stat().st_size for path in request.cache.rglob("*") if path.is_file())
        return {"cache_bytes": size, "cache_was_empty": not cached}

    def load(self, request: Request) -> list[Session]:
        """What holds for the whole process, then one module per session."""
        _settle(request)
        return [self._session(request) for _ in range(request.sessions)]

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """PyTorch's profiler, with a label around every step where operators run one by one."""
        import torch

        from runtimes import torch_nodes
        from runtimes.profiled_nodes import WARMUP_CALLS

        _settle(request)
        eager = request.options["compiler"] == "eager"
        try:
            if not eager:
                import torch._inductor.config as inductor

                # Otherwise the kernels it generates are invisible to the profiler.
                inductor.cpp.enable_kernel_profile = True
            module, call = _module(request)
            steps = _label(module, request) if eager else []
            names = [tensor.name for tensor in request.inputs]
            given = [[torch.from_numpy(_writable(feed[name])) for name in names] for feed in feeds]
            with torch.inference_mode():
                for number in range(WARMUP_CALLS):
                    call(*given[number % len(given)])
                with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
                    for number in range(calls):
                        with torch.profiler.record_function(torch_nodes.CALL):
                            call(*given[number % len(given)])
            spans = [_span(event) for event in profiler.events() if event.name == torch_nodes.CALL]
            return torch_nodes.read_steps(spans, steps) if eager else torch_nodes.read_compiled(spans)
        except EngineError:
            raise
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"torch could not profile {request.model.name}", error) from error

    def _session(self, request: Request) -> Session:
        try:
            return TorchSession(*_module(request), request)
        except EngineError:
            raise
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"torch could not load {request.model.name}", error) from error


class TorchSession(Session):
    """One module."""

    def __init__(self, module: Any, call: Any, request: Request) -> None:
        self._call = call
        self._names = [tensor.name for tensor in request.inputs]
        self._kept = frozenset(_memory(buffer) for buffer in module.buffers())
        self._options = request.options
        self._grad_mode = str(request.options["grad_mode"])
        self._precision = request.precision

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        """One forward pass, outside autograd."""
        import torch

        try:
            with getattr(torch, self._grad_mode)():
                tensors = [torch.from_numpy(_writable(feeds[name])) for name in self._names]
                taken = {*self._kept, *map(_memory, tensors)}
                return [_own(output, taken) for output in self._call(*tensors)]
        except Exception as error:
            raise engine_error("torch failed while running", error) from error

    def facts(self) -> Facts:
        """The compiler, and the threads as PyTorch sees them."""
        import torch

        details = {
            "compiler": str(self._options["compiler"]),
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }
        return Facts(self._precision, "cpu", details)

    def close(self) -> None:
        """Let go of the module."""
        self._call = None


def _module(request: Request) -> tuple[Any, Any]:
    """The graph as a module, and what to call: the module, or what inductor made of it."""
    import torch

    from runtimes.onnx_torch import load_module

    given = request.options
    with getattr(torch, str(given["grad_mode"]))():
        module = load_module(request.model).eval()
        if given["channels_last"]:
            module = module.to(memory_format=torch.channels_last)
        if given["compiler"] == "eager":
            return module, _channels_last(module) if given["channels_last"] else module
        for name, value in inductor_settings(given).items():
            import torch._inductor.config as inductor

            setattr(inductor, name, value)
        mode = None if given["mode"] == "default" else str(given["mode"])
        call = torch.compile(module, fullgraph=True, dynamic=False, mode=mode)
        if given["channels_last"]:
            call = _channels_last(call)
        # Compilation happens at the first call, and it belongs to loading.
        with warnings.catch_warnings():
            # Inductor's own imports use what PyTorch deprecates.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")
            call(*(torch.zeros(t.shape, dtype=getattr(torch, t.dtype)) for t in request.inputs))
        return module, call


def _label(module: Any, request: Request) -> list[Step]:
    """Put a label around every step of the module; returns the steps by the numbers in the labels."""
    import torch

    from runtimes.graph_nodes import read_graph
    from runtimes.torch_nodes import STEP, Step

    def labelled(function: Callable[..., Any], label: str) -> Callable[..., Any]:
        def run(*tensors: Any) -> Any:
            with torch.profiler.record_function(label):
                return function(*tensors)

        return run

    graph = read_graph(request.model)
    keys = [next(graph.key_of(name) or name for name in step.outputs if name) for step in module.steps]
    module.steps = [
        replace(step, function=labelled(step.function, f"{STEP}{number}")) for number, step in enumerate(module.steps)
    ]
    return [Step(key, graph.by_key[key].operator, (key,)) for key in keys]


def _span(event: Any) -> Span:
    from runtimes.torch_nodes import Span

    return Span(event.name, event.time_range.elapsed_us(), [_span(child) for child in event.cpu_children])


def _channels_last(call: Any) -> Any:
    """What takes images as they come and hands them on with channels last."""
    import torch

    def run(*tensors: Any) -> Any:
        last = torch.channels_last
        return call(*[t.contiguous(memory_format=last) if t.dim() == 4 else t for t in tensors])

    return run


def _switches(library: Any) -> list[str]:
    """What can be set of one of PyTorch's libraries: properties, and functions that set some."""
    # A library that has properties is an object in place of its module, with the module as ``m``.
    properties = [] if inspect.ismodule(library) and not hasattr(library, "m") else list(vars(type(library)))
    functions = [name for name in dir(getattr(library, "m", library)) if name.startswith(("set_", "flags", "verbose"))]
    readers = {"is_available", "supported_engines", "flags_frozen"}
    return [name for name in (*properties, *functions) if not name.startswith("_") and name not in readers]


def _settle(request: Request) -> None:
    """Thread counts and switches, all of which hold for the whole process."""
    import torch

    given = request.options
    if not given["mkldnn"]:
        torch.backends.mkldnn.enabled = False
    if not given["nnpack"]:
        torch.backends.nnpack.set_flags(False)
    if given["flush_denormal"]:
        torch.set_flush_denormal(True)
    if given["deterministic"]:
        torch.use_deterministic_algorithms(True)
    # Compiled code has the number built in, so it is set before compiling, too.
    torch.set_num_threads(request.threads)
    if torch.get_num_interop_threads() != 1:  # may be set only once
        torch.set_num_interop_threads(1)


def _writable(array: Array) -> Array:
    # PyTorch warns about read-only memory and refuses negative strides.
    return array if array.flags.writeable and array.flags.c_contiguous else array.copy()


def _memory(tensor: Any) -> int:
    return tensor.untyped_storage().data_ptr()  # type: ignore[no-any-return]  # torch is untyped here


def _own(output: Any, taken: set[int]) -> Array:
    """The output as an array that shares no memory with inputs, weights or earlier outputs."""
    import torch

    place = _memory(output)
    if place in taken:
        output = output.clone(memory_format=torch.contiguous_format)
    taken.add(place)
    return output.contiguous().numpy()  # type: ignore[no-any-return]  # torch is untyped here
