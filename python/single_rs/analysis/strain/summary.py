"""The numbers of the strain for the summary of a particle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from single_rs.analysis.strain.field import Strain
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.analysis.strain.statistics import GROUPS, StrainNumbers, statistics_table, strain_statistics
from single_rs.base.tensors import COMPONENTS

__all__ = [
    "MethodNumbers",
    "MethodsSummary",
    "PairNumbers",
    "Spread",
    "StrainSummary",
    "methods_summary",
    "strain_summary",
]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over atoms.

    Attributes
    ----------
    mean, std
        In the unit of what they are of.
    """

    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class MethodNumbers:
    """What one method says of one group of atoms, over the six components.

    Attributes
    ----------
    atoms
        Number of atoms with a strain.
    rms, error
        Fractions, root mean square of the components and of their stated errors.
    """

    atoms: int
    rms: float | None = None
    error: float | None = None


@dataclass(frozen=True)
class PairNumbers:
    """How two methods agree on one group of atoms, over the six components.

    Attributes
    ----------
    atoms
        Number of atoms with a strain by both.
    rms, mean
        Fractions, root mean square difference, and mean of second minus first over the normal components.
    correlation
        Pearson's, of all components.
    """

    atoms: int
    rms: float | None = None
    mean: float | None = None
    correlation: float | None = None


@dataclass(frozen=True)
class MethodsSummary:
    """Strain by the kernel, by the bonds and by the phases of the map, and how they agree.

    Attributes
    ----------
    methods
        Method ("kernel", "bonds", "gpa") → group ("all", "core", "surface") → numbers.
    pairs
        Two methods ("kernel-gpa") → group → numbers.
    """

    methods: dict[str, dict[str, MethodNumbers]]
    pairs: dict[str, dict[str, PairNumbers]]


@dataclass(frozen=True)
class StrainSummary:
    """Strain of a particle in numbers: fractions, the rotation in degrees.

    Attributes
    ----------
    reference
        What it is measured from: "bulk", or "fit", the best-fit lattice.
    frame
        Axes of the components: "crystal" or "lab".
    kernel_width
        Å, standard deviation of the Gaussian that smooths the displacements.
    smoothing, surface
        How the displacements are smoothed and which rule tells surface atoms, as set.
    components
        Component ("xx" to "yz") → mean and spread over all atoms.
    radial
        Group ("all", "core", "surface") → mean and spread of the radial strain.
    median_error
        Median of the standard errors of all components.
    atoms_without
        Number of atoms without a strain.
    statistics
        Measure → group → mean, spread and quantiles with their errors.
    methods
        The strain by other methods, and how they agree.
    """

    reference: str | None = None
    frame: str | None = None
    kernel_width: float | None = None
    smoothing: str | None = None
    surface: str | None = None
    components: dict[str, Spread | None] = field(default_factory=dict)
    radial: dict[str, Spread | None] = field(default_factory=dict)
    median_error: float | None = None
    atoms_without: int | None = None
    statistics: dict[str, dict[str, StrainNumbers]] = field(default_factory=dict)
    methods: MethodsSummary | None = None


def strain_summary(positions: ArrayLike, strain: Strain, comparison: StrainComparison | None = None) -> StrainSummary:
    """Strain in summary.json: what it is measured from, statistics of all measures, and how the methods agree.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the strain.
    strain
        Result of `compute_strain`.
    comparison
        Result of `compare_strain_methods`.
    """
    table = statistics_table(strain_statistics(positions, strain))

    def brief(measure: str, group: str) -> Spread | None:
        found = table.get(measure, {}).get(group)
        return None if found is None else Spread(found.mean, found.std)

    return StrainSummary(
        reference=strain.reference,
        frame=strain.frame,
        kernel_width=strain.kernel_width,
        smoothing=strain.smoothing,
        surface=strain.surface_rule,
        components={name: brief(name, "all") for name in COMPONENTS},
        radial={group: brief("radial", group) for group in GROUPS},
        median_error=float(np.nanmedian(strain.error)) if np.isfinite(strain.error).any() else None,
        atoms_without=int(np.isnan(strain.tensor[:, 0]).sum()),
        statistics=table,
        methods=None if comparison is None else methods_summary(comparison),
    )


def methods_summary(comparison: StrainComparison) -> MethodsSummary:
    """Return the rows of a comparison by method or pair, and group."""
    out = MethodsSummary({}, {})
    for s in comparison.spreads:
        out.methods.setdefault(s.method, {})[s.group] = MethodNumbers(s.atoms, s.rms, s.error)
    for p in comparison.pairs:
        numbers = PairNumbers(p.atoms, p.rms, p.mean, p.correlation)
        out.pairs.setdefault(f"{p.first}-{p.second}", {})[p.group] = numbers
    return out
