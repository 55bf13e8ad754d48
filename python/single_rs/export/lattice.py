"""lattice.json: the best-fit lattice of a particle, for people and for later stages; see `LatticeRecord`."""

from __future__ import annotations

import os

from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.analysis.distances.summary import BondConstant
from single_rs.analysis.lattice import Lattice
from single_rs.analysis.lattice_record import LatticeRecord, lattice_record
from single_rs.store.codecs import read_record, write_record

__all__ = ["read_lattice", "write_lattice"]

DIGITS = 8  # 1e-8 Å is a millionth of an error


def write_lattice(
    path: str | os.PathLike[str],
    lattice: Lattice,
    powder: PowderLattice | None = None,
    bond: BondConstant | None = None,
) -> None:
    """Write lattice.json, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    lattice
        Result of `fit_lattice`; lengths in Å, angles in degrees.
    powder, bond
        What distances say of the lattice constant; `read_lattice` passes over them.
    """
    write_record(path, lattice_record(lattice, powder, bond), DIGITS)


def read_lattice(path: str | os.PathLike[str]) -> Lattice:
    """Read the lattice in a lattice.json.

    Parameters
    ----------
    path
        File.

    Raises
    ------
    DataFileError
        If the file is missing or not what `write_lattice` writes.
    """
    return read_record(path, LatticeRecord).lattice()
