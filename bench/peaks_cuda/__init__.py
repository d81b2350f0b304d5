"""The peaks of an NVIDIA GPU: what it could do at most, measured with kernels of our own.

The kernels are PTX, which the driver compiles for the GPU when they are loaded; nothing of CUDA needs to be installed
but the driver. Who starts here:

* :mod:`bench.peaks_cuda.collect` has worker processes measure, and keeps the best of all sittings;
* :mod:`bench.peaks_cuda.measure` is what one of those processes does;
* :mod:`bench.peaks_cuda.catalogue` says what is measured on which GPU;
* :mod:`bench.peaks_cuda.vector`, ``tensor``, ``wgmma`` and ``traffic`` write the kernels;
* :mod:`runtimes.gpu` calls the driver.
"""

from bench.peaks_cuda.collect import gpu_identity, gpu_peaks

__all__ = ["gpu_identity", "gpu_peaks"]
