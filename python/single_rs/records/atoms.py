"""The atoms of one particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from single_rs.base.errors import InputError
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_at_least, need_finite, need_shape, need_share

__all__ = [
    "Atoms",
]


ASYMMETRY = 1e-4  # relative difference of opposite elements, which six digits in a file may leave


@dataclass(frozen=True, repr=False)
class Atoms(Displayed):
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
        errors that all frames share. NaN where it is not known.
    probability
        (n,) probability that the peak is an atom, in [0, 1]; NaN where it is not known.
    covariance
        (n, 3, 3) Å² of each position, from the refinement; None for traced atoms, which have `sigma` only.
    modes
        (m, n, 3) Å, displacements at one standard deviation of m errors that the atoms share and `covariance` holds:
        between atoms i and j the covariance is the sum of u_i u_jᵀ over them. None where errors are independent.

    Raises
    ------
    InputError
        Arrays of other shapes or values; covariances that are not symmetric.
    """

    positions: np.ndarray
    symbols: np.ndarray
    height: np.ndarray
    bfactor: np.ndarray
    sigma: np.ndarray
    probability: np.ndarray
    covariance: np.ndarray | None = None
    modes: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse atoms that cannot be."""
        n = np.shape(self.positions)[0] if np.ndim(self.positions) else 0
        need_shape("positions", self.positions, (n, 3))
        for name in ("symbols", "height", "bfactor", "sigma", "probability"):
            need_shape(name, getattr(self, name), (n,))
        need_finite("positions", self.positions)
        need_at_least("sigma", self.sigma, 0.0, nan=True)
        need_share("probability", self.probability, nan=True)
        if self.modes is not None:
            need_shape("modes", self.modes, (len(self.modes), n, 3))
            need_finite("modes", self.modes)
        if self.covariance is not None:
            need_shape("covariance", self.covariance, (n, 3, 3))
            full = np.asarray(self.covariance)
            same = np.isclose(full, full.transpose(0, 2, 1), rtol=ASYMMETRY, atol=0, equal_nan=True)
            wrong = int(np.sum(~same.all(axis=(1, 2))))
            if wrong:
                raise InputError(f"covariance: {wrong} of {n} matrices are not symmetric; symmetric ones are needed")

    @classmethod
    def bare(cls, positions: ArrayLike, symbols: ArrayLike | str) -> Atoms:
        """Atoms of which nothing but place and element is known: all else is NaN.

        Parameters
        ----------
        positions
            (n, 3) Å.
        symbols
            (n,) chemical symbols, or one for all.
        """
        x = np.asarray(positions, np.float64)
        unknown = np.full(len(x), np.nan)
        return cls(x, np.broadcast_to(np.asarray(symbols), len(x)).copy(), unknown, unknown, unknown, unknown)

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.positions)

    def own_sigma(self) -> np.ndarray:
        """Standard errors (n,) in Å per axis without what the atoms share."""
        sigma = np.asarray(self.sigma, dtype=np.float64)
        if self.modes is None:
            return sigma
        return np.asarray(np.sqrt(np.maximum(sigma**2 - (self.modes**2).sum((0, 2)) / 3, 0.0)))

    def own_covariance(self) -> np.ndarray | None:
        """Covariance (n, 3, 3) Å² of each position without what the atoms share; None where it is not known."""
        if self.covariance is None or self.modes is None:
            return self.covariance
        return np.asarray(self.covariance - np.einsum("mni,mnj->nij", self.modes, self.modes))

    def pair_covariance(self, i: int, j: int) -> np.ndarray:
        """Covariance (3, 3) Å² of the vector from atom i to atom j; NaN where that of the atoms is not known."""
        if self.covariance is None:
            return np.full((3, 3), np.nan)
        full = np.asarray(self.covariance[i] + self.covariance[j])
        if self.modes is None or i == j:
            return full if i != j else np.zeros((3, 3))
        cross = np.einsum("mi,mj->ij", self.modes[:, i], self.modes[:, j])
        return np.asarray(full - cross - cross.T)

    def to_ase(self, vacuum: float | None = None) -> Any:
        """Return ``ase.Atoms`` in the same order, with positions from the box centre.

        Parameters
        ----------
        vacuum
            Å on each side of the particle in an orthorhombic cell of its own, in whose middle it is put; no cell when
            not given. Boundaries stay open.

        Raises
        ------
        InputError
            A negative vacuum.
        """
        from ase import Atoms as AseAtoms

        out: Any = AseAtoms([str(s) for s in self.symbols], positions=np.asarray(self.positions))
        if vacuum is not None:
            if not vacuum >= 0:
                raise InputError(f"vacuum is {vacuum} Å; it must be at least 0 Å")
            out.center(vacuum=vacuum)
        return out

    def _headline(self) -> str:
        names, counts = np.unique(self.symbols, return_counts=True)
        text = f"{len(self)} atoms: {', '.join(f'{c} {n}' for c, n in zip(counts, names, strict=True))}"
        known = self.sigma[np.isfinite(self.sigma)]
        return text + (f"; median σ {100 * np.median(known):.2g} pm" if len(known) else "; no errors")
