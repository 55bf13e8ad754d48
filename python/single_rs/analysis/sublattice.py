"""The close-packed sublattice of diamond, zincblende, wurtzite, rocksalt and fluorite, on which structure is analysed.

Templates of close packings fit one of the two sublattices of these structures and none of all atoms together: on it
zincblende and diamond are fcc, wurtzite is hcp, and twins, stacking faults and facets are those of close packings. Of
compounds it is the sublattice of the first element of the fitted lattice, also across twins, where sites of one
lattice end; of diamond it is one of the two equal ones, which across a twin is not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain.kernel import sublattices
from single_rs.crystal.prototypes import prototype
from single_rs.records import Atoms

__all__ = ["close_packed_sublattice"]

# Structures of two sublattices whose first is a close packing, cubic or hexagonal.
_PACKED = ("diamond", "zincblende", "wurtzite", "rocksalt", "fluorite")
_LEAST = 13  # atoms of a sublattice: one with a whole shell


def close_packed_sublattice(atoms: Atoms, lattice: Lattice | None) -> NDArray[np.bool_] | None:
    """Atoms (n,) of the close-packed sublattice; None where all atoms are one, or no lattice is known.

    Parameters
    ----------
    atoms
        Those that the lattice was fitted to.
    lattice
        Result of `fit_lattice`.
    """
    if lattice is None or lattice.structure not in _PACKED:
        return None
    symbols = np.asarray(atoms.symbols, dtype=str)
    side = sublattices(lattice, prototype(lattice.structure))
    if len(set(symbols.tolist())) > 1:
        first = symbols[side == 0]
        names, counts = np.unique(first, return_counts=True)
        chosen = symbols == names[counts.argmax()] if len(first) else np.zeros(len(symbols), dtype=bool)
    else:
        chosen = side == 0
    return chosen if chosen.sum() >= _LEAST else None
