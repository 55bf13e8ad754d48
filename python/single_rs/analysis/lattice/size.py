"""The cell of many particles against their size: the bulk cell and the slope in 1/diameter, with errors.

Surface stress f compresses (or, when negative, stretches) a sphere of diameter d and bulk modulus B evenly,

    a(d) = a∞ + k/d,     k = −(4/3) a∞ f / B,

so a straight line in 1/d is fitted by weighted least squares. The weight of a particle is 1/(σ_a² + k² σ_d²/d⁴ + s²):
the error of its cell, that of its diameter carried over by the slope, and the scatter s between particles that
neither explains (shape, facets, defects), found so that χ² equals the degrees of freedom. Without such scatter the
errors are those stated.

References: surface stress from the cell: J. S. Vermaak, C. W. Mays and D. Kuhlmann-Wilsdorf, Surf. Sci. 12, 128 (1968),
doi:10.1016/0039-6028(68)90118-0; common scatter, as between laboratories: R. C. Paule and J. Mandel, J. Res. Natl. Bur.
Stand. 87, 377 (1982), doi:10.6028/jres.087.022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.lattice.fit import Lattice
from single_rs.base.errors import InputError
from single_rs.base.trend import fit_trend
from single_rs.crystal.prototypes import prototype

__all__ = ["CellAgainstSize", "cell_against_size", "volume_diameter"]

_NAMES = ("a", "b", "c", "alpha", "beta", "gamma", "volume")


@dataclass(frozen=True)
class CellAgainstSize:
    """Cells of p particles and the line a = bulk + slope / diameter.

    Attributes
    ----------
    diameter, diameter_err
        (p,) Å.
    table
        Name (a, b, c, alpha, beta, gamma, volume, mean, expansion and each with `_err`) → (p,) values, Å, degrees, Å³;
        expansion is the fraction by which the mean edge exceeds the bulk's, NaN where the bulk is not known.
    quantity
        The column that the line is fitted to.
    bulk, bulk_err
        Value at 1/diameter = 0 and its standard error, in the unit of the column.
    slope, slope_err
        Per 1/Å.
    covariance
        (2, 2) of (bulk, slope).
    scatter
        Standard deviation between particles beyond the stated errors; 0 when these explain all.
    chi2
        Sum of squared residuals over the stated variances (without `scatter`), for p − 2 degrees of freedom.
    """

    diameter: NDArray[np.float64]
    diameter_err: NDArray[np.float64]
    table: dict[str, NDArray[np.float64]]
    quantity: str
    bulk: float
    bulk_err: float
    slope: float
    slope_err: float
    covariance: NDArray[np.float64]
    scatter: float
    chi2: float

    def predict(self, diameter: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values of the line and their standard errors at diameters (k,) in Å."""
        x = 1 / np.asarray(diameter, dtype=np.float64)
        variance = self.covariance[0, 0] + 2 * x * self.covariance[0, 1] + x**2 * self.covariance[1, 1]
        return self.bulk + self.slope * x, np.sqrt(variance)

    def surface_stress(self, bulk_modulus: float) -> tuple[float, float]:
        """Surface stress f = −(3/4) B k / a∞ and its error, N/m, from a bulk modulus in GPa; for column mean or a.

        The line must be that of a length. 1 GPa Å is 0.1 N/m.
        """
        if self.quantity not in ("a", "b", "c", "mean"):
            raise InputError(f"the line is that of {self.quantity!r}; surface stress needs that of a length")
        factor = -0.75 * bulk_modulus * 0.1
        ratio = self.slope / self.bulk
        gradient = np.array([-ratio / self.bulk, 1 / self.bulk])
        return factor * ratio, abs(factor) * float(np.sqrt(gradient @ self.covariance @ gradient))


def volume_diameter(lattice: Lattice) -> tuple[float, float]:
    """Diameter of the sphere of equal volume, (6 n v / π)^(1/3), and its error, Å.

    n counts the atoms on sites, v is the fitted volume per site. The error is that of v and of the
    count, the square root of about 4 n^(2/3) surface atoms: the particle ends somewhere within its last layer.
    """
    count = max(int(lattice.on_site.sum()), 1)
    volume = lattice.parameters.volume / len(prototype(lattice.structure).motif)
    diameter = (6 * count * volume / np.pi) ** (1 / 3)
    relative = np.hypot(lattice.parameters.volume_err / lattice.parameters.volume, 2 * count ** (1 / 3) / count)
    return float(diameter), float(diameter * relative / 3)


