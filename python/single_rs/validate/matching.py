"""Two sets of atoms in one frame, or nearly: pairs, the rigid motion between them, and their distance.

Atoms are paired when each is the nearest of the other within a cutoff of 0.8 Å, well below half a bond. The rigid
motion is that of least squares (Kabsch 1976, doi:10.1107/S0567739476001873).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.alignment import CUTOFF, PM_PER_ANGSTROM
from single_rs.base.rotations import rigid_motion, rotation_angle

__all__ = ["Match", "match_in_place"]


@dataclass(frozen=True)
class Match:
    """Pairs of atoms of two sets.

    Attributes
    ----------
    first, second
        (m,) indices of the paired atoms.
    difference
        (m, 3) Å, second minus first, after the rigid motion of the first onto the second.
    turn
        Degrees, of that motion.
    shift
        Å, of that motion.
    shared
        Pairs over atoms of the larger set.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    difference: NDArray[np.float64]
    turn: float
    shift: float
    shared: float

    @property
    def distance(self) -> NDArray[np.float64]:
        """(m,) pm."""
        return np.asarray(np.linalg.norm(self.difference, axis=1) * PM_PER_ANGSTROM)

    def rmsd(self, select: NDArray[np.bool_] | None = None) -> float:
        """Root mean square distance in pm of the pairs, or of those selected (m,); NaN without any."""
        d = self.distance if select is None else self.distance[select]
        return float(np.sqrt(np.mean(d**2))) if len(d) else float("nan")


def match_in_place(first: NDArray[np.float64], second: NDArray[np.float64], rigid: bool = True) -> Match:
    """Pair two sets of atoms.

    Parameters
    ----------
    first, second
        (n, 3) and (m, 3) Å, in nearly one frame.
    rigid
        Whether a rigid motion between them is taken off.
    """
    from scipy.spatial import cKDTree

    a, b = np.asarray(first, float), np.asarray(second, float)
    q, t = np.eye(3), np.zeros(3)
    i = j = np.empty(0, np.int64)
    for _ in range(3 if rigid else 1):
        moved = a @ q.T + t
        distance, nearest = cKDTree(b).query(moved)
        back = cKDTree(moved).query(b)[1]
        i = np.flatnonzero((distance < CUTOFF) & (back[nearest] == np.arange(len(a))))
        j = nearest[i]
        if rigid and len(i) > 3:
            q, t = rigid_motion(a[i], b[j])
    turn = float(rotation_angle(np.trace(q)))
    difference = b[j] - (a[i] @ q.T + t)
    shift = float(np.linalg.norm(t))
    return Match(i, np.asarray(j, np.int64), difference, turn, shift, len(i) / max(len(a), len(b), 1))
