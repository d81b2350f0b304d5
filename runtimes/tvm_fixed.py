"""Settings of TVM that are no axis on a CPU, each with the reason."""

from __future__ import annotations

from runtimes.options import Fixed


def _cannot(because: str) -> str:
    return f"cannot change latency, because {because}"


# Seen with 0.27 on x86-64, form by form and byte by byte.
SAME_CODE = "rt8 and rt48 were compiled to the same machine code with and without it"

_REASONS: dict[str, tuple[str, ...]] = {
    _cannot(SAME_CODE): (
        "PassContext.s_tir.HoistExpression",
        "PassContext.s_tir.HoistIfThenElse",
        "PassContext.s_tir.LoopPartition",
        "PassContext.tirx.RemoveNoOp",
        "PassContext.tirx.StmtSimplify",
        "PassContext.tirx.debug_keep_trivial_loop",
        "PassContext.tirx.enable_buffer_level_predication",
        "PassContext.tirx.enable_fast_math",
        "PassContext.tirx.noalias",
        "target.vector-width",
    ),
    _cannot(f"the pass that it was for reads another name, tir.disable_vectorize; {SAME_CODE}"): (
        "PassContext.tirx.disable_vectorize",
    ),
    _cannot("it is for devices that copy or share memory in ways of their own"): (
        "PassContext.relax.backend.use_cuda_graph",
        "PassContext.s_tir.InjectDoubleBuffer",
        "PassContext.tirx.merge_static_smem",
        "PassContext.tirx.s_tir.ldg32",
        "PassContext.tirx.use_async_copy",
        "PassContext.tirx.vtcm_capacity",
    ),
    _cannot("it has the compiler checked or watched, or bookkeeping of its own, and a model's code is as before"): (
        "PassContext.instruments",
        "PassContext.s_tir.lwp_disable_func_prof",
        "PassContext.s_tir.lwp_max_depth",
        "PassContext.s_tir.lwp_min_height",
        "PassContext.s_tir.reset_start_id",
        "PassContext.testing.immutable_module",
        "PassContext.tirx.enable_debug",
        "PassContext.tirx.is_entry_func",
        "TVM_CACHE_DIR",
    ),
    "for debugging: the code counts or checks what it does, and can only be slower": (
        "PassContext.s_tir.instr_siblings",
        "PassContext.tirx.instrument_bound_checkers",
        "PassContext.tirx.instrument_lwp",
    ),
    _cannot("weights are constants of the library, and no parameters that could be transformed or given up"): (
        "PassContext.relax.lift_transform_params.consume_params",
        "relax.build.params",
    ),
    "a model cannot be compiled without it": ("PassContext.relax.transform.apply_legalize_ops",),
    "1 to 4 give the same code; 0 leaves operators apart, as fuse_depth=1 does": ("PassContext.opt_level",),
    "a list of passes, which differs from release to release; those that matter have options of their own": (
        "PassContext.disabled_pass",
        "PassContext.required_pass",
        "PassContext.tirx.add_lower_pass",
    ),
    "how keys get in; each key has a line of its own": ("PassContext.config",),
    "the adapter runs zero, which fuses, and then default, which builds": (
        "relax.build.relax_pipeline",
        "relax.build.tir_pipeline",
        "relax.get_pipeline.default",
        "relax.get_pipeline.default_build",
        "relax.get_pipeline.zero",
    ),
    "the option trials does what it does, and can be stopped and gone on with": (
        "relax.get_pipeline.static_shape_tuning",
    ),
    "the runtime itself says it: tvm is the processor's, and calls come from the same process": (
        "PassContext.relax.fallback_device_type",
        "VirtualMachine.device",
        "target.device",
        "target.from_device",
        "target.host",
        "target.keys",
        "target.kind",
        "target.target_device_type",
    ),
    _cannot("it is a name"): ("target.model", "target.tag"),
    _cannot("it names vendors' libraries, and none is built into the packages"): ("target.libs",),
    _cannot("it chooses a compiler for code that is never stored, and ours is"): ("target.jit",),
    "how functions are called on this system: another value would not link": ("target.mabi", "target.mfloat-abi"),
    "what is measured, and not how": (
        "VirtualMachine.rt_mod",
        "relax.build.mod",
        "tune_tasks.tasks",
        "tune_tasks.task_weights",
    ),
    "the option target and the axis threads make it": ("relax.build.target",),
    _cannot("the same code is linked otherwise"): ("relax.build.system_lib",),
    "the axis threads": ("TVM_NUM_THREADS",),
    "0, always: a pinned pool leaves the processors that a cell was given": ("TVM_BIND_THREADS",),
    "1, the library's own: with 0 the caller waits while one thread more than the cell's works": (
        "TVM_EXCLUDE_WORKER0",
    ),
    "how the trials that were asked for are spent; the adapter has one way, so that numbers of trials compare": (
        "tune_tasks.builder",
        "tune_tasks.cost_model",
        "tune_tasks.max_trials_per_task",
        "tune_tasks.measure_callbacks",
        "tune_tasks.module_equality",
        "tune_tasks.num_trials_per_iter",
        "tune_tasks.post_optimization",
        "tune_tasks.runner",
        "tune_tasks.task_scheduler",
    ),
    _cannot("it is where records are kept"): ("tune_tasks.database", "tune_tasks.work_dir"),
}

FIXED = tuple(Fixed(setting, why) for why, settings in _REASONS.items() for setting in settings)
