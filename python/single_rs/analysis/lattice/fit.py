"""Best-fit crystal lattice of a particle in any orientation: cell, sites, domains, expansion against the bulk.

Convention: x = origin + n · cell, with rows a, b, c of the conventional cell (Å, particle frame) and fractional sites n
of fcc, bcc, hcp, diamond, rocksalt, zincblende, wurtzite or fluorite. Neighbour bonds give a seed, sites grow outwards
from it (`indexing`), and a robust affine fit gives the cell with its covariance (`affine`). Of the equivalent settings
of the axes the right-handed one nearest to the axes of the particle frame is chosen (`domains`). Without a stated
structure the one with the largest gain is taken,

    gain = Σ_sites [ln v − (3/2) ln 2πs² − |r|²/2s²] − (k/2) ln n,

the log likelihood against atoms spread evenly (v volume per site, s the scatter, k = 12 parameters): half a BIC
(G. Schwarz, Ann. Statist. 6, 461 (1978), doi:10.1214/aos/1176344136). Two species tell zincblende from diamond, the two
sublattices from each other, and the polar direction; positions alone give "diamond" for both. Further domains (twins,
parts beyond a stacking fault, grains) are searched among the atoms that the first does not explain.

Any packing of spheres gives a fit of twelve parameters some sites, so a lattice is returned only with evidence for it
(`evidence`). Decahedra and icosahedra are recognised by aligning their sites with the atoms (`forms`): of their small
parts alone, the layers of hcp across the twin planes would hold the most atoms.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.lattice.affine import cell_parameters
from single_rs.analysis.lattice.blocks import with_block_errors
from single_rs.analysis.lattice.domains import (
    ON_SITE,
    SMALLEST_DOMAIN,
    Member,
    canonical,
    find_domain,
    gain,
    relate,
    relax_internal,
    site_species,
)
from single_rs.analysis.lattice.evidence import FURTHER_GAIN, doubt_of_crystal, doubt_of_structure
from single_rs.analysis.lattice.forms import Form, find_form
from single_rs.analysis.lattice.result import Domain, Lattice
from single_rs.analysis.lattice.shared import with_shared_errors
from single_rs.analysis.structure.bond_order import bond_order
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.crystal.compounds import binary_formula, compound_formula
from single_rs.crystal.neighbours import check_positions, check_sigma, neighbour_cutoff
from single_rs.crystal.prototypes import STRUCTURES, Bulk, Prototype, bulk_reference, prototype

__all__ = ["SMALLEST_DOMAIN", "Domain", "Lattice", "check_atoms", "fit_lattice"]

_MAX_DOMAINS = 8
# Structures whose main domain gains less than this share of the best one's are out of the question.
_CLEAR = 0.5
# Of nearly equal gains that of the bulk's structure is taken: a twin of 58 atoms, 10 of them beyond the plane, is fcc
# with 48 on its sites, and hcp with 48.
_TIE = 0.93
# Two species are ordered on two sublattices when so many atoms are on the right one; half are by chance.
_ORDERED = 0.75
# Tried where the species are not known to be one: zincblende is diamond as long as they are not looked at.
_GEOMETRIES = (*STRUCTURES, "rocksalt", "wurtzite", "fluorite")
# From so many atoms on, a structure that holds so large a share of them, sheared by less than any two structures differ
# (fcc and bcc by √2) and within so small a share of the bond, is the one.
_LARGE, _WHOLE, _UNDISTORTED, _SHARP = 2000, 0.9, 1.1, 0.1
# A main domain with so many of the atoms leaves no room for a multiply twinned form.
_SINGLE = 0.75
# Nats that the largest part of such a form must gain: 16 atoms with 10 pm of noise, 25 with 20 pm.
_PART_GAIN = 40.0


def fit_lattice(
    positions: ArrayLike,
    structure: str | None = None,
    sigma: ArrayLike | None = None,
    element: str | None = None,
    symbols: ArrayLike | None = None,
    modes: ArrayLike | None = None,
) -> Lattice:
    """Fit the crystal lattice of a particle without any prior orientation.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame; at least 13 atoms.
    structure
        "fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende", "wurtzite" or "fluorite"; None: the one that explains
        the atoms best. Of one element (`element` or all `symbols` alike) only the first four are tried.
    sigma
        (n,) Å per axis, standard errors of the positions, used as weights together with the scatter that they leave
        unexplained. None: all atoms alike.
    element
        Chemical symbol or formula ("PbS"), for the expansion against the bulk (`bulk_reference`). None: that of the
        symbols, when they are one element or two that are ordered.
    symbols
        (n,) chemical symbols. Two species tell the sublattices apart; more are not used.
    modes
        (m, n, 3) Å, errors that the atoms share (`Atoms.modes`); `sigma` is then without them.

    Returns
    -------
    Lattice
        The axes are right-handed and nearest to those of the positions' frame. Errors come from the scatter about the
        fit (`affine`), from how its regions differ (`blocks`), and from what the atoms share (`shared`).

    Raises
    ------
    InputError
        Wrong shapes, unknown structure or element.
    ConvergenceError
        No lattice of the given kind holds at least 13 atoms, or there is no evidence that the atoms are a crystal of
        it; the message gives the numbers.

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
    s = None if sigma is None else check_sigma(sigma, len(x))
    common = None if modes is None else np.asarray(modes, dtype=np.float64)
    if common is not None and common.shape[1:] != x.shape:
        raise InputError(f"modes have shape {common.shape}; (m, {len(x)}, 3) is needed, Å of each atom")
    names = None if symbols is None else np.asarray(symbols, dtype=str)
    if names is not None and names.shape != (len(x),):
        raise InputError(f"symbols have shape {names.shape}; ({len(x)},) is needed, one for each position")
    pure, pair = _composition(element, names)
    if element is not None:
        bulk_reference(element)  # A wrong element is refused before the work, not after.
    kinds = [prototype(k) for k in ((structure,) if structure else STRUCTURES if pure else _GEOMETRIES)]
    nearest, cutoff = neighbour_cutoff(x)
    everyone = np.ones(len(x), dtype=bool)
    found = []
    for kind in kinds:
        found.append((kind, find_domain(x, s, kind, nearest, everyone, None)))
        if _settled(found[-1][1], kind, nearest, len(x)):
            break
    held = [(gain(member, kind, len(x)), kind, member) for kind, member in found if member is not None]
    if not held:
        form = find_form(x, s, nearest, cutoff) if structure in (None, "fcc") else None
        if form is not None:
            raise ConvergenceError(_no_parts(form, len(x)))
        raise ConvergenceError(
            f"no lattice ({structure or ', '.join(k.name for k in kinds)}) holds {SMALLEST_DOMAIN} of the {len(x)} "
            f"atoms (nearest neighbours {nearest:.2f} Å); check the tracing or name the structure"
        )
    best = max(h[0] for h in held)
    # In a crystal that a fault or a twin divides, the layers of another lattice may hold as many atoms as one part of
    # it; with all parts counted the true one holds more.
    close = [h for h in held if h[0] > _CLEAR * best]
    if len(close) > 1:
        close = [(_total_gain(_parts(x, s, k, nearest, canonical(m, k, x)), k), k, m) for _, k, m in close]
    total, kind, main = max(close, key=lambda h: h[0])
    usual = _usual(element, names)
    for h in close:
        if h[1].name == usual and h[0] > _TIE * total:
            _, kind, main = h
    form = _form(x, s, (nearest, cutoff), structure, main, total)
    if form is None:
        doubt = doubt_of_crystal(x, main, kind, nearest, bond_order(x, cutoff))
        if doubt is not None:
            raise ConvergenceError(f"no crystal: {doubt}")
    else:
        parts = next((m for _, k, m in held if k.name == "fcc"), None)
        kind = prototype("fcc")
        if parts is None or gain(parts, kind, len(x)) < _PART_GAIN:
            raise ConvergenceError(_no_parts(form, len(x)))
        main = parts
    if kind.name == "diamond" and structure is None and not pure:
        # Diamond with two species, known from the symbols or from the formula alone, is zincblende.
        binary = prototype("zincblende")
        known = element is not None and bulk_reference(element, binary.name) is not None
        kind = (
            binary
            if known or (pair and names is not None and _order(main, binary, names == pair[0]) > _ORDERED)
            else kind
        )
    first = names == pair[0] if names is not None and pair is not None and kind.species.max() > 0 else None
    if first is not None and _order(main, kind, first) < _ORDERED:
        first = None
    members = _parts(x, s, kind, nearest, canonical(main, kind, x, first), first)
    doubt = doubt_of_structure(x, members, kind, nearest, names)
    if doubt is not None:
        raise ConvergenceError(f"no crystal: {doubt}")
    wrong = np.nan if first is None else 1 - _order(members[0], kind, first)
    if first is not None and pair is not None and len(kind.exchanges[0]) == 0 and _reversed(members[0], kind, first):
        pair = pair[1], pair[0]  # antifluorite: the element named first is on the second sublattice
    members = [with_shared_errors(relax_internal(m, kind, x, s), x, s, common) for m in members]
    independent = cell_parameters(members[0].fit.cell, members[0].fit.covariance[3:, 3:])
    members[0] = with_block_errors(members[0], kind, x, s)
    compound = compound_formula(*pair, kind.name) if pair is not None and kind.name not in STRUCTURES else None
    alone = str(names[0]) if names is not None and pure else None
    formula = element or compound or alone
    bulk = None if formula is None else bulk_reference(formula, kind.name)
    species = pair if first is not None and pair is not None else ()
    lattice = _assemble(x, kind, members, bulk)
    return dataclasses.replace(
        lattice, species=species, antisites=wrong, form="" if form is None else form.name, independent=independent
    )


