"""Best-fit crystal lattice of a particle: cell with errors, the site of each atom, domains, expansion against the bulk.

Modules in the order of use: `indexing` gives every atom its site, `affine` fits the cell to the sites, `domains` finds
and names the domains, `fit` calls them; `files` is lattice.json, `size` the cell of many particles against their size.
Positions are (n, 3) in Å in any frame, cells have a, b, c in rows, sites are fractional row vectors of the
conventional cell.
"""

from __future__ import annotations

from single_rs.analysis.lattice.fit import SMALLEST_DOMAIN, Domain, Lattice, check_atoms, fit_lattice
from single_rs.analysis.lattice.size import CellAgainstSize, cell_against_size, volume_diameter

__all__ = [
    "SMALLEST_DOMAIN",
    "CellAgainstSize",
    "Domain",
    "Lattice",
    "cell_against_size",
    "check_atoms",
    "fit_lattice",
    "volume_diameter",
]
