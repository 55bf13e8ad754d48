"""Strained particles of known answer, and the density map of any atoms, for the tests of the strain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.crystal.prototypes import prototype

A = 3.92  # Å, the bulk lattice constant of Pt that the reference uses
UNIFORM = np.array([[0.012, 0.004, -0.003], [0.004, -0.008, 0.002], [-0.003, 0.002, 0.005]])
SIX = UNIFORM[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
TURN = Rotation.from_rotvec([0.1, 0.2, -0.15]).as_matrix()
POISSON = 0.38  # of Pt


def ball(count: int = 400) -> NDArray[np.float64]:
    """Ball of fcc Pt, axes along x, y, z, centred on its centre of mass."""
    kind = prototype("fcc")
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = (steps + kind.motif).reshape(-1, 3) * A
    x = x[np.argsort(np.linalg.norm(x - 0.1, axis=1), kind="stable")[:count]]
    return x - x.mean(axis=0)


def breathing(x: NDArray[np.float64], shrink: float, growth: float) -> NDArray[np.float64]:
    """Atoms of a core that is compressed by `shrink` in a shell that grows: u = (−shrink + growth r²/R²) x."""
    r2 = np.sum(x**2, axis=1)
    return np.asarray(x * (1 - shrink + growth * r2 / r2.max())[:, None])


def density(x: NDArray[np.float64], box: int, pixel: float, bfactor: float = 8.0) -> NDArray[np.float32]:
    """Map (z, y, x) of Gaussian atoms of height 1, Å from voxel N//2."""
    width, out = np.sqrt(bfactor / 8) / np.pi, np.zeros((box,) * 3, dtype=np.float32)
    half = int(5 * width / pixel) + 1
    steps = np.arange(-half, half + 1)
    for place in x / pixel + box // 2:
        centre = np.rint(place).astype(int)
        along = [np.exp(-0.5 * ((c + steps - p) * pixel / width) ** 2) for c, p in zip(centre, place, strict=True)]
        window = tuple(slice(c - half, c + half + 1) for c in centre[::-1])
        out[window] += (along[2][:, None, None] * along[1][None, :, None] * along[0]).astype(np.float32)
    return out


def edge_frame() -> NDArray[np.float64]:
    """Rows: Burgers vector [110], glide plane normal [1-11], line; of an edge dislocation a/2[110] in fcc."""
    first, second = np.array([1, 1, 0]) / np.sqrt(2), np.array([1, -1, 1]) / np.sqrt(3)
    return np.array([first, second, np.cross(first, second)])


def edge_displacement(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacement (n, 3) of an edge dislocation along z at the origin, b = a/√2 along x, isotropic elasticity.

    J. P. Hirth and J. Lothe, Theory of Dislocations (1982), equations 3-45 and 3-46. The cut lies on y = 0, x < 0.
    """
    b, (p, q), nu = A / np.sqrt(2), y[:, :2].T, POISSON
    r2 = p**2 + q**2
    along = b / (2 * np.pi) * (np.arctan2(q, p) + p * q / (2 * (1 - nu) * r2))
    across = -b / (2 * np.pi) * ((1 - 2 * nu) / (4 * (1 - nu)) * np.log(r2) + (p**2 - q**2) / (4 * (1 - nu) * r2))
    return np.stack([along, across, np.zeros_like(along)], axis=1)


def edge_strain(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch minus identity (n, 3, 3) of `edge_displacement`, by central differences that close the cut."""
    from single_rs.crystal.prototypes import polar

    b, h = A / np.sqrt(2), 1e-4
    gradient = np.zeros((len(y), 3, 3))
    for k, step in enumerate(h * np.eye(3)):
        change = edge_displacement(y + step) - edge_displacement(y - step)
        change[:, 0] -= b * np.rint(change[:, 0] / b)
        gradient[:, :, k] = change / (2 * h)
    return np.asarray(polar(np.eye(3) + gradient)[1] - np.eye(3))
