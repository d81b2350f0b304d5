"""Task: write a model down in another form, and check that it still says the same.

The file is written only when it was checked, or when nobody could check it, which is said.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plan import ModelSpec
from bench.tasks.prepare import card_of
from models.atomic import write_atomically
from models.compare import compare, verdict
from models.errors import ModelError
from models.inputs import make_inputs
from models.names import unwritable
from models.reference import ReferenceUnsupported, evaluate
from models.surgery.catalogue import RAW, form_precision

if TYPE_CHECKING:
    from models.card import Card

CALLS = 3


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with what each pass did, how far the answers moved, and what was not checked.

    The request has ``spec``, ``form`` and ``target``, where the file goes.
    """
    spec, form, target = ModelSpec(**request["spec"]), request["form"], Path(request["target"])
    with tempfile.TemporaryDirectory(prefix="rtfloor-surgery-") as name:
        raw, formed = (card_of(spec, wanted, 1, Path(name)) for wanted in (RAW, form))
        error, unchecked = _compared(raw, formed)
        try:
            content = Path(formed.path).read_bytes()
            write_atomically(target, lambda file: file.write(content))
        except OSError as problem:
            raise unwritable("model", target, problem) from problem
    return {
        "target": str(target),
        "form": formed.form,
        "sha256": formed.sha256,
        "passes": list(formed.surgery),
        "nodes": [raw.nodes, formed.nodes],
        "operators": formed.operators,
        "opset": formed.opset,
        "warnings": [text for text in formed.warnings if text not in raw.warnings],
        "error": error,
        "unchecked": unchecked,
    }


def _compared(raw: Card, formed: Card) -> tuple[dict[str, Any] | None, str]:
    """The largest error of the form against the form raw, and why there is none."""
    if formed.batch != raw.batch:
        return None, "it takes several signals in a call; 'rtfloor run --layout batch2' compares them with one"
    feeds = make_inputs(raw, CALLS, 1)[0]
    kinds = {port.name: port.dtype for port in formed.inputs}
    try:
        expected = evaluate(raw, feeds)
        got = evaluate(formed, [{name: value.astype(kinds[name]) for name, value in feed.items()} for feed in feeds])
    except ReferenceUnsupported as refusal:
        return None, str(refusal)
    precision = "+".join({raw.precision, form_precision(formed.form)})
    worst: dict[str, Any] = {}
    for number, (want, have) in enumerate(zip(expected, got, strict=True)):
        # Another element type is what some forms are for.
        same = [value.astype(like.dtype) for value, like in zip(have, want, strict=True)]
        error = compare(want, same, raw.output_names)
        text = verdict(error, precision, "the form raw", subject=f"{formed.name}/{formed.form}, input {number}")
        if text:
            raise ModelError(f"nothing was written: {text}")
        if not worst or error.max_abs_error > worst["max_abs"]:
            worst = {"max_abs": error.max_abs_error, "peak": error.peak, "snr_db": error.snr_db, "cosine": error.cosine}
    return worst, ""
