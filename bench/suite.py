"""Suites: TOML files that span cells along axes.

A suite is a list of ``[[cells]]`` groups; each spans the product of its axes. A user's own
models are described under ``[models.NAME]``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.ladder_spec import StepSpec, parse_steps
from bench.model_spec import MODEL_KEYS, model_spec
from bench.plan import LAYOUTS, PLACEMENTS, ModelSpec
from bench.profile import profile_changes, profiles
from models.errors import ModelError
from models.facts import zoo
from models.metric import parse_metric
from results.sweep import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

SUITE_KEYS = ("title", "cells", "models", "metrics", "race", "profiles", "steps")
GROUP_KEYS = (
    *("models", "forms", "runtimes", "layouts", "threads", "placements", "profiles", "options"),
    *("sweep", "axes", "copies"),
)


@dataclass(frozen=True)
class Group:
    """One ``[[cells]]`` table: axes whose product is measured.

    Attributes:
        forms: empty means every form the model has.
        threads: numbers, or ``"all"`` for every CPU this process may use.
        profiles: the profiles it belongs to; empty means all.
        options: runtime → option → the values to try.
        placements: keys of :data:`bench.plan.PLACEMENTS`.
        sweep: of :data:`results.sweep.KINDS`; empty: every combination is measured, and nothing is asked of it.
        axes: names of what a sweep changes, or ``"all"`` for every option of the runtime. Layouts, threads and
            placements are axes of a sweep wherever there are several; the first is the default.
        copies: how often a sweep measures its default again in each round; None for as many as serve it best.
    """

    models: tuple[str, ...]
    runtimes: tuple[str, ...]
    forms: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ("mono",)
    threads: tuple[int | str, ...] = ("all",)
    profiles: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    placements: tuple[str, ...] = ("free",)
    sweep: str = ""
    axes: tuple[str, ...] = ()
    copies: int | None = None


@dataclass(frozen=True)
class Suite:
    """A parsed suite.

    Attributes:
        race: whether cells that are beyond doubt behind may stop early, where the profile has that.
        steps: of a ladder, in order.
        measure: profile → what the suite changes about how much is measured, see ``profiles.toml``.
    """

    name: str
    title: str
    groups: tuple[Group, ...]
    models: Mapping[str, ModelSpec] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    race: bool = True
    measure: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    steps: tuple[StepSpec, ...] = ()


def builtin_names() -> list[str]:
    """Suites that ship with rtfloor."""
    folder = resources.files("bench").joinpath("suites")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_suite(name: str) -> Suite:
    """Read a built-in suite by name, or a user's by path.

    Raises:
        UserError: there is none, or it is not a valid suite; names the key and what is allowed.
    """
    if name in builtin_names():
        text = resources.files("bench").joinpath("suites", f"{name}.toml").read_text("utf-8")
        return parse_suite(text, name, Path.cwd())
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"there is no suite {name!r}: it is neither a file nor one of {', '.join(builtin_names())}; "
            "to measure one model, use 'rtfloor run --model MODEL'"
        )
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"suite {path} cannot be read: {error}") from None
    return parse_suite(text, str(path), path.resolve().parent)


def parse_suite(text: str, name: str, folder: Path) -> Suite:
    """Parse and validate the text of a suite.

    Args:
        text: TOML.
        name: for messages.
        folder: what relative model paths are relative to.

    Raises:
        UserError: not TOML, an unknown key, a wrong type, or a value that is not allowed.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"suite {name} is not valid TOML: {error}") from None
    _check_keys(data, SUITE_KEYS, f"suite {name}")
    models = _table(data.get("models", {}), f"suite {name}, [models]")
    title = data.get("title", name)
    if not isinstance(title, str):
        raise UserError(f"suite {name}: title must be text, not {title!r}")
    specs = {}
    for model, entry in models.items():
        where = f"suite {name}, [models.{model}]"
        if not model.strip() or any(sign in model for sign in "/\\\0"):
            raise UserError(f"{where}: {model!r} is no name for a model; use letters, digits, '.', '_' and '-'")
        if model in zoo():
            raise UserError(f"{where} bears the name of a zoo model; choose another name for a file of yours")
        _check_keys(_table(entry, where), MODEL_KEYS, where)
        specs[model] = model_spec(model, entry, where, folder)
    groups = data.get("cells", [])
    if not isinstance(groups, list) or not groups:
        raise UserError(
            f"suite {name} spans nothing: it needs at least one [[cells]] table with 'models' and 'runtimes'"
        )
    parsed = tuple(_group(entry, f"suite {name}, [[cells]] number {index}") for index, entry in enumerate(groups, 1))
    race = data.get("race", True)
    if not isinstance(race, bool):
        raise UserError(f"suite {name}: race must be true or false, not {race!r}")
    measure = profile_changes(data.get("profiles", {}), f"suite {name}, [profiles]")
    steps = parse_steps(data.get("steps", []), parsed, f"suite {name}")
    return Suite(name, title, parsed, specs, _metrics(data, name, folder), race, measure, steps)


