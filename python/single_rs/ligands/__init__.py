"""Ligand models: pyrrolidone groups of PVP on the facets of a particle, to start calculations of their binding from.

`molecules` holds the molecules and their source, `sites` finds the atoms of facets, `place` puts the ligands there,
`files` writes them. Å, in the frame of the particle.
"""

from __future__ import annotations

from single_rs.ligands.files import write_ligands
from single_rs.ligands.molecules import LIGANDS, Molecule, molecule
from single_rs.ligands.place import LigandModel, LigandPlace, place_ligands
from single_rs.ligands.sites import Site, facet_family, facet_sites, miller

__all__ = [
    "LIGANDS",
    "LigandModel",
    "LigandPlace",
    "Molecule",
    "Site",
    "facet_family",
    "facet_sites",
    "miller",
    "molecule",
    "place_ligands",
    "write_ligands",
]
