"""The formation energy of a particle in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["EnergyRecord", "SurfaceEnergy"]


@dataclass(frozen=True)
class SurfaceEnergy:
    """Surface energy of an element by the calculator, J/m².

    Attributes
    ----------
    computed, measured, ratio
        By the calculator, as tabulated, and the one over the other.
    """

    computed: float | None
    measured: float | None
    ratio: float | None


@dataclass(frozen=True)
class EnergyRecord:
    """Formation energy of a particle; eV, per atom except `energy`.

    Attributes
    ----------
    calculator
        Name of the calculator.
    formula
        What is computed, in words.
    atoms, composition
        Number of atoms, and element → number.
    energy
        eV, of the particle.
    bulk
        Element → energy of its bulk, per atom.
    bulk_lattice_over_experiment
        Element → lattice constant of the calculator over that of experiment.
    formation_energy_per_atom, formation_energy_per_atom_err
        Without the bias of the errors of the positions, and standard error.
    formation_energy_as_measured
        With that bias.
    bias, bias_error
        Taken off, and its standard error.
    sigma, sigma_scale
        Standard errors from the positions and the draws, and from the pixel size.
    largest_force
        eV/Å.
    surface_energy
        Element → how well the calculator knows its surface.
    draws, seed
        Displacements that the bias was taken from.
    notes
        What could not be computed, or is doubtful.
    units
        In words.
    program
        Versions.
    """

    SCHEMA: ClassVar[int] = 1
    calculator: str
    formula: str | None = None
    atoms: int | None = None
    composition: dict[str, int] = field(default_factory=dict)
    energy: float | None = None
    bulk: dict[str, float] = field(default_factory=dict)
    bulk_lattice_over_experiment: dict[str, float] = field(default_factory=dict)
    formation_energy_per_atom: float | None = None
    formation_energy_per_atom_err: float | None = None
    formation_energy_as_measured: float | None = None
    bias: float | None = None
    bias_error: float | None = None
    sigma: float | None = None
    sigma_scale: float | None = None
    largest_force: float | None = None
    surface_energy: dict[str, SurfaceEnergy] = field(default_factory=dict)
    draws: int | None = None
    seed: int | None = None
    notes: tuple[str, ...] = ()
    units: str = "eV, per atom except energy; forces eV/Angstrom; surface energies J/m^2"
    program: str | None = None
