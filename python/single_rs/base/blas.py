"""One thread for the BLAS, so that a result does not depend on how many it would have taken.

A BLAS cuts its matrices by the number of its threads, and each cut rounds differently: 0.2 pm in the atoms of a
particle, and another order of the atoms where two peaks are equally high. The kernels are parallel themselves and add
in a fixed order. The pools of OpenBLAS, MKL and BLIS belong to the process, so all its threads share one limit.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["single_blas_thread"]

_lock = threading.Lock()
_inside = 0
_before: list[tuple[Any, int]] = []  # each pool of a BLAS, and the threads it had before the first block


@contextlib.contextmanager
def single_blas_thread() -> Iterator[None]:
    """Keep every BLAS of the process to one thread in a block, or in a function as ``@single_blas_thread()``.

    Blocks may be nested and may overlap in several threads: what was set before the first comes back after the last.
    """
    global _inside
    with _lock:
        if _inside == 0:
            import scipy.linalg  # noqa: F401  (it brings a BLAS of its own, which must be loaded to be limited)
            from threadpoolctl import ThreadpoolController

            pools = ThreadpoolController().select(user_api="blas").lib_controllers
            _before[:] = [(pool, pool.num_threads) for pool in pools]
            for pool, _ in _before:
                _set(pool, 1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for pool, threads in _before:
                    _set(pool, threads)


def _set(pool: Any, threads: int) -> None:
    # threadpoolctl 3.8 lets only the thread that set a pool first set it again; here the last to leave may be another.
    release = getattr(pool, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    pool.set_num_threads(threads)
    if release is not None:
        release(force=True)
