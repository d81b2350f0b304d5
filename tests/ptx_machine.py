"""A machine that runs our PTX slowly and strictly, so that kernels can be tried where there is no GPU.

It knows the instructions that our kernels use and refuses all others. Threads of the whole grid run side by side, as
NumPy arrays, and must branch alike. An access outside its memory, or not aligned, is a fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ILLEGAL_ADDRESS = 700
_TYPES = {
    "u32": np.uint32, "b32": np.uint32, "s32": np.uint32, "f32": np.uint32, "f16x2": np.uint32, "bf16x2": np.uint32,
    "u64": np.uint64, "b64": np.uint64, "f64": np.uint64,
}  # fmt: skip


class FaultError(Exception):
    """What a GPU would answer with error 700."""


class Memory:
    """Device memory: blocks with nothing between them."""

    def __init__(self) -> None:
        self.blocks: dict[int, np.ndarray] = {}
        self._next = 0x7F0000000000

    def allocate(self, size: int) -> int:
        address = self._next
        self.blocks[address] = np.full((size + 15) // 16 * 16, 0xA5, np.uint8)[:size]
        self._next += (size + 0xFFF) // 0x1000 * 0x1000 + 0x1000
        return address

    def bytes_at(self, address: int, size: int) -> np.ndarray:
        for base, block in self.blocks.items():
            if base <= address and address + size <= base + block.size:
                return block[address - base : address - base + size]
        raise FaultError(f"{size} bytes at {address:#x}")

    def _words(self, addresses: np.ndarray, width: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
        low, high = int(addresses.min()), int(addresses.max())
        if np.any(addresses % (width * parts)):
            raise FaultError("misaligned")
        for base, block in self.blocks.items():
            if base <= low and high + width * parts <= base + block.size:
                whole = block[: block.size // width * width].view(f"<u{width}")
                return whole, ((addresses - base) // width).astype(np.int64)
        raise FaultError(f"access between {low:#x} and {high:#x}")

    def load(self, addresses: np.ndarray, width: int, parts: int) -> list[np.ndarray]:
        words, places = self._words(addresses, width, parts)
        return [words[places + part] for part in range(parts)]

    def store(self, addresses: np.ndarray, width: int, values: list[np.ndarray], mask: np.ndarray) -> None:
        words, places = self._words(addresses[mask], width, len(values))
        for part, value in enumerate(values):
            words[places + part] = value[mask]


@dataclass
class Program:
    """A parsed module: one entry."""

    name: str
    parameters: list[tuple[str, str]]
    target: str
    block: int
    shared: dict[str, tuple[int, int]]
    shared_bytes: int
    registers: dict[str, str]
    code: list[tuple[str, bool, str, list[str]]]
    labels: dict[str, int]


def parse(text: str) -> Program:
    """Read a module; anything unexpected is an error."""
    head, body = text.split("{", 1)
    body = body.rsplit("}", 1)[0]
    target = re.search(r"^\.target (\S+)$", head, re.MULTILINE)
    entry = re.search(r"\.entry (\w+)\((.*?)\)", head, re.DOTALL)
    block = re.search(r"\.maxntid (\d+), 1, 1", head)
    assert target
    assert entry
    parameters = re.findall(r"\.param \.(\w+) (\w+)", entry[2])
    program = Program(entry[1], parameters, target[1], int(block[1]) if block else 1, {}, 0, {}, [], {})
    for raw in body.replace(";", ";\n").splitlines():
        line = raw.strip()
        if not line or line.startswith(".pragma"):
            continue
        if label := re.fullmatch(r"(\w+):", line):
            program.labels[label[1]] = len(program.code)
        elif shared := re.fullmatch(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\];", line):
            program.shared[shared[2]] = (program.shared_bytes, int(shared[3]))
            program.shared_bytes += int(shared[3])
        elif declared := re.fullmatch(r"\.reg \.(\w+) (.*);", line):
            for name in declared[2].split(","):
                many = re.fullmatch(r"\s*(%\w+?)<(\d+)>", name)
                names = [f"{many[1]}{index}" for index in range(int(many[2]))] if many else [name.strip()]
                for one in names:
                    assert one not in program.registers, f"{one} is declared twice"
                    program.registers[one] = declared[1]
        else:
            statement = re.fullmatch(r"(?:@(!?)(%\w+) )?([\w.:]+)\s*(.*);", line)
            assert statement, f"not understood: {line}"
            program.code.append((statement[2] or "", bool(statement[1]), statement[3], _operands(statement[4])))
    return program


def _operands(text: str) -> list[str]:
    found, depth, begin = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter in "{[") - (letter in "}]")
        if letter == "," and not depth:
            found.append(text[begin:index].strip())
            begin = index + 1
    return [*found, text[begin:].strip()] if text.strip() else []


@dataclass
class Run:
    """One launch.

    Attributes:
        trips: how often a loop went round again.
        executed: how often each opcode was executed.
    """

    program: Program
    memory: Memory
    grid: int
    arguments: dict[str, int]
    trips: int = 0
    executed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.threads = self.grid * self.program.block
        self.lanes = np.arange(self.threads)
        self.registers: dict[str, np.ndarray] = {}
        self.shared = np.full((self.grid, max(self.program.shared_bytes, 16)), 0x5A, np.uint8)

    def go(self) -> Run:
        """Run to the end."""
        code, at, steps = self.program.code, 0, 0
        while True:
            predicate, negated, opcode, operands = code[at]
            mask = np.ones(self.threads, bool)
            if predicate:
                mask = self.registers[predicate] != negated
            self.executed[opcode] = self.executed.get(opcode, 0) + 1
            steps += 1
            self.clock = steps
            if opcode == "ret":
                return self
            if opcode == "bra":
                assert mask.all() or not mask.any(), "threads branch apart"
                if mask.all():
                    self.trips += self.program.labels[operands[0]] <= at
                    at = self.program.labels[operands[0]]
                    continue
            else:
                self.step(opcode.split("."), operands, mask)
            at += 1

    def value(self, operand: str, kind: str) -> np.ndarray:
        """An operand's bits, per thread."""
        kind_of = _TYPES[kind]
        if operand in self.program.registers:
            found = self.registers[operand]
            assert found.dtype == kind_of, f"{operand} is no .{kind}"
            return found
        special = {
            "%tid.x": lambda: self.lanes % self.program.block,
            "%ctaid.x": lambda: self.lanes // self.program.block,
            "%ntid.x": lambda: np.full(self.threads, self.program.block),
            "%nctaid.x": lambda: np.full(self.threads, self.grid),
            "%clock64": lambda: np.full(self.threads, self.clock),
        }
        if operand in special:
            return special[operand]().astype(kind_of)
        if operand in self.program.shared:
            return np.full(self.threads, self.program.shared[operand][0], kind_of)
        return np.full(self.threads, int(operand, 0), kind_of)

    def put(self, operand: str, value: np.ndarray) -> None:
        """Set a register; it must be declared of that size."""
        declared = self.program.registers[operand]
        wanted = np.dtype(bool) if declared == "pred" else np.dtype(_TYPES[declared])
        assert value.dtype == wanted, f"{operand} is .{declared}, not {value.dtype}"
        self.registers[operand] = value

    def address(self, operand: str, kind: str) -> np.ndarray:
        """``[%register+offset]``."""
        inside = re.fullmatch(r"\[(%\w+)(?:\+(\d+))?\]", operand)
        assert inside, operand
        return self.value(inside[1], kind).astype(np.uint64) + np.uint64(int(inside[2] or 0))

    def step(self, op: list[str], args: list[str], mask: np.ndarray) -> None:
        """One instruction that does not branch."""
        kind = op[-1]
        if op[0] in ("bar", "fence") or (op[0] == "wgmma" and op[1] != "mma_async"):
            return
        assert mask.all() or op[0] == "st", "only stores are predicated here"
        if op[0] == "mma":
            self.mma(op, args)
        elif op[0] == "wgmma":
            self.wgmma(op, args)
        elif op[:2] == ["ld", "param"]:
            self.put(args[0], np.full(self.threads, self.arguments[args[1].strip("[]")], _TYPES[kind]))
        elif op[0] in ("ld", "st"):
            self.access(op, args, mask)
        elif op[0] == "mov":
            self.put(args[0], self.value(args[1], kind).copy())
        elif op[0] == "cvt":
            self.put(args[0], self.value(args[1], op[2]).astype(_TYPES[op[1]]))
        elif op[0] == "setp":
            one, other = self.value(args[1], kind), self.value(args[2], kind)
            self.put(args[0], one != other if op[1] == "ne" else one == other)
        elif op[:2] == ["mul", "wide"]:
            one, other = (self.value(arg, kind).astype(np.uint64) for arg in args[1:])
            self.put(args[0], one * other)
        else:
            self.put(args[0], self.compute(op, [self.value(arg, kind) for arg in args[1:]]))

    def compute(self, op: list[str], values: list[np.ndarray]) -> np.ndarray:
        """Arithmetic on bits."""
        name, kind = op[0], op[-1]
        simple: dict[str, Any] = {
            "add": lambda a, b: a + b,
            "sub": lambda a, b: a - b,
            "min": np.minimum,
            "max": np.maximum,
            "xor": lambda a, b: a ^ b,
            "shl": lambda a, b: a << b,
            "shr": lambda a, b: a >> b,
        }
        if name in simple:
            return simple[name](*values)
        if op[:2] == ["mul", "lo"]:
            return values[0] * values[1]
        if op[:2] == ["mad", "lo"]:
            return values[0] * values[1] + values[2]
        if name == "fma":
            a, b, c = (numbers(kind, value) for value in values)
            return bits(kind, a * b + c)
        if name == "dp4a":
            a, b = (value.view(np.int8).reshape(-1, 4).astype(np.int64) for value in values[:2])
            return (values[2].astype(np.int64) + (a * b).sum(axis=1)).astype(np.uint32)
        raise AssertionError(f"unknown instruction {'.'.join(op)}")

    def access(self, op: list[str], args: list[str], mask: np.ndarray) -> None:
        """Loads and stores."""
        width = np.dtype(_TYPES[op[-1]]).itemsize
        load = op[0] == "ld"
        registers, where = (args[0], args[1]) if load else (args[1], args[0])
        names = [name.strip() for name in registers.strip("{}").split(",")]
        assert len(names) == (4 if "v4" in op else 1)
        if op[1] == "global":
            addresses = self.address(where, "u64")
            if load:
                found = self.memory.load(addresses, width, len(names))
            else:
                self.memory.store(addresses, width, [self.value(name, op[-1]) for name in names], mask)
        else:
            assert op[1] == "shared"
            addresses = self.address(where, "u32")
            if int(addresses.max()) + width * len(names) > self.program.shared_bytes:
                raise FaultError("shared memory")
            if np.any(addresses % (width * len(names))):
                raise FaultError("misaligned")
            words = self.shared.view(f"<u{width}")
            blocks, places = self.lanes // self.program.block, (addresses // width).astype(np.int64)
            if load:
                found = [words[blocks, places + part] for part in range(len(names))]
            else:
                for part, name in enumerate(names):
                    words[blocks, places + part] = self.value(name, op[-1])
        if load:
            for name, value in zip(names, found, strict=True):
                self.put(name, value)

    def mma(self, op: list[str], args: list[str]) -> None:
        """A warp's product, of matrices whose elements are all the same."""
        m, n, k = (int(part) for part in re.fullmatch(r"m(\d+)n(\d+)k(\d+)", op[3]).groups())  # type: ignore[union-attr]
        to, kind_a, kind_b, of = op[-4:]
        assert to == of
        d, a, b, c = ([name.strip() for name in arg.strip("{}").split(",")] for arg in args)
        wide = kind_a == "f64"
        element_a, size = self._uniform(a, kind_a)
        element_b, _ = self._uniform(b, kind_b)
        per_register = (8 if wide else 4) // size
        assert len(a) * per_register * 32 == m * k, "A does not have the elements of its shape"
        assert len(b) * per_register * 32 == k * n, "B does not have the elements of its shape"
        sums = "f16x2" if to == "f16" else to
        assert len(d) * (2 if to == "f16" else 1) * 32 == m * n, "D does not have the elements of its shape"
        for target, source in zip(d, c, strict=True):
            held = self.value(source, sums)
            self.put(target, _plus(sums, held, k * element_a * element_b))

    def wgmma(self, op: list[str], args: list[str]) -> None:
        """A warpgroup's product; both matrices are read from where their descriptors say."""
        m, n, k = (int(part) for part in re.fullmatch(r"m(\d+)n(\d+)k(\d+)", op[4]).groups())  # type: ignore[union-attr]
        to, kind_a, kind_b = op[5:]
        assert self.program.target == "sm_90a"
        assert self.program.block == 128
        d = [name.strip() for name in args[0].strip("{}").split(",")]
        assert len(d) * 128 == m * n
        assert len(args) == {"f16": 8, "bf16": 8, "s8": 4}.get(kind_a, 6)
        assert self.registers[args[3]].all(), "the sums would be thrown away"
        size = _SIZES[kind_a]
        assert k * size == 32
        places_a, one_a = self._tile(args[1], m, kind_a)
        places_b, one_b = self._tile(args[2], n, kind_b)
        assert not set(places_a) & set(places_b), "A and B lie on each other"
        for name in d:
            self.put(name, _plus(to, self.value(name, to), k * one_a * one_b))

    def _tile(self, register: str, rows: int, kind: str) -> tuple[list[int], float]:
        """Where the bytes of a matrix are, 32 to a row, and its element."""
        descriptors = self.value(register, "b64")
        assert len(set(descriptors.tolist())) == 1
        word = int(descriptors[0])
        start, leading, stride = ((word >> shift & 0x3FFF) << 4 for shift in (0, 16, 32))
        swizzle = word >> 62
        assert word >> 49 & 7 == 0
        places = []
        for row in range(rows):
            for part in range(2):
                if swizzle == 0:
                    place = start + row // 8 * stride + part * leading + row % 8 * 16
                else:
                    assert swizzle == 1
                    # Bits 4 to 6 of an address are crossed with bits 7 to 9, which count rows.
                    place = start + row // 8 * stride + row % 8 * 128 + part * 16
                    place ^= (place >> 7 & 7) << 4
                places += range(place, place + 16)
        assert len(set(places)) == len(places), "rows lie on each other"
        if max(places) >= self.program.shared_bytes:
            raise FaultError("a descriptor points past shared memory")
        held = self.shared[:, places]
        assert (held == held[:1]).all()
        return places, _element(held[0].tobytes(), kind)

    def _uniform(self, registers: list[str], kind: str) -> tuple[float, int]:
        wide = "f64" if kind == "f64" else "b32"
        raw = b"".join(self.value(name, wide).tobytes() for name in registers)
        return _element(raw, kind), _SIZES[kind]


