"""Two plans as one: what is paired with what, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import ROOT, git, tiny_model

from bench import at_ref
from bench.errors import UserError
from bench.expand import Choice, default_suite, expand
from bench.gate_plan import at_commit, gate_plan
from bench.plan import ModelSpec, Plan
from results.gate_spec import Gate

SAYS = {"baseline": "old", "candidate": "new"}


def plan(model: str = "rt8", path: Path | None = None, **choice: tuple[str, ...]) -> Plan:
    extra = {model: ModelSpec(model, str(path))} if path else {}
    chosen = Choice(
        models=(model,),
        runtimes=choice.get("runtimes", ("ort-cpu",)),
        layouts=("mono",),
        threads=(1,),
        forms=choice.get("forms", ()),
        options=choice.get("options", ()),
        extra_models=extra,
    )
    return expand(default_suite([model]), chosen, "quick", 2)


def test_cells_are_paired_and_told_apart_even_where_nothing_differs() -> None:
    both = gate_plan((plan(forms=("ln",)), plan(forms=("ln",))), Gate((), SAYS))
    assert [cell.side for cell in both.cells] == ["baseline", "candidate"]
    assert len({cell.id for cell in both.cells}) == 2
    (pair,) = Gate.from_json(both.gate or {}).pairs
    assert (pair.baseline, pair.candidate) == tuple(cell.id for cell in both.cells)
    assert pair.title == "rt8/ln/ort-cpu/mono/1"
    assert Plan.from_json(both.to_json()) == both
    assert not both.race


def test_the_title_has_what_both_have_in_common() -> None:
    both = gate_plan((plan(forms=("raw",)), plan(forms=("ln",))), Gate((), SAYS))
    assert Gate.from_json(both.gate or {}).pairs[0].title == "rt8/ort-cpu/mono/1"


def test_two_files_get_the_same_inputs_and_the_second_is_held_to_the_first(tmp_path: Path) -> None:
    old, new = tiny_model(tmp_path / "old.onnx"), tiny_model(tmp_path / "new.onnx")
    both = gate_plan((plan("old", old), plan("new", new)), Gate((), SAYS))
    assert both.models["old"].name == both.models["new"].name == "new"
    assert both.models["new"].like == "old"
    free = gate_plan((plan("old", old), plan("new", new)), Gate((), SAYS), same_answers=False)
    assert free.models["new"].like == ""


def test_two_files_of_one_name_are_two_models(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        tiny_model(tmp_path / folder / "net.onnx")
    both = gate_plan(
        (plan("net", tmp_path / "a" / "net.onnx"), plan("net", tmp_path / "b" / "net.onnx")), Gate((), SAYS)
    )
    assert sorted(both.models) == ["net", "net@baseline"]
    assert [cell.model for cell in both.cells] == ["net@baseline", "net"]
    assert both.models["net"].like == "net@baseline"


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(UserError, match="spans 2 cells and the candidate 1"):
        gate_plan((plan(forms=("raw", "ln")), plan(forms=("ln",))), Gate((), SAYS))
    with pytest.raises(UserError, match="answer different questions"):
        gate_plan((plan("rt8", forms=("raw",)), plan("null")), Gate((), SAYS))
    with pytest.raises(UserError, match="could prove nothing"):
        gate_plan((plan(forms=("ln",)), plan(forms=("ln",))), Gate((), SAYS, pairs_most=3))


def repository(folder: Path) -> Path:
    git(folder, "init", "-q", ".")
    (folder / "sub").mkdir()
    tiny_model(folder / "sub" / "net.onnx")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder.resolve()


def test_files_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "sub" / "net.onnx"
    before = file.read_bytes()
    file.write_bytes(b"changed")
    moved, named, roots, warnings = at_commit(plan("net", file), "HEAD", tmp_path / "cache")
    there = Path(str(moved.models["net"].path))
    assert there.read_bytes() == before
    assert file.read_bytes() == b"changed"
    assert (roots, warnings) == ({}, ())
    assert named.startswith("HEAD (")
    file.write_bytes(before)
    assert "nothing differs but chance" in at_commit(plan("net", file), "HEAD", tmp_path / "cache")[3][0]
    tree = at_ref.tree(top, "HEAD", tmp_path / "cache")
    with pytest.raises(UserError, match="is not in commit"):
        tree.file(tmp_path / "sub" / "other.onnx")
    with pytest.raises(UserError, match="is no commit"):
        at_ref.tree(top, "--help", tmp_path / "cache")
    (tree.folder / "sub" / "net.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match="Git LFS"):
        tree.file(file)


def test_without_a_repository_there_is_nothing_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="in no git repository"):
        at_commit(plan("net", tiny_model(tmp_path / "net.onnx")), "HEAD", tmp_path / "cache")
    with pytest.raises(UserError, match="nothing of this gate is in a git repository"):
        at_commit(plan("rt8"), "HEAD", tmp_path / "cache")


@pytest.mark.skipif(at_ref.repository(ROOT) != ROOT, reason="this is no checkout")
def test_in_a_checkout_of_rtfloor_the_code_of_the_commit_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    _, _, roots, _ = at_commit(plan("rt8"), "HEAD", tmp_path / "cache")
    assert (Path(roots["baseline"]) / "bench" / "worker.py").is_file()
