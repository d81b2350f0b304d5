"""From a zoo name or a user's file to a card and an ONNX file with static sizes."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from models.atomic import write_atomically
from models.build import build
from models.card import Card, Port
from models.contents import contents, weights_counted
from models.errors import FixedBatchError, ModelError
from models.facts import KINDS, Audio, facts
from models.graph import noted_states
from models.inputs import with_values
from models.names import slug, unwritable
from models.signature import fix_shapes, guessed_batches, show, signature
from models.surgery.catalogue import RAW, form_name, parse_form
from models.surgery.make import make_form
from models.userfile import (
    digest,
    digest_of,
    external_files,
    load_user_model,
    load_with_data,
    structural_warnings,
)
from models.walk import RANDOM, all_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.surgery.base import OrtTools
    from models.surgery.chain import Done

_FIXED_NAME = "fixed-sizes.onnx"


def prepare_zoo(name: str, form: str, batch: int, folder: Path, ort: OrtTools | None = None) -> Card:
    """Build a zoo model and keep it in ``folder`` under a name made of its content.

    Args:
        name: a key of :func:`models.facts.zoo`.
        form: passes joined by ``+``, or ``raw``.
        batch: signals per call.
        folder: where generated models lie; made if missing.
        ort: ONNX Runtime's offline tools, for the passes that use them.

    Raises:
        ModelError: no such model or form, a pass cannot be done, or the folder cannot be written.
    """
    entry, form = facts(name), form_name(form)
    model = build(name, batch)
    inputs, outputs, _ = signature(model, {})
    card = Card(
        name=name,
        form=RAW,
        batch=batch,
        path="",
        sha256="",
        inputs=inputs,
        outputs=outputs,
        states=noted_states(model),
        audio_s=entry.audio.seconds,
        audio=_words(entry.audio),
        parameters=entry.parameters,
        signal=entry.signal,
        kinds=dict(entry.outputs),
        **contents(model),
    )
    if form == RAW:
        return _kept(card, model, folder)
    parent = _kept(card, model, folder)
    changed, done = make_form(
        model, form, (parent, lambda: prepare_zoo(name, RAW, 1, folder) if batch != 1 else parent), ort
    )
    return _kept(_reformed(card, changed, form, done), changed, folder)


def prepare_user(
    path: Path,
    *,
    form: str = RAW,
    batch: int = 1,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    audio_s: float | None = None,
    values: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    folder: Path,
    ort: OrtTools | None = None,
) -> Card:
    """Check a user's file and make its card.

    In the form ``raw`` a file whose input sizes are all static is used where it lies, and so is one
    with branches, which fixed sizes may contradict. Otherwise a copy goes into ``folder``: with fixed
    sizes and its external data beside it, or rewritten by the passes of its form.

    Args:
        path: the ONNX file.
        form: passes joined by ``+``, or ``raw``.
        batch: signals per call; where the file fixes its batch at 1, the pass ``batch`` is tried.
        shapes: input name -> sizes for one signal (``--shape``).
        states: state input -> output fed back into it (``--state``).
        audio_s: seconds of audio one call answers for.
        values: input name -> what goes in (``--input``), see :mod:`models.inputs`.
        kinds: output name -> what it is, see :mod:`models.quality`.
        folder: where generated models lie; made if missing.
        ort: ONNX Runtime's offline tools, for the passes that use them.

    Raises:
        ModelError: anything about the file or these arguments that does not fit.
    """
    form = form_name(form)

    def raw(signals: int) -> Card:
        given = (shapes or {}, dict(states or {}), audio_s, values or {}, dict(kinds or {}))
        return _user_raw(path, signals, *given, folder)

    try:
        card = raw(batch)
    except FixedBatchError as refusal:
        grown = f"batch{batch}" if form == RAW else f"batch{batch}+{form}"
        try:
            return replace(_reform(raw(1), grown, folder, ort), form=form)
        except ModelError as error:
            raise ModelError(f"{refusal}; nor could it be rewritten: {error}") from error
    return card if form == RAW else _reform(card, form, folder, ort)


def _reform(card: Card, form: str, folder: Path, ort: OrtTools | None) -> Card:
    """A user's model in another form, made of the card of its form ``raw``."""
    model = load_with_data(Path(card.path))
    changed, done = make_form(model, form, (card, lambda: replace(card, batch=1)), ort)
    formed = _reformed(card, changed, form, done)
    if card.constants and len(formed.inputs) == len(card.inputs):
        formed = with_values(replace(formed, constants={}), card.constants)
    return _kept(formed, changed, folder)


def _reformed(card: Card, model: onnx.ModelProto, form: str, done: Sequence[Done]) -> Card:
    """The card of a rewritten model: what it means stays, what is in it is looked up again."""
    inputs, outputs, _ = signature(model, {})
    batch = next((step.number or 1 for step in parse_form(form) if step.facts.name == "batch"), 1)
    notes = tuple(f"form {form}: {note}" for one in done for note in one.notes)
    return replace(
        card,
        form=form,
        batch=card.batch * batch,
        warnings=(*card.warnings, *notes),
        surgery=tuple(asdict(one) for one in done),
        inputs=inputs,
        outputs=outputs,
        **contents(model),
    )


def _kept(card: Card, model: onnx.ModelProto, folder: Path) -> Card:
    """The card, its model written into ``folder`` under a name made of its content."""
    content = model.SerializeToString(deterministic=True)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder.absolute() / f"{slug(card.name)}-{slug(card.form)}-b{card.batch}-{sha256[:16]}.onnx"
    try:
        if not _holds(path, content):
            write_atomically(path, lambda file: file.write(content))
    except OSError as error:
        raise unwritable("model", path, error) from error
    return replace(card, path=str(path), sha256=sha256)


