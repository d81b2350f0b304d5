"""What TVM's virtual machine calls, timed between its hooks.

TVM 0.27 has no profiler of its own for a virtual machine, but it calls a hook before and after every
instruction. The clock is the harness's, handed in.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from runtimes.profiled_nodes import Profile, ProfiledNode, faster_half, mean

if TYPE_CHECKING:
    from collections.abc import Callable

# Storage, shapes and checks: what the machine does beside the kernels.
BUILTIN = "vm.builtin"
NOTES = (
    "TVM has no profiler for a compiled model, so the time between its hooks is taken.",
    "A hook costs a microsecond or two, which is nearly all that vm.builtin seems to take.",
    "TVM does not tell which nodes of the graph a kernel stands for; the operators are read off its name.",
)


class Recorder:
    """Hears of every call that the machine makes, and adds up what it took.

    Args:
        clock: nanoseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._open: list[int] = []
        self._begin = 0
        self._whole: list[int] = []
        self._taken: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._calls: dict[str, int] = defaultdict(int)

    def hook(self, _function: Any, name: str, before: bool, _value: Any, *_arguments: Any) -> int:  # noqa: FBT001  # TVM's signature
        """What the machine calls before and after each instruction; 0 lets it go on."""
        if before:
            self._open.append(self._clock())
        else:
            self._taken[name][len(self._whole)] += self._clock() - self._open.pop()
            self._calls[name] += 1
        return 0

    def begin(self) -> None:
        """A call of the whole model starts."""
        self._begin = self._clock()

    def end(self) -> None:
        """It is over."""
        self._whole.append(self._clock() - self._begin)

    def profile(self, warmup: int) -> Profile:
        """Means over the faster half of the calls after ``warmup``."""
        chosen = [warmup + number for number in faster_half(self._whole[warmup:])]
        nodes = [
            ProfiledNode(
                name,
                operator(name),
                mean(taken, chosen),
                self._calls[name] / len(self._whole),
            )
            for name, taken in self._taken.items()
        ]
        return Profile(len(self._whole) - warmup, mean(dict(enumerate(self._whole)), chosen), tuple(nodes), NOTES)


def operator(name: str) -> str:
    """A kernel's name without what tells it from its like: ``fused_conv2d3_add_relu1`` is ``conv2d_add_relu``."""
    return BUILTIN if name.startswith(BUILTIN) else re.sub(r"(?<=[a-z])\d+(?=_|$)", "", name.removeprefix("fused_"))
