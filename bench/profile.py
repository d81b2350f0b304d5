"""Profiles: how much is measured, from ``profiles.toml``."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from bench.errors import UserError

DEFAULT = "quick"


@dataclass(frozen=True)
class Profile:
    """How much is measured; the fields are explained in ``profiles.toml``."""

    name: str
    title: str
    timeout_s: float
    process_s: float
    rounds_least: int
    rounds_most: int
    target: float
    budget_s: float
    race: bool
    race_margin: float
    nodes_s: float = 0.0


# What a suite may change about a profile; races are its own key.
CHANGEABLE = ("timeout_s", "process_s", "rounds_least", "rounds_most", "target", "budget_s", "race_margin", "nodes_s")


def profile_changes(table: Any, where: str) -> dict[str, dict[str, float]]:
    """What a suite changes about profiles: profile → field → value.

    Args:
        table: as TOML has it.
        where: for messages.

    Raises:
        UserError: no such profile or field, or no number that it can be.
    """
    if not isinstance(table, dict):
        raise UserError(f"{where} must be a table of profiles, such as [profiles.quick]")
    for name, changes in table.items():
        if name not in profiles():
            raise UserError(f"{where} has {name!r}; allowed: {', '.join(profiles())}")
        if not isinstance(changes, dict):
            raise UserError(f"{where}.{name} must be a table, not {type(changes).__name__}")
        for key, value in changes.items():
            if key not in CHANGEABLE:
                raise UserError(f"{where}.{name} has the unknown key {key!r}; allowed: {', '.join(CHANGEABLE)}")
            whole = key.startswith("rounds")
            right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not right or not math.isfinite(value) or value < whole:
                kind = "a whole number from 1" if whole else "a number from 0"
                raise UserError(f"{where}.{name}: {key} is {value!r}; it must be {kind}")
    return table


@cache
def profiles() -> dict[str, Profile]:
    """Every profile by name, the shortest first."""
    table = tomllib.loads(resources.files("bench").joinpath("profiles.toml").read_text("utf-8"))
    return {name: Profile(name=name, **entry) for name, entry in table.items()}
