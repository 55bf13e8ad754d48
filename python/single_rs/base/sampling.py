"""A few of many, evenly spread: what is looked at when all would be too many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["evenly"]


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return indices (k,), evenly spread over `count` items, the first and the last included; all when few.

    Parameters
    ----------
    count
        Number of items, 0 or more.
    most
        Largest number of indices, at least 1.
    """
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
