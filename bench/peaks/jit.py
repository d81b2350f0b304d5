"""LLVM IR to functions of this process, by llvmlite; the only file that imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.peaks.ir import ENTRY
from runtimes.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = (
    "llvmlite, which compiles the kernels for this machine, is not installed; to mend it: pip install 'rtfloor[cpu]'"
)


# Older ones do not know pointers without a type.
LLVM_LEAST = 20


class Compiler:
    """Compiles for the processor it runs on; what it compiled lives as long as it does.

    Raises:
        UnavailableError: llvmlite is missing or too old.
    """

    def __init__(self) -> None:
        try:
            from llvmlite import __version__, binding
        except ModuleNotFoundError as error:
            if error.name != "llvmlite":
                raise
            raise UnavailableError(REMEDY) from error
        if binding.llvm_version_info[0] < LLVM_LEAST:
            raise UnavailableError(
                f"llvmlite {__version__} is too old to compile the kernels; to mend it: pip install 'llvmlite>=0.45'"
            )
        self._llvm: Any = binding
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        binding.initialize_native_asmparser()
        self.version = f"llvmlite {__version__}, LLVM {'.'.join(map(str, binding.llvm_version_info))}"
        self.cpu = str(binding.get_host_cpu_name())
        self._kept: list[Any] = []

    def features(self) -> frozenset[str]:
        """What LLVM knows this processor to have."""
        return frozenset(name for name, present in self._llvm.get_host_cpu_features().items() if present)

    def address(self, ir: str, name: str = ENTRY) -> int:
        """Compile a module; where its function of that name is.

        Raises:
            UnavailableError: this LLVM does not understand it.
        """
        module, machine = self._module(ir, self._llvm.get_process_triple(), self.cpu)
        engine = self._llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        self._kept.append((engine, machine))
        return int(engine.get_function_address(name))

    def assembly(self, ir: str, triple: str = "", cpu: str = "") -> str:
        """What becomes of a module, for tests; of another architecture, if they say so."""
        if triple:
            self._llvm.initialize_all_targets()
            self._llvm.initialize_all_asmprinters()
        module, machine = self._module(ir, triple or self._llvm.get_process_triple(), cpu or self.cpu)
        return str(machine.emit_assembly(module))

    def _module(self, ir: str, triple: str, cpu: str) -> tuple[Any, Any]:
        target = self._llvm.Target.from_triple(triple)
        # Features come with every function; what the kernel was not written for shall not slip in.
        machine = target.create_target_machine(cpu=cpu, opt=3, jit=True)
        try:
            module = self._llvm.parse_assembly(ir)
            module.triple = triple
            module.verify()
        except RuntimeError as error:
            first = str(error).strip().splitlines()
            raise UnavailableError(f"{self.version} refuses it: {' '.join(first)[:200]}") from error
        return module, machine


def loop_of(assembly: str) -> Iterator[str]:
    """The instructions of the innermost loop of a function's assembly, for tests."""
    lines = [line.strip() for line in assembly.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith((".LBB0_1:", "LBB0_1:"))]
    for line in lines[starts[0] + 1 :]:
        yield line
        if line.startswith(("j", "b.", "cbnz", "cbz", "tbnz")):
            return
