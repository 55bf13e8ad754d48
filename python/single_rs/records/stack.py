"""Stacks of single-frame images of one particle, (n, y, x), in the type of the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_positive

__all__ = [
    "ParticleStack",
]


@dataclass(frozen=True, repr=False)
class ParticleStack(Displayed):
    """Single frames of one particle.

    Attributes
    ----------
    images : ndarray
        (n, y, x), square and even, any real type; may be a memory map.
    pixel_size : float
        Å.
    frames : ndarray
        (n,) 0-based frame of the movie (or of the stack, if it was given as one).
    diameter : float or None
        Å; ``None`` when not known yet.
    offsets : ndarray or None
        (n, 2) Å, (x, y): what is left of the tracked centre after cutting at whole pixels.
    """

    images: NDArray[Any]
    pixel_size: float
    frames: NDArray[np.int64]
    diameter: float | None = None
    offsets: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check that all fields belong to the same images."""
        if not isinstance(self.images, np.ndarray):
            raise InputError(f"images are a {type(self.images).__name__}; an array (n, y, x) is needed")
        need_positive("pixel_size", self.pixel_size, "Å")
        if self.images.ndim != 3 or self.images.shape[1] != self.images.shape[2]:
            raise InputError(f"a particle stack of shape {self.images.shape}; (n, y, x) with y = x is needed")
        if len(self.frames) != len(self.images):
            raise InputError(f"{len(self.frames)} frame numbers for {len(self.images)} images; one each is needed")
        if self.offsets is not None and self.offsets.shape != (len(self.images), 2):
            raise InputError(f"offsets of shape {self.offsets.shape}; ({len(self.images)}, 2) is needed")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def box(self) -> int:
        """Edge of the images, px."""
        return int(self.images.shape[1])

    def take(self, rows: NDArray[np.int64]) -> ParticleStack:
        """Return the stack of the images `rows`, ascending; images that follow each other are not copied."""
        first, last = int(rows[0]), int(rows[-1])
        chosen: Any = slice(first, last + 1) if last - first + 1 == len(rows) else rows
        offsets = None if self.offsets is None else self.offsets[chosen]
        return replace(self, images=self.images[chosen], frames=self.frames[chosen], offsets=offsets)
