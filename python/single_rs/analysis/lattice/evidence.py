"""Whether a lattice fit is evidence of a crystal, or what any packing of spheres gives to a fit of twelve parameters.

A domain of n_d atoms among n gains G nats over atoms spread evenly (`domains.gain`), scatters by s about its sites and
has the share c of its bonds coherent (`structure.bond_order`). It is a crystal when

    G ≥ min(1.7 n, 120),      s ≤ 0.1 bond lengths (0.13 with 70 % of all atoms on sites),      c ≥ 0.42.

The limits were measured. Null: 70 random packings of 30 to 1,000 spheres (packed to 0.62 and 0.55 of space, with 0.15 Å
of noise, of one and of two elements), 25 minima of a Morse potential from random starts, and balls of a measured
amorphous tantalum film. Packings: G ≤ 53, and c ≤ 0.37 where G > 40; Morse: G ≤ 94, c ≤ 0.41 of 100 atoms or more.
Crystals: 7 structures of 30 to 300 atoms with 20 pm of noise per axis: G ≥ 68 at 30, 108 at 45 and 149 at 60 atoms,
s ≤ 0.095, c ≥ 0.46 (rocksalt of 45 atoms; 0.6 of all others). So a fourth of a particle of 200 atoms is seen, at this
noise, and a nucleus of 20 clean atoms in a large one. A further domain has its shape from the first, and needs less.

A lattice whose sites are empty, or whose atoms have others between them, is another structure than it says. Fluorite
has the sites of bcc, a fourth of them empty, perovskite those of rocksalt, spinel those of a small bcc lattice. Sites
count as empty between two occupied ones, n and n + 2t with t a short translation of the lattice: a surface has none, a
crystal with 2 % of vacancies 2 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.lattice.domains import ON_SITE, Member, gain, site_species
from single_rs.analysis.lattice.indexing import PARTS
from single_rs.analysis.structure.bond_order import BondOrder
from single_rs.crystal.prototypes import Prototype

__all__ = ["FURTHER_GAIN", "doubt_of_crystal", "doubt_of_structure", "empty_share"]

# Nats, see the module: per atom of a small particle, and of any.
_GAIN_PER_ATOM, _GAIN = 1.7, 120.0
# Bond lengths: of a part of the atoms, and where it is most of them, as in a disordered particle.
_SCATTER, _SCATTER_OF_MOST, _MOST = 0.10, 0.13, 0.7
_COHERENCE = 0.42
# A further domain is turned and shifted only, and gained up to 15 nats in packings.
FURTHER_GAIN = 25.0
# Fluorite as bcc, perovskite as rocksalt, spinel as bcc: 20 to 60 %; noisy and disordered crystals stay below 5 %.
_EMPTY = 0.12
_TRANSLATION = 1.65  # bond lengths: the shortest of diamond is 1.63, as is c of hcp
# Atoms off the lattice in the midst of it, to those on it: one in eight of magnetite as rocksalt, none at a surface.
_BETWEEN = 0.1
_ALL_SIDES = 0.35  # a flat surface has 0.6, an interstice 0
# Elements on the sublattice where most of them are; half are by chance.
_ALTERNATE = 0.75
# A particle with less of its atoms in crystal is called none, with a nucleus.
_LEAST_SHARE = 0.15
# Fewer sites that could be empty say nothing.
_LEAST_SITES = 20


def doubt_of_crystal(
    x: NDArray[np.float64], member: Member, kind: Prototype, nearest: float, order: BondOrder
) -> str | None:
    """Why the main domain is no crystal of its kind, None where it is one.

    Parameters
    ----------
    x
        (n, 3) Å, all atoms.
    member, kind
        The main domain and its prototype.
    nearest
        Nearest-neighbour distance, Å.
    order
        Bond order of all atoms.
    """
    count, held = len(x), member.indexed
    found, scatter = gain(member, kind, count), member.fit.scatter / nearest
    coherence = float(np.nanmean(order.coherence[held]))
    needed = min(_GAIN_PER_ATOM * count, _GAIN)
    on = np.sum(np.linalg.norm(member.fit.residual, axis=1) < ON_SITE * nearest)
    most = _SCATTER_OF_MOST if on >= _MOST * count else _SCATTER
    if found >= needed and scatter <= most and coherence < _COHERENCE:
        return (
            f"the structure is none of the list: {kind.name} explains {int(held.sum())} of {count} atoms, with a "
            f"scatter of {scatter:.2f} bond lengths, but only {100 * coherence:.0f} % of their bonds are coherent"
        )
    if found < needed or scatter > most:
        return (
            f"{kind.name} explains {int(held.sum())} of {count} atoms, no better than it explains random packings "
            f"(gain {found:.0f} nats, {needed:.0f} are needed; scatter {scatter:.2f} bond lengths, at most "
            f"{most}; coherent bonds {coherence:.2f}, at least {_COHERENCE})"
        )
    return None


def doubt_of_structure(
    x: NDArray[np.float64], members: list[Member], kind: Prototype, nearest: float, names: NDArray[np.str_] | None
) -> str | None:
    """Why the atoms have another structure than that of the prototype though they are on its sites, or None.

    Parameters
    ----------
    x, nearest
        (n, 3) Å, and nearest-neighbour distance, Å.
    members, kind
        The domains, and their prototype.
    names
        (n,) chemical symbols, None when not known.
    """
    held = np.any([m.indexed for m in members], axis=0)
    if held.sum() < _LEAST_SHARE * len(x):
        return f"only {int(held.sum())} of {len(x)} atoms are in crystal ({kind.name})"
    empty = empty_share(members[0], kind)
    if empty > _EMPTY:
        return (
            f"the structure is none of the list: its atoms are on sites of {kind.name}, but {100 * empty:.0f} % of the "
            "sites between them are empty"
        )
    among = _between(x, members[0].indexed, held, nearest)
    if among > _BETWEEN * members[0].indexed.sum():
        return (
            f"the structure is none of the list: {among} atoms stand between the {int(held.sum())} that are on sites "
            f"of {kind.name}"
        )
    if names is not None and kind.species.max() > 0:
        mine = members[0].indexed
        species, which = site_species(members[0].sites[mine], kind), names[mine]
        right = sum(int(max(np.sum(species[which == e] == 0), np.sum(species[which == e] == 1))) for e in set(which))
        if right < _ALTERNATE * mine.sum():
            return (
                f"the structure is none of the list: the elements do not alternate on the sites of {kind.name} as they "
                f"do in it ({100 * right / mine.sum():.0f} % are where they belong)"
            )
    return None


def empty_share(member: Member, kind: Prototype) -> float:
    """Share of the sites between two occupied ones, a short translation to either side, that are empty."""
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    moves = (steps + kind.motif[kind.sublattice == 0] - kind.motif[0]).reshape(-1, 3)
    length = np.linalg.norm(moves @ kind.cell, axis=1)
    moves = np.rint(PARTS * moves[(length > 0.1) & (length < _TRANSLATION)]).astype(np.int64)
    sites = np.rint(PARTS * member.sites[member.indexed]).astype(np.int64)
    # One whole number for each site, with room for two translations to all sides.
    low, room = sites.min(axis=0) - 4 * PARTS, np.ptp(sites, axis=0) + 8 * PARTS
    weight = np.array([room[1] * room[2], room[2], 1])
    keys = np.sort((sites - low) @ weight)
    own = (sites - low) @ weight

    def occupied(at: NDArray[np.int64]) -> NDArray[np.bool_]:
        found = np.clip(np.searchsorted(keys, at), 0, len(keys) - 1)
        return np.asarray(keys[found] == at)

    between = empty = 0
    for move in moves @ weight:
        beyond = occupied(own + 2 * move)
        between += int(beyond.sum())
        empty += int((beyond & ~occupied(own + move)).sum())
    return empty / between if between >= _LEAST_SITES else 0.0


def _between(x: NDArray[np.float64], main: NDArray[np.bool_], held: NDArray[np.bool_], nearest: float) -> int:
    """Atoms of no domain with the main one on all sides: the mean direction to its six nearest atoms is short."""
    off = np.flatnonzero(~held)
    if len(off) == 0:
        return 0
    tree = cKDTree(x[main])
    distance, index = tree.query(x[off], k=min(6, tree.n))
    ray = (tree.data[index] - x[off][:, None]) / np.maximum(distance, 1e-9)[..., None]
    sided = np.linalg.norm(ray.mean(axis=1), axis=1)
    return int(np.sum((sided < _ALL_SIDES) & (distance.max(axis=1) < 1.5 * nearest)))
