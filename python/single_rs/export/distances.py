"""Distances, pair distribution and powder pattern of one particle as the analysis writes them.

Files: distances.csv (every pair along the rows of the lattice), pdf.csv (R, g and G), powder.csv (I and S of the Debye
equation for X-rays).
"""

from __future__ import annotations

from pathlib import Path

from single_rs.analysis.distances.pdf import pair_distribution
from single_rs.analysis.distances.powder import powder_pattern
from single_rs.analysis.distances.rows import row_distances
from single_rs.analysis.distances.summary import known_sigma
from single_rs.analysis.model import Particle
from single_rs.base.errors import InputError
from single_rs.store import layout
from single_rs.store.tables import write_table

__all__ = ["write_distances"]


def write_distances(folder: Path, model: Particle) -> list[Path]:
    """Write distances.csv (with a lattice), pdf.csv and powder.csv into a folder; return the files.

    A powder pattern needs form factors, so atoms of unknown species have none.
    """
    x, sigma = model.atoms.positions, known_sigma(model.atoms)
    written = []
    if model.lattice is not None:
        written.append(folder / layout.DISTANCES)
        write_table(written[-1], row_distances(x, model.lattice, sigma))
    written.append(folder / layout.PAIR_DISTRIBUTION)
    write_table(written[-1], pair_distribution(x, sigma, model.lattice))
    try:
        pattern = powder_pattern(x, model.atoms.symbols)
    except InputError:  # Noted by `powder_of` already.
        return written
    written.append(folder / layout.POWDER)
    write_table(written[-1], pattern)
    return written
