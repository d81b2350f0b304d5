"""Settings of ONNX Runtime that are no axis, each with the reason."""

from __future__ import annotations

from runtimes.options import Fixed


def _cannot(because: str) -> str:
    return f"cannot change latency, because {because}"


_REASONS: dict[str, tuple[str, ...]] = {
    _cannot("every dimension of a model is a number before it gets here"): (
        "SessionOptions.add_free_dimension_override_by_name",
        "SessionOptions.add_free_dimension_override_by_denotation",
    ),
    _cannot("it only estimates memory, for nodes that providers share among themselves"): (
        "session.max_shape_override",
        "session.strict_workspace_verification",
    ),
    "the runtime itself says it: ort-cpu is the processor's provider, ort-cuda and ort-tensorrt are those of GPUs": (
        "SessionOptions.add_provider",
        "SessionOptions.add_provider_for_devices",
        "SessionOptions.set_provider_selection_policy",
        "SessionOptions.set_provider_selection_policy_delegate",
        "allow_virtual_devices",
    ),
    "all nodes belong to the one provider that the runtime stands for": (
        "session.disable_cpu_ep_fallback",
        "session.layer_assignment_settings",
        "session.name_based_layer_assignment",
        "session.node_partition_config_file",
        "session.resource_cuda_partitioning_settings",
    ),
    "how keys get in; each key has a line of its own": (
        "SessionOptions.add_session_config_entry",
        "RunOptions.add_run_config_entry",
    ),
    "an option sets the attribute of SessionOptions that is called the same": (
        "session.enable_cpu_mem_arena",
        "session.enable_mem_pattern",
        "session.execution_mode",
        "session.graph_optimization_level",
        "session.inter_op_num_threads",
        "session.intra_op_num_threads",
        "session.optimized_model_filepath",
        "session.use_deterministic_compute",
        "session.use_per_session_threads",
    ),
    "the axis threads says it to every session, and the session's number counts": (
        "ORT_INTRA_OP_NUM_THREADS",
        "ORT_INTER_OP_NUM_THREADS",
    ),
    "on where nodes are profiled, off where calls are timed": (
        "SessionOptions.enable_profiling",
        "SessionOptions.profile_file_prefix",
        "session.enable_profiling",
    ),
    _cannot("only errors are logged, and a call that has one has no time"): (
        "SessionOptions.log_severity_level",
        "SessionOptions.log_verbosity_level",
        "SessionOptions.logid",
        "RunOptions.log_severity_level",
        "RunOptions.log_verbosity_level",
        "RunOptions.logid",
        "session.log_id",
        "session.log_severity_level",
        "session.log_verbosity_level",
    ),
    _cannot("it hands over weights that are in the file anyway"): (
        "SessionOptions.add_initializer",
        "SessionOptions.add_external_initializers",
        "SessionOptions.add_external_initializers_from_files_in_memory",
    ),
    _cannot("it only says how weights get from a file into memory, before the first call"): (
        "session.external_data_loader.*",
        "session.model_external_initializers_file_folder_path",
        "session.use_external_initializer_file_buffers_directly",
        "session.use_ort_model_bytes_directly",
        "session.use_ort_model_bytes_for_initializers",
        "session.prepack.enable_parallel",
    ),
    _cannot("it only says how a rewritten graph is written down; what is written is the axis model_format"): (
        "session.load_model_format",
        "session.save_model_format",
        "session.optimized_model_external_initializers_file_name",
        "session.optimized_model_external_initializers_min_size_in_bytes",
        "session.save_external_prepacked_constant_initializers",
        "optimization.minimal_build_optimizations",
        "session.enable_saved_runtime_optimizations",
    ),
    _cannot("it is about graphs that a provider has compiled, and the processor's compiles none"): (
        "SessionOptions.set_ep_context_data_read_func",
        "SessionOptions.clear_ep_context_data_read_func",
        "ep.context_*",
        "ep.enable_weightless*",
        "session.compile_only",
        "session.disable_model_compile",
        "session.fail_on_suboptimal_compiled_model",
    ),
    _cannot("it ends a load or a call early, which then has no time"): (
        "SessionOptions.set_load_cancellation_flag",
        "RunOptions.terminate",
    ),
    _cannot("it only refuses models, or does not"): (
        "session.allow_released_opsets_only",
        "session.strict_shape_type_inference",
        "session.function_expansion_byte_limit",
        "session.function_expansion_node_limit",
    ),
    _cannot("it only says more about a graph, to those who look for a mistake"): (
        "session.collect_node_memory_stats_to_file",
        "session.debug_layout_transformation",
        "session.record_ep_graph_assignment_info",
        "ORT_RUNNING_UNIT_TESTS",
        "ORT_DISABLE_TELEMETRY",
    ),
    "operators of your own are code of yours; models of theirs cannot be checked against the reference": (
        "SessionOptions.register_custom_ops_library",
    ),
    "a model comes as one file, without an adapter for it": ("RunOptions.add_active_adapter",),
    _cannot("every output is asked for"): ("RunOptions.only_execute_path_to_fetches",),
    _cannot("the processor's provider is done when a call returns"): ("disable_synchronize_execution_providers",),
    "settings that a model brings along would undo these": ("ORT_LOAD_CONFIG_FROM_MODEL",),
    _cannot("it is about providers on GPUs and their graphs"): ("ep.cuda.*", "gpu_graph_id"),
    _cannot("arenas made by it belong to providers on other devices; the processor's is the axis env_allocators"): (
        "arena.*",
    ),
    _cannot("it reaches only mixtures of experts (MoE, QMoE), operators of language models"): (
        "session.moe.offload.*",
        "session.enable_moe_expert_*",
        "session.moe_expert_counter_*",
        "ep.cpu.qmoe_deferred_scale",
        "ORT_MOE_PACKED_GPU_EXPERTS",
        "ORT_QMOE_*",
        "ORT_USE_MLAS_Q4_GEMM_MOE",
    ),
    _cannot("it reaches only GroupQueryAttention, an operator of language models"): (
        "session.gqa_value_layout",
        "ORT_GQA_DISABLE_FLASH_ATTENTION",
        "ORT_MLAS_QKGEMM_S8_APPROX_VNNI",
    ),
    _cannot("it reaches only BeamSearch, an operator of language models"): ("ORT_BEAM_SEARCH_USE_FAST_TOPK",),
    "in libraries for ARM only, where it would compute in bfloat16: precision=fp32 rules that out": (
        "mlas.enable_gemm_fastmath_arm64_bfloat16",
    ),
}

FIXED = tuple(Fixed(setting, why) for why, settings in _REASONS.items() for setting in settings)
