"""``python -m bench.carry pack``: packages for a GPU machine without a network, in pieces."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import __version__
from bench.carry import archive, pieces, unpack
from bench.carry.kernels import GROUPS, left_out
from bench.carry.slim import slim
from bench.carry.wheels import fetch, in_folder, pinned
from bench.errors import UserError
from bench.paths import make_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.carry.wheels import Runner, Wheel

MACHINES = ("x86_64", "aarch64")
EPILOG = """\b
Examples:
  python -m bench.carry pack --out pieces --arch 90
  python -m bench.carry pack --out pieces --arch 86,90 --piece-mib 25 --without experts
  python -m bench.carry pack --out pieces --wheels folder onnxruntime-gpu
"""


def _archs(_context: click.Context, _parameter: click.Parameter, text: str) -> list[int]:
    if not re.fullmatch(r"\d{2,3}(,\d{2,3})*", text):
        raise click.BadParameter("must be numbers such as 90, or 86,90: the compute capability without its dot")
    return sorted({int(part) for part in text.split(",")})


def _python(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", text):
        raise click.BadParameter("must be a version such as 3.12")
    return text


@click.group()
def cli() -> None:
    """Carry packages to a GPU machine without a network."""


@cli.command(epilog=EPILOG)
@click.argument("packages", nargs=-1, metavar="[PACKAGE[==VERSION]]...")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the pieces.")
@click.option("--piece-mib", type=click.IntRange(min=1), default=60, show_default=True, help="Most MiB of a piece.")
@click.option("--python", default="3.12", show_default=True, callback=_python, help="Version on the GPU machine.")
@click.option("--arch", default="90", show_default=True, callback=_archs, help="Its GPU: 90 for capability 9.0.")
@click.option("--platform", type=click.Choice(MACHINES), default=MACHINES[0], show_default=True, help="Its processor.")
@click.option("--wheels", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Take wheels from here.")
@click.option("--without", multiple=True, type=click.Choice(sorted(GROUPS)), help="Leave kernels behind; repeatable.")
def pack(
    packages: tuple[str, ...],
    *,
    out: Path,
    piece_mib: int,
    python: str,
    arch: list[int],
    platform: str,
    wheels: Path | None,
    without: tuple[str, ...],
) -> None:
    """Pack wheels into pieces of a bounded size, with the script that puts them together.

    Without names: ONNX Runtime for CUDA and TVM; with --wheels, all that are there. Of these packages, those without
    a version come in the one this project pins. What they depend on is packed only where it is named.
    """
    make_pack(
        packages,
        out=out,
        piece_bytes=piece_mib << 20,
        python=python,
        archs=arch,
        machine=platform,
        wheels=wheels,
        without=without,
    )


def make_pack(
    packages: Sequence[str],
    *,
    out: Path,
    piece_bytes: int,
    python: str,
    archs: Sequence[int],
    machine: str,
    wheels: Path | None = None,
    without: Sequence[str] = (),
    pip: Runner | None = None,
    effort: int = archive.EFFORT,
) -> dict[str, Any]:
    """Do what ``pack`` says, and return the manifest.

    Args:
        packages: requirements; empty for the defaults, or for all wheels of the folder.
        out: where the pieces, ``manifest.json`` and ``unpack.py`` go.
        piece_bytes: what a piece may have at most.
        python: version on the other machine.
        archs: of its GPUs.
        machine: its processor.
        wheels: a folder of wheels, instead of an index.
        without: groups of kernels to leave behind.
        pip: runs pip; the tests have one without a network.
        effort: preset of xz.

    Raises:
        UserError: wheels cannot be had or read, or have no code for that GPU; or pieces are too small.
    """
    unwanted = left_out(without)
    make_writable(out, "the folder for the pieces", "--out")
    with tempfile.TemporaryDirectory(prefix="carry-", dir=out) as folder:
        scratch = Path(folder)
        if wheels is not None:
            chosen = in_folder(wheels, packages)
        else:
            (scratch / "wheels").mkdir()
            chosen = fetch(pinned(packages), scratch / "wheels", python, machine, pip)
        archives = []
        for number, wheel in enumerate(chosen):
            contents = slim(wheel, archs, unwanted)
            made = archive.write(contents, scratch / f"{number}.tar.xz", machine, effort)
            archives.append(made)
            sizes = f"wheel {wheel.path.stat().st_size / 2**20:.1f} MiB, packed {made.size_bytes / 2**20:.1f} MiB"
            click.echo(f"{wheel.name} {wheel.version}: {sizes}")
            for note in contents.notes:
                click.echo(f"  {note}")
        manifest = {
            "format": unpack.FORMAT,
            "made_by": f"rtfloor {__version__}",
            "python": python,
            "machine": machine,
            "glibc": _glibc(chosen),
            "archs": list(archs),
            "without": list(without),
            **pieces.write(archives, piece_bytes, out),
        }
    (out / unpack.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    shutil.copyfile(unpack.__file__, out / "unpack.py")
    for piece in manifest["pieces"]:
        click.echo(f"{piece['name']}: {piece['size_bytes'] / 2**20:.1f} MiB")
    click.echo(f"on the other machine: python3 {out.name}/unpack.py {out.name} --into site")
    return manifest


def _glibc(wheels: Sequence[Wheel]) -> list[int] | None:
    """The oldest that all of them run with."""
    needs = [wheel.glibc for wheel in wheels if wheel.glibc]
    return list(max(needs)) if needs else None


def main() -> None:
    """Entry point: a person's mistake ends with one sentence and exit code 2."""
    try:
        cli()
    except UserError as error:
        click.echo(f"carry: {error}", err=True)
        sys.exit(2)
