"""``rtfloor list``: the plan, and nothing run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from bench.cli.flags import PlanFlags, json_flag, plan_flags
from bench.suite import builtin_names


@click.command(name="list")
@plan_flags
@json_flag
def list_command(*, as_json: bool, **flags: Any) -> None:
    """Print the cells that 'run' would measure, without running anything.

    SUITE is a built-in suite or a TOML file of yours; without one and without --model, the
    built-in suites are listed.
    """
    chosen = PlanFlags(**flags)
    if chosen.suite is None and not chosen.models:
        names = builtin_names()
        click.echo(json.dumps({"suites": names}) if as_json else "suites: " + ", ".join(names))
        return
    plan = chosen.plan()
    if as_json:
        cells = [{"cell": cell.id, **asdict(cell)} for cell in plan.cells]
        click.echo(json.dumps({"title": plan.title, "profile": plan.profile, "cells": cells}))
        return
    click.echo(f"{plan.title} (profile {plan.profile}: {len(plan.cells)} cells)")
    for cell in plan.cells:
        click.echo(f"  {cell.id}")
