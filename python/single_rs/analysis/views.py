"""What the views tell of lengths: along which direction of the particle they are known least, and how well.

A frame shows atoms across its beam b alone, and its pose is fitted with the atoms. An even strain E of the particle and
a turn ω of the pose move the image of an atom at r by

    u = P (E r + ω × r),     P the projection along b,

and with the atoms' second moment S = Σ_a κ_a r_a r_aᵀ (κ their information across the beam, 1/Å²) the frame knows

    ½ min_ω tr(M S Mᵀ),     M = P (E + [ω]×)

of E: for a round particle ‖P E Pᵀ‖², so (1 − (n·b)²)² of a stretch along n. A stretch along the beam of one frame is
answered by turns of the others (the bas-relief ambiguity: P. N. Belhumeur, D. J. Kriegman and A. L. Yuille, Int. J.
Comput. Vision 35, 33 (1999), doi:10.1023/A:1008154927611), so views from one side leave it nearly free however many
they are. The sum over the frames is the information of the six components of E with all poses free; its inverse gives
the error of a length along any direction n, var(nᵀ E n).

κ comes from the atoms' own covariances, Σ_a tr(C_a⁻¹)/2 over all frames. What a model of frames gets wrong adds a bias,
the pull of that error divided by the information: `MODEL` in views from all sides, and more by the factor by which the
error that they leave exceeds that of such views. Errors that the refinement found the atoms to share (`Atoms.modes`)
are lower bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.base.sampling import half_sphere
from single_rs.base.tensors import even_strain, strain_information
from single_rs.records import Atoms, Poses

__all__ = ["LengthErrors", "known_lengths"]

# Relative bias of lengths in views from all sides: cells of well seen multislice particles are right to 0.02 to 0.06 %.
# For views within 35° of one direction it gives 0.15 % along the direction known least, where 0.13 % was found.
MODEL = 3e-4
DIRECTIONS = 2000  # of the half sphere, 3° apart
# E as a vector: xx, yy, zz, xy, xz, yz; tensor shear.
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
FAINT = 1e-10  # of the largest: information below which a component is unknown
UNKNOWN = 1e4  # excess from which a direction was not seen at all; rounding keeps it finite
BATCH = 1024  # frames at once
FEWEST_ATOMS = 4


@dataclass(frozen=True)
class LengthErrors:
    """Relative errors of lengths, with all poses free: of noise and of the model together.

    Attributes
    ----------
    least_known, best_known
        (3,) unit vectors of the particle's frame.
    worst, best
        Errors along them, `worst` infinite where no frame shows it; both None where the atoms have no errors.
    typical
        Root mean square over all directions, or None.
    worst_noise
        The part of `worst` that the noise has, or None.
    excess
        By what factor that part exceeds the worst of as many frames from all sides.
    """

    least_known: tuple[float, float, float]
    best_known: tuple[float, float, float]
    worst: float | None
    best: float | None
    typical: float | None
    worst_noise: float | None
    excess: float

    @property
    def axis(self) -> str:
        """Return the direction known least, as sentences quote it."""
        return f"[{' '.join(f'{v:.2f}' for v in self.least_known)}]"


def known_lengths(atoms: Atoms, poses: Poses) -> LengthErrors | None:
    """Compute the errors of lengths in all directions.

    Parameters
    ----------
    atoms
        Of the particle; without covariances the errors are relative to each other.
    poses
        Of its frames; those of weight 0 are not used.

    Returns
    -------
    LengthErrors or None
        None where no frame has a weight, or for fewer than four atoms.
    """
    r = atoms.positions - atoms.positions.mean(axis=0)
    used = np.asarray(poses.weight) > 0
    if len(r) < FEWEST_ATOMS or not used.any():
        return None
    known, amount = False, np.ones(len(r))
    own = atoms.own_covariance()
    if own is not None and np.isfinite(own).all():
        known, amount = True, 0.5 * np.trace(np.linalg.inv(own), axis1=1, axis2=2)
    moment = np.einsum("a,ai,aj->ij", amount, r, r)
    u = half_sphere(DIRECTIONS)
    # Errors without a size are relative to each other, and say nothing of how well a pose is known.
    noise = _errors(u, moment, np.asarray(poses.rotations)[used], 1 / int(used.sum()) if known else None)
    even = _errors(u, moment, _views(u), None).max()
    model = MODEL * noise / even
    if known and atoms.modes is not None:
        # The refinement knows more than strain alone: bending, the magnification, and what the model lacks.
        along = np.stack([(1 if i == j else 2) * u[:, i] * u[:, j] for i, j in PAIRS], axis=1)
        shared = (along @ even_strain(atoms.modes, atoms.positions).T) ** 2
        noise = np.maximum(noise, np.sqrt(shared.sum(axis=1)))
    factor = noise / even
    worst, best = int(np.argmax(factor)), int(np.argmin(factor))
    unknown = factor > UNKNOWN
    factor[unknown] = noise[unknown] = np.inf
    every = np.hypot(noise, model)

    def known_only(value: np.float64) -> float | None:
        return float(value) if known else None

    return LengthErrors(
        least_known=_vector(u[worst]),
        best_known=_vector(u[best]),
        worst=known_only(every[worst]),
        best=known_only(every[best]),
        typical=known_only(np.sqrt(np.mean(every**2))),
        worst_noise=known_only(noise[worst]),
        excess=float(factor[worst]),
    )


def _errors(
    u: NDArray[np.float64], moment: NDArray[np.float64], rotations: NDArray[np.float64], share: float | None
) -> NDArray[np.float64]:
    """Errors of lengths along directions (n, 3), where frames (m, 3, 3) share the information evenly."""
    information = np.zeros((6, 6))
    for start in range(0, len(rotations), BATCH):
        information += strain_information(moment, rotations[start : start + BATCH], share).sum(axis=0)[:6, :6]
    values, vectors = np.linalg.eigh(information / len(rotations))
    along = np.stack([(1 if i == j else 2) * u[:, i] * u[:, j] for i, j in PAIRS], axis=1) @ vectors
    return np.asarray(np.sqrt(along**2 @ (1 / np.maximum(values, FAINT * values[-1]))))


def _views(beams: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations (m, 3, 3) whose beams are the given ones (m, 3)."""
    other = np.where(np.abs(beams[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    x = np.cross(other, beams)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(beams, x), beams], axis=1)


def _vector(u: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in u)
    return x, y, z
