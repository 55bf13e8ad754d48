"""Balls of a compound of two elements, cut from its bulk crystal; and particles of any material.

Sites are x = n · cell with n the fractional sites of the prototype's cell (`crystal`), the species of each site one of
the two elements. The centre of the ball is anywhere in the cell, so that the particle has no symmetry.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from single_rs.base.errors import InputError
from single_rs.crystal.material import compound_bulk, elements_of
from single_rs.crystal.prototypes import bulk_reference, prototype
from single_rs.simulate.crystals import Crystal, nanocrystal

__all__ = ["compound_ball", "material_ball"]

FEWEST_BONDS = 2  # of an atom; one with fewer would not stay


CENTRE = (0.13, 0.07, 0.21)  # of the ball, in fractions of the cell: no atom, no axis


def compound_ball(formula: str, diameter: float) -> Crystal:
    """Return a ball of a compound, centred on the mean of its atoms.

    Parameters
    ----------
    formula
        One atom of each element, e.g. ``"CdSe"``, tabulated in `compounds`.
    diameter
        Å.

    Raises
    ------
    InputError
        When the compound is not tabulated.
    """
    bulk, names = bulk_reference(formula), elements_of(formula)
    if bulk is None or len(names) != 2:
        raise InputError(f"formula is {formula!r}; a tabulated compound of two elements such as 'CdSe' is needed")
    kind, cell = prototype(bulk.structure), bulk.cell()
    reach = int(np.ceil(diameter / np.linalg.norm(cell, axis=1).min())) + 1
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    sites = ((steps + kind.motif - np.array(CENTRE)) @ cell).reshape(-1, 3)
    symbols = np.array(names)[np.tile(kind.species, len(steps))]
    keep = np.linalg.norm(sites, axis=1) <= 0.5 * diameter
    sites, symbols = sites[keep], symbols[keep]
    while True:
        bonds = cKDTree(sites).query_ball_point(sites, 1.1 * bulk.nearest, return_length=True) - 1
        if (bonds >= FEWEST_BONDS).all():
            return Crystal(sites - sites.mean(axis=0), symbols)
        sites, symbols = sites[bonds >= FEWEST_BONDS], symbols[bonds >= FEWEST_BONDS]


def material_ball(material: str, diameter: float, seed: int = 0, perfect: bool = False) -> Crystal:
    """Return a particle of an element, a tabulated compound, or an alloy of two elements mixed at random.

    Parameters
    ----------
    material
        Symbol or formula.
    diameter
        Å.
    seed
        Of the shape and the mixing.
    perfect
        A ball without islands, pits and disorder; compounds are always one.
    """
    names = elements_of(material)
    if len(names) == 1:
        second, fraction = None, 0.5
    elif bulk_reference(material) is not None:
        return compound_ball(material, diameter)
    elif (mean := compound_bulk(material)) is None:
        raise InputError(f"material is {material!r}; an element, a tabulated compound or an alloy of metals is needed")
    else:
        from ase.formula import Formula

        shares = Formula(material).count()
        # The lattice is that of the first element: the one that has the alloy's.
        names = tuple(sorted(names, key=lambda e: _structure(e) != mean.structure))
        second, fraction = names[1], shares[names[1]] / (shares[names[0]] + shares[names[1]])
    if perfect:
        made = nanocrystal(names[0], diameter, "sphere", ragged=0.0, disorder=0.0, second=second, fraction=fraction)
    else:
        made = nanocrystal(names[0], diameter, second=second, fraction=fraction, seed=seed)
    return made


def _structure(element: str) -> str:
    bulk = bulk_reference(element)
    return "" if bulk is None else bulk.structure
