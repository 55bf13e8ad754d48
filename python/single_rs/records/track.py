"""What tracking takes and gives: settings, the parts of a movie and its motion it uses, and the track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from single_rs.records.display import Displayed

__all__ = [
    "MotionLike",
    "MovieLike",
    "Track",
]


class MovieLike(Protocol):
    """The part of `single_rs.Movie` used here."""

    shape: tuple[int, int, int]
    pixel_size: float

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames start:stop, (m, y, x)."""
        ...


class MotionLike(Protocol):
    """The part of `single_rs.Motion` used here: drift (n, 2) px, flags (n,), and frames without bad pixels."""

    @property
    def shifts(self) -> NDArray[np.float64]:
        """Drift (n, 2) px (x, y) of every frame."""
        ...

    @property
    def bad_frames(self) -> NDArray[np.bool_]:
        """Frames (n,) not to be used."""
        ...

    def repair(self, frame: NDArray[Any], index: int) -> NDArray[np.float32]:
        """Return the frame (y, x) with its bad pixels replaced."""
        ...


@dataclass(frozen=True, repr=False)
class Track(Displayed):
    """One particle's path.

    Attributes
    ----------
    frames
        (m,) increasing 0-based frames of the movie; bad frames are left out.
    x, y
        (m,) px, centre in the raw frame (column, row), smoothed over time.
    sigma
        (m,) px, standard deviation of x and of y.
    diameter
        Å, of the ball with the same variance profile.
    score
        Mean over frames of the particle's height in the matched filter, in standard deviations of the background.
    """

    frames: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    sigma: NDArray[np.float64]
    diameter: float
    score: float

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)
