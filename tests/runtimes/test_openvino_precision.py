"""What OpenVINO says it computed in decides which floor its times stand beside."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import Cli, cells

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_products_beside_four_bits_are_said_to_be_computed_in_eight(cli: Cli, tmp_path: Path) -> None:
    weight = np.random.default_rng(5).standard_normal((512, 512)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 512])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    flags = ("--runtime", "openvino", "--threads", "1", "--profile", "smoke", "--time", "0", "--no-floor", "--json")
    forms = ("--form", "raw", "--form", "int4")
    result = cli("run", "--model", str(path), *forms, *flags, "--results", str(tmp_path / "runs"))
    ran = {cell["form"]: cell["precision_ran"] for cell in cells(result).values()}
    # As float32 it would be faster than anything that float32 allows.
    assert ran == {"raw": "fp32", "int4": "fp32+int8"}
