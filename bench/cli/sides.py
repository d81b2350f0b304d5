"""What the two sides of a gate are, from what the user says differs between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.flags import is_file
from bench.errors import UserError
from bench.plan import LAYOUTS, PLACEMENTS
from models.errors import ModelError
from models.facts import zoo
from models.surgery.catalogue import form_name
from runtimes import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cli.flags import PlanFlags

# The same as the other side: nothing differs.
SAME = "same"
FIELDS = {
    "model": "models",
    "form": "forms",
    "runtime": "runtimes",
    "layout": "layouts",
    "threads": "threads",
    "placement": "placements",
}


@dataclass(frozen=True)
class Side:
    """One side.

    Attributes:
        says: what the user said of it; empty for nothing.
        flags: the flags of the plan with that in them.
        slower: a share by which every call is made longer on purpose.
    """

    says: str
    flags: PlanFlags
    slower: float = 0.0


def side(flags: PlanFlags, texts: Sequence[str], flag: str) -> Side:
    """A side of a gate.

    Args:
        flags: what both sides have in common.
        texts: each a file or zoo model, a form, a runtime, a layout, or KEY=VALUE with one of these keys, ``threads``,
            ``placement``, ``planted``, or an option of the runtime.
        flag: for messages.

    Raises:
        UserError: a text is none of these.
    """
    found: dict[str, tuple[str, ...]] = {}
    slower = 0.0
    for text in texts:
        key, value = _meant(text, flag)
        if key == "planted":
            slower = share(value, f"{flag} planted")
        elif key == "option":
            # In the place of what holds for both sides, or one value more of it would be a second cell.
            name = value.partition("=")[0]
            others = [one for one in found.get("options", flags.options) if one.partition("=")[0] != name]
            found["options"] = (*others, value)
        elif key != SAME:
            found[FIELDS[key]] = (*found.get(FIELDS[key], ()), value)
    changes: dict[str, Any] = dict(found)
    return Side(" ".join(texts), replace(flags, **changes), slower)


def share(text: str, flag: str) -> float:
    """A share from ``2%`` or ``0.02``.

    Raises:
        UserError: it is neither, or not between 0 and 1.
    """
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number) / (100.0 if text.strip().endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 < value < 1.0:
        raise UserError(f"{flag} {text!r} is no share between 0 and 1; write 2% or 0.02")
    return value


def _meant(text: str, flag: str) -> tuple[str, str]:
    """The key and the value of what a user says."""
    key, equals, value = text.partition("=")
    # A path may have an equals sign in it.
    if equals and not Path(text).is_file():
        if key in (*FIELDS, "planted"):
            return key, value
        return "option", text
    if text == SAME:
        return SAME, text
    if is_file(text) or text in zoo():
        return "model", text
    if registry.plain(text) in registry.names():
        return "runtime", text
    if text in LAYOUTS:
        return "layout", text
    if text in PLACEMENTS:
        return "placement", text
    try:
        return "form", form_name(text)
    except ModelError as error:
        raise UserError(
            f"{flag} {text!r} is no model file, zoo model, runtime, layout or form ({error}); name what differs "
            "between the two sides, such as old.onnx, ln, ort-cpu@1.24.4, par, threads=1 or enable_mem_reuse=false"
        ) from None
