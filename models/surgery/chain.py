"""Carry out the passes of a form, each checked before and after."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from models.errors import ModelError
from models.signature import real_inputs

if TYPE_CHECKING:
    from models.surgery.base import Change, Context, Pass
    from models.surgery.catalogue import Step


@dataclass(frozen=True)
class Done:
    """One pass as it went.

    Attributes:
        step: as a user types it.
        places: how many places it changed.
        nodes_before, nodes_after: nodes at the top level.
        bytes_before, bytes_after: size of the whole file.
        notes: full sentences.
    """

    step: str
    places: int
    nodes_before: int
    nodes_after: int
    bytes_before: int
    bytes_after: int
    notes: tuple[str, ...]


def operate(
    model: onnx.ModelProto, steps: tuple[Step, ...], context: Context, subject: str
) -> tuple[onnx.ModelProto, list[Done]]:
    """The model after all passes, and what each did.

    Args:
        model: external data loaded; not changed.
        steps: from :func:`models.surgery.catalogue.parse_form`.
        context: what passes may need.
        subject: the model's name, for messages.

    Raises:
        ModelError: a pass found nothing to change, cannot be done, or broke the graph; names the pass.
    """
    done = []
    for step in steps:
        before = model
        module: Pass = importlib.import_module(f"models.surgery.{step.facts.module}")
        try:
            change = module.apply(before, step, context)
        except ModelError as error:
            raise ModelError(f"form {step.text} of {subject}: {error}") from error
        if not change.places:
            hint = "; its sizes are open: with static first, more can be seen" if _open(before) else ""
            raise ModelError(
                f"form {step.text} of {subject}: there is nothing in this graph to change ({step.facts.title}){hint}"
            )
        model = change.model
        _check(before, change, step, subject)
        done.append(
            Done(
                step.text,
                change.places,
                len(before.graph.node),
                len(model.graph.node),
                before.ByteSize(),
                model.ByteSize(),
                change.notes,
            )
        )
    return model, done


def _open(model: onnx.ModelProto) -> bool:
    """Whether an input leaves a size open."""
    dims = [dim for value in real_inputs(model) for dim in value.type.tensor_type.shape.dim]
    return any(not dim.HasField("dim_value") or dim.dim_value <= 0 for dim in dims)


def _check(before: onnx.ModelProto, change: Change, step: Step, subject: str) -> None:
    """Whether the pass left a graph that is one, with the same inputs and outputs."""
    after = change.model
    for what, old, new in (
        ("inputs", real_inputs(before), real_inputs(after)),
        ("outputs", before.graph.output, after.graph.output),
    ):
        if [value.name for value in old] != [value.name for value in new]:
            raise ModelError(f"form {step.text} of {subject}: the pass changed the {what}; that is a fault of the pass")
    problem = _problem(after, step) if change.checkable else ""
    # Exporters leave graphs that engines take and the checker does not: only what is new is the pass's.
    if problem and problem != _problem(before, step):
        raise ModelError(f"form {step.text} of {subject}: the pass left a broken graph: {problem}")


def _problem(model: onnx.ModelProto, step: Step) -> str:
    """What ``onnx`` has against a graph; foreign domains are not judged."""
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=not step.facts.custom, data_prop=True)
    except Exception as error:  # noqa: BLE001  # the checker raises several types
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""
