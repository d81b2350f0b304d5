"""Cards: from a file to everything the harness knows about it, with nothing lost on the way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper

from models.atomic import write_atomically
from models.card import Card
from models.errors import ModelError
from models.prepare import prepare_user, prepare_zoo
from models.userfile import digest

if TYPE_CHECKING:
    from collections.abc import Callable


def test_json_round_trip(gru: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path) -> None:
    card = prepare_user(saved(gru), shapes={"x": (2, 1, 2)}, states={"h_in": "h_out"}, audio_s=0.01, folder=tmp_path)
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    with pytest.raises(ModelError, match="audio_s"):
        Card.from_json({**card.to_json(), "extra": 1})


def test_zoo_card(tmp_path: Path) -> None:
    card = prepare_zoo("rt48", "ln", 1, tmp_path)
    assert card.audio == "48 frames x 512 samples / 44100 Hz"
    assert card.audio_s == pytest.approx(48 * 512 / 44100)
    assert card.parameters == 117032
    assert card.operators["LayerNormalization"] == 9
    assert sum(card.operators.values()) == card.nodes
    assert card.sha256 == hashlib.sha256(Path(card.path).read_bytes()).hexdigest() == digest(Path(card.path))


def test_a_spoilt_zoo_file_is_made_again(tmp_path: Path) -> None:
    card = prepare_zoo("null", "raw", 1, tmp_path)
    Path(card.path).write_bytes(b"half")
    assert prepare_zoo("null", "raw", 1, tmp_path) == card
    onnx.load(card.path)


def test_static_file_is_used_in_place(linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path) -> None:
    linear.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = saved(linear, "net.onnx")
    card = prepare_user(path, folder=tmp_path / "cache")
    assert (card.name, card.path, card.warnings) == ("net", str(path), ())
    assert card.parameters == 12
    assert not (tmp_path / "cache").exists()


def test_open_sizes_give_a_copy_with_its_data_beside_it(linear: onnx.ModelProto, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    linear.graph.initializer[0].raw_data *= 20
    linear.graph.initializer[0].dims[0] = 80
    linear.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 80
    onnx.save(linear, source / "net.onnx", save_as_external_data=True, location="data/w.bin", size_threshold=0)
    card = prepare_user(source / "net.onnx", folder=tmp_path / "cache")
    again = prepare_user(source / "net.onnx", folder=tmp_path / "cache")
    assert again == card
    copy = Path(card.path)
    assert copy.parent.parent == tmp_path / "cache"
    assert (copy.parent / "data" / "w.bin").read_bytes() == (source / "data" / "w.bin").read_bytes()
    assert digest(copy) == card.sha256
    # onnx and the engines that use its checks refuse data with two hard links, in both places.
    onnx.load(source / "net.onnx")
    loaded = onnx.load(copy)
    assert [d.dim_value for d in loaded.graph.input[0].type.tensor_type.shape.dim] == [1, 80]
    # Other weights under the same names must not find the copy with the old ones.
    (source / "data" / "w.bin").unlink()
    (source / "data" / "w.bin").write_bytes(np.ones(240, np.float32).tobytes())
    assert prepare_user(source / "net.onnx", folder=tmp_path / "cache").sha256 != card.sha256


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"h": "h_out"}, "no input 'h'"),
        ({"h_in": "nothing"}, "no output 'nothing'"),
        ({"h_in": "y"}, "must agree"),
    ],
)
def test_states_that_do_not_fit(
    gru: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path, states: dict[str, str], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        prepare_user(saved(gru), shapes={"x": (2, 1, 2)}, states=states, folder=tmp_path)


def test_impossible_audio(linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path) -> None:
    for audio_s in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ModelError, match="above 0"):
            prepare_user(saved(linear), audio_s=audio_s, folder=tmp_path)


def test_warnings_reach_the_card(
    make_model: Callable[..., onnx.ModelProto], saved: Callable[..., Path], tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Magic", ["x"], ["z"], domain="my.company"),
        helper.make_node("RandomNormalLike", ["z"], ["y"]),
    ]
    model = make_model(nodes, {"x": (["frames", 2], 1)}, {"y": (["n", "m"], 1)}, domains=["my.company"])
    text = " ".join(prepare_user(saved(model), folder=tmp_path).warnings)
    for words in ("my.company::Magic", "RandomNormalLike draws anew", "batch of 1", "output 'y' has a size"):
        assert words in text


def test_a_folder_that_cannot_be_written_is_named(
    linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="file"):
        prepare_user(saved(linear), folder=tmp_path / "file")
    with pytest.raises(ModelError, match="file"):
        prepare_zoo("null", "raw", 1, tmp_path / "file")


def test_killed_before_the_rename_leaves_no_file(tmp_path: Path) -> None:
    # The child dies inside the writer, as under kill -9: no cleanup runs.
    code = (
        "import os, sys; from pathlib import Path; from models.atomic import write_atomically\n"
        "write_atomically(Path(sys.argv[1]), lambda f: (f.write(b'half'), f.flush(), os._exit(9)))"
    )
    target = tmp_path / "oracle.npz"
    root = Path(__file__).parents[2]
    died = subprocess.run(
        [sys.executable, "-c", code, str(target)], env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert died.returncode == 9
    assert not target.exists()
    assert not list(tmp_path.glob("*.npz"))
    write_atomically(target, lambda file: file.write(b"whole"))
    assert target.read_bytes() == b"whole"


def test_a_failing_writer_cleans_up(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "x", lambda _: 1 / 0)
    assert not list(tmp_path.iterdir())


def test_measured_processes_load_neither_onnx_nor_more_than_numpy() -> None:
    code = (
        "import sys, models.card, models.facts, models.errors; assert not {'numpy', 'onnx'} & set(sys.modules)\n"
        "import models.compare, models.oracle_file, models.inputs; assert 'onnx' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)}, check=True)
