"""How ONNX Runtime rewrites a graph and chooses kernels: the part of its options that says so."""

from __future__ import annotations

import platform

from runtimes.options import Option

ARM = platform.machine() in ("aarch64", "arm64")

# Rewriting passes that change a graph of the zoo when they are left out, and those that could on other processors.
OPTIMISERS = (
    "NchwcTransformer",
    "Level1_RuleBasedTransformer",
    "MatMulAddFusion",
    "GemmActivationFusion",
    "ConvBNFusion",
    "GeluFusionL2",
    "SkipLayerNormFusion",
    "TransposeOptimizer",
    "ConstantFolding",
    "CommonSubexpressionElimination",
    "ConvActivationFusion",
    "ConvAddActivationFusion",
    "LayerNormFusionL2",
)

# What these say about a graph holds for any provider.
GRAPH = (
    Option(
        "disable_specified_optimizers",
        "none",
        "one rewriting pass to leave out; NchwcTransformer blocks channels for convolutions",
        ("none", *OPTIMISERS),
        settings=("optimization.disable_specified_optimizers",),
        tried=OPTIMISERS[:9],
    ),
    Option(
        "graph_optimizations_loop_level",
        1,
        "when rewriting starts over: 0 never, 1 after layouts were changed, 2 after other fusions, too",
        (0, 1, 2),
        settings=("session.graph_optimizations_loop_level",),
        since="1.23.0",
    ),
    Option(
        "enable_gelu_approximation",
        False,
        "Gelu by a cheaper formula; answers change",
        settings=("optimization.enable_gelu_approximation",),
    ),
    Option(
        "enable_cast_chain_elimination",
        False,
        "drop conversions that follow each other; answers can change",
        settings=("optimization.enable_cast_chain_elimination",),
        since="1.23.0",
    ),
    Option(
        "constant_folding_max_output_size_in_bytes",
        -1,
        "constant results that are larger are worked out in every call; 0: no limit; -1: the library's own, 1 GiB",
        minimum=-1,
        settings=("optimization.constant_folding_max_output_size_in_bytes",),
        since="1.27.0",
        tried=(4096,),
    ),
    Option(
        "disable_aot_function_inlining",
        False,
        "leave functions of a graph to be opened up when nodes are assigned, not before",
        settings=("session.disable_aot_function_inlining",),
    ),
    Option(
        "disable_quant_qdq",
        False,
        "compute a graph with QuantizeLinear and DequantizeLinear as it is written, in float32",
        settings=("session.disable_quant_qdq",),
    ),
    Option(
        "disable_double_qdq_remover",
        False,
        "keep the second of two pairs of QuantizeLinear and DequantizeLinear in a row",
        settings=("session.disable_double_qdq_remover",),
    ),
    Option(
        "enable_quant_qdq_cleanup",
        False,
        "drop pairs of QuantizeLinear and DequantizeLinear that nothing was fused with; answers can change",
        settings=("session.enable_quant_qdq_cleanup",),
    ),
    Option(
        "disable_qdq_constant_folding",
        False,
        "dequantise constants in every call",
        settings=("session.disable_qdq_constant_folding",),
        since="1.26.0",
    ),
    Option(
        "enable_dq_matmulnbits_fusion",
        False,
        "join a product to the DequantizeLinear of its 4-bit weights",
        settings=("session.enable_dq_matmulnbits_fusion",),
        since="1.24.4",
    ),
    Option(
        "qdq_matmulnbits_accuracy_level",
        -1,
        "coarsest arithmetic of such products: 1 float32, 2 float16, 3 bfloat16, 4 int8; -1: the library's own",
        (-1, 0, 1, 2, 3, 4),
        settings=("session.qdq_matmulnbits_accuracy_level",),
        tried=(1, 4),
    ),
    Option(
        "qdq_matmulnbits_block_size",
        0,
        "weights that share a scale where a product gets scales of its own; -1: chosen by size; 0: the library's own",
        (0, -1, 16, 32, 64, 128, 256),
        settings=("session.qdq_matmulnbits_block_size",),
        since="1.25.0",
        tried=(-1, 128),
    ),
    Option(
        "use_deterministic_compute",
        False,
        "kernels whose answers never differ from call to call",
        settings=("SessionOptions.use_deterministic_compute",),
    ),
    Option(
        "execution_order",
        "default",
        "nodes in the order of the graph, or by priority",
        ("default", "priority_based"),
        settings=("SessionOptions.execution_order",),
    ),
)