def _settled(member: Member | None, kind: Prototype, nearest: float, count: int) -> bool:
    """Whether one domain explains a large particle so well that no other structure needs a try."""
    if member is None or count < _LARGE or member.indexed.sum() < _WHOLE * count:
        return False
    stretch = np.linalg.svd(np.linalg.inv(kind.cell) @ member.fit.cell, compute_uv=False)
    return bool(stretch[0] / stretch[2] < _UNDISTORTED and member.fit.scatter < _SHARP * nearest)


def check_atoms(positions: ArrayLike, lattice: Lattice) -> NDArray[np.float64]:
    """Return positions (n, 3), or raise `InputError` if the lattice was fitted to another number of atoms."""
    x = check_positions(positions)
    if len(x) != len(lattice.sites):
        raise InputError(
            f"positions hold {len(x)} atoms, the lattice {len(lattice.sites)}; fit the lattice to these atoms"
        )
    return x


def _composition(element: str | None, names: NDArray[np.str_] | None) -> tuple[bool, tuple[str, str] | None]:
    """Whether the atoms are of one element, and the two elements in the order of the formula when they are of two."""
    if names is None:
        from ase.data import atomic_numbers

        return element in atomic_numbers, None
    kinds = sorted(set(names.tolist()))
    return len(kinds) == 1, binary_formula(kinds[0], kinds[1]) if len(kinds) == 2 else None


