"""The lattice constant that the powder pattern of a particle yields, and the shift that its finite size causes.

All peaks of the ideal structure in a range of q are fitted at once to the normalised pattern S(q) (as in a Pawley fit,
with the cell as the only thing that places them),

    S(q) = b₀ + b₁ q + b₂ q² + Σ_h A_h P(½ (q − q_h) D_h),     P(ψ) = [1 − sin 2ψ/ψ + sin²ψ/ψ²] / ψ²,

q_h = 2π |h B(a, c)|, P the profile of a sphere of diameter D (A. L. Patterson, Phys. Rev. 56, 972 (1939),
doi:10.1103/PhysRev.56.972), 1/D_h² = 1/D² + (ε q_h)² with ε for strain that varies. a (and c of hexagonal structures),
D and ε are varied; b and A follow by linear least squares.

*Shift of the finite size.* Peaks of a small particle are broad, and what varies over their width (the share of
directions, which thins out as 1/q, and the wings of neighbours) moves them to larger a by about 0.1% at 2.4 nm. The
shift is measured on a perfect twin, the same sites on a lattice of known a: shift = a(peaks of the twin)/a − 1, and a
corrected for it is a/(1 + shift).

*Error.* The fit is linearised about its solution: a moves by Σ_q w(q) δS(q), with w a row of the pseudo-inverse of its
Jacobian. So ∂a/∂x_k = Σ_q w(q) ∂S(q)/∂x_k, a sum over pairs, and var(a) = Σ_k σ_k² |∂a/∂x_k|², of more than 500
atoms from 500 of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from single_rs.analysis.distances.pairs import representatives
from single_rs.analysis.distances.powder import Species, pair_blocks, powder_pattern, species_of
from single_rs.analysis.lattice import Lattice, check_atoms
from single_rs.base.errors import ConvergenceError
from single_rs.crystal.neighbours import check_sigma
from single_rs.crystal.prototypes import polar, prototype

__all__ = ["PowderLattice", "powder_lattice", "reflections"]

# Peaks from the first to this multiple of its q are fitted: for fcc 111 to 420, eight peaks. Beyond they crowd.
_RANGE = 2.7
# Below this share of the first peak the pattern is small-angle scattering, of the shape and not of the lattice.
_LOW = 0.82
# Peaks just beyond the end still reach into the range with their wings.
_BEYOND = 1.05
_POINTS = 500
_SMALLEST_STRUCTURE_FACTOR = 1e-3  # of the largest possible; less is an extinction
_TABLE_STEP = 0.01  # Å, of the table of ∂a/∂r against the distance of a pair: q step = 0.07, so linear to 1e-3


@dataclass(frozen=True)
class PowderLattice:
    """Lattice constant from the powder pattern.

    Attributes
    ----------
    a, a_err
        Å from the peaks as they are, and its standard error from those of the atoms (NaN where σ is not known).
    c, c_err
        The same of hexagonal structures; equal to a and its error in cubic ones.
    shift, shift_c
        Relative shift of a and c by the finite size, from a perfect twin of the particle.
    size
        Å, diameter D that the width of the peaks corresponds to.
    strain
        ε, spread of strain that the growth of the width with q corresponds to, fraction.
    reflections
        (m, 3) int, one of each family of the fitted peaks.
    q, observed, fitted
        (k,) 1/Å, S(q) of the particle, and the fit.
    """

    a: float
    a_err: float
    c: float
    c_err: float
    shift: float
    shift_c: float
    size: float
    strain: float
    reflections: NDArray[np.int64]
    q: NDArray[np.float64]
    observed: NDArray[np.float64]
    fitted: NDArray[np.float64]

    @property
    def corrected(self) -> float:
        """Lattice constant a without the shift of the finite size, Å."""
        return self.a / (1 + self.shift)

    @property
    def corrected_c(self) -> float:
        """Lattice constant c without the shift of the finite size, Å."""
        return self.c / (1 + self.shift_c)


@lru_cache
def reflections(structure: str, reach: float = _RANGE) -> tuple[tuple[int, int, int], ...]:
    """One reflection of each family with a structure factor, from the first to `reach` times its |q|, shortest first.

    Families are distinguished by |q| of the ideal cell; the structure factor is that of unequal species (1 and −0.6).
    """
    kind = prototype(structure)
    h = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    h = h[np.any(h != 0, axis=1)]
    length = np.linalg.norm(h @ np.linalg.inv(kind.cell).T, axis=1)
    weight = np.where(kind.species == 0, 1.0, 0.6)
    factor = np.abs(np.exp(2j * np.pi * h @ kind.motif.T) @ weight) / weight.sum()
    seen = factor > _SMALLEST_STRUCTURE_FACTOR
    h, length = h[seen], length[seen]
    inside = length < reach * length.min()
    # Of each family the member with the largest indices, such as (1, 1, 1) rather than (−1, 1, 1).
    order = sorted(np.flatnonzero(inside), key=lambda k: (round(float(length[k]), 6), *(-h[k]).tolist()))
    out: list[tuple[int, int, int]] = []
    last = 0.0
    for k in order:
        if length[k] > last + 1e-4:
            out.append((int(h[k, 0]), int(h[k, 1]), int(h[k, 2])))
            last = float(length[k])
    return tuple(out)


def _profile(psi: NDArray[np.float64]) -> NDArray[np.float64]:
    """Patterson's profile of a sphere, 1 at its centre."""
    p = np.where(np.abs(psi) < 0.05, 0.05, psi)
    sine = np.sin(p) / p
    full = (1 - 2 * sine * np.cos(p) + sine**2) / p**2
    # Series to second order: P = 1 − (2/9) ψ² + …, error below 1e-6 inside 0.05.
    return np.where(np.abs(psi) < 0.05, 1 - 2 / 9 * psi**2, full)


