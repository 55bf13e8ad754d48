"""Stacks of single-frame images of one particle, (n, y, x), in the type of the detector."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.errors import InputError
from single_rs.io.mrc import write_mrc

__all__ = ["ParticleStack", "read_stack", "write_stack"]


@dataclass(frozen=True)
class ParticleStack:
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
        """Check that all fields speak of the same images."""
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


def read_stack(path: str | os.PathLike[str], pixel_size: float | None = None) -> ParticleStack:
    """Open a stack of single frames of one particle; nothing is copied.

    An odd box loses its last row and column, which leaves the centre N//2 where it was.

    Parameters
    ----------
    path
        Anything `open_movie` reads; usually ``.mrcs``.
    pixel_size
        Å; ``None`` takes it from the header.

    Returns
    -------
    ParticleStack
        With ``frames`` 0 … n-1 and no diameter.

    Raises
    ------
    InputError
        No pixel size, not square, or one image only.
    DataFileError
        Missing, truncated or non-finite.
    """
    from single_rs.io.movie import open_movie

    movie = open_movie(path, pixel_size)
    n, y, x = movie.shape
    if y != x:
        raise InputError(f"{path}: images of {y} × {x} px; a particle stack has square ones")
    even = y - y % 2
    images = movie.read(0, n)[:, :even, :even]
    return ParticleStack(images, movie.pixel_size, np.arange(n))


def write_stack(path: str | os.PathLike[str], images: NDArray[Any], pixel_size: float) -> None:
    """Write images as an MRC stack, ISPG 0 and ORIGIN 0, in the smallest mode that holds their type.

    Parameters
    ----------
    path
        Target ``.mrcs``; written aside and renamed.
    images
        (n, y, x), any real type; may be a memory map (it is copied in pieces).
    pixel_size
        Å.

    Raises
    ------
    InputError
        Wrong shape, non-finite values or pixel size.
    DataFileError
        Not writable.
    """
    write_mrc(path, images, pixel_size, volume=False)
