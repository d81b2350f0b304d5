"""What a pass is given and what it gives back.

A pass is a module with one function::

    def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change

It owes a new model (the one it was given stays as it was) with the same inputs and outputs by
name, and an honest count of the places it changed. What it cannot do it refuses with a
:class:`~models.errors.ModelError` that says what to do instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import onnx

    from models.surgery.catalogue import Step

Feeds = dict[str, NDArray[Any]]


class OrtTools(Protocol):
    """What passes need of ONNX Runtime's own offline tools; the harness hands them in."""

    def optimise(self, source: Path, target: Path, level: str) -> None:
        """Save the graph as ONNX Runtime rewrites it at a level: ``basic``, ``extended``, ``all``."""

    def quantise_static(self, source: Path, target: Path, feeds: list[Feeds]) -> None:
        """Save a QDQ graph with scales from these calls."""

    def quantise_dynamic(self, source: Path, target: Path) -> None:
        """Save a graph whose values are scaled call by call."""


def no_calibration() -> list[Feeds]:
    """Stands where nobody provided inputs.

    Raises:
        ModelError: always.
    """
    raise ModelError("this pass needs inputs to calibrate with, and none were provided")


@dataclass(frozen=True)
class Context:
    """What passes may need besides the graph.

    Attributes:
        shapes: input name -> sizes, for inputs whose sizes the file leaves open.
        states: state input -> output that is fed back into it.
        calibration: representative calls, every input present; others than those it is judged by.
        ort: ONNX Runtime's offline tools; None where it is not installed.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    calibration: Callable[[], list[Feeds]] = no_calibration
    ort: OrtTools | None = None


@dataclass(frozen=True)
class Change:
    """What a pass did.

    Attributes:
        model: the new graph.
        places: how many places changed; 0 is refused by the chain.
        notes: what a user should know, full sentences.
        checkable: whether onnx's checker knows every operator that the pass may have put in.
    """

    model: onnx.ModelProto
    places: int
    notes: tuple[str, ...] = ()
    checkable: bool = True


class Pass(Protocol):
    """The module of a pass."""

    def apply(self, model: onnx.ModelProto, step: Step, context: Context) -> Change:
        """Do it."""
