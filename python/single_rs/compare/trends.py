"""Compare many particles: lattice, strain and formation energy against size, in one table.

Size is the diameter of the sphere that holds the atoms, d = (6 n v / π)^(1/3), with n atoms of volume v, that of the
fitted cell (or of the bulk, without a lattice). Its error is that of the count, √(4 n^(2/3)) surface atoms, since the
particle ends somewhere within its last layer. Trends are weighted lines in 1/d (`base.trend`), each over the particles
of one element and structure, and are said of the measured sizes: the value at 1/d = 0 is given only where the sizes
carry it, by a factor of two between the smallest and the largest. Quantities whose limit is known, the mean edge (that
of the bulk), its expansion and the formation energy (none), also get the slope of the line through that limit. Which
axis of a cubic particle is a is arbitrary, so a, b and c have no trend, and nor has the spread of the strain.

The strain of all particles is measured from one lattice, the bulk where it is known of all, else the best fit: a change
of reference adds the strain of one cell against the other. Particles whose files do not tell keep none.

The mean of a strain over a particle has the standard error that the analysis stated (summary.json); without one it is
std √(m / n), where the Gaussian kernel of width w that smooths the strain ties m = (4π w²)^(3/2) / v atoms together.

References: particles compared by lattice, strain and energy: B. H. Kim et al., Science 368, 60 (2020),
doi:10.1126/science.aax3233; the cell against 1/d: C. W. Mays et al., Surf. Sci. 12, 134 (1968),
doi:10.1016/0039-6028(68)90119-2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.trend import MIN_POINTS, Trend, fit_through, fit_trend
from single_rs.compare.rows import ParticleRow, find_particles, read_row
from single_rs.crystal.prototypes import bulk_reference

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
TRENDS = ("mean_edge", "expansion", "radial_strain", "radial_strain_core", "radial_strain_surface", "formation_energy")


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
        Value, slope (unit · Å) and their errors; the value is at 1/d = 0, see `supported`.
    limit
        Known value at 1/d = 0, NaN without one.
    through
        Slope of the line through `limit`, its error, and χ² for count − 1 degrees of freedom; None without a limit.
    """

    quantity: str
    element: str
    structure: str
    particles: tuple[str, ...]
    line: Trend
    limit: float = float("nan")
    through: tuple[float, float, float] | None = None

    @property
    def supported(self) -> bool:
        """Whether the sizes carry the line to 1/d = 0."""
        return self.line.supports(0.0)


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
    reference
        What every strain is measured from: "bulk", "fit", or "not stated".
    notes
        What could not be compared, and why.
    """

    particles: tuple[ParticleRow, ...]
    trends: tuple[SizeTrend, ...]
    left_out: dict[str, str]
    reference: str = "not stated"
    notes: tuple[str, ...] = ()

    def column(self, quantity: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and errors (p,) of a quantity, NaN where not known."""
        if quantity not in QUANTITIES:
            raise InputError(f"quantity is {quantity!r}; accepted: {', '.join(QUANTITIES)}")
        values = [p.values.get(quantity, np.nan) for p in self.particles]
        errors = [p.errors.get(quantity, np.nan) for p in self.particles]
        return np.array(values, np.float64), np.array(errors, np.float64)


@single_blas_thread()
def compare_particles(
    folders: Iterable[str | os.PathLike[str]],
    *,
    doubtful: bool = False,
    reference: str | None = None,
    states: bool = False,
) -> Comparison:
    """Gather particles from folders and fit their trends against size.

    Parameters
    ----------
    folders
        Folders of particles (with atoms.xyz or summary.json), of runs (with particle_NN), or of runs within them.
    doubtful
        Let particles of verdict doubtful take part in the trends; they are in the table either way.
    reference
        "bulk" or "fit", what every strain is measured from; None: the bulk where it is known of all particles.
    states
        Compare the states of a particle that changed in its place.

    Returns
    -------
    Comparison
        Particles by size, and the trends.

    Raises
    ------
    DataFileError
        When a folder does not exist or holds no particle, or a file cannot be read.
    InputError
        When no folder is given, or the reference is neither.
    """
    if reference not in (None, "bulk", "fit"):
        raise InputError(f"reference is {reference!r}; accepted: bulk, fit")
    found = find_particles([Path(f) for f in folders], states)
    rows = [read_row(name, folder) for name, folder in found]
    rows.sort(key=lambda r: (r.verdict == "failed", r.values.get("diameter", np.inf), r.name))
    left_out = {}
    for row in rows:
        if row.verdict == "failed" or (row.verdict == "doubtful" and not doubtful):
            left_out[row.name] = row.verdict
        elif "diameter" not in row.values:
            left_out[row.name] = "no atoms"
    rows, chosen, notes = _one_reference(rows, reference)
    used = [row for row in rows if row.name not in left_out]
    used, more = _one_calculator(used)
    trends = tuple(_trends(used))
    if not trends:
        more += (f"not enough particles for a trend: {MIN_POINTS} of one kind and of different sizes are needed",)
    return Comparison(tuple(rows), trends, left_out, chosen, (*notes, *more))


def _one_reference(rows: list[ParticleRow], reference: str | None) -> tuple[list[ParticleRow], str, tuple[str, ...]]:
    """Measure the strain of all particles from one lattice; without the strain of those where that is not known."""
    strained = [row for row in rows if np.isfinite(row.radial).any()]
    if reference is None and all(not row.reference for row in strained):
        return rows, "not stated", ()
    tried = [reference] if reference else ["bulk", "fit"]
    can = {name: [row.name for row in strained if row.against(name) is not None] for name in tried}
    chosen = max(tried, key=lambda name: len(can[name]))
    out, lost = [], []
    for row in rows:
        turned = row.against(chosen) if np.isfinite(row.radial).any() else row
        if turned is None:
            lost.append(row.name)
            turned = row.without_strain()
        out.append(turned)
    notes = (f"no strain of {', '.join(lost)}: it cannot be measured from the {chosen} as the others'",) if lost else ()
    return out, chosen, notes


def _one_calculator(rows: list[ParticleRow]) -> tuple[list[ParticleRow], tuple[str, ...]]:
    """Leave the energies of other calculators than the commonest out of the trends."""
    names = [row.calculator for row in rows if "formation_energy" in row.values]
    if len(set(names)) < 2:
        return rows, ()
    common = max(sorted(set(names)), key=names.count)
    out = []
    for row in rows:
        values = {k: v for k, v in row.values.items() if k != "formation_energy" or row.calculator == common}
        out.append(replace(row, values=values))
    return out, (f"energies of several calculators ({', '.join(sorted(set(names)))}): the trend is of {common} alone",)


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
            limit = _limit(quantity, element, structure)
            through = fit_through(1 / d, y, dy, limit) if np.isfinite(limit) else None
            yield SizeTrend(quantity, element, structure, tuple(r.name for r in known), line, limit, through)


def _limit(quantity: str, element: str, structure: str) -> float:
    """Value of a quantity in the bulk, NaN where it is not known."""
    if quantity in ("expansion", "formation_energy"):
        return 0.0
    bulk = bulk_reference(element, structure) if quantity == "mean_edge" and element and structure else None
    return float("nan") if bulk is None else float(np.cbrt(np.linalg.det(bulk.cell())))
