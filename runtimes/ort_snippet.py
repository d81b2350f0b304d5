"""The script that makes an application's own sessions: ONNX Runtime with these threads, sessions and options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runtimes.base import Snippet
from runtimes.ort_axes import ARENAS, FORMATS
from runtimes.ort_model import FORMAT, rewritten_ahead
from runtimes.ort_settings import affinities, thread_counts, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimes.base import Request
    from runtimes.ort_settings import Told

ARENA = """\
ort.create_and_register_allocator(
    ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT),
    ort.OrtArenaCfg({{"arena_extend_strategy": {number}}}),  # {words}
)"""
PINNED = """\
    # One processor per pool thread, counted from 1; the first is left to whoever calls.
    mine = sorted(os.sched_getaffinity(0))[number * {inside} + 1 : (number + 1) * {inside}]
    options.add_session_config_entry("session.intra_op_thread_affinities", ";".join(str(cpu + 1) for cpu in mine))"""
REWRITTEN = """\
    # The graph is rewritten once; delete the file when the model, the library or the processor changes.
    if not os.path.exists(REWRITTEN):
        options.optimized_model_filepath = REWRITTEN
        ort.InferenceSession(MODEL, options, providers={providers})
        options.optimized_model_filepath = ""
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL"""


def write_snippet(request: Request, providers: Sequence[object]) -> Snippet:
    """The script, and the same as keys and values.

    Args:
        request: what was measured.
        providers: names of the library's providers.
    """
    said = told(request)
    pinned = bool(request.options.get("pin_threads")) and thread_counts(request.options, request.threads)[0] > 1
    lines = [*(["import os", ""] if pinned or rewritten_ahead(request) else []), "import onnxruntime as ort", ""]
    lines += [f"MODEL = {_quoted(request.model)}"]
    if rewritten_ahead(request):
        lines += [f"REWRITTEN = MODEL + {_quoted(FORMATS[str(request.options[FORMAT])])}"]
    lines += [f"OUTPUTS = {_list([output.name for output in request.outputs])}", ""]
    common = _common(said)
    lines += [*common, ""] if common else []
    lines += ["", f"def load({'number' if pinned else ''}):", *_options(request, said, pinned=pinned)]
    path = "MODEL"
    if rewritten_ahead(request):
        lines += [REWRITTEN.format(providers=_list(providers))]
        path = "REWRITTEN"
    lines += [f"    return ort.InferenceSession({path}, options, providers={_list(providers)})", "", ""]
    call = "load(number)" if pinned else "load()"
    one = "load(0)" if pinned else "load()"
    loop = f"{call} for {'number' if pinned else '_'} in range({request.sessions})"
    lines += [f"SESSIONS = [{one if request.sessions == 1 else loop}]"]
    if said.run_entries:
        lines += ["CALL = ort.RunOptions()"]
        lines += [
            f"CALL.add_run_config_entry({_quoted(key)}, {_quoted(value)})" for key, value in said.run_entries.items()
        ]
    more = ", CALL" if said.run_entries else ""
    lines += ["", "", "def answer(feeds, session=0):", f"    return SESSIONS[session].run(OUTPUTS, feeds{more})", ""]
    return Snippet("\n".join(lines), _settings(request, said, pinned=pinned), dict(said.variables))


def _common(said: Told) -> list[str]:
    """What is made once for the process."""
    lines = []
    if said.pools:
        lines += ["# Before anything else: threads inside nodes and across them, for all sessions together."]
        lines += [f"ort.set_global_thread_pool_sizes({said.pools[0]}, {said.pools[1]})"]
    if said.arena is not None:
        words = next(name for name, number in ARENAS.items() if number == said.arena).replace("_", " ")
        lines += [ARENA.format(number=said.arena, words=f"grows {'to a ' if said.arena == 0 else ''}{words}")]
    return lines


def _options(request: Request, said: Told, *, pinned: bool) -> list[str]:
    """The body of the function, up to the session."""
    lines = ["    options = ort.SessionOptions()"]
    for name, value in said.attributes.items():
        lines += [f"    options.{name} = {f'ort.{value}' if isinstance(value, str) else repr(value)}"]
    for key, value in said.entries.items():
        lines += [f"    options.add_session_config_entry({_quoted(key)}, {_quoted(value)})"]
    if pinned:
        lines += [PINNED.format(inside=thread_counts(request.options, request.threads)[0])]
    return lines


def _settings(request: Request, said: Told, *, pinned: bool) -> dict[str, str]:
    """Keys and values in the vendor's spelling; variables are told apart from them."""
    settings = {f"SessionOptions.{name}": str(value) for name, value in said.attributes.items()}
    settings |= {**said.entries, **said.run_entries}
    if said.pools:
        settings["set_global_thread_pool_sizes"] = f"{said.pools[0]}, {said.pools[1]}"
    if said.arena is not None:
        settings["OrtArenaCfg.arena_extend_strategy"] = str(said.arena)
    if pinned:
        settings["session.intra_op_thread_affinities"] = affinities(request, 0)
    if rewritten_ahead(request):
        settings["SessionOptions.optimized_model_filepath"] = FORMATS[str(request.options[FORMAT])]
    return settings


def _quoted(words: object) -> str:
    return json.dumps(str(words), ensure_ascii=False)


def _list(words: Sequence[object]) -> str:
    return f"[{', '.join(map(_quoted, words))}]"
