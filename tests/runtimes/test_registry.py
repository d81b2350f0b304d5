"""Which runtimes there are: another package's may join, and a broken one must not take the rest along."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from runtimes import registry
from runtimes.base import Runtime
from runtimes.errors import UnavailableError

WORKING = """
from runtimes.base import Runtime, Session
from runtimes.installed import Probe
from runtimes.options import Option

class Mine(Runtime):
    name = "mine"
    title = "mine"
    distributions = ("rtfloor-mine",)
    install = "pip install rtfloor-mine"
    options = (Option("precision", "fp32", "what it computes in", ("fp32",)),)

    def start(self): ...
    def load(self, request): return []

class Unfinished(Runtime):
    name = "unfinished"

def fails():
    raise RuntimeError("no licence found")

not_one = dict
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, as pip would install a package into."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(folder: Path, entries: dict[str, str], module: str = "mine_rt", code: str = WORKING) -> None:
    """A package that registers runtimes: name to ``module:attribute``."""
    info = folder / "rtfloor_mine-3.2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rtfloor-mine\nVersion: 3.2.1\n")
    lines = [f"[{registry.GROUP}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{module}.py").write_text(code)
    sys.modules.pop(module, None)


def test_another_packages_runtime_is_found_and_usable(package: Path) -> None:
    install(package, {"mine": "mine_rt:Mine"})
    assert registry.names() == [*registry.BUILT_IN, "mine"]
    adapter = registry.get("mine")
    assert isinstance(adapter, Runtime)
    probe = adapter.probe()
    assert (probe.available, probe.version) == (True, "3.2.1")


def test_ours_comes_first_under_its_own_name(package: Path) -> None:
    # A package could otherwise answer for "ort-cpu" in everybody's tables.
    install(package, {"fake": "mine_rt:Mine"})
    assert registry.names() == list(registry.BUILT_IN)
    assert type(registry.get("fake")).__module__ == "runtimes.fake"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:Mine", "no_such_module"),
        ("mine_rt:Missing", "Missing"),
        ("mine_rt:fails", "no licence found"),
        ("mine_rt:Unfinished", "abstract"),
    ],
)
def test_a_broken_package_is_a_reason_and_no_crash(package: Path, target: str, reason: str) -> None:
    install(package, {"mine": target})
    assert "mine" in registry.names()
    with pytest.raises(UnavailableError, match=f"the package that registers runtime 'mine' is broken: .*{reason}"):
        registry.get("mine")


def test_a_module_that_cannot_be_imported_is_a_reason(package: Path) -> None:
    install(package, {"mine": "broken_rt:Mine"}, "broken_rt", "import a_library_that_is_not_here\n")
    with pytest.raises(UnavailableError, match="a_library_that_is_not_here"):
        registry.get("mine")


def test_what_is_no_runtime_is_refused(package: Path) -> None:
    install(package, {"mine": "mine_rt:not_one"})
    with pytest.raises(UnavailableError, match=r"'mine' is registered as \{\}, which is no runtimes\.base\.Runtime"):
        registry.get("mine")


def test_a_broken_package_leaves_the_others_alone(package: Path) -> None:
    from bench.campaign import environment_facts
    from bench.expand import Choice, default_suite, expand

    install(package, {"mine": "no_such_module:Mine"})
    assert registry.get("fake").probe().available
    # Every run asks every runtime for its packages' versions.
    assert "numpy" in environment_facts()["packages"]
    plan = expand(default_suite(["null"]), Choice(), "quick", 1)
    assert "ort-cpu" in {cell.runtime for cell in plan.cells}


def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(KeyError) as caught:
        registry.get("onyx")
    message = caught.value.args[0]
    assert "'onyx'" in message
    assert all(name in message for name in registry.BUILT_IN)


@pytest.mark.parametrize("name", list(registry.BUILT_IN))
def test_each_of_ours_says_who_it_is(name: str) -> None:
    adapter = registry.get(name)
    assert adapter.name == name
    assert adapter.title
    probe = adapter.probe()
    # What is not here says why and, where something can be installed, how.
    assert probe.available or probe.reason


def test_a_version_has_the_adapter_of_its_runtime() -> None:
    assert type(registry.get("ort-cpu@1.24.4")) is type(registry.get("ort-cpu"))
    assert (registry.plain("ort-cpu@1.24.4"), registry.version("ort-cpu@1.24.4")) == ("ort-cpu", "1.24.4")
    assert (registry.plain("ort-cpu"), registry.version("ort-cpu")) == ("ort-cpu", "")
    assert registry.on_gpu("ort-cuda@1.30.0")
    assert not registry.on_gpu("ort-cpu@1.30.0")
    with pytest.raises(KeyError, match="there is no runtime 'onyx'"):
        registry.get("onyx@1.0")


@pytest.mark.parametrize("text", ["1", "1.24.4", "0.27.0.post1", "1!2.0", "2.0rc1", "2.0.dev20261101", "2.13.0+cpu.1"])
def test_versions_as_packages_write_them_are_taken(text: str) -> None:
    assert registry.version(f"ort-cpu@{text}") == text


@pytest.mark.parametrize(
    "text", ["", "latest", "latest; rm", "1.2;x", "1.2 ", "-r/etc/passwd", "1.*", ">=1", "1..2", "v1.2", "1.2@1", "١"]
)
def test_what_is_no_version_never_reaches_an_installer(text: str) -> None:
    with pytest.raises(KeyError, match="is no version; after the @ belongs one") as caught:
        registry.get(f"ort-cpu@{text}")
    assert repr(text) in caught.value.args[0]
    assert not registry.on_gpu(f"ort-cuda@{text}")


def test_looking_at_runtimes_imports_none_of_them() -> None:
    # 'doctor' must answer on a machine where a vendor's library crashes on import.
    code = (
        "import sys\n"
        "from runtimes import registry\n"
        "for name in registry.names(): registry.get(name).probe()\n"
        "heavy = {'onnxruntime', 'openvino', 'tract', 'tvm', 'torch', 'tensorrt', 'numpy', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr
