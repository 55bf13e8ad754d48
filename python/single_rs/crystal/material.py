"""What a particle is made of: one element, an alloy or a compound, and the settings that follow.

A material is named by its formula ("CdSe", "CeO2", "PtFe", "Pt3Co") or by a list of elements ("Pt,Fe"). The tabulated
crystal of a compound (`compounds`) tells the pose search which lattice to expect, and the refinement which elements to
tell apart. The search sees spots, not elements: a structure of two species has the Bravais lattice, and so the spots,
of one of a single species,

    zincblende → diamond,    wurtzite → hcp,    rocksalt, fluorite → fcc,

with the same lattice constant a. Elements whose compound is not tabulated are taken for an alloy: the structure of most
of its atoms (fcc where several are equal), with the mean of their atomic volumes, v = Σ x_e v_e (Zen's law; Vegard's,
on lattice constants, is the same to first order). Alloys are off that by up to 1 %, which the search finds by itself.

Reference: A. R. Denton and N. W. Ashcroft, Phys. Rev. A 43, 3161 (1991), doi:10.1103/PhysRevA.43.3161 (on both laws).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from single_rs.base.errors import InputError
from single_rs.crystal.prototypes import STRUCTURES, Bulk, bulk_reference, prototype

__all__ = [
    "alloy_bulk",
    "check_material",
    "compound_bulk",
    "elements_of",
]

# Structure of two species → one of a single species with spots in the same places.
SPOTS_OF = {"zincblende": "diamond", "wurtzite": "hcp", "rocksalt": "fcc", "fluorite": "fcc"}
# What alloys of known constants differ by from the mean of their elements.
_ALLOY_ERROR = 0.01


def check_material(element: str) -> str:
    """Return symbol or formula of a material, elements of a list joined, or raise `InputError`.

    Accepted are chemical symbols, formulas of tabulated compounds, and alloys of elements whose bulk is tabulated.
    """
    from gemmi import Element

    given = "".join(element.replace(",", " ").split())
    known = Element(given)
    if known.atomic_number and known.name == given:
        return given
    try:
        bulk = compound_bulk(given)
    except InputError:
        hint = f"; did you mean {known.name}?" if known.atomic_number else "; give a symbol, e.g. --element Pt"
        raise InputError(f"element is {element!r}{hint}") from None
    if bulk is None:
        raise InputError(
            f"element is {element!r}, a compound whose crystal is not tabulated; give one of its elements, and "
            "orient.structure, orient.lattice_constant (Å), trace.neighbour_distance (Å) and refine.elements"
        )
    return given


def elements_of(element: str) -> tuple[str, ...]:
    """Return the elements of a symbol or of a formula, in its order."""
    from ase.data import atomic_numbers
    from ase.formula import Formula

    return (element,) if element in atomic_numbers else tuple(Formula(element).count())


def compound_bulk(element: str) -> Bulk | None:
    """Return the bulk of a compound or an alloy; None for an element, or where it is not known."""
    from ase.data import atomic_numbers

    return None if element in atomic_numbers else bulk_reference(element) or alloy_bulk(element)


def alloy_bulk(element: str) -> Bulk | None:
    """Return the mean crystal of a formula's elements by Zen's law; None where the bulk of one is not known."""
    from ase.formula import Formula

    shares = Formula(element).count()
    parts = {name: bulk_reference(name) for name in shares}
    structures: dict[str, int] = {}
    volume = 0.0
    for name, part in parts.items():
        if part is None or part.structure == "diamond":  # no metal
            return None
        structures[part.structure] = structures.get(part.structure, 0) + shares[name]
        sites = len(prototype(part.structure).motif)
        volume += shares[name] * float(np.linalg.det(part.cell())) / sites / sum(shares.values())
    structure = max(STRUCTURES, key=lambda s: structures.get(s, 0))
    kind = prototype(structure)
    nearest = float(np.cbrt(volume / kind.site_volume))
    a, _, c = nearest * np.linalg.norm(kind.cell, axis=1)
    mean = Bulk(element, structure, float(a), float(c), nearest, "mean atomic volume of the elements (Zen's law)")
    return replace(mean, error=_ALLOY_ERROR * float(a))
