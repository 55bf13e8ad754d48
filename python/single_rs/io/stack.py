"""Stacks of single-frame images of one particle in files, (n, y, x), in the type of the detector."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.base.reading import AS_IS, Reading
from single_rs.io.movie import open_movie
from single_rs.io.mrc import write_mrc
from single_rs.records import ParticleStack

__all__ = ["read_stack", "write_stack"]


def read_stack(
    path: str | os.PathLike[str], pixel_size: float | None = None, reading: Reading = AS_IS
) -> ParticleStack:
    """Open a stack of single frames of one particle; nothing is copied.

    An odd box loses its last row and column, which leaves the centre N//2 where it was.

    Parameters
    ----------
    path
        Anything `open_movie` reads; usually ``.mrcs``.
    pixel_size
        Å; ``None`` takes it from the header.
    reading
        Part of the stack and binning; see `Reading`.

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
    movie = open_movie(path, pixel_size, reading=reading)
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
