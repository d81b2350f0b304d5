"""From options to what ONNX Runtime is told, as plain values: the adapter carries them out, the snippet prints them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from runtimes.errors import UnsupportedError
from runtimes.ort_axes import ARENAS, AXES, LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.base import Request
    from runtimes.options import Value

# Options whose value does not go on as it is; told() says what does.
SPECIAL = {
    "execution_mode", "execution_order", "graph_optimization_level", "model_format", "intra_op_num_threads",
    "inter_op_num_threads", "pin_threads", "env_allocators", "enable_memory_arena_shrinkage",
}  # fmt: skip
SHRINK = ("memory.enable_memory_arena_shrinkage", "cpu:0")
ATTRIBUTE = "SessionOptions."


@dataclass(frozen=True)
class Told:
    """What the library is told for one set of options.

    Attributes:
        attributes: of ``SessionOptions``; text names a member of the module, such as ``ExecutionMode.ORT_PARALLEL``.
        entries: configuration keys of a session.
        run_entries: configuration keys of a call.
        variables: of the environment.
        pools: threads of the common pools, inside and across nodes; None where every session has its own.
        arena: how an arena of the process grows; None where there is none.
    """

    attributes: Mapping[str, Value]
    entries: Mapping[str, str]
    run_entries: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    pools: tuple[int, int] | None = None
    arena: int | None = None


def told(request: Request) -> Told:
    """Threads, and every option that is not at its default."""
    given = request.options
    changed = {
        option.name: (option, given[option.name])
        for option in AXES
        if option.name in given and given[option.name] != option.default
    }
    inside, across = thread_counts(given, request.threads)
    shared = "use_per_session_threads" in changed
    attributes: dict[str, Value] = {} if shared else {"intra_op_num_threads": inside}
    if "execution_mode" in changed:
        attributes["execution_mode"] = "ExecutionMode.ORT_PARALLEL"
        attributes |= {} if shared else {"inter_op_num_threads": across}
    if "graph_optimization_level" in changed:
        level = LEVELS[str(given["graph_optimization_level"])]
        attributes["graph_optimization_level"] = f"GraphOptimizationLevel.{level}"
    if "execution_order" in changed:
        attributes["execution_order"] = f"ExecutionOrder.{str(given['execution_order']).upper()}"
    entries, variables = {}, {}
    if "env_allocators" in changed:
        entries["session.use_env_allocators"] = "1"
    for name, (option, value) in changed.items():
        if name in SPECIAL:
            continue
        for setting in option.settings:
            if setting.startswith(ATTRIBUTE):
                attributes[setting.removeprefix(ATTRIBUTE)] = value
            elif setting.isupper():
                variables[setting] = text(value)
            else:
                entries[setting] = text(value)
    sessions = request.sessions
    return Told(
        attributes,
        entries,
        dict([SHRINK]) if "enable_memory_arena_shrinkage" in changed else {},
        variables,
        # Callers compute, too: so many that with them there are as many threads as the sessions' own pools would have.
        (sessions * (inside - 1) + 1, sessions * (across - 1) + 1) if shared else None,
        ARENAS[str(given["env_allocators"])] if "env_allocators" in changed else None,
    )


def thread_counts(options: Mapping[str, Value], threads: int) -> tuple[int, int]:
    """Threads inside nodes and across them, the caller counted in both.

    Args:
        options: of the request.
        threads: of one session.
    """
    parallel = options.get("execution_mode") == "parallel"
    inside, across = (int(options.get(name, 0)) for name in ("intra_op_num_threads", "inter_op_num_threads"))
    if not parallel:
        return inside or threads, 1
    return inside or (max(1, threads - across + 1) if across else threads), across or threads


def refusal(options: Mapping[str, Value], threads: int) -> str:
    """Why so many threads cannot be had; empty where they can.

    Args:
        options: of the request.
        threads: of one session.
    """
    asked = {name: int(options.get(name, 0)) for name in ("intra_op_num_threads", "inter_op_num_threads")}
    for name, count in asked.items():
        if count > threads:
            return f"{name}={count} is more than the {threads} of a session; give the cell more threads"
    together = sum(asked.values()) - 1
    if all(asked.values()) and options.get("execution_mode") == "parallel" and together > threads:
        return (
            f"{asked['intra_op_num_threads']} threads inside nodes and {asked['inter_op_num_threads']} across them are "
            f"{together} with the caller, more than the {threads} of a session; leave one of the two at 0"
        )
    return ""


def affinities(request: Request, number: int) -> str:
    """Processors for the pool threads of one session, as the library wants them: counted from 1, one per thread.

    Args:
        request: for all sessions.
        number: which session.

    Returns:
        Empty where the caller is the only thread.

    Raises:
        UnsupportedError: the process may not use as many processors as there are threads.
    """
    inside, _ = thread_counts(request.options, request.threads)
    allowed = sorted(os.sched_getaffinity(0))
    if inside * request.sessions > len(allowed):
        raise UnsupportedError(
            f"onnxruntime: pin_threads needs a processor for each of {inside * request.sessions} threads, and this "
            f"process may use {len(allowed)}; ask for fewer threads"
        )
    # The first of a session's processors is left to the caller, whom the library does not pin.
    return ";".join(str(processor + 1) for processor in allowed[number * inside + 1 : (number + 1) * inside])


def member(ort: Any, value: Value) -> Any:
    """The value of an attribute: text is looked up in the module.

    Raises:
        UnsupportedError: this version does not have it.
    """
    if not isinstance(value, str):
        return value
    try:
        return reduce(getattr, value.split("."), ort)
    except AttributeError:
        raise UnsupportedError(f"this onnxruntime has no {value}; another version may have it") from None


def text(value: Value) -> str:
    """As a configuration key wants it: switches as digits."""
    if value in ("true", "false") or isinstance(value, bool):
        return "1" if value in ("true", True) else "0"
    return str(value)
