"""From a zoo name or a user's file to a card and an ONNX file with static sizes."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from models.atomic import write_atomically
from models.build import build
from models.card import Card, Port
from models.errors import ModelError
from models.facts import Audio, facts
from models.inputs import with_values
from models.signature import fix_shapes, guessed_batches, show, signature
from models.userfile import digest, external_files, load_user_model, structural_warnings, tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FIXED_NAME = "fixed-sizes.onnx"
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
_INT4 = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
# QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearConv, ConvInteger, QAttention, …
_QUANTISED = re.compile(r"Quantize|Integer|(^|::)(QLinear|QGemm|QAttention|DynamicQuant)")
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


def prepare_zoo(name: str, form: str, batch: int, folder: Path) -> Card:
    """Build a zoo model and keep it in ``folder`` under a name made of its content.

    Args:
        name: a key of :func:`models.facts.zoo`.
        form: one of the model's forms.
        batch: signals per call.
        folder: where generated models lie; made if missing.

    Raises:
        ModelError: no such model or form, or the folder cannot be written.
    """
    model = build(name, form, batch)
    content = model.SerializeToString(deterministic=True)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder.absolute() / f"{name}-{form}-b{batch}-{sha256[:16]}.onnx"
    try:
        if not (path.is_file() and path.read_bytes() == content):
            write_atomically(path, lambda file: file.write(content))
    except OSError as error:
        raise _unwritable(folder, error) from error
    inputs, outputs, _ = signature(model, {})
    entry = facts(name)
    return Card(
        name=name,
        form=form,
        batch=batch,
        path=str(path),
        sha256=sha256,
        inputs=inputs,
        outputs=outputs,
        states={},
        audio_s=entry.audio.seconds,
        audio=_words(entry.audio),
        parameters=entry.parameters,
        signal=entry.signal,
        **_contents(model),
    )


def prepare_user(
    path: Path,
    *,
    batch: int = 1,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    audio_s: float | None = None,
    values: Mapping[str, str] | None = None,
    folder: Path,
) -> Card:
    """Check a user's file and make its card.

    A file whose input sizes are all static is used where it lies. Otherwise a copy with fixed
    sizes goes into ``folder``, its external data beside it.

    Args:
        path: the ONNX file.
        batch: signals per call.
        shapes: input name -> sizes for one signal (``--shape``).
        states: state input -> output fed back into it (``--state``).
        audio_s: seconds of audio one call answers for.
        values: input name -> what goes in (``--input``), see :mod:`models.inputs`.
        folder: where generated models lie; made if missing.

    Raises:
        ModelError: anything about the file or these arguments that does not fit.
    """
    path, states = path.absolute(), dict(states or {})
    if audio_s is not None and not (math.isfinite(audio_s) and audio_s > 0):
        raise ModelError(f"{audio_s} seconds of audio per call is not possible; give a number above 0")
    model = load_user_model(path)
    inputs, outputs, rewrite = signature(model, shapes or {}, batch, states)
    _check_states(states, inputs, outputs)
    warnings = structural_warnings(path) + guessed_batches(model, shapes or {})
    sha256 = digest(path, model)
    file = path
    if rewrite:
        fixed = fix_shapes(model, inputs)
        file = _write_fixed(fixed, external_files(model, path), path, sha256, folder)
        sha256 = digest(file, fixed)
        if any(node.op_type == "If" for node in _nodes(model.graph)):
            warnings.append(
                f"{path.name} has If nodes and its sizes were fixed: a runtime that also checks the branch "
                "not taken may refuse it; an export without If, or for one case only, is safer"
            )
    card = Card(
        name=path.stem,
        form="raw",
        batch=batch,
        path=str(file),
        sha256=sha256,
        inputs=inputs,
        outputs=outputs,
        states=states,
        audio_s=audio_s,
        audio="not given" if audio_s is None else f"{audio_s:g} s per call, as given",
        parameters=_parameters(model),
        signal="normal",
        **_contents(model),
    )
    warnings += _warnings(card)
    return replace(with_values(card, values or {}), warnings=tuple(warnings))


def _check_states(states: Mapping[str, str], inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    sources, targets = {p.name: p for p in outputs}, {p.name: p for p in inputs}
    for name, source in states.items():
        given = f"--state {name}={source}"
        if name not in targets:
            raise ModelError(f"{given}: the model has no input {name!r}; its inputs are {', '.join(targets)}")
        if source not in sources:
            raise ModelError(f"{given}: the model has no output {source!r}; its outputs are {', '.join(sources)}")
        goes_in, comes_out = targets[name], sources[source]
        if goes_in.dtype != comes_out.dtype:
            raise ModelError(f"{given}: the input is {goes_in.dtype} and the output {comes_out.dtype}; they must agree")
        # An output of unknown size is compared when it first comes back.
        if comes_out.shape is not None and goes_in.shape != comes_out.shape:
            raise ModelError(
                f"{given}: the input has the shape {show(goes_in.sizes)} and the output {show(comes_out.shape)}; "
                "they must agree, so that one call's answer fits the next call"
            )


def _write_fixed(model: onnx.ModelProto, external: Sequence[Path], path: Path, sha256: str, folder: Path) -> Path:
    content = model.SerializeToString(deterministic=True)
    key = hashlib.sha256(sha256.encode() + content).hexdigest()[:16]
    home = folder.absolute() / f"{path.stem}-{key}"
    if any(file.name == _FIXED_NAME for file in external):
        raise ModelError(
            f"{path} keeps external data in a file called {_FIXED_NAME}; rename that file and export again"
        )
    try:
        if not (home / _FIXED_NAME).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", suffix=".partial", dir=folder) as name:
                staging = Path(name) / "whole"
                staging.mkdir()
                for file in external:
                    target = staging / os.path.normpath(file.relative_to(path.parent))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    # A copy: onnx refuses data with a second hard link, even in the user's own folder.
                    shutil.copyfile(file, target)
                (staging / _FIXED_NAME).write_bytes(content)
                # Somebody else may have been quicker; what is there has the same content.
                if not home.exists():
                    staging.rename(home)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return home / _FIXED_NAME


def _contents(model: onnx.ModelProto) -> dict[str, Any]:
    counts = Counter(
        f"{n.domain}::{n.op_type}" if n.domain not in {"", "ai.onnx"} else n.op_type for n in _nodes(model.graph)
    )
    opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    return {
        "nodes": counts.total(),
        "operators": dict(sorted(counts.items())),
        "opset": opset,
        "precision": _precision(model, set(counts)),
    }


def _precision(model: onnx.ModelProto, operators: set[str]) -> str:
    types = {tensor.data_type for tensor in tensors(model)}
    if types & _INT4 or any(name.endswith("MatMulNBits") for name in operators):
        return "int4"
    if any(_QUANTISED.search(name) for name in operators):
        return "int8"
    types |= {value.type.tensor_type.elem_type for value in model.graph.input}
    return "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32"


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for sub in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(sub)


def _parameters(model: onnx.ModelProto) -> int:
    # Scalars are epsilons and exponents of the exporter, not something that was trained.
    return sum(math.prod(t.dims) for t in tensors(model) if t.dims and t.data_type in _FLOATS)


def _warnings(card: Card) -> list[str]:
    found = []
    foreign = [op for op in card.operators if "::" in op]
    if foreign:
        found.append(f"operators outside the ONNX standard, which a runtime may refuse: {', '.join(foreign)}")
    random = sorted(_RANDOM & set(card.operators))
    if random:
        found.append(f"{', '.join(random)} draws anew at each call, so no answer can be checked against another")
    found += [
        f"output {port.name!r} has a size that shows only when the model runs"
        for port in card.outputs
        if port.shape is None
    ]
    return found


def _words(audio: Audio) -> str:
    plural = "s" if audio.frames != 1 else ""
    return f"{audio.frames} frame{plural} x {audio.hop} samples / {audio.sample_rate} Hz"


def _unwritable(folder: Path, error: OSError) -> ModelError:
    return ModelError(f"cannot keep the model in {folder}: {error.strerror or error}; choose a folder you may write to")
