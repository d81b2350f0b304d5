"""What an engine's inspector says, read: the arithmetic of its layers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtimes.tensorrt_layers import read_layers


def layer(kind: str, words: str | dict[str, str], tactic: str = "", **more: Any) -> dict[str, Any]:
    tensor = {"Format/Datatype": words} if isinstance(words, str) else words
    return {"Name": "a", "LayerType": kind, "Inputs": [tensor], "Outputs": [tensor], "TacticName": tactic, **more}


def told(*layers: Any) -> str:
    return json.dumps({"Layers": layers, "Bindings": ["x", "y"]})


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Row major linear FP32", "fp32"),
        ("Float", "fp32"),
        ("Half", "fp16"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("BFloat16", "bf16"),
        ("Row major linear BF16 format", "bf16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ({"Format": "Row major linear (kLINEAR)", "DataType": "Half"}, "fp16"),
    ],
)
def test_every_wording_of_a_type_is_known(words: str | dict[str, str], kind: str) -> None:
    assert read_layers(told(layer("CaskConvolution", words)), tf32=False).precision() == kind


def test_only_heavy_layers_decide() -> None:
    found = read_layers(
        told(layer("CaskGemmMatrixMultiply", "Half"), layer("kgen", "Float"), layer("Reformat", "Float")), tf32=False
    )
    assert found.precision() == "fp16"
    assert found.facts() == {"layers": {"fp16": 1, "fp32": 2}, "heavy_layers": {"CaskGemmMatrixMultiply fp16": 1}}


def test_a_mixture_is_said() -> None:
    found = read_layers(told(layer("CaskConvolution", "Half"), layer("gemm", "Float")), tf32=False)
    assert found.precision() == "fp16+fp32"


@pytest.mark.parametrize(
    ("tactic", "kind"),
    [
        ("sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32", "tf32"),
        ("sm80_xmma_fprop_f32f32_f32", "fp32"),
        ("", "tf32"),
    ],
)
def test_tf32_shows_in_the_kernels_name_only(tactic: str, kind: str) -> None:
    # A layer whose kernel has no name is taken to use what it was allowed.
    assert read_layers(told(layer("CaskConvolution", "Float", tactic)), tf32=True).precision() == kind
    assert read_layers(told(layer("CaskConvolution", "Float", tactic)), tf32=False).precision() == "fp32"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"Layers": ["a", "b"]}', '{"Layers": {}}', '{"Layers": [{}]}', "3"])
def test_what_tells_nothing_counts_nothing(text: str) -> None:
    found = read_layers(text, tf32=True)
    assert (found.precision(), found.facts()) == ("", {"layers": {}, "heavy_layers": {}})
