"""What lies in the cache: a damaged file there must never become the measure of what is right."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.errors import ModelError
from models.names import slug
from models.oracle import write_oracle
from models.oracle_file import load_facts, load_oracle, save_oracle
from models.prepare import prepare_user, prepare_zoo
from models.reference import Reference
from models.userfile import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.card import Card

FLOAT, DOUBLE, HALF, BRAIN = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16


@pytest.fixture
def exported(linear: onnx.ModelProto, tmp_path: Path) -> Path:
    """A file with an open size and external data, which needs a copy of both."""
    onnx.save(linear, tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    return tmp_path / "net.onnx"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def link(path: Path) -> None:
    path.with_name("twin").hardlink_to(path)


def turn_into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["fixed-sizes.onnx", "w.bin"])
@pytest.mark.parametrize("damage", [flip, cut, link, Path.unlink, turn_into_folder])
def test_a_damaged_copy_is_made_again(
    exported: Path, tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    card = prepare_user(exported, folder=tmp_path / "cache")
    feeds = {"x": np.ones((1, 4), np.float32)}
    right = Reference(Path(card.path))(feeds)[0]
    damage(Path(card.path).parent / name)
    assert prepare_user(exported, folder=tmp_path / "cache") == card
    assert digest(Path(card.path)) == card.sha256
    assert np.array_equal(Reference(Path(card.path))(feeds)[0], right)
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_whole_copy_is_left_alone(exported: Path, tmp_path: Path) -> None:
    path = Path(prepare_user(exported, folder=tmp_path / "cache").path)
    before = path.stat()
    prepare_user(exported, folder=tmp_path / "cache")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_in_the_place_of_the_copy_gives_way(exported: Path, tmp_path: Path) -> None:
    card = prepare_user(exported, folder=tmp_path / "cache")
    home = Path(card.path).parent
    shutil.rmtree(home)
    home.write_text("in the way")
    assert prepare_user(exported, folder=tmp_path / "cache") == card


@pytest.fixture
def card(linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path) -> Card:
    return prepare_user(saved(linear), folder=tmp_path)


def test_a_damaged_oracle_is_made_again(card: Card, tmp_path: Path) -> None:
    first = write_oracle(card, tmp_path, 2, 1)
    right = load_oracle(first.path)[1]
    content = first.path.read_bytes()
    for place in range(0, len(content), 41):
        damaged = bytearray(content)
        damaged[place] ^= 0x11
        first.path.write_bytes(damaged)
        try:
            assert np.array_equal(load_oracle(first.path)[1][0][1][0], right[0][1][0])
        except ModelError as error:
            assert "delete it" in str(error)  # noqa: PT017  # either is right: not every byte counts
        assert write_oracle(card, tmp_path, 2, 1) == first
        assert np.array_equal(load_oracle(first.path)[1][0][1][0], right[0][1][0])


def test_changed_answers_in_a_valid_archive_are_seen(card: Card, tmp_path: Path) -> None:
    first = write_oracle(card, tmp_path, 2, 1)
    with np.load(first.path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays["out-0-0-0"] = arrays["out-0-0-0"] + 1
    np.savez(first.path, **arrays)
    with pytest.raises(ModelError, match="delete it"):
        load_oracle(first.path)
    assert write_oracle(card, tmp_path, 2, 1) == first
    load_oracle(first.path)


def test_a_foreign_oracle_is_replaced(card: Card, tmp_path: Path) -> None:
    one, two = (write_oracle(card, tmp_path, rotations, 1) for rotations in (2, 3))
    shutil.copyfile(two.path, one.path)
    assert write_oracle(card, tmp_path, 2, 1) == one
    assert len(load_oracle(one.path)[0][0]) == 2
    save_oracle(one.path, [], [], [], {})
    assert write_oracle(card, tmp_path, 2, 1) == one
    assert load_facts(one.path)["sha256"] == one.sha256


def test_an_oracle_that_cannot_be_kept_names_the_cache(card: Card, tmp_path: Path) -> None:
    path = write_oracle(card, tmp_path, 2, 1).path
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelError, match=r"delete it, or name another cache folder in RTFLOOR_CACHE"):
        write_oracle(card, tmp_path, 2, 1)
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="RTFLOOR_CACHE"):
        prepare_zoo("null", "raw", 1, tmp_path / "file")


@pytest.mark.parametrize("name", ["../../evil", "n" * 300, "a b/ü", "...", ""])
def test_slugs(name: str) -> None:
    assert 0 < len(slug(name)) <= 60
    assert "/" not in slug(name)
    assert not slug(name).startswith(".")


def test_names_of_any_kind_stay_inside_the_cache(linear: onnx.ModelProto, tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / f"{'n' * 240}.onnx"
    path.write_bytes(linear.SerializeToString())
    card = prepare_user(path, folder=tmp_path / "cache")
    write_oracle(card, tmp_path / "cache", 1, 1)
    evil = write_oracle(replace(card, name="../../evil"), tmp_path / "cache", 1, 1)
    assert evil.path.parent == tmp_path / "cache"


def test_a_name_that_is_no_utf8(linear: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    path.write_bytes(linear.SerializeToString())
    with pytest.raises(ModelError, match=r"caf\\xe9\.onnx is not UTF-8") as caught:
        prepare_user(path, folder=tmp_path / "cache")
    str(caught.value).encode()


def precision(make_model: Any, saved: Any, folder: Path, nodes: Any, inputs: Any, outputs: Any, weights: Any) -> str:
    return prepare_user(saved(make_model(nodes, inputs, outputs, weights)), folder=folder).precision


@pytest.mark.parametrize(
    ("kind", "cast", "weight", "expected"),
    [
        (FLOAT, None, np.float32, "fp32"),
        (FLOAT, HALF, np.float32, "fp16"),
        (FLOAT, BRAIN, np.float32, "bf16"),
        (FLOAT, HALF, np.float16, "fp16"),
        (DOUBLE, None, np.float64, "fp64"),
        (DOUBLE, FLOAT, np.float64, "fp32"),
        (DOUBLE, BRAIN, np.float64, "bf16"),
        # Casting up does not make anything finer.
        (FLOAT, DOUBLE, np.float32, "fp32"),
    ],
)
def test_precision_is_the_coarsest(
    make_model: Any, saved: Any, tmp_path: Path, kind: int, cast: int | None, weight: Any, expected: str
) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["a"])]
    if cast is not None:
        nodes = [helper.make_node("Cast", ["x"], ["c"], to=cast), helper.make_node("Cast", ["c"], ["a"], to=kind)]
    nodes.append(helper.make_node("Identity", ["a"], ["y"]))
    ports = {"x": ([1, 2], kind)}, {"y": ([1, 2], kind)}
    assert precision(make_model, saved, tmp_path, nodes, *ports, {"w": weight([1, 2])}) == expected


def test_precision_of_outputs_and_noted_values(make_model: Any, saved: Any, tmp_path: Path) -> None:
    nodes = [helper.make_node("Magic", ["x"], ["y"], domain="d")]
    model = make_model(nodes, {"x": ([1, 2], FLOAT)}, {"y": ([1, 2], HALF)}, domains=["d"])
    assert prepare_user(saved(model), folder=tmp_path).precision == "fp16"
    model.graph.output[0].type.tensor_type.elem_type = FLOAT
    model.graph.value_info.append(helper.make_tensor_value_info("between", BRAIN, [1]))
    assert prepare_user(saved(model), folder=tmp_path).precision == "bf16"


def test_a_branch_that_contradicts_fixed_sizes_keeps_the_file(make_model: Any, saved: Any, tmp_path: Path) -> None:
    def branch(weights: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["x", weights], [f"z{weights}"])
        return helper.make_graph([node], weights, [], [helper.make_tensor_value_info(f"z{weights}", FLOAT, [1, 3])])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("four"), else_branch=branch("five"))
    weights = {"four": np.ones((4, 3), np.float32), "five": np.ones((5, 3), np.float32)}
    inputs = {"x": (["b", "n"], FLOAT), "c": ([], TensorProto.BOOL)}
    path = saved(make_model([node], inputs, {"y": (["b", 3], FLOAT)}, weights))
    card = prepare_user(path, shapes={"x": (1, 4)}, values={"c": "1"}, folder=tmp_path / "cache")
    assert card.path == str(path)
    assert card.sha256 == digest(path)
    assert card.inputs[0].shape == (1, 4)
    (warning,) = (text for text in card.warnings if "left open" in text)
    assert "branch" in warning
    assert not (tmp_path / "cache").exists()
    session = pytest.importorskip("onnxruntime").InferenceSession(card.path, providers=["CPUExecutionProvider"])
    feeds = {"x": np.ones((1, 4), np.float32), "c": np.array(True)}
    assert np.array_equal(session.run(None, feeds)[0], np.full((1, 3), 4, np.float32))
