"""What tracking takes and gives: settings, the parts of a movie and its motion it uses, and the track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from single_rs.errors import InputError
from single_rs.settings import Settings, setting

__all__ = ["MotionLike", "MovieLike", "Track", "TrackConfig"]


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


@dataclass(frozen=True)
class TrackConfig(Settings):
    """Settings of `find_tracks`."""

    min_diameter: float = setting(10.0, "smallest particle looked for", "Å", gt=0.0)
    max_diameter: float = setting(60.0, "largest particle looked for", "Å", gt=0.0)
    window: int = setting(
        20, "frames averaged for detection; the particle may move by its radius in them", "frames", ge=1
    )
    max_gap: int = setting(3, "windows in which a particle may be lost and found again", "windows", ge=0)
    min_frames: int = setting(50, "shortest track kept", "frames", ge=1)
    min_significance: float = setting(8.0, "blob over background noise in a window", "sigma", gt=0.0)
    clearance: float = setting(4.0, "space kept between two particles, and to the edge of the field", "Å", ge=0.0)

    def __post_init__(self) -> None:
        """Check the order of the diameters as well."""
        super().__post_init__()
        if self.min_diameter >= self.max_diameter:
            raise InputError(
                f"TrackConfig.min_diameter {self.min_diameter} Å is not below max_diameter {self.max_diameter} Å"
            )


@dataclass(frozen=True)
class Track:
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
