"""Quantum ESPRESSO: pw.x for the particle (one SCF with forces, Γ), its parts and its references (relaxed cell).

``mixing_mode='local-TF'`` is what lets clusters in vacuum converge. Pseudopotentials are named ``<element>.UPF`` in
``./pseudo``, or are those of a folder that `DftSettings.qe_pseudo` names, whose headers then give cutoffs and valence
electrons: scalar relativistic ones unless `DftSettings.spin_orbit` is set, which fully relativistic ones need (some
distributions have no others for Pt).

Reference: P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017), doi:10.1088/1361-648X/aa8f79.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.export.dft.calculation import Calculation, DftSet
from single_rs.export.dft.cells import beside, write_ascii
from single_rs.export.dft.settings import DftSettings
from single_rs.io import atomic

__all__ = ["pseudopotentials", "qe_inputs"]

# Of the SSSP library, G. Prandini et al., npj Comput. Mater. 4, 72 (2018), doi:10.1038/s41524-018-0127-2: metals are
# converged to 1 meV per atom at 45 to 60 Ry, iron at 90 with 12 times as much for the density; its neighbours, whose 3d
# states are as narrow, get what iron gets.
_USUAL, _NARROW, _NARROW_DENSITY = 60.0, 90.0, 12.0
_NARROW_ELEMENTS = {"Cr", "Mn", "Fe", "Co", "Ni"}
_DENSITY = 8.0  # times the plane-wave cutoff, for ultrasoft and PAW sets of the SSSP library
# pw.x takes moments as a share of the valence electrons; a quarter of the moment in μB is a strong start for 8 to 10.
_SHARE = 0.25
_STRONG = 1.5  # times the moment of the bulk, over the valence electrons where they are known
_HEADER_SIZE = 20_000  # characters of a UPF file that hold its header


# Input of pp.x: the valence density as a Gaussian cube.
_CHARGE = """&INPUTPP
  prefix = '{name}'
  outdir = './out_{name}'
  plot_num = 0
  filplot = '{name}_charge'
/
&PLOT
  iflag = 3
  output_format = 6
  fileout = '{name}_charge.cube'
