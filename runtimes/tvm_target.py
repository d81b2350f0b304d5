"""What TVM compiles for: the processor and LLVM's settings, none of which LLVM may ignore."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runtimes.errors import EngineError, engine_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def make_target(processor: str, attributes: Mapping[str, Any]) -> Any:
    """A target of TVM's.

    Args:
        processor: ``generic`` or ``host``.
        attributes: beyond the processor, as the vendor spells them.

    Raises:
        EngineError: LLVM does not know the processor or something in the attributes. On its own it says so on stderr,
            and goes on without.
    """
    import tvm
    from tvm.target import codegen

    told = {"kind": "llvm", **attributes}
    if processor == "host":
        cpu, triple = codegen.llvm_get_system_cpu(), codegen.llvm_get_system_triple()
        if not codegen.llvm_is_valid_cpu(cpu, triple):
            raise EngineError(f"tvm: LLVM has no processor {cpu!r} for {triple}; use target=generic")
        told |= {"mtriple": triple, "mcpu": cpu}
    for feature in attributes.get("mattr", ()):
        name = feature.lstrip("+-")
        here = codegen.llvm_get_cpu_features(tvm.target.Target({**told, "mattr": [f"+{name}"], "cl-opt": []}))
        if name == feature or name not in here:
            raise EngineError(f"tvm: mattr has {feature!r}, and LLVM knows no such feature here; give +name or -name")
    target = tvm.target.Target(told)
    if switches := attributes.get("cl-opt"):
        _check_switches(target, switches)
    return target


def _check_switches(target: Any, switches: list[str]) -> None:
    from tvm.target import codegen

    refused = f"tvm: LLVM does not take cl_opt={','.join(switches)}"
    with _stderr() as said:
        try:
            codegen.llvm_get_cpu_features(target)
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(refused, EngineError(_complaint(said) or str(error))) from error
        complaint = _complaint(said)
    if complaint:
        raise EngineError(f"{refused}: {complaint}")


def _complaint(said: Any) -> str:
    """What follows the last ``Error:``; nothing where there is none."""
    said.seek(0)
    text = said.read().decode("utf-8", "replace")
    return " ".join(text.rpartition("Error: ")[2].split())[:200] if "Error: " in text else ""


@contextmanager
def _stderr() -> Iterator[Any]:
    """What foreign code writes to stderr meanwhile, in a file."""
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
