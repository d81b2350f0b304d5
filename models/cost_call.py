"""One node with its sizes, and what it computes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.cost_sizes import Tensor


class Work(NamedTuple):
    """What is computed.

    Attributes:
        multiply_adds: products that are summed, as matrix and convolution units do them.
        others: operations of every other kind.
    """

    multiply_adds: int = 0
    others: int = 0

    @property
    def flops(self) -> int:
        """Operations, a multiply-add being two."""
        return 2 * self.multiply_adds + self.others


class NoRule(Exception):  # noqa: N818  # the node is named as unknown, nothing went wrong
    """This use of an operator cannot be counted."""


@dataclass(frozen=True)
class Call:
    """One node with all its sizes known.

    Attributes:
        operator: its type, of the standard domain.
        opset: version of that domain.
        attributes: as written; text as ``str``.
        inputs, outputs: None for one that is left out.
        fixed: names of tensors that depend on weights alone.
        scalars: values of stored scalars, by name.
    """

    operator: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor | None, ...]
    fixed: Collection[str] = ()
    scalars: Mapping[str, float] = field(default_factory=dict)

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def shape(self, index: int) -> tuple[int, ...]:
        """Sizes of an input that must be there."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None or tensor.shape is None:
            raise NoRule
        return tensor.shape

    def size(self, index: int) -> int:
        """Number of values of an input that must be there."""
        return math.prod(self.shape(index))

    @property
    def out(self) -> int:
        """Number of values of the first output that is there."""
        return next((tensor.elements for tensor in self.outputs if tensor is not None), 0)

    def is_fixed(self, index: int) -> bool:
        """Whether an input is missing or depends on weights alone."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return tensor is None or tensor.name in self.fixed

    def scalar(self, index: int) -> float | None:
        """The value of a stored scalar; None for any other input."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return self.scalars.get(tensor.name) if tensor is not None else None
