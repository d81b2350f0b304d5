"""tract, through its Python binding.

There is no command-line binary to be had as a package, so the binding runs in the worker
process that every measurement gets anyway. tract computes on the calling thread alone; the
binding releases the interpreter lock while it does, so two sessions do run side by side.
"""

from __future__ import annotations

import inspect
import json
import re
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.base import Facts, Request, Runtime, Session, Snippet
from runtimes.errors import engine_error
from runtimes.tract_axes import AXES, FIXED, TRANSFORM, fact, script, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array
    from runtimes.profiled_nodes import Profile

# Types that carry transforms out, of those that have symbols; all are declared by name.
TYPES = {
    "ApplyRopeTransform", "Batchify", "BatchifyDataFree", "BlockQuantTransform", "BlockifyTransform", "ConvNhwc",
    "DetectDiagGatherTransform", "FloatPrecisionTranslator", "KeyValueCacheTransform", "PatchTransform",
    "PulseTransform", "QuantizeKvStorageTransform", "ScaledMaskedSoftmaxTransform", "SdpaFuseKvCacheBroadcastTransform",
    "TransformersTransform", "UnfoldKeyValueCacheTransform",
}  # fmt: skip


class TractCpu(Runtime):
    """One optimised plan for all callers."""

    name = "tract"
    title = "tract, CPU"
    distributions = ("tract",)
    install = "pip install 'rtfloor[cpu]'"
    options = AXES
    fixed = FIXED

    def environment(self, request: Request) -> dict[str, str]:
        """Knobs, and the threads of the only operator that would take more than the caller's."""
        return variables(request)

    def start(self) -> None:
        with warnings.catch_warnings():
            # The binding's docstrings have invalid escapes, which newer Pythons warn about.
            warnings.simplefilter("ignore")
            import tract
        del tract

    def settings_here(self) -> tuple[str, ...]:
        """Knobs and transforms that the library has symbols or text for, and what the binding can call."""
        import tract

        (library,) = Path(tract.__file__).parent.glob("*.so")
        data = library.read_bytes()
        declared = [setting for option in AXES for setting in option.settings] + [one.setting for one in FIXED]
        kinds = (
            tract.Onnx, tract.Nnef, tract.InferenceModel, tract.Model, tract.Runtime, tract.Runnable, tract.state.State,
        )  # fmt: skip
        methods = [
            f"{kind.__name__}.{name}"
            for kind in kinds
            for name, _ in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        ]
        own = inspect.getmembers(tract, inspect.isfunction)
        functions = [name for name, call in own if str(call.__module__).startswith("tract") and name != "check"]
        pool = [name for name in ("RAYON_NUM_THREADS",) if name.encode() in data]
        return (*pool, *_knobs(data, declared), *_transforms(data, declared), *methods, *functions)

    def snippet(self, request: Request) -> Snippet:
        settings = {"Model.transform": str(request.options["transform"]), "state": str(request.options["state"])}
        return Snippet(script(request), settings, variables(request))

    def load(self, request: Request) -> list[Session]:
        try:
            runnable, names = _runnable(request)
            kept = request.options["state"] == "kept"
            return [
                TractSession(runnable.spawn_state() if kept else runnable, names, request.precision)
                for _ in range(request.sessions)
            ]
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"tract could not load {request.model.name}", error) from error

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """Its own profile of the plan; how many calls it makes is its own business."""
        from runtimes.graph_nodes import named_model
        from runtimes.tract_nodes import read_profile

        try:
            with tempfile.TemporaryDirectory(prefix="rtfloor-profile-") as folder:
                model, graph = named_model(request.model, Path(folder))
                runnable, names = _runnable(replace(request, model=model))
            inputs = [feeds[0][name] for name in names]
            runnable.run(inputs)
            return read_profile(json.loads(runnable.profile_json(inputs)), graph)
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"tract could not profile {request.model.name}", error) from error


class TractSession(Session):
    """A plan, which makes an execution state for every call, or one state of its own.

    A state that is kept carries the hidden values of recurrent operators over to the next call,
    which answers it wrongly; making one costs some microseconds.
    """

    def __init__(self, runnable: Any, names: list[str], precision: str) -> None:
        self._precision = precision
        self._run = runnable.run
        self._names = names

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        try:
            return [tensor.to_numpy() for tensor in self._run([feeds[name] for name in self._names])]
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error("tract could not answer", error) from error

    def facts(self) -> Facts:
        # tract lowers precision only when a transform asks for it, and none did.
        return Facts(self._precision, "cpu", {"threads": "the calling thread"})


def _runnable(request: Request) -> tuple[Any, list[str]]:
    """The optimised plan, and its inputs' names in its own order."""
    import tract

    inference = tract.onnx().load(str(request.model))
    names = [inference.input_name(index) for index in range(inference.input_count())]
    known = {item.name: item for item in request.inputs}
    for index, name in enumerate(names):
        inference.set_input_fact(index, fact(known[name]))
    model = inference.into_model()
    if request.options["transform"] != "none":
        model.transform(str(request.options["transform"]))
    return model.into_runnable(), names


def _knobs(data: bytes, declared: list[str]) -> list[str]:
    """Names of knobs in the library.

    Symbols come with their lengths. Other text runs on into what stands behind it, so of that a declared name that it
    begins with is believed, and where there is none the whole of it is told.
    """
    exact = set()
    for found in re.finditer(rb"(\d{1,2})(TRACT_[A-Z0-9_]+)", data):
        length, name = int(found[1]), found[2].decode()
        if len("TRACT_") < length <= len(name):
            exact.add(name[:length])
    # Shorter ones are pieces of machine code.
    loose = {found.decode() for found in re.findall(rb"TRACT_[A-Z][A-Z0-9_]{5,}", data)}
    knobs = sorted((name for name in declared if name.startswith("TRACT_")), key=len, reverse=True)
    for words in loose:
        if not words.startswith(tuple(exact)):
            exact.add(next((name for name in knobs if words.startswith(name)), words))
    return sorted(exact)


def _transforms(data: bytes, declared: list[str]) -> list[str]:
    """Declared transforms whose names are in the library, and types of transforms that are not declared."""
    names = [name.removeprefix(TRANSFORM) for name in declared if name.startswith(TRANSFORM)]
    here = [name for name in names if name.encode() in data]
    # A type's name stands behind its length.
    symbols = re.findall(rb"NtB\w{1,2}_(\d{1,2})([A-Z]\w*9transform14ModelTransform4name)", data)
    types = {symbol[: int(length)].decode() for length, symbol in symbols}
    return [TRANSFORM + name for name in (*here, *sorted(types - TYPES))]
