"""What a particle is made of: one element, or a compound of two, and the settings that follow from a compound.

A compound is named by its formula, one atom of each ("CdSe"). Its tabulated crystal (`compounds`) tells the pose search
which lattice to expect, and the refinement which elements to tell apart. The search sees spots, not elements: a
structure of two species has the Bravais lattice, and so the spots, of one of a single species,

    zincblende → diamond,    wurtzite → hcp,    rocksalt → fcc,

with the same lattice constant a.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from single_rs.base.errors import InputError
from single_rs.crystal.prototypes import Bulk, bulk_reference

if TYPE_CHECKING:
    pass

__all__ = [
    "check_material",
    "elements_of",
]

# Structure of two species → one of a single species with spots in the same places.
SPOTS_OF = {"zincblende": "diamond", "wurtzite": "hcp", "rocksalt": "fcc", "fluorite": "fcc"}


def check_material(element: str) -> None:
    """Raise `InputError` when `element` is neither a chemical symbol nor the formula of a tabulated compound."""
    from gemmi import Element

    known = Element(element)
    if known.atomic_number and known.name == element:
        return
    try:
        bulk = bulk_reference(element)
    except InputError:
        hint = f"; did you mean {known.name}?" if known.atomic_number else "; give a symbol, e.g. --element Pt"
        raise InputError(f"element is {element!r}{hint}") from None
    if bulk is None:
        raise InputError(
            f"element is {element!r}, a compound whose crystal is not tabulated; give one of its elements, and "
            "orient.structure, orient.lattice_constant (Å), trace.neighbour_distance (Å) and refine.elements"
        )


def elements_of(element: str) -> tuple[str, ...]:
    """Return the elements of a symbol or of a formula, in its order."""
    from ase.data import atomic_numbers
    from ase.formula import Formula

    return (element,) if element in atomic_numbers else tuple(Formula(element).count())


def compound_bulk(element: str) -> Bulk | None:
    """Return the bulk of a compound, None for an element."""
    from ase.data import atomic_numbers

    return None if element in atomic_numbers else bulk_reference(element)
