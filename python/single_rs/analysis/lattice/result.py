"""The fitted lattice of a particle and its domains, as later stages take it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.lattice.affine import CellParameters
from single_rs.crystal.prototypes import Bulk, crystal_axes
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_shape

__all__ = ["Domain", "Lattice"]

# The densest planes (bilayers where there are two sublattices) of each structure.
_DENSEST = {
    "fcc": (1, 1, 1),
    "bcc": (1, 1, 0),
    "hcp": (0, 0, 2),
    "diamond": (1, 1, 1),
    "rocksalt": (2, 0, 0),
    "zincblende": (1, 1, 1),
    "wurtzite": (0, 0, 2),
    "fluorite": (1, 1, 1),
}


@dataclass(frozen=True)
class Domain:
    """One domain of a particle.

    Attributes
    ----------
    cell, origin
        Rows a, b, c (3, 3), and the position (3,) of site 0, Å.
    parameters
        Lengths, angles and errors of the cell.
    atoms
        Number of atoms on sites of this domain.
    scatter
        Å per axis, robust standard deviation of the residuals.
    affine
        False for small domains: the first domain's cell, turned and shifted, not a cell of its own.
    disorientation
        Degrees, smallest rotation between the axes of this domain and those of domain `partner`.
    relation
        To domain `partner`: "main" (none), "twin" (60° about ⟨111⟩), "shifted" (same orientation, as beyond a
        stacking fault) or "grain".
    partner
        An earlier domain: the first that this one is a twin of or shifted from, else the main one.
    """

    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    parameters: CellParameters
    atoms: int
    scatter: float
    affine: bool
    disorientation: float
    relation: str
    partner: int

    def __post_init__(self) -> None:
        """Check the shapes of the cell and of its origin."""
        need_shape("cell", self.cell, (3, 3))
        need_shape("origin", self.origin, (3,))


@dataclass(frozen=True, repr=False)
class Lattice(Displayed):
    """Best-fit lattice of n atoms; `cell`, `origin` and the parameters are those of the first, largest domain.

    Attributes
    ----------
    structure
        "fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende", "wurtzite" or "fluorite".
    cell, origin
        Rows a, b, c (3, 3) of the conventional cell, and the position (3,) of site 0, Å, particle frame.
    parameters
        a, b, c (Å), alpha, beta, gamma (degrees), volume (Å³) and their standard errors; also as attributes.
    sites
        (n, 3) fractional coordinates in the cell of the atom's own domain; NaN for atoms without a site.
    residual
        (n, 3) Å, atom minus site; NaN without a site.
    domain
        (n,) index into `domains`, −1 without a site.
    on_site
        (n,) bool, within 0.25 nearest-neighbour distances of the site.
    domains
        The domains, the main one first.
    nearest_neighbour
        Å, mean bond length of the fitted cell's shell.
    bulk
        Bulk crystal of the element or compound, None when unknown or of another kind.
    species
        Elements on the first and second sublattice, empty where species are not known or not ordered.
    antisites
        Fraction of the main domain's atoms on the sublattice of the other species; NaN without `species`.
    u, u_err
        Internal parameter of the main domain's wurtzite cell (ideal 0.375) and its standard error; NaN elsewhere.
    form
        "icosahedron" or "decahedron" when the domains are the parts of one, else "".
    independent
        The parameters with the errors that take the scatter of atoms as independent; those of `parameters` hold how the
        octants of the main domain differ, too (`blocks`).
    """

    structure: str
    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    parameters: CellParameters
    sites: NDArray[np.float64]
    residual: NDArray[np.float64]
    domain: NDArray[np.int64]
    on_site: NDArray[np.bool_]
    domains: tuple[Domain, ...]
    nearest_neighbour: float
    bulk: Bulk | None
    species: tuple[str, ...] = ()
    antisites: float = np.nan
    u: float = np.nan
    u_err: float = np.nan
    form: str = ""
    independent: CellParameters | None = None

    def __post_init__(self) -> None:
        """Check the shapes of the cell and of its origin."""
        need_shape("cell", self.cell, (3, 3))
        need_shape("origin", self.origin, (3,))

    def __getattr__(self, name: str) -> float:
        """Give ``a``, ``b``, … ``gamma_err`` of `parameters` directly."""
        if name in {f.name for f in dataclasses.fields(CellParameters)}:
            return float(getattr(self.parameters, name))
        raise AttributeError(f"Lattice has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        """List the parameters of the cell with the rest."""
        return sorted({*super().__dir__(), *(f.name for f in dataclasses.fields(CellParameters))})

    def _headline(self) -> str:
        p = self.parameters
        edges = ", ".join(f"{n} = {getattr(p, n):.4f} ± {getattr(p, f'{n}_err'):.4f}" for n in "abc")
        return f"{self.structure}, {edges} Å, {100 * self.fraction:.0f} % of {len(self.sites)} atoms on sites"

    @property
    def fraction(self) -> float:
        """Fraction of all atoms within 0.25 nearest-neighbour distances of a site of the main domain."""
        return float(np.mean(self.on_site & (self.domain == 0)))

    @property
    def off_lattice(self) -> float:
        """Fraction of all atoms that are on no site of any domain."""
        return float(np.mean(~self.on_site))

    @property
    def axes(self) -> NDArray[np.float64]:
        """Crystal frame, rows (3, 3) orthonormal in the particle frame; see `crystal_axes`."""
        return crystal_axes(self.cell, self.structure)

    @property
    def layer_spacing(self) -> float:
        """Spacing of the densest planes, Å; bilayers in diamond, zincblende {111} and wurtzite {0002}."""
        return float(1 / np.linalg.norm(np.array(_DENSEST[self.structure]) @ np.linalg.inv(self.cell).T))

    def site_positions(self, cells: list[NDArray[np.float64]] | None = None) -> NDArray[np.float64]:
        """Positions (n, 3), Å, of the sites; with `cells` each domain's cell is replaced by the given one."""
        out = np.full((len(self.sites), 3), np.nan)
        for k, d in enumerate(self.domains):
            mine = self.domain == k
            out[mine] = d.origin + self.sites[mine] @ (d.cell if cells is None else cells[k])
        return out
