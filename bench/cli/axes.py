"""``rtfloor axes``: every knob of a runtime, what it does, and what was left out and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bench.cli.flags import json_flag
from bench.plan import LAYOUTS, PLACEMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from runtimes.base import Runtime

ASKING_TIMEOUT_S = 120.0
# Axes that every runtime has: name, default, values, what it does.
SHARED = (
    ("layout", "mono", tuple(LAYOUTS), "how a stereo signal meets the engine"),
    ("threads", "all", ("1", "…", "all"), "the budget of a cell; its sessions share it, and no more ever run"),
    ("placement", "free", tuple(PLACEMENTS), "; ".join(f"{name}: {what}" for name, what in PLACEMENTS.items())),
)


@dataclass(frozen=True)
class Asked:
    """What the installed library said of itself.

    Attributes:
        version: of the runtime; None where it is not here.
        settings: all it has, in the vendor's spelling; None where it could not be asked.
        why_not: why it could not.
    """

    version: str | None
    settings: tuple[str, ...] | None
    why_not: str = ""


@click.command()
@click.argument("runtime")
@json_flag
def axes(*, runtime: str, as_json: bool) -> None:
    """Print every knob of a RUNTIME, such as ort-cpu: what a sweep tries, and what was left out and why.

    A setting of the installed version that rtfloor does not know is listed as unknown.
    """
    from bench.expand import adapter_of

    adapter = adapter_of(runtime)
    entry = document(runtime, adapter, ask(runtime, adapter))
    if as_json:
        click.echo(json.dumps(entry, ensure_ascii=False))
        return
    _print(entry)


def ask(runtime: str, adapter: Runtime) -> Asked:
    """What the installed version has; the library is imported in a worker, never here."""
    from bench import paths
    from bench.environments import Environments
    from bench.spawn import spawn
    from runtimes import registry
    from runtimes.errors import UnavailableError

    more: dict[str, Any] = {}
    if registry.version(runtime):
        environments = Environments(paths.cache() / "environments", lambda line: click.echo(line, err=True))
        try:
            probe = environments.get(runtime).probe
        except UnavailableError as error:
            return Asked(None, None, str(error))
        more = dict(environments.worker(runtime))
    else:
        probe = adapter.probe()
    if not probe.available:
        mend = f"; to mend it: {probe.remedy}" if probe.remedy else ""
        return Asked(probe.version, None, f"{probe.reason}{mend}")
    outcome = spawn({"task": "axes", "runtime": runtime, **more}, {}, ASKING_TIMEOUT_S)
    status = outcome.body.get("status", outcome.status)
    if status != "ok":
        return Asked(probe.version, None, outcome.reason or str(outcome.body.get("reason")))
    return Asked(probe.version, tuple(outcome.body["settings"]))


def document(runtime: str, adapter: Runtime, asked: Asked) -> dict[str, Any]:
    """Everything that is said about a runtime's axes, as JSON values."""
    from runtimes import coverage

    here = asked.settings or ()
    return {
        "runtime": runtime,
        "title": adapter.title,
        "version": asked.version,
        "not_asked": asked.why_not or None,
        "shared": [
            {"name": name, "default": default, "values": list(values), "help": what}
            for name, default, values, what in SHARED
        ],
        "axes": [
            {
                "name": option.name,
                "default": option.default,
                "tried": list(option.values),
                "allowed": option.allowed(),
                "help": option.help,
                "settings": list(option.settings),
                "since": option.since or None,
                "needs": dict(option.needs),
            }
            for option in adapter.options
        ],
        "clashes": [
            {"values": {name: list(values) or "any but the default" for name, values in clash.values}, "why": clash.why}
            for clash in adapter.clashes
        ],
        "fixed": [{"setting": one.setting, "why": one.why} for one in adapter.fixed],
        "settings": None if asked.settings is None else sorted(here),
        "unknown": list(coverage.unknown(adapter.options, adapter.fixed, here)),
        "absent": list(coverage.absent(adapter.options, adapter.fixed, here)) if here else [],
    }


def _print(entry: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=170)
    version = f" {entry['version']}" if entry["version"] else ""
    varied = [axis for axis in entry["axes"] if len(axis["tried"]) > 1]
    console.print(
        f"{entry['title']}{version}: {len(entry['axes'])} options, of which a sweep tries {len(varied)}; "
        f"{len(entry['fixed'])} settings are no axis",
        markup=False,
    )
    console.print(_axes(entry))
    if entry["clashes"]:
        console.print(_rows(("do not go together", "why"), [_clash(clash) for clash in entry["clashes"]]))
    if entry["fixed"]:
        console.print(_rows(("no axis", "why"), [(one["setting"], one["why"]) for one in entry["fixed"]]))
    if entry["not_asked"]:
        console.print(f"the installed version could not be asked what it has: {entry['not_asked']}", markup=False)
    elif entry["settings"]:
        count = len(entry["settings"])
        if entry["unknown"]:
            unknown = ", ".join(entry["unknown"])
            console.print(f"unknown to rtfloor, of the {count} settings of this version: {unknown}", markup=False)
        else:
            console.print(f"all {count} settings of this version are accounted for above", markup=False)
        if entry["absent"]:
            console.print(f"not in this version: {', '.join(entry['absent'])}", markup=False)


def _axes(entry: dict[str, Any]) -> Table:
    rows = [(axis["name"], axis["default"], ", ".join(axis["values"]), axis["help"], "") for axis in entry["shared"]]
    for axis in entry["axes"]:
        tried = ", ".join(_said(value) for value in axis["tried"]) if len(axis["tried"]) > 1 else axis["allowed"]
        notes = [f"since {axis['since']}"] if axis["since"] else []
        notes += [f"with {name}={_said(value)}" for name, value in axis["needs"].items()]
        called = "; ".join([*axis["settings"], *notes])
        rows.append((axis["name"], _said(axis["default"]), tried, axis["help"], called))
    return _rows(("axis", "default", "values", "what it does", "the vendor's name, since, needs"), rows)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _clash(clash: dict[str, Any]) -> tuple[str, str]:
    parts = []
    for name, values in clash["values"].items():
        said = values if isinstance(values, str) else " or ".join(map(_said, values))
        parts.append(f"{name}: {said}" if isinstance(values, str) else f"{name}={said}")
    return "; ".join(parts), str(clash["why"])


def _said(value: Any) -> str:
    from runtimes.options import text

    return text(value) or "''"