@dataclass(frozen=True)
class _Model:
    """Peaks of a structure on points q, with the nonlinear parameters (a, c, 1/D², ε²) or (a, 1/D², ε²)."""

    q: NDArray[np.float64]
    h: NDArray[np.float64]
    shape: NDArray[np.float64]  # ideal cell with a = 1

    @property
    def hexagonal(self) -> bool:
        return abs(float(self.shape[0] @ self.shape[1])) > 1e-6

    def design(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns of the linear part (k, 3 + m) at the nonlinear parameters p."""
        a, c = (p[0], p[1]) if self.hexagonal else (p[0], p[0] * float(np.linalg.norm(self.shape[2])))
        cell = self.shape * np.array([a, a, c / float(np.linalg.norm(self.shape[2]))])[:, None]
        place = 2 * np.pi * np.linalg.norm(self.h @ np.linalg.inv(cell).T, axis=1)
        diameter = 1 / np.sqrt(p[-2] + p[-1] * place**2)
        peaks = _profile((self.q[:, None] - place) * diameter / 2)
        centred = (self.q - self.q.mean()) / np.ptp(self.q)
        return np.column_stack([np.ones(len(self.q)), centred, centred**2, peaks])

    def solve(self, p: NDArray[np.float64], s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Linear coefficients and the fitted pattern (k,)."""
        design = self.design(p)
        linear = np.linalg.lstsq(design, s, rcond=None)[0]
        return np.asarray(linear, dtype=np.float64), np.asarray(design @ linear, dtype=np.float64)

    def fit(self, s: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nonlinear parameters of the best fit to a pattern s (k,)."""
        lower = np.where(np.arange(len(start)) < len(start) - 2, 0.9 * start, 0.0)
        upper = np.where(np.arange(len(start)) < len(start) - 2, 1.1 * start, [*start[:-2], 1.0, 0.01])
        lower[-2] = start[-2] / 25
        found = least_squares(
            lambda p: self.solve(p, s)[1] - s, start, bounds=(lower, upper), x_scale=[*start[:-1], 1e-4], xtol=1e-12
        )
        if not found.success:
            raise ConvergenceError(f"the peaks of the powder pattern cannot be fitted: {found.message}")
        return np.asarray(found.x)

    def weights(self, p: NDArray[np.float64], s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows w (2 or 1, k) with δ(a, c) = w · δs, from the Jacobian of all parameters at the solution."""
        linear, _ = self.solve(p, s)
        columns = [self.design(p)]
        for k in range(len(p)):
            h = np.zeros(len(p))
            h[k] = 1e-5 * max(p[k], 1e-6 if k == len(p) - 1 else p[k])
            one_sided = p[k] < h[k]
            low = p if one_sided else p - h
            columns.append(
                ((self.design(p + h) - self.design(low)) @ linear / (h[k] * (1 if one_sided else 2)))[:, None]
            )
        jacobian = np.concatenate(columns, axis=1)
        # A parameter at its bound of 0 does not move: ε of a perfect crystal is left out.
        if p[-1] <= 1e-12:
            jacobian = jacobian[:, :-1]
        scale = np.linalg.norm(jacobian, axis=0)
        inverse = np.linalg.pinv(jacobian / scale) / scale[:, None]
        first = columns[0].shape[1]
        return np.asarray(inverse[first : first + (2 if self.hexagonal else 1)])


def powder_lattice(
    positions: ArrayLike,
    lattice: Lattice,
    symbols: ArrayLike,
    sigma: ArrayLike | None = None,
    radiation: str = "xray",
) -> PowderLattice:
    """Lattice constant that the peaks of the Debye pattern of a particle yield, with error and finite-size shift.

    Parameters
    ----------
    positions
        (n, 3) Å, the atoms that the lattice was fitted to. All take part, also those off their sites.
    lattice
        Result of `fit_lattice`; gives the reflections, the start, and the perfect twin.
    symbols
        (n,) chemical symbols, or one for all.
    sigma
        (n,) Å per axis, standard errors of the positions.
    radiation
        "xray" or "electron".

    Returns
    -------
    PowderLattice
        Lengths in Å; the pattern and its fit on (n_q,) points.

    Raises
    ------
    InputError
        Shapes that do not fit.
    ConvergenceError
        When no cell within 10% of the lattice fits the peaks.
    """
    x = check_atoms(positions, lattice)
    names = np.full(len(x), str(symbols)) if np.ndim(symbols) == 0 else np.asarray(symbols, dtype=str)
    kind = prototype(lattice.structure)
    shape = kind.cell / np.linalg.norm(kind.cell[0])
    h = np.array(reflections(lattice.structure, _BEYOND * _RANGE), dtype=np.float64)
    p = lattice.parameters
    cubic = (p.a * p.b * p.c) ** (1 / 3)
    hexagonal = abs(float(shape[0] @ shape[1])) > 1e-6
    a, c = ((p.a * p.b) ** 0.5, p.c) if hexagonal else (cubic, cubic)
    first = 2 * np.pi / a * float(np.linalg.norm(h @ np.linalg.inv(shape).T, axis=1).min())
    q = np.linspace(_LOW * first, _RANGE * first, _POINTS)
    model = _Model(q, h, shape)
    diameter = 2 * float(np.sqrt(5 / 3 * np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1))))
    start = np.array([a, c, diameter**-2.0, 1e-5] if hexagonal else [a, diameter**-2.0, 1e-5])
    observed = powder_pattern(x, names, q, radiation=radiation).structure
    found = model.fit(observed, start)
    # The perfect twin: the same sites on a cell of exactly a (and c), atoms off the lattice left out.
    on = lattice.on_site & (lattice.domain >= 0)
    ideal = shape * np.array([a, a, c / float(np.linalg.norm(shape[2]))])[:, None]
    cells = [ideal @ np.linalg.inv(shape) @ _turned(shape, d.cell) for d in lattice.domains]
    twin = powder_pattern(lattice.site_positions(cells)[on], names[on], q, radiation=radiation).structure
    apparent = model.fit(twin, found)
    errors = np.full(2, np.nan)
    if sigma is not None:
        s = check_sigma(sigma, len(x))
        species = species_of(names, np.zeros(len(x)), q, radiation)
        rows = model.weights(found, observed)
        errors = np.resize([_propagate(x, s, species, q, w) for w in rows], 2)
    twice = 1 if hexagonal else 0
    return PowderLattice(
        a=float(found[0]),
        a_err=float(errors[0]),
        c=float(found[twice]),
        c_err=float(errors[twice]),
        shift=float(apparent[0] / a - 1),
        shift_c=float(apparent[twice] / c - 1),
        size=float(found[-2] ** -0.5),
        strain=float(np.sqrt(found[-1])),
        reflections=h.astype(np.int64),
        q=q,
        observed=observed,
        fitted=model.solve(found, observed)[1],
    )


