"""What OpenVINO's CPU plugin can be told that may change how long a call takes: one option per knob.

``since`` was found by looking for each name in the wheels of 2025.0 to 2026.4. Properties are checked by the plugin,
which refuses unknown names and bad values; variables of the environment are not. A default passes nothing on, except
for the properties in ``ALWAYS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimes.options import Clash, Fixed, Option, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.base import Request
    from runtimes.options import Value

# Asked for nothing, OpenVINO computes in bf16 wherever the chip has instructions for it, so the
# hint is always sent. ``default`` sends none, for those who want to see that.
PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
ISA = ("ALL", "AVX2", "AVX512_CORE")
# Sent whatever their value is: what the plugin would do by itself depends on the processor and the number of streams.
ALWAYS = ("enable_cpu_pinning", "enable_hyper_threading", "execution_mode")
# Options of the call, which the session carries out.
CALLS = ("call", "share_inputs")
# The property is another one, or the value is not passed on as it is.
SPECIAL = ("precision", "num_streams", *CALLS)

SCHEDULING = (
    Option(
        "precision",
        "fp32",
        "INFERENCE_PRECISION_HINT; 'default' sends none, which is bf16 where the chip has it",
        (*PRECISIONS, "default"),
        settings=("INFERENCE_PRECISION_HINT",),
    ),
    Option("enable_cpu_pinning", False, "pin the engine's threads to cores", settings=("ENABLE_CPU_PINNING",)),
    Option(
        "enable_hyper_threading", False, "use both hardware threads of a core", settings=("ENABLE_HYPER_THREADING",)
    ),
    Option(
        "execution_mode",
        "PERFORMANCE",
        "EXECUTION_MODE_HINT",
        ("PERFORMANCE", "ACCURACY"),
        settings=("EXECUTION_MODE_HINT",),
    ),
    Option(
        "num_streams",
        "callers",
        "how many groups the threads are cut into: one per session, all in one, or as the plugin likes",
        ("callers", "1", "AUTO", "NUMA"),
        settings=("NUM_STREAMS",),
    ),
    Option(
        "performance_hint",
        "LATENCY",
        "what the plugin optimises its scheduling for",
        ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"),
        settings=("PERFORMANCE_HINT",),
        # On one device the cumulative one is the other.
        tried=("THROUGHPUT",),
    ),
    Option(
        "scheduling_core_type",
        "ANY_CORE",
        "which cores of a hybrid processor compute",
        ("ANY_CORE", "PCORE_ONLY", "ECORE_ONLY"),
        settings=("SCHEDULING_CORE_TYPE",),
    ),
    Option(
        "enable_cpu_reservation",
        False,
        "keep the model's cores from other models of the process; only one can be loaded then",
        settings=("ENABLE_CPU_RESERVATION",),
        since="2025.1",
    ),
    Option(
        "tbb_partitioner",
        "NONE",
        "how loops are cut into tasks; NONE: the plugin chooses",
        ("NONE", "STATIC", "AUTO"),
        settings=("TBB_PARTITIONER",),
        since="2026.0",
    ),
    Option(
        "model_distribution_policy",
        "none",
        "cut wide layers across the processor's sockets",
        ("none", "TENSOR_PARALLEL"),
        settings=("MODEL_DISTRIBUTION_POLICY",),
    ),
    Option(
        "enable_tensor_parallel",
        False,
        "the later switch for the same",
        settings=("ENABLE_TENSOR_PARALLEL",),
        since="2025.3",
    ),
)

KERNELS = (
    Option(
        "cpu_denormals_optimization",
        False,
        "treat denormal numbers as zero",
        settings=("CPU_DENORMALS_OPTIMIZATION",),
    ),
    Option(
        "snippets_mode",
        "ENABLE",
        "which chains of small operators are compiled as one: worthwhile ones, all, none",
        ("ENABLE", "IGNORE_CALLBACK", "DISABLE"),
        settings=("SNIPPETS_MODE",),
    ),
    Option(
        "lp_transforms_mode",
        True,
        "compute a quantised graph in integers",
        settings=("LP_TRANSFORMS_MODE",),
    ),
    Option(
        "dynamic_quantization_group_size",
        -1,
        "values that share a scale where activations beside weights of few bits are quantised; 0: they are not; "
        "-1: the plugin chooses",
        minimum=-1,
        settings=("DYNAMIC_QUANTIZATION_GROUP_SIZE",),
        tried=(0, 64),
    ),
    Option(
        "cpu_sparse_weights_decompression_rate",
        1.0,
        "share of zeros from which weights of int8 products are kept packed; 1: never",
        minimum=0.0,
        settings=("CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE",),
        tried=(0.5,),
    ),
    Option(
        "cpu_runtime_cache_capacity",
        -1,
        "prepared kernels that are kept; -1: the plugin's own number",
        minimum=-1,
        settings=("CPU_RUNTIME_CACHE_CAPACITY",),
        tried=(0,),
    ),
    Option(
        "onednn_max_cpu_isa",
        "ALL",
        "the widest instructions that oneDNN and most generated kernels use",
        ISA,
        settings=("ONEDNN_MAX_CPU_ISA",),
    ),
    Option(
        "onednn_cpu_isa_hints",
        "NO_HINTS",
        "whether 256-bit registers are preferred to 512-bit ones",
        ("NO_HINTS", "PREFER_YMM"),
        settings=("ONEDNN_CPU_ISA_HINTS",),
    ),
    Option(
        "ov_cpu_max_isa",
        "ALL",
        "the widest instructions that the plugin's own choices of kernels count on",
        ISA,
        settings=("OV_CPU_MAX_ISA",),
        since="2026.4",
    ),
    Option(
        "ov_cpu_legacy_attn",
        False,
        "compute attention by the kernels of earlier versions",
        settings=("OV_CPU_LEGACY_ATTN",),
        since="2026.2",
    ),
)

CALLING = (
    Option(
        "call",
        "infer",
        "wait inside the engine, or start a call and wait for it",
        ("infer", "start_async"),
        settings=("InferRequest.start_async",),
    ),
    Option(
        "share_inputs",
        False,
        "hand arrays over instead of copying them into the request's memory",
        settings=("InferRequest.infer(share_inputs)", "InferRequest.start_async(share_inputs)"),
    ),
)

AXES = (*SCHEDULING, *KERNELS, *CALLING)

NO_STATE = (
    "cannot change latency, because it speaks of kept keys and values, which are variables of a model, "
    "and a model read from ONNX has none"
)
LOADING = "cannot change latency, because it speaks of compiled models that are kept, so of loading alone"
LOGGING = "cannot change latency, because it writes down what happens while a model is compiled"

FIXED = (
    Fixed("INFERENCE_NUM_THREADS", "the axis `threads`: threads of a session times sessions"),
    Fixed("THREADS_PER_STREAM", "the axis `threads`, together with num_streams"),
    Fixed(
        "PERFORMANCE_HINT_NUM_REQUESTS", "num_streams: it only bounds a number of streams that is left to the plugin"
    ),
    Fixed("EXCLUSIVE_ASYNC_REQUESTS", "the axis `layout`: sessions that wait for one another are what `seq` measures"),
    Fixed("PERF_COUNT", "the harness: on for `rtfloor nodes`, and off for timing, which it would lengthen"),
    Fixed("KV_CACHE_PRECISION", NO_STATE),
    Fixed("KEY_CACHE_*", NO_STATE),
    Fixed("VALUE_CACHE_*", NO_STATE),
    Fixed("ENABLE_SAGE_ATTN", NO_STATE),
    Fixed("OV_TURBOQ_NORM_CORRECTION", NO_STATE),
    Fixed("CACHE_*", LOADING),
    Fixed("CACHING_WITH_MMAP", LOADING),
    Fixed("ENABLE_WEIGHTLESS", LOADING),
    Fixed("WEIGHTS_PATH", LOADING),
    Fixed("MODEL_PTR", LOADING),
    Fixed("ENABLE_MMAP", "cannot change latency, because a page of a mapped file is memory once it was touched"),
    Fixed("DEVICE_ID", "cannot change latency, because the CPU plugin has one device"),
    Fixed("DEVICE_PROPERTIES", "cannot change latency, because it only hands other properties to a device"),
    Fixed("FORCE_TBB_TERMINATE", "cannot change latency, because it speaks of the end of the process"),
    Fixed("LOG_LEVEL", LOGGING),
    Fixed("OV_ENABLE_*", LOGGING),
    Fixed("OV_VISUALIZE_*", LOGGING),
    Fixed("OPENVINO_TRACE_DEPTH", "cannot change latency, because it speaks of a tracer that is not attached"),
    Fixed("ONEDNN_DEFAULT_FPMATH_MODE", "precision: it allows coarser arithmetic without saying so"),
    Fixed("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "cannot change latency, because primitives are made while a model loads"),
    Fixed("InferRequest.infer(inputs)", "cannot change latency, because it is what share_inputs hands over"),
    Fixed(
        "InferRequest.infer(share_outputs)",
        "cannot change latency, because answers that are to stay the caller's own are copied out either way",
    ),
    Fixed("InferRequest.infer(decode_strings)", "cannot change latency, because no answer is text"),
    Fixed("InferRequest.start_async(inputs)", "cannot change latency, because it is what share_inputs hands over"),
    Fixed("InferRequest.start_async(userdata)", "cannot change latency, because it is handed on to a callback"),
)

CLASHES = (
    Clash(
        (("model_distribution_policy", ("TENSOR_PARALLEL",)), ("enable_tensor_parallel", (True,))),
        "model_distribution_policy and enable_tensor_parallel are two names for one thing: set one of them",
    ),
)


def properties(request: Request) -> dict[str, Any]:
    """What a model is compiled with: streams and threads, what is always said, and every option not at its default."""
    given = request.options
    streams = given.get("num_streams", "callers")
    told: dict[str, Any] = {
        "NUM_STREAMS": {"callers": request.sessions, "1": 1}.get(str(streams), streams),
        "INFERENCE_NUM_THREADS": request.sessions * request.threads,
    }
    for option in AXES:
        value = given.get(option.name, option.default)
        (setting, *_) = option.settings
        if option.name in SPECIAL or _is_variable(setting):
            continue
        if option.name in ALWAYS or value != option.default:
            told[setting] = value
    precision = str(given["precision"])
    if precision != "default":
        told["INFERENCE_PRECISION_HINT"] = PRECISIONS[precision]
    return told


def variables(options: Mapping[str, Value]) -> dict[str, str]:
    """Variables of the environment for options that are not at their defaults."""
    changed = [option for option in AXES if options.get(option.name, option.default) != option.default]
    values = {option: "1" if option.default is False else text(options[option.name]) for option in changed}
    return {setting: value for option, value in values.items() for setting in option.settings if _is_variable(setting)}


def _is_variable(setting: str) -> bool:
    return setting.startswith(("ONEDNN_", "OV_"))
