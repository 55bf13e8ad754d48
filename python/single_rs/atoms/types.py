"""Settings of the tracing and its result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.settings import Settings, setting

__all__ = ["Atoms", "TraceConfig"]


@dataclass(frozen=True)
class TraceConfig(Settings):
    """Settings of `trace_atoms`; the defaults suit maps of metals at 0.6 to 1.1 Å resolution."""

    neighbour_distance: float | None = setting(
        None, "nearest-neighbour distance; None takes the bulk value of the element", "Å", gt=0.5, le=8.0
    )
    min_distance: float = setting(
        0.7, "two atoms are never closer than this share of the neighbour distance", ge=0.3, le=1.0
    )
    reach: float = setting(1.25, "neighbours are atoms within this share of the neighbour distance", ge=1.0, le=1.6)
    min_neighbours: int | None = setting(
        None, "an atom has at least this many neighbours; None takes a quarter of those inside", ge=0, le=12
    )
    min_height: float = setting(
        0.3, "lowest height of an atom, as a share of the typical height around it", gt=0.0, le=1.0
    )
    min_probability: float = setting(0.5, "atoms less probable than this are left out", ge=0.0, le=1.0)
    min_atoms: int = setting(13, "fewer atoms than this (one atom and its shell) are not a particle", ge=1)
    sweeps: int = setting(3, "sweeps of removing the neighbours and fitting each atom", ge=1, le=50)
    rounds: int = setting(
        5, "rounds of searching the residual map for missed atoms and removing false ones", ge=1, le=20
    )


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
