"""What adapters of NVIDIA GPUs share: the driver through ctypes, memory and streams, sessions, counts, NVML.

Nothing of CUDA needs to be installed but the driver, and nothing is loaded before it is used.
"""