def _turned(shape: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell `shape` turned to the axes of a fitted cell, by polar decomposition."""
    return np.asarray(shape @ polar(cell.T @ np.linalg.inv(shape.T))[0].T)


def _propagate(
    x: NDArray[np.float64],
    sigma: NDArray[np.float64],
    species: list[Species],
    q: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> float:
    """Standard error of Σ_q w(q) S(q) from those of the atoms.

    For one pair ∂/∂r of 2 f f' sin(qr)/(qr), weighted and summed over q, is a function of r alone: tabulated for each
    pair of species and read off for every pair of atoms.
    """
    norm = np.sum([len(s.index) * s.f**2 for s in species], axis=0)
    chosen, factor = representatives(len(x))
    gradient = np.zeros((len(chosen), 3))
    longest = float(np.linalg.norm(np.ptp(x, axis=0)))
    r = np.arange(0.5, longest + 1.0, _TABLE_STEP)
    for first, second, product, same in pair_blocks(species):
        qr = np.multiply.outer(r, q)
        slope = (np.cos(qr) - np.sinc(qr / np.pi)) / r[:, None] @ (2 * weight * product / norm)
        for one, other in ((first, second),) if same else ((first, second), (second, first)):
            for row in np.flatnonzero(np.isin(chosen, one.index)):
                k = chosen[row]
                others = other.index[other.index != k]
                bond = x[others] - x[k]
                length = np.linalg.norm(bond, axis=1)
                gradient[row] -= (np.interp(length, r, slope) / np.maximum(length, 1e-9)) @ bond
    return float(np.sqrt(factor * np.sum(sigma[chosen] ** 2 * np.sum(gradient**2, axis=1))))
