"""One walk through a graph, signals in view: along which axis they lie in every value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from models.surgery.graphs import called, computed, settled
from models.surgery.rewrite import View, attribute, is_standard
from models.walk import captured, subgraphs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    Rule = Callable[["Walk", int, onnx.NodeProto], "Along | tuple[Along | None, ...]"]

T = TypeVar("T")

# Inputs that say sizes, and may therefore change with the batch.
_SIZES = {"Reshape": {1}, "Expand": {1}, "Tile": {1}, "Slice": {1, 2, 3, 4}, "Resize": {1, 2, 3}, "Pad": {1, 3}}


class Stuck(Exception):  # noqa: N818  # a condition to act on: another way is tried
    """This way does not lead through; the text says where it ended."""


@dataclass(frozen=True)
class Along:
    """Where the signals lie in a value.

    Attributes:
        axis: its size is ``outer · signals · inner``; there is one signal in the file.
        outer: what changes more slowly than the signals on that axis.
    """

    axis: int
    outer: int = 1

    def moved(self, axis: int) -> Along:
        """The same on another axis."""
        return Along(axis, self.outer)


class Facts:
    """What does not change from one walk to the next.

    Args:
        model: tidied, every input size fixed, for one signal per call.
        wanted: signals per call there shall be.
    """

    def __init__(self, model: onnx.ModelProto, wanted: int) -> None:
        self.model, self.wanted = model, wanted
        self.nodes = list(model.graph.node)
        self.view = View(settled(model))
        self.initializers = self.view.initializers
        self.maker = {name: node for node in self.nodes for name in node.output if name}

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a value for one signal.

        Raises:
            Stuck: they are not known.
        """
        shape = self.view.shape(name)
        if shape is None or None in shape:
            raise Stuck(f"the size of {name!r} is not known before the graph runs")
        return tuple(size for size in shape if size is not None)

    def value(self, name: str) -> NDArray[Any] | None:
        """A constant, or what is computed from sizes, for one signal."""
        return self.view.value(name, 64)


