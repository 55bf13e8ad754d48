"""The best-fit lattice of a particle as lattice.json holds it, for people and for later stages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.analysis.distances.summary import BondConstant, PowderSummary, powder_summary
from single_rs.analysis.lattice.affine import CellParameters
from single_rs.analysis.lattice.expansion import Expansion, expansion
from single_rs.analysis.lattice.result import Domain, Lattice
from single_rs.crystal.prototypes import Bulk
from single_rs.records.invariants import need_shape

__all__ = ["Cell", "CellErrors", "DomainRecord", "LatticeAtoms", "LatticeRecord", "Reference", "lattice_record"]


@dataclass(frozen=True)
class Cell:
    """Conventional cell.

    Attributes
    ----------
    a, b, c
        Å.
    alpha, beta, gamma
        Degrees.
    volume
        Å³.
    a_err, b_err, c_err, alpha_err, beta_err, gamma_err, volume_err
        Standard errors.
    vectors
        (3, 3) Å, rows a, b, c, particle frame.
    """

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    volume: float
    a_err: float | None
    b_err: float | None
    c_err: float | None
    alpha_err: float | None
    beta_err: float | None
    gamma_err: float | None
    volume_err: float | None
    vectors: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that there are three vectors."""
        need_shape("vectors", self.vectors, (3, 3))

    @classmethod
    def of(cls, parameters: CellParameters, vectors: NDArray[np.float64]) -> Cell:
        """Return the cell of these parameters."""
        return cls(**dataclasses.asdict(parameters), vectors=vectors)

    def parameters(self) -> CellParameters:
        """Return lengths, angles and errors, NaN where they are not known."""
        known = {f.name: getattr(self, f.name) for f in dataclasses.fields(CellParameters)}
        return CellParameters(**{name: np.nan if value is None else value for name, value in known.items()})


@dataclass(frozen=True)
class CellErrors:
    """Standard errors of a cell.

    Attributes
    ----------
    a_err, b_err, c_err
        Å.
    alpha_err, beta_err, gamma_err
        Degrees.
    volume_err
        Å³.
    """

    a_err: float | None
    b_err: float | None
    c_err: float | None
    alpha_err: float | None
    beta_err: float | None
    gamma_err: float | None
    volume_err: float | None


@dataclass(frozen=True)
class DomainRecord:
    """One domain.

    Attributes
    ----------
    relation, partner
        To an earlier domain: "main" (none), "twin", "shifted" or "grain".
    disorientation
        Degrees from the axes of that domain.
    atoms, fraction
        Atoms on its sites, and their share of all.
    scatter
        Å per axis, of the atoms about their sites.
    own_cell
        Whether the cell is its own, and not that of the main domain turned.
    origin
        (3,) Å, site 0.
    cell
        Of the domain.
    """

    relation: str
    partner: int
    disorientation: float
    atoms: int
    fraction: float
    scatter: float
    own_cell: bool
    origin: NDArray[np.float64]
    cell: Cell

    @classmethod
    def of(cls, domain: Domain, atoms: int) -> DomainRecord:
        """Return the record of a domain of a particle of so many atoms."""
        return cls(
            relation=domain.relation,
            partner=domain.partner,
            disorientation=domain.disorientation,
            atoms=domain.atoms,
            fraction=domain.atoms / atoms,
            scatter=domain.scatter,
            own_cell=domain.affine,
            origin=domain.origin,
            cell=Cell.of(domain.parameters, domain.cell),
        )

    def domain(self) -> Domain:
        """Return the domain."""
        return Domain(
            cell=self.cell.vectors,
            origin=self.origin,
            parameters=self.cell.parameters(),
            atoms=self.atoms,
            scatter=self.scatter,
            affine=self.own_cell,
            disorientation=self.disorientation,
            relation=self.relation,
            partner=self.partner,
        )


@dataclass(frozen=True)
class Reference:
    """What the lattice is compared with.

    Attributes
    ----------
    lattice
        What the strain of the atoms is measured from unless summary.json says otherwise.
    bulk
        Bulk crystal of the element or compound; null when unknown or of another structure.
    """

    lattice: str = "best fit"
    bulk: Bulk | None = None


@dataclass(frozen=True)
class LatticeAtoms:
    """Every atom against the lattice, n atoms in the order of atoms.xyz.

    Attributes
    ----------
    domain
        (n,) number of the domain, −1 without a site.
    on_site
        (n,) whether within 0.25 nearest-neighbour distances of the site.
    sites
        (n, 3) fractional coordinates in the cell of the domain; null without a site.
    residual
        (n, 3) Å, atom minus site; null without a site.
    """

    domain: NDArray[np.int64]
    on_site: NDArray[np.bool_]
    sites: NDArray[np.float64]
    residual: NDArray[np.float64]


