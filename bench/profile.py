"""Profiles: how much is measured, from ``profiles.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

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


@cache
def profiles() -> dict[str, Profile]:
    """Every profile by name, the shortest first."""
    table = tomllib.loads(resources.files("bench").joinpath("profiles.toml").read_text("utf-8"))
    return {name: Profile(name=name, **entry) for name, entry in table.items()}
