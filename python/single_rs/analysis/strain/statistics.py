"""Statistics of the strain over all, core and surface atoms, each with the standard error that the positions give it.

The atoms of a particle are all there are, so the error of a mean is not spread / √n: it is what the errors of the
positions make of it. Neighbouring atoms share neighbours and so errors; we draw errors of the positions from their
covariance and from what the atoms share, pass them through the same local slopes, and take every statistic anew,

    δε = sym(D δx),      standard error = standard deviation over the draws.

Against the best fit, the lattice moves with the atoms: the affine part of δx, which the fit takes up, is removed from
each domain first. Where the strain comes from a map (gpa), the errors of the atoms are drawn with the correlation
exp(−d²/4w²) that a Gaussian filter of width w gives to white noise.

Noise widens every distribution: `noise`, the rms error, is stated beside the spread, and of a spread s the part
√(s² − noise²) is real. Core and surface are separated by the rule of the settings (`crystal.surface_atoms`).

Reference: parametric bootstrap: B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 6,
doi:10.1201/9780429246593.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from single_rs.analysis.strain.field import Strain
from single_rs.analysis.strain.invariants import MEASURES, strain_measures
from single_rs.base.errors import InputError
from single_rs.base.tensors import (
    COLUMNS,
    ROWS,
    principal_values,
    volumetric,
    von_mises,
)
from single_rs.crystal.neighbours import check_positions

__all__ = [
    "GROUPS",
    "QUANTILES",
    "StrainNumbers",
    "StrainStatistic",
    "statistics_of",
    "statistics_table",
    "strain_statistics",
]

GROUPS = ("all", "core", "surface")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Draws done together: 20 of 5,000 atoms take 5,000 × 9 × 20 × 8 bytes = 7 MB.
_BATCH = 20
_DRAWS, _LEAST_DRAWS, _DRAWN_ATOMS = 100, 25, 500_000


@dataclass(frozen=True)
class StrainStatistic:
    """One measure over one group of atoms.

    Attributes
    ----------
    measure
        One of `MEASURES`; fractions, "rotation" in degrees.
    group
        "all", "core" or "surface".
    atoms
        Number of atoms with a strain.
    mean, mean_error
        Mean and its standard error.
    std, std_error
        Standard deviation over the atoms, noise included, and its standard error.
    noise
        Root mean square of the standard errors of the atoms.
    quantiles, quantile_errors
        At 5, 25, 50, 75 and 95%, and their standard errors.
    """

    measure: str
    group: str
    atoms: int
    mean: float
    mean_error: float
    std: float
    std_error: float
    noise: float
    quantiles: tuple[float, ...]
    quantile_errors: tuple[float, ...]


@dataclass(frozen=True)
class StrainNumbers:
    """One measure over one group of atoms, as summary.json has it; fractions, the rotation in degrees.

    Attributes
    ----------
    atoms
        Number of atoms with a strain.
    mean, mean_err
        Mean and its standard error.
    std, std_err
        Standard deviation over the atoms, noise included, and its standard error.
    noise
        Root mean square of the standard errors of the atoms.
    q05, q25, q50, q75, q95
        Quantiles at 5, 25, 50, 75 and 95%.
    q05_err, q25_err, q50_err, q75_err, q95_err
        Their standard errors.
    """

    atoms: int
    mean: float | None = None
    mean_err: float | None = None
    std: float | None = None
    std_err: float | None = None
    noise: float | None = None
    q05: float | None = None
    q25: float | None = None
    q50: float | None = None
    q75: float | None = None
    q95: float | None = None
    q05_err: float | None = None
    q25_err: float | None = None
    q50_err: float | None = None
    q75_err: float | None = None
    q95_err: float | None = None


def strain_statistics(
    positions: ArrayLike, strain: Strain, draws: int | None = None, seed: int = 0
) -> tuple[StrainStatistic, ...]:
    """Mean, spread and quantiles of every measure for all, core and surface atoms.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the strain.
    strain
        Result of `compute_strain`, `bond_strain` or `phase_strain`.
    draws
        Draws of the errors; the standard errors are good to 1 / √(2 · draws). None: 100, in particles of more than
        5,000 atoms as many less, but 25.
    seed
        Seed of the draws.

    Returns
    -------
    statistics
        One for each measure and each group that holds an atom with a strain.

    Raises
    ------
    InputError
        If the numbers of atoms differ, or there are fewer than two draws.
    """
    x = check_positions(positions)
    if len(x) != len(strain.tensor):
        raise InputError(f"positions hold {len(x)} atoms, the strain {len(strain.tensor)}; give those of the strain")
    if draws is None:
        draws = int(np.clip(_DRAWN_ATOMS // len(x), _LEAST_DRAWS, _DRAWS))
    if draws < 2:
        raise InputError(f"draws is {draws}; at least 2 are needed for a spread")
    measures = strain_measures(strain).table(strain)
    known = np.isfinite(strain.tensor).all(axis=1)
    groups = {"all": known, "core": known & ~strain.surface, "surface": known & strain.surface}
    groups = {name: chosen for name, chosen in groups.items() if chosen.any()}
    drawn: dict[tuple[str, str], list[NDArray[np.float64]]] = {(m, g): [] for m in MEASURES for g in groups}
    if np.isfinite(strain.covariance[known]).all():
        for batch in _drawn(x, strain, draws, np.random.default_rng([seed, 0x57A7])):
            for name, values in batch.items():
                for group, chosen in groups.items():
                    drawn[name, group].append(_numbers(values[:, chosen]))
    out = []
    for name, (values, error) in measures.items():
        for group, chosen in groups.items():
            found = _numbers(values[None, chosen])[0]
            sets = drawn[name, group]
            spread = np.std(np.concatenate(sets), axis=0, ddof=1) if sets else np.full(len(found), np.nan)
            noise = float(np.sqrt(np.mean(error[chosen] ** 2)))
            mean, std = map(float, found[:2])
            mean_error, std_error = map(float, spread[:2])
            quantiles = tuple(float(v) for v in found[2:]), tuple(float(v) for v in spread[2:])
            count = int(chosen.sum())
            out.append(StrainStatistic(name, group, count, mean, mean_error, std, std_error, noise, *quantiles))
    return tuple(out)


def statistics_table(statistics: tuple[StrainStatistic, ...]) -> dict[str, dict[str, StrainNumbers]]:
    """Measure → group → numbers, as in summary.json."""
    table: dict[str, dict[str, StrainNumbers]] = {}
    for s in statistics:
        errors = (s.atoms, s.mean, s.mean_error, s.std, s.std_error, s.noise)
        table.setdefault(s.measure, {})[s.group] = StrainNumbers(*errors, *s.quantiles, *s.quantile_errors)
    return table


def statistics_of(table: Mapping[str, Mapping[str, StrainNumbers]]) -> tuple[StrainStatistic, ...]:
    """Return the statistics that `statistics_table` made a table of; NaN is what was not measured."""

    def known(*values: float | None) -> tuple[float, ...]:
        return tuple(math.nan if value is None else value for value in values)

    out = []
    for measure, groups in table.items():
        for group, n in groups.items():
            mean, mean_error, std, std_error, noise = known(n.mean, n.mean_err, n.std, n.std_err, n.noise)
            quantiles = known(n.q05, n.q25, n.q50, n.q75, n.q95)
            errors = known(n.q05_err, n.q25_err, n.q50_err, n.q75_err, n.q95_err)
            numbers = (mean, mean_error, std, std_error, noise)
            out.append(StrainStatistic(measure, group, n.atoms, *numbers, quantiles, errors))
    return tuple(out)


def _numbers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean, standard deviation and quantiles (draws, 2 + q) of values (draws, atoms)."""
    quantiles = np.quantile(values, QUANTILES, axis=1).T
    return np.column_stack([values.mean(axis=1), values.std(axis=1), quantiles])


