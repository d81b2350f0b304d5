"""Packing for a machine without a network, and putting together there: no network, no GPU, no pip."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from bench.carry import fatbin, kernels, pieces, unpack, wheels
from bench.carry.cli import cli, make_pack
from bench.carry.fatbin import NOBODY, PTX, SASS
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
Code = tuple[int, int, int, bytes]  # kind, architecture, flags, payload


def elf(sections: dict[str, bytes]) -> bytes:
    """A little-endian ELF64 file with these sections and nothing else."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    parts, headers, at = [], [bytes(64)], 64
    for name, data in {**sections, ".shstrtab": names}.items():
        where = names.index(b"\0" + name.encode() + b"\0") + 1
        headers.append(struct.pack("<IIQQQQIIQQ", where, 1, 0, 0, at, len(data), 0, 0, 8, 0))
        padded = data + bytes(-len(data) % 8)
        parts.append(padded)
        at += len(padded)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, 0, 0)
    head = head[:0x3A] + struct.pack("<HHH", 64, len(headers), len(headers) - 1)
    return head + b"".join(parts) + b"".join(headers)


def container(*codes: Code) -> bytes:
    """One source file's GPU code, as nvcc lays it out."""
    content = b""
    for kind, arch, flags, payload in codes:
        head = struct.pack("<HHIQIIIIIIIIQQ", kind, 257, 64, len(payload), 0, 0, 0, arch, 0, 0, flags, 0, 0, 0)
        content += head[:64] + payload
    return struct.pack("<IHHQ", fatbin.MAGIC, 1, 16, len(content)) + content


