"""Random streams of the simulator: one counter-based generator per (seed, stage, item).

A Philox generator is a function of its key, so frame 700 gets the same electrons whether it is made
first, last or alone. The key is two 64-bit words: the seed, and the stage (high half) with the item
(low half). Reference: Salmon et al., SC11 (2011), doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from single_rs.base.seeds import check_seed, random_stream

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
    check_seed(item, "item", 32)
    return random_stream(seed, (int(stage) << 32) | item)
