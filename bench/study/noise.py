"""Noise on purpose: processes that multiply matrices in bursts, as a busy neighbour would.

``python -m bench.study.noise 2`` makes noise with two processes until it is stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 500
# Seconds of a burst, and of the rest after it.
BURST_S, REST_S = (0.02, 0.4), (0.02, 0.6)


@contextmanager
def noise(processes: int) -> Iterator[None]:
    """So many processes make noise inside; none for 0."""
    spawned = multiprocessing.get_context("spawn")
    started = [spawned.Process(target=bursts, args=(seed,), daemon=True) for seed in range(processes)]
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    # One processor for each of them, and not all for all.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for process in started:
        process.start()
    if before is None:
        del os.environ["OPENBLAS_NUM_THREADS"]
    else:
        os.environ["OPENBLAS_NUM_THREADS"] = before
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.join()


def bursts(seed: int) -> None:
    """Work and rest in turns, for random times, for ever."""
    chance = random.Random(seed)  # noqa: S311  # noise, no secret
    matrix = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)
    while True:
        until = time.monotonic() + chance.uniform(*BURST_S)
        while time.monotonic() < until:
            matrix @ matrix
        time.sleep(chance.uniform(*REST_S))


if __name__ == "__main__":
    with noise(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
        time.sleep(1e9)
