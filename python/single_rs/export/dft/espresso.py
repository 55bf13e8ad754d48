"""Quantum ESPRESSO: pw.x for the particle (one SCF with forces, Γ) and for the bulk of each element (relaxed cell).

``mixing_mode='local-TF'`` is what lets clusters in vacuum converge. Pseudopotentials are named ``<element>.UPF`` in
``./pseudo``: put files there, scalar relativistic ones unless `DftSettings.spin_orbit` is set, which fully
relativistic ones need (some distributions have no others for Pt).

Reference: P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017), doi:10.1088/1361-648X/aa8f79.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.analysis.model import Particle
from single_rs.export.dft.cells import beside, bulk_cells, particle_cell
from single_rs.export.dft.settings import DftSettings
from single_rs.io import atomic

__all__ = ["write_qe"]

_DENSITY = 8.0  # times the plane-wave cutoff, for ultrasoft and PAW sets of the SSSP library
# pw.x takes moments as a share of the valence electrons; a quarter of the moment in μB is a strong start for 8 to 10.
_SHARE = 0.25


def _write_input(path: Path, atoms: Any, settings: DftSettings, prefix: str, mesh: tuple[int, int, int] | None) -> None:
    from ase.io import write
    from ase.units import Ry

    species = sorted(set(atoms.get_chemical_symbols()))
    moments = atoms.get_initial_magnetic_moments()
    system: dict[str, Any] = {
        "ecutwfc": settings.qe_cutoff,
        "ecutrho": _DENSITY * settings.qe_cutoff,
        "occupations": "smearing",
        "smearing": "marzari-vanderbilt",
        "degauss": round(settings.smearing / Ry, 6),
    }
    if settings.spin_orbit:
        system |= {"noncolin": True, "lspinorb": True}
    elif moments.any():
        system["nspin"] = 2
    atoms = atoms.copy()
    atoms.pbc = True
    atoms.set_initial_magnetic_moments(np.clip(_SHARE * moments, -1, 1))
    control = {
        "calculation": "scf" if mesh is None else "vc-relax",
        "tprnfor": True,
        "pseudo_dir": "./pseudo",
        "outdir": f"./out_{prefix}",
        "prefix": prefix,
    }
    electrons: dict[str, Any] = {"conv_thr": 1e-6, "electron_maxstep": 200}
    if mesh is None:
        electrons |= {"mixing_mode": "local-TF", "mixing_beta": 0.3}
    # K_POINTS gamma uses real wave functions, which spin-orbit coupling has not.
    points = (1, 1, 1) if mesh is None and settings.spin_orbit else mesh
    with atomic(path) as temporary:
        write(
            temporary,
            atoms,
            format="espresso-in",
            input_data={"control": control, "system": system, "electrons": electrons},
            pseudopotentials={s: f"{s}.UPF" for s in species},
            kpts=points,
        )
        # Versions of pw.x before 7.0 do not know all of the empty namelists that ASE writes.
        empty = r"&(FCP|RISM|IONS|CELL)\n/\n" if mesh is None else r"&(FCP|RISM)\n/\n"
        text = re.sub(empty, "", temporary.read_text(encoding="utf-8"))
        note = f"! single_rs: {len(atoms)} atoms; put {', '.join(f'{s}.UPF' for s in species)} into ./pseudo\n"
        temporary.write_text(note + text, encoding="utf-8", newline="\n")


def write_qe(
    path: str | os.PathLike[str], model: Particle, vacuum: float = 10.0, settings: DftSettings | None = None
) -> list[Path]:
    """Write inputs of pw.x: the particle, and ``<stem>_bulk_<element>.in`` beside it for each bulk.

    Parameters
    ----------
    path
        File; replaced if it exists.
    model
        The particle.
    vacuum
        Å on each side of the particle.
    settings
        None: the defaults.

    Returns
    -------
    list[Path]
        The files.
    """
    chosen = DftSettings() if settings is None else settings
    target = Path(path)
    atoms = particle_cell(model, vacuum, chosen)
    _write_input(target, atoms, chosen, "particle", None)
    written = [target]
    for element, cell, mesh in bulk_cells(atoms, chosen.k_spacing):
        written.append(beside(target, f"bulk_{element}"))
        _write_input(written[-1], cell, chosen, f"bulk_{element}", mesh)
    return written
