"""A peak is a promise that nobody is faster: a kernel that computes nothing, or less than it counts, breaks it."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.peaks import amx, arm, x86
from bench.peaks.crew import aligned
from bench.peaks.jit import Compiler, loop_of
from bench.peaks.kernels import TABLES, arm_features, machine, offered
from runtimes.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.peaks.accumulate import Kernel

POINTER, INTEGER = ctypes.c_void_p, ctypes.c_int64
X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
COMPILER = Compiler()
FEATURES = COMPILER.features() | arm_features()
HERE = offered(machine(), FEATURES)
# Those that newer instructions make pointless must be right for older processors.
RUNNABLE = [one for one in TABLES.get(machine(), ()) if one.needs <= FEATURES and not one.tiles]
# Written as text for an assembler: only LLVM's own processor has one at hand.
on_x86 = pytest.mark.skipif(machine() != "x86_64", reason="the assembler is the one of the processor it runs on")


def name(kernel: Kernel) -> str:
    return kernel.name


def answer(kernel: Kernel, rounds: int) -> NDArray[np.generic]:
    """What the kernel leaves behind, run in this process."""
    run = ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, INTEGER, INTEGER)(COMPILER.address(kernel.ir))
    out, operands = aligned(kernel.start().tobytes()), aligned(kernel.operands)
    run(out.ctypes.data, operands.ctypes.data, None, 0, rounds)
    return out.view(kernel.element)


def counted(kernel: Kernel, triple: str, cpu: str) -> int:
    """How often its instruction stands in its loop."""
    words = kernel.instruction.split()
    return sum(all(word in line for word in words) for line in loop_of(COMPILER.assembly(kernel.ir, triple, cpu)))


@pytest.mark.parametrize("kernel", RUNNABLE, ids=name)
def test_every_kernel_of_this_machine_computes_what_it_counts(kernel: Kernel) -> None:
    assert kernel.wrong(answer(kernel, 1), 1) == ""
    assert kernel.wrong(answer(kernel, 777), 777) == ""
    # A round more or less than was counted would be a wrong rate.
    assert kernel.wrong(answer(kernel, 776), 777)


def test_this_machine_has_kernels_for_single_and_double_precision() -> None:
    assert {"fp32", "fp64"} <= {kernel.precision for kernel in HERE}


@on_x86
@pytest.mark.parametrize("kernel", [*x86.KERNELS, *amx.KERNELS], ids=name)
def test_the_loop_has_every_multiplication_it_counts_on_x86(kernel: Kernel) -> None:
    # 512-bit vectors that the code generator cut in half would show as ymm, and halve the peak.
    assert counted(kernel, X86, "sapphirerapids") == kernel.accumulators


@pytest.mark.parametrize("kernel", arm.KERNELS, ids=name)
def test_the_loop_has_every_multiplication_it_counts_on_arm(kernel: Kernel) -> None:
    assert counted(kernel, ARM, "neoverse-v1") == kernel.accumulators


@pytest.mark.parametrize("kernel", [*x86.KERNELS, *amx.KERNELS, *arm.KERNELS], ids=name)
def test_operations_are_what_the_sums_grow_by(kernel: Kernel) -> None:
    # Every element of every accumulator grows by the number of its products: two operations each.
    assert kernel.flops == 2 * kernel.step * kernel.elements
    assert "/" not in kernel.precision


@pytest.mark.parametrize("kernel", arm.KERNELS, ids=name)
def test_the_loop_on_arm_keeps_everything_in_registers(kernel: Kernel) -> None:
    lines = list(loop_of(COMPILER.assembly(kernel.ir, ARM, "neoverse-v1")))
    assert not [line for line in lines if line.startswith(("ld", "st"))]


def test_a_kernel_that_computes_nothing_is_caught() -> None:
    kernel = HERE[0]
    idle = "\n".join(
        # The sums are handed on as they were.
        line.split("=")[0] + "= select i1 true, " + f"{vector(line)} %c{number(line)}, {vector(line)} zeroinitializer"
        if line.startswith("%d")
        else line
        for line in kernel.ir.splitlines()
    )
    lazy = replace(kernel, ir=idle)
    assert "and not" in lazy.wrong(answer(lazy, 10), 10)


def vector(line: str) -> str:
    """The first vector type of an instruction."""
    return line[line.index("<") : line.index(">") + 1]


def number(line: str) -> str:
    """7 of ``%d7 = …``."""
    return line.split(maxsplit=1)[0].removeprefix("%d")


def test_sums_that_rounding_holds_back_must_still_have_grown_that_far() -> None:
    half = next(kernel for kernel in arm.KERNELS if kernel.precision == "fp16")
    stuck = np.full(half.elements, 2048, half.element)
    assert half.wrong(stuck, 1_000_000) == ""
    assert half.wrong(np.full(half.elements, 1000, half.element), 1_000_000)
    assert half.wrong(np.full(half.elements, np.nan, half.element), 1_000_000)


def test_integers_wrap_around_as_the_instructions_do() -> None:
    kernel = next(one for one in x86.KERNELS if one.isa == "avx512_vnni")
    rounds = 3_000_000_000
    right = (kernel.start().astype(np.int64) + kernel.step * rounds).astype(np.int32)
    assert kernel.wrong(right, rounds) == ""
    assert kernel.wrong(right, rounds + 1)


def test_narrow_ways_are_left_out_where_wide_ones_make_them_pointless() -> None:
    old = {one.isa for one in offered("x86_64", {"sse2", "ssse3", "avx"})}
    assert old == {"sse2", "ssse3", "avx"}
    new = {one.isa for one in offered("x86_64", {"sse2", "ssse3", "avx", "avx2", "fma", "avxvnni"})}
    assert new == {"sse2", "fma", "avx2", "avx_vnni"}


def test_tiles_need_both_the_tiles_and_the_type() -> None:
    assert not [one for one in offered("x86_64", {"amx-tile", "sse2"}) if one.tiles]
    assert [one.isa for one in offered("x86_64", {"amx-tile", "amx-int8"})] == ["amx_int8"]


def test_an_unknown_architecture_has_no_kernels() -> None:
    assert offered("riscv64", {"v"}) == ()
    assert set(TABLES) == {"x86_64", "aarch64"}


def test_arm_features_come_from_linux(tmp_path: Path) -> None:
    # LLVM finds out only a part of what an ARM processor has.
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp bf16 i8mm\n")
    assert {one.isa for one in offered("aarch64", arm_features(told))} == {one.isa for one in arm.KERNELS}
    assert arm_features(tmp_path / "missing") == frozenset()


def test_tiles_are_described_to_the_processor_in_64_bytes() -> None:
    # The layout LDTILECFG reads; a wrong one ends the process.
    settings = amx.configuration()
    assert len(settings) == 64
    assert settings[:2] == b"\x01\x00"
    assert settings[2:16] == bytes(14)
    assert np.frombuffer(settings[16:32], np.uint16).tolist() == [64] * 8
    assert settings[48:56] == bytes([16] * 8)
    assert settings[32:48] == settings[56:] + bytes(8)


def test_the_system_says_why_it_does_not_lend_tiles() -> None:
    if "amx-tile" in COMPILER.features():
        pytest.skip("it has tiles")
    assert "the tiles" in amx.ask_permission()


def test_an_llvmlite_that_is_too_old_says_which_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    from llvmlite import binding

    monkeypatch.setattr(binding, "llvm_version_info", (15, 0, 7))
    with pytest.raises(UnavailableError, match=r"llvmlite>=0\.45"):
        Compiler()


def test_a_kernel_this_llvm_does_not_know_is_a_reason_and_no_crash() -> None:
    with pytest.raises(UnavailableError, match="refuses it"):
        COMPILER.address("define void @kernel() { call void @llvm.nowhere.to.be.found( }")
