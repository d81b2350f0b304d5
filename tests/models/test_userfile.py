"""A broken or hostile file must end in one sentence, never in a traceback or a file read elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.errors import ModelError
from models.signature import signature
from models.userfile import digest, external_files, load_user_model, structural_warnings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def external(
    model: onnx.ModelProto, location: str, *, length: int | None = None, offset: int | None = None
) -> onnx.ModelProto:
    """Move the values of ``w`` (48 bytes) into another file, on paper."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return model


def refused(path: Path, *words: str) -> str:
    with pytest.raises(ModelError) as caught:
        load_user_model(path)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text
    return text


def test_good_file_loads(linear: onnx.ModelProto, saved: Callable[..., Path]) -> None:
    assert load_user_model(saved(linear)).graph.output[0].name == "y"


def test_missing_folder_empty(tmp_path: Path, saved: Callable[..., Path], linear: onnx.ModelProto) -> None:
    refused(tmp_path / "no.onnx", "no.onnx", "check the path")
    saved(linear, "there.onnx")
    # Whoever names the folder wants to know which file to name instead.
    refused(tmp_path, "folder", "there.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    refused(tmp_path / "empty.onnx", "empty")


def test_not_onnx(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    for content in (b"version https://git-lfs.github.com/spec/v1\n", np.random.default_rng(0).bytes(4000), b"\x08\x07"):
        path.write_bytes(content)
        refused(path, "x.onnx")


def test_truncated_anywhere(linear: onnx.ModelProto, tmp_path: Path) -> None:
    content = linear.SerializeToString()
    path = tmp_path / "cut.onnx"
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        try:
            load_user_model(path)
        except ModelError:
            continue
        # Only the list of operator sets, which comes last, may be lost unnoticed here.
        assert end > content.index(b"batch")


def test_no_output_and_dangling_name(linear: onnx.ModelProto, saved: Callable[..., Path]) -> None:
    del linear.graph.output[:]
    refused(saved(linear), "no output")
    linear.graph.output.add(name="nowhere")
    refused(saved(linear), "nowhere", "damaged")


def test_a_name_that_is_no_text(linear: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(linear.SerializeToString().replace(b"product", b"pr\xffduct"))
    refused(path, "damaged", "name", "no text")


def test_external_data_is_found_and_digested(
    linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path
) -> None:
    path = saved(external(linear, "weights.bin", offset=0, length=48))
    refused(path, "'w'", "weights.bin", "missing")
    (tmp_path / "weights.bin").write_bytes(bytes(47))
    refused(path, "'w'", "48", "47", "cut off")
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    assert external_files(load_user_model(path), path) == [tmp_path / "weights.bin"]
    before = digest(path)
    (tmp_path / "weights.bin").write_bytes(bytes(47) + b"x")
    # Same graph, other weights: a cache keyed by the old digest would give another model's answers.
    assert digest(path) != before


@pytest.mark.parametrize(
    "location", ["../secret.bin", "sub/../../secret.bin", "/etc/passwd", "link.bin", "C:\\x.bin", ""]
)
def test_external_data_outside_the_folder(linear: onnx.ModelProto, tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(100))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = folder / "m.onnx"
    path.write_bytes(external(linear, location).SerializeToString())
    refused(path, "'w'")


@pytest.mark.parametrize(("offset", "length"), [(-1, 48), ("many", 48), (0, 10), (10**30, 1), (1, 48)])
def test_external_data_with_impossible_places(
    linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path, offset: Any, length: Any
) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(48))
    refused(saved(external(linear, "w.bin", offset=offset, length=length)), "'w'", "w.bin")


def test_external_data_in_a_constant_of_a_subgraph(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path]
) -> None:
    hidden = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [1.0])
    hidden.ClearField("float_data")
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="../up.bin")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["z"], value=hidden)],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = make_model([node], {"c": ([], TensorProto.BOOL)}, {"y": ([1], TensorProto.FLOAT)})
    refused(saved(model), "'hidden'", "outside")


def test_custom_operators_are_left_to_the_runtimes(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path]
) -> None:
    node = helper.make_node("Magic", ["x"], ["y"], domain="my.company")
    model = make_model([node], {"x": ([2], 1)}, {"y": ([2], 1)}, domains=["my.company"])
    path = saved(model)
    load_user_model(path)
    assert structural_warnings(path) == []


def test_checker_complaints_are_warnings(linear: onnx.ModelProto, saved: Callable[..., Path]) -> None:
    linear.graph.node[0].attribute.append(helper.make_attribute("invented", 1))
    path = saved(linear)
    load_user_model(path)
    (warning,) = structural_warnings(path)
    assert "onnx.checker" in warning


def test_damaged_bytes_raise_nothing_but_model_errors(gru: onnx.ModelProto, tmp_path: Path) -> None:
    content, path = gru.SerializeToString(), tmp_path / "fuzz.onnx"
    random = np.random.default_rng(20)
    survived = 0
    for _ in range(200):
        damaged = bytearray(content)
        for place in random.integers(0, len(damaged), random.integers(1, 6)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            signature(load_user_model(path), {"x": (2, 1, 2)})
            survived += 1
        except ModelError:
            pass
    # Most damage hits weights; a loop in which nothing loads would test one line only.
    assert 20 < survived < 200
