"""A script that makes an application's own modules of PyTorch with the settings of one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimes.torch_axes import inductor_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.base import Request

# PyTorch reads no ONNX, so the script loads what torch.export writes.
SCRIPT = """\
# PyTorch reads no ONNX file. What was measured is a module that rtfloor made of one; MODEL is your own, saved by
#   torch.export.save(torch.export.export(module.eval(), example_inputs), MODEL)
# with the same inputs in the same order: {names}.
import os

{variables}
import torch

MODEL = {model!r}
NAMES = {names}

{settle}

def load():
    module = torch.export.load(MODEL).module(){channels_last}
{compiled}

sessions = [load() for _ in range({sessions})]


def answer(feeds, session=0):
    with torch.{grad_mode}():
        tensors = [torch.from_numpy(feeds[name].copy()) for name in NAMES]
{inputs}        return [output.contiguous().numpy().copy() for output in sessions[session](*tensors)]
"""


def script(request: Request, variables: Mapping[str, str]) -> str:
    """The whole script.

    Args:
        request: of the cell.
        variables: of the environment, set before the import.
    """
    given = request.options
    last = bool(given["channels_last"])
    return SCRIPT.format(
        variables="".join(f"os.environ[{name!r}] = {value!r}\n" for name, value in variables.items()),
        model=str(request.model.with_suffix(".pt2")),
        names=[item.name for item in request.inputs],
        settle="\n".join(_settle(request)) + "\n",
        channels_last=".to(memory_format=torch.channels_last)" if last else "",
        compiled=_compiled(request),
        sessions=request.sessions,
        grad_mode=given["grad_mode"],
        inputs=_LAST if last else "",
    )


_LAST = """\
        last = torch.channels_last
        tensors = [t.contiguous(memory_format=last) if t.dim() == 4 else t for t in tensors]
"""


def _settle(request: Request) -> list[str]:
    given = request.options
    lines = [
        f"torch.set_num_threads({request.threads})",
        "torch.set_num_interop_threads(1)",
        'torch.set_float32_matmul_precision("highest")',
        'for kind in ("matmul", "conv", "rnn"):',
        '    if hasattr(getattr(torch.backends.mkldnn, kind, None), "fp32_precision"):',
        '        getattr(torch.backends.mkldnn, kind).fp32_precision = "ieee"',
    ]
    if not given["mkldnn"]:
        lines.append("torch.backends.mkldnn.enabled = False")
    if not given["nnpack"]:
        lines.append("torch.backends.nnpack.set_flags(False)")
    if given["flush_denormal"]:
        lines.append("torch.set_flush_denormal(True)")
    if given["deterministic"]:
        lines.append("torch.use_deterministic_algorithms(True)")
    return lines


def _compiled(request: Request) -> str:
    if request.options["compiler"] == "eager":
        return "    return module\n"
    told = inductor_settings(request.options)
    config = "".join(f"    inductor.{name} = {value!r}\n" for name, value in told.items())
    if config:
        config = f"    import torch._inductor.config as inductor\n\n{config}"
    mode = request.options["mode"]
    how = "" if mode == "default" else f", mode={mode!r}"
    return f"{config}    return torch.compile(module, fullgraph=True, dynamic=False{how})\n"
