"""Kernels for a GPU: a wrong count of operations, or a kernel that does not compute, would be a wrong floor."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import ptx_machine
import pytest

from bench.peaks_cuda.arithmetic import decode, encode, wrong
from bench.peaks_cuda.catalogue import groups, kernels, l1_bytes, not_measured
from bench.peaks_cuda.kernel import Kernel
from bench.peaks_cuda.traffic import SHARED_HALF_BYTES, Stream, empty_kernel, stream_kernels
from bench.peaks_cuda.wgmma import descriptor

KERNELS = list(kernels().values())
STREAMS = stream_kernels()
NO_PTXAS = "ptxas is not installed: pip install nvidia-cuda-nvcc nvidia-cuda-nvdisasm, or set RTFLOOR_PTXAS"


def run(kernel: Kernel, iterations: int, grid: int = 2) -> tuple[ptx_machine.Run, np.ndarray, np.ndarray]:
    """Run a kernel on the slow machine; what it did, its words, its clocks."""
    program = ptx_machine.parse(kernel.text)
    memory = ptx_machine.Memory()
    words = 2 * grid * kernel.block
    out, clocks = memory.allocate(words * kernel.word_bytes), memory.allocate(8 * grid)
    start = memory.allocate(kernel.accumulators * kernel.word_bytes)
    values = encode(kernel.number, kernel.start, kernel.accumulators)
    memory.bytes_at(start, values.nbytes)[:] = values.view(np.uint8)
    arguments = {"out": out, "clocks": clocks, "start": start, "iterations": iterations, "a": kernel.a, "b": kernel.b}
    with np.errstate(over="ignore"):
        done = ptx_machine.Run(program, memory, grid, arguments).go()
    kind = "<u8" if kernel.word_bytes == 8 else "<u4"
    return (
        done,
        memory.bytes_at(out, words * kernel.word_bytes).view(kind).copy(),
        memory.bytes_at(clocks, 8 * grid).view("<u8").copy(),
    )


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("iterations", [1, 3, 5])
def test_a_kernel_answers_what_the_host_expects(kernel: Kernel, iterations: int) -> None:
    # Were the expected answer wrong, every GPU would be told that it cannot compute.
    _, words, clocks = run(kernel, iterations)
    assert wrong(kernel, words, iterations) == ""
    assert (clocks > 0).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_an_answer_of_fewer_iterations_is_wrong(kernel: Kernel) -> None:
    # A loop that was folded, or cut short, must not count as fast.
    _, words, _ = run(kernel, 2)
    said = wrong(kernel, words, 3)
    assert f"must be {kernel.answer(3)}" in said
    assert "100%" in said


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_one_lost_sum_of_one_thread_is_seen(kernel: Kernel) -> None:
    _, words, _ = run(kernel, 3)
    words[7] = words[7] - 1
    assert "sums are wrong" in wrong(kernel, words, 3)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_operations_are_those_of_the_instructions_that_ran(kernel: Kernel) -> None:
    # The rate is this number over time: counted once more, from what each instruction is.
    done, _, _ = run(kernel, 4, grid=1)
    opcode = kernel.instruction.split(",")[0]
    executed = done.executed[opcode]
    assert executed == 4 * kernel.sass_count
    assert done.trips == 3
    if shape := re.search(r"m(\d+)n(\d+)k(\d+)", opcode):
        m, n, k = (int(size) for size in shape.groups())
        teams = kernel.block // (128 if opcode.startswith("wgmma") else 32)
        operations = 2 * m * n * k * teams
    else:
        operations = {"f32": 2, "f64": 2, "f16x2": 4, "bf16x2": 4, "s32": 8}[kernel.number] * kernel.block
    assert kernel.flops * 4 == executed * operations


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_what_is_known_only_at_run_time_stays_so(kernel: Kernel) -> None:
    # A compiler that knew operands, starting values or the number of iterations could compute the answer itself.
    for parameter in ("start", "iterations", "a", "b"):
        assert re.search(rf"ld\.param\.\w+ %\w+, \[{parameter}\];", kernel.text)
    assert kernel.text.count("ld.global.") == kernel.accumulators
    program = ptx_machine.parse(kernel.text)
    assert program.name == kernel.name
    assert program.block == kernel.block
    assert kernel.name.isidentifier()
    # More could not be declared in PTX.
    assert program.shared_bytes <= 48 << 10


def test_sums_past_what_is_exact_may_stick_but_not_shrink() -> None:
    # A long run of fp16 sums sticks at 2048, as it must; anything lower was not computed.
    kernel = kernels()["fma_fp16x2"]
    _, words, _ = run(kernel, 100, grid=1)
    assert decode("f16x2", words).max() == 2048
    assert kernel.answer(100) > 2048
    assert wrong(kernel, words, 100) == ""
    assert "must be between 2048 and 3201" in wrong(kernel, encode("f16x2", 2046, 8), 100)
    assert wrong(kernel, np.full(8, 0x7E007E00, "<u4"), 100), "no number is no answer"


def test_integers_wrap_and_are_exact_all_the_same() -> None:
    kernel = kernels()["mma_int8"]
    iterations = 1 << 25
    words = encode("s32", kernel.answer(iterations) % (1 << 32), 64)
    assert wrong(kernel, words, iterations) == ""
    assert wrong(kernel, words + 1, iterations)


@pytest.mark.parametrize("number", ["f32", "f64", "f16x2", "bf16x2", "s32"])
def test_words_hold_what_was_put_into_them(number: str) -> None:
    assert (decode(number, encode(number, 12, 4)) == 12).all()


def test_descriptors_have_their_fields_in_place() -> None:
    # PTX ISA: offsets divided by 16 from bits 16 and 32 on; swizzling in bits 62 and 63, 1 for 128 bytes.
    assert descriptor(1024, 128, swizzled=False) == 64 << 16 | 8 << 32
    assert descriptor(16, 1024, swizzled=True) == 1 << 16 | 64 << 32 | 1 << 62


@pytest.mark.parametrize("kind", ["read", "write", "copy"])
def test_every_byte_is_touched_once_per_pass(kind: str) -> None:
    # Bytes per second are bytes that are said to be touched over time.
    stream, grid, chunks, passes = STREAMS[kind], 2, 3, 2
    memory = ptx_machine.Memory()
    size = grid * stream.block * stream.thread_bytes * chunks
    source, target = memory.allocate(size), memory.allocate(size)
    out = memory.allocate(4 * grid * stream.block)
    numbers = np.arange(size // 4, dtype="<u4")
    memory.bytes_at(source, size).view("<u4")[:] = numbers
    arguments = {"source": source, "target": target, "out": out, "word": 9, "passes": passes, "chunks": chunks}
    program = ptx_machine.parse(stream.text)
    with np.errstate(over="ignore"):
        done = ptx_machine.Run(program, memory, grid, arguments).go()
    if kind == "read":
        sums = memory.bytes_at(out, 4 * grid * stream.block).view("<u4").astype(np.uint64)
        assert int(sums.sum()) % (1 << 32) == passes * int(numbers.sum(dtype=np.uint64)) % (1 << 32)
    else:
        expected = numbers if kind == "copy" else np.full(size // 4, 9)
        assert (memory.bytes_at(target, size).view("<u4") == expected).all()
    accesses = Counter(
        {op: count for op, count in done.executed.items() if op.startswith(("ld.global", "st.global.v"))}
    )
    threads = grid * stream.block
    assert accesses.total() * threads * 16 == size * passes * (2 if kind == "copy" else 1)


def test_shared_memory_is_read_in_two_halves_by_turns() -> None:
    stream = STREAMS["shared"]
    memory = ptx_machine.Memory()
    out = memory.allocate(4 * 2 * stream.block)
    arguments = {"out": out, "word": 3, "passes": 5}
    with np.errstate(over="ignore"):
        done = ptx_machine.Run(ptx_machine.parse(stream.text), memory, 2, arguments).go()
    assert (memory.bytes_at(out, 8 * stream.block).view("<u4") == 5 * 3 * stream.thread_bytes // 4).all()
    assert done.executed["ld.shared.v4.u32"] * stream.block * 16 == 5 * SHARED_HALF_BYTES


def test_the_machine_that_checks_kernels_refuses_what_is_wrong() -> None:
    # A test bench that lets everything pass would prove nothing.
    stream = STREAMS["read"]
    memory = ptx_machine.Memory()
    source = memory.allocate(stream.block * stream.thread_bytes)
    out = memory.allocate(4 * stream.block)
    program = ptx_machine.parse(stream.text)
    arguments = {"source": source, "out": out, "passes": 1, "chunks": 2}
    with pytest.raises(ptx_machine.FaultError), np.errstate(over="ignore"):
        ptx_machine.Run(program, memory, 1, arguments).go()
    with pytest.raises(ptx_machine.FaultError, match="misaligned"), np.errstate(over="ignore"):
        ptx_machine.Run(program, memory, 1, {**arguments, "source": source + 4, "chunks": 1}).go()


def test_each_gpu_gets_the_kernels_it_has_instructions_for() -> None:
    def names(capability: int) -> set[str]:
        return {name for group in groups(capability) for name in group}

    assert "mma_fp16" in names(86)
    assert not any(name.startswith("wgmma") for name in names(86))
    assert not any("fp8" in name for name in names(86))
    assert {"wgmma_fp16_plain", "wgmma_fp8_swizzled", "mma_tf32"} <= names(90)
    # On 9.0 the compiler makes one product of all fp8 products; seen in its machine code.
    assert "mma_fp8" not in names(90) | names(100)
    assert "mma_fp8" in names(89) & names(120)
    assert not any(name.startswith(("mma", "wgmma")) for name in names(75))
    assert not any(name.startswith("wgmma") for name in names(100))
    for capability in (75, 80, 86, 89, 90, 100, 120):
        assert {"fma_fp32", "memory read", "L2 read", "PCIe write", "calls"} <= names(capability)


def test_a_gpu_whose_tensor_cores_are_not_measured_says_so() -> None:
    assert not_measured(86) == not_measured(90) == []
    assert "no bound" in not_measured(100)[0]
    assert "not measured" in not_measured(75)[0]
    assert l1_bytes(90) == 256 << 10
    assert l1_bytes(86) == 128 << 10
    assert l1_bytes(120) is None


def ptxas() -> Path | None:
    """NVIDIA's assembler, where it is installed."""
    named = os.environ.get("RTFLOOR_PTXAS") or shutil.which("ptxas")
    if named:
        return Path(named)
    places = [Path(place) / "nvidia" for place in sys.path]
    return next((found for place in places for found in sorted(place.glob("*/bin/ptxas"))), None)


