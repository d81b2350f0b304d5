"""tract, through its Python binding.

There is no command-line binary to be had as a package, so the binding runs in the worker
process that every measurement gets anyway. tract computes on the calling thread alone; the
binding releases the interpreter lock while it does, so two sessions do run side by side.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.base import Facts, Request, Runtime, Session, Tensor
from runtimes.errors import engine_error
from runtimes.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimes.base import Array
    from runtimes.profiled_nodes import Profile

DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bool": "bool"} | {
    f"{kind}{bits}": f"{kind[0]}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


class TractCpu(Runtime):
    """One optimised plan for all callers."""

    name = "tract"
    title = "tract, CPU"
    distributions = ("tract",)
    install = "pip install 'rtfloor[cpu]'"
    options = (Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),)

    def start(self) -> None:
        with warnings.catch_warnings():
            # The binding's docstrings have invalid escapes, which newer Pythons warn about.
            warnings.simplefilter("ignore")
            import tract
        del tract

    def load(self, request: Request) -> list[Session]:
        try:
            runnable, names = _runnable(request)
            return [TractSession(runnable, names, request.precision) for _ in range(request.sessions)]
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
    """A runnable plan, with a new execution state for every call.

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
        inference.set_input_fact(index, _fact(known[name]))
    return inference.into_model().into_runnable(), names


def _fact(item: Tensor) -> str:
    return ",".join([*map(str, item.shape), DTYPES[item.dtype]])
