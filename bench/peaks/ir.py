"""Pieces of LLVM IR that the kernels share.

A kernel is one function, ``kernel(out, a, b, bytes, n)``, that goes round its loop ``n`` times; what the
pointers mean is the kernel's affair. Only the code generator sees it, no optimiser: what stands in the loop
stays there, except for what does not change from round to round, and no kernel has any such thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRY = "kernel"


@dataclass(frozen=True)
class Carried:
    """A value that goes from round to round: its type, its name at the beginning, its first and its next value."""

    type: str
    name: str
    first: str
    next: str


def kernel(
    before: Sequence[str],
    carried: Sequence[Carried],
    inside: Sequence[str],
    after: Sequence[str],
    *,
    features: str,
    bits: int,
    declarations: Sequence[str] = (),
) -> str:
    """A module with one kernel.

    Args:
        before: instructions ahead of the loop.
        carried: what the loop carries.
        inside: instructions of the loop.
        after: instructions behind it.
        features: what the code generator may use, such as ``+avx512f``.
        bits: of a vector register.
        declarations: of the functions that it calls.
    """
    # Without these two the code generator may cut vectors of 512 bits in half.
    width = f'"prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
    phis = [f"{one.name} = phi {one.type} [ {one.first}, %entry ], [ {one.next}, %loop ]" for one in carried]
    lines = [
        f"define void @{ENTRY}(ptr %out, ptr %a, ptr %b, i64 %bytes, i64 %n) #0 {{",
        "entry:",
        *before,
        "br label %loop",
        "loop:",
        "%left = phi i64 [ %n, %entry ], [ %fewer, %loop ]",
        *phis,
        *inside,
        "%fewer = sub i64 %left, 1",
        "%over = icmp eq i64 %fewer, 0",
        "br i1 %over, label %end, label %loop",
        "end:",
        *after,
        "ret void",
        "}",
        f'attributes #0 = {{ nounwind "target-features"="{features}" {width} }}',
        *declarations,
    ]
    return "\n".join(lines) + "\n"


def at(name: str, base: str, offset: int) -> str:
    """A pointer so many bytes behind another."""
    return f"{name} = getelementptr i8, ptr {base}, i64 {offset}"
