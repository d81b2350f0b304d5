"""The contract between the harness and an inference engine.

A worker process uses exactly one adapter, in this order: ``probe`` → (``environment``, in the
parent) → ``start`` → ``load`` → ``Session.run`` many times → ``Session.facts`` → ``close``.
The harness times each step; an adapter never looks at a clock.
``probe`` → (``environment``) → ``start`` → ``profile`` is another process, whose times rank nothing.

An adapter owes:

* its module imports no vendor library at import time: ``start`` does;
* the precision it was asked for, stated to the engine explicitly, and what really ran in ``facts``;
* ``sessions`` sessions that may be run at the same time from different Python threads, each
  with ``threads`` threads, so that the whole never uses more than ``sessions * threads``;
* outputs that are host arrays, in the order of ``Request.outputs``, and the caller's own:
  later calls must not change them;
* foreign exceptions turned into :class:`~runtimes.errors.EngineError`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from runtimes.errors import UnsupportedError
from runtimes.installed import Probe, probe_distributions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from runtimes.options import Clash, Fixed, Option, Value
    from runtimes.profiled_nodes import Profile

    Array = NDArray[np.generic]


@dataclass(frozen=True)
class Tensor:
    """One graph input or output: its name, static shape, and NumPy dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Request:
    """What one process asks of one engine.

    Attributes:
        model: path of the ONNX file; every dimension of its inputs is static.
        model_sha256: digest of that file and its external data, for cache keys.
        inputs, outputs: the graph's signature.
        precision: the coarsest arithmetic that the graph itself asks for, ``fp32`` for most; what
            an engine that computes a graph as it stands reports.
        threads: compute threads per session.
        sessions: how many sessions will run at the same time.
        options: every declared option of the adapter, defaults filled in.
        cache: a folder of the adapter's own for compiled artefacts; it exists.
    """

    model: Path
    model_sha256: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    precision: str
    threads: int
    sessions: int
    options: Mapping[str, Value]
    cache: Path


@dataclass(frozen=True)
class Facts:
    """What really ran, as far as the engine tells.

    Attributes:
        precision: the arithmetic of the heavy operators: ``fp32``, ``bf16``, ``fp16``, ``fp64``, ``int8``,
            joined by ``+`` where an engine mixed them.
        device: where it ran, such as ``cpu`` or ``cuda:0``.
        details: anything else worth keeping, JSON values only.
    """

    precision: str
    device: str = "cpu"
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Snippet:
    """What to paste into an application.

    Attributes:
        python: a whole script that needs the runtime and NumPy alone. It has ``MODEL``, the path, on a line of its
            own, and a function ``answer(feeds, session=0)``: a mapping of input names to arrays in, a list of
            arrays out, as :meth:`Session.run`, on one of as many sessions as were asked for.
        settings: the same as keys and values, in the vendor's spelling.
        environment: variables that must be set before the process starts.
        loads_onnx: whether ``MODEL`` is the ONNX file that was measured; else the script says what it is.
    """

    python: str
    settings: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    loads_onnx: bool = True


class Session(ABC):
    """A loaded model, ready to be called."""

    @abstractmethod
    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        """Answer one call, host arrays in, host arrays out; returns when they are readable."""

    @abstractmethod
    def facts(self) -> Facts:
        """What really ran; called once, after the first calls and before the timed ones."""

    def close(self) -> None:
        """Give back what the session holds."""


class Runtime(ABC):
    """One inference engine. Subclasses need no constructor arguments."""

    name: ClassVar[str]
    title: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]  # PyPI names; the first one's version is the runtime's
    install: ClassVar[str]  # the command that mends a missing one
    options: ClassVar[tuple[Option, ...]]  # must include ``precision``
    device: ClassVar[str] = "cpu"  # or ``gpu``: whose peaks its times stand beside
    fixed: ClassVar[tuple[Fixed, ...]] = ()  # settings of the vendor's that are no axis, each with its reason
    clashes: ClassVar[tuple[Clash, ...]] = ()  # values of options that do not go together

    def probe(self) -> Probe:
        """Whether it can run here, without importing it."""
        return probe_distributions(self.distributions, self.install)

    def environment(self, request: Request) -> dict[str, str]:
        """Environment variables the worker needs before anything is imported."""
        return {}

    @abstractmethod
    def start(self) -> None:
        """Import the vendor library."""

    def build(self, request: Request) -> dict[str, Any]:
        """Compile ahead of measuring, into ``request.cache``, unless it is there already.

        Runs in a process of its own. Returns facts about the build, ``{}`` when there was
        nothing to do.
        """
        return {}

    def builds(self, request: Request) -> bool:
        """Whether ``build`` has anything to do for this request; a process is started for it only then."""
        return type(self).build is not Runtime.build

    def build_timeout_s(self, request: Request) -> float:
        """Seconds that ``build`` may take at most for this request; a process that takes longer is stopped."""
        return 900.0

    def refusal(self, options: Mapping[str, Value], threads: int) -> str:
        """Why these options cannot be had together; empty where they can.

        Args:
            options: every declared one.
            threads: of one session.
        """
        for clash in self.clashes:
            if clash.hits(options, self.options):
                return clash.why
        return ""

    def settings_here(self) -> tuple[str, ...]:
        """Every setting that the installed version has, in the vendor's spelling, by asking the library.

        ``start`` was called before, in a process that measures nothing. What is neither reached by an option nor
        :attr:`fixed` is unknown to us. Empty for a library that cannot be asked.
        """
        return ()

    def snippet(self, request: Request) -> Snippet:
        """The code that makes an application's own sessions with these settings.

        Raises:
            UnsupportedError: nobody has written it for this runtime.
        """
        raise UnsupportedError(f"{self.title}: there is no snippet for it; the options above are what to set")

    @abstractmethod
    def load(self, request: Request) -> list[Session]:
        """Exactly ``request.sessions`` sessions, ready to run."""

    def profile(
        self, request: Request, feeds: Sequence[dict[str, Array]], calls: int, clock: Callable[[], int]
    ) -> Profile:
        """What each node takes, by the engine's own profiler; for an engine that has one.

        Nothing else is loaded in the process. The model is loaded as ``load`` would, with the profiler on.

        Args:
            request: for one session.
            feeds: inputs to call it with in turn, at least one.
            calls: how many calls to keep, after some to warm up; a profiler that decides itself may differ.
            clock: nanoseconds, monotonic; for an engine that says when a node begins and ends, but not what time it is.

        Raises:
            UnsupportedError: it has none, or none whose times mean something.
            EngineError: it failed.
        """
        raise UnsupportedError(f"{self.title} has no profiler that tells what each node takes")
