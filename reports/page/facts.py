"""Where, when and how: the host, its noise, the environment, and the command that does it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports import gpu
from reports.budgets import budgets
from reports.page.html import Html, join, tag
from reports.page.parts import Section, listed, origin
from reports.page.tables import Column, Value, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.source import Source

HOST = {
    "cpu": "processor",
    "cpus_usable": "processors that could be used",
    "smt": "two threads per core",
    "isa": "instruction sets",
    "caches": "caches",
    "memory_bytes": "memory",
    "virtual": "virtual machine",
    "system": "system",
    "kernel": "kernel",
    "governor": "governor",
    "boost": "boost",
    "frequency_max_khz": "highest clock, kHz",
    "python": "Python",
    "fingerprint": "fingerprint",
}


def facts_section(source: Source) -> Section:
    """The machine, the settings and the packages."""
    facts = source.facts
    noise = source.noise
    profile = facts.get("profile") or {}
    settings = [
        ("run file", tag("code", source.path.name)),
        ("measured", f"{facts.get('created', 'unknown')} (UTC), rtfloor {facts.get('rtfloor', 'unknown')}"),
        ("profile", f"{profile.get('name', 'unknown')}: {profile.get('title', '')}".rstrip(": ")),
        ("seed", facts.get("seed")),
        ("processors", _cpus(facts.get("cpus"))),
    ]
    disturbed = [
        ("processes", noise.processes),
        ("others busy", _share(noise.foreign, "of processes, for more than 5 % of processor time")),
        ("steal", _share(noise.steal, "of processes, more than 2 % taken by the hypervisor")),
        ("apart", _share(noise.apart, "of processes more than 10 % from their cell's median")),
        ("widest", None if noise.widest is None else f"{noise.widest:.2f} × between two equal processes"),
    ]
    environment = facts.get("environment") or {}
    body = [
        tag("h3", "Again"),
        tag("pre", tag("code", facts.get("command") or "unknown")),
        listed(settings),
        tag("h3", "Host"),
        listed([(shown, _fact(key, source.host.get(key))) for key, shown in HOST.items()]),
        *_gpus(source),
        tag("h3", "Noise"),
        tag("p", noise.sentence),
        listed(disturbed),
        tag("h3", "Packages"),
        _versions(environment.get("packages") or {}, "package", "version"),
    ]
    if environment.get("variables"):
        shown = _versions(environment["variables"], "variable", "value")
        body += [tag("details", tag("summary", "environment variables that can change an engine"), shown)]
    return Section("facts", "Host, noise and how to repeat it", join(body), "Host")


def _gpus(source: Source) -> list[Html]:
    """The GPUs, and what was seen of the one that measured."""
    known = [gpu.described(found) for found in source.facts.get("gpus") or ()]
    used = source.facts.get("gpu") or {}
    if used:
        known.insert(0, f"measured on: {used.get('name')} ({used.get('identity')}), CUDA {used.get('cuda_driver')}")
    seen = gpu.watched(source.records)
    if not known and not seen:
        return []
    return [tag("h3", "GPU"), tag("ul", *(tag("li", line) for line in known)), listed(seen)]


def origins_section(source: Source) -> Section:
    """Which figure comes from where."""
    where = f"run {source.name} on {source.host.get('cpu', 'an unknown processor')}, host {fingerprint(source)}"
    items = [
        (origin("measured"), f" timed here: {where}. Filled on charts."),
        (origin("published"), " somebody else's, with source and line. Hatched on charts."),
        (
            origin("derived"),
            " worked out, with its formula: floors, ratios, operations counted from a graph. Outlined.",
        ),
    ]
    rows = [
        [budget.name, Value(f"{budget.most_ms:g} ms", budget.most_ms), origin("published"), budget.source]
        for budget in budgets()
    ]
    columns = [Column("budget"), Column("most", number=True), Column("origin"), Column("source")]
    body = join(
        [
            tag("ul", *(tag("li", label, said) for label, said in items)),
            tag("h3", "Budgets"),
            table(columns, rows, "Latency budgets"),
        ]
    )
    return Section("origins", "Where figures come from", body, "Origins")


def fingerprint(source: Source) -> str:
    """The host's, or a word that says that nobody noted it."""
    return str(source.host.get("fingerprint") or "unknown")


def _versions(found: Mapping[str, Any], name: str, value: str) -> Html:
    if not found:
        return tag("p", "None were noted.")
    # A version is no figure: 2.10 comes after 2.9.
    return table([Column(name), Column(value)], [(key, said) for key, said in found.items()], f"{name}s")


def _cpus(cpus: Any) -> str:
    return "all that the system gave" if not cpus else ", ".join(map(str, cpus))


def _share(value: float | None, what: str) -> str:
    return "unknown" if value is None else f"{value:.0%} {what}"


def _fact(key: str, value: Any) -> str | None:
    if value is None:
        return "unknown" if key in {"governor", "boost"} else None
    if key == "memory_bytes":
        return f"{value / 2**30:.1f} GiB"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {size}" for name, size in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none of note"
    return str(value)
