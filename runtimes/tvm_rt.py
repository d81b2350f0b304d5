"""Apache TVM on the CPU, compiled as it stands or tuned first."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.artefacts import intact, key_digest, seal_file
from runtimes.base import Facts, Request, Runtime, Session
from runtimes.errors import EngineError, UnavailableError, engine_error
from runtimes.tvm_axes import (
    CLASHES,
    LAYOUTS,
    OPTIONS,
    SHAPELESS,
    pass_config,
    settings_here,
    target_attributes,
    variables,
)
from runtimes.tvm_database import alone
from runtimes.tvm_fixed import FIXED
from runtimes.tvm_snippet import write_snippet
from runtimes.tvm_target import make_target
from runtimes.tvm_tune import best_of, check_packages, told, tune, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array, Snippet
    from runtimes.options import Clash, Fixed, Option
    from runtimes.profiled_nodes import Profile

# Part of every cache key: raise it when the steps of the compilation change.
RECIPE = 2

# 30 s to compile and 30 s to time are the library's own limits; a search takes up to 20 s.
CANDIDATE_S = 60.0

# The symbol through which generated code starts the thread pool.
PARALLEL_LAUNCH = b"__TVMBackendParallelLaunch"


class TvmCpu(Runtime):
    """Relax, from ONNX to a shared library; one virtual machine per concurrent caller."""

    name = "tvm"
    title = "Apache TVM, CPU"
    distributions = ("apache-tvm", "apache-tvm-ffi")
    install = "pip install 'rtfloor[cpu]'"
    options: ClassVar[tuple[Option, ...]] = OPTIONS
    fixed: ClassVar[tuple[Fixed, ...]] = FIXED
    clashes: ClassVar[tuple[Clash, ...]] = CLASHES

    # Options that leave the code as it is.
    shapeless: ClassVar[tuple[str, ...]] = SHAPELESS

    def environment(self, request: Request) -> dict[str, str]:
        """The size of the thread pool, and no pinning: a pinned pool escapes the worker's own affinity."""
        return variables(request.options, request.threads)

    def start(self) -> None:
        """Import TVM."""
        from tvm import relax  # noqa: F401  # the slow part; the rest is loaded with it

    def settings_here(self) -> tuple[str, ...]:
        """What bears on a CPU: keys of passes, attributes of targets, parameters of functions, and variables."""
        return settings_here()

    def snippet(self, request: Request) -> Snippet:
        """Compiles once, from the records of the tuning if there was one, and keeps the library."""
        name = f"{key_digest({**self._key(request), 'trials': _trials(request)})[:8]}.so"
        return write_snippet(
            request, _processor_kind(request), name, self._records(request) if _trials(request) else None
        )

    def build_timeout_s(self, request: Request) -> float:
        """A candidate that takes longest to find, to compile and to time takes about so long."""
        return super().build_timeout_s(request) + CANDIDATE_S * _trials(request)

    def build(self, request: Request) -> dict[str, Any]:
        """Compile into ``request.cache``, unless a finished library for the same question is there."""
        cached, artefact = self._ensure(request), self._artefact(request)
        facts = {
            "artefact": artefact.name,
            "artefact_bytes": artefact.stat().st_size,
            "target": str(self._target(request)),
        }
        if _trials(request):
            facts["tuning"] = {"trials": _trials(request), **told(self._records(request))}
        return {"cached": True, **facts} if cached else facts

    def _ensure(self, request: Request) -> bool:
        """Let there be a library; whether it was there before."""
        artefact = self._artefact(request)
        if intact(artefact):
            return True
        if not _trials(request):
            self._compile(request, artefact)
            return False
        check_packages()
        with alone(self._records(request)):
            # Whoever had the lock before may have done all of it.
            if intact(artefact):
                return True
            self._compile(request, artefact)
        return False

    def load(self, request: Request) -> list[Session]:
        """Load the library once; every session gets a virtual machine of its own."""
        import tvm
        from tvm import relax

        self._ensure(request)
        artefact, target = self._artefact(request), str(self._target(request))
        allocator = str(request.options["memory_cfg"])
        try:
            library = tvm.runtime.load_module(str(artefact))
            return [
                TvmSession(relax.VirtualMachine(library, tvm.cpu(), allocator), request, artefact, target)
                for _ in range(request.sessions)
            ]
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"tvm could not load {artefact.name}", error) from error

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """The hooks of a virtual machine, between which the harness's clock runs."""
        import tvm
        from tvm import relax

        from runtimes.profiled_nodes import WARMUP_CALLS
        from runtimes.tvm_nodes import Recorder

        self._ensure(request)
        recorder = Recorder(clock)
        try:
            library = tvm.runtime.load_module(str(self._artefact(request)))
            machine = relax.VirtualMachine(library, tvm.cpu(), str(request.options["memory_cfg"]))
            main = machine["main"]
            machine.set_instrument(recorder.hook)
            tensors = _tensors(request)
            for number in range(WARMUP_CALLS + calls):
                for name, tensor in tensors:
                    tensor.copyfrom(feeds[number % len(feeds)][name])
                recorder.begin()
                main(*(tensor for _, tensor in tensors))
                recorder.end()
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"tvm could not profile {request.model.name}", error) from error
        return recorder.profile(WARMUP_CALLS)

    def _executable(self, module: Any, target: Any, request: Request) -> Any:
        """From what the frontend made to code."""
        import tvm
        from tvm import relax

        if layout := LAYOUTS[str(request.options["conv_layout"])]:
            module = relax.transform.ConvertLayout({"relax.nn.conv2d": list(layout)})(module)
        with target, tvm.transform.PassContext(config=pass_config(request.options)):
            module = relax.get_pipeline("zero")(module)
            if _trials(request):
                folder = self._records(request)
                tune(module, target, request, folder)
                module = best_of(module, target, folder)
            return relax.build(module, target, exec_mode=str(request.options["exec_mode"]))

    def _target(self, request: Request) -> Any:
        # Loops are cut into pieces for so many cores; code that is not tuned has none that are cut.
        cores = {"num-cores": request.threads} if _trials(request) else {}
        return make_target(_processor_kind(request), {**target_attributes(request.options), **cores})

    def _artefact(self, request: Request) -> Path:
        """Where the library for this request belongs; the name tells everything that shapes its code."""
        kind = _processor_kind(request) if "target" in request.options else self.name
        trials = {"trials": _trials(request)} if _trials(request) else {}
        return request.cache / f"{request.model.stem[:60]}-{kind}-{key_digest({**self._key(request), **trials})}.so"

    def _records(self, request: Request) -> Path:
        """The folder of the tuning's records: its question, in which the number of trials is not, and that number."""
        return (
            request.cache / f"records-{request.model_sha256[:16]}-{key_digest(self._key(request))}-{_trials(request)}"
        )

    def _key(self, request: Request) -> dict[str, Any]:
        """All that shapes the code, but for the number of trials; told without TVM.

        Threads are part of it only if it is tuned: untuned code is the same for any number of them.
        """
        shaping = {name: value for name, value in request.options.items() if name not in (*self.shapeless, "trials")}
        if "target" in shaping:
            shaping["target"] = _processor_kind(request)
        tuning = {"threads": request.threads, "tuner": versions()} if _trials(request) else {}
        return {
            "recipe": RECIPE,
            "model": request.model_sha256,
            "versions": [metadata.version(name) for name in self.distributions],
            "machine": platform.machine(),
            "options": shaping,
            "host": _processor() if shaping.get("target") == "host" else "",
            **self._device(),
            **tuning,
        }

    def _device(self) -> dict[str, Any]:
        """What else the code is made for, for cache keys."""
        return {}

    def _compile(self, request: Request, artefact: Path) -> None:
        import onnx
        from tvm import relax
        from tvm.relax.frontend.onnx import from_onnx
        from tvm.support import cc

        if cc.get_cc() is None:
            raise UnavailableError(
                "tvm links what it compiles with a C++ compiler and found none; install g++ or clang"
            )
        target = self._target(request)
        try:
            with warnings.catch_warnings():
                # Inputs are given by position, so it does not matter what the frontend calls them.
                warnings.filterwarnings("ignore", message="Renaming name")
                # Sizes are given as well: a file may have left them open.
                shapes = {tensor.name: list(tensor.shape) for tensor in request.inputs}
                module = from_onnx(onnx.load(request.model), shapes, keep_params_in_input=False)
            _check_inputs(len(module["main"].params), request)
            module = relax.transform.DecomposeOpsForInference()(module)
            module = relax.transform.CanonicalizeBindings()(module)
            executable = self._executable(module, target, request)
            # Only a finished library ever bears the final name. The file must end in .so while it
            # is written: the exporter goes by the suffix.
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=request.cache) as folder:
                unfinished = Path(folder) / artefact.name
                executable.export_library(str(unfinished))
                seal = hashlib.sha256(unfinished.read_bytes()).hexdigest()
                unfinished.replace(artefact)
                seal_file(artefact).write_text(seal, "utf-8")
        except EngineError:
            raise
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"tvm could not compile {request.model.name}", error) from error