def _table(lattices: Sequence[Lattice]) -> dict[str, NDArray[np.float64]]:
    table = {}
    for name in (f"{n}{e}" for n in _NAMES for e in ("", "_err")):
        table[name] = np.array([getattr(lattice.parameters, name) for lattice in lattices])
    # The edge of the cube (or, scaled by the ideal shape, the edge a) of equal volume: the least noisy length.
    ideal = np.array([np.linalg.det(c / np.linalg.norm(c[0])) for c in (prototype(m.structure).cell for m in lattices)])
    table["mean"] = (table["volume"] / ideal) ** (1 / 3)
    table["mean_err"] = table["mean"] * table["volume_err"] / table["volume"] / 3
    bulk = [np.nan if m.bulk is None else float(np.linalg.det(m.bulk.cell())) for m in lattices]
    ratio = (table["volume"] / np.array(bulk)) ** (1 / 3)
    table["expansion"], table["expansion_err"] = ratio - 1, ratio * table["volume_err"] / table["volume"] / 3
    return table


def cell_against_size(
    lattices: Sequence[Lattice],
    diameters: ArrayLike | None = None,
    diameter_errors: ArrayLike | None = None,
    quantity: str = "mean",
) -> CellAgainstSize:
    """Tabulate the cells of many particles and fit one of the columns against 1/diameter.

    Parameters
    ----------
    lattices
        Results of `fit_lattice` for at least 3 particles of one structure.
    diameters
        (p,) Å; None takes the sphere of equal volume of the atoms on sites (`volume_diameter`).
    diameter_errors
        (p,) Å, standard errors; None takes 0 for given diameters, else those of `volume_diameter`.
    quantity
        Column to fit: "mean" (edge a of the ideal cell of equal volume), "a", "b", "c", "alpha", "beta", "gamma",
        "volume" or "expansion".

    Returns
    -------
    CellAgainstSize
        Columns (p,) in Å and degrees, the line and its errors.

    Raises
    ------
    InputError
        Fewer than 3 particles or all of one size, several structures, shapes or names that do not fit.
    """
    kinds = sorted({lattice.structure for lattice in lattices})
    if len(lattices) < 3 or len(kinds) != 1:
        raise InputError(
            f"{len(lattices)} lattices of {', '.join(kinds) or 'no structure'} are given; at least 3 of one are needed"
        )
    own = np.array([volume_diameter(lattice) for lattice in lattices])
    d = own[:, 0] if diameters is None else np.asarray(diameters, dtype=np.float64)
    default = own[:, 1] if diameters is None else np.zeros(len(lattices))
    d_err = default if diameter_errors is None else np.asarray(diameter_errors, dtype=np.float64)
    for name, values, least in (("diameters", d, 1e-9), ("diameter_errors", d_err, 0.0)):
        if values.shape != (len(lattices),) or not np.all(np.isfinite(values)) or np.any(values < least):
            raise InputError(f"{name} have shape {values.shape}; ({len(lattices)},) positive values in Å are needed")
    table = _table(lattices)
    if quantity not in table or quantity.endswith("_err"):
        raise InputError(f"quantity is {quantity!r}; accepted: {', '.join(k for k in table if not k.endswith('_err'))}")
    y, y_err = table[quantity], table[f"{quantity}_err"]
    if not np.all(np.isfinite(y)):
        raise InputError(f"{quantity} is not known for {int(np.sum(~np.isfinite(y)))} particles; give their element")
    if np.ptp(1 / d) < 1e-6 / d.max():
        raise InputError(f"all diameters are {d[0]:.1f} Å; particles of different size are needed")
    line = fit_trend(1 / d, y, y_err, d_err / d**2)
    return CellAgainstSize(
        d,
        d_err,
        table,
        quantity,
        line.value,
        line.value_err,
        line.slope,
        line.slope_err,
        line.covariance,
        line.scatter,
        line.chi2,
    )
