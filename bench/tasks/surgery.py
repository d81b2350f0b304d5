"""Task: write a model down in another form, and check that it still says the same.

The file is written only when it was checked, or when nobody could check it, which is said. A
user's file keeps the sizes that it leaves open, unless the pass ``static`` is asked for.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plan import ModelSpec
from bench.tasks.common import ort_tools
from bench.tasks.prepare import card_of
from models.atomic import write_atomically
from models.errors import ModelError
from models.inputs import make_inputs
from models.names import slug
from models.quality import assess, judge
from models.reference import ReferenceUnsupported, evaluate
from models.surgery.catalogue import RAW, form_precision, parse_form
from models.surgery.make import make_form
from models.userfile import load_with_data

if TYPE_CHECKING:
    from models.card import Card

CALLS = 3


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with what each pass did, how far the answers moved, and what was not checked.

    The request has ``spec``, ``form`` and ``target``, where the file goes.
    """
    spec, form, target = ModelSpec(**request["spec"]), request["form"], Path(request["target"])
    with tempfile.TemporaryDirectory(prefix="rtfloor-surgery-") as name:
        raw = card_of(spec, RAW, 1, Path(name))
        formed, content = _zoo(spec, form, Path(name)) if spec.path is None else _user(spec, form, raw, Path(name))
        error, unchecked = _compared(raw, formed, form)
        try:
            write_atomically(target, lambda file: file.write(content))
        except OSError as problem:
            raise ModelError(f"cannot write {target}: {problem.strerror or problem}; name another --out") from problem
    return {
        "target": str(target),
        "form": form,
        "sha256": formed.sha256,
        "passes": list(formed.surgery),
        "nodes": [raw.nodes, formed.nodes],
        "operators": formed.operators,
        "opset": formed.opset,
        "warnings": [text for text in formed.warnings if text not in raw.warnings],
        "error": error,
        "unchecked": unchecked,
    }


def _zoo(spec: ModelSpec, form: str, folder: Path) -> tuple[Card, bytes]:
    card = card_of(spec, form, 1, folder)
    return card, Path(card.path).read_bytes()


def _user(spec: ModelSpec, form: str, raw: Card, folder: Path) -> tuple[Card, bytes]:
    """The card of the new file, for the sizes that are asked for, and the file's content."""
    changed, done = make_form(load_with_data(Path(str(spec.path))), form, (raw, lambda: raw), ort_tools())
    content: bytes = changed.SerializeToString(deterministic=True)
    written = folder / f"{slug(Path(str(spec.path)).stem)}-formed.onnx"
    written.write_bytes(content)
    batched = any(step.facts.name == "batch" for step in parse_form(form))
    # Sizes given for one signal do not fit a file that takes several.
    formed = card_of(replace(spec, path=str(written), shapes={} if batched else spec.shapes), RAW, 1, folder)
    notes = tuple(note for one in done for note in one.notes)
    return replace(formed, surgery=tuple(asdict(one) for one in done), warnings=(*formed.warnings, *notes)), content


def _plain(refusal: ReferenceUnsupported) -> str:
    return str(refusal).removesuffix("; choose another oracle")


def _compared(raw: Card, formed: Card, form: str) -> tuple[dict[str, Any] | None, str]:
    """How far the form's answers are from those of the form raw, and why that was not found out."""
    if [port.shape for port in raw.inputs] != [port.shape for port in formed.inputs]:
        return None, "it takes several signals in a call; 'rtfloor run --layout batch2' compares them with one"
    feeds = make_inputs(raw, CALLS, 1)[0]
    kinds = {port.name: port.dtype for port in formed.inputs}
    given = [{name: value.astype(kinds[name]) for name, value in feed.items()} for feed in feeds]
    try:
        expected = evaluate(raw, feeds)
        try:
            got = evaluate(formed, given)
        except ReferenceUnsupported as refusal:
            # Operators of somebody's own can only be unknown; all else that could be computed before must be now.
            if any("::" in operator and operator not in raw.operators for operator in formed.operators):
                raise
            raise ModelError(f"nothing was written, the new graph does not compute: {_plain(refusal)}") from refusal
    except ReferenceUnsupported as refusal:
        return None, _plain(refusal)
    quality = assess([expected], [got], raw.output_names, raw.kinds)
    precision = "+".join(sorted({raw.precision, form_precision(form)}))
    if text := judge(quality, precision):
        raise ModelError(f"nothing was written: {text}")
    keys = ("max_abs_error", "peak", "snr_db", "cosine")
    worst = {key: getattr(quality.worst, key) for key in keys}
    return {"max_abs": worst.pop("max_abs_error"), **worst}, ""
