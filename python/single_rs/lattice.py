"""Best-fit crystal lattice of a particle in any orientation: cell, sites, domains, expansion against the bulk.

Convention: x = origin + n · cell, with rows a, b, c of the conventional cell (Å, particle frame) and fractional sites n
of fcc, bcc, hcp or diamond. Neighbour bonds give a seed, sites grow outwards from it (`indexing`), and a robust affine
fit gives the cell with its covariance (`lattice_fit`). Of the equivalent settings of the axes the right-handed one
nearest to the axes of the particle frame is chosen. Without a stated structure the one with the largest gain is taken,

    gain = Σ_sites [ln v − (3/2) ln 2πs² − |r|²/2s²] − (k/2) ln n,

the log likelihood against atoms spread evenly (v volume per site, s the scatter, k = 12 parameters): half a BIC
(G. Schwarz, Ann. Statist. 6, 461 (1978), doi:10.1214/aos/1176344136). Further domains (twins, parts beyond a stacking
fault, grains) are searched among the atoms that the first does not explain.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.crystal import STRUCTURES, Bulk, Prototype, bulk_reference, crystal_axes, prototype
from single_rs.errors import ConvergenceError, InputError
from single_rs.indexing import Neighbours, Seed, find_seeds, grow
from single_rs.lattice_fit import AffineFit, CellParameters, cell_parameters, fit_affine, fit_rigid
from single_rs.structure import check_positions, neighbour_cutoff

__all__ = ["SMALLEST_DOMAIN", "Domain", "Lattice", "fit_lattice"]

# An atom is on its site when nearer than this part of the nearest-neighbour distance.
_ON_SITE = 0.25
# Seeds grown to the end; the one that reaches most atoms wins.
_SEEDS = 4
# One atom and its shell is the least that tells a lattice from chance.
SMALLEST_DOMAIN = 13
# A further domain is fitted with its own cell from this number of atoms, below it only turned and shifted: the
# 12 parameters of 20 atoms would follow the surface relaxation.
_AFFINE_DOMAIN = 60
_MAX_DOMAINS = 8
# Largest ratio of stretches (as a logarithm) between the fitted and the ideal cell: c/a of hcp metals spans 1.57 to
# 1.89 against 1.633 (0.15); Bain's path from bcc to fcc is 0.35.
_DISTORTION = 0.2
# A disorientation is called a twin within this angle of 60° about ⟨111⟩.
_TWIN_TOLERANCE = 4.0


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


@dataclass(frozen=True)
class Lattice:
    """Best-fit lattice of n atoms; `cell`, `origin` and the parameters are those of the first, largest domain.

    Attributes
    ----------
    structure
        "fcc", "bcc", "hcp" or "diamond".
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
        Bulk crystal of the element, None when unknown or of another kind.
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

    def __getattr__(self, name: str) -> float:
        """Give ``a``, ``b``, … ``gamma_err`` of `parameters` directly."""
        if name in {f.name for f in dataclasses.fields(CellParameters)}:
            return float(getattr(self.parameters, name))
        raise AttributeError(f"Lattice has no attribute {name!r}")

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
        """Spacing of the densest planes, Å: fcc and diamond (bilayers) {111}, bcc {110}, hcp {0002}."""
        inverse = np.linalg.inv(self.cell).T
        h = {"fcc": (1, 1, 1), "diamond": (1, 1, 1), "bcc": (1, 1, 0), "hcp": (0, 0, 2)}[self.structure]
        return float(1 / np.linalg.norm(np.array(h) @ inverse))

    def site_positions(self, cells: list[NDArray[np.float64]] | None = None) -> NDArray[np.float64]:
        """Positions (n, 3), Å, of the sites; with `cells` each domain's cell is replaced by the given one."""
        out = np.full((len(self.sites), 3), np.nan)
        for k, d in enumerate(self.domains):
            mine = self.domain == k
            out[mine] = d.origin + self.sites[mine] @ (d.cell if cells is None else cells[k])
        return out

    def to_json(self) -> dict[str, Any]:
        """Return the content of lattice.json; see `lattice_io`."""
        from single_rs.lattice_io import lattice_to_dict

        return lattice_to_dict(self)


