"""Which atoms of a file are the particle: not its ligands, not the solvent, not a second particle.

The metals (and silicon, germanium and their like) are the particle, together with those non-metals that are inside it:
of an element of its compound a tenth or more of the atoms have metal on all sides, as each oxygen of CeO2 in a
tetrahedron of cerium, or half as many atoms as there are of metal have three bonds to it, as sulphur in MoS2; ligands
have metal on one side or none. Atoms are one particle when steps of up to 2
nearest-neighbour distances join them. Of several particles the largest is analysed, and it is said so; nothing is lost:
the other atoms stay in the files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from single_rs.crystal.neighbours import check_positions

__all__ = ["Selection", "select_particle"]

# Elements that bind to a surface or make up a solvent, and that may also be part of a compound.
_NON_METALS = frozenset(["H", "He", "C", "N", "O", "F", "Ne", "P", "S", "Cl", "Ar", "Se", "Br", "Kr", "I", "Xe"])
# Share of an element's atoms that are inside; oxygen of CeO2 with 50 atoms has 0.3, carbon of a CO shell 0.
_INSIDE = 0.1
# Mean direction to the metal atoms about an atom: 0 inside, 0.38 above a hollow of four atoms, 0.58 above one of three.
_ALL_SIDES = 0.3
# A layered compound has no such atom: there half as many as metal atoms have three bonds to metal.
_LAYERED = 0.5
# Bonds, in sums of covalent radii for metal to non-metal, and in nearest-neighbour distances within the particle.
_BOND, _TOUCHING, _JOINED = 1.25, 1.5, 2.0
# Fewer atoms apart from the particle are no second one.
_LEAST = 13


@dataclass(frozen=True)
class Selection:
    """The particle among n atoms.

    Attributes
    ----------
    particle
        (n,) bool.
    ligand
        (n,) bool: non-metals that are not of the compound. What is in neither stands apart or is a further particle.
    notes
        What was left out, one sentence each.
    """

    particle: NDArray[np.bool_]
    ligand: NDArray[np.bool_]
    notes: tuple[str, ...]


def select_particle(positions: ArrayLike, symbols: ArrayLike) -> Selection:
    """Tell the atoms of the (largest) particle from ligands, solvent and other particles.

    Parameters
    ----------
    positions
        (n, 3) Å.
    symbols
        (n,) chemical symbols.
    """
    x, names = check_positions(positions, 1), np.asarray(symbols, dtype=str)
    ligand = _ligands(x, names)
    notes: list[str] = []
    if ligand.any():
        kinds = ", ".join(sorted(set(names[ligand].tolist())))
        notes.append(f"{int(ligand.sum())} atoms of {kinds} are ligands or solvent: kept in the files, not analysed")
    particle = ~ligand
    body = np.flatnonzero(particle)
    if len(body) < 2:
        return Selection(particle, ligand, tuple(notes))
    tree = cKDTree(x[body])
    nearest = float(np.median(tree.query(x[body], k=2)[0][:, 1]))
    i, j = tree.query_pairs(_JOINED * nearest, output_type="ndarray").T
    joined = coo_array((np.ones(len(i)), (i, j)), shape=(len(body), len(body)))
    count, label = connected_components(joined, directed=False)
    if count > 1:
        sizes = np.bincount(label)
        main = int(np.argmax(sizes))
        particle[body[label != main]] = False
        others = [k for k in range(count) if k != main and sizes[k] >= _LEAST]
        if others:
            away = np.linalg.norm(x[body[label == others[0]]].mean(axis=0) - x[body[label == main]].mean(axis=0))
            notes.append(
                f"{1 + len(others)} particles: the largest, {sizes[main]} of {len(x)} atoms, is analysed; another has "
                f"{sizes[others[0]]} atoms, {away:.0f} Å away"
            )
        stray = len(body) - sizes[main] - int(sizes[others].sum())
        if stray:
            notes.append(f"{stray} atoms stand apart from the particle: kept in the files, not analysed")
    return Selection(particle, ligand, tuple(notes))


def _ligands(x: NDArray[np.float64], names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Non-metals that are not of the compound, (n,) bool; none where all atoms are non-metals."""
    from ase.data import atomic_numbers, covalent_radii

    outside = np.isin(names, list(_NON_METALS))
    if not outside.any() or outside.all():
        return np.zeros(len(x), dtype=bool)
    radius = np.array([covalent_radii[atomic_numbers[n]] for n in names])
    metal = np.flatnonzero(~outside)
    tree = cKDTree(x[metal])
    ligand = outside.copy()
    for element in sorted(set(names[outside].tolist())):
        mine = np.flatnonzero(names == element)
        contact = radius[mine[0]] + radius[metal].max()
        near = tree.query_ball_point(x[mine], _BOND * contact)
        bonded = tree.query(x[mine])[0] < _TOUCHING * contact
        inside = np.zeros(len(mine), dtype=bool)
        for k, found in enumerate(near):
            ray = x[metal[found]] - x[mine[k]]
            if len(found) >= 3:
                mean = (ray / np.maximum(np.linalg.norm(ray, axis=1), 1e-9)[:, None]).mean(axis=0)
                inside[k] = np.linalg.norm(mean) < _ALL_SIDES
        # Atoms of the compound's own element that touch no metal belong to a molecule.
        three = np.array([len(found) >= 3 for found in near])
        if np.mean(inside) >= _INSIDE or three.sum() >= _LAYERED * len(metal):
            ligand[mine[bonded]] = False
    return ligand
