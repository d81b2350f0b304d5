"""What one call of a graph costs, from the graph alone: operations, and bytes that must move.

Nothing is run and nothing is measured. The figures say what the graph *asks for*, node by node; what
an engine makes of it (fusion, other algorithms, other layouts) is its own affair and shows in its time.

* **Operations** (``flops``): :mod:`models.cost_ops` has the conventions, :mod:`models.cost_table` what a
  value costs.
* **Before the first call.** What depends on weights alone (a transposed or dequantised weight), and what
  depends on sizes alone (``Shape`` and arithmetic on it), is worked out once and costs a call nothing;
  whoever reads the result reads the weights behind it, in the bytes in which they are stored.
* **Needed products** (``needed_multiply_adds``): those of them that no engine can leave out:
  :mod:`models.cost_needed` leaves out what falls on padding or is cropped away. Floors are made of these.
* **Weights** (``weight_bytes``): initializers and ``Constant`` nodes that a call reads, each once, in the
  bytes of the type in which they are stored. Of a table of which ``Gather`` or ``Slice`` takes a part, that part.
* **Activations** (``activation_bytes``): what every node writes, and what it reads of the others'
  results. Every tensor counts at every node that touches it, as if nothing stayed in a cache. Views
  (``Reshape``, ``Squeeze``, ``Unsqueeze``, ``Flatten``, ``Identity``) touch nothing; copies
  (``Transpose``, ``Concat``, ``Slice``, ``Pad``, nearest ``Resize``) move bytes and compute nothing.
* **Compulsory** (``compulsory_bytes``): weights, inputs and outputs once. No engine can do with less that
  does not keep its weights in a cache from one call to the next.

A node that cannot be counted is named in ``unknown`` and never taken for free: its operator is not
standard or not known here (``If``, ``Loop`` and ``Scan`` among them), or a size shows only when the graph
runs. Its operations are missing from the totals, and so are its bytes where they cannot be told: the
totals are then lower bounds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import onnx

from models.cost_call import Call, NoRule, Work
from models.cost_needed import Known, Needed, needed
from models.cost_ops import has_rule, is_view, work
from models.cost_sizes import scalars, static, tensors
from models.cost_traffic import Traffic
from models.signature import real_inputs

_STANDARD = {"", "ai.onnx"}
_NO_RULE = "no rule for this operator, or for this use of it"


@dataclass(frozen=True)
class NodeCost:
    """What one node costs one call.

    Attributes:
        name: the node's, or that of its first output.
        operator: its type, with its domain if that is not the standard one: ``com.acme::Fancy``.
        multiply_adds: products that are summed, as matrix and convolution units do them.
        needed_multiply_adds: those of them that are not with padding, nor cropped away.
        flops: operations, a multiply-add being two.
        weight_bytes: read from weights.
        read_bytes: read from inputs and from the results of other nodes.
        written_bytes: written.
        problem: why the operations are not counted, or "".
        before: done before the first call, since it depends on weights or sizes alone.
    """

    name: str
    operator: str
    multiply_adds: int = 0
    flops: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    problem: str = ""
    before: bool = False
    needed_multiply_adds: int = 0


@dataclass(frozen=True)
class Cost:
    """What one call of a graph costs.

    Attributes:
        nodes: node by node, in the order of the file.
        weight_bytes: weights that are read, each once.
        io_bytes: the graph's inputs and outputs, states among them.
        peak_bytes: the most that lies in memory at once besides the weights: nodes run in the order of the
            file, nothing is done in place, a view shares its memory, inputs and results are let go after
            their last use, and outputs are kept.
    """

    nodes: tuple[NodeCost, ...]
    weight_bytes: int
    io_bytes: int
    peak_bytes: int

    @property
    def flops(self) -> int:
        """Operations of all nodes."""
        return sum(node.flops for node in self.nodes)

    @property
    def multiply_adds(self) -> int:
        """Products that are summed; each is two of :attr:`flops`."""
        return sum(node.multiply_adds for node in self.nodes)

    @property
    def needed_multiply_adds(self) -> int:
        """Those of :attr:`multiply_adds` that no engine can leave out."""
        return sum(node.needed_multiply_adds for node in self.nodes)

    @property
    def read_bytes(self) -> int:
        """Read by all nodes from inputs and from each other."""
        return sum(node.read_bytes for node in self.nodes)

    @property
    def written_bytes(self) -> int:
        """Written by all nodes."""
        return sum(node.written_bytes for node in self.nodes)

    @property
    def activation_bytes(self) -> int:
        """Read and written by all nodes, weights left out."""
        return self.read_bytes + self.written_bytes

    @property
    def compulsory_bytes(self) -> int:
        """Weights, inputs and outputs, each once."""
        return self.weight_bytes + self.io_bytes

    @property
    def unknown(self) -> dict[str, int]:
        """Operator -> how many of its nodes are not counted; empty when the totals are whole."""
        return dict(sorted(Counter(node.operator for node in self.nodes if node.problem).items()))

    def to_json(self) -> dict[str, Any]:
        """The totals, as JSON values."""
        return {
            "flops": self.flops,
            "weight_bytes": self.weight_bytes,
            "activation_bytes": self.activation_bytes,
            "io_bytes": self.io_bytes,
            "unknown": self.unknown,
        }


@dataclass(frozen=True)
class Walked:
    """A graph that has been gone through once, and what was found.

    Attributes:
        model: with every size that can be found, functions written out in place.
        nodes: one per node of ``model``, in its order.
        needs: what no engine can leave out of each.
        traffic: which bytes are touched.
        inputs, outputs: names of the graph's own.
    """

    model: onnx.ModelProto
    nodes: tuple[NodeCost, ...]
    needs: tuple[Needed, ...]
    traffic: Traffic
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def cost(self) -> Cost:
        """The whole of it."""
        return Cost(
            self.nodes,
            weight_bytes=self.traffic.weight_bytes,
            io_bytes=self.traffic.bytes(self.inputs) + self.traffic.bytes(self.outputs),
            peak_bytes=self.traffic.peak_bytes(self.model.graph.node, self.inputs, self.outputs),
        )


def cost(model: onnx.ModelProto) -> Cost:
    """What one call of a graph costs.

    Args:
        model: a graph whose input sizes are static, such as those of :func:`models.build.build`. External data
            need not be loaded. Functions that the file defines itself are counted node by node.

    Raises:
        ModelError: an input has an open size, or the graph contradicts itself.
    """
    return walk(model).cost()


def walk(model: onnx.ModelProto) -> Walked:
    """Go through a graph as :func:`cost` does, and keep what was found of every node and tensor."""
    model = static(model)
    sizes = tensors(model)
    traffic = Traffic(model, sizes)
    known = Known(model)
    opset = max((entry.version for entry in model.opset_import if entry.domain in _STANDARD), default=1)
    numbers = scalars(model)
    nodes, needs = [], []
    for node in model.graph.node:
        call = Call(
            node.op_type,
            opset,
            {entry.name: _plain(entry) for entry in node.attribute},
            tuple(sizes.get(name) for name in node.input),
            tuple(sizes.get(name) for name in node.output),
            traffic.origins.keys(),
            numbers,
        )
        cost_, least = _node(node, call, traffic, known)
        nodes.append(cost_)
        needs.append(least)
    outputs = tuple(value.name for value in model.graph.output)
    for name in outputs:
        if name in traffic.origins:
            traffic.read_weight(name)
    return Walked(
        model, tuple(nodes), tuple(needs), traffic, tuple(value.name for value in real_inputs(model)), outputs
    )


def _node(node: onnx.NodeProto, call: Call, traffic: Traffic, known: Known) -> tuple[NodeCost, Needed]:
    standard = node.domain in _STANDARD
    name = node.name or next(iter(node.output), "")
    operator = node.op_type if standard else f"{node.domain}::{node.op_type}"
    ruled = standard and has_rule(operator)
    view = ruled and is_view(call)
    if ruled and traffic.known_before(node, view=view):
        return NodeCost(name, operator, before=True), Needed(0)
    if view:
        traffic.show(node)
        return NodeCost(name, operator), Needed(0)
    computed, problem = _counted(call) if ruled else (Work(), _NO_RULE)
    from_weights, from_others = traffic.read(node)
    least = Needed(0) if problem else needed(call, computed, known)
    counted = NodeCost(
        name,
        operator,
        computed.multiply_adds,
        computed.flops,
        from_weights,
        from_others,
        traffic.bytes(node.output),
        problem,
        needed_multiply_adds=least.multiply_adds,
    )
    return counted, least


def _counted(call: Call) -> tuple[Work, str]:
    """What is computed, and what keeps it from being told."""
    if not all(tensor.known for tensor in (*call.inputs, *call.outputs) if tensor is not None):
        return Work(), "a size shows only when the graph runs"
    try:
        return work(call), ""
    except NoRule:
        return Work(), _NO_RULE


def _plain(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, list):
        return [entry.decode() if isinstance(entry, bytes) else entry for entry in value]
    return value.decode() if isinstance(value, bytes) else value
