"""The calculations of one export: the particle with all its ligands, its parts, and the references of its energy.

Names are those of the files: ``particle`` is all there is, at the measured positions. Where it has ligands, ``bare`` is
the particle and ``ligands`` are all of them where they stand, each in the same cell and so on the same grid; with

    E_bind = (E_particle − E_bare − E_ligands) / k,    Δρ = ρ_particle − ρ_bare − ρ_ligands

for k ligands. The references (`references`) give the formation energy of the particle without its ligands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.model import Particle
from single_rs.export.dft.cells import k_mesh, particle_cell
from single_rs.export.dft.references import Reference, references
from single_rs.export.dft.settings import DftSettings

__all__ = ["Calculation", "DftSet", "dft_set", "molecules_of", "with_ligands"]

_BOND = 1.25  # sums of covalent radii, within which atoms of ligands are bonded
_GAP_SMEARING = 0.05  # eV, for compounds, which have a band gap
_FREE = 0.5  # share of a slab's thickness whose atoms move where a calculation relaxes


@dataclass(frozen=True)
class Calculation:
    """One run of a code.

    Attributes
    ----------
    name
        Of its files: particle, bare, ligands, bulk_Pt, molecule_O2.
    atoms
        ``ase.Atoms`` in its cell, with starting moments and fixed atoms.
    mesh
        k-points; None: Γ alone, with real wave functions.
    relax
        What moves: "" nothing, "atoms", or "cell" and all.
    charge
        Whether its charge density is kept.
    """

    name: str
    atoms: Any
    mesh: tuple[int, int, int] | None = None
    relax: str = ""
    charge: bool = False

    @property
    def molecule(self) -> bool:
        """Whether it stands in vacuum on all sides."""
        return self.mesh is None

    @property
    def slab(self) -> bool:
        """Whether it has vacuum on two sides alone."""
        return bool(self.atoms.pbc[:2].all() and not self.atoms.pbc[2])


@dataclass(frozen=True)
class DftSet:
    """All calculations of an export.

    Attributes
    ----------
    calculations
        The particle first.
    references
        What its formation energy is measured from.
    ligands
        Number of ligands.
    settings
        With what is chosen by the material filled in.
    missing
        Elements without a reference.
    """

    calculations: tuple[Calculation, ...]
    references: tuple[Reference, ...]
    ligands: int
    settings: DftSettings
    missing: tuple[str, ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of all calculations, in the order of the particle."""
        found: dict[str, None] = {}
        for one in self.calculations:
            found |= dict.fromkeys(one.atoms.get_chemical_symbols())
        return tuple(found)


def dft_set(model: Particle, vacuum: float, settings: DftSettings | None = None) -> DftSet:
    """Return the calculations of a particle in vacuum.

    Parameters
    ----------
    model
        The particle, with its ligands where it has some.
    vacuum
        Å on each side.
    settings
        None: the defaults.
    """
    chosen = DftSettings() if settings is None else settings
    everything = model.everything()
    ligand = np.zeros(len(everything.atoms), bool)
    if model.others is not None and model.ligand is not None:
        ligand[len(model.atoms) :] = model.ligand
    structure = None if model.lattice is None else model.lattice.structure
    return with_ligands(particle_cell(everything, vacuum, chosen), ligand, chosen, structure=structure)


def with_ligands(
    atoms: Any,
    ligand: NDArray[np.bool_],
    settings: DftSettings,
    *,
    structure: str | None = None,
    relax: bool = False,
) -> DftSet:
    """Return the calculations of a particle or slab in its cell, of its parts, and of its references.

    Parameters
    ----------
    atoms
        ``ase.Atoms`` in a cell; periodic along a and b for a slab.
    ligand
        (n,) bool, atoms of ligands.
    settings
        Of the calculations.
    structure
        Of the particle, where it is known.
    relax
        Whether atoms move: ligands and the upper half of a slab.
    """
    symbols = [s for s, guest in zip(atoms.get_chemical_symbols(), ligand, strict=True) if not guest]
    spin = atoms.has("initial_magmoms")
    slab = bool(atoms.pbc.any())
    # A slab needs no reference but its parts.
    found, missing, compound = ((), (), False) if slab else references(symbols, settings.k_spacing, spin, structure)
    if settings.smearing is None and compound:
        settings = replace(settings, smearing=_GAP_SMEARING)
    mesh = None
    if slab:
        a, b, _ = k_mesh(atoms.cell.array, settings.k_spacing)
        mesh = (a, b, 1)
    how = "atoms" if relax else ""
    keep = settings.charge
    parts = [Calculation("particle", _held(atoms, ligand) if relax else atoms, mesh, how, keep)]
    count = 0
    if ligand.any() and not ligand.all():
        count = len(molecules_of(atoms, ligand))
        bare, guests = atoms[~ligand], atoms[ligand]
        guests.set_initial_magnetic_moments(None)
        parts.append(Calculation("bare", _held(bare, ligand[~ligand]) if relax else bare, mesh, how, keep))
        parts.append(Calculation("ligands", guests, mesh, how, keep))
    parts += [Calculation(r.name, r.atoms, r.mesh, "cell" if r.mesh else "atoms") for r in found]
    return DftSet(tuple(parts), tuple(found), count, settings, tuple(missing))


def molecules_of(atoms: Any, ligand: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the atoms of each ligand, pieces that are bonded among themselves."""
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    chosen = np.flatnonzero(ligand)
    part = atoms[chosen]
    i, j = neighbor_list("ij", part, _BOND * covalent_radii[part.numbers])
    graph = csr_array((np.ones(len(i), np.int8), (i, j)), shape=(len(part), len(part)))
    pieces, label = connected_components(graph, directed=False)
    return [chosen[label == k] for k in range(pieces)]


def _held(atoms: Any, ligand: NDArray[np.bool_]) -> Any:
    """Return a slab with the lower part of its thickness fixed, a particle with all of its atoms."""
    from ase.constraints import FixAtoms

    out = atoms.copy()
    height = out.positions[:, 2]
    solid = ~ligand
    limit = height[solid].max()
    if out.pbc.any():
        limit = height[solid].max() - _FREE * np.ptp(height[solid]) - 1e-6
    out.set_constraint(FixAtoms(np.flatnonzero(solid & (height <= limit))))
    return out
