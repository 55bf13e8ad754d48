"""What a particle is made of: one element, or a compound of two, and the settings that follow from a compound.

A compound is named by its formula, one atom of each ("CdSe"). Its tabulated crystal (`compounds`) tells the pose search
which lattice to expect, and the refinement which elements to tell apart. The search sees spots, not elements: a
structure of two species has the Bravais lattice, and so the spots, of one of a single species,

    zincblende → diamond,    wurtzite → hcp,    rocksalt → fcc,

with the same lattice constant a.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from single_rs.crystal import Bulk, bulk_reference
from single_rs.errors import InputError

if TYPE_CHECKING:
    from single_rs.config import Config
    from single_rs.orient import OrientConfig

__all__ = ["check_material", "elements_of", "lattice_seed", "with_material"]

# Structure of two species → one of a single species with spots in the same places.
SPOTS_OF = {"zincblende": "diamond", "wurtzite": "hcp", "rocksalt": "fcc"}


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


def lattice_seed(element: str, config: OrientConfig) -> tuple[str, OrientConfig]:
    """Return symbol and settings of the pose search: of a compound, those of the lattice with the same spots."""
    bulk = _compound(element)
    if bulk is None:
        return element, config
    structure = config.structure or SPOTS_OF[bulk.structure]
    constant = config.lattice_constant or bulk.a
    return elements_of(element)[0], replace(config, structure=structure, lattice_constant=constant)


def with_material(element: str, config: Config) -> Config:
    """Return the settings with the elements of a compound told apart, unless others are given."""
    if _compound(element) is None or config.refine.elements:
        return config
    return replace(config, refine=replace(config.refine, elements=elements_of(element)))


def _compound(element: str) -> Bulk | None:
    """Return the bulk of a compound, None for an element."""
    from ase.data import atomic_numbers

    return None if element in atomic_numbers else bulk_reference(element)