KERNELS = (
    Option(
        "disable_prepacking",
        False,
        "leave weights as they are in the file instead of the order in which kernels read them",
        settings=("session.disable_prepacking",),
    ),
    Option(
        "set_denormal_as_zero",
        False,
        "treat the tiniest numbers as zero; answers can change",
        settings=("session.set_denormal_as_zero",),
    ),
    Option(
        "x64quantprecision",
        False,
        "8-bit products that cannot overflow, on processors without VNNI",
        settings=("session.x64quantprecision",),
    ),
    Option(
        "qdqisint8allowed",
        "default",
        "whether signed 8-bit integers stay signed; default: on ARM only",
        ("default", "true", "false"),
        settings=("session.qdqisint8allowed",),
    ),
    Option(
        "nchwc_depthwise_sliding",
        True,
        "depthwise convolutions on blocked channels slide over rows",
        settings=("mlas.nchwc_depthwise_sliding",),
        since="1.31.0",
    ),
    Option(
        "nchwc_pointwise_conv_max_input_channel_batch",
        0,
        "input channels that a 1 × 1 convolution on blocked channels sums up at a time; 0: the library's own",
        minimum=0,
        settings=("mlas.nchwc_pointwise_conv_max_input_channel_batch",),
        since="1.30.0",
        tried=(32, 512),
    ),
    Option(
        "nchwc_fss_target",
        0,
        "pieces of work wanted for each thread of a convolution on blocked channels, at the price of smaller ones",
        minimum=0,
        settings=("MLAS_NCHWC_FSS_TARGET",),
        since="1.32.0",
        tried=(4,),
    ),
    Option(
        "nchwc_filterset_balance",
        True,
        "threads of such a convolution get equal work, not equally many pieces",
        settings=("MLAS_NCHWC_FILTERSET_BALANCE",),
        since="1.32.0",
    ),
    Option(
        "use_lut_gemm",
        False,
        "products with weights of few bits by looking sums up",
        settings=("mlas.use_lut_gemm",),
        since="1.24.1",
    ),
    Option(
        "qnbit_force_fp32",
        False,
        "products with weights of few bits in float32",
        settings=("mlas.qnbit.force_fp32",),
        since="1.31.0",
    ),
    Option(
        "disable_kleidiai",
        False,
        "on ARM only: without Arm's own kernels",
        settings=("mlas.disable_kleidiai",),
        since="1.25.0",
        tried=(True,) if ARM else (False,),
    ),
    Option(
        "kleidiai_conv_igemm_max_work",
        -1,
        "on ARM only: largest convolution that Arm's kernels gather by index; -1: the library's own limit",
        minimum=-1,
        settings=("mlas.kleidiai.conv_igemm_max_work",),
        since="1.28.0",
        tried=(0,) if ARM else (),
    ),
    Option(
        "disable_flash_attention",
        False,
        "attention in one piece; of MultiHeadAttention and Attention of com.microsoft",
        settings=("ORT_DISABLE_FLASH_ATTENTION",),
    ),
    Option(
        "disable_decoder_attention",
        False,
        "no kernel of its own for attention of one step over a cache",
        settings=("ORT_DISABLE_DECODER_ATTENTION",),
        since="1.22.0",
    ),
    Option(
        "kernel_dispatch_policy",
        "default",
        "what providers choose kernels for; default: nothing is said",
        ("default", "auto", "latency", "memory", "safe"),
        settings=("session.kernel_dispatch_policy",),
        since="1.32.0",
    ),
)
