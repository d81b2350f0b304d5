"""What TVM can be told that may change how long a call on the CPU takes: one option per knob, and how it is passed on.

A default passes nothing on. Which knobs change anything was found by compiling two convolution models with each and
comparing the machine code; those that left every byte as it was stand in :mod:`runtimes.tvm_fixed`.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.options import Clash, Option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.options import Value

# What LLVM may take for granted; "all" is the vendor's own word for the six together, fast-math.
FAST_MATH = ("nnan", "ninf", "nsz", "arcp", "contract", "reassoc")
# How data and weights of a two-dimensional convolution lie: each letter a dimension, the last one side by side.
LAYOUTS = {"NCHW": (), "NHWC": ("NHWC", "OHWI"), "NHWC_HWIO": ("NHWC", "HWIO")}
# The library's own, in src/runtime/thread_pool.cc.
SPINS = 300000
FUSED = 256
TUNED = (("trials", 64),)

OPTIONS = (
    Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),
    # Untuned loops do not profit from wider vectors: code for the host's own processor was slower
    # on one machine (197 ms against 137) and level on a second. Tuned ones do.
    Option(
        "target",
        "auto",
        "processor to compile for: any of this architecture, this one, or (auto) this one where it is tuned",
        ("auto", "generic", "host"),
        settings=("target.mcpu", "target.mtriple"),
        tried=("host",),
    ),
    Option(
        "trials",
        0,
        "candidates that MetaSchedule compiles and times, once, before anything is measured: about 10 s each; "
        "0 does not tune",
        minimum=0,
        settings=("tune_tasks.max_trials_global", "target.num-cores"),
        tried=(64, 256),
    ),
    Option(
        "conv_layout",
        "NCHW",
        "how data and weights of convolutions lie; the graph's own is NCHW",
        tuple(LAYOUTS),
        settings=("relax.transform.ConvertLayout",),
    ),
    Option(
        "mattr",
        "",
        "features of the processor for LLVM to add or leave out, by comma, such as +prefer-256-bit,-avx512f",
        settings=("target.mattr",),
        # Named for x86; LLVM ignores, in words, a feature that a processor cannot have.
        tried=("+prefer-256-bit",),
        needs=(("target", "host"),),
    ),
    Option("opt_level", 3, "how hard LLVM tries", (0, 1, 2, 3), settings=("target.opt-level",), tried=(1, 2)),
    Option(
        "fast_math",
        "none",
        "what LLVM may take for granted of floats: no NaNs, no infinities, no signed zeros, reciprocals for divisions, "
        "fused products and sums, sums in any order",
        ("none", *FAST_MATH, "all"),
        settings=("target.fast-math", *(f"target.fast-math-{name}" for name in FAST_MATH)),
        tried=("reassoc", "all"),
    ),
    Option(
        "cl_opt",
        "",
        "LLVM's own command-line options, by comma, such as -unroll-threshold:uint=1000",
        settings=("target.cl-opt",),
    ),
    Option(
        "fuse_depth",
        FUSED,
        "how many operators become one function at most; 1 fuses none",
        minimum=1,
        settings=("PassContext.relax.FuseOps.max_depth",),
        tried=(1,),
    ),
    Option("cse", True, "compute equal expressions once", settings=("PassContext.tirx.disable_cse_tir",)),
    Option(
        "storage_rewrite",
        True,
        "let buffers inside a function share memory",
        settings=("PassContext.tirx.disable_storage_rewrite",),
    ),
    Option(
        "asserts",
        True,
        "check arguments on entry to every function",
        settings=("PassContext.tirx.disable_assert",),
    ),
    Option(
        "unroll_steps",
        0,
        "unroll loops of up to so many steps before LLVM sees them",
        minimum=0,
        settings=("PassContext.tirx.UnrollLoop",),
        tried=(16,),
    ),
    Option(
        "exec_mode",
        "bytecode",
        "the order of calls: interpreted, or compiled as well",
        ("bytecode", "compiled"),
        settings=("relax.build.exec_mode",),
    ),
    Option(
        "memory_cfg",
        "pooled",
        "memory of intermediate results: kept from call to call, or asked of the system each time",
        ("pooled", "naive"),
        settings=("VirtualMachine.memory_cfg",),
    ),
    Option(
        "spin_count",
        SPINS,
        "how often a thread of the pool looks for work before it sleeps",
        minimum=0,
        settings=("TVM_THREAD_POOL_SPIN_COUNT",),
        tried=(0,),
        # Loops are shared out among threads only where they are tuned.
        needs=TUNED,
    ),
)

# Options that leave the code as it is.
SHAPELESS = ("memory_cfg", "spin_count")

CLASHES = (
    Clash(
        (("spin_count", ()), ("trials", (0,))),
        "code that is not tuned never calls the pool whose threads spin; set trials as well",
    ),
)


def target_attributes(options: Mapping[str, Value]) -> dict[str, Any]:
    """Attributes of the target beyond the processor; empty for defaults, and for an adapter without these options."""
    attributes: dict[str, Any] = {}
    if features := _listed(options.get("mattr", "")):
        attributes["mattr"] = features
    if switches := _listed(options.get("cl_opt", "")):
        attributes["cl-opt"] = switches
    if (level := options.get("opt_level", 3)) != 3:
        attributes["opt-level"] = level
    if (granted := options.get("fast_math", "none")) != "none":
        attributes["fast-math" if granted == "all" else f"fast-math-{granted}"] = True
    return attributes


def pass_config(options: Mapping[str, Value]) -> dict[str, Any]:
    """What a ``PassContext`` is given; empty for defaults."""
    config: dict[str, Any] = {}
    if (depth := options.get("fuse_depth", FUSED)) != FUSED:
        config["relax.FuseOps.max_depth"] = depth
    for option, key in (
        ("cse", "tirx.disable_cse_tir"),
        ("storage_rewrite", "tirx.disable_storage_rewrite"),
        ("asserts", "tirx.disable_assert"),
    ):
        if not options.get(option, True):
            config[key] = True
    if steps := options.get("unroll_steps", 0):
        # The depth and the explicit form are the library's own; its limit of 0 steps is what unrolls nothing.
        config["tirx.UnrollLoop"] = {
            "auto_max_step": steps,
            "auto_max_depth": 8,
            "auto_max_extent": 0,
            "explicit_unroll": 1,
        }
    return config


def variables(options: Mapping[str, Value], threads: int) -> dict[str, str]:
    """Variables: the size of the pool, and no pinning, since a pinned pool escapes the caller's affinity."""
    spins = options.get("spin_count", SPINS)
    added = {} if spins == SPINS else {"TVM_THREAD_POOL_SPIN_COUNT": str(spins)}
    return {"TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": "0", **added}


