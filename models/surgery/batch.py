"""More signals in one call: the first size of inputs and outputs, and all that hangs on it.

As everywhere else, the file as it is takes one signal per call, and N of them multiply its first
size by N. A file with a fixed batch has it written into constants: targets of Reshape, sizes of Resize, ends of
Slice, initial states. The pass follows the signals from the inputs through every operator, knows for
each value along which axis they lie, and corrects a constant where it says otherwise. An operator
that it does not know, or that lets one signal into another, is refused: what comes out answers
every signal as if it were alone.

States (:class:`~models.surgery.base.Context`) may have their signals along any axis; which one it is
shows where they are used. Sizes that the file leaves open are fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from models.errors import ModelError
from models.graph import noted_states
from models.signature import fix_shapes, real_inputs, signature
from models.surgery.base import Change
from models.surgery.batch_rules import RULES
from models.surgery.batch_walk import Along, Facts, Stuck, Walk
from models.surgery.graphs import first_line, set_attribute, still_open, tidied
from models.surgery.rewrite import Names, rebuilt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.card import Port
    from models.surgery.base import Context
    from models.surgery.catalogue import Step

# A fork is met at each ambiguous Reshape and state; real graphs need a handful of attempts.
_MOST_ATTEMPTS = 500
_ADVICE = "export it with a dynamic first dimension, or use a layout with one signal per call"


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Resize; a place is an input, an output, or a constant that carried the batch."""
    wanted = step.number or 0
    if wanted < 1:
        raise ModelError(f"a batch of {wanted} is not possible; it is 1 or more")
    ports, _, is_open = signature(model, still_open(model, context.shapes))
    if wanted == 1 and not is_open:
        return Change(model, 0)
    fixed = fix_shapes(tidied(model), ports)
    if wanted == 1:
        return Change(fixed, len(ports))
    states = {**noted_states(model), **context.states}
    facts = Facts(fixed, wanted)
    walk = _solve(facts, ports, states)
    result = _written(facts, walk)
    _verify(result, walk)
    inputs = sum(port.name in walk.along for port in ports)
    shared = [port.name for port in ports if port.name not in walk.along]
    notes = tuple(f"{'state' if name in states else 'input'} {name!r} is one for all signals" for name in shared)
    return Change(result, inputs + len(result.graph.output) + walk.edited, notes)


def _solve(facts: Facts, ports: tuple[Port, ...], states: dict[str, str]) -> Walk:
    """A walk through the whole graph that ends well; where the way forks, each is tried in turn."""
    script: list[int] = []
    furthest, reason = -1, ""
    for _ in range(_MOST_ATTEMPTS):
        walk = Walk(facts, script, RULES)
        try:
            _start(walk, ports, states)
            walk.run()
            _finish(walk, states)
        except Stuck as stuck:
            if walk.reached > furthest:
                furthest, reason = walk.reached, str(stuck)
        else:
            return walk
        script = walk.taken
        while script and script[-1] + 1 >= walk.offered[len(script) - 1]:
            script = script[:-1]
        if not script:
            break
        script = [*script[:-1], script[-1] + 1]
    raise ModelError(f"this graph cannot take {facts.wanted} signals in one call: {reason}; {_ADVICE}")


def _start(walk: Walk, ports: tuple[Port, ...], states: dict[str, str]) -> None:
    """Where the signals come in."""
    for port in ports:
        rank = len(port.sizes)
        if port.name in states:
            # One behind the other: a size of 1 is where an exporter has its batch; recurrent layers have it second.
            axes = sorted(range(rank), key=lambda axis: (port.sizes[axis] != 1, rank == 3 and axis != 1, axis))
            walk.leave_open(port.name, [*map(Along, axes), None])
        elif rank == 1:
            # A lone whole number is more likely a sample rate or a switch than something of each signal.
            lone = port.sizes[0] == 1 and not port.dtype.startswith("float")
            walk.leave_open(port.name, [None, Along(0)] if lone else [Along(0), None])
        elif rank:
            walk.enter(port.name, Along(0))
    if not any(port.sizes and port.name not in states for port in ports):
        raise Stuck("no input has a first size that could count signals")


def _finish(walk: Walk, states: dict[str, str]) -> None:
    walk.reached += 1
    source = {output: name for name, output in states.items()}
    for name in (*source.values(), *(value.name for value in walk.facts.model.graph.output)):
        walk.decide(name)
    for value in walk.facts.model.graph.output:
        along = walk.along.get(value.name)
        if value.name in walk.uncertain:
            raise Stuck(f"output {value.name!r} depends on the number of signals itself")
        if value.name in source:
            wanted = walk.along.get(source[value.name])
            if along != wanted:
                raise Stuck(
                    f"state {source[value.name]!r} and output {value.name!r} have their signals along other axes"
                )
        elif along is None:
            raise Stuck(f"output {value.name!r} does not depend on the signals")
        elif along.axis != 0 or along.outer > 1:
            raise Stuck(f"output {value.name!r} has its signals elsewhere than along its first axis")


def _written(facts: Facts, walk: Walk) -> onnx.ModelProto:
    names = Names(facts.model)
    copy = onnx.ModelProto()
    copy.CopyFrom(facts.model)
    nodes, tensors = [], []
    made: dict[tuple[str, bytes, tuple[int, ...]], str] = {}

    def constant(wish: str, values: NDArray[Any]) -> str:
        key = (str(values.dtype), values.tobytes(), values.shape)
        if key not in made:
            made[key] = names.new(wish)
            tensors.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), made[key]))
        return made[key]

    for index, node in enumerate(copy.graph.node):
        for place, sizes in walk.replaced.get(index, {}).items():
            node.input[place] = constant(f"{node.output[0]}.sizes", sizes)
        for place, (values, repeats) in walk.grown.get(index, {}).items():
            old = node.input[place]
            if values is not None:
                node.input[place] = constant(f"{old}.batch", values)
                continue
            grown = names.new(f"{old}.batch")
            counts = constant(f"{old}.repeats", np.array(repeats, np.int64))
            nodes.append(helper.make_node("Tile", [old, counts], [grown], name=grown))
            node.input[place] = grown
        for name, value in walk.attributes.get(index, {}).items():
            set_attribute(node, name, value)
        nodes.append(node)
    result = rebuilt(copy, nodes, tensors)
    for value in (*real_inputs(result), *result.graph.output):
        for dim, size in zip(value.type.tensor_type.shape.dim, walk.sizes.get(value.name, ()), strict=False):
            dim.Clear()
            dim.dim_value = size
    return result


def _verify(model: onnx.ModelProto, walk: Walk) -> None:
    """Whether onnx's own inference finds the sizes that the walk has foretold, for every value."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:
        raise ModelError(f"resized, the graph contradicts itself: {first_line(error)}; {_ADVICE}") from error
    for value in (*inferred.value_info, *inferred.output):
        found = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        foretold = walk.sizes.get(value.name)
        if foretold is None or not value.type.tensor_type.HasField("shape"):
            continue
        if len(found) != len(foretold) or any(a and a != b for a, b in zip(found, foretold, strict=True)):
            raise ModelError(f"resized, {value.name!r} would be {found} and not {list(foretold)}; {_ADVICE}")
