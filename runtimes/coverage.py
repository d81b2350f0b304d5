"""Whether every setting of an engine is either reached by an option of its adapter or fixed with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimes.options import Fixed, Option

# At the end of a fixed setting: all settings that begin so, for one reason.
FAMILY = "*"


def unknown(options: Sequence[Option], fixed: Sequence[Fixed], here: Sequence[str]) -> tuple[str, ...]:
    """Settings of the installed version of which nobody has said anything.

    Args:
        options: with the settings that they reach.
        fixed: a setting that ends in ``*`` stands for all that begin with what is before it.
        here: what the installed version has, see :meth:`~runtimes.base.Runtime.settings_here`.

    Returns:
        In the order of ``here``.
    """
    names, families = _declared(options, fixed)
    return tuple(setting for setting in here if setting not in names and not setting.startswith(families))


def absent(options: Sequence[Option], fixed: Sequence[Fixed], here: Sequence[str]) -> tuple[str, ...]:
    """Settings that are declared but that the installed version does not have; of a family, none at all.

    Args:
        options: as for :func:`unknown`.
        fixed: likewise.
        here: likewise.

    Returns:
        Those of options first, each once, families with their ``*``.
    """
    names, families = _declared(options, fixed)
    had = set(here)
    missing = [name for name in names if name not in had]
    missing += [family + FAMILY for family in families if not any(setting.startswith(family) for setting in here)]
    return tuple(missing)


def _declared(options: Sequence[Option], fixed: Sequence[Fixed]) -> tuple[dict[str, None], tuple[str, ...]]:
    """Single settings in order, each once, and what families begin with."""
    reached = [setting for option in options for setting in option.settings]
    single = [one.setting for one in fixed if not one.setting.endswith(FAMILY)]
    families = [one.setting.removesuffix(FAMILY) for one in fixed if one.setting.endswith(FAMILY)]
    return dict.fromkeys(reached + single), tuple(dict.fromkeys(families))