def _drawn(
    x: NDArray[np.float64], strain: Strain, draws: int, generator: np.random.Generator
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Batches of the measures (draws, n) with one more draw of the errors added to what was found."""
    draw = _from_map(x, strain) if strain.operator is None else _from_positions(x, strain)
    for start in range(0, draws, _BATCH):
        change, turn = draw(min(_BATCH, draws - start), generator)
        tensor = strain.tensor + change
        values = principal_values(tensor)
        batch = {name: tensor[..., k] for k, name in enumerate(MEASURES[:6])}
        batch["radial"] = np.sum(strain.radial_form * tensor, axis=2)
        batch["volumetric"] = volumetric(tensor)[0]
        batch["von_mises"] = von_mises(tensor)[0]
        batch.update({f"principal_{k + 1}": values[..., k] for k in range(3)})
        batch["rotation"] = np.degrees(np.linalg.norm(strain.rotation + turn, axis=2))
        yield batch


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots R of covariances (n, k, k), R Rᵀ = covariance; 0 where they are not finite."""
    values, vectors = np.linalg.eigh(np.nan_to_num(covariance))
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None))[:, None])


def _from_positions(x: NDArray[np.float64], strain: Strain) -> Any:
    """Draw function for strains that are linear in the positions."""
    root = _root(np.asarray(strain.noise))
    bases = []
    if strain.reference == "fit":
        for k in range(int(strain.domain.max()) + 1):
            mine = np.flatnonzero((strain.domain == k) & np.isfinite(strain.displacement[:, 0]))
            if len(mine) > 4:
                design = np.column_stack([np.ones(len(mine)), x[mine] - strain.displacement[mine]])
                bases.append((mine, np.linalg.qr(design)[0]))
    operator = strain.operator or ()
    common = np.zeros((0, *x.shape)) if strain.modes is None else strain.modes
    # Columns of `into` (9, 9): ε in the axes of the strain, (A G Aᵀ + (A G Aᵀ)ᵀ)/2, then the rotation vector.
    unit = np.eye(9).reshape(9, 3, 3).swapaxes(1, 2)  # each is G with one of its numbers, b before a, set to 1
    inner = strain.axes @ unit @ strain.axes.T
    turned = unit - unit.swapaxes(1, 2)
    into = 0.5 * np.column_stack(
        [inner[:, ROWS, COLUMNS] + inner[:, COLUMNS, ROWS], turned[:, [2, 0, 1], [1, 2, 0]]]
    )  # fmt: skip

    def draw(count: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        errors = np.einsum("nij,njd->nid", root, generator.standard_normal((len(x), 3, count)))
        if len(common):
            errors += np.einsum("mni,md->nid", common, generator.standard_normal((len(common), count)))
        flat = errors.reshape(len(x), -1)
        for mine, basis in bases:
            flat[mine] -= basis @ (basis.T @ flat[mine])
        # G[d, n, b, a] = ∂u_a/∂X_b of draw d; strain and rotation are linear in its nine numbers.
        slopes = np.empty((count, len(x), 3, 3))
        for b, d in enumerate(operator):
            slopes[:, :, b] = np.moveaxis((d @ flat).reshape(len(x), 3, count), 2, 0)
        out = (slopes.reshape(-1, 9) @ into).reshape(count, len(x), 9)
        return out[..., :6], out[..., 6:]

    return draw


def _from_map(x: NDArray[np.float64], strain: Strain) -> Any:
    """Draw function for strains of a filtered map: white noise on the atoms, smoothed, of the stated covariance."""
    root, turned = _root(strain.covariance), _root(strain.rotation_covariance)
    reach = 3.5 * strain.kernel_width
    smooth = sparse.csr_array(cKDTree(x).sparse_distance_matrix(cKDTree(x), reach, output_type="coo_matrix"))
    smooth.data = np.exp(-0.5 * (smooth.data / strain.kernel_width) ** 2)
    smooth = sparse.diags_array(1 / np.sqrt(np.asarray(smooth.multiply(smooth).sum(axis=1)).ravel())) @ smooth

    def draw(count: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        fields = (smooth @ generator.standard_normal((len(x), 9 * count))).reshape(len(x), 9, count)
        return np.einsum("nij,njd->dni", root, fields[:, :6]), np.einsum("nij,njd->dni", turned, fields[:, 6:])

    return draw
