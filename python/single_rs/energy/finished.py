"""Formation energy of a particle from finished runs of a density-functional code.

    E_form = (E_particle − Σ_r n_r E_r) / N

with the references of the export (`single_rs.export.dft.record`). The energy holds the errors of the positions; their
bias is not known from one run.
"""

from __future__ import annotations

import numpy as np

from single_rs._core import __version__
from single_rs.base.errors import InputError
from single_rs.energy.files import FORMULA
from single_rs.export.dft.finished import FinishedRuns
from single_rs.records import Atoms, EnergyRecord

__all__ = ["finished_energy"]

_NOTE = "the errors of the positions raise this energy; their bias is not taken off"


def finished_energy(runs: FinishedRuns, atoms: Atoms) -> EnergyRecord:
    """Return the formation energy of a particle from finished runs, as it stands in energy.json.

    Parameters
    ----------
    runs
        Of `single_rs.export.dft.read_finished`.
    atoms
        Of the particle; its composition has to be that of the export.

    Raises
    ------
    InputError
        The runs are of other atoms.
    DataFileError
        A run is missing.
    """
    symbols, counts = np.unique(np.asarray(atoms.symbols, dtype=str), return_counts=True)
    composition = {str(s): int(n) for s, n in zip(symbols, counts, strict=True)}
    exported = runs.record.composition
    if composition != exported:
        given, asked = (", ".join(f"{n} {e}" for e, n in sorted(c.items())) for c in (composition, exported))
        raise InputError(
            f"the particle has {given}, the finished runs are of {asked}; give the export of this particle"
        )
    per_atom, energy, units = runs.formation()
    return EnergyRecord(
        calculator=f"{runs.code} (finished runs)" if runs.code == "lammps" else f"{runs.code} PBE (finished runs)",
        formula=FORMULA,
        atoms=len(atoms),
        composition=composition,
        energy=energy,
        bulk=units,
        formation_energy_per_atom=per_atom,
        formation_energy_as_measured=per_atom,
        notes=(_NOTE,),
        program=f"single_rs {__version__}",
    )