def settings_here() -> tuple[str, ...]:
    """Every setting of the installed TVM that bears on a CPU: what its registries, signatures and libraries tell."""
    import tvm
    from tvm import relax
    from tvm.s_tir.meta_schedule.tune import tune_tasks

    contexts = [f"PassContext.{key}" for key in tvm.ir.transform.PassContext.list_configs()]
    attributes = [f"target.{name}" for name in tvm.target.Target({"kind": "llvm"}).kind.options]
    pipelines = [f"relax.get_pipeline.{name}" for name in relax.pipeline.PIPELINE_MAP]
    layout = ["relax.transform.ConvertLayout"] if hasattr(relax.transform, "ConvertLayout") else []
    signatures = [
        f"{title}.{parameter}"
        for title, called in (
            ("PassContext", tvm.ir.transform.PassContext.__init__),
            ("relax.build", relax.build),
            ("VirtualMachine", relax.VirtualMachine.__init__),
            ("tune_tasks", tune_tasks),
        )
        for parameter in inspect.signature(called).parameters
        if parameter != "self"
    ]
    return tuple(sorted({*contexts, *attributes, *pipelines, *layout, *signatures, *_environment_names(tvm)}))


def _environment_names(tvm: Any) -> list[str]:
    """Variables that the runtime library asks for: their names stand in it as text."""
    names: set[str] = set()
    for path in (Path(tvm.__file__).parent / "lib").glob("libtvm_runtime*.so"):
        names |= {found.decode() for found in re.findall(rb"\x00(TVM_[A-Z0-9_]+)(?=\x00)", path.read_bytes())}
    return sorted(names)


def _listed(value: Value) -> list[str]:
    return [part.strip() for part in str(value).split(",") if part.strip()]
