"""The independent evaluator: onnx's own reference, with operators of our own, watched node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from models.errors import ModelError
from models.inputs import initial_state
from models.reference_norm import LayerNormalization
from models.reference_ops import BatchNormalization, Conv, ConvTranspose
from models.reference_pool import AveragePool, GlobalMaxPool, MaxPool
from models.reference_quant import (
    ConvInteger,
    DequantizeLinear,
    MatMulInteger,
    QLinearConv,
    QLinearMatMul,
    QuantizeLinear,
)
from models.reference_recurrent import GRU, LSTM, RNN, USUAL, ignored
from models.reference_softmax import Hardmax, LogSoftmax, Softmax
from models.userfile import load_with_data

if TYPE_CHECKING:
    from models.card import Card

Array = NDArray[Any]
Feeds = dict[str, Array]
Evaluator = Callable[[Feeds], list[Array]]
Watch = Callable[[onnx.NodeProto, str, Array], None]

# Changes whenever our own operators may answer differently: older oracles are then made anew.
ALGORITHM = 5

# What the stock evaluator knows better where it knows it: blocks, 4 bits, float8.
_BEFORE_13 = [Hardmax, LogSoftmax, Softmax]
_BEFORE_19 = [DequantizeLinear, QuantizeLinear]
OPERATORS = [
    AveragePool,
    BatchNormalization,
    Conv,
    ConvInteger,
    ConvTranspose,
    GlobalMaxPool,
    GRU,
    LSTM,
    LayerNormalization,
    MatMulInteger,
    MaxPool,
    QLinearConv,
    QLinearMatMul,
    RNN,
    *_BEFORE_19,
]


# Sums over many values. NumPy makes them in float16 where the values are, and loses what engines, which
# sum in float32, keep: wide sums are rounded once.
_SUMMING = {
    *("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"),
    *("MatMul", "Gemm", "Einsum", "CumSum", "Softmax", "LogSoftmax", "GlobalAveragePool", "InstanceNormalization"),
}


class ReferenceUnsupported(ModelError):  # noqa: N818  # a condition the caller acts on, not a mistake
    """The reference evaluator cannot compute this model; another evaluator must be chosen."""


class Reference:
    """One model, ready to be evaluated: feeds in, outputs in the graph's order.

    Args:
        path: the ONNX file; its external data is loaded too.

    Raises:
        ReferenceUnsupported: naming the operator that the evaluator lacks.
        ModelError: the file cannot be read.
    """

    name = (
        f"the reference evaluator (onnx {onnx.__version__}, "
        "convolution, norms, pooling, recurrence and quantisation of our own)"
    )

    def __init__(self, path: Path) -> None:
        watcher = _Watcher()
        # Evaluators of subgraphs are made of the same class, so a class of its own carries the watcher.
        kind = type("Watched", (_Guarded,), {"watcher": watcher})
        try:
            model = load_with_data(path)
            opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=1)
            operators = [op for op in OPERATORS if opset < 19 or op not in _BEFORE_19]
            operators += _BEFORE_13 if opset < 13 else []
            self._evaluator = kind(model, new_ops=operators)
        except ModelError:
            raise
        except Exception as error:  # the evaluator raises whatever its operators raise
            raise ReferenceUnsupported(
                f"the reference evaluator cannot load {path.name}: {_line(error)}; choose another oracle"
            ) from error
        self._watcher = watcher
        self._outputs = [output.name for output in model.graph.output]

    def __call__(self, feeds: Feeds) -> list[Array]:
        """Evaluate one call.

        Raises:
            ReferenceUnsupported: naming the operator that failed.
        """
        try:
            # NaN and infinity are looked for in the results; NumPy's own warnings would only repeat it.
            with np.errstate(all="ignore"):
                answers = self._evaluator.run(None, feeds)
        except ModelError:
            raise
        except Exception as error:
            raise ReferenceUnsupported(
                f"the reference evaluator failed: {_line(error)}; choose another oracle"
            ) from error
        for name, answer in zip(self._outputs, answers, strict=True):
            if answer is None or isinstance(answer, list):
                raise ReferenceUnsupported(f"the reference evaluator gives no tensor for output {name!r}")
        return [np.asarray(answer) for answer in answers]

    @contextmanager
    def watched(self, watch: Watch) -> Iterator[None]:
        """Call ``watch(node, output name, value)`` for every tensor made inside, those of subgraphs included."""
        self._watcher.watch = watch
        try:
            yield
        finally:
            self._watcher.watch = None


def evaluate(card: Card, inputs_of_channel: list[Feeds], evaluator: Evaluator | None = None) -> list[list[Array]]:
    """Answer the calls of one channel in order, states fed back from zeros.

    Args:
        card: the model.
        inputs_of_channel: one feed per rotation, state inputs left out.
        evaluator: what computes one call; the reference evaluator when None.

    Returns:
        ``[rotation]`` -> outputs in the graph's order, float32 where the graph says so.

    Raises:
        ReferenceUnsupported: the reference evaluator lacks an operator.
        ModelError: a state comes back in another shape or type.
    """
    run = evaluator or Reference(Path(card.path))
    state, answers = initial_state(card), []
    for feeds in inputs_of_channel:
        answer = run({**feeds, **state})
        answers.append(answer)
        state = next_state(card, answer)
    return answers


def next_state(card: Card, answer: list[Array]) -> Feeds:
    """The state inputs of the next call, taken from this call's outputs.

    Raises:
        ModelError: a state comes back in another shape or type than it goes in.
    """
    outputs = dict(zip(card.output_names, answer, strict=True))
    ports = {port.name: port for port in card.inputs}
    state = {name: outputs[source] for name, source in card.states.items()}
    for name, value in state.items():
        port = ports[name]
        if value.shape != port.shape or value.dtype != port.dtype:
            raise ModelError(
                f"--state {name}={card.states[name]}: the output came as {value.dtype} {value.shape}, "
                f"the input takes {port.dtype} {port.shape}; they must agree"
            )
    return state


class _Watcher:
    """Who is told about every tensor, if anyone."""

    watch: Watch | None = None


class _Guarded(ReferenceEvaluator):  # type: ignore[misc]  # onnx is untyped
    """Names the operator in every failure, and shows every tensor to the watcher."""

    watcher: _Watcher

    def _init(self) -> None:
        super()._init()
        for node in self.rt_nodes_:
            node.run = self._guard(node, node.run)

    def _load_impl(self, node: onnx.NodeProto, *args: Any, **kwargs: Any) -> Any:
        refuse_gaps(node)
        try:
            return super()._load_impl(node, *args, **kwargs)
        except onnx.reference.op_run.RuntimeContextError:
            raise  # how the evaluator asks itself for input types
        except Exception as error:
            raise _unsupported(node, error) from error

    def _guard(self, operator: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        node = operator.onnx_node

        def guarded(*args: Any, **kwargs: Any) -> Any:
            half = node.op_type in _SUMMING and any(_is_half(value) for value in args)
            try:
                results = run(*(_wide(value) for value in args), **kwargs) if half else run(*args, **kwargs)
            except ModelError:
                raise
            except Exception as error:
                raise _unsupported(node, error) from error
            if half:
                results = tuple(np.asarray(value, np.float16) for value in results)
            if self.watcher.watch is not None:
                for name, value in zip(node.output, results, strict=False):
                    if isinstance(value, np.ndarray | np.generic):
                        self.watcher.watch(node, name, np.asarray(value))
            return results

        return guarded


def refuse_gaps(node: onnx.NodeProto) -> None:
    """Refuse what the reference evaluator would silently compute as something else.

    Raises:
        ReferenceUnsupported: naming the operator and the attribute or input it ignores.
    """
    if node.domain not in {"", "ai.onnx"} or node.op_type not in USUAL:
        return
    if found := ignored(node):
        raise _unsupported(node, NotImplementedError(f"it would ignore {', '.join(found)}"))


def _is_half(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float16


def _wide(value: Any) -> Any:
    return value.astype(np.float32) if _is_half(value) else value


def _unsupported(node: onnx.NodeProto, error: Exception) -> ReferenceUnsupported:
    operator = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
    place = f" (node {node.name!r})" if node.name else ""
    return ReferenceUnsupported(
        f"the reference evaluator cannot compute the operator {operator!r}{place}: {_line(error)}; "
        "choose another oracle"
    )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
