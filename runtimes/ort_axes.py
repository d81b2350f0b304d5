"""What ONNX Runtime can be told that may change how long a call takes: one option per knob.

``since`` was found by looking for each name in the wheels of every minor release from 1.17 to 1.32. Configuration keys
are taken without complaint even where they do not exist, and most bad values, too: nothing but what is declared here
is ever passed on, and a default passes nothing on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimes.options import Clash, Option
from runtimes.ort_axes_graph import GRAPH, KERNELS

if TYPE_CHECKING:
    from runtimes.options import Value

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
# The file names under which a graph is kept that was rewritten ahead.
FORMATS = {"optimised": ".optimised.onnx", "ort": ".ort"}
# How the environment's arena grows, and the number the library has for it.
ARENAS = {"power_of_two": 0, "as_requested": 1}
PARALLEL = (("execution_mode", "parallel"),)

BASICS = (
    Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),
    Option(
        "graph_optimization_level",
        "all",
        "how far the graph is rewritten on load; layout: since 1.23",
        tuple(LEVELS),
        settings=("SessionOptions.graph_optimization_level",),
    ),
    Option(
        "execution_mode",
        "sequential",
        "nodes one by one, or side by side",
        ("sequential", "parallel"),
        settings=("SessionOptions.execution_mode",),
    ),
    Option("enable_mem_reuse", True, "reuse a dead tensor's memory", settings=("SessionOptions.enable_mem_reuse",)),
    Option(
        "enable_mem_pattern",
        True,
        "plan memory once per input shape",
        settings=("SessionOptions.enable_mem_pattern",),
    ),
    Option(
        "enable_cpu_mem_arena",
        True,
        "keep freed memory for the next call",
        settings=("SessionOptions.enable_cpu_mem_arena",),
    ),
    Option(
        "allow_spinning",
        True,
        "idle pool threads spin before they sleep",
        settings=("session.intra_op.allow_spinning", "session.inter_op.allow_spinning"),
    ),
)

THREADS = (
    Option(
        "intra_op_num_threads",
        0,
        "threads inside a node, at most those of the cell; 0: all of them",
        minimum=0,
        settings=("SessionOptions.intra_op_num_threads",),
        tried=(1,),
    ),
    Option(
        "inter_op_num_threads",
        0,
        "threads across nodes, taken off those inside a node; 0: as many as the cell has, beside as many inside",
        minimum=0,
        settings=("SessionOptions.inter_op_num_threads",),
        tried=(1, 2),
        needs=PARALLEL,
    ),
    Option(
        "inter_op_allow_spinning",
        True,
        "idle threads across nodes spin before they sleep",
        settings=("session.inter_op.allow_spinning",),
        needs=PARALLEL,
    ),
    Option(
        "spin_duration_us",
        -1,
        "how long idle pool threads spin, microseconds; -1: the library counts rounds instead",
        minimum=-1,
        settings=("session.intra_op.spin_duration_us", "session.inter_op.spin_duration_us"),
        since="1.26.0",
        tried=(50, 1000),
    ),
    Option(
        "spin_backoff_max",
        1,
        "most pauses between two looks for work while spinning, doubled from 1 on; the library stops at 64",
        minimum=1,
        settings=("session.intra_op.spin_backoff_max", "session.inter_op.spin_backoff_max"),
        since="1.26.0",
        tried=(8,),
    ),
    Option(
        "force_spinning_stop",
        False,
        "pool threads stop spinning when a call ends",
        settings=("session.force_spinning_stop",),
    ),
    Option(
        "dynamic_block_base",
        0,
        "split work into blocks that get smaller, from this many for each thread; 0: equal blocks",
        minimum=0,
        settings=("session.dynamic_block_base",),
        tried=(2, 4),
    ),
    Option(
        "pin_threads",
        False,
        "every pool thread on a processor of its own, of those that the process may use",
        settings=("session.intra_op_thread_affinities",),
    ),
    Option(
        "use_per_session_threads",
        True,
        "false: all sessions share one pool, with as many threads as their own pools would have",
        settings=("SessionOptions.use_per_session_threads",),
        since="1.23.0",
    ),
)

MEMORY = (
    Option(
        "env_allocators",
        "session",
        "memory from the session's own arena, or from one of the process that grows to powers of two or as requested",
        ("session", *ARENAS),
        settings=("session.use_env_allocators",),
    ),
    Option(
        "use_device_allocator_for_initializers",
        False,
        "weights in memory of their own instead of the arena's",
        settings=("session.use_device_allocator_for_initializers",),
    ),
    Option(
        "enable_memory_arena_shrinkage",
        False,
        "give the arena's unused memory back after every call",
        settings=("memory.enable_memory_arena_shrinkage",),
    ),
)

MODEL_FORMAT = Option(
    "model_format",
    "onnx",
    "load the ONNX file, the graph rewritten ahead, or that in the library's own format",
    ("onnx", *FORMATS),
    settings=("SessionOptions.optimized_model_filepath",),
)

MAPPED = Option(
    "use_memory_mapped_ort_model",
    False,
    "leave weights in the mapped file",
    settings=("session.use_memory_mapped_ort_model",),
    since="1.26.0",
    needs=(("model_format", "ort"),),
)

AXES = (*BASICS, *THREADS, *MEMORY, *GRAPH, *KERNELS, MODEL_FORMAT, MAPPED)


def _clash(one: tuple[str, Value], name: str, why: str) -> Clash:
    """One value beside any of another option but its default."""
    return Clash(((one[0], (one[1],)), (name, ())), why)


_SHARED = ("use_per_session_threads", False)
_SEQUENTIAL = ("execution_mode", "sequential")
_NO_SPINNING = ("allow_spinning", False)
_NO_SETTINGS = "the pool that sessions share is made without settings"
_ONE_BY_ONE = "nodes that run one by one have no threads across nodes; add execution_mode=parallel"
_NOT_SPINNING = "threads that never spin have nothing to set about it; leave allow_spinning=true"

CLASHES = (
    *(
        _clash(_SHARED, name, f"{_NO_SETTINGS}; leave {name} alone, or use_per_session_threads=true")
        for name in (
            "allow_spinning",
            "inter_op_allow_spinning",
            "spin_duration_us",
            "spin_backoff_max",
            "dynamic_block_base",
            "pin_threads",
            "set_denormal_as_zero",
        )
    ),
    *(_clash(_SEQUENTIAL, name, _ONE_BY_ONE) for name in ("inter_op_num_threads", "inter_op_allow_spinning")),
    *(
        _clash(_NO_SPINNING, name, _NOT_SPINNING)
        for name in ("inter_op_allow_spinning", "spin_duration_us", "spin_backoff_max", "force_spinning_stop")
    ),
    _clash(
        ("enable_cpu_mem_arena", False),
        "enable_memory_arena_shrinkage",
        "without an arena there is none to shrink; leave enable_cpu_mem_arena=true",
    ),
)
