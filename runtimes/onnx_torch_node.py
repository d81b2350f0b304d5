"""What the builder of one operator gets to see: attributes, static shapes, and values known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from onnx import helper

from runtimes.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass
class Node:
    """One ONNX node while its PyTorch call is put together.

    A builder returns the function to call. That function gets the node's inputs in order, None for
    those left out, without the ones the builder consumed, and then what the builder added.

    Attributes:
        op: operator type.
        name: the node's name, or its first output's.
        opset: version of the default operator set.
        attributes: by name; text is ``str``.
        shapes: static shape of each input, None for one left out.
        known: value of each input that does not depend on the graph's inputs, else None.
        outputs: names of the outputs, empty for those nobody asked for.
    """

    op: str
    name: str
    opset: int
    attributes: dict[str, Any]
    shapes: list[tuple[int, ...] | None]
    known: list[Any]
    outputs: list[str]
    consumed: set[int] = field(default_factory=set)
    added: list[Any] = field(default_factory=list)

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self.shapes) and self.shapes[index] is not None

    def wants(self, index: int) -> bool:
        """Whether the optional output is asked for."""
        return index < len(self.outputs) and bool(self.outputs[index])

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or the default that the standard gives it."""
        return self.attributes.get(name, default)

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """The static shape of an input."""
        shape = self.shapes[index] if index < len(self.shapes) else None
        if shape is None:
            raise self.unsupported(f"without input {index}")
        return shape

    def rank(self, index: int = 0) -> int:
        """The number of dimensions of an input."""
        return len(self.shape(index))

    def constant(self, index: int, what: str) -> Any:
        """Consume an input whose value must be known before the first call.

        Raises:
            UnsupportedError: it is computed from the graph's inputs.
        """
        value = self.maybe(index)
        if value is None:
            raise self.unsupported(f"with {what} computed while running")
        return value

    def maybe(self, index: int) -> Any:
        """Consume an input if its value is known; None, and nothing consumed, otherwise."""
        value = self.known[index] if index < len(self.known) else None
        if value is not None:
            self.consumed.add(index)
        return value

    def ints(self, index: int, attribute: str, default: Sequence[int] | None = None) -> list[int] | None:
        """Integers that older opsets give as an attribute and newer ones as an input."""
        if self.has(index):
            return [int(value) for value in self.constant(index, attribute).reshape(-1).tolist()]
        given = self.attributes.get(attribute, default)
        return None if given is None else [int(value) for value in given]

    def scalar(self, index: int) -> int | float | bool | None:
        """Consume an input that holds one known number; None if it does not."""
        value = self.known[index] if index < len(self.known) else None
        if value is None or value.numel() != 1 or value.dim() > self.rank():
            return None
        self.consumed.add(index)
        return value.item()  # type: ignore[no-any-return]  # torch is untyped here

    def add(self, values: Any) -> None:
        """Pass one more tensor to the function, after the inputs; it becomes a buffer."""
        self.added.append(values if torch.is_tensor(values) else torch.from_numpy(values))

    def axis(self, default: int) -> int:
        """The attribute ``axis``, counted from the front."""
        return int(self.get("axis", default)) % self.rank()

    def require(self, condition: bool, what: str) -> None:  # noqa: FBT001  # reads like assert
        """Refuse the node unless the condition holds."""
        if not condition:
            raise self.unsupported(what)

    def unsupported(self, what: str) -> UnsupportedError:
        """The error that names the operator, the node and what about it is not covered."""
        return UnsupportedError(f"torch: {self.op} {what} is not supported by the graph walk (node {self.name!r})")


def torch_dtype(kind: int) -> Any:
    """The PyTorch type of an ONNX element type."""
    # Through NumPy, because PyTorch has no table of ONNX types.
    return torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(kind))).dtype


if TYPE_CHECKING:
    Function = Callable[..., Any]
    # A builder answers with a function, or with a tensor when the result is known already.
    Builder = Callable[[Node], Any]
