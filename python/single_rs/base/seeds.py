"""Streams of random numbers, keyed by a seed and what they are for; Philox, so that any of them begins anywhere.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC '11, doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

import numpy as np

from single_rs.base.errors import InputError

__all__ = ["check_seed", "random_stream"]


def check_seed(seed: int, name: str = "seed", bits: int = 64) -> None:
    """Refuse what is no whole number from 0 to 2^bits - 1."""
    if isinstance(seed, bool) or not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**bits):
        raise InputError(f"{name} is {seed}; it must be a whole number, 0 to 2^{bits} - 1")


def random_stream(seed: int, number: int) -> np.random.Generator:
    """Return the stream `number` of a seed, each 0 to 2^64 - 1."""
    check_seed(seed)
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))
