"""Compare many particles: lattice, strain and formation energy against size, in one table.

Size is the diameter of the sphere that holds the atoms, d = (6 n v / π)^(1/3), with n atoms of volume v, that of the
fitted cell (or of the bulk, without a lattice). Its error is that of the count, √(4 n^(2/3)) surface atoms, since the
particle ends somewhere within its last layer. Trends are weighted lines in 1/d (`single_rs.trend`), each over the
particles of one element and structure.

The mean of a strain over a particle has the standard error that the analysis stated (summary.json); without one it is
std √(m / n), where the Gaussian kernel of width w that smooths the strain ties m = (4π w²)^(3/2) / v atoms together.

References: particles compared by lattice, strain and energy: B. H. Kim et al., Science 368, 60 (2020),
doi:10.1126/science.aax3233; the cell against 1/d: C. W. Mays et al., Surf. Sci. 12, 134 (1968),
doi:10.1016/0039-6028(68)90119-2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.trend import MIN_POINTS, Trend, fit_trend
from single_rs.compare.rows import ParticleRow, find_particles, read_row

__all__ = [
    "QUANTITIES",
    "Comparison",
    "ParticleRow",
    "SizeTrend",
    "compare_particles",
]

# Column of the table: unit and meaning. Every one may have an error in the column of the same name and `_err`.
QUANTITIES: dict[str, tuple[str, str]] = {
    "atoms": ("", "number of atoms"),
    "diameter": ("Å", "sphere of the volume of the atoms"),
    "resolution": ("Å", "where the correlation of the half maps falls to 0.143"),
    "a": ("Å", "edge of the conventional cell"),
    "b": ("Å", "edge of the conventional cell"),
    "c": ("Å", "edge of the conventional cell"),
    "alpha": ("°", "angle of the conventional cell"),
    "beta": ("°", "angle of the conventional cell"),
    "gamma": ("°", "angle of the conventional cell"),
    "mean_edge": ("Å", "cube root of the volume of the cell"),
    "expansion": ("", "mean edge against the bulk, fraction"),
    "radial_strain": ("", "mean of ∂u_r/∂r over all atoms, fraction"),
    "radial_strain_core": ("", "mean over the atoms that are not at the surface, fraction"),
    "radial_strain_surface": ("", "mean over the surface atoms, fraction"),
    "radial_strain_std": ("", "standard deviation over all atoms, fraction"),
    "formation_energy": ("eV/atom", "energy per atom above that of the bulk"),
}
# Quantities that are fitted against 1/diameter.
TRENDS = ("a", "b", "c", "mean_edge", "expansion", "radial_strain", "radial_strain_core", "radial_strain_surface",
          "radial_strain_std", "formation_energy")  # fmt: skip


@dataclass(frozen=True)
class SizeTrend:
    """A quantity against 1/diameter over the particles of one kind.

    Attributes
    ----------
    quantity
        Key of `QUANTITIES`.
    element, structure
        Kind of the particles.
    particles
        Names of the particles that were used.
    line
        Value of the bulk, slope (unit · Å) and their errors.
    """

    quantity: str
    element: str
    structure: str
    particles: tuple[str, ...]
    line: Trend


@dataclass(frozen=True)
class Comparison:
    """Many particles, by size.

    Attributes
    ----------
    particles
        Sorted by diameter; the failed ones last.
    trends
        One per quantity and kind with at least three particles.
    left_out
        Names of particles that are in the table but in no trend, with the reason.
    """

    particles: tuple[ParticleRow, ...]
    trends: tuple[SizeTrend, ...]
    left_out: dict[str, str]

    def column(self, quantity: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and errors (p,) of a quantity, NaN where not known."""
        if quantity not in QUANTITIES:
            raise InputError(f"quantity is {quantity!r}; accepted: {', '.join(QUANTITIES)}")
        values = [p.values.get(quantity, np.nan) for p in self.particles]
        errors = [p.errors.get(quantity, np.nan) for p in self.particles]
        return np.array(values, np.float64), np.array(errors, np.float64)


@single_blas_thread()
def compare_particles(folders: Iterable[str | os.PathLike[str]], *, doubtful: bool = False) -> Comparison:
    """Gather particles from folders and fit their trends against size.

    Parameters
    ----------
    folders
        Folders of particles (with atoms.xyz or summary.json), of runs (with particle_NN), or of runs within them.
    doubtful
        Let particles of verdict doubtful take part in the trends; they are in the table either way.

    Returns
    -------
    Comparison
        Particles by size, and the trends.

    Raises
    ------
    DataFileError
        When a folder does not exist or holds no particle, or a file cannot be read.
    InputError
        When no folder is given.
    """
    found = find_particles([Path(f) for f in folders])
    rows = [read_row(name, folder) for name, folder in found]
    rows.sort(key=lambda r: (r.verdict == "failed", r.values.get("diameter", np.inf), r.name))
    left_out = {}
    for row in rows:
        if row.verdict == "failed" or (row.verdict == "doubtful" and not doubtful):
            left_out[row.name] = row.verdict
        elif "diameter" not in row.values:
            left_out[row.name] = "no atoms"
    used = [row for row in rows if row.name not in left_out]
    return Comparison(tuple(rows), tuple(_trends(used)), left_out)


def _trends(rows: Sequence[ParticleRow]) -> Iterable[SizeTrend]:
    """Fit every quantity over the particles of each kind."""
    for element, structure in sorted({(r.element, r.structure) for r in rows}):
        kind = [r for r in rows if (r.element, r.structure) == (element, structure)]
        for quantity in TRENDS:
            known = [r for r in kind if quantity in r.values]
            if len(known) < MIN_POINTS:
                continue
            d = np.array([r.values["diameter"] for r in known])
            dd = np.array([r.errors["diameter"] for r in known])
            if np.ptp(d) < 1e-6 * d.max():
                continue  # all of one size: there is no trend to see
            y = np.array([r.values[quantity] for r in known])
            dy = np.array([r.errors.get(quantity, np.nan) for r in known])
            line = fit_trend(1 / d, y, dy, dd / d**2)
            yield SizeTrend(quantity, element, structure, tuple(r.name for r in known), line)


def comparison_to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return what compare.json holds: particles with values, errors and folders; trends with lines; units."""

    def rounded(values: dict[str, float]) -> dict[str, float]:
        return {key: float(f"{value:.8g}") for key, value in values.items()}

    return {
        "units": {key: unit for key, (unit, _) in QUANTITIES.items()},
        "particles": [
            {
                "name": row.name, "folder": row.folder.as_posix(), "verdict": row.verdict, "element": row.element,
                "structure": row.structure, "values": rounded(row.values), "errors": rounded(row.errors),
            }
            for row in comparison.particles
        ],
        "trends": [
            {
                "quantity": t.quantity, "against": "1/diameter (1/Å)", "element": t.element, "structure": t.structure,
                "particles": list(t.particles), "chi2": t.line.chi2, "scatter": t.line.scatter,
                "bulk": t.line.value, "bulk_err": t.line.value_err,
                "slope": t.line.slope, "slope_err": t.line.slope_err,
            }
            for t in comparison.trends
        ],
        "left_out": dict(comparison.left_out),
    }  # fmt: skip
