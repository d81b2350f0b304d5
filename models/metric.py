"""A user's own measure of quality: a Python function, and the limit it must keep.

Given as ``FILE.py:FUNCTION`` or ``module.path:FUNCTION``, with ``<=LIMIT`` or ``>=LIMIT`` behind it where
there is one: ``esr.py:esr<=0.01``. The function is called once::

    def esr(expected: list[dict[str, ndarray]], got: list[dict[str, ndarray]]) -> float

Both lists hold one dictionary per call: output name -> array, states left out; all calls of channel 0 in
order, then those of channel 1. ``expected`` are the answers of the form raw.

Reading the text imports nothing of the user's; only :func:`measure` does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import math
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Named = list[dict[str, Array]]
    Function = Callable[[Named, Named], object]

_FORM = "FILE.py:FUNCTION or module.path:FUNCTION, with <=LIMIT or >=LIMIT behind it, in quotes: 'esr.py:esr<=0.01'"
_PATTERN = re.compile(r"(?P<source>.+):(?P<function>[A-Za-z_]\w*)\s*(?:(?P<side><=|>=)\s*(?P<limit>\S+)\s*)?")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class MetricSpec:
    """What ``--metric`` says.

    Attributes:
        source: absolute path of a ``.py`` file, or a module's dotted name.
        function: its name there.
        side: ``<=`` or ``>=``; empty without a limit.
        limit: what the value is held to; None without one.
    """

    source: str
    function: str
    side: str = ""
    limit: float | None = None

    @property
    def name(self) -> str:
        """For tables: the file's or module's own name and the function's, such as ``esr.py:esr``."""
        return f"{Path(self.source).name}:{self.function}"

    @property
    def text(self) -> str:
        """What :func:`parse_metric` reads back into an equal specification, in any working folder."""
        return f"{self.source}:{self.function}" + ("" if self.limit is None else f"{self.side}{self.limit!r}")


def parse_metric(text: str) -> MetricSpec:
    """Read what a user typed; a file must be there, nothing in it is run.

    Raises:
        ModelError: it has another form, the limit is no number, or there is no such file.
    """
    given = f"--metric {text}"
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ModelError(f"{given}: give {_FORM}")
    source, function, side, limit = match.group("source", "function", "side", "limit")
    if source.endswith(".py"):
        path = Path(source).absolute()
        if not path.is_file():
            raise ModelError(f"{given}: there is no file {path}; check the path")
        source = str(path)
    elif not _MODULE.fullmatch(source):
        raise ModelError(f"{given}: {source!r} is neither a .py file nor a module's name; give {_FORM}")
    return MetricSpec(source, function, side or "", None if limit is None else _limit(limit, given))


def measure(
    spec: MetricSpec,
    expected: Sequence[Sequence[Sequence[Array]]],
    got: Sequence[Sequence[Sequence[Array]]],
    names: Sequence[str],
) -> float:
    """Call the user's function.

    Args:
        spec: from :func:`parse_metric`.
        expected: the parent's answers, ``[channel][rotation]`` -> outputs.
        got: the form's, in the same shape and order.
        names: names of the outputs.

    Raises:
        ModelError: the file or module cannot be loaded, has no such function, or the function raises,
            prints, or returns anything but one finite number.
    """
    function, given = _function(spec), f"--metric {spec.name}"
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            value = function(_named(expected, names), _named(got, names))
    except (Exception, SystemExit) as error:
        raise ModelError(f"{given} raised {_what(error, spec)}; correct the function") from error
    if printed.getvalue():
        # What a worker prints is kept to explain crashes; a value that is printed is usually not returned.
        start = printed.getvalue().split("\n")[0][:60]
        raise ModelError(f"{given} printed {start!r}; return the value, and print to sys.stderr if you must")
    number = _number(value)
    if number is None:
        shown = " ".join(repr(value).split())[:60]
        raise ModelError(f"{given} returned {shown} ({type(value).__name__}); it must return one finite number")
    return number


def judge(value: float, spec: MetricSpec) -> str | None:
    """Whether a value keeps its limit: None when it does or there is none, else one sentence.

    Args:
        value: from :func:`measure`.
        spec: from :func:`parse_metric`.
    """
    if spec.limit is None or (value <= spec.limit if spec.side == "<=" else value >= spec.limit):
        return None
    # Loads NumPy, which reading the text does not need.
    from models.quality import told_apart

    side, (have, want) = "above" if spec.side == "<=" else "below", told_apart(value, spec.limit)
    return f"{spec.name} is {have}, {side} its limit {want}, against the form raw"


def _limit(text: str, given: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ModelError(f"{given}: the limit {text!r} is no finite number; give {_FORM}")
    return value


def _function(spec: MetricSpec) -> Function:
    given = f"--metric {spec.name}"
    try:
        # A banner of some library is not the user's fault, and must not look like an answer.
        with contextlib.redirect_stdout(sys.stderr):
            module = _from_file(Path(spec.source)) if spec.source.endswith(".py") else _from_name(spec.source)
    except ModelError as error:
        raise ModelError(f"{given}: {error}") from None
    except (Exception, SystemExit) as error:
        raise ModelError(f"{given}: {spec.source} cannot be loaded: {_what(error, spec)}; correct it") from error
    function = getattr(module, spec.function, None)
    if not callable(function):
        names = sorted(
            name
            for name, value in vars(module).items()
            if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        )
        there = f"its functions are {', '.join(names)}" if names else "it has no functions"
        raise ModelError(f"{given}: there is no function {spec.function!r} in {spec.source}; {there}")
    return function  # type: ignore[no-any-return]  # a user's own


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"there is no file {path}; check the path")
    name = f"rtfloor_metric_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    # Dataclasses and pickles look their module up by name.
    sys.modules[name] = module
    # As for a script, so that it can import its neighbours; last, so that they hide no library.
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    found.loader.exec_module(module)
    return module


def _from_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise ModelError(f"there is no module {name!r} here; install it, or give a path ending in .py") from None


def _what(error: BaseException, spec: MetricSpec) -> str:
    """The error with its place in the user's own file, the deepest there is."""
    text = " ".join(str(error).split())[:200]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.source]
    if isinstance(error, SyntaxError) and error.filename == spec.source:
        lines = [error.lineno]
    place = f" in line {lines[-1]} of {spec.source}" if lines else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def _named(answers: Sequence[Sequence[Sequence[Array]]], names: Sequence[str]) -> Named:
    # Copies: a function that works in place must not change what is judged after it.
    return [
        {name: output.copy() for name, output in zip(names, outputs, strict=True)}
        for channel in answers
        for outputs in channel
    ]


def _number(value: object) -> float | None:
    """One finite number, also as NumPy has it; None for anything else, booleans too."""
    item: Any = value
    if hasattr(value, "dtype") and getattr(value, "size", 0) == 1:
        item = value.item()  # type: ignore[attr-defined]  # NumPy's scalars and arrays, torch's tensors
    if isinstance(item, bool) or not isinstance(item, (int, float)):
        return None
    try:
        number = float(item)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
