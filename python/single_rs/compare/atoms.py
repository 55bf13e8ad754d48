"""Two lists of atoms of one particle: found against true, or those of two programs.

After the best alignment over rotations, shifts and both hands, the differences d of paired atoms are measured against
their stated errors, χ² = Σ dᵀ C⁻¹ d, C the sum of both covariances, and the part that a homogeneous strain explains is
found by least squares, d = (ε + ω) (x − x̄) with ε symmetric, ω antisymmetric: a wrong pixel size or views from one
side leave such a part, while errors of single atoms leave none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from single_rs.alignment.atoms import CUTOFF, PM_PER_ANGSTROM, AtomMatch, match_atoms
from single_rs.base.columns import Column
from single_rs.base.errors import InputError
from single_rs.records import Atoms

__all__ = ["Agreement", "PairTable", "compare_atoms", "pair_table"]

Array = NDArray[np.float64]

MIN_PAIRS = 6  # fewer pairs leave a strain and a rotation open


@dataclass(frozen=True)
class Agreement:
    """How far two lists of atoms of one particle agree.

    Attributes
    ----------
    match
        Pairs, their differences along the axes of the first list, and the hand.
    counts
        Atoms of the first and of the second list.
    recall, precision
        Pairs over atoms of the second list, and over those of the first.
    rmsd, rmsd_unstrained
        pm, root mean square distance of the pairs, as it is and less the homogeneous strain.
    error_over_sigma
        Root mean square of the differences over their stated errors per axis, 1 where these are right; None where an
        error is not known.
    same_element
        Share of the pairs of one element.
    strain, directions
        (3,) principal values of the homogeneous strain of the first list against the second, ascending, and (3, 3)
        their unit vectors as rows, along the axes of the first list; None with fewer than 6 pairs.
    distance
        (m,) Å, of each pair.
    """

    match: AtomMatch
    counts: tuple[int, int]
    recall: float
    precision: float
    rmsd: float
    rmsd_unstrained: float
    error_over_sigma: float | None
    same_element: float
    strain: Array | None
    directions: Array | None
    distance: Array


@dataclass(frozen=True)
class PairTable:
    """The m pairs of two lists of atoms.

    Attributes
    ----------
    first, second
        Numbers of the atoms in their lists, from 1.
    difference, distance
        (m, 3) Å first − second after the alignment, along the axes of the first list, and its length.
    sigma_first, sigma_second
        (m,) Å per axis, stated errors.
    """

    first: Annotated[NDArray[np.int64], Column()]
    second: Annotated[NDArray[np.int64], Column()]
    difference: Annotated[Array, Column(".5f", ("dx_A", "dy_A", "dz_A"))]
    distance: Annotated[Array, Column(".5f", ("distance_A",))]
    sigma_first: Annotated[Array, Column(".5f", ("sigma_first_A",))]
    sigma_second: Annotated[Array, Column(".5f", ("sigma_second_A",))]


def pair_table(first: Atoms, second: Atoms, agreement: Agreement) -> PairTable:
    """Return the table of the pairs that `compare_atoms` found of two lists."""
    pairs = agreement.match
    return PairTable(
        pairs.found + 1,
        pairs.true + 1,
        pairs.error,
        agreement.distance,
        first.sigma[pairs.found],
        second.sigma[pairs.true],
    )


def compare_atoms(first: Atoms, second: Atoms, cutoff: float = CUTOFF) -> Agreement:
    """Pair two lists of atoms of one particle and measure how they differ.

    Parameters
    ----------
    first, second
        Atoms in any two frames; the axes of the result are those of the first.
    cutoff
        Å; pairs are matched one to one within it.

    Returns
    -------
    Agreement

    Raises
    ------
    InputError
        Fewer than 4 atoms in a list.
    """
    for name, atoms in (("the first list", first), ("the second list", second)):
        if len(atoms) < 4:
            raise InputError(f"{name} holds {len(atoms)} atoms; at least 4 are needed to align it")
    match = match_atoms(first.positions, second.positions, cutoff)
    i, j, error = match.found, match.true, match.error
    strain, directions, rest = _homogeneous(first.positions[i], error)
    return Agreement(
        match=match,
        counts=(len(first), len(second)),
        recall=len(i) / len(second),
        precision=len(i) / len(first),
        rmsd=_rms(error),
        rmsd_unstrained=_rms(rest),
        error_over_sigma=_chi(first, second, match),
        same_element=float(np.mean(first.symbols[i] == second.symbols[j])) if len(i) else float("nan"),
        strain=strain,
        directions=directions,
        distance=np.linalg.norm(error, axis=1),
    )


def _rms(error: Array) -> float:
    """Return the root mean square length, pm."""
    return float(np.sqrt(np.square(error).sum(1).mean()) * PM_PER_ANGSTROM) if len(error) else float("nan")


def _homogeneous(positions: Array, error: Array) -> tuple[Array | None, Array | None, Array]:
    """Return principal strains and directions of the best homogeneous strain, and the differences less it."""
    if len(positions) < MIN_PAIRS:
        return None, None, error
    x = positions - positions.mean(0)
    y = error - error.mean(0)
    # The best rotation of strained atoms is not that of unstrained ones; the change is the antisymmetric part.
    gradient = np.linalg.lstsq(x, y, rcond=None)[0].T
    values, vectors = np.linalg.eigh((gradient + gradient.T) / 2)
    return values, vectors.T, y - x @ gradient.T


def _chi(first: Atoms, second: Atoms, match: AtomMatch) -> float | None:
    """Return the root mean square of the differences over their stated errors; None where no error is stated."""
    known = [np.isfinite(atoms.sigma).any() for atoms in (first, second)]
    if not any(known):
        return None
    cov = np.zeros((len(match.found), 3, 3))
    if known[0]:
        own = first.covariance
        cov += own[match.found] if own is not None else np.square(first.sigma[match.found])[:, None, None] * np.eye(3)
    if known[1]:
        # In another frame, whose rotation to the first is not kept: the mean over directions is taken.
        cov += np.square(second.sigma[match.true])[:, None, None] * np.eye(3)
    good = np.flatnonzero(np.isfinite(cov).all(axis=(1, 2)))
    good = good[np.linalg.eigvalsh(cov[good])[:, 0] > 0]
    if not len(good):
        return None
    e, c = match.error[good], cov[good]
    return float(np.sqrt(np.einsum("ni,ni->n", e, np.linalg.solve(c, e[..., None])[..., 0]).mean() / 3))