class TvmSession(Session):
    """One virtual machine and its input tensors."""

    def __init__(self, machine: Any, request: Request, artefact: Path, target: str) -> None:
        self._main = machine["main"]
        self._inputs = _tensors(request)
        self._artefact = artefact
        self._target = target
        self._precision = request.precision
        self._trials = _trials(request)

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        """Copy in, call, copy out."""
        try:
            # Copied, because generated code assumes an alignment that NumPy does not promise.
            for name, tensor in self._inputs:
                tensor.copyfrom(feeds[name])
            answer = self._main(*(tensor for _, tensor in self._inputs))
            tensors = [answer] if hasattr(answer, "numpy") else list(answer)
            return [tensor.numpy() for tensor in tensors]  # numpy() copies
        except Exception as error:
            raise engine_error("tvm failed while running", error) from error

    def facts(self) -> Facts:
        """The target, and whether the code uses the thread pool at all."""
        details = {
            "target": self._target,
            "tuned": self._trials > 0,
            "trials": self._trials,
            # Without a schedule every loop stays serial, and more threads change nothing.
            "parallel_loops": PARALLEL_LAUNCH in self._artefact.read_bytes(),
            # Seen with 0.27: a parallel loop called from two Python threads starts two pools, and
            # two virtual machines called so overlap, so the interpreter lock is released.
            "thread_pool": "one per calling thread; calls from two threads overlap",
        }
        return Facts(self._precision, "cpu", details)

    def close(self) -> None:
        """Let go of the machine and its tensors."""
        self._main = None
        self._inputs = []


def _trials(request: Request) -> int:
    return int(request.options.get("trials", 0))


def _processor_kind(request: Request) -> str:
    """``generic`` or ``host``."""
    asked = str(request.options.get("target", "generic"))
    if asked != "auto":
        return asked
    return "host" if _trials(request) else "generic"


def _tensors(request: Request) -> list[tuple[str, Any]]:
    """Memory for each input; given by position, because the frontend renames inputs that are no identifiers."""
    import tvm

    return [(item.name, tvm.runtime.empty(item.shape, item.dtype, tvm.cpu())) for item in request.inputs]


def _check_inputs(found: int, request: Request) -> None:
    declared = len(request.inputs)
    if found != declared:
        raise EngineError(f"tvm reads {found} inputs from {request.model.name}, which declares {declared}")


def _processor() -> str:
    """The processor's name and its instruction sets, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
