"""Rules for operators that move values about: Reshape, Slice, Resize and their kin (see batch_rules)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from models.surgery.batch_walk import Along, Stuck
from models.surgery.graphs import called
from models.surgery.rewrite import attribute

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.surgery.batch_walk import Rule, Walk

_END = np.iinfo(np.int64).max


def _reshape(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    """The signals' new axis is where as many values lie in front of them as before.

    With one signal per call several axes may fit; then each is tried, first the one that the
    target, computed for as many signals as wanted, says itself.
    """
    walk.only(node, {0})
    if len(node.input) < 2:
        raise Stuck(f"{called(node)} is of an operator set before 5")
    source, result = walk.shape(node.input[0]), walk.shape(node.output[0])
    ways = _ways(walk.of(node.input[0]), source, result)
    if not ways:
        raise Stuck(f"{called(node)} tears signals apart, from {list(source)} to {list(result)}")
    copies = not attribute(node, "allowzero", 0)
    target = walk.new_value(node.input[1])
    sizes = walk.new_shape(node.input[0])
    said = None if target is None else _resolved(target, sizes, copies=copies)
    ways.sort(key=lambda way: (walk.scaled(result, way.axis) != said, result[way.axis] != 1))
    way = walk.choose(ways)
    wanted = walk.scaled(result, way.axis)
    if said != wanted:
        old = walk.facts.value(node.input[1])
        new = np.array(result if old is None else old, np.int64)
        if new[way.axis] > 0:
            new[way.axis] = wanted[way.axis]
        if _resolved(new, sizes, copies=copies) != wanted:
            new = np.array(wanted, np.int64)
        walk.replace(index, 1, new)
    return way


def _ways(along: Along, source: tuple[int, ...], result: tuple[int, ...]) -> list[Along]:
    before = prod(source[: along.axis]) * along.outer
    ways = []
    for axis, size in enumerate(result):
        outer, rest = divmod(before, prod(result[:axis]))
        if not rest and outer and size % outer == 0:
            ways.append(Along(axis, outer))
    return ways


def _resolved(target: NDArray[Any], sizes: tuple[int, ...], *, copies: bool) -> tuple[int, ...] | None:
    """What a Reshape makes of a target; None where it would fail."""
    new = [int(size) for size in target]
    if copies:
        if any(size == 0 and axis >= len(sizes) for axis, size in enumerate(new)):
            return None
        new = [sizes[axis] if size == 0 else size for axis, size in enumerate(new)]
    known = prod(size for size in new if size != -1)
    if new.count(-1) == 1 and known and prod(sizes) % known == 0:
        new = [prod(sizes) // known if size == -1 else size for size in new]
    return tuple(new) if prod(new) == prod(sizes) and min(new, default=1) > 0 else None


def _flatten(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    along, shape = walk.of(node.input[0]), walk.shape(node.input[0])
    axis = attribute(node, "axis", 1)
    axis += len(shape) if axis < 0 else 0
    start = 0 if along.axis < axis else axis
    return Along(0 if along.axis < axis else 1, prod(shape[start : along.axis]) * along.outer)


def _transpose(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    order = list(attribute(node, "perm", range(rank - 1, -1, -1)))
    return along.moved(order.index(along.axis))


def _axes(walk: Walk, node: onnx.NodeProto) -> list[int] | None:
    """Axes from an attribute or the second input."""
    given = attribute(node, "axes")
    if given is None:
        value = walk.constant(node, 1)
        given = None if value is None else value.ravel().tolist()
    return None if given is None else [int(axis) for axis in given]


def _squeeze(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, shape = walk.of(node.input[0]), walk.shape(node.input[0])
    axes = _axes(walk, node)
    gone = {a for a, size in enumerate(shape) if size == 1} if axes is None else {a % len(shape) for a in axes}
    if along.axis in gone:
        raise Stuck(f"{called(node)} takes the axis of the signals away")
    if axes is None and walk.scaled(shape, along.axis)[along.axis] == 1:
        raise Stuck(f"{called(node)} would take the axis of a single signal away")
    return along.moved(along.axis - sum(axis < along.axis for axis in gone))


def _unsqueeze(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, rank = walk.of(node.input[0]), len(walk.shape(node.output[0]))
    new = {axis % rank for axis in _axes(walk, node) or []}
    return along.moved([axis for axis in range(rank) if axis not in new][along.axis])


def _concat(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    rank = len(walk.shape(node.input[0]))
    ways = {walk.of(name) for name in node.input if name in walk.along}
    along = ways.pop()
    if ways:
        raise Stuck(f"signals meet along different axes in {called(node)}")
    if attribute(node, "axis") % rank == along.axis:
        raise Stuck(f"{called(node)} works along the axis of the signals")
    for place, name in enumerate(node.input):
        if name not in walk.along:
            walk.grow(index, place, along)
    return along


def _split(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    if attribute(node, "axis", 0) % rank == along.axis:
        raise Stuck(f"{called(node)} parts the signals from each other")
    return along


def _slice(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, shape = walk.of(node.input[0]), walk.shape(node.input[0])
    by_input = len(node.input) > 1
    starts, ends = (
        np.asarray(walk.constant(node, place) if by_input else attribute(node, name))
        for place, name in ((1, "starts"), (2, "ends"))
    )
    given = walk.constant(node, 3) if by_input else attribute(node, "axes")
    axes = [int(axis) % len(shape) for axis in (range(starts.size) if given is None else given)]
    _unchanged(walk, node, [i for i, axis in enumerate(axes) if axis != along.axis])
    if along.axis not in axes:
        return along
    place, size = axes.index(along.axis), shape[along.axis]
    steps = walk.constant(node, 4) if by_input else None
    first = int(starts[place]) + (size if starts[place] < 0 else 0)
    last = int(ends[place]) + (size if ends[place] < 0 else 0)
    if max(first, 0) != 0 or last < size or (steps is not None and int(steps[place]) != 1):
        raise Stuck(f"{called(node)} picks some of the signals")
    if int(starts[place]) != 0 or int(ends[place]) < walk.scaled(shape, along.axis)[along.axis]:
        whole = np.iinfo(ends.dtype).max if by_input else _END
        starts, ends = starts.copy(), ends.copy()
        starts[place], ends[place] = 0, whole
        if by_input:
            walk.replace(index, 2, ends)
            if walk.constant(node, 1) is not None and not np.array_equal(starts, np.asarray(walk.constant(node, 1))):
                walk.replace(index, 1, starts)
        else:
            walk.set_attribute(index, "starts", starts.tolist())
            walk.set_attribute(index, "ends", ends.tolist())
    return along


def _unchanged(walk: Walk, node: onnx.NodeProto, entries: list[int]) -> None:
    """Refuse bounds of other axes that change with the number of signals."""
    for name in node.input[1:]:
        if name not in walk.uncertain:
            continue
        old, new = walk.facts.value(name), walk.new_value(name)
        if old is None or new is None or any(old.ravel()[i] != new.ravel()[i] for i in entries):
            raise Stuck(f"a number computed from the batch enters {called(node)}")


def _gather(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0, 1})
    data, places = node.input[:2]
    rank, picked = len(walk.shape(data)), len(walk.shape(places))
    axis = attribute(node, "axis", 0) % rank
    if data in walk.along and places in walk.along:
        raise Stuck(f"{called(node)} looks things up for each signal in its own values")
    if places in walk.along:
        return walk.of(places).moved(axis + walk.of(places).axis)
    along = walk.of(data)
    if along.axis == axis:
        raise Stuck(f"{called(node)} picks some of the signals")
    return along if along.axis < axis else along.moved(along.axis - 1 + picked)


def _gather_elements(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    moved = next(name for name in node.input[:2] if name in walk.along)
    along, shape = walk.of(moved), walk.shape(moved)
    if attribute(node, "axis", 0) % len(shape) == along.axis:
        raise Stuck(f"{called(node)} picks some of the signals")
    for place in (0, 1):
        walk.align(index, node, place, len(shape), along, shape[along.axis])
        if node.input[place] not in walk.along and walk.shape(node.input[place])[along.axis] == 1:
            walk.grow(index, place, along)
    return along


def _scatter_elements(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    moved = next(name for name in node.input if name in walk.along)
    along, shape = walk.of(moved), walk.shape(moved)
    if attribute(node, "axis", 0) % len(shape) == along.axis:
        raise Stuck(f"{called(node)} picks some of the signals")
    for place, name in enumerate(node.input):
        if name in walk.along:
            walk.align(index, node, place, len(shape), along, shape[along.axis])
        elif walk.shape(name)[along.axis] == shape[along.axis]:
            walk.grow(index, place, along)
        else:
            raise Stuck(f"{called(node)} picks some of the signals")
    return along


def _expand(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    source, result = walk.shape(node.input[0]), walk.shape(node.output[0])
    along = walk.of(node.input[0])
    axis = along.axis + len(result) - len(source)
    if result[axis] != source[along.axis]:
        raise Stuck(f"{called(node)} stretches the axis of the signals")
    wanted, target = walk.scaled(result, axis), walk.new_value(node.input[1])
    new_source = (1,) * (len(result) - len(source)) + walk.new_shape(node.input[0])
    if target is None or _stretched(new_source, target) != wanted:
        old = walk.facts.value(node.input[1])
        new = np.array(result if old is None else old, np.int64)
        place = axis - (len(result) - new.size)
        if place >= 0 and new[place] != 1:
            new[place] = wanted[axis]
        walk.replace(index, 1, new if _stretched(new_source, new) == wanted else np.array(wanted, np.int64))
    return along.moved(axis)


def _stretched(source: tuple[int, ...], target: NDArray[Any]) -> tuple[int, ...] | None:
    try:
        return tuple(np.broadcast_shapes(source, tuple(int(size) for size in target)))
    except ValueError:
        return None


def _tile(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, repeats = walk.of(node.input[0]), walk.constant(node, 1)
    new = walk.new_value(node.input[1])
    if repeats is None or new is None or not np.array_equal(repeats, new):
        raise Stuck(f"a number computed from the batch enters {called(node)}")
    # Repeats come one behind the other, each with all signals.
    return Along(along.axis, along.outer * int(repeats[along.axis]))


def _resize(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, shape = walk.of(node.input[0]), walk.shape(node.input[0])
    axes = [axis % len(shape) for axis in attribute(node, "axes", range(len(shape)))]
    if walk.shape(node.output[0])[along.axis] != shape[along.axis]:
        raise Stuck(f"{called(node)} stretches the axis of the signals")
    if any(name in walk.uncertain for name in node.input[1:3]):
        raise Stuck(f"a number computed from the batch enters {called(node)}")
    if len(node.input) > 3 and node.input[3] and along.axis in axes:
        if attribute(node, "keep_aspect_ratio_policy", b"stretch") != b"stretch":
            raise Stuck(f"{called(node)} keeps the ratio of the batch to other sizes")
        old, new = walk.constant(node, 3), walk.new_value(node.input[3])
        wanted = np.array(old)
        wanted[axes.index(along.axis)] = walk.scaled(shape, along.axis)[along.axis]
        if new is None or not np.array_equal(wanted, new):
            walk.replace(index, 3, wanted)
    if attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize" and along.axis in axes:
        raise Stuck(f"{called(node)} cuts a piece out, perhaps of the signals")
    return along


def _pad(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    pads = attribute(node, "pads", attribute(node, "paddings"))
    pads = np.asarray(walk.constant(node, 1) if pads is None else pads).reshape(2, -1)
    given = walk.constant(node, 3)
    axes = [int(axis) % rank for axis in (range(rank) if given is None else given)]
    new = walk.new_value(node.input[1]) if len(node.input) > 1 else pads.ravel()
    if new is None or not np.array_equal(pads.ravel(), new.ravel()):
        raise Stuck(f"a number computed from the batch enters {called(node)}")
    if along.axis in axes and pads[:, axes.index(along.axis)].any():
        raise Stuck(f"{called(node)} pads along the axis of the signals")
    return along


def _reduce(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    axes = _axes(walk, node)
    if not axes:
        if attribute(node, "noop_with_empty_axes", 0):
            return along
        axes = list(range(rank))
    return _reduced(node, along, {axis % rank for axis in axes})


def _arg(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    return _reduced(node, along, {attribute(node, "axis", 0) % rank})


def _reduced(node: onnx.NodeProto, along: Along, axes: set[int]) -> Along:
    if along.axis in axes:
        raise Stuck(f"{called(node)} works along the axis of the signals")
    return along if attribute(node, "keepdims", 1) else along.moved(along.axis - sum(a < along.axis for a in axes))


def _one_hot(walk: Walk, index: int, node: onnx.NodeProto) -> Along:
    walk.only(node, {0})
    along, rank = walk.of(node.input[0]), len(walk.shape(node.output[0]))
    axis = attribute(node, "axis", -1) % rank
    return along.moved(along.axis + (along.axis >= axis))


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

SHAPE_RULES: dict[str, Rule] = {
    **{f"Reduce{kind}": _reduce for kind in _REDUCTIONS},
    "ArgMax": _arg,
    "ArgMin": _arg,
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "ScatterElements": _scatter_elements,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
