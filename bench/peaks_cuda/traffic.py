"""Kernels that only move bytes: 16 at a time per thread, neighbours beside each other, several loads in flight.

Global kernels go over a buffer ``passes`` times. The grid covers it in ``chunks`` strides: with T threads in all, chunk
c of thread i is at 16 · (i + T · (UNROLLED · c + u)) for u from 0 to UNROLLED - 1. So T · 16 · UNROLLED · chunks bytes
are touched in a pass, each once, by the same thread in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "memory"
VECTOR_BYTES = 16
UNROLLED = 4
SHARED_BLOCK = 128
# Two halves, read in turns: a compiler that saw the same addresses again would keep what it has.
SHARED_HALF_BYTES = 16 << 10


@dataclass(frozen=True)
class Stream:
    """A kernel that moves bytes.

    Attributes:
        name: its entry point.
        kind: ``read``, ``write`` or ``copy``.
        text: the PTX module.
        block: threads in a block.
        thread_bytes: what one thread touches in one chunk; a copy reads and writes as much each.
        sass, sass_count: its machine instructions, as in :class:`bench.peaks_cuda.kernel.Kernel`.
    """

    name: str
    kind: str
    text: str
    block: int
    thread_bytes: int
    sass: tuple[str, ...]
    sass_count: int


def stream_kernels() -> dict[str, Stream]:
    """Reading, writing and copying global memory past the L1; reading shared memory."""
    return {
        "read": Stream("stream_read", "read", _read(), 512, VECTOR_BYTES * UNROLLED, ("LDG",), UNROLLED),
        "write": Stream("stream_write", "write", _write(), 512, VECTOR_BYTES * UNROLLED, ("STG",), UNROLLED),
        "copy": Stream("stream_copy", "copy", _copy(), 512, VECTOR_BYTES * UNROLLED, ("LDG", "STG"), UNROLLED),
        "shared": Stream("stream_shared", "read", _shared(), SHARED_BLOCK, SHARED_HALF_BYTES // SHARED_BLOCK, ("LDS",),
                         SHARED_HALF_BYTES // SHARED_BLOCK // VECTOR_BYTES),
    }  # fmt: skip


def empty_kernel() -> str:
    """A kernel ``empty`` that does nothing: what is left is the cost of a launch."""
    return ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry empty() { ret; }\n"


def _module(name: str, parameters: str, registers: list[str], body: list[str], block: int = 512) -> str:
    return "\n".join(
        [
            ".version 7.0",
            ".target sm_75",
            ".address_size 64",
            "",
            f".visible .entry {name}({parameters}) .maxntid {block}, 1, 1",
            "{",
            "  .reg .b32 %t, %block, %size, %grid, %thread, %threads;",
            *(f"  {line}" for line in registers),
            "  mov.u32 %t, %tid.x;",
            "  mov.u32 %block, %ctaid.x;",
            "  mov.u32 %size, %ntid.x;",
            "  mov.u32 %grid, %nctaid.x;",
            "  mad.lo.u32 %thread, %block, %size, %t;",
            "  mul.lo.u32 %threads, %grid, %size;",
            *(f"  {line}" for line in body),
            "  ret;",
            "}",
            "",
        ]
    )


_LOOP_REGISTERS = [
    ".reg .b32 %passes, %chunks, %left;",
    ".reg .b64 %own, %stride;",
    ".reg .pred %more;",
]
_OWN = [
    "ld.param.u32 %passes, [passes];",
    "ld.param.u32 %chunks, [chunks];",
    f"mul.wide.u32 %own, %thread, {VECTOR_BYTES};",
    f"mul.wide.u32 %stride, %threads, {VECTOR_BYTES};",
]


def _loops(start: list[str], chunk: list[str]) -> list[str]:
    return [
        "pass:",
        *start,
        "mov.u32 %left, %chunks;",
        "chunk:",
        '.pragma "nounroll";',
        *chunk,
        "sub.u32 %left, %left, 1;",
        "setp.ne.u32 %more, %left, 0;",
        "@%more bra chunk;",
        "sub.u32 %passes, %passes, 1;",
        "setp.ne.u32 %more, %passes, 0;",
        "@%more bra pass;",
    ]


def _load(first: int, address: str, space: str = "global.cg") -> str:
    return f"ld.{space}.v4.u32 {{%v{first}, %v{first + 1}, %v{first + 2}, %v{first + 3}}}, [{address}];"


def _add_up(values: int) -> list[str]:
    return [f"add.u32 %s{index % 4}, %s{index % 4}, %v{index};" for index in range(values)]


_SUM = ["add.u32 %s0, %s0, %s1;", "add.u32 %s2, %s2, %s3;", "add.u32 %s0, %s0, %s2;"]
_STORE_SUM = [
    "ld.param.u64 %out, [out];",
    "mul.wide.u32 %offset, %thread, 4;",
    "add.u64 %out, %out, %offset;",
    "st.global.u32 [%out], %s0;",
]


def _read() -> str:
    values = 4 * UNROLLED
    # Past the L1 (.cg): what is measured lies behind it.
    chunk = []
    for index in range(UNROLLED):
        chunk += [_load(4 * index, "%at"), "add.u64 %at, %at, %stride;"]
    chunk += _add_up(values)
    return _module(
        "stream_read",
        ".param .u64 source, .param .u64 out, .param .u32 passes, .param .u32 chunks",
        [
            *_LOOP_REGISTERS,
            ".reg .b64 %source, %out, %at, %offset;",
            f".reg .b32 %v<{values}>;",
            ".reg .b32 %s<4>;",
        ],
        [
            *_OWN,
            "ld.param.u64 %source, [source];",
            "add.u64 %source, %source, %own;",
            *(f"mov.u32 %s{index}, 0;" for index in range(4)),
            *_loops(["mov.u64 %at, %source;"], chunk),
            *_SUM,
            *_STORE_SUM,
        ],
    )


def _write() -> str:
    chunk = []
    for _ in range(UNROLLED):
        chunk += ["st.global.v4.u32 [%at], {%word, %word, %word, %word};", "add.u64 %at, %at, %stride;"]
    return _module(
        "stream_write",
        ".param .u64 target, .param .u32 word, .param .u32 passes, .param .u32 chunks",
        [*_LOOP_REGISTERS, ".reg .b64 %target, %at;", ".reg .b32 %word;"],
        [
            *_OWN,
            "ld.param.u64 %target, [target];",
            "ld.param.u32 %word, [word];",
            "add.u64 %target, %target, %own;",
            *_loops(["mov.u64 %at, %target;"], chunk),
        ],
    )


def _copy() -> str:
    chunk = []
    for index in range(UNROLLED):
        chunk += [_load(4 * index, "%at"), "add.u64 %at, %at, %stride;"]
    for index in range(UNROLLED):
        words = ", ".join(f"%v{4 * index + part}" for part in range(4))
        chunk += [f"st.global.v4.u32 [%to], {{{words}}};", "add.u64 %to, %to, %stride;"]
    return _module(
        "stream_copy",
        ".param .u64 source, .param .u64 target, .param .u32 passes, .param .u32 chunks",
        [*_LOOP_REGISTERS, ".reg .b64 %source, %target, %at, %to;", f".reg .b32 %v<{4 * UNROLLED}>;"],
        [
            *_OWN,
            "ld.param.u64 %source, [source];",
            "ld.param.u64 %target, [target];",
            "add.u64 %source, %source, %own;",
            "add.u64 %target, %target, %own;",
            *_loops(["mov.u64 %at, %source;", "mov.u64 %to, %target;"], chunk),
        ],
    )


def _shared() -> str:
    row = SHARED_BLOCK * VECTOR_BYTES
    loads = SHARED_HALF_BYTES // row
    fill = [
        f"st.shared.v4.u32 [%at+{offset}], {{%word, %word, %word, %word}};"
        for offset in range(0, 2 * SHARED_HALF_BYTES, row)
    ]
    return _module(
        "stream_shared",
        ".param .u64 out, .param .u32 word, .param .u32 passes",
        [
            f".shared .align 16 .b8 held[{2 * SHARED_HALF_BYTES}];",
            ".reg .b32 %at, %own, %from, %half, %word, %passes;",
            ".reg .b64 %out, %offset;",
            f".reg .b32 %v<{4 * loads}>;",
            ".reg .b32 %s<4>;",
            ".reg .pred %more;",
        ],
        [
            "ld.param.u32 %word, [word];",
            "ld.param.u32 %passes, [passes];",
            f"mul.lo.u32 %own, %t, {VECTOR_BYTES};",
            "mov.u32 %at, held;",
            "add.u32 %at, %at, %own;",
            *fill,
            "bar.sync 0;",
            "mov.u32 %half, 0;",
            *(f"mov.u32 %s{index}, 0;" for index in range(4)),
            "pass:",
            '.pragma "nounroll";',
            "add.u32 %from, %at, %half;",
            *(_load(4 * index, f"%from+{index * row}", "shared") for index in range(loads)),
            *_add_up(4 * loads),
            f"xor.b32 %half, %half, {SHARED_HALF_BYTES};",
            "sub.u32 %passes, %passes, 1;",
            "setp.ne.u32 %more, %passes, 0;",
            "@%more bra pass;",
            *_SUM,
            *_STORE_SUM,
        ],
        SHARED_BLOCK,
    )
