"""Two packages bring the module ``onnxruntime``: which of them an import finds decides who can run, and what is said.

What a user would lose: the processor's library where the GPU's was installed, or an hour over why there is no CUDA.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from runtimes.ort import OrtCpu
from runtimes.ort_cuda import OrtCuda

if TYPE_CHECKING:
    from pathlib import Path


def machine(monkeypatch: pytest.MonkeyPatch, gpus: list[str], *folders: Path) -> None:
    """These GPUs, and of packages those in these folders only, the first found first."""
    rest = [place for place in sys.path if "-packages" not in place]
    monkeypatch.setattr(sys, "path", [*map(str, folders), *rest])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", lambda: gpus)
    importlib.invalidate_caches()


def install(folder: Path, *names: str) -> Path:
    """Distributions that bring the module, as pip would leave them."""
    (folder / "onnxruntime").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").touch()
    for name in names:
        info = folder / f"{name.replace('-', '_')}-1.31.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.31.1\n")
    return folder


CPU, GPU = "onnxruntime", "onnxruntime-gpu"


def test_with_a_gpu_and_the_right_package_it_can_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, ["NVIDIA Fake"], install(tmp_path / "a", GPU))
    probe = OrtCuda().probe()
    assert (probe.available, probe.version, probe.reason) == (True, "1.31.1", "")


def test_a_twin_that_an_import_does_not_find_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, ["NVIDIA Fake"], install(tmp_path / "a", GPU), install(tmp_path / "b", CPU))
    assert OrtCuda().probe().available


@pytest.mark.parametrize("together", [True, False], ids=["in one folder", "before it"])
def test_both_packages_are_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, together: bool
) -> None:
    # They overwrite each other's files, or the wrong one is imported.
    folders = [(CPU, GPU)] if together else [(CPU,), (GPU,)]
    machine(monkeypatch, ["NVIDIA Fake"], *(install(tmp_path / "-".join(names), *names) for names in folders))
    probe = OrtCuda().probe()
    assert (probe.available, probe.version) == (False, "1.31.1")
    how = "share one folder" if together else "are both installed, and an import finds the first"
    assert probe.reason == f"onnxruntime and onnxruntime-gpu {how}"
    assert probe.remedy == "pip uninstall onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"


def test_a_missing_package_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, ["NVIDIA Fake"], install(tmp_path / "a", CPU))
    probe = OrtCuda().probe()
    assert (probe.available, probe.reason) == (False, "onnxruntime-gpu is not installed")
    assert "rtfloor[gpu]" in probe.remedy


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_gpu_that_comes_first_and_packages_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, installed: bool
) -> None:
    machine(monkeypatch, [], *([install(tmp_path / "a", GPU)] if installed else []))
    probe = OrtCuda().probe()
    missing = "" if installed else "; and onnxruntime-gpu is not installed"
    assert (probe.available, probe.version) == (False, "1.31.1" if installed else None)
    assert probe.reason == f"no NVIDIA GPU with a working driver is here{missing}"
    assert "'nvidia-smi' must list it" in probe.remedy
    assert ("then pip install" in probe.remedy) is not installed


@pytest.mark.parametrize("names", [(CPU,), (GPU,), (CPU, GPU)])
def test_on_processors_either_package_will_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...]
) -> None:
    machine(monkeypatch, [], install(tmp_path / "a", *names))
    probe = OrtCpu().probe()
    assert (probe.available, probe.version) == (True, "1.31.1")


def test_on_processors_neither_package_is_a_reason_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, [], tmp_path)
    probe = OrtCpu().probe()
    assert (probe.available, probe.reason) == (False, "onnxruntime is not installed")
    assert "rtfloor[cpu]" in probe.remedy
