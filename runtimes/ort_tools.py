"""ONNX Runtime's offline tools: its graph optimiser, saved to a file, and its quantisers.

Nothing of ONNX Runtime is imported before a tool is used. The quantisers need nothing beyond what
ONNX Runtime and ``onnx`` bring along.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

from runtimes.errors import engine_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEVELS = {"basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}

# Where the work is. Others follow only when both of their neighbours are quantised; norms stay in
# float32: per-channel scales fail on LayerNormalization with a scale of two axes.
STATIC_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Look-ups (Gather) are left out: they do no arithmetic.
DYNAMIC_OPERATORS = ("Conv", "Gemm", "LSTM", "MatMul")


class OrtTools:
    """The tools, each from a file to a file."""

    def optimise(self, source: Path, target: Path, level: str) -> None:
        """Save the graph as ONNX Runtime rewrites it for this machine's CPU.

        Args:
            source: an ONNX file.
            target: where the new one goes.
            level: ``basic``, ``extended`` or ``all``.

        Raises:
            EngineError: ONNX Runtime refuses the graph.
        """
        import onnxruntime as ort

        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[level])
        settings.optimized_model_filepath = str(target)
        with _quiet(f"onnxruntime could not optimise {source.name}"):
            ort.InferenceSession(str(source), settings, providers=["CPUExecutionProvider"])

    def quantise_static(self, source: Path, target: Path, feeds: list[dict[str, Any]]) -> None:
        """Save a graph whose weights and values are rounded to 8 bits, each written as Q and DQ.

        Values are unsigned, with the range that the calls show; weights signed, with a scale per channel.

        Args:
            source: an ONNX file of operator set 13 or newer, nodes named.
            target: where the new one goes.
            feeds: representative calls, every input present.

        Raises:
            EngineError: ONNX Runtime refuses the graph.
        """
        with _quiet(f"onnxruntime could not quantise {source.name}"):
            from onnxruntime import quantization as tools

            tools.quantize_static(
                str(source),
                str(target),
                _reader(feeds),
                quant_format=tools.QuantFormat.QDQ,
                op_types_to_quantize=list(STATIC_OPERATORS),
                per_channel=True,
                activation_type=tools.QuantType.QUInt8,
                weight_type=tools.QuantType.QInt8,
            )

    def quantise_dynamic(self, source: Path, target: Path) -> None:
        """Save a graph whose weights are rounded to 8 bits, and whose values are scaled call by call.

        Weights are unsigned, with one scale each: ONNX Runtime has no convolution of integers for others.

        Args:
            source: an ONNX file of operator set 11 or newer, nodes named.
            target: where the new one goes.

        Raises:
            EngineError: ONNX Runtime refuses the graph.
        """
        with _quiet(f"onnxruntime could not quantise {source.name}"):
            from onnxruntime import quantization as tools

            tools.quantize_dynamic(
                str(source),
                str(target),
                op_types_to_quantize=list(DYNAMIC_OPERATORS),
                weight_type=tools.QuantType.QUInt8,
            )


def _reader(feeds: list[dict[str, Any]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
        """The calls, one by one, then None."""

        def __init__(self) -> None:
            self._calls = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._calls, None)

    return Reader()


@contextlib.contextmanager
def _quiet(doing: str) -> Iterator[None]:
    """No prints, no log, no warnings, no traces in the process; a foreign complaint becomes ours."""
    import onnxruntime as ort

    root, silent, path = logging.getLogger(), logging.NullHandler(), list(sys.path)
    before = logging.root.manager.disable
    # A first logging.warning() would give the root logger a handler for good.
    root.addHandler(silent)
    logging.disable(logging.CRITICAL)
    ort.set_default_logger_severity(3)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # every failure of a foreign library becomes ours
        raise engine_error(doing, error) from error
    finally:
        logging.disable(before)
        root.removeHandler(silent)
        # The quantisers put their own folders there.
        sys.path[:] = path
