"""A script that makes an application's own requests of OpenVINO with the settings of one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.base import Request

SCRIPT = """\
{head}import openvino as ov

MODEL = {model!r}
SETTINGS = {settings}
SHAPES = {shapes}

core = ov.Core()
model = core.read_model(MODEL)
if any(port.partial_shape.is_dynamic for port in model.inputs):
    model.reshape(dict(enumerate(SHAPES.values())))
compiled = core.compile_model(model, "CPU", SETTINGS)
requests = [compiled.create_infer_request() for _ in range({sessions})]
{memory}

def answer(feeds, session=0):
    request = requests[session]
{call}
"""

# The memory of a request is looked at once, here and not in two threads at the same time, which can wait for ever.
MEMORY = """\
memory = [[request.get_input_tensor(index).data for index in range(len(SHAPES))] for request in requests]
"""
COPY = """\
    for place, name in zip(memory[session], SHAPES):
        place[...] = feeds[name]
"""
CALLS = {
    ("infer", False): COPY + "    answers = request.infer()\n",
    ("infer", True): "    answers = request.infer([feeds[name] for name in SHAPES], share_inputs=True)\n",
    ("start_async", False): COPY + "    request.start_async()\n    request.wait()\n",
    ("start_async", True): (
        "    request.start_async([feeds[name] for name in SHAPES], share_inputs=True)\n    request.wait()\n"
    ),
}
RETURNS = {
    "infer": "    return [answers[index] for index in range({outputs})]",
    "start_async": "    return [request.get_output_tensor(index).data.copy() for index in range({outputs})]",
}


def script(request: Request, settings: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """The whole script.

    Args:
        request: of the cell.
        settings: what the model is compiled with.
        environment: variables, set before the import because the library reads them once.
    """
    call, share = str(request.options["call"]), bool(request.options["share_inputs"])
    head = "".join(f"os.environ[{name!r}] = {value!r}\n" for name, value in environment.items())
    return SCRIPT.format(
        head=f"import os\n\n{head}\n" if head else "",
        model=str(request.model),
        settings=dict(settings),
        shapes={item.name: list(item.shape) for item in request.inputs},
        sessions=request.sessions,
        memory="" if share else MEMORY,
        call=CALLS[call, share] + RETURNS[call].format(outputs=len(request.outputs)),
    )
