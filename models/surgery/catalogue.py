"""The passes there are, as plain facts: nothing heavy is imported to list or to name a form.

A *form* is a chain of passes, joined by ``+`` (``ln+fp16``); ``raw`` is the empty chain. A pass
whose name ends in a number takes one (``opset21``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

RAW = "raw"
# From the finest to the coarsest.
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int4")


@dataclass(frozen=True)
class PassFacts:
    """One pass.

    Attributes:
        name: what a user types, without its number.
        module: the file of :mod:`models.surgery` that does it.
        title: what it does, one line.
        precision: what its result is judged by, against the model before: one of ``PRECISIONS``.
        number: what the number at its end means; empty when it takes none.
        variant: handed to the module, which may serve several passes.
        custom: its result has operators that no engine is expected to have.
        on_norm: it changes CausalCLN, and nothing else.
    """

    name: str
    module: str
    title: str
    precision: str = "fp32"
    number: str = ""
    variant: str = ""
    custom: bool = False
    on_norm: bool = False


@dataclass(frozen=True)
class Step:
    """One pass of a chain, with its number."""

    facts: PassFacts
    number: int | None

    @property
    def text(self) -> str:
        """As a user types it."""
        return self.facts.name + ("" if self.number is None else str(self.number))


_PASSES = (
    PassFacts("ln", "ln", "CausalCLN as one LayerNormalization between two transposes", on_norm=True),
    PassFacts("swap", "swap", "the last two axes swapped throughout: time before frequency"),
    PassFacts(
        "ln_last",
        "ln",
        "CausalCLN as LayerNormalization with channels innermost; after swap",
        variant="last",
        on_norm=True,
    ),
    PassFacts("split", "split", "a convolution over joined channels as a sum over its parts"),
    PassFacts("up", "up", "upsampling drawn into ONNX Runtime's blocked layout"),
    PassFacts("custom", "ln", "CausalCLN as one node of a custom domain", variant="custom", custom=True, on_norm=True),
    PassFacts("sim", "simplify", "onnxsim: constants folded, no-ops removed"),
    PassFacts("ort_basic", "ort_offline", "ONNX Runtime's basic optimisation, saved", variant="basic"),
    PassFacts("ort_extended", "ort_offline", "ONNX Runtime's extended optimisation, saved", variant="extended"),
    PassFacts("ort_all", "ort_offline", "ONNX Runtime's whole optimisation for this machine, saved", variant="all"),
    PassFacts("static", "static", "every input size fixed"),
    PassFacts("batch", "batch", "the first dimension of inputs and outputs resized", number="signals per call"),
    PassFacts("opset", "opset", "the standard operator set converted", number="operator set"),
    PassFacts("fp16", "fp16", "weights, sums, inputs and outputs in float16", "fp16"),
    PassFacts("fp16_io32", "fp16", "float16 inside, float32 inputs and outputs", "fp16", variant="io32"),
    PassFacts("fp16_ln32", "fp16", "float16, normalisation kept in float32", "fp16", variant="ln32"),
    PassFacts(
        "fp16_io32_ln32", "fp16", "float16, inputs, outputs and normalisation in float32", "fp16", variant="io32_ln32"
    ),
    PassFacts("int8", "int8", "8-bit weights and values, scales from calibration (QDQ)", "int8", variant="static"),
    PassFacts("int8_dynamic", "int8", "8-bit weights, values scaled call by call", "int8", variant="dynamic"),
    PassFacts("int4", "int4", "4-bit weights of matrix products, in blocks of 32", "int4"),
)
PASSES = {entry.name: entry for entry in _PASSES}


def parse_form(form: str) -> tuple[Step, ...]:
    """The passes a form stands for, in order; ``raw`` has none.

    Args:
        form: pass names joined by ``+`` or ``,``; ``raw`` may stand first.

    Raises:
        ModelError: a name that is no pass, or a number too many or too few.
    """
    names = [name.strip() for name in re.split(r"[+,]", form)]
    if names[0] == RAW:
        names = names[1:]
    return tuple(_step(name, form) for name in names)


def form_name(form: str) -> str:
    """The form as it appears in cells: passes joined by ``+``.

    Raises:
        ModelError: as :func:`parse_form`.
    """
    return "+".join(step.text for step in parse_form(form)) or RAW


def form_precision(form: str) -> str:
    """The coarsest precision among the form's passes: what its answers are judged by."""
    return max((step.facts.precision for step in parse_form(form)), key=PRECISIONS.index, default=PRECISIONS[0])


def fits(form: str, listed: Sequence[str]) -> bool:
    """Whether a zoo model can take a form, as far as that shows without building it.

    Args:
        form: the form.
        listed: the forms that its facts list.
    """
    normed = any(step.facts.on_norm for known in listed for step in parse_form(known))
    return normed or not any(step.facts.on_norm for step in parse_form(form))


def _step(name: str, form: str) -> Step:
    if name in PASSES and not PASSES[name].number:
        return Step(PASSES[name], None)
    match = re.fullmatch(r"([a-z_0-9]*[a-z_])([0-9]{1,6})", name)
    if match and match[1] in PASSES and PASSES[match[1]].number:
        return Step(PASSES[match[1]], int(match[2]))
    if name in PASSES:
        raise ModelError(f"form {form!r}: {name} needs a number ({PASSES[name].number}), such as {name}2")
    shown = ", ".join(entry.name + ("N" if entry.number else "") for entry in _PASSES)
    raise ModelError(f"form {form!r}: there is no pass {name!r}; there are raw, {shown}, joined by '+'")
