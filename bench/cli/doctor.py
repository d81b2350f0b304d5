"""``rtfloor doctor``: what can run here, what mends what cannot, and how steady this machine is."""

from __future__ import annotations

import json
from typing import Any

import click

from bench.cli.flags import json_flag


@click.command()
@json_flag
@click.option(
    "--device",
    type=click.Choice(["all", "cpu", "gpu"]),
    default="all",
    show_default=True,
    help="Only runtimes of processors, or of GPUs; 'gpu' leaves out how steady the processors are.",
)
def doctor(*, as_json: bool, device: str) -> None:
    """Say which runtimes can run here, and how steady this machine is.

    Nothing of a runtime is imported; the machine is watched for a few seconds.
    """
    from bench import host, paths
    from bench.environments import cached
    from bench.steadiness import steadiness
    from reports.gpu import described
    from runtimes import registry
    from runtimes.errors import UnavailableError
    from runtimes.gpu.nvml import gpu_facts

    rows: list[dict[str, Any]] = []
    for name in registry.names():
        try:
            adapter = registry.get(name)
            probe = adapter.probe()
        except UnavailableError as error:
            rows.append({"runtime": name, "available": False, "version": None, "reason": str(error), "remedy": ""})
            continue
        if device not in ("all", adapter.device):
            continue
        rows.append(
            {
                "runtime": name,
                "title": adapter.title,
                "device": adapter.device,
                "available": probe.available,
                "version": probe.version,
                "reason": probe.reason,
                "remedy": probe.remedy,
            }
        )
    facts, gpus = host.host_facts(), gpu_facts()
    folder = paths.cache() / "environments"
    kept = cached(folder)
    steady = steadiness() if device != "gpu" else None
    if as_json:
        click.echo(
            json.dumps({"runtimes": rows, "host": facts, "gpus": gpus, "steadiness": steady, "environments": kept})
        )
        return
    click.echo("runtimes:")
    for row in rows:
        if row["available"]:
            click.echo(f"  yes  {row['runtime']:12} {row['version'] or ''}")
        else:
            mend = f"; to mend it: {row['remedy']}" if row["remedy"] else ""
            click.echo(f"  no   {row['runtime']:12} {row['reason']}{mend}")
    if kept:
        # uv shares files between environments and its own cache, so that they can take less.
        size = sum(one["bytes"] for one in kept) / 1e6
        click.echo(f"environments of named versions, {size:.0f} MB at most, in {folder}; any can be deleted:")
        for one in kept:
            click.echo(f"  {one['bytes'] / 1e6:6.0f} MB  {one['name']}")
    for gpu in gpus:
        click.echo(f"GPU: {described(gpu)}")
    if not gpus:
        click.echo("GPU: none from NVIDIA with a working driver")
    if steady is None:
        return
    caches = ", ".join(f"{name} {size}" for name, size in facts["caches"].items())
    virtual = ", a virtual machine" if facts["virtual"] else ""
    click.echo(f"machine: {facts['cpu']}, {facts['cpus_usable']} CPUs usable{virtual}; {caches}")
    click.echo(f"  instructions: {' '.join(facts['isa'])}")
    governor = facts["governor"] or "unknown"
    click.echo(f"  clock governor: {governor}; SMT: {_yes(facts['smt'])}; boost: {_yes(facts['boost'])}")
    click.echo(f"steadiness: {steady['sentence']}")


def _yes(value: object) -> str:
    return {None: "unknown", True: "on", False: "off"}[value]  # type: ignore[index]  # a fact is one of these
