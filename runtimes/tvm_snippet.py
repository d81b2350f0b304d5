"""The script that makes an application's own sessions: TVM with these threads, sessions and options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtimes.base import Snippet
from runtimes.tvm_axes import LAYOUTS, pass_config, target_attributes, variables

if TYPE_CHECKING:
    from pathlib import Path

    from runtimes.base import Request

HEAD = """\
import os

import tvm
from tvm import relax

MODEL = {model}
# Compiled once; delete it when the model, TVM or the processor changes.
LIBRARY = MODEL + {ending}
"""
DATABASE = """\
# What {trials} trials of MetaSchedule found for this model, this processor and this number of threads.
DATABASE = {folder}
"""
COMPILE = """
INPUTS = {inputs}


def compile_library():
    # Needs the package onnx and a C++ compiler; an application that brings LIBRARY along needs neither.
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    target = tvm.target.Target({target})
    shapes = {{name: shape for name, shape, _ in INPUTS}}
    module = from_onnx(onnx.load(MODEL), shapes, keep_params_in_input=False)
    module = relax.transform.DecomposeOpsForInference()(module)
    module = relax.transform.CanonicalizeBindings()(module)
{layout}    with target, tvm.transform.PassContext(config={config}):
        module = relax.get_pipeline("zero")(module)
{tuned}        relax.build(module, target, exec_mode={mode}).export_library(LIBRARY)


if not os.path.exists(LIBRARY):
    compile_library()
MODULE = tvm.runtime.load_module(LIBRARY)
MACHINES = [relax.VirtualMachine(MODULE, tvm.cpu(), {memory})["main"] for _ in range({sessions})]
# Of TVM's own, since its code assumes an alignment that NumPy does not promise.
TENSORS = [[tvm.runtime.empty(shape, dtype, tvm.cpu()) for _, shape, dtype in INPUTS] for _ in MACHINES]


def answer(feeds, session=0):
    for (name, _, _), tensor in zip(INPUTS, TENSORS[session]):
        tensor.copyfrom(feeds[name])
    result = MACHINES[session](*TENSORS[session])
    return [tensor.numpy() for tensor in ([result] if hasattr(result, "numpy") else result)]
"""
LAYOUT = '    module = relax.transform.ConvertLayout({{"relax.nn.conv2d": {layout}}})(module)\n'
TUNED = """\
        from tvm.s_tir.meta_schedule.database import JSONDatabase

        with JSONDatabase(work_dir=DATABASE, allow_missing=False):
            module = relax.transform.MetaScheduleApplyDatabase()(module)
"""
HOST = {"mtriple": "tvm.target.codegen.llvm_get_system_triple()", "mcpu": "tvm.target.codegen.llvm_get_system_cpu()"}


def write_snippet(request: Request, processor: str, ending: str, records: Path | None) -> Snippet:
    """The script, and the same as keys and values.

    Args:
        request: what was measured.
        processor: ``generic`` or ``host``.
        ending: of the library's name; other settings, another ending.
        records: the folder of the tuning's; None without tuning.
    """
    options = request.options
    told = {"kind": "llvm", **target_attributes(options), **({} if records is None else {"num-cores": request.threads})}
    layout = LAYOUTS[str(options["conv_layout"])]
    inputs = [(tensor.name, list(tensor.shape), tensor.dtype) for tensor in request.inputs]
    python = HEAD.format(model=_quoted(request.model), ending=_quoted(f".{ending}"))
    if records is not None:
        python += DATABASE.format(trials=options["trials"], folder=_quoted(records))
    python += COMPILE.format(
        inputs=repr(inputs),
        target=_target(told, processor),
        layout=LAYOUT.format(layout=list(layout)) if layout else "",
        config=repr(pass_config(options)),
        tuned="" if records is None else TUNED,
        mode=_quoted(options["exec_mode"]),
        memory=_quoted(options["memory_cfg"]),
        sessions=request.sessions,
    )
    return Snippet(python, _settings(request, told, processor), variables(options, request.threads))


def _target(told: dict[str, Any], processor: str) -> str:
    """The dictionary as code; what is asked of the system stays a call."""
    host = [f'"{name}": {call}' for name, call in HOST.items()] if processor == "host" else []
    return "{" + ", ".join([f'"{name}": {value!r}' for name, value in told.items()] + host) + "}"


def _settings(request: Request, told: dict[str, Any], processor: str) -> dict[str, str]:
    options = request.options
    settings = {f"target.{name}": _said(value) for name, value in told.items()}
    if processor == "host":
        settings |= {f"target.{name}": call for name, call in HOST.items()}
    settings |= {f"PassContext.{name}": _said(value) for name, value in pass_config(options).items()}
    settings["relax.build.exec_mode"] = str(options["exec_mode"])
    settings["VirtualMachine.memory_cfg"] = str(options["memory_cfg"])
    if layout := LAYOUTS[str(options["conv_layout"])]:
        settings["relax.transform.ConvertLayout"] = f"relax.nn.conv2d: {', '.join(layout)}"
    if options["trials"]:
        settings["tune_tasks.max_trials_global"] = str(options["trials"])
    return settings


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(words: object) -> str:
    return json.dumps(str(words), ensure_ascii=False)
