"""Atoms from a density map: which peaks are atoms, where they are, and how well that is known.

Convention: the map is (z, y, x), its centre voxel is N//2 on every axis; atom positions are (x, y, z) in Å from
that centre, in the frame of the map. Pixels are cubes of `pixel_size` Å.

Model of the map, with the atoms a at x_a:

    map(r) ≈ Σ_a h_a p(|r − x_a|) + b_a,    p(r) ≈ exp(−r² / 2 w_a²) near its centre

where p, the image of one atom with its truncation rings, is measured from the map itself (`profile`), the neighbours
of each atom are removed with it, and what is left of each atom is fitted with its own height, width and background
(`gaussian`). A peak is an atom when its height belongs to the atoms and not to the false peaks of the residual map, it
has neighbours as in a solid, and both half maps show it (`select`). No lattice is assumed, nothing is done by hand.

The procedure follows Xu et al., Nature Materials 14, 1099 (2015), doi:10.1038/nmat4426 (peaks, then joint Gaussian
fits); selection and errors are our own.
"""

from __future__ import annotations

from single_rs.atoms.config import TraceConfig
from single_rs.atoms.trace import trace_atoms

__all__ = ["TraceConfig", "trace_atoms"]