_SIZES = {"f64": 8, "tf32": 4, "f16": 2, "bf16": 2, "e4m3": 1, "s8": 1}


def _element(raw: bytes, kind: str) -> float:
    """The element that a matrix consists of."""
    size = _SIZES[kind]
    first = raw[:size]
    assert raw == first * (len(raw) // size), "elements differ, which this machine cannot compute with"
    word = int.from_bytes(first, "little")
    if kind == "f64":
        return float(np.frombuffer(first, "<f8")[0])
    if kind == "tf32":
        return float(np.frombuffer(first, "<f4")[0])
    if kind == "f16":
        return float(np.frombuffer(first, "<f2")[0])
    if kind == "bf16":
        return float(np.frombuffer(b"\0\0" + first, "<f4")[0])
    if kind == "s8":
        return float(np.int8(np.uint8(word)))
    assert kind == "e4m3"
    exponent, fraction = word >> 3 & 15, word & 7
    assert exponent, "no subnormal numbers here"
    return (-1.0 if word >> 7 else 1.0) * (1 + fraction / 8) * 2.0 ** (exponent - 7)


def numbers(kind: str, words: np.ndarray) -> np.ndarray:
    """Bits to numbers wide enough to compute with: (threads, numbers in a word)."""
    if kind == "f64":
        return words.view("<f8").reshape(-1, 1)
    if kind == "f32":
        return words.view("<f4").astype(np.float64).reshape(-1, 1)
    if kind == "f16x2":
        return words.view("<f2").astype(np.float64).reshape(-1, 2)
    assert kind == "bf16x2"
    return (words.view("<u2").astype("<u4") << 16).view("<f4").astype(np.float64).reshape(-1, 2)


def bits(kind: str, values: np.ndarray) -> np.ndarray:
    """Numbers to bits, rounded to nearest, ties to even."""
    if kind == "f64":
        return np.ascontiguousarray(values).view("<u8").reshape(-1)
    if kind == "f32":
        return np.ascontiguousarray(values.astype("<f4")).view("<u4").reshape(-1)
    if kind == "f16x2":
        return np.ascontiguousarray(values.astype("<f2")).view("<u4").reshape(-1)
    assert kind == "bf16x2"
    wide = np.ascontiguousarray(values.astype("<f4")).view("<u4").astype(np.uint64)
    halves = ((wide + 0x7FFF + (wide >> 16 & 1)) >> 16).astype("<u2")
    return np.ascontiguousarray(halves).view("<u4").reshape(-1)


def _plus(kind: str, words: np.ndarray, more: float) -> np.ndarray:
    if kind == "s32":
        return words + np.uint32(int(more) % (1 << 32))
    return bits(kind, numbers(kind, words) + more)
