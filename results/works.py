"""What a call of a cell comprises: cells that do other work never race each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def signal(layout: str) -> str:
    """Mono and stereo layouts do different work and never race each other."""
    return "mono" if layout == "mono" else "stereo"


def on_device(options: Mapping[str, Any]) -> bool:
    """Whether inputs and outputs stay on the device, so that a call comprises no transfers."""
    return options.get("transfer") == "device"


def work(layout: str, options: Mapping[str, Any]) -> str:
    """What a call comprises: its signal, and whether inputs and outputs stay on the device.

    A call without transfers does less, and never races one with them.
    """
    return signal(layout) + (", device to device" if on_device(options) else "")
