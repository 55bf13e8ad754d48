"""Rotations: the nearest one to a matrix, the best between two sets of points, and angles.

Proper rotations R are (3, 3), act on columns, x' = R x, and are stacked along leading axes. With a singular value
decomposition M = U S Vᵀ the proper rotation that maximises tr(Rᵀ M) is R = U diag(1, 1, det(U Vᵀ)) Vᵀ.

References: W. Kabsch, Acta Cryst. A 32, 922 (1976), doi:10.1107/S0567739476001873.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BEAM_HALF_TURN", "JUMP", "jumps", "nearest_rotation", "rigid_motion", "rotation_angle", "superposition"]

# Half a turn about the beam, diag(−1, −1, 1). It takes a projection to its Friedel mate, and with the inversion of the
# particle it leaves all images as they are: R → BEAM_HALF_TURN · R, x → −x.
BEAM_HALF_TURN: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0])
BEAM_HALF_TURN.setflags(write=False)
# A step of more degrees, and of more medians of all steps, is a jump: fresh poses are 126° apart in the mean.
JUMP, JUMP_MEDIANS = 30.0, 5.0


def nearest_rotation(matrix: ArrayLike) -> NDArray[np.float64]:
    """Proper rotations (..., 3, 3) nearest to matrices (..., 3, 3) in the Frobenius norm."""
    u, _, vt = np.linalg.svd(np.asarray(matrix))
    sign = np.ones(u.shape[:-1])
    sign[..., 2] = np.linalg.det(u @ vt)
    return np.asarray((u * sign[..., None, :]) @ vt)


def superposition(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Proper rotation R (3, 3) that minimises Σ |R a_i − b_i|², for rows a_i, b_i (n, 3); there is no translation."""
    return nearest_rotation(np.asarray(b).T @ np.asarray(a))


def rigid_motion(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Proper rotation R (3, 3) and shift t (3,) that minimise Σ |R a_i + t − b_i|², for rows a_i, b_i (n, 3)."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    rotation = superposition(x - x.mean(0), y - y.mean(0))
    return rotation, y.mean(0) - rotation @ x.mean(0)


def rotation_angle(trace: ArrayLike) -> NDArray[np.float64]:
    """Angles (n,) in degrees, 0 to 180, of rotations by the traces (n,) of their matrices: tr R = 1 + 2 cos ω."""
    return np.asarray(np.degrees(np.arccos(np.clip((np.asarray(trace) - 1) / 2, -1, 1))))


def jumps(rotations: ArrayLike) -> NDArray[np.bool_]:
    """Whether each step (n − 1,) from one of rotations (n, 3, 3) to the next is a jump, far longer than most."""
    r = np.asarray(rotations, np.float64)
    angles = rotation_angle(np.einsum("nij,nij->n", r[1:], r[:-1]))
    return np.asarray(angles > max(JUMP, JUMP_MEDIANS * float(np.median(angles)) if len(angles) else JUMP))