def fit_lattice(
    positions: ArrayLike,
    structure: str | None = None,
    sigma: ArrayLike | None = None,
    element: str | None = None,
) -> Lattice:
    """Fit the crystal lattice of a particle without any prior orientation.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame; at least 13 atoms.
    structure
        "fcc", "bcc", "hcp" or "diamond"; None: the one that explains the atoms best.
    sigma
        (n,) Å per axis, standard errors of the positions, used as weights together with the scatter that they leave
        unexplained. None: all atoms alike.
    element
        Chemical symbol, for the expansion against the bulk (``ase.data.reference_states``).

    Returns
    -------
    Lattice
        The axes are right-handed and nearest to those of the positions' frame. Errors come from the scatter about the
        fit (`lattice_fit`).

    Raises
    ------
    InputError
        Wrong shapes, unknown structure or element.
    ConvergenceError
        No lattice of the given kind holds at least 13 atoms.

    Examples
    --------
    >>> import numpy as np
    >>> n = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), -1).reshape(-1, 3)
    >>> ball = 1.96 * n[(n.sum(1) % 2 == 0) & (np.linalg.norm(n, axis=1) < 4)]
    >>> lattice = fit_lattice(ball, element="Pt")
    >>> lattice.structure, round(lattice.a, 3), round(lattice.alpha, 2)
    ('fcc', 3.92, 90.0)
    """
    x = check_positions(positions, SMALLEST_DOMAIN)
    s = None if sigma is None else np.asarray(sigma, dtype=np.float64)
    if s is not None and (s.shape != (len(x),) or not np.all(np.isfinite(s)) or np.any(s < 0)):
        raise InputError(f"sigma has shape {s.shape}; ({len(x)},) finite values in Å, none negative, are needed")
    kinds = [prototype(structure)] if structure is not None else [prototype(k) for k in STRUCTURES]
    bulk = None if element is None else bulk_reference(element)
    nearest = neighbour_cutoff(x)[0]
    everyone = np.ones(len(x), dtype=bool)
    found = [(kind, _find_domain(x, s, kind, nearest, everyone, None)) for kind in kinds]
    held = [(_gain(member, kind, len(x)), kind, member) for kind, member in found if member is not None]
    if not held:
        raise ConvergenceError(
            f"no lattice ({structure or ', '.join(STRUCTURES)}) holds {SMALLEST_DOMAIN} of the {len(x)} atoms "
            f"(nearest neighbours {nearest:.2f} Å); check the tracing or name the structure"
        )
    _, kind, main = max(held, key=lambda h: h[0])
    members = [_canonical(main, kind, x)]
    free = everyone & ~members[0].indexed
    while len(members) < _MAX_DOMAINS and free.sum() >= SMALLEST_DOMAIN:
        further = _find_domain(x, s, kind, nearest, free, members[0].fit.cell)
        if further is None:
            break
        members.append(_canonical(further, kind, x))
        free &= ~further.indexed
    return _assemble(x, kind, members, bulk if bulk is not None and bulk.structure == kind.name else None)


@dataclass(frozen=True)
class _Member:
    """A domain being built: sites of all n atoms (NaN elsewhere), and the fit to those that have one."""

    sites: NDArray[np.float64]
    fit: AffineFit
    affine: bool

    @property
    def indexed(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.sites[:, 0]))