def _order(member: Member, kind: Prototype, first: NDArray[np.bool_]) -> float:
    """Fraction of a domain's atoms on the sublattice of their species, the better of the two assignments."""
    known = member.indexed
    right = float(np.mean((site_species(member.sites[known], kind) == 0) == first[known]))
    return max(right, 1 - right)


def _no_parts(form: Form, count: int) -> str:
    """Say that a multiply twinned form was found, and no lattice of its parts."""
    return (
        f"no lattice: {form.atoms} of {count} atoms are on the sites of one {form.name}, whose parts are too small or "
        "too noisy for a lattice of their own"
    )


def _usual(element: str | None, names: NDArray[np.str_] | None) -> str | None:
    """Structure of the bulk of what the atoms are said to be, None where not known."""
    species = element or (str(names[0]) if names is not None and len(set(names.tolist())) == 1 else None)
    bulk = None if species is None else bulk_reference(species)
    return None if bulk is None else bulk.structure


def _reversed(member: Member, kind: Prototype, first: NDArray[np.bool_]) -> bool:
    """Whether most atoms of the first species are on the second sublattice."""
    known = member.indexed
    return bool(np.mean((site_species(member.sites[known], kind) == 0) == first[known]) < 0.5)


def _form(
    x: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    shell: tuple[float, float],
    structure: str | None,
    main: Member,
    total: float,
) -> Form | None:
    """Return the multiply twinned form that explains the atoms better than the best lattice and its parts do."""
    on = np.linalg.norm(main.fit.residual, axis=1) < ON_SITE * shell[0]
    if structure not in (None, "fcc") or on.sum() > _SINGLE * len(x):
        return None
    form = find_form(x, sigma, *shell)
    return form if form is not None and form.gain > total else None


def _total_gain(members: list[Member], kind: Prototype) -> float:
    """Gain of all domains together, less what it takes to say which of them each atom is in."""
    count = len(members[0].sites)
    shares = [int(m.indexed.sum()) for m in members]
    return sum(gain(m, kind, count) + n * float(np.log(n / count)) for m, n in zip(members, shares, strict=True))


def _parts(
    x: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    kind: Prototype,
    nearest: float,
    main: Member,
    first: NDArray[np.bool_] | None = None,
) -> list[Member]:
    """Return the main domain and those that are found among the atoms it leaves, each of the main one's shape."""
    members = [main]
    free = ~main.indexed
    while len(members) < _MAX_DOMAINS and free.sum() >= SMALLEST_DOMAIN:
        further = find_domain(x, sigma, kind, nearest, free, main.fit.cell)
        if further is None or gain(further, kind, len(x)) < FURTHER_GAIN:
            break
        members.append(canonical(further, kind, x, first))
        free &= ~further.indexed
    return members


def _assemble(x: NDArray[np.float64], kind: Prototype, members: list[Member], bulk: Bulk | None) -> Lattice:
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
        on = int(np.sum(np.linalg.norm(m.fit.residual, axis=1) < ON_SITE * bond))
        angle, relation, partner = relate(m.fit.cell, [e.fit.cell for e in members[:k]], kind)
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
        on_site=np.nan_to_num(np.linalg.norm(residual, axis=1), nan=np.inf) < ON_SITE * bond,
        domains=tuple(domains),
        nearest_neighbour=float(shell[shell < 1.1 * bond].mean()),
        bulk=bulk,
        u=members[0].u,
        u_err=members[0].u_err,
    )
    if not np.linalg.det(main) > 0:
        raise ConvergenceError(
            f"the fitted cell is not right-handed (volume {np.linalg.det(main):.3g} Å³); check the atoms"
        )
    return lattice
