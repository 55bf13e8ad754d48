"""The same strain by three methods that fail in different ways, and how well they agree.

"kernel" smooths the displacements of the atoms with a Gaussian (`kernel`), "bonds" takes each atom's own bonds
(`deformation`), "gpa" the phases of the Bragg spots of the map with the same Gaussian (`gpa`). Kernel and gpa see the
same thing, one through the traced atoms and one through the map: where they part, the tracing or the map is wrong.
Bonds resolve single atoms at three times the noise: where they part from the kernel by more than their errors, strain
varies within the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain.deformation import Deformation, bond_strain
from single_rs.analysis.strain.field import Strain, StrainConfig, compute_strain
from single_rs.analysis.strain.gpa import PhaseStrain, phase_strain
from single_rs.analysis.strain.statistics import GROUPS
from single_rs.base.errors import InputError

__all__ = ["MethodPair", "MethodSpread", "StrainComparison", "compare_strain_methods"]


@dataclass(frozen=True)
class MethodSpread:
    """What one method says of one group of atoms, over the six components.

    Attributes
    ----------
    method, group
        "kernel", "bonds" or "gpa"; "all", "core" or "surface".
    atoms
        Number of atoms with a strain.
    rms
        Fraction, root mean square of the components.
    error
        Fraction, root mean square of their stated errors; NaN when not known.
    """

    method: str
    group: str
    atoms: int
    rms: float
    error: float


@dataclass(frozen=True)
class MethodPair:
    """How two methods agree on one group of atoms, over the six components.

    Attributes
    ----------
    first, second, group
        Names as in `MethodSpread`.
    atoms
        Number of atoms with a strain by both.
    rms
        Fraction, root mean square difference.
    mean
        Fraction, mean of second minus first over the three normal components: a dilation that one sees more of.
    correlation
        Pearson's, of all components.
    """

    first: str
    second: str
    group: str
    atoms: int
    rms: float
    mean: float
    correlation: float


@dataclass(frozen=True)
class StrainComparison:
    """The strain of one particle by several methods.

    Attributes
    ----------
    strains
        Method → its strain, on the same atoms, with the same reference and axes.
    spreads, pairs
        Rows of the table.
    deformation
        What the bonds say besides: the gradients and the non-affine part.
    phases
        Maps of the geometric phase analysis, None without a map.
    """

    strains: Mapping[str, Strain]
    spreads: tuple[MethodSpread, ...]
    pairs: tuple[MethodPair, ...]
    deformation: Deformation
    phases: PhaseStrain | None

    def text(self) -> str:
        """The table in lines for people, in per cent."""
        lines = [f"{'method':12s} {'group':8s} {'atoms':>6s} {'rms %':>7s} {'error %':>8s}"]
        for s in self.spreads:
            lines.append(f"{s.method:12s} {s.group:8s} {s.atoms:6d} {100 * s.rms:7.3f} {100 * s.error:8.3f}")
        lines.append(f"{'difference':12s} {'group':8s} {'atoms':>6s} {'rms %':>7s} {'mean %':>8s} {'correlation':>12s}")
        for p in self.pairs:
            name = f"{p.second}-{p.first}"
            lines.append(
                f"{name:12s} {p.group:8s} {p.atoms:6d} {100 * p.rms:7.3f} {100 * p.mean:+8.3f} {p.correlation:12.3f}"
            )
        return "\n".join(lines)


def compare_strain_methods(
    positions: ArrayLike,
    lattice: Lattice,
    config: StrainConfig = StrainConfig(),  # noqa: B008 (frozen)
    sigma: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
    density: ArrayLike | None = None,
    pixel_size: float | None = None,
    noise: ArrayLike | None = None,
    modes: ArrayLike | None = None,
) -> StrainComparison:
    """Strain by the kernel, by the bonds and, with a map, by geometric phase analysis; and their agreement.

    Parameters
    ----------
    positions
        (n, 3) Å from the box centre, those that `lattice` was fitted to.
    lattice
        Result of `fit_lattice`.
    config
        Reference, kernel and frame, the same for all.
    sigma, covariance
        (n,) Å or (n, 3, 3) Å², errors of the positions.
    density, pixel_size
        (z, y, x) map and Å per voxel; None: no geometric phase analysis.
    noise
        (z, y, x) map of noise alone, half the difference of the half maps.
    modes
        (m, n, 3) Å, errors that the atoms share; `sigma` and `covariance` are then without them.

    Raises
    ------
    InputError
        As the methods do; or a map without its pixel size.
    """
    if density is not None and pixel_size is None:
        raise InputError("pixel_size is not given; a map needs one, in Å per voxel")
    strains = {"kernel": compute_strain(positions, lattice, config, sigma, covariance, modes)}
    deformation = bond_strain(positions, lattice, config, sigma, covariance, modes)
    strains["bonds"] = deformation.strain
    phases = None
    if density is not None and pixel_size is not None:
        phases = phase_strain(density, pixel_size, positions, lattice, config, noise)
        strains["gpa"] = phases.strain
    spreads, pairs = _compared(strains)
    return StrainComparison(strains, spreads, pairs, deformation, phases)


def _compared(strains: Mapping[str, Strain]) -> tuple[tuple[MethodSpread, ...], tuple[MethodPair, ...]]:
    surface = strains["kernel"].surface
    groups = dict(zip(GROUPS, (np.ones_like(surface), ~surface, surface), strict=True))
    known = {name: np.isfinite(s.tensor).all(axis=1) for name, s in strains.items()}
    spreads, pairs = [], []
    for name, s in strains.items():
        for group, chosen in groups.items():
            rows = chosen & known[name]
            if rows.any():
                error = float(np.sqrt(np.mean(s.error[rows] ** 2)))
                spreads.append(
                    MethodSpread(name, group, int(rows.sum()), float(np.sqrt(np.mean(s.tensor[rows] ** 2))), error)
                )
    for first, second in combinations(strains, 2):
        for group, chosen in groups.items():
            rows = chosen & known[first] & known[second]
            if rows.sum() < 2:
                continue
            one, two = strains[first].tensor[rows], strains[second].tensor[rows]
            difference = two - one
            spread = float(np.std(one) * np.std(two))
            covariance = float(np.mean((one - one.mean()) * (two - two.mean())))
            pairs.append(
                MethodPair(
                    first,
                    second,
                    group,
                    int(rows.sum()),
                    float(np.sqrt(np.mean(difference**2))),
                    float(difference[:, :3].mean()),
                    covariance / spread if spread > 0 else float("nan"),
                )
            )
    return tuple(spreads), tuple(pairs)