def _find_domain(
    x: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    kind: Prototype,
    nearest: float,
    allowed: NDArray[np.bool_],
    shape: NDArray[np.float64] | None,
) -> _Member | None:
    """Largest domain among the allowed atoms; `shape` is the main domain's cell when this is a further one."""
    longest = float(np.linalg.norm(kind.shells[0] @ kind.cell, axis=1).max())
    near = Neighbours(x, nearest, longest + 0.3)
    sites: NDArray[np.float64] | None = None
    for seed in find_seeds(near, kind, allowed, _SEEDS):
        if shape is not None:
            turn = crystal_axes(shape, kind.name).T @ crystal_axes(seed.cell, kind.name)
            seed = Seed(seed.atom, shape @ turn, seed.score)
        trial = grow(near, kind, seed, allowed, rigid=shape is not None)[0]
        if sites is None or np.isfinite(trial[:, 0]).sum() > np.isfinite(sites[:, 0]).sum():
            sites = trial
        if np.isfinite(sites[:, 0]).sum() > 0.9 * allowed.sum():
            break
    if sites is None:
        return None
    fit, affine = None, True
    # Atoms that stray from the fitted lattice leave it, once or twice until all are within reach of their sites.
    for _ in range(3):
        known = np.isfinite(sites[:, 0])
        if known.sum() < SMALLEST_DOMAIN:
            return None
        weight = None if sigma is None else sigma[known]
        affine = shape is None or _is_thick(sites[known], shape)
        if affine:
            try:
                fit = fit_affine(sites[known], x[known], weight)
            except ConvergenceError:  # A single plane of atoms, as a wrong prototype finds, is no crystal.
                return None
        else:
            fit = fit_rigid(sites[known], x[known], shape if shape is not None else kind.cell)
        far = np.linalg.norm(fit.residual, axis=1) > 2 * _ON_SITE * nearest
        if not far.any():
            break
        sites[np.flatnonzero(known)[far]] = np.nan
    if fit is None or _distortion(fit.cell, kind) > _DISTORTION:
        return None
    known = np.isfinite(sites[:, 0])
    return _Member(sites, fit, affine) if len(fit.residual) == known.sum() else None


