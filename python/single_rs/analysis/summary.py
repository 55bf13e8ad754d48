"""summary.json: the verdict on a particle and the numbers that it rests on, for people and for later stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.chemical_order import ChemicalOrder
from single_rs.analysis.distances.summary import PowderSummary, powder_summary
from single_rs.analysis.lattice import Lattice
from single_rs.analysis.lattice.affine import CellParameters
from single_rs.analysis.lattice.expansion import Expansion, expansion
from single_rs.analysis.model import Particle
from single_rs.analysis.strain.summary import Spread, StrainSummary, strain_summary
from single_rs.analysis.structure import STRUCTURE_NAMES, analyze_structure
from single_rs.analysis.structure.bond_order import BondOrder
from single_rs.analysis.views import LengthErrors
from single_rs.background.ruler import PixelRuler
from single_rs.records import Contrast, PoseDiagnostics
from single_rs.refine.types import RefinementSummary

__all__ = [
    "DomainSummary",
    "LatticeSummary",
    "Neighbours",
    "OrderSummary",
    "ParticleSummary",
    "summarise",
]


@dataclass(frozen=True)
class Neighbours:
    """Distances of nearest neighbours, Å.

    Attributes
    ----------
    peak
        Where the pair distances have their first peak.
    mean, std
        Of the mean bond of each atom, over the atoms.
    """

    peak: float | None = None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class OrderSummary:
    """Bond-orientational order, mean and spread over the atoms.

    Attributes
    ----------
    q4, q6, q4_mean, q6_mean
        Steinhardt's parameters of each atom, and averaged over its shell.
    coherence
        Share of the bonds that are coherent.
    disorder
        Of each atom against its neighbours.
    bond_spread
        Å, standard deviation of the bonds of an atom.
    """

    q4: Spread | None = None
    q6: Spread | None = None
    q4_mean: Spread | None = None
    q6_mean: Spread | None = None
    coherence: Spread | None = None
    disorder: Spread | None = None
    bond_spread: Spread | None = None


@dataclass(frozen=True)
class DomainSummary:
    """One domain of the lattice.

    Attributes
    ----------
    atoms
        On its sites.
    relation
        To an earlier domain: "main" (none), "twin", "shifted" or "grain".
    """

    atoms: int
    relation: str


@dataclass(frozen=True)
class LatticeSummary:
    """The best-fit lattice in numbers; lattice.json has all of it.

    Attributes
    ----------
    structure, form
        As in lattice.json.
    cell
        Of the main domain; errors hold how its octants differ, too.
    expansion
        Of the cell against the bulk; null without a bulk of this structure.
    species
        Elements of the two sublattices where they are ordered.
    fraction_on_sites, fraction_off_lattice
        Shares of all atoms on sites of the main domain, and on no site of any.
    domains
        The main one first.
    """

    structure: str
    form: str
    cell: CellParameters
    expansion: Expansion | None
    species: tuple[str, ...]
    fraction_on_sites: float
    fraction_off_lattice: float
    domains: tuple[DomainSummary, ...]


@dataclass(frozen=True)
class ParticleSummary:
    """What is known of a particle in numbers; null is what was not measured.

    Attributes
    ----------
    verdict
        "solved", "doubtful" or "failed"; null where nobody judged, as of atoms of another program.
    reasons
        Of the verdict, the worst first.
    element
        Chemical symbol or formula, as given.
    frames, frames_used
        Frames of the particle, and those that entered the map.
    mean_confidence
        Mean posterior of the poses.
    diameter
        Å, as tracked.
    contrast
        Whether atoms were bright or dark, and what says so.
    pixel_size
        Å, as given.
    pixel_size_by_graphene
        What the graphene says of it.
    resolution
        Å, where the correlation of the half maps falls to 0.143.
    atoms, surface_atoms
        Numbers of atoms.
    nearest_neighbour
        Distances of nearest neighbours.
    mean_coordination
        Mean number of neighbours.
    structure_types
        Structure by common neighbours → number of atoms.
    order
        Bond-orientational order.
    ligand_atoms, atoms_apart
        Atoms of the file that are no part of the particle: in ligands or solvent, and others.
    chemistry
        Chemical order of an alloy or a compound.
    lattice
        The best-fit lattice.
    powder
        The lattice constant that the powder pattern yields.
    strain
        Strain in numbers.
    notes
        What could not be computed, and why.
    hand
        "undetermined": projections cannot tell it.
    lengths
        Along which direction lengths are known least, and how well.
    diagnostics
        What the pose search measured.
    seconds
        Time that the stages took.
    refinement
        The refinement against the frames in numbers.
    """

    SCHEMA: ClassVar[int] = 2
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    element: str | None = None
    frames: int | None = None
    frames_used: int | None = None
    mean_confidence: float | None = None
    diameter: float | None = None
    contrast: Contrast | None = None
    pixel_size: float | None = None
    pixel_size_by_graphene: PixelRuler | None = None
    resolution: float | None = None
    atoms: int | None = None
    surface_atoms: int | None = None
    nearest_neighbour: Neighbours = field(default_factory=Neighbours)
    mean_coordination: float | None = None
    structure_types: dict[str, int] = field(default_factory=dict)
    order: OrderSummary | None = None
    ligand_atoms: int | None = None
    atoms_apart: int | None = None
    chemistry: ChemicalOrder | None = None
    lattice: LatticeSummary | None = None
    powder: PowderSummary | None = None
    strain: StrainSummary | None = None
    notes: tuple[str, ...] = ()
    hand: str = "undetermined"
    lengths: LengthErrors | None = None
    diagnostics: PoseDiagnostics | None = None
    seconds: float | None = None
    refinement: RefinementSummary | None = None


def summarise(model: Particle, known: ParticleSummary | None = None) -> ParticleSummary:
    """Return the numbers for summary.json: atoms, bonds, structure types, lattice, strain (Å, degrees, fractions).

    Parameters
    ----------
    model
        Result of `analyze`.
    known
        What stands beside them, such as the verdict; it stays.
    """
    local = analyze_structure(model.atoms.positions)
    counts = np.bincount(model.structure_type, minlength=len(STRUCTURE_NAMES))
    bonds = _spread(local.bond_mean) or Spread()
    return replace(
        known or ParticleSummary(),
        atoms=len(model.atoms.positions),
        surface_atoms=int(model.surface.sum()),
        nearest_neighbour=Neighbours(local.nearest_neighbour, bonds.mean, bonds.std),
        mean_coordination=float(model.coordination.mean()),
        structure_types={name: int(n) for name, n in zip(STRUCTURE_NAMES, counts, strict=True)},
        order=None if model.order is None else _order_summary(model.order, local.bond_std),
        ligand_atoms=0 if model.ligand is None else int(model.ligand.sum()),
        atoms_apart=0 if model.ligand is None else int((~model.ligand).sum()),
        chemistry=model.chemistry,
        lattice=None if model.lattice is None else _lattice_summary(model.lattice),
        powder=None if model.powder is None else powder_summary(model.powder),
        strain=None if model.strain is None else strain_summary(model.atoms.positions, model.strain, model.comparison),
        notes=model.notes,
    )


def _spread(values: NDArray[np.float64]) -> Spread | None:
    """Mean and standard deviation of the finite values, None without any."""
    finite = values[np.isfinite(values)]
    return Spread(float(finite.mean()), float(finite.std())) if len(finite) else None


def _order_summary(order: BondOrder, bond_std: NDArray[np.float64]) -> OrderSummary:
    """Means over the atoms: bond order of each, averaged over shells, coherent bonds, disorder, spread of the bonds."""
    names = ("q4", "q6", "q4_mean", "q6_mean", "coherence", "disorder")
    return OrderSummary(**{name: _spread(getattr(order, name)) for name in names}, bond_spread=_spread(bond_std))


def _lattice_summary(lattice: Lattice) -> LatticeSummary:
    return LatticeSummary(
        structure=lattice.structure,
        form=lattice.form,
        cell=lattice.parameters,
        expansion=expansion(lattice),
        species=lattice.species,
        fraction_on_sites=lattice.fraction,
        fraction_off_lattice=lattice.off_lattice,
        domains=tuple(DomainSummary(d.atoms, d.relation) for d in lattice.domains),
    )
