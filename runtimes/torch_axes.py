"""What PyTorch can be told that may change how long a call takes on the CPU: one option per knob.

Of inductor's own configuration, which has hundreds of entries, only those are here that its modes do not set and that
its documentation offers for speed on CPUs. A default passes nothing on, except for the grad mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimes.options import Clash, Fixed, Option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimes.options import Value

# Before the name of an entry of inductor's configuration, and of a mode.
INDUCTOR = "torch._inductor.config."
MODE = "torch.compile(mode):"
COMPILED = (("compiler", "inductor"),)
MODES = ("default", "max-autotune-no-cudagraphs", "lite")


def _inductor(name: str, setting: str, what: str, *, default: bool = False) -> Option:
    return Option(name, default, what, settings=(INDUCTOR + setting,), needs=COMPILED)


AXES = (
    Option("precision", "fp32", "arithmetic: the graph's own float32", ("fp32",)),
    Option(
        "compiler",
        "eager",
        "operator by operator, or compiled by inductor",
        ("eager", "inductor"),
        settings=("torch.compile", "torch.compile(backend)"),
    ),
    Option(
        "mode",
        "default",
        "how hard inductor tries; a version that lacks a mode says so when it compiles",
        MODES,
        settings=("torch.compile(mode)", *(MODE + mode for mode in MODES)),
        needs=COMPILED,
    ),
    _inductor("freezing", "freezing", "take weights as constants, and lay them out ahead"),
    _inductor("cpp_wrapper", "cpp_wrapper", "call the kernels from C++ instead of Python"),
    _inductor("layout_optimization", "layout_optimization", "choose layouts for convolutions", default=True),
    _inductor("conv_1x1_as_mm", "conv_1x1_as_mm", "pointwise convolutions as matrix products"),
    Option(
        "simdlen",
        0,
        "bits of a vector in compiled code; 0: as inductor chooses",
        (0, 256, 512),
        settings=(INDUCTOR + "cpp.simdlen",),
        needs=COMPILED,
    ),
    Option("mkldnn", True, "use oneDNN's kernels", settings=("torch.backends.mkldnn.enabled",)),
    Option(
        "nnpack",
        True,
        "use NNPACK's convolutions where oneDNN's are not",
        settings=("torch.backends.nnpack.set_flags",),
        needs=(("mkldnn", False),),
    ),
    Option("flush_denormal", False, "treat denormal numbers as zero", settings=("torch.set_flush_denormal",)),
    Option("channels_last", False, "lay out images with channels last", settings=("torch.channels_last",)),
    Option(
        "deterministic",
        False,
        "only operators whose answers are the same every time",
        settings=("torch.use_deterministic_algorithms",),
    ),
    Option(
        "grad_mode",
        "inference_mode",
        "how gradients are switched off",
        ("inference_mode", "no_grad"),
        settings=("torch.inference_mode", "torch.no_grad"),
    ),
)

CUDA = "cannot change latency, because it speaks of CUDA graphs, which a CPU has not"
AUTOCAST = "precision: casting to coarser types is off, and the forms `fp16` and `int8` are there for it"
PRECISION = "precision: the adapter forbids all arithmetic below float32"
OURS = "cannot change latency, because our modules name every type and device, and draw no random numbers"

FIXED = (
    Fixed("torch.set_num_threads", "the axis `threads`"),
    Fixed("torch.set_num_interop_threads", "the harness: one, since a call is one task"),
    Fixed("torch.set_float32_matmul_precision", PRECISION),
    *(Fixed(f"torch.backends.mkldnn.{name}", PRECISION) for name in (
        "allow_tf32", "matmul", "conv", "rnn", "fp32_precision",
    )),
    Fixed("torch.set_autocast_*", AUTOCAST),
    Fixed("torch.set_default_*", OURS),
    Fixed("torch.set_rng_state", OURS),
    Fixed("torch.set_grad_enabled", "the option grad_mode"),
    Fixed("torch.set_deterministic_debug_mode", "the option deterministic, which it calls"),
    Fixed("torch.backends.mkldnn.deterministic", "the option deterministic, which oneDNN follows, too"),
    Fixed("torch.backends.mkldnn.flags", "the options mkldnn and deterministic: it sets both for a while"),
    Fixed("torch.backends.mkldnn.set_flags", "the options mkldnn and deterministic: it sets both"),
    Fixed("torch.backends.mkldnn.verbose", "cannot change latency, because it prints what oneDNN does, and is off"),
    Fixed("torch.backends.mkl.verbose", "cannot change latency, because it prints what MKL does, and is off"),
    Fixed("torch.backends.nnpack.flags", "the option nnpack: it sets it for a while"),
    Fixed("torch.backends.quantized.engine", "cannot change latency, because it speaks of modules of torch.ao alone"),
    Fixed(
        "torch.backends.opt_einsum.*",
        "cannot change latency, because it plans products of three tensors and more, and by another package",
    ),
    Fixed(
        "torch.backends.mha.set_fastpath_enabled",
        "cannot change latency, because it speaks of torch.nn.MultiheadAttention, which ONNX does not have",
    ),
    Fixed("torch.set_anomaly_enabled", "cannot change latency, because it speaks of gradients, which are off"),
    Fixed("torch.set_printoptions", "cannot change latency, because it speaks of printing"),
    Fixed("torch.set_warn_always", "cannot change latency, because no call warns"),
    Fixed(MODE + "reduce-overhead", CUDA),
    Fixed(MODE + "max-autotune", CUDA + "; otherwise it is the mode max-autotune-no-cudagraphs"),
    Fixed("torch.compile(model)", "the adapter: the module"),
    Fixed("torch.compile(fullgraph)", "the adapter: true, so that a graph cannot fall into pieces without a word"),
    Fixed("torch.compile(dynamic)", "the adapter: false, since sizes are fixed"),
    Fixed("torch.compile(dynamic_shapes)", "says which sizes may vary, and here none does"),
    Fixed("torch.compile(options)", "the options that inductor has here: it sets the same"),
    Fixed("torch.compile(name)", "cannot change latency, because it is a name for logs"),
    Fixed("torch.compile(disable)", "the option compiler"),
    Fixed("torch.compile(recompile_limit)", "cannot change latency, because nothing is compiled twice"),
    Fixed("torch.compile(isolate_recompiles)", "cannot change latency, because nothing is compiled twice"),
    Fixed("torch.compile(shapes_spec)", "the adapter: sizes are fixed"),
)  # fmt: skip

INDUCTOR_OPTIONS = tuple(option.name for option in AXES if option.needs == COMPILED)
CLASHES = tuple(
    Clash(
        (("compiler", ("eager",)), (name, ())),
        f"{name} speaks of compiled code: set compiler=inductor, too",
    )
    for name in INDUCTOR_OPTIONS
)


def inductor_settings(options: Mapping[str, Value]) -> dict[str, Any]:
    """Entries of inductor's configuration that are not at their defaults; none for the eager compiler."""
    if options["compiler"] == "eager":
        return {}
    return {
        setting.removeprefix(INDUCTOR): options[option.name]
        for option in AXES
        for setting in option.settings
        if setting.startswith(INDUCTOR) and options[option.name] != option.default
    }