def _is_thick(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> bool:
    """Whether atoms determine a cell of their own: many, and at least a third as thick as they are wide."""
    span = np.linalg.svd((sites - sites.mean(axis=0)) @ cell, compute_uv=False)
    return len(sites) >= _AFFINE_DOMAIN and bool(span[2] > span[0] / 3)


def _distortion(cell: NDArray[np.float64], kind: Prototype) -> float:
    """Logarithm of the ratio of the largest to the smallest stretch of the ideal cell."""
    stretch = np.linalg.svd(np.linalg.inv(kind.cell) @ cell, compute_uv=False)
    return float(np.log(stretch[0] / max(stretch[2], 1e-12)))


def _gain(member: _Member, kind: Prototype, count: int) -> float:
    """Log likelihood gained over atoms spread evenly, less half the BIC penalty of 12 parameters."""
    volume = float(np.linalg.det(member.fit.cell)) / len(kind.motif)
    # No map tells positions to better than a hundredth of a bond, so a perfect input must not win by that alone.
    scatter = max(member.fit.scatter, 0.01 * volume ** (1 / 3))
    misfit = np.sum(member.fit.residual**2, axis=1) / (2 * scatter**2)
    terms = np.log(volume) - 1.5 * np.log(2 * np.pi * scatter**2) - misfit
    return float(np.clip(terms, 0, None).sum() - 6 * np.log(count))


def _canonical(member: _Member, kind: Prototype, x: NDArray[np.float64]) -> _Member:
    """Rename the sites: axes nearest to the frame's, site 0 the one of the first sublattice nearest to the centre."""
    rotations, translations = kind.operations
    cells = np.linalg.inv(rotations).swapaxes(1, 2) @ member.fit.cell
    traces = [round(float(np.trace(crystal_axes(c, kind.name))), 6) for c in cells]
    best = int(np.argmax(traces))
    w, t = rotations[best], translations[best]
    sites = member.sites @ w.T + t
    known = member.indexed
    fractional = sites[known]
    centre = x[known].mean(axis=0)
    first = np.all(np.abs((d := (fractional[:, None] - kind.motif[kind.sublattice == 0])) - np.rint(d)) < 1e-6, axis=2)
    candidates = np.flatnonzero(first.any(axis=1))
    sites -= fractional[candidates[np.argmin(np.linalg.norm(x[known][candidates] - centre, axis=1))]]
    # Renaming is linear in (1, n): refitted exactly, so origin, cell and covariance belong to the new names.
    design = np.column_stack([np.ones(known.sum()), sites[known]])
    change = np.linalg.lstsq(design, np.column_stack([np.ones(known.sum()), member.sites[known]]), rcond=None)[0]
    theta = change @ np.vstack([member.fit.origin, member.fit.cell])
    full = np.kron(change, np.eye(3))
    fit = dataclasses.replace(
        member.fit, origin=theta[0], cell=theta[1:], covariance=full @ member.fit.covariance @ full.T
    )
    return _Member(np.where(known[:, None], np.rint(12 * sites) / 12, np.nan), fit, member.affine)


def _relation(cell: NDArray[np.float64], earlier: list[NDArray[np.float64]], kind: Prototype) -> tuple[float, str, int]:
    """Disorientation (degrees), relation and partner of a domain among the earlier ones; see `Domain`."""
    inverse = np.linalg.inv(kind.cell)
    symmetry = np.array([kind.cell.T @ w @ inverse.T for w in kind.operations[0]])
    found = []
    for k, other in enumerate(earlier):
        turn = crystal_axes(cell, kind.name) @ crystal_axes(other, kind.name).T
        best = symmetry[np.argmax(np.einsum("oij,ji->o", symmetry, turn))] @ turn
        angle = float(np.degrees(np.arccos(np.clip((np.trace(best) - 1) / 2, -1, 1))))
        axis = np.abs([best[2, 1] - best[1, 2], best[0, 2] - best[2, 0], best[1, 0] - best[0, 1]])
        cosine = axis.sum() / np.sqrt(3) / max(float(np.linalg.norm(axis)), 1e-12)
        if angle < _TWIN_TOLERANCE:
            return angle, "shifted", k
        if kind.name != "hcp" and abs(angle - 60) < _TWIN_TOLERANCE and cosine > np.cos(np.deg2rad(_TWIN_TOLERANCE)):
            return angle, "twin", k
        found.append((angle, "grain", k))
    return found[0] if found else (0.0, "main", 0)


def _assemble(x: NDArray[np.float64], kind: Prototype, members: list[_Member], bulk: Bulk | None) -> Lattice:
    """Collect the domains, and check what is returned."""
    sites, residual = np.full((len(x), 3), np.nan), np.full((len(x), 3), np.nan)
    domain = np.full(len(x), -1)
    main = members[0].fit.cell
    shell = np.linalg.norm(kind.shells[0] @ main, axis=1)
    bond = float(shell.min())
    domains = []
    for k, m in enumerate(members):
        mine = m.indexed
        sites[mine], residual[mine], domain[mine] = m.sites[mine], m.fit.residual, k
        on = int(np.sum(np.linalg.norm(m.fit.residual, axis=1) < _ON_SITE * bond))
        angle, relation, partner = _relation(m.fit.cell, [e.fit.cell for e in members[:k]], kind)
        parameters = cell_parameters(m.fit.cell, m.fit.covariance[3:, 3:])
        domains.append(
            Domain(m.fit.cell, m.fit.origin, parameters, on, m.fit.scatter, m.affine, angle, relation, partner)
        )
    lattice = Lattice(
        structure=kind.name,
        cell=main,
        origin=members[0].fit.origin,
        parameters=domains[0].parameters,
        sites=sites,
        residual=residual,
        domain=domain,
        on_site=np.nan_to_num(np.linalg.norm(residual, axis=1), nan=np.inf) < _ON_SITE * bond,
        domains=tuple(domains),
        nearest_neighbour=float(shell[shell < 1.1 * bond].mean()),
        bulk=bulk,
    )
    if not np.linalg.det(main) > 0:
        raise ConvergenceError(
            f"the fitted cell is not right-handed (volume {np.linalg.det(main):.3g} Å³); check the atoms"
        )
    return lattice