def _user_raw(
    path: Path,
    batch: int,
    shapes: Mapping[str, tuple[int, ...]],
    states: dict[str, str],
    audio_s: float | None,
    values: Mapping[str, str],
    kinds: dict[str, str],
    folder: Path,
) -> Card:
    path = path.absolute()
    if audio_s is not None and not (math.isfinite(audio_s) and audio_s > 0):
        raise ModelError(f"{audio_s} seconds of audio per call is not possible; give a number above 0")
    model = load_user_model(path)
    inputs, outputs, rewrite = signature(model, shapes, batch, states)
    _check_states(states, inputs, outputs)
    warnings = structural_warnings(path) + guessed_batches(model, shapes)
    file, sha256 = path, digest(path, model)
    if rewrite:
        fixed = fix_shapes(model, inputs)
        present = {node.op_type for node in all_nodes(model.graph)}
        # Runtimes check the branch not taken more strictly than onnx does, so an If is never trusted
        # to survive. The adapters take the sizes from the card: an open size in the file is no loss.
        if "If" in present or ("Loop" in present and not _type_checks(fixed) and _type_checks(model)):
            warnings.append(
                f"the input sizes were left open in {path.name}: it has If or Loop nodes, and fixed sizes can "
                "contradict a branch that is not taken, so that runtimes refuse the file; an export for one "
                "case only, without these nodes, may be faster"
            )
        else:
            file, sha256 = _write_fixed(fixed, external_files(model, path), path, sha256, folder)
            model = fixed
    card = Card(
        name=path.stem,
        form=RAW,
        batch=batch,
        path=str(file),
        sha256=sha256,
        inputs=inputs,
        outputs=outputs,
        states=states,
        audio_s=audio_s,
        audio="not given" if audio_s is None else f"{audio_s:g} s per call, as given",
        parameters=weights_counted(model),
        signal="normal",
        kinds=_checked_kinds(kinds, outputs),
        **contents(model),
    )
    warnings += _warnings(card)
    return replace(with_values(card, values), warnings=tuple(warnings))


def _checked_kinds(kinds: dict[str, str], outputs: Sequence[Port]) -> dict[str, str]:
    names = [port.name for port in outputs]
    for name, kind in kinds.items():
        if name not in names:
            raise ModelError(
                f"--output {name}={kind}: the model has no output {name!r}; its outputs: {', '.join(names)}"
            )
        if kind not in KINDS:
            raise ModelError(f"--output {name}={kind}: there is no kind {kind!r}; there are {', '.join(KINDS)}")
    return kinds


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


def _write_fixed(
    model: onnx.ModelProto, external: Sequence[Path], path: Path, sha256: str, folder: Path
) -> tuple[Path, str]:
    """The copy with fixed sizes and its digest, which is that of what should be there, never of what is."""
    if any(file.name == _FIXED_NAME for file in external):
        raise ModelError(
            f"{path} keeps external data in a file called {_FIXED_NAME}; rename that file and export again"
        )
    content = model.SerializeToString(deterministic=True)
    key = hashlib.sha256(sha256.encode() + content).hexdigest()[:16]
    home = folder.absolute() / f"{slug(path.stem)}-{key}"
    # Name in the copy -> source.
    sources = {os.path.normpath(file.relative_to(path.parent)): file for file in external}
    try:
        if not _whole(home, content, sources):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fixed-", suffix=".partial", dir=folder) as name:
                staging = Path(name) / "whole"
                staging.mkdir()
                for target, file in sources.items():
                    (staging / target).parent.mkdir(parents=True, exist_ok=True)
                    # A copy: onnx refuses data with a second hard link, even in the user's own folder.
                    shutil.copyfile(file, staging / target)
                (staging / _FIXED_NAME).write_bytes(content)
                # Somebody else may have been quicker; then theirs stays, which may be in use.
                if not _whole(home, content, sources):
                    _replace(staging, home, lambda: _whole(home, content, sources))
    except OSError as error:
        raise unwritable("model", home, error) from error
    return home / _FIXED_NAME, digest_of(content, external, path.parent)


def _whole(home: Path, content: bytes, sources: Mapping[str, Path]) -> bool:
    """Whether a copy made earlier still is what would be written now, to the last byte."""
    return _holds(home / _FIXED_NAME, content) and all(
        _same(home / target, source) for target, source in sources.items()
    )


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == content
    except OSError:
        return False


def _same(copy: Path, source: Path) -> bool:
    try:
        # Links are read, but refused by onnx and by the engines that use its checks.
        if copy.is_symlink() or not copy.is_file() or copy.stat().st_nlink != 1:
            return False
        with copy.open("rb") as one, source.open("rb") as other:
            return hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()
    except OSError:
        return False


def _replace(staging: Path, home: Path, whole: Callable[[], bool]) -> None:
    if home.is_symlink() or home.is_file():
        home.unlink()
    else:
        shutil.rmtree(home, ignore_errors=True)
    try:
        staging.rename(home)
    except OSError:
        # Another process put its own there in between.
        if not whole():
            raise


def _type_checks(model: onnx.ModelProto) -> bool:
    """Whether strict shape inference, which runtimes do at load, accepts the graph."""
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception:  # noqa: BLE001  # it raises several types; a model over 2 GiB cannot be asked
        return False
    return True


def _warnings(card: Card) -> list[str]:
    found = []
    foreign = [op for op in card.operators if "::" in op]
    if foreign:
        found.append(f"operators outside the ONNX standard, which a runtime may refuse: {', '.join(foreign)}")
    random = sorted(RANDOM & set(card.operators))
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
