"""Cleaned frames of one particle, and the graphene that was found in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Background", "CleanStack", "Graphene"]


@dataclass(frozen=True)
class Graphene:
    """One graphene sheet seen in the box.

    Attributes
    ----------
    twist_deg
        Direction of a {10} reflection, degrees from +x towards +y, in [0, 60).
    a
        Lattice constant, Å, by the given pixel size (2.461 for a sheet at rest).
    strain
        (xx, yy, xy) of the sheet without its isotropic part, fraction, lab frame.
    reciprocal
        (2, 2) rows b₁, b₂ in 1/Å, (x, y).
    spots
        (m, 2) indices (h, k) of the reflections that stand above the background, one of each Friedel pair.
    excess
        (m,) power of each above its ring, in units of the ring's power.
    """

    twist_deg: float
    a: float
    strain: tuple[float, float, float]
    reciprocal: NDArray[np.float64]
    spots: NDArray[np.intp]
    excess: NDArray[np.float64]


@dataclass(frozen=True)
class Background:
    """What was measured of the frames while they were cleaned; the part of a `CleanStack` that is small.

    Attributes
    ----------
    pixel_size
        Å.
    diameter
        Å, of the ball with the same variance profile.
    graphene
        The sheets found.
    bad
        (n,) bool.
    """

    pixel_size: float
    diameter: float
    graphene: list[Graphene]
    bad: NDArray[np.bool_]


@dataclass(frozen=True)
class CleanStack:
    """Single frames ready for the solver.

    Attributes
    ----------
    images
        (n, y, x) float32 contrast, counts / dose - 1; surroundings have mean 0.
    pixel_size
        Å.
    frames
        (n,) 0-based frame of the movie.
    diameter
        Å, of the ball with the same variance profile (not the widest corner to corner distance).
    noise
        (n_shell,) float32 power |FFT|² / N² of the noise in shell round(|k|), to the corner of the grid; white noise of
        variance v has v in every shell.
    frame_noise
        (n,) float32 factor on `noise`, mean 1 over good frames.
    weights
        (y, x // 2 + 1) float32 in [0, 1] on the rfft2 grid; 0 where graphene was.
    graphene
        The sheets found.
    offsets
        (n, 2) Å (x, y), particle's centre from the box centre.
    bad
        (n,) bool.
    signal
        (n_shell,) float32 power of the particle, per pixel of its area.
    """

    images: NDArray[np.float32]
    pixel_size: float
    frames: NDArray[np.int64]
    diameter: float
    noise: NDArray[np.float32]
    frame_noise: NDArray[np.float32]
    weights: NDArray[np.float32]
    graphene: list[Graphene]
    offsets: NDArray[np.float64]
    bad: NDArray[np.bool_]
    signal: NDArray[np.float32]

    @property
    def background(self) -> Background:
        """What was measured of the frames, without the frames."""
        return Background(self.pixel_size, self.diameter, self.graphene, self.bad)
