"""What a reader of one format of movies gives."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameSource"]


class FrameSource(Protocol):
    """What a reader of one format gives: shape (n, y, x), type, pixel size and blocks of frames.

    The pixel size on x is in Å, or None where the file does not say it; the aspect is that on y over it.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pixel_size: float | None
    pixel_aspect: float

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``."""
        ...