/
"""


@dataclass(frozen=True)
class Pseudopotentials:
    """Element → file name and valence electrons (where known), and the cutoffs (Ry) that all of them need."""

    names: dict[str, str]
    valence: dict[str, float]
    wave: float
    density: float


_HEADER = re.compile(r'\b(wfc_cutoff|rho_cutoff|z_valence)\s*=\s*"\s*([0-9.eEdD+-]+)\s*"')
_SUGGESTED = re.compile(r"Suggested minimum cutoff for (wavefunctions|charge density):\s*([0-9.]+)\s*Ry")


def pseudopotentials(elements: Sequence[str], settings: DftSettings) -> Pseudopotentials:
    """Return names and cutoffs: those set, those that the UPF files of `qe_pseudo` ask for, or those of the module.

    Parameters
    ----------
    elements
        Of all calculations whose energies are compared.
    settings
        `qe_pseudo` is a folder with one UPF file per element, named as ``Pt.UPF`` or ``Pt.pbe-….UPF``.

    Raises
    ------
    DataFileError
        No file or several for an element, or one that cannot be read.
    """
    names, valence = {e: f"{e}.UPF" for e in elements}, {}
    narrow = bool(_NARROW_ELEMENTS & set(elements))
    wave = _NARROW if narrow else _USUAL
    density = (_NARROW_DENSITY if narrow else _DENSITY) * wave
    if settings.qe_pseudo is not None:
        waves, densities = [], []
        for element in elements:
            path = _upf(Path(settings.qe_pseudo), element)
            text = path.read_text(encoding="utf-8", errors="replace")[:_HEADER_SIZE]
            found = {key: float(value.lower().replace("d", "e")) for key, value in _HEADER.findall(text)}
            suggested = {key: float(value) for key, value in _SUGGESTED.findall(text)}
            names[element] = path.name
            if found.get("z_valence"):
                valence[element] = found["z_valence"]
            waves.append(max(found.get("wfc_cutoff", 0.0), suggested.get("wavefunctions", 0.0)))
            densities.append(max(found.get("rho_cutoff", 0.0), suggested.get("charge density", 0.0)))
        # Files without a suggestion, such as norm-conserving ones, leave the values above.
        wave = max(waves) if min(waves) > 0 else max(wave, *waves)
        density = max(4 * wave, *densities) if min(densities) > 0 else max(_DENSITY * wave, *densities)
    if settings.qe_cutoff is not None:
        wave, density = settings.qe_cutoff, _DENSITY * settings.qe_cutoff
    return Pseudopotentials(names, valence, wave, density)


def _upf(folder: Path, element: str) -> Path:
    """Return the UPF file of an element in a folder."""
    pattern = re.compile(rf"{element}([._-].*)?\.upf", re.IGNORECASE)
    found = sorted(p for p in folder.iterdir() if pattern.fullmatch(p.name)) if folder.is_dir() else []
    if len(found) != 1:
        listed = ", ".join(p.name for p in found) or "none"
        raise DataFileError(f"{folder} has {listed} as UPF file of {element}; one is needed, such as {element}.UPF")
    return found[0]


def _write_input(path: Path, one: Calculation, settings: DftSettings, pseudo: Pseudopotentials) -> None:
    from ase.io import write
    from ase.units import Ry

    atoms = one.atoms.copy()
    species = sorted(set(atoms.get_chemical_symbols()))
    moments = atoms.get_initial_magnetic_moments()
    system: dict[str, Any] = {
        "ecutwfc": pseudo.wave,
        "ecutrho": pseudo.density,
        "occupations": "smearing",
        "smearing": "marzari-vanderbilt",
        "degauss": round(settings.width / Ry, 6),
    }
    if settings.spin_orbit:
        system |= {"noncolin": True, "lspinorb": True}
    elif moments.any():
        system["nspin"] = 2
    if one.slab:
        # The layer of dipoles that levels the vacuum lies in its middle, opposite the slab.
        middle = np.ptp(atoms.positions[:, 2]) / 2 + atoms.positions[:, 2].min()
        layer = round(float(middle / atoms.cell[2, 2] + 0.45) % 1.0, 4)
        system |= {"edir": 3, "emaxpos": layer, "eopreg": 0.1, "eamp": 0.0}
    atoms.pbc = True
    share = [_STRONG / pseudo.valence[s] if s in pseudo.valence else _SHARE for s in atoms.get_chemical_symbols()]
    atoms.set_initial_magnetic_moments(np.clip(share * moments, -1, 1))
    if settings.dispersion:
        system |= {"vdw_corr": "dft-d3", "dftd3_version": 4}
    control = {
        "calculation": {"": "scf", "atoms": "relax", "cell": "vc-relax"}[one.relax],
        "tprnfor": True,
        "pseudo_dir": settings.qe_pseudo or "./pseudo",
        "outdir": f"./out_{one.name}",
        "prefix": one.name,
    }
    if one.slab:
        control |= {"tefield": True, "dipfield": True}
    electrons: dict[str, Any] = {"conv_thr": 1e-6, "electron_maxstep": 200}
    if one.relax != "cell":
        electrons |= {"mixing_mode": "local-TF", "mixing_beta": 0.3}
    # K_POINTS gamma uses real wave functions, which spin-orbit coupling has not.
    points = (1, 1, 1) if one.mesh is None and settings.spin_orbit else one.mesh
    with atomic(path) as temporary:
        write(
            temporary,
            atoms,
            format="espresso-in",
            input_data={"control": control, "system": system, "electrons": electrons},
            pseudopotentials={s: pseudo.names[s] for s in species},
            kpts=points,
        )
        # Versions of pw.x before 7.0 do not know all of the empty namelists that ASE writes.
        empty = {"": "FCP|RISM|IONS|CELL", "atoms": "FCP|RISM|CELL", "cell": "FCP|RISM"}[one.relax]
        text = re.sub(rf"&({empty})\n/\n", "", temporary.read_text(encoding="utf-8"))
        place = settings.qe_pseudo or "./pseudo"
        note = f"! single_rs: {len(atoms)} atoms; put {', '.join(pseudo.names[s] for s in species)} into {place}\n"
        temporary.write_text(note + text, encoding="utf-8", newline="\n")


def qe_inputs(target: Path, given: DftSet) -> list[Path]:
    """Write an input for each calculation, ``target`` for the particle; returns the files."""
    pseudo = pseudopotentials(given.elements, given.settings)
    written = []
    for one in given.calculations:
        path = target if one.name == "particle" else beside(target, one.name)
        _write_input(path, one, given.settings, pseudo)
        written.append(path)
        if one.charge:
            charge = beside(target, "charge" if one.name == "particle" else f"{one.name}_charge")
            written.append(write_ascii(charge, _CHARGE.format(name=one.name)))
    return written