class Walk:
    """One attempt.

    Attributes:
        along: where the signals lie, for values that have any.
        sizes: sizes of those values for as many signals as wanted.
        uncertain: values that change with the number of signals without being per signal.
        replaced: node -> input -> constant to put there.
        grown: node -> input -> its values for as many signals, or None and how often to repeat it.
        attributes: node -> attribute -> value to put there.
        taken, offered: which way was taken at each fork, and how many there were.
        reached: nodes that were passed.
    """

    def __init__(self, facts: Facts, script: Sequence[int], rules: Mapping[str, Rule]) -> None:
        self.facts, self._script, self._rules = facts, list(script), rules
        self.along: dict[str, Along] = {}
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.uncertain: set[str] = set()
        self.replaced: dict[int, dict[int, NDArray[Any]]] = {}
        self.grown: dict[int, dict[int, tuple[NDArray[Any] | None, list[int]]]] = {}
        self.attributes: dict[int, dict[str, Any]] = {}
        self.taken: list[int] = []
        self.offered: list[int] = []
        self.reached = 0
        self._new_values: dict[str, NDArray[Any] | None] = {}
        self._open: dict[str, list[Along | None]] = {}

    @property
    def edited(self) -> int:
        """How many inputs and attributes of nodes are not what they were."""
        notes: tuple[Mapping[int, Mapping[Any, Any]], ...] = (self.replaced, self.grown, self.attributes)
        return sum(len(entries) for note in notes for entries in note.values())

    def choose(self, ways: Sequence[T]) -> T:
        """One of several ways: the first, or what the script says for this fork."""
        place = len(self.taken)
        turn = self._script[place] if place < len(self._script) else 0
        self.taken.append(turn)
        self.offered.append(len(ways))
        return ways[turn]

    def enter(self, name: str, along: Along | None) -> None:
        """Note where the signals lie in a value, and how large it becomes."""
        if along is None:
            return
        self.along[name] = along
        self.sizes[name] = self.scaled(self.facts.shape(name), along.axis)

    def leave_open(self, name: str, ways: list[Along | None]) -> None:
        """Let it show where a value is used along which of these axes its signals lie.

        Chosen as late as possible, a choice that leads nowhere is the first that is tried anew.
        """
        self._open[name] = ways

    def decide(self, name: str) -> None:
        """Choose for a value that was left open."""
        if name in self._open:
            self.enter(name, self.choose(self._open.pop(name)))

    def run(self) -> None:
        """Go through all nodes.

        Raises:
            Stuck: this way does not lead through.
        """
        for index, node in enumerate(self.facts.nodes):
            self._step(index, node)
            self.reached = index + 1

    def scaled(self, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        """Sizes with one of them for as many signals as wanted."""
        return (*shape[:axis], shape[axis] * self.facts.wanted, *shape[axis + 1 :])

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a value as they were."""
        return self.facts.shape(name)

    def new_shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a value as they become."""
        return self.sizes.get(name) or self.facts.shape(name)

    def of(self, name: str) -> Along:
        """Where the signals lie in a value that has them."""
        return self.along[name]

    def constant(self, node: onnx.NodeProto, place: int) -> NDArray[Any] | None:
        """An optional input that must be known, as it was; None where it is not given."""
        name = node.input[place] if place < len(node.input) else ""
        if not name:
            return None
        value = self.facts.value(name)
        if value is None:
            raise Stuck(f"{called(node)}: {name!r} is computed from the input")
        return value

    def only(self, node: onnx.NodeProto, places: Collection[int]) -> None:
        """Refuse signals in other inputs than these."""
        for place, name in enumerate(node.input):
            if name in self.along and place not in places:
                raise Stuck(f"{called(node)} has signals in {name!r}, where it cannot tell them apart")

    def replace(self, index: int, place: int, values: NDArray[Any]) -> None:
        """Put another constant into a node."""
        self.replaced.setdefault(index, {})[place] = values

    def set_attribute(self, index: int, name: str, value: Any) -> None:
        """Put another attribute into a node."""
        self.attributes.setdefault(index, {})[name] = value

    def grow(self, index: int, place: int, along: Along) -> None:
        """Give an input that is the same for all signals to each of them."""
        name, outer, wanted = self.facts.nodes[index].input[place], along.outer, self.facts.wanted
        shape, values = self.shape(name), self.facts.value(name)
        if values is not None:
            parts = values.reshape(*shape[: along.axis], outer, -1, *shape[along.axis + 1 :])
            axis = along.axis + 1
            grown = np.repeat(np.expand_dims(parts, axis), wanted, axis=axis).reshape(self.scaled(shape, along.axis))
            self.grown.setdefault(index, {})[place] = (grown, [])
            return
        if outer > 1:
            raise Stuck(f"{name!r} is computed, and would have to be spread among the signals")
        repeats = [wanted if axis == along.axis else 1 for axis in range(len(shape))]
        self.grown.setdefault(index, {})[place] = (None, repeats)

    def align(self, index: int, node: onnx.NodeProto, place: int, rank: int, along: Along, size: int) -> None:
        """Check an input that meets signals by broadcasting, aligned at the last of ``rank`` axes.

        Args:
            index: the node's number.
            node: the node.
            place: the input.
            rank: axes of the result.
            along: where the signals lie in the result.
            size: the size of that axis as it was.
        """
        name = node.input[place]
        shape = self.shape(name)
        axis = along.axis - (rank - len(shape))
        if name in self.along:
            other = self.along[name]
            if other.axis != axis or shape[axis] != size or other.outer != along.outer:
                raise Stuck(f"signals meet along different axes in {called(node)}")
        elif axis >= 0 and shape[axis] != 1:
            if shape[axis] != size:
                raise Stuck(f"{called(node)} stretches the axis of the signals")
            self.grow(index, place, along.moved(axis))

    def new_value(self, name: str) -> NDArray[Any] | None:
        """What :meth:`Facts.value` gives, for as many signals as wanted."""
        if name in self.facts.initializers:
            return self.facts.value(name)
        if name not in self._new_values:
            self._new_values[name] = self._computed(name)
        return self._new_values[name]

    def _computed(self, name: str) -> NDArray[Any] | None:
        node = self.facts.maker.get(name)
        if node is None or name in self.along or not is_standard(node) or any(True for _ in subgraphs(node)):
            return None
        if node.op_type == "Shape":
            try:
                sizes = self.new_shape(node.input[0])
            except Stuck:
                return None
            return np.array(sizes[attribute(node, "start", 0) : attribute(node, "end", len(sizes))], np.int64)
        inputs = {given: self.new_value(given) for given in node.input if given}
        if any(value is None for value in inputs.values()):
            return None
        found = {key: value for key, value in inputs.items() if value is not None}
        return computed(node, found, self.facts.model)

    def _step(self, index: int, node: onnx.NodeProto) -> None:
        given = [name for name in node.input if name]
        inner = tuple(captured(node))
        for name in (*given, *inner):
            self.decide(name)
        touched = [name for name in (*given, *inner) if name in self.along or name in self.uncertain]
        if not touched:
            return
        if any(True for _ in subgraphs(node)):
            raise Stuck(f"{called(node)} has graphs inside, into which signals are not followed (sim may remove it)")
        if node.op_type in {"Shape", "Size"} and is_standard(node):
            self._judge(node)
        elif not any(name in self.along for name in given):
            self._from_sizes(node)
        else:
            self._follow(index, node)

    def _follow(self, index: int, node: onnx.NodeProto) -> None:
        key = node.op_type if is_standard(node) else f"{node.domain}::{node.op_type}"
        rule = self._rules.get(key)
        if rule is None:
            made = "" if is_standard(node) else ": resize the graph before the pass that made it"
            raise Stuck(f"{called(node)} is not known to keep signals apart{made}")
        for place, name in enumerate(node.input):
            if name in self.uncertain and place not in _SIZES.get(node.op_type, ()):
                raise Stuck(f"a number computed from the batch enters {called(node)}")
        answer = rule(self, index, node)
        places = answer if isinstance(answer, tuple) else (answer,) * len(node.output)
        for name, along in zip(node.output, places, strict=False):
            if name:
                self.enter(name, along)

    def _judge(self, node: onnx.NodeProto) -> None:
        """Mark what changes with the number of signals."""
        for name in node.output:
            old, new = self.facts.value(name), self.new_value(name)
            if old is None or new is None or not np.array_equal(old, new):
                self.uncertain.add(name)

    def _from_sizes(self, node: onnx.NodeProto) -> None:
        """A node that reads no signals, but sizes that change with their number."""
        made = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}.get(node.op_type)
        sizes = None if made is None or not is_standard(node) else self.new_value(node.input[made])
        if sizes is None or self.facts.value(node.input[made or 0]) is None:
            self._judge(node)
            return
        old = self.shape(node.output[0])
        base = (1,) * len(old)
        if made:
            base = (1,) * (len(old) - len(self.shape(node.input[0]))) + self.shape(node.input[0])
        wide = (1,) * (len(old) - sizes.size) + tuple(int(size) for size in sizes)
        new = tuple(a * b if node.op_type == "Tile" or a == 1 else a for a, b in zip(base, wide, strict=True))
        changed = [axis for axis, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        if len(changed) != 1 or self.scaled(old, changed[0]) != new:
            raise Stuck(f"{called(node)} makes something whose size depends on the batch in another way")
        self.enter(node.output[0], Along(changed[0]))
