"""The lattice that an intensity shows, if it shows one.

The transform of an intensity is the Patterson function, whose peaks are the vectors from atom to atom (Patterson 1934,
doi:10.1103/PhysRev.46.372). Where all of them lie on one lattice, and all its points are there, the particle is a
crystal with one atom a cell, and its sites and symmetry are known though no lattice was given. Those of twins and of
structures with a basis do not; they go on without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from single_rs.atoms.peaks import find_peaks
from single_rs.orient.indexing.template import LatticeTemplate

__all__ = ["FoundLattice", "lattice_of", "lattice_symmetries"]

GRID = 0.35  # Å, of the Patterson function and of the sites: peaks are refined between its points, sites rounded to it
RADIUS = 7.5  # Å; farther out overlap has taken the height off the peaks
LOWEST = 0.1  # height of a peak, of that at the origin
CLOSEST = 1.5  # Å from peak to peak
FIRST = 14  # peaks that a basis is chosen from: nearest first, and each has its opposite
FLATTEST = 0.3  # volume of a cell, of the cube of its shortest edge
NEAR = 0.4  # Å by which a vector may miss its lattice point
FITS = 3  # of a basis to the vectors on its lattice
BENT = 0.06  # by which edges of a cell may differ and still be alike
SCAN = np.linspace(-0.02, 0.03, 11)  # of scales, about that of the Patterson function
EXPLAINED = 0.9  # least share of peaks on the lattice, and of its points that have a peak


@dataclass(frozen=True)
class FoundLattice(LatticeTemplate):
    """A template whose sites are those of a lattice that was found.

    Attributes
    ----------
    basis
        (3, 3) Å, columns the edges of a primitive cell in the particle's frame.
    """

    basis: NDArray[np.float64]

    @classmethod
    def of(cls, template: LatticeTemplate, basis: NDArray[np.float64], group: NDArray[np.float64]) -> FoundLattice:
        """The atoms of `template` on the lattice of `basis`, with symmetry `group`."""
        shortest = float(np.linalg.norm(basis, axis=0).min())
        return cls(template.element, template.structure, shortest, group, basis)

    @property
    def grid_step(self) -> NDArray[np.float64]:
        """(3,) steps in Å of the orthogonal grid that sites are rounded to."""
        return np.full(3, GRID)

    def sites(self, radius: float) -> NDArray[np.int64]:
        """Grid indices (s, 3) of all lattice sites within `radius` Å of the origin, a site among them."""
        return np.rint(_points(self.basis, radius) / GRID).astype(np.int64)


def lattice_of(intensity: NDArray[np.float32], box: float) -> NDArray[np.float64] | None:
    """Basis (3, 3) in Å, edges in columns, of the one lattice that an intensity shows; None where it shows none.

    Parameters
    ----------
    intensity
        (z, y, x), the origin in the middle, in steps of 1 / `box`.
    box
        Å.
    """
    vectors = _vectors(intensity, box)
    best: tuple[float, NDArray[np.float64] | None] = (0.0, None)
    for triple in combinations(vectors[:FIRST], 3):
        basis = np.stack(triple, axis=1)
        if abs(np.linalg.det(basis)) > FLATTEST * np.linalg.norm(basis, axis=0).min() ** 3:
            best = max(best, _fitted(basis, vectors), key=lambda fit: fit[0])
    return _scaled(best[1], intensity, box) if best[1] is not None and best[0] >= EXPLAINED else None


def lattice_symmetries(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Proper rotations (m, 3, 3) that map a lattice onto itself, the identity first, up to `BENT`."""
    length = np.linalg.norm(basis, axis=0)
    points = _points(basis, (1 + BENT) * float(length.max()))
    alike = [points[np.abs(np.linalg.norm(points, axis=1) / a - 1) < BENT] for a in length]
    edges = np.stack([np.stack(e, axis=1) for e in product(*alike)])
    u, stretch, vt = np.linalg.svd(edges @ np.linalg.inv(basis))
    symmetries = (u @ vt)[(np.abs(stretch - 1) < BENT).all(axis=1)]
    symmetries = symmetries[np.linalg.det(symmetries) > 0]
    order = np.argsort(-np.einsum("nii->n", symmetries), kind="stable")
    return np.concatenate([np.eye(3)[None], symmetries[order][1:]])


def _fitted(basis: NDArray[np.float64], vectors: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """What a lattice explains of the `vectors` (m, 3), or they of its points if that is less, and its fitted basis."""
    on = np.zeros(len(vectors), bool)
    for _ in range(FITS):
        whole = np.rint(vectors @ np.linalg.inv(basis).T)
        on = np.linalg.norm(vectors - whole @ basis.T, axis=1) < NEAR
        if np.linalg.matrix_rank(whole[on]) < 3:
            return 0.0, basis
        basis = np.linalg.lstsq(whole[on], vectors[on], rcond=None)[0].T
    points = _points(basis, RADIUS - NEAR)
    points = points[np.linalg.norm(points, axis=1) > CLOSEST]
    met = cKDTree(vectors).query(points, distance_upper_bound=NEAR)[0] < NEAR
    return min(float(on.mean()), float(met.mean())), basis


def _scaled(basis: NDArray[np.float64], intensity: NDArray[np.float32], box: float) -> NDArray[np.float64]:
    """The basis at the scale at which its reflections meet most of the intensity.

    Peaks of the Patterson function fall off with distance, which draws their tops inwards by half a percent or more.
    """
    reach = intensity.shape[0] // 2
    g = _points(np.linalg.inv(basis).T, (reach - 1) / box / (1 + SCAN[-1]))
    met = [map_coordinates(intensity, (reach + box * g[:, ::-1] / (1 + s)).T, order=1).sum() for s in SCAN]
    square, slope, _ = np.polyfit(SCAN, met, 2)
    return basis * (1 + np.clip(-slope / (2 * square), SCAN[0], SCAN[-1]) if square < 0 else 1.0)


def _vectors(intensity: NDArray[np.float32], box: float) -> NDArray[np.float64]:
    """Peaks (m, 3) of the Patterson function in Å, nearest first, without that at the origin."""
    reach = intensity.shape[0] // 2
    x = np.arange(-int(RADIUS / GRID) - 2, int(RADIUS / GRID) + 3) * GRID
    wave = np.exp(2j * np.pi * np.outer(x, np.arange(-reach, reach + 1) / box)).astype(np.complex64)
    values = np.maximum(intensity, 0).astype(np.complex64)
    for _ in range(3):  # x, y, z
        values = np.tensordot(wave, values, axes=(1, 2))
    patterson = np.ascontiguousarray(values.real, np.float32)  # (z, y, x) again
    at, _ = find_peaks(patterson, LOWEST * float(patterson.max()), CLOSEST / GRID)
    vectors = at[:, ::-1] * GRID + x[0]
    length = np.linalg.norm(vectors, axis=1)
    keep = (length > CLOSEST / 2) & (length < RADIUS)
    return np.asarray(vectors[keep][np.argsort(length[keep], kind="stable")])


def _points(basis: NDArray[np.floating], radius: float) -> NDArray[np.float64]:
    """All points (m, 3) of a lattice within `radius`."""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(basis), axis=1)).astype(int)
    whole = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in reach), indexing="ij"), -1).reshape(-1, 3)
    points = whole @ basis.T
    return np.asarray(points[np.linalg.norm(points, axis=1) <= radius])
