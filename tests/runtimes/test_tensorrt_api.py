"""TensorRT's members: those we use, those the fake has, and those the real bindings have.

What a user would lose: the tests of the adapter pass on a fake that is more generous than the library.
``data/tensorrt_api.json`` was read from the bindings' wheels of the versions it names.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import fake_tensorrt
import pytest
from fake_gpu_memory import FakeGpu
from fake_tensorrt import API, V10, V11

RUNTIMES = Path(__file__).resolve().parents[2] / "runtimes"


def members(kind: Any) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def found(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


@pytest.mark.parametrize("version", [V10, V11])
def test_the_fake_has_the_members_that_the_bindings_have_and_no_others(version: str) -> None:
    trt, api = fake_tensorrt.make(FakeGpu(), version), API[version]
    assert members(trt) == {*api["functions"], *api["classes"], *(name for name in api["enums"] if "." not in name)}
    for name, listed in api["classes"].items():
        assert members(getattr(trt, name)) == set(listed), name
    for name, listed in api["enums"].items():
        assert {member.name: int(member) for member in found(trt, name)} == listed, name


def test_all_that_the_adapter_names_is_on_the_list() -> None:
    # Only what is written as trt.A.B can be seen so; the rest is what the fake refuses.
    api = API[V10]
    used: set[str] = set()
    for path in RUNTIMES.glob("tensorrt_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if re.fullmatch(r"trt(\.\w+)+", text):
                used.add(text.removeprefix("trt."))
    assert {"BuilderFlag.TF32", "ILogger.Severity.ERROR", "Runtime"} < used
    for name in used - {"__version__", "ILogger.__init__"}:
        kind, _, member = name.rpartition(".")
        known = name in {*api["functions"], *api["classes"], *api["enums"]} or member in api["enums"].get(kind, {})
        assert known or member in api["classes"].get(kind, []), name


def test_the_real_bindings_have_them_all() -> None:
    try:
        import tensorrt as trt
    except ImportError as error:
        pytest.skip(f"TensorRT does not load: {error}")
    api = API[V10 if trt.__version__.startswith("10.") else V11]
    assert set(api["functions"]) <= members(trt)
    for name, listed in api["classes"].items():
        assert set(listed) <= members(getattr(trt, name)), name
    for name, values in api["enums"].items():
        kept = found(trt, name).__members__
        assert values == {member: int(kept[member]) for member in values}, name
