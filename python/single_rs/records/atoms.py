"""Settings of the tracing and its result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Atoms",
]


@dataclass(frozen=True)
class Atoms:
    """Atoms of one particle, in the frame of its map.

    Attributes
    ----------
    positions
        (n, 3) float64, (x, y, z) in Å from the centre voxel N//2.
    symbols
        (n,) chemical symbols.
    height
        (n,) height of the fitted Gaussian, in units of the map.
    bfactor
        (n,) B = 8π² w² in Å², w the standard deviation of the fitted Gaussian. It holds the resolution of the
        map as well as the motion of the atom, so only differences between atoms of one map have a meaning.
    sigma
        (n,) standard error per axis in Å; provisional, from the half maps or the noise of the map, without the
        errors that all frames share.
    probability
        (n,) probability that the peak is an atom, in [0, 1].
    covariance
        (n, 3, 3) Å² of each position, from the refinement; None for traced atoms, which have `sigma` only.
    """

    positions: np.ndarray
    symbols: np.ndarray
    height: np.ndarray
    bfactor: np.ndarray
    sigma: np.ndarray
    probability: np.ndarray
    covariance: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.positions)
