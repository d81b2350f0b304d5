"""The network at the end of the verdict chain: the zoo's ``residual_cnn``, made for the size at hand."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.facts import facts
from models.families import residual_cnn
from models.reference import Reference
from models.verdict_features import planes

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]


def detector(bins: int, frames: int) -> Callable[[Array], float]:
    """From residuals of one size to P(AI), evaluated by the reference evaluator.

    Args:
        bins: 8 or more.
        frames: 8 or more.

    Returns:
        A function of a residual (bins, frames); it answers NaN where the network does.
    """
    entry = facts("residual_cnn")
    # The weights are seeded by family and tensor: every size has the same.
    entry = replace(entry, arguments={**entry.arguments, "bins": bins}, audio=replace(entry.audio, frames=frames))
    model = residual_cnn.build(entry, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "residual_cnn.onnx"
        path.write_bytes(model.SerializeToString())
        network = Reference(path)

    def score(residual: Array) -> float:
        [answer] = network({"features": planes(residual, residual_cnn.FEATURES)[np.newaxis]})
        return float(answer.ravel()[0])

    return score