def _metrics(data: Mapping[str, Any], name: str, folder: Path) -> tuple[str, ...]:
    """A user's own metrics; a file is relative to the suite's folder."""
    texts = _strings(data["metrics"], "metrics", f"suite {name}") if "metrics" in data else ()
    try:
        return tuple(parse_metric(_beside(text, folder)).text for text in texts)
    except ModelError as error:
        raise UserError(f"suite {name}: {error}") from None


def _beside(text: str, folder: Path) -> str:
    """A metric's file relative to a folder."""
    file, colon, rest = text.rpartition(".py:")
    return f"{folder / file}{colon}{rest}" if colon else text


def _group(entry: Any, where: str) -> Group:
    _check_keys(_table(entry, where), GROUP_KEYS, where)
    for key in ("models", "runtimes"):
        if key not in entry:
            raise UserError(f"{where} lacks the key '{key}'")
    axes: dict[str, Any] = {}
    for key in ("models", "forms", "runtimes", "layouts", "placements", "profiles", "axes"):
        if key in entry:
            axes[key] = _strings(entry[key], key, where)
    axes |= _sweep(entry, where)
    for key, allowed in (
        ("layouts", list(LAYOUTS)),
        ("profiles", list(profiles())),
        ("placements", list(PLACEMENTS)),
    ):
        for value in axes.get(key, ()):
            if value not in allowed:
                raise UserError(f"{where}: {key} has {value!r}; allowed: {', '.join(allowed)}")
    if "threads" in entry:
        axes["threads"] = tuple(parse_threads(value, where) for value in _list(entry["threads"], "threads", where))
    options = _table(entry.get("options", {}), f"{where}, options")
    for runtime, chosen in options.items():
        if runtime not in {*axes["runtimes"], *(name.partition("@")[0] for name in axes["runtimes"])}:
            listed = ", ".join(axes["runtimes"])
            raise UserError(f"{where}: options has {runtime!r}, which is none of this group's runtimes: {listed}")
        for name, value in _table(chosen, f"{where}, options.{runtime}").items():
            if value == []:
                raise UserError(f"{where}: options.{runtime}.{name} is empty; give at least one value")
    axes["options"] = {
        runtime: {
            name: tuple(value) if isinstance(value, list) else (value,)
            for name, value in _table(chosen, f"{where}, options.{runtime}").items()
        }
        for runtime, chosen in options.items()
    }
    return Group(**axes)


def _sweep(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a group says about being swept."""
    if "sweep" not in entry:
        for key in ("axes", "copies"):
            if key in entry:
                raise UserError(
                    f"{where}: {key} is for a sweep; say which with sweep = {' or '.join(map(repr, KINDS))}"
                )
        return {}
    kind, copies = entry["sweep"], entry.get("copies")
    if kind not in KINDS:
        raise UserError(f"{where}: sweep has {kind!r}; allowed: {', '.join(KINDS)}")
    if copies is not None and (not isinstance(copies, int) or isinstance(copies, bool) or copies < 0):
        raise UserError(f"{where}: copies has {copies!r}; allowed: whole numbers from 0")
    return {"sweep": kind, "copies": copies}


def parse_threads(value: Any, where: str) -> int | str:
    """A thread budget: a positive whole number or ``"all"``."""
    if value == "all":
        return "all"
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if isinstance(value, bool | float) or number < 1:
        raise UserError(f"{where}: threads has {value!r}; allowed: whole numbers from 1, or 'all'")
    return number


def _check_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise UserError(f"{where} has the unknown key {key!r}; allowed: {', '.join(allowed)}")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where} must be a table, not {type(value).__name__}")
    return value


def _list(value: Any, key: str, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: {key} must be a list with at least one value, such as {key} = [...]")
    return value


def _strings(value: Any, key: str, where: str) -> tuple[str, ...]:
    items = _list(value, key, where)
    for item in items:
        if not isinstance(item, str):
            raise UserError(f"{where}: {key} has {item!r}, which is no text")
    return tuple(items)
