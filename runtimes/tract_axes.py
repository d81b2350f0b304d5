"""What tract can be told that may change how long a call takes: its knobs, transforms, and how a plan is called.

tract's knobs are variables of the environment, read when they are first needed; a name that a version does not have
does nothing. ``since`` was found by looking for each name in the wheels of 0.23.0, .2, .6, .8 and .9. A default passes
nothing on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimes.options import Fixed, Option, text

if TYPE_CHECKING:
    from runtimes.base import Request, Tensor

DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bool": "bool"} | {
    f"{kind}{bits}": f"{kind[0]}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
# Before the name of a transform, to tell it from other settings.
TRANSFORM = "Model.transform:"
ATTENTION = (("transform", "transformers_detect_all"),)
DETECTED = "detected"
BIG_LLC = 32 << 20


def _switch(name: str, variable: str, what: str, since: str = "") -> Option:
    return Option(name, False, what, settings=(variable,), since=since)


AXES = (
    Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),
    Option(
        "transform",
        "none",
        "rewrite the graph before it is optimised; conv_nhwc: since 0.23.9",
        ("none", "conv_nhwc", "transformers_detect_all", "detect_apply_rope", "detect_scaled_masked_softmax"),
        settings=tuple(
            TRANSFORM + name
            for name in ("conv_nhwc", "transformers_detect_all", "detect_apply_rope", "detect_scaled_masked_softmax")
        ),
        # The second does what is after it, too.
        tried=("conv_nhwc", "transformers_detect_all"),
    ),
    Option(
        "state",
        "spawned",
        "make an execution state for every call, or keep one; a kept one is wrong where a recurrent operator's state "
        "is no input of the graph",
        ("spawned", "kept"),
        settings=("Runnable.spawn_state",),
    ),
    Option(
        "lazy_im2col_min_kernel",
        -1,
        "positions of a convolution's kernel from which patches are gathered while multiplying; -1: tract's own",
        minimum=-1,
        settings=("TRACT_LAZY_IM2COL_MIN_KERNEL",),
        tried=(1, 1000),
    ),
    Option(
        "lazy_im2col_max_eager_bytes",
        -1,
        "bytes of patches above which they are gathered likewise; -1: tract's own",
        minimum=-1,
        settings=("TRACT_LAZY_IM2COL_MAX_EAGER_BYTES",),
        tried=(0, 1 << 30),
    ),
    _switch("enable_blocked_conv", "TRACT_ENABLE_BLOCKED_CONV", "the direct blocked convolution"),
    _switch(
        "disable_direct_spatial",
        "TRACT_DISABLE_DIRECT_SPATIAL",
        "patches and a product in place of the direct convolution",
        "0.23.9",
    ),
    _switch(
        "disable_depthwise_deconv",
        "TRACT_DISABLE_DEPTHWISE_DECONV",
        "depthwise transposed convolutions as product and sum",
        "0.23.6",
    ),
    _switch(
        "avgpool_separable",
        "TRACT_AVGPOOL_SEPARABLE",
        "average pooling one axis after the other; sums in another order",
        "0.23.6",
    ),
    Option(
        "cpu_isa",
        DETECTED,
        "instructions that are taken away from those detected",
        (DETECTED, "-avx512f"),
        settings=("TRACT_CPU_ISA",),
        since="0.23.6",
    ),
    Option(
        "avx512_fma_units",
        DETECTED,
        "how many 512-bit units integer products count on",
        (DETECTED, "1", "2"),
        settings=("TRACT_AVX512_FMA_UNITS",),
        since="0.23.6",
    ),
    Option(
        "llc_bytes",
        0,
        "size of the last-level cache that products are cut for; 0: the detected one",
        minimum=0,
        settings=("TRACT_LLC_BYTES",),
        since="0.23.6",
        tried=(1 << 20, BIG_LLC),
    ),
    Option(
        "llc_contended",
        False,
        "count on a share of that cache only",
        settings=("TRACT_LLC_CONTENDED",),
        since="0.23.6",
        needs=(("llc_bytes", BIG_LLC),),
    ),
    Option(
        "flash_sdpa_min_seq_len",
        -1,
        "keys and values from which attention is computed head by head; -1: tract's own",
        minimum=-1,
        settings=("TRACT_FLASH_SDPA_MIN_SEQ_LEN",),
        since="0.23.2",
        tried=(1,),
        needs=ATTENTION,
    ),
    Option(
        "flash_sdpa_st",
        False,
        "do so on one thread",
        settings=("TRACT_FLASH_SDPA_ST",),
        since="0.23.2",
        needs=ATTENTION,
    ),
)

ELSEWHERE = "cannot change latency, because it speaks of other processors"
GPU = "cannot change latency, because it speaks of GPUs, and this adapter computes on the CPU"
THREADED = (
    "cannot change latency, because it cuts products for several threads, and the binding has no way to ask for them"
)
LANES = "cannot change latency, because it speaks of streams that share calls, which the binding cannot ask for"
READS = "cannot change latency, because it only tells"
MEANING = "cannot be an axis, because it changes what the model's inputs, outputs or sizes mean"
ARITHMETIC = "the forms: `fp16`, `int8` and `int4` change a graph's arithmetic for every runtime alike"
NO_CACHE = (
    "cannot change latency, because it speaks of kept keys and values, which are inputs of a model read from ONNX"
)

FIXED = (
    Fixed("RAYON_NUM_THREADS", "the axis `threads`: attention computed head by head would take every processor"),
    Fixed("TRACT_AMX_BF16", ARITHMETIC),
    Fixed("TRACT_DISABLE_BLOCKED_CONV", "cannot change latency, because it speaks of WebAssembly"),
    *(
        Fixed(f"TRACT_{name}", ELSEWHERE)
        for name in (
            "CPU_AARCH64_KIND", "CPU_AARCH64_OVERRIDE_CPU_PART", "CPU_ARM32_NEON", "DOTPROD_DISABLE",
            "RISCV64_TLB_REFRESH_FMAS", "SME_DISABLE", "SVE_DISABLE",
        )
    ),
    *(
        Fixed(f"TRACT_{name}", GPU)
        for name in (
            "CUDA_FORCE_CPU", "CUDA_TRANSLATE_DEBUG", "GPU_DISABLE_RMS_NORM_RESIDUAL",
            "GPU_DISABLE_RMS_NORM_SPLIT_SCALE",
        )
    ),
    Fixed("TRACT_MMM_CHUNKS_PER_THREAD", THREADED),
    Fixed("TRACT_MMM_CHUNK_SLACK_BYTES", THREADED),
    *(Fixed(f"TRACT_{name}", LANES) for name in ("AUTOBATCH_LANES", "MAX_SEATS", "TURN_LINGER_US")),
    Fixed("TRACT_ERROR_STDERR", "cannot change latency, because it prints what went wrong"),
    Fixed("TRACT_MOE_PROFILE", "cannot change latency, because it prints times"),
    *(Fixed(TRANSFORM + name, ARITHMETIC) for name in ("block_quant", "f32_to_f16", "f16_to_f32", "float_precision")),
    *(
        Fixed(TRANSFORM + name, MEANING)
        for name in (
            "batchify", "batchify_data_free", "blockify", "export_scan_state", "force_scan_external_state", "patch",
            "pulse", "select_inputs", "select_outputs", "set_property", "set_symbols",
        )
    ),
    *(
        Fixed(TRANSFORM + name, NO_CACHE)
        for name in (
            "detect_kv_cache", "detect_sdpa_kv_cache_broadcast", "quantize_kv_storage", "quantize_kv_storage_int4",
            "unfold_kv_cache",
        )
    ),
    Fixed(TRANSFORM + "detect_diag_gather", "cannot change latency, because it prepares a graph for `pulse`"),
    Fixed("Model.transform", "the option transform"),
    Fixed("Model.into_runnable", "the adapter: it optimises all the way, and there is no other way to a plan"),
    Fixed("Runtime.*", "the adapter: on a CPU `default` makes the plan that Model.into_runnable makes"),
    Fixed("runtime_for_name", "the adapter: on a CPU `default` makes the plan that Model.into_runnable makes"),
    Fixed("Runnable.run", "the option state: it makes one and runs it"),
    Fixed("Runnable.profile_json", "the harness: for `rtfloor nodes`"),
    Fixed("State.run", "the option state"),
    Fixed("State.freeze", "cannot change latency, because it keeps a state for later, and no call asks for one"),
    Fixed("InferenceModel.set_input_fact", "the harness: sizes are those of the request"),
    Fixed("InferenceModel.set_output_fact", "cannot change latency, because they follow from the inputs' sizes"),
    Fixed("InferenceModel.into_model", "the adapter: there is no other way to a model"),
    Fixed("InferenceModel.analyse", "cannot change latency, because into_model does it, too"),
    Fixed("InferenceModel.into_analysed", "cannot change latency, because into_model does it, too"),
    Fixed("InferenceModel.fact", READS),
    Fixed("Model.parse_fact", READS),
    *(
        Fixed(f"{kind}.{what}*", READS)
        for kind in ("Model", "InferenceModel", "Runnable", "State")
        for what in ("input_", "output_", "property")
        if not (kind in {"InferenceModel", "State"} and what == "property")
    ),
    Fixed("Onnx.load", "the adapter: it reads the model's file"),
    Fixed("Nnef.*", "cannot change latency, because it reads and writes another kind of file"),
    Fixed("nnef", "cannot change latency, because it reads and writes another kind of file"),
    Fixed("onnx", "the adapter: it reads the model's file"),
    Fixed("version", READS),
)  # fmt: skip


def variables(request: Request) -> dict[str, str]:
    """Variables of the environment: every knob that is not at its default, and the threads of attention."""
    given = request.options
    changed = [option for option in AXES if given.get(option.name, option.default) != option.default]
    knobs = {
        setting: text(given[option.name])
        for option in changed
        for setting in option.settings
        if setting.startswith("TRACT_")
    }
    return {"RAYON_NUM_THREADS": str(request.threads * request.sessions), **knobs}


def fact(item: Tensor) -> str:
    """Sizes and type of an input, as tract reads them."""
    return ",".join([*map(str, item.shape), DTYPES[item.dtype]])


SCRIPT = """\
import os

{head}
import tract

MODEL = {model!r}
FACTS = {facts}

inference = tract.onnx().load(MODEL)
names = [inference.input_name(index) for index in range(inference.input_count())]
for index, name in enumerate(names):
    inference.set_input_fact(index, FACTS[name])
model = inference.into_model()
{transform}runnable = model.into_runnable()
{states}

def answer(feeds, session=0):
    return [tensor.to_numpy() for tensor in {call}.run([feeds[name] for name in names])]
"""


def script(request: Request) -> str:
    """A script that makes an application's own plan with the settings of one cell."""
    transform, kept = str(request.options["transform"]), request.options["state"] == "kept"
    return SCRIPT.format(
        head="".join(f"os.environ[{name!r}] = {value!r}\n" for name, value in variables(request).items()),
        model=str(request.model),
        facts={item.name: fact(item) for item in request.inputs},
        transform="" if transform == "none" else f"model.transform({transform!r})\n",
        states=f"states = [runnable.spawn_state() for _ in range({request.sessions})]\n" if kept else "",
        # A plan that is called makes a state for the call; sessions can share it.
        call="states[session]" if kept else "runnable",
    )
