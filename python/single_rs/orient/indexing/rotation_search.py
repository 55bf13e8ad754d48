"""Rotations that align one Fourier volume with another, without a lattice.

The power |F(k)|² does not change when the map is shifted or mirrored through a point, so rotations are found apart from
both: the strongest points k of one volume, weighted by their height above the mean of their shell, are looked up in the
other,

    C(G) = Σ_k a_B(k) a_A(Gᵀ k),   a = |F| / mean of its shell − 1.

Poses R against volume B become R·G against volume A. A volume against itself gives its own approximate symmetries:
24 rotations for a cubic lattice, whatever shape was cut from it.

SO(3) is covered evenly by a spiral (Alexa, CVPR 2022, doi:10.1109/CVPR52688.2022.00811).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from single_rs import _core
from single_rs.frames.volume import PAD, shell_index

__all__ = ["approximate_symmetries", "correlations", "rotation_grid", "volume_alignments"]

GRID_STEP = np.radians(7.0)  # distance of the rotations first tried: a spot is ≈ spacing / diameter = 0.1 rad wide
POINTS = 500  # strongest points compared
BLUR = 0.3  # of the step, at the last shell: spots so wide reach from one trial to the next
APART = np.radians(14.0)  # rotations nearer than this are one
REFINEMENTS = 4  # each halves the step
ALIKE = 0.35  # correlation from which a rotation is an approximate symmetry (unrelated ones have 0.25)
ALIKE_SHARE = 0.55  # and from this part of the best one
MOST_ALIKE = 64  # an icosahedron has the most, 60
LONGEST_COMPARED = 5.0  # Å, of periods that distinguish mates; longer ones belong to the shape


def rotation_grid(step: float) -> NDArray[np.float64]:
    """Even cover (n, 3, 3) of SO(3) by rotations about `step` rad apart."""
    count = int(np.ceil(8 * np.pi**2 / step**3))
    # The constants of the super-Fibonacci spiral: √2 and the positive root of x⁴ = x + 4.
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(count) + 0.5
    r, rest = np.sqrt(s / count), np.sqrt(1 - s / count)
    a, b = 2 * np.pi * s / phi, 2 * np.pi * s / psi
    return np.asarray(
        Rotation.from_quat(np.stack([r * np.sin(a), r * np.cos(a), rest * np.sin(b), rest * np.cos(b)], 1)).as_matrix()
    )


def volume_alignments(
    a: NDArray[np.complex64], b: NDArray[np.complex64], low: int, high: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotations G (m, 3, 3), best first, that align volume `b` with volume `a`, and their correlations (m,).

    Parameters
    ----------
    a, b
        Fourier volumes (2K+1, 2K+1, K+1).
    low, high
        Image shells compared.
    count
        Most rotations returned; all are at least `APART` from each other.
    """
    height = _above_shell(a)
    # A spot may lie half a step from the nearest trial, so the first comparison is with wider spots.
    wide = gaussian_filter(height, BLUR * GRID_STEP * high * PAD, truncate=2.0)
    points, weight = _strongest(_above_shell(b), low * PAD, high * PAD)
    trial = rotation_grid(GRID_STEP)
    value = _correlation(wide, points, weight, trial)
    order = np.argsort(-value, kind="stable")[: 20 * count]
    best = _apart(trial[order], count)
    step = GRID_STEP / 2
    offsets = np.stack(np.meshgrid(*[np.array([-1.0, 0.0, 1.0])] * 3, indexing="ij"), -1).reshape(-1, 3)
    for number in range(REFINEMENTS):
        looked_at = wide if number == 0 else height
        turned = best[:, None] @ Rotation.from_rotvec(offsets * step).as_matrix()
        values = _correlation(looked_at, points, weight, turned.reshape(-1, 3, 3)).reshape(len(best), -1)
        pick = values.argmax(axis=1)
        best, value = turned[np.arange(len(best)), pick], values.max(axis=1)
        step /= 2
    order = np.argsort(-value, kind="stable")
    best = _apart(best[order], count)
    norm = np.sqrt((weight**2).sum() * (_strongest(height, low * PAD, high * PAD)[1] ** 2).sum())
    return best, _correlation(height, points, weight, best) / norm


def correlations(
    volume: NDArray[np.complex64], symmetries: NDArray[np.float64], low: int, high: int
) -> NDArray[np.float64]:
    """Correlation of a volume with itself under rotations (m, 3, 3), between two image shells; 1 for the identity."""
    height = _above_shell(volume)
    points, weight = _strongest(height, low * PAD, high * PAD)
    return np.asarray(_correlation(height, points, weight, symmetries) / (weight**2).sum())


def approximate_symmetries(volume: NDArray[np.complex64], low: int, high: int) -> NDArray[np.float64]:
    """Rotations (m, 3, 3) that map a volume roughly onto itself, between two image shells; the identity comes first.

    24 for a single cubic crystal whatever its shape, those of the grains' common axis for a multiple twin.
    """
    symmetries, alike = volume_alignments(volume, volume, low, high, MOST_ALIKE)
    other = np.einsum("nii->n", symmetries) < 1 + 2 * np.cos(APART)
    least = max(ALIKE, ALIKE_SHARE * float(alike[other].max(initial=0.0)))
    return np.concatenate([np.eye(3)[None], symmetries[other & (alike > least)]])


def _above_shell(volume: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Amplitude over the mean of its shell, less one."""
    amplitude = np.abs(volume)
    shells = shell_index(volume.shape[2] - 1)
    flat = shells.ravel()
    mean = np.bincount(flat, amplitude.ravel()) / np.maximum(np.bincount(flat), 1)
    return (amplitude / np.maximum(mean, 1e-30)[shells] - 1).astype(np.float32)


def _strongest(height: NDArray[np.float32], low: int, high: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points (m, 3) in grid steps (x, y, z) that stand highest, and their heights."""
    reach = height.shape[2] - 1
    shells = shell_index(reach)
    inside = np.flatnonzero(((shells >= low) & (shells <= min(high, reach - 3))).ravel())
    values = height.ravel()[inside]
    top = inside[np.argsort(-values, kind="stable")[:POINTS]]
    z, y, x = np.unravel_index(top, height.shape)
    return np.stack([x, y - reach, z - reach], 1).astype(np.float32), height.ravel()[top]


def _correlation(
    height: NDArray[np.float32],
    points: NDArray[np.float32],
    weight: NDArray[np.float32],
    rotations: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Σ weight · height(Gᵀ k) for each rotation G, the nearest grid point read."""
    turned = np.ascontiguousarray(rotations, np.float32)
    return _core.correlate_rotations(height, points, weight, turned).astype(np.float64)


def _apart(rotations: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The first `count` rotations that are at least `APART` from all before them."""
    kept: list[int] = []
    for i, r in enumerate(rotations):
        trace = np.einsum("nij,ij->n", rotations[kept], r) if kept else np.zeros(0)
        if not (trace > 1 + 2 * np.cos(APART)).any():
            kept.append(i)
        if len(kept) == count:
            break
    return rotations[kept]
