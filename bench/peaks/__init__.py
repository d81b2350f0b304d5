"""The peaks of this machine: what its processors could do at most, measured with kernels of our own.

The kernels are LLVM IR, compiled for this machine by llvmlite when they are needed. Who starts here:

* :mod:`bench.peaks.host` measures in worker processes, and keeps the best of all sittings;
* :mod:`bench.peaks.sitting` is what one of those processes does;
* :mod:`bench.peaks.kernels` and :mod:`bench.peaks.movers` are what it runs;
* :mod:`bench.peaks.against_c` compares them with kernels in C.
"""

from bench.peaks.host import all_threads, host_peaks, known_peaks

__all__ = ["all_threads", "host_peaks", "known_peaks"]
