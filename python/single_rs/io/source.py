"""What a reader of one format of movies gives."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameSource"]


class FrameSource(Protocol):
    """What a reader of one format gives: shape (n, y, x), type, pixel size (Å or None) and blocks of frames."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pixel_size: float | None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``."""
        ...
