"""Molecules that stand for the ligands of a particle: the pyrrolidone groups of polyvinylpyrrolidone (PVP).

`nep`, N-ethyl-2-pyrrolidone, is the repeating unit of PVP with its two chain bonds closed by hydrogen; `nvp`,
N-vinyl-2-pyrrolidone, is the monomer. Positions are in Å with the oxygen, which binds to the metal, at the origin.

Source: conformers of least energy of 20 (RDKit 2026.09, MMFF94) relaxed with GFN2-xTB (xtb 6.5.1, gradient below 1e-4
Hartree/Bohr), C. Bannwarth et al., J. Chem. Theory Comput. 15, 1652 (2019), doi:10.1021/acs.jctc.8b01176. Bond lengths
are those of the tables of F. H. Allen et al., J. Chem. Soc. Perkin Trans. 2, S1 (1987), doi:10.1039/P298700000S1,
within 0.03 Å.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError

__all__ = ["LIGANDS", "Molecule", "molecule"]

_NEP = """
C 2.3131 -1.3157 2.7056
C 1.6008 -1.8542 1.4671
N 0.1731 -1.6781 1.5307
C -0.6564 -2.4125 2.4569
C -2.0761 -2.1692 1.9336
C -1.9613 -0.8274 1.2133
C -0.4946 -0.7508 0.8106
O 0.0000 0.0000 0.0000
H 3.3880 -1.4173 2.5846
H 2.0123 -1.8633 3.5961
H 2.0765 -0.2635 2.8428
H 1.8229 -2.9201 1.3395
H 1.9362 -1.3110 0.5801
H -0.5378 -2.0227 3.4766
H -0.3809 -3.4710 2.4581
H -2.8124 -2.1597 2.7347
H -2.3487 -2.9503 1.2231
H -2.6091 -0.7381 0.3440
H -2.1704 0.0109 1.8811
"""
_NVP = """
C 2.9146 2.1740 -1.9745
C 2.0136 1.4307 -1.3486
N 0.8661 0.9062 -1.9133
C 0.5067 1.0677 -3.3059
C -0.6202 0.0504 -3.5130
C -1.2180 -0.1125 -2.1182
C -0.0750 0.2392 -1.1815
O 0.0000 0.0000 0.0000
H 2.8305 2.4513 -3.0103
H 3.7802 2.5324 -1.4497
H 2.1060 1.1690 -0.3034
H 0.1646 2.0939 -3.4885
H 1.3692 0.8693 -3.9461
H -0.2052 -0.8990 -3.8531
H -1.3465 0.3909 -4.2481
H -1.5943 -1.1127 -1.9141
H -2.0282 0.5974 -1.9378
"""

LIGANDS = {"nep": ("N-ethyl-2-pyrrolidone", _NEP), "nvp": ("N-vinyl-2-pyrrolidone", _NVP)}


@dataclass(frozen=True)
class Molecule:
    """A ligand of m atoms.

    Attributes
    ----------
    name
        Chemical name.
    symbols
        (m,) chemical symbols.
    positions
        (m, 3) Å, the donor at the origin.
    donor
        Index of the atom that binds to the metal, the oxygen.
    anchor
        Index of the atom it is bound to, the carbonyl carbon.
    """

    name: str
    symbols: NDArray[np.str_]
    positions: NDArray[np.float64]
    donor: int
    anchor: int


def molecule(name: str) -> Molecule:
    """Return a ligand by its name, one of `LIGANDS`.

    Parameters
    ----------
    name
        "nep" (unit of PVP) or "nvp" (its monomer).

    Raises
    ------
    InputError
        Unknown name.
    """
    if name not in LIGANDS:
        raise InputError(f"ligand is {name!r}; accepted: {', '.join(LIGANDS)}")
    title, table = LIGANDS[name]
    rows = [line.split() for line in table.split("\n") if line]
    symbols = np.array([row[0] for row in rows])
    positions = np.array([[float(v) for v in row[1:]] for row in rows])
    donor = int(np.flatnonzero(symbols == "O")[0])
    distance = np.linalg.norm(positions - positions[donor], axis=1)
    distance[donor] = np.inf
    return Molecule(title, symbols, positions, donor, int(distance.argmin()))
