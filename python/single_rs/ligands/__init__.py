"""Ligand models: pyrrolidone groups of PVP on the facets of a particle or on slabs, and what they bind with.

`molecules` holds the molecules and their source, `sites` finds the atoms of facets, `place` puts the ligands there
on a particle and `slabs` on flat surfaces, `files` writes them, and `binding` reads finished runs back. Å, in the frame
of the particle.
"""

from __future__ import annotations

from single_rs.ligands.binding import BindingRow, ChargeDifference, charge_difference, read_binding, write_binding
from single_rs.ligands.files import read_ligands, relaxed_model, write_ligands
from single_rs.ligands.molecules import LIGANDS, Molecule, molecule
from single_rs.ligands.place import LigandModel, LigandPlace, place_ligands
from single_rs.ligands.sites import Site, facet_family, facet_sites, miller
from single_rs.ligands.slabs import PLANES, place_on_slab, surface_slab

__all__ = [
    "LIGANDS",
    "PLANES",
    "BindingRow",
    "ChargeDifference",
    "LigandModel",
    "LigandPlace",
    "Molecule",
    "Site",
    "charge_difference",
    "facet_family",
    "facet_sites",
    "miller",
    "molecule",
    "place_ligands",
    "place_on_slab",
    "read_binding",
    "read_ligands",
    "relaxed_model",
    "surface_slab",
    "write_binding",
    "write_ligands",
]
