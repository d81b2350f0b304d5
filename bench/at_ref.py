"""Files as they are at another commit, taken out of git's own store; the working tree stays as it is."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError

TIMEOUT_S = 600.0
GIT = "git"
# How a file begins that git keeps elsewhere (Git LFS): its place is taken by a few lines of text.
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Tree:
    """A commit's files.

    Attributes:
        top: the folder of the repository that the user works in.
        commit: the whole name of the commit.
        folder: where its files lie.
    """

    top: Path
    commit: str
    folder: Path

    def file(self, path: Path) -> Path:
        """The same file at that commit.

        Raises:
            UserError: it was not there, or git keeps it elsewhere.
        """
        whole = Path(os.path.normpath(path.absolute()))
        if path.is_symlink() or not whole.resolve().is_relative_to(self.top):
            raise UserError(
                f"{path} is a link, or lies outside of the repository {self.top}, so git has no earlier content of it; "
                "use --baseline FILE"
            )
        there = self.folder / whole.resolve().relative_to(self.top)
        if not there.is_file():
            raise UserError(
                f"{path} is not in commit {self.commit[:12]}; name a commit that has it, or --baseline FILE"
            )
        with there.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise UserError(
                    f"{path} is kept in Git LFS, and commit {self.commit[:12]} has a pointer only; check that commit "
                    "out elsewhere and name its file with --baseline FILE"
                )
        return there


def repository(folder: Path) -> Path | None:
    """The top folder of the repository that a folder is in; None where it is in none."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    return Path(done.stdout.decode().strip()).resolve() if done.returncode == 0 else None


def head(folder: Path) -> str:
    """The commit that is checked out, in short; empty where there is none."""
    try:
        done = _git(folder, "rev-parse", "--short=12", "HEAD")
    except UserError:
        return ""
    return done.stdout.decode().strip() if done.returncode == 0 else ""


def tree(top: Path, ref: str, cache: Path) -> Tree:
    """The files of a commit, taken out once.

    Args:
        top: of the repository.
        ref: as git understands it: a branch, a tag, ``HEAD~1``, a commit.
        cache: where trees lie.

    Raises:
        UserError: there is no such commit, or its files cannot be had.
    """
    named = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if named.returncode != 0:
        raise UserError(
            f"{ref!r} is no commit of the repository {top}; in a shallow clone fetch it first, as in "
            f"'git fetch --depth 1 origin {ref}'"
        )
    commit = named.stdout.decode().strip()
    folder = cache / commit
    if not folder.is_dir():
        done = _git(top, "archive", "--format=tar", commit)
        if done.returncode != 0:
            raise UserError(f"the files of commit {commit[:12]} cannot be had: {_said(done)}")
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{commit[:12]}-", dir=cache))
        try:
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                _extract(archive, unfinished)
            unfinished.rename(folder)
        except (OSError, tarfile.TarError) as error:
            # Somebody else may have been quicker.
            if not folder.is_dir():
                raise UserError(f"the files of commit {commit[:12]} cannot be written to {cache}: {error}") from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Tree(top, commit, folder)


def unchanged(tree: Tree, folder: Path) -> bool:
    """Whether every committed file of a folder is now as it is at that commit."""
    return _git(folder, "diff", "--quiet", tree.commit, "--", ".").returncode == 0


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Every member but links out of the repository, which nothing here needs."""
    for member in archive:
        with suppress(tarfile.FilterError):
            archive.extract(member, folder, filter="data")


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([GIT, "-C", str(folder), *words], capture_output=True, check=False, timeout=TIMEOUT_S)
    except FileNotFoundError:
        raise UserError("git is not installed, and --against takes files from its commits") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"git gave no answer within {TIMEOUT_S:.0f} s in {folder}") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode("utf-8", "replace").split())[:300] or f"git ended with {done.returncode}"
