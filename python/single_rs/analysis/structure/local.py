"""Local structure of each atom: coordination, common neighbours, surface, nearest-neighbour distances.

Coordination counts the atoms within a cutoff at the first minimum of the pair distances. Common-neighbour analysis
gives each pair of neighbours the signature (common neighbours, bonds among them, longest chain of those bonds) and
each atom the structure that its signatures belong to: fcc 12 × 421; hcp 6 × 421 + 6 × 422; bcc 8 × 666 + 6 × 444;
icosahedron 12 × 555. Codes as OVITO's: other 0, fcc 1, hcp 2, bcc 3, ico 4. Atoms with an incomplete shell, so all
surface atoms, are "other", and so is diamond, whose first shell has no common neighbours.

References: J. D. Honeycutt and H. C. Andersen, J. Phys. Chem. 91, 4950 (1987), doi:10.1021/j100303a014;
adaptive cutoff: A. Stukowski, Modelling Simul. Mater. Sci. Eng. 20, 045021 (2012), doi:10.1088/0965-0393/20/4/045021;
generalised coordination: F. Calle-Vallejo et al., Angew. Chem. Int. Ed. 53, 8316 (2014), doi:10.1002/anie.201402958.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.base.remembered import remembered
from single_rs.crystal.neighbours import check_positions, coordination, neighbour_cutoff, surface_by_coordination

__all__ = [
    "STRUCTURE_NAMES",
    "LocalStructure",
    "analyze_structure",
    "common_neighbours",
]

STRUCTURE_NAMES = ("other", "fcc", "hcp", "bcc", "ico")
# Midway between the first and second shells of fcc, in first-shell distances (Stukowski 2012, equation 2).
_ADAPTIVE = (1 + np.sqrt(2.0)) / 2
# Atoms worked on together: 500 with 14 neighbours take 14³ × 500 × 4 bytes = 5 MB.
_CHUNK = 500


@dataclass(frozen=True)
class LocalStructure:
    """Local structure of the n atoms of one particle.

    Attributes
    ----------
    coordination
        (n,) int, atoms within `cutoff`.
    structure_type
        (n,) int, code of `STRUCTURE_NAMES`.
    surface
        (n,) bool, atoms that miss a quarter of the neighbours of a bulk atom (`surface_atoms`).
    nearest
        (n,) Å, distance to the nearest atom.
    bond_mean, bond_std
        (n,) Å, mean and standard deviation of the distances to the atoms within `cutoff` (NaN without any).
    nearest_neighbour
        Å, the position of the first peak of the pair distances.
    cutoff
        Å, the first minimum of the pair distances.
    """

    coordination: NDArray[np.int64]
    structure_type: NDArray[np.int64]
    surface: NDArray[np.bool_]
    nearest: NDArray[np.float64]
    bond_mean: NDArray[np.float64]
    bond_std: NDArray[np.float64]
    nearest_neighbour: float
    cutoff: float


def _signature_counts(vectors: NDArray[np.float64], cutoff: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    """How many bonds of each atom have each signature, from its neighbours (n, k, 3) and its cutoff (n,).

    The chain length follows from the degrees, the number of bonds that each common neighbour has with the others. Four
    neighbours with two bonds: 421 if no degree is 2, else 422. All degrees 2: a closed ring, 444 or 555; six could also
    be two triangles, which 666 must not have.
    """
    distance = np.linalg.norm(vectors[:, :, None] - vectors[:, None], axis=3)
    bonded = (distance < cutoff[:, None, None]) & ~np.eye(vectors.shape[1], dtype=bool)
    # graph[n, j] holds the bonds among the common neighbours of atom n and its neighbour j.
    graph = bonded[:, None] & bonded[:, :, :, None] & bonded[:, :, None, :]
    degree = graph.sum(axis=3)
    common, bonds = bonded.sum(axis=2), degree.sum(axis=2) // 2
    ring = np.all(degree == 2 * bonded, axis=2)
    # Products of float32 matrices count paths exactly (at most 14³) and are fast, unlike those of integers.
    links = graph.astype(np.float32)
    triangle = np.any((links @ links) * links > 0, axis=(2, 3))
    pair = (common == 4) & (bonds == 2)
    kinds = {
        "421": pair & (degree.max(axis=2) == 1),
        "422": pair & (degree.max(axis=2) == 2),
        "444": ring & (common == 4),
        "555": ring & (common == 5),
        "666": ring & (common == 6) & ~triangle,
    }
    return {name: found.sum(axis=1) for name, found in kinds.items()}


def _classify(vectors: NDArray[np.float64], cutoff: NDArray[np.float64]) -> NDArray[np.int64]:
    """Code of each atom from its 12 (fcc, hcp, ico) or 14 (bcc) neighbours (n, k, 3) and its cutoff (n,)."""
    codes = np.zeros(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        n = _signature_counts(vectors[part], cutoff[part])
        if vectors.shape[1] == 12:
            codes[part][n["421"] == 12] = 1
            codes[part][(n["421"] == 6) & (n["422"] == 6)] = 2
            codes[part][n["555"] == 12] = 4
        else:
            codes[part][(n["666"] == 8) & (n["444"] == 6)] = 3
    return codes


def common_neighbours(positions: ArrayLike, cutoff: float | None = None) -> NDArray[np.int64]:
    """Structure code of each atom by common-neighbour analysis, (n,) int.

    Parameters
    ----------
    positions
        (n, 3) Å.
    cutoff
        Å; one cutoff for all atoms. None: an adaptive cutoff for each atom, from the mean distance of its 12 (fcc,
        hcp, ico) or 14 (bcc) nearest neighbours, which follows strain and expansion.

    Returns
    -------
    codes
        Index into `STRUCTURE_NAMES`: other 0, fcc 1, hcp 2, bcc 3, ico 4.
    """
    x = check_positions(positions)
    codes = np.zeros(len(x), dtype=np.int64)
    if len(x) < 13:
        return codes
    tree = cKDTree(x)
    if cutoff is not None:
        near = tree.query_ball_point(x, cutoff)
        for k in (12, 14):
            atoms = np.array([a for a, found in enumerate(near) if len(found) == k + 1], dtype=np.int64)
            if len(atoms):
                others = np.array([[b for b in near[a] if b != a] for a in atoms])
                codes[atoms] = _classify(x[others] - x[atoms][:, None], np.full(len(atoms), cutoff))
        return codes
    distance, index = tree.query(x, k=min(15, len(x)))
    distance, vectors = distance[:, 1:], x[index[:, 1:]] - x[:, None]
    codes = _classify(vectors[:, :12], _ADAPTIVE * distance[:, :12].mean(axis=1))
    if distance.shape[1] == 14:
        both = (distance[:, :8].mean(axis=1) * 2 / np.sqrt(3.0) + distance[:, 8:].mean(axis=1)) / 2
        codes = np.where(codes == 0, _classify(vectors, _ADAPTIVE * both), codes)
    return codes


@remembered
def analyze_structure(positions: ArrayLike, cutoff: float | None = None) -> LocalStructure:
    """Coordination, structure code, surface and bond lengths of each atom.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    cutoff
        Å, of coordination; None: the first minimum of the pair distances. Common neighbours use their adaptive cutoff.
    """
    x = check_positions(positions)
    peak, minimum = neighbour_cutoff(x)
    cutoff = minimum if cutoff is None else cutoff
    counts = coordination(x, cutoff)
    tree = cKDTree(x)
    i, j = tree.query_pairs(cutoff, output_type="ndarray").T
    bond = np.linalg.norm(x[i] - x[j], axis=1)
    ends, both = np.concatenate([i, j]), np.concatenate([bond, bond])
    number = np.where(counts > 0, counts, np.nan)
    mean = np.bincount(ends, both, minlength=len(x)) / number
    spread = np.bincount(ends, (both - mean[ends]) ** 2, minlength=len(x)) / number
    return LocalStructure(
        coordination=counts,
        structure_type=common_neighbours(x),
        surface=surface_by_coordination(counts),
        nearest=tree.query(x, k=2)[0][:, 1],
        bond_mean=mean,
        bond_std=np.sqrt(spread),
        nearest_neighbour=peak,
        cutoff=float(cutoff),
    )