@dataclass(frozen=True)
class LatticeRecord:
    """The best-fit lattice of a particle; particle frame, from the box centre.

    Attributes
    ----------
    structure
        "fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende", "wurtzite" or "fluorite".
    form
        "icosahedron" or "decahedron" when the domains are the parts of one, else "".
    cell
        Of the main domain; errors hold how its octants differ, too.
    independent_errors
        Errors that take the scatter of atoms as independent.
    origin
        (3,) Å, site 0 of the main domain.
    nearest_neighbour
        Å, mean bond length of the fitted cell.
    fraction_on_sites, fraction_off_lattice
        Shares of all atoms on sites of the main domain, and on no site of any.
    species, antisites
        Elements of the two sublattices where they are ordered, and the share of atoms on the wrong one.
    u, u_err
        Internal parameter of wurtzite, and its standard error.
    domains
        The main one first.
    reference
        What the lattice is compared with.
    expansion
        Of the cell against the bulk; null without a bulk of this structure.
    units
        In words.
    powder
        The lattice constant that the powder pattern yields.
    bond
        The one that the mean bond yields.
    atoms
        Every atom against the lattice.
    """

    SCHEMA: ClassVar[int] = 1

    structure: str
    form: str
    cell: Cell
    independent_errors: CellErrors | None
    origin: NDArray[np.float64]
    nearest_neighbour: float
    fraction_on_sites: float
    fraction_off_lattice: float
    species: tuple[str, ...]
    antisites: float | None
    u: float | None
    u_err: float | None
    domains: tuple[DomainRecord, ...]
    reference: Reference
    expansion: Expansion | None
    units: str
    powder: PowderSummary | None
    bond: BondConstant | None
    atoms: LatticeAtoms

    def __post_init__(self) -> None:
        """Check that the origin is a place."""
        need_shape("origin", self.origin, (3,))

    def lattice(self) -> Lattice:
        """Return the lattice, with NaN for what was not measured."""
        cell, independent = self.cell.parameters(), None
        if self.independent_errors is not None:
            independent = dataclasses.replace(cell, **dataclasses.asdict(self.independent_errors))
        return Lattice(
            structure=self.structure,
            cell=self.cell.vectors,
            origin=self.origin,
            parameters=cell,
            sites=self.atoms.sites.reshape(-1, 3),
            residual=self.atoms.residual.reshape(-1, 3),
            domain=self.atoms.domain,
            on_site=self.atoms.on_site,
            domains=tuple(d.domain() for d in self.domains),
            nearest_neighbour=self.nearest_neighbour,
            bulk=self.reference.bulk,
            species=self.species,
            antisites=_or_nan(self.antisites),
            u=_or_nan(self.u),
            u_err=_or_nan(self.u_err),
            form=self.form,
            independent=independent,
        )


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def lattice_record(
    lattice: Lattice, powder: PowderLattice | None = None, bond: BondConstant | None = None
) -> LatticeRecord:
    """Return the content of lattice.json.

    Parameters
    ----------
    lattice
        Result of `fit_lattice`.
    powder, bond
        Results of `powder_lattice` and `bond_summary`.
    """
    count, independent = len(lattice.sites), None
    if lattice.independent is not None:
        errors = {f.name: getattr(lattice.independent, f.name) for f in dataclasses.fields(CellErrors)}
        independent = CellErrors(**errors)
    return LatticeRecord(
        structure=lattice.structure,
        form=lattice.form,
        cell=Cell.of(lattice.parameters, lattice.cell),
        independent_errors=independent,
        origin=lattice.origin,
        nearest_neighbour=lattice.nearest_neighbour,
        fraction_on_sites=lattice.fraction,
        fraction_off_lattice=lattice.off_lattice,
        species=lattice.species,
        antisites=lattice.antisites,
        u=lattice.u,
        u_err=lattice.u_err,
        domains=tuple(DomainRecord.of(d, count) for d in lattice.domains),
        reference=Reference(bulk=lattice.bulk),
        expansion=expansion(lattice),
        units="Å, degrees; fractions; particle frame, from the box centre",
        powder=None if powder is None else powder_summary(powder),
        bond=bond,
        atoms=LatticeAtoms(lattice.domain, lattice.on_site, lattice.sites, lattice.residual),
    )
