"""``rtfloor models``: the zoo, and surgery on a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench.cli.flags import file_spec, json_flag
from bench.errors import UserError
from bench.plan import ModelSpec
from bench.spawn import spawn
from models.errors import ModelError
from models.facts import ModelFacts, facts, zoo
from models.surgery.catalogue import PASSES, form_name

SURGERY_TIMEOUT_S = 900.0


@click.group(name="models", invoke_without_command=True)
@json_flag
@click.pass_context
def models_command(context: click.Context, /, *, as_json: bool) -> None:
    """The models that ship with rtfloor, and other forms of them or of a file of yours."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@models_command.command(name="list")
@json_flag
def list_command(*, as_json: bool = False) -> None:
    """List the zoo, with forms, sizes, work, and where the figures come from."""
    if as_json:
        click.echo(json.dumps({"models": [_entry(entry) for entry in zoo().values()]}))
        return
    for entry in zoo().values():
        click.echo(f"{entry.name:20} {entry.title}")
        audio = f"{entry.audio.seconds * 1000:.2f} ms of audio per call"
        click.echo(f"{'':20} {audio}; {_count(entry)}; {entry.nodes} nodes; {entry.flops / 1e9:.3g} GFLOP")
        click.echo(f"{'':20} forms: {', '.join(entry.forms)}; {entry.provenance}")


def _count(entry: ModelFacts) -> str:
    difference = entry.parameters_difference
    beside = f" ({difference:+.2%} of the published {entry.parameters_published:,})" if difference is not None else ""
    return f"{entry.parameters:,} parameters{beside}"


def _entry(entry: ModelFacts) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "forms": list(entry.forms),
        "audio_s": entry.audio.seconds,
        "frames": entry.audio.frames,
        "hop": entry.audio.hop,
        "sample_rate": entry.audio.sample_rate,
        "parameters": entry.parameters,
        "parameters_published": entry.parameters_published,
        "parameters_difference": entry.parameters_difference,
        "published_in": entry.published_in,
        "nodes": entry.nodes,
        "flops": entry.flops,
        "outputs": dict(entry.outputs),
        "claims": list(entry.claims),
        "provenance": entry.provenance,
    }


@models_command.command(name="passes")
@json_flag
def passes_command(*, as_json: bool) -> None:
    """List the passes that forms are made of."""
    if as_json:
        keys = ("name", "title", "precision", "number")
        passes = [{key: getattr(entry, key) for key in keys} for entry in PASSES.values()]
        click.echo(json.dumps({"passes": passes}))
        return
    for entry in PASSES.values():
        name = entry.name + ("N" if entry.number else "")
        judged = "" if entry.precision == "fp32" else f" (judged as {entry.precision})"
        click.echo(f"{name:16} {entry.title}{judged}")


@models_command.command(name="surgery")
@click.argument("model", metavar="FILE|NAME")
@click.option("--form", required=True, help="Passes, in order, such as ln,fp16; 'rtfloor models passes' lists them.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Where the new file goes.")
@click.option("--shape", "shapes", multiple=True, metavar="INPUT=1,2,3", help="Sizes of a dynamic input.")
@click.option("--input", "inputs", multiple=True, metavar="INPUT=SPEC", help="Number, LO..HI, or .npy file to feed.")
@click.option("--state", "states", multiple=True, metavar="INPUT=OUTPUT", help="Output fed back on the next call.")
@json_flag
def surgery_command(
    *,
    model: str,
    form: str,
    out: Path,
    shapes: tuple[str, ...],
    inputs: tuple[str, ...],
    states: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a model down in another form, checked against what it was."""
    try:
        name = form_name(form)
        spec = ModelSpec(facts(model).name) if model in zoo() else None
    except ModelError as error:
        raise UserError(str(error)) from None
    if spec is None:
        spec = file_spec(Path(model).stem, model, shapes=shapes, inputs=inputs, states=states)
    elif shapes or inputs or states:
        raise UserError("--shape, --input and --state describe a file of yours; a zoo model brings its own")
    if name == "raw":
        raise UserError("--form raw changes nothing; name at least one pass, 'rtfloor models passes' lists them")
    _check_target(model, out)
    request = {"task": "surgery", "spec": asdict(spec), "form": name, "target": str(out.absolute())}
    outcome = spawn(request, {}, SURGERY_TIMEOUT_S)
    if outcome.status != "ok" or outcome.body["status"] != "ok":
        raise UserError(outcome.reason or str(outcome.body["reason"]))
    click.echo(json.dumps(outcome.body) if as_json else "\n".join(_report(outcome.body)))


def _check_target(model: str, out: Path) -> None:
    """Refuse a target that is a folder, no file, or the model itself."""
    try:
        if out.is_dir():
            example = out / f"{Path(model).stem}.onnx"
            raise UserError(f"--out {out} is a folder; give the new file a name, such as {example}")
        if out.exists() and not out.is_file():
            raise UserError(f"--out {out} is no file; name one")
        if out.exists() and Path(model).exists() and out.samefile(model):
            raise UserError(f"--out {out} is the model itself, which stays as it is; give the new file another name")
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror or error}") from None


def _report(body: dict[str, Any]) -> list[str]:
    lines = []
    for one in body["passes"]:
        nodes, size = f"{one['nodes_before']} → {one['nodes_after']} nodes", one["bytes_after"] / one["bytes_before"]
        lines.append(f"{one['step']:16} {one['places']} places, {nodes}, file × {size:.2f}")
    lines += [f"note: {text}" for text in body["warnings"]]
    if body["error"]:
        ratio = body["error"]["snr_db"]
        snr = "no difference" if ratio is None else f"signal-to-error ratio {ratio:.1f} dB"
        lines.append(f"checked against the form raw: max abs error {body['error']['max_abs']:.2e}, {snr}")
    else:
        lines.append(f"not checked: {body['unchecked']}")
    return [*lines, f"written: {body['target']}"]
