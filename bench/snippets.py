"""The best cell as code to paste: asked of its adapter when a search is over, and kept beside the run."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.tasks.common import engine_request
from models.card import Card
from models.surgery.catalogue import RAW
from results.summary import summarise
from results.tuned import of_run
from runtimes import registry
from runtimes.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.plan import Cell, Plan
    from bench.prepare import Preparer, Ready
    from results.runfile import RunFile


def note_snippet(run: RunFile, plan: Plan, ready: Mapping[str, Ready], preparer: Preparer) -> None:
    """Write the winner's code beside the run file, and keep it in the run."""
    if plan.goal is None:
        return
    records = list(run.records())
    outcome = of_run(run.facts(), summarise(run.cells(), records), records)
    best = outcome.best if outcome is not None else None
    if best is None:
        run.set_fact("snippet", None)
        return
    cell = next(cell for cell in plan.cells if cell.id == best)
    found = snippet_of(cell, plan, ready[best], preparer)
    if "python" in found:
        script, settings = (run.path.with_name(f"{run.path.stem}-best.{ending}") for ending in ("py", "json"))
        values = {"cell": best, "settings": found["settings"], "environment": found["environment"]}
        # A full disk costs the copies beside the run, and nothing that was measured.
        with suppress(OSError):
            script.write_text(found["python"], "utf-8")
            settings.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
            # The run may be moved, and its neighbours with it.
            found["file"] = script.name
    run.set_fact("snippet", found)


def snippet_of(cell: Cell, plan: Plan, ready: Ready, preparer: Preparer) -> dict[str, Any]:
    """The code of one cell as JSON values, or why there is none."""
    card = Card.from_json(ready.cards[1])
    adapter = registry.get(cell.runtime)
    file, command = _model_file(cell, plan)
    request = replace(engine_request(preparer.request(cell), card), model=Path(file))
    try:
        made = adapter.snippet(request)
    except EngineError as error:
        return {"cell": cell.id, "why_not": str(error)}
    head = f"# {cell.id}, as measured by rtfloor with {adapter.title} {ready.version or ''}".rstrip() + ".\n"
    if not made.loads_onnx:
        command = ""
    if command:
        head += f"# The model's file is written by: {command}\n"
    return {
        "cell": cell.id,
        "python": head + made.python,
        "settings": dict(made.settings),
        "environment": dict(made.environment),
        "model_command": command,
    }


def _model_file(cell: Cell, plan: Plan) -> tuple[str, str]:
    """The file that an application loads, and the command that writes it; none for a file of the user's as it is."""
    path = plan.models[cell.model].path
    form = cell.form if cell.batch == 1 else f"{cell.form}+batch{cell.batch}"
    if path is not None and form == RAW:
        return path, ""
    file = f"{Path(cell.model).stem}-{form.replace('+', '-')}.onnx"
    return file, f"rtfloor models surgery {path or cell.model} --form {form} -o {file}"
