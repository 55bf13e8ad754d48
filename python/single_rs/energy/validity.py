"""How far a calculator can be trusted with the energy of a surface: its γ(111) beside the measured surface energy.

The formation energy of a particle is mostly that of its surface, so the ratio of a calculator's surface energy to the
measured one is the error of the slope of energies against 1/diameter. The slab has seven (111) planes, bulk spacing, no
relaxation (which lowers γ of these metals by 1 to 3 %):

    γ = (E_slab − N E_bulk) / 2A,    1 eV/Å² = 16.0218 J/m².

Measured values are averages over orientations, extrapolated to 0 K from the surface tension of the liquids, good to
some 10 %; (111) is the lowest of the low-index faces, by 5 to 10 % below the average in density-functional theory.

References: W. R. Tyson and W. A. Miller, Surf. Sci. 62, 267 (1977), doi:10.1016/0039-6028(77)90442-3; against density
functionals: L. Vitos et al., Surf. Sci. 411, 186 (1998), doi:10.1016/S0039-6028(98)00363-X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.crystal.prototypes import bulk_reference
from single_rs.energy.calculators import Factory

__all__ = ["MEASURED", "SurfaceCheck", "check_surface"]

# J/m² at 0 K, Tyson and Miller 1977.
MEASURED = {"Al": 1.143, "Ni": 2.380, "Cu": 1.790, "Pd": 2.003, "Ag": 1.246, "Pt": 2.489, "Au": 1.506}
_JOULE = 16.0218  # J/m² of 1 eV/Å²
_PLANES = 7


@dataclass(frozen=True)
class SurfaceCheck:
    """Surface energy of a calculator beside the measured one.

    Attributes
    ----------
    element
        Chemical symbol.
    computed, measured
        J/m².
    """

    element: str
    computed: float
    measured: float

    @property
    def ratio(self) -> float:
        """Computed over measured."""
        return self.computed / self.measured


def check_surface(element: str, factory: Factory, bulk: float, lattice_ratio: float) -> SurfaceCheck | None:
    """Compute γ(111) of an fcc metal; None where the measured value is not tabulated.

    Parameters
    ----------
    element
        Chemical symbol.
    factory
        Gives the calculator for a structure.
    bulk, lattice_ratio
        Of `bulk_energy`: eV per atom, and the calculator's lattice constant over that of experiment.
    """
    from ase.build import fcc111

    reference = bulk_reference(element)
    if element not in MEASURED or reference is None or reference.structure != "fcc":
        return None
    slab = fcc111(element, (1, 1, _PLANES), a=reference.a * lattice_ratio, vacuum=8.0, periodic=True)
    slab.calc = factory(slab)
    area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
    energy = float(slab.get_potential_energy()) - len(slab) * bulk
    return SurfaceCheck(element, _JOULE * energy / (2 * area), MEASURED[element])
