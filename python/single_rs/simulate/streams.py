"""Random streams of the simulator: one counter-based generator per (seed, stage, item).

A Philox generator is a function of its key, so frame 700 gets the same electrons whether it is made
first, last or alone. The key is two 64-bit words: the seed, and the stage (high half) with the item
(low half). Reference: Salmon et al., SC11 (2011), doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from single_rs.base.errors import InputError

__all__ = ["Stage", "stream"]


class Stage(IntEnum):
    """What a stream is used for. The numbers are part of the result: never renumber."""

    CRYSTAL = 1
    ROTATION = 2
    JUMP = 3
    WANDER = 4
    DRIFT = 5
    GRAPHENE = 6
    LIQUID = 7
    PIXELS = 8
    BAD_FRAMES = 9
    COUNTS = 10
    PLACEMENT = 11
    GRAINS = 12
    PACKING = 13
    SPECIES = 14
    TUMBLING = 15


def stream(seed: int, stage: Stage, item: int = 0) -> np.random.Generator:
    """Return the generator of one item of one stage.

    Parameters
    ----------
    seed
        Seed of the whole simulation, 0 to 2^64 - 1.
    stage
        What the numbers are for.
    item
        Frame or particle, 0 to 2^32 - 1.

    Raises
    ------
    InputError
        When the seed or the item is out of range.
    """
    for name, value, bits in (("seed", seed, 64), ("item", item, 32)):
        if not (isinstance(value, (int, np.integer)) and 0 <= value < 2**bits):
            raise InputError(f"{name} is {value}; it must be a whole number, 0 to 2^{bits} - 1")
    key = np.array([seed, (int(stage) << 32) | item], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
