"""Settings of density-functional calculations: what every code's input has to say, in one place.

They are starting values at which the energy of a metal particle is converged to some 10 meV per atom, and must be
converged for the purpose: formation energies need the same values in the particle and in the bulk, which these inputs
ensure.

A Gaussian of width σ and a Fermi-Dirac distribution of temperature T smear a level with the same variance when
σ²/2 = (π kT)²/3, so that σ = 2.565 kT: one width serves the codes of both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs.base.settings import Settings, setting

__all__ = ["DftSettings"]

_METAL_WIDTH = 0.2  # eV


@dataclass(frozen=True)
class DftSettings(Settings):
    """Settings of the inputs of VASP, Quantum ESPRESSO, GPAW and CP2K (PBE in all of them)."""

    smearing: float | None = setting(
        None,
        "Gaussian (or cold) width of the occupations, of which Fermi-Dirac gets 1/2.565; None: 0.2, and 0.05 for a "
        "tabulated compound, which has a band gap",
        "eV", gt=0,
    )  # fmt: skip
    k_spacing: float = setting(
        0.2, "largest distance of k-points in the bulk cell; the particle has Γ alone", "1/Å", gt=0
    )
    spin: bool | None = setting(None, "spin-polarised; None: when an element is a ferromagnet in bulk")
    spin_orbit: bool = setting(
        False, "non-collinear with spin-orbit coupling, for fully relativistic pseudopotentials (Quantum ESPRESSO)"
    )
    dispersion: bool = setting(False, "Grimme's D3 dispersion with Becke-Johnson damping, as adsorbed ligands need")
    charge: bool = setting(False, "keep the charge density of the particle, for charge-density differences")
    qe_cutoff: float | None = setting(
        None,
        "plane-wave cutoff of Quantum ESPRESSO, with 8 times as much for the density; None: what the pseudopotentials "
        "in qe_pseudo ask for, else 60, and with Cr, Mn, Fe, Co, Ni 90 and 12 times as much",
        "Ry", gt=0,
    )  # fmt: skip
    qe_pseudo: str | None = setting(
        None, "folder of UPF files: their names, suggested cutoffs and valence electrons go into the inputs"
    )
    # 1.3 times the largest ENMAX of the recommended PAW sets of the metals (Ni 270, Cu 295 eV) and of C, N, O (400 eV).
    vasp_cutoff: float | None = setting(
        None, "plane-wave cutoff of VASP; None: 400, with B, C, N, O or F 520", "eV", gt=0
    )
    cp2k_cutoff: float = setting(500.0, "cutoff of the finest grid of CP2K", "Ry", gt=0)
    gpaw_spacing: float = setting(0.18, "grid spacing of GPAW", "Å", gt=0)

    @property
    def width(self) -> float:
        """Gaussian width in eV: that of metals where none is set."""
        return _METAL_WIDTH if self.smearing is None else self.smearing

    @property
    def fermi_width(self) -> float:
        """Fermi-Dirac kT in eV with the variance of the Gaussian width."""
        return self.width / float(np.pi * np.sqrt(2 / 3))