def code(arch: int, kind: int = SASS, flags: int = 0, size: int = 64) -> Code:
    return kind, arch, flags, f"{kind}:{arch};".encode() * (size // 8)


def library(*containers: bytes) -> bytes:
    return elf({".text": b"host code" * 100, ".nv_fatbin": b"".join(containers), ".data": b"more"})


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes], tag: str = "py3-none-any") -> Path:
    stem = f"{name}-{version}"
    files = {**files, f"{stem}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n".encode()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in files.items():
            archive.writestr(member, data)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def pack(where: Path, packages: Sequence[str] = (), piece_bytes: int = 100_000, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"archs": [90], "machine": "x86_64", "python": HERE, "wheels": where / "wheels"}
    return make_pack(packages, out=where / "pieces", piece_bytes=piece_bytes, effort=0, **{**settings, **more})


def run(where: Path, *given: Path) -> int:
    return unpack.main([*map(str, given or [where / "pieces"]), "--into", str(where / "site")])


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A package with GPU code of three architectures, and one so large and random that it needs several pieces."""
    ours = library(container(code(80), code(90), code(120)), container(code(80), code(90, PTX)))
    wheel(tmp_path / "wheels", "gpu_pack", "1.2", {"gpu_pack/lib.so": ours, "gpu_pack/__init__.py": b"ANSWER = 42\n"})
    wheel(tmp_path / "wheels", "big", "3.0", {"big/noise.bin": os.urandom(250_000), "big/LICENSE": b"free"})
    return tmp_path


def test_what_was_packed_can_be_imported_and_has_its_version(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(two)
    shutil.rmtree(two / "wheels")
    script = two / "pieces" / "unpack.py"
    # The script alone, isolated from this project and its packages: all that the other machine has.
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(two / "pieces"), "--into", str(two / "site")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"export PYTHONPATH={two / 'site'}" in done.stdout
    assert "bench doctor" in done.stdout
    found = {one.metadata["Name"]: one.version for one in metadata.distributions(path=[str(two / "site")])}
    assert found == {"gpu_pack": "1.2", "big": "3.0"}
    answer = [
        sys.executable,
        "-I",
        "-c",
        "import sys; sys.path.append(sys.argv[1]); import gpu_pack as g; print(g.ANSWER)",
    ]
    assert subprocess.run([*answer, str(two / "site")], capture_output=True, text=True, check=True).stdout == "42\n"


def test_the_same_wheels_make_the_same_pieces(two: Path) -> None:
    first = pack(two)
    assert pack(two) == first


def test_blanking_keeps_the_layout_and_removes_only_other_architectures() -> None:
    kept, other = code(90), code(80)
    before = library(container(other, kept), container(kept))
    after = bytearray(before)
    done = fatbin.blank(after, [90])
    assert done is not None
    assert len(after) == len(before)
    assert after.count(kept[3]) == 2
    assert other[3] not in after
    # Nothing but the payload of the other architecture is different.
    at = before.index(other[3])
    assert bytes(after) == before[:at] + bytes(len(other[3])) + before[at + len(other[3]) :]
    assert done.kept == {"sm_90": 2}
    assert done.blanked_bytes == len(other[3])


def test_a_library_without_gpu_code_is_left_alone() -> None:
    plain = bytearray(elf({".text": b"host"}))
    assert fatbin.blank(plain, [90]) is None
    assert plain == elf({".text": b"host"})


@pytest.mark.parametrize(
    ("there", "arch", "chosen"),
    [
        ([code(80), code(86), code(90)], 90, ["sm_90"]),
        # Machine code runs on a later minor version of the same major one.
        ([code(80), code(86), code(90)], 89, ["sm_86"]),
        ([code(80), code(75, PTX)], 87, ["sm_80"]),
        # Never across major versions, and never down: then the driver compiles PTX, the newest it may.
        ([code(80), code(70, PTX), code(75, PTX), code(120, PTX)], 90, ["compute_75"]),
        ([code(89)], 86, []),
        # Code for sm_120a runs on nothing but 12.0.
        ([code(120, flags=fatbin.EXACT_ONLY)], 121, []),
        ([code(120, flags=fatbin.EXACT_ONLY)], 120, ["sm_120"]),
        ([code(90, PTX, flags=fatbin.EXACT_ONLY)], 90, ["compute_90"]),
    ],
)
def test_the_code_that_a_gpu_would_use_stays(there: list[Code], arch: int, chosen: list[str]) -> None:
    data = container(*there)
    (images,) = fatbin.containers(data, 0, len(data))
    assert [image.title for image in fatbin.choose(images, arch)] == chosen


def test_code_for_several_gpus_can_stay() -> None:
    data = bytearray(library(container(code(80), code(86), code(90))))
    done = fatbin.blank(data, [86, 90])
    assert done is not None
    assert done.kept == {"sm_86": 1, "sm_90": 1}


def test_a_wheel_without_code_for_this_gpu_is_refused_before_anything_is_carried(two: Path) -> None:
    with pytest.raises(
        UserError, match=r"gpu_pack/lib\.so .* no code that runs on sm_70; it has compute_90, sm_80, sm_90, sm_120"
    ):
        pack(two, archs=[70])
    assert not list((two / "pieces").iterdir())


def test_gpu_code_that_cannot_be_read_is_refused_and_named(tmp_path: Path) -> None:
    cut = container(code(90))[:-8]
    wheel(tmp_path / "wheels", "cut", "1", {"cut/lib.so": library(cut)})
    with pytest.raises(UserError, match=r"cut/lib\.so in cut-1-py3-none-any\.whl cannot be read: .*longer"):
        pack(tmp_path)


def test_kernels_of_a_group_go_and_say_that_they_are_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def cubin(*names: str) -> Code:
        return SASS, 90, 0, elf({f".text.{name}": b"code" * 8 for name in names})

    experts, mixed, other = cubin("_Z10MoeFCGemmv"), cubin("_Z10MoeFCGemmv", "_Z3addv"), cubin("_Z3addv")
    data = bytearray(library(container(experts), container(mixed), container(other)))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    done = fatbin.blank(data, [90], kernels.left_out(["experts"]))
    assert done is not None
    # A kernel that others need too must stay, even beside one that may go.
    assert (done.left_out, done.kept["sm_90"]) == (1, 2)
    assert experts[3] not in data
    assert mixed[3] in data
    first, *_ = [images for _, images in zip(range(3), _containers(data), strict=False)]
    assert first[0].arch == NOBODY


def _containers(data: bytearray) -> list[list[fatbin.Image]]:
    (part,) = (one for one in fatbin.sections(data) if one.name == ".nv_fatbin")
    return list(fatbin.containers(data, part.offset_bytes, part.size_bytes))


def test_kernels_cannot_be_left_out_where_their_names_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="zstd"):
        kernels.left_out(["experts"])


def test_no_piece_is_larger_than_asked_and_whole_packages_are_not_cut(two: Path) -> None:
    manifest = pack(two)
    sizes = {path.name: path.stat().st_size for path in (two / "pieces").glob("*.part*")}
    assert max(sizes.values()) <= 100_000
    assert sizes == {one["name"]: one["size_bytes"] for one in manifest["pieces"]}
    small = next(one for one in manifest["archives"] if one["name"] == "gpu-pack")
    # The first trip already brings a package that works.
    assert [part["piece"] for part in small["slices"]] == ["rtfloor-gpu.part01"]


def test_pieces_are_as_few_as_that_takes() -> None:
    planned = pieces.plan([56, 58, 2, 1], 50)
    assert [sum(one.size_bytes for one in piece) for piece in planned] == [17, 50, 50]
    for archive, size in enumerate([56, 58, 2, 1]):
        parts = sorted(
            (one for piece in planned for one in piece if one.archive == archive), key=lambda p: p.start_bytes
        )
        assert sum(one.size_bytes for one in parts) == size
        assert [one.start_bytes for one in parts] == [sum(p.size_bytes for p in parts[:i]) for i in range(len(parts))]


def test_pieces_that_are_too_small_are_refused_with_the_least_size() -> None:
    with pytest.raises(UserError, match=r"more than 99 pieces; --piece-mib must be over 5\.1"):
        pieces.plan([505 << 20], 1 << 20)


def test_pieces_may_come_one_by_one_and_be_deleted(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = pack(two)
    names = [one["name"] for one in manifest["pieces"]]
    assert len(names) == 3
    for name in reversed(names):
        arrived = two / "arrived"
        arrived.mkdir()
        shutil.copy(two / "pieces" / name, arrived)
        # The manifest comes only the first time.
        if name == names[-1]:
            shutil.copy(two / "pieces" / "manifest.json", arrived)
        assert run(two, arrived) == 0
        shutil.rmtree(arrived)
        said = capsys.readouterr().out
        assert ("big 3.0: complete" in said) == (name == names[0])
    assert (two / "site" / "big" / "LICENSE").read_bytes() == b"free"
    # What waited for its other half is gone.
    assert sorted(path.name for path in (two / "site" / ".carry").iterdir()) == ["done.json", "manifest.json"]


def test_unpacking_again_changes_nothing_and_mends_what_was_damaged(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(two)
    assert run(two) == 0
    before = {path: path.stat().st_mtime_ns for path in (two / "site").rglob("*") if path.is_file()}
    assert run(two) == 0
    changed = [path.name for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert set(changed) <= {"manifest.json", "done.json"}
    assert "already in place" in capsys.readouterr().out
    (two / "site" / "gpu_pack" / "__init__.py").write_bytes(b"ANSWER = 41\n")
    assert run(two) == 0
    assert (two / "site" / "gpu_pack" / "__init__.py").read_bytes() == b"ANSWER = 42\n"


def test_another_version_replaces_the_first(two: Path) -> None:
    pack(two)
    run(two)
    shutil.rmtree(two / "wheels")
    wheel(two / "wheels", "gpu_pack", "1.3", {"gpu_pack/new.py": b""})
    pack(two)
    assert run(two) == 0
    assert not (two / "site" / "gpu_pack" / "__init__.py").exists()
    # Left behind empty, it would be a package without a name or version.
    assert not (two / "site" / "gpu_pack-1.2.dist-info").exists()
    found = [one.version for one in metadata.distributions(path=[str(two / "site")]) if one.name == "gpu_pack"]
    assert found == ["1.3"]


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_a_damaged_piece_is_named_and_the_others_are_used(
    two: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = pack(two)
    last = two / "pieces" / manifest["pieces"][-1]["name"]
    data = bytearray(last.read_bytes())
    data[1000] ^= 1
    last.write_bytes(data if harm == "flip" else data[:-1])
    assert run(two) == 2
    said = capsys.readouterr()
    assert f"{last} is damaged" in said.err
    assert "Traceback" not in said.err
    assert "gpu-pack 1.2: complete" in said.out
    assert f"big 3.0: still lacks {last.name}" in said.out


def test_a_missing_piece_is_named(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = pack(two)
    gone = two / "pieces" / manifest["pieces"][-1]["name"]
    gone.unlink()
    assert run(two) == 0  # the first go brought something
    assert f"big 3.0: still lacks {gone.name}" in capsys.readouterr().out
    assert run(two) == 2  # the second brought nothing, and something is still lacking
    assert capsys.readouterr().err == f"unpack: nothing new was given; still lacking: {gone.name}\n"
    assert run(two, gone) == 2
    assert f"{gone} is missing" in capsys.readouterr().err


def test_everything_in_the_folder_may_be_named_and_strangers_are_refused(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(two)
    assert run(two, *sorted((two / "pieces").iterdir())) == 0
    stranger = two / "holiday.part01"
    stranger.write_bytes(b"sun")
    assert run(two, two / "pieces", stranger) == 2
    assert f"{stranger} does not belong" in capsys.readouterr().err


def test_halves_of_an_older_pack_do_not_pile_up(two: Path) -> None:
    manifest = pack(two)
    (two / "pieces" / manifest["pieces"][-1]["name"]).unlink()
    run(two)
    assert list((two / "site" / ".carry").glob("*.slice"))
    wheel(two / "wheels", "big", "3.0", {"big/small.bin": b"now it is small"})
    pack(two)
    assert run(two) == 0
    assert not list((two / "site" / ".carry").glob("*.slice"))


def test_without_a_manifest_nothing_is_trusted(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = pack(two)
    (two / "pieces" / "manifest.json").write_text("{")
    assert run(two) == 2
    assert "manifest.json is damaged" in capsys.readouterr().err
    for damage in ({}, {"format": unpack.FORMAT}, {**made, "python": 3}, {**made, "archives": [{"name": "../up"}]}):
        (two / "pieces" / "manifest.json").write_text(json.dumps(damage))
        assert run(two) == 2
        assert "carry" in capsys.readouterr().err
    (two / "pieces" / "manifest.json").unlink()
    assert run(two) == 2
    assert "no manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/carry-out.txt", "inside/../../out.txt", "door/out.txt", "link"])
def test_paths_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "door").symlink_to(tmp_path)
    member = tarfile.TarInfo(name)
    if name == "link":
        member.type, member.linkname = tarfile.SYMTYPE, "../out.txt"
    else:
        member.size = 3
    with tarfile.open(tmp_path / "evil.tar.xz", "w:xz") as archive:
        archive.addfile(member, io.BytesIO(b"bad") if member.size else None)
    with pytest.raises(unpack.CarryError, match="no plain file inside the folder"):
        unpack._extract(tmp_path / "evil.tar.xz", site)
    assert not (tmp_path / "out.txt").exists()


def test_another_python_and_another_glibc_are_warned_of(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(two, python="3.99")
    assert run(two) == 0
    assert f"warning: these packages are for Python 3.99, and this is {HERE}" in capsys.readouterr().out
    manifest = {"python": HERE, "machine": "alpha", "glibc": [99, 0]}
    first, *rest = unpack.warnings(manifest)
    assert "Linux on alpha" in first
    assert all("glibc 99.0" in text for text in rest)


def test_pip_is_asked_for_the_other_machines_wheels_and_what_it_says_is_passed_on(tmp_path: Path) -> None:
    asked: list[str] = []

    def fails(arguments: Sequence[str]) -> tuple[int, str]:
        asked.extend(arguments)
        return 1, "Looking\nERROR: No matching distribution found for onnxruntime-gpu\n"

    with pytest.raises(UserError, match="it said: ERROR: No matching distribution"):
        make_pack([], out=tmp_path, piece_bytes=1 << 20, python="3.12", archs=[90], machine="x86_64", pip=fails)
    assert "--no-deps" in asked
    assert "--python-version=3.12" in asked
    assert "--platform=manylinux_2_28_x86_64" in asked
    # The pins are those of the project, wherever they are changed.
    assert set(asked) >= set(wheels.pinned())

    def works(arguments: Sequence[str]) -> tuple[int, str]:
        wheel(Path(arguments[arguments.index("--dest") + 1]), "thing", "1", {"thing.py": b"X = 1\n"})
        return 0, ""

    make_pack(["thing"], out=tmp_path, piece_bytes=1 << 20, python="3.12", archs=[90], machine="x86_64", pip=works)
    assert json.loads((tmp_path / "manifest.json").read_text())["archives"][0]["name"] == "thing"


def test_defaults_are_pinned_as_the_project_pins_them() -> None:
    found = wheels.pinned()
    assert [re.split("[<>=]", line)[0] for line in found] == list(wheels.DEFAULTS)
    assert re.fullmatch(r"apache-tvm-ffi==[\w.]+", found[2])
    # Naming one of them, beside another package, does not lose its pin; a version of one's own does.
    assert wheels.pinned(["Apache_TVM.ffi", "thing", "apache-tvm==1"]) == [found[2], "thing", "apache-tvm==1"]


def test_a_wheel_that_is_not_there_is_named(two: Path) -> None:
    with pytest.raises(UserError, match=r"exactly one wheel for big==2; it has: big-3\.0-py3-none-any\.whl"):
        pack(two, ["big==2"])
    (two / "wheels" / "junk.whl").write_bytes(b"")
    with pytest.raises(UserError, match=r"junk\.whl is no wheel's name"):
        pack(two)
    (two / "wheels" / "junk.whl").rename(two / "wheels" / "junk-1-py3-none-any.whl")
    with pytest.raises(UserError, match="cannot be read"):
        pack(two, ["junk"])


def test_files_that_run_nothing_stay_behind_and_licences_never_do(tmp_path: Path) -> None:
    kept = {"tvm/__init__.py": b"", "tvm/3rdparty/cutlass/LICENSE.txt": b"terms"}
    wheel(tmp_path / "wheels", "apache_tvm", "1", {**kept, "tvm/3rdparty/cutlass/include/gemm.h": b"source"})
    pack(tmp_path)
    run(tmp_path)
    assert {name: (tmp_path / "site" / name).read_bytes() for name in kept} == kept
    assert not (tmp_path / "site" / "tvm" / "3rdparty" / "cutlass" / "include").exists()


def test_the_command_refuses_what_is_no_architecture() -> None:
    done = CliRunner().invoke(cli, ["pack", "--out", "x", "--arch", "hopper"])
    assert done.exit_code == 2
    assert "compute capability" in done.output