def texts(capability: int) -> list[Kernel | Stream | str]:
    """Everything that a GPU of this capability gets."""
    return [*(kernel for kernel in KERNELS if kernel.runs_on(capability)), *STREAMS.values(), empty_kernel()]


@pytest.fixture
def assembler() -> Path:
    found = ptxas()
    if found is None:
        pytest.skip(NO_PTXAS)
    return found


@pytest.mark.parametrize("target", ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120"])
def test_nvidias_assembler_takes_every_kernel_and_keeps_its_loop(assembler: Path, target: str, tmp_path: Path) -> None:
    # On a user's machine the driver assembles them; whatever it refused would be missing from the floor.
    capability = int(re.sub(r"\D", "", target))
    for item in texts(capability):
        text, name = (item, "empty") if isinstance(item, str) else (item.text, item.name)
        source, cubin = tmp_path / f"{name}.ptx", tmp_path / f"{name}.cubin"
        source.write_text(text)
        command = [str(assembler), "-v", f"--gpu-name={target}", str(source), "-o", str(cubin)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        if "not defined for option 'gpu-name'" in said:
            pytest.skip(f"this ptxas does not know {target}")
        assert done.returncode == 0, said
        assert "0 bytes spill stores, 0 bytes spill loads" in said, f"{name}: {said}"
        # It says so when products wait for one another.
        assert "arning" not in said, said
        assert "serialized" not in said, said
        if isinstance(item, str):
            continue
        loops = machine_loops(assembler, cubin)
        if loops is None:
            continue
        if isinstance(item, Kernel):
            found = loops[0]
            assert found[item.sass] == item.sass_count, f"{name}: {found}"
            # What is slow by design (fp64 on cards for players) is padded with instructions that do nothing.
            if item.group == "vector" and item.precision != "fp64":
                assert found.total() <= 1.03 * item.sass_count, f"{name}: {found}"
            # Instructions that another way of computing the same would need.
            assert not any(found[other] for other in ("FADD", "HADD2", "LDL", "STL")), f"{name}: {found}"
        else:
            for opcode in item.sass:
                assert loops[0][opcode] == item.sass_count, f"{name}: {loops}"


def machine_loops(assembler: Path, cubin: Path) -> list[Counter[str]] | None:
    """Instructions in each loop, the shortest first, by the first part of their name; None without a disassembler."""
    beside = assembler.with_name("nvdisasm")
    disassembler = str(beside) if beside.exists() else shutil.which("nvdisasm")
    if disassembler is None:
        return None
    said = subprocess.run([disassembler, "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    labels: dict[str, int] = {}
    code: list[str] = []
    for raw in said.splitlines():
        line = raw.strip()
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(code)
        elif instruction := re.match(r"/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?(.*?)\s*;", line):
            code.append(instruction[1])
    loops = []
    for place, text in enumerate(code):
        jump = re.match(r"BRA\S* .*?(\.L_x_\d+)", text)
        if jump and jump[1] in labels and labels[jump[1]] < place:
            loops.append(Counter(line.split(" ")[0].split(".")[0] for line in code[labels[jump[1]] : place + 1]))
    assert loops, "there is no loop left"
    return sorted(loops, key=Counter.total)
