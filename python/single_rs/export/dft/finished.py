"""Finished runs of the exported inputs: their energies, and the positions where these moved.

What is read is the text that each code prints, with its own signs that the run ended and the density converged:

    VASP      OUTCAR, last "energy(sigma->0)"; "General timing" ends it, "EDIFF is reached" ends each loop
    pw.x      last line that starts with "!"; "JOB DONE", no "convergence NOT achieved"
    GPAW      *_result.xyz and *_result.txt, which the exported scripts write at their end
    CP2K      last "ENERGY| Total FORCE_EVAL"; "PROGRAM ENDED", no "SCF run NOT converged"
    LAMMPS    E_particle, E_bulk in its log

A run that did not end or converge is an error, never a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.export.dft.cells import beside
from single_rs.export.dft.inputs import CODES
from single_rs.export.dft.record import DftRecord
from single_rs.store import layout
from single_rs.store.codecs import read_record

__all__ = ["FinishedRuns", "charge_density", "output_of", "read_finished", "relaxed_atoms"]

_HARTREE, _RYDBERG = 27.211386245988, 13.605693122994  # eV, CODATA 2018
_NUMBER = r"(-?\d+\.?\d*(?:[eE][-+]?\d+)?)"


@dataclass(frozen=True)
class FinishedRuns:
    """Energies of an export's finished runs with one code.

    Attributes
    ----------
    record
        What was exported.
    code
        vasp, qe, gpaw, cp2k or lammps.
    energies
        Calculation → eV; of its cell, of a bulk in GPAW and LAMMPS per atom.
    per_atom
        Calculations whose energy is per atom.
    """

    record: DftRecord
    code: str
    energies: dict[str, float]
    per_atom: frozenset[str] = frozenset()

    def binding(self) -> float:
        """Binding energy of a ligand, eV.

        Raises
        ------
        DataFileError
            There are no ligands, or one of the three runs is missing.
        """
        if not self.record.ligands:
            raise DataFileError(f"{layout.DFT} tells of no ligands; binding needs an export of a surface with ligands")
        whole, bare, guests = (self._needed(name) for name in ("particle", "bare", "ligands"))
        return (whole - bare - guests) / self.record.ligands

    def formation(self) -> tuple[float, float, dict[str, float]]:
        """Formation energy per atom of the particle without ligands, its energy, and those of the references per unit.

        Raises
        ------
        DataFileError
            A run is missing, or an element has no reference.
        """
        record = self.record
        if record.missing or not record.references:
            named = ", ".join(record.missing) or "a slab"
            raise DataFileError(f"{layout.DFT} has no reference of {named}; a formation energy cannot be told from it")
        energy = self._needed("bare" if record.ligands else "particle")
        units = {}
        for r in record.references:
            found = self._needed(r.name)
            atoms = record.calculations[r.name]
            units[r.formula] = (found * atoms if r.name in self.per_atom else found) / r.units
        rest = sum(r.count * units[r.formula] for r in record.references)
        return (energy - rest) / record.atoms, energy, units

    def _needed(self, name: str) -> float:
        if name not in self.energies:
            raise DataFileError(f"the run {name} of {self.code} has no output yet; run it as {layout.DFT} lists it")
        return self.energies[name]


def read_finished(folder: Path, code: str | None = None) -> FinishedRuns:
    """Read the energies of the finished runs of an export.

    Parameters
    ----------
    folder
        That holds dft.json.
    code
        One of the exported codes; None: the first whose particle has finished.

    Raises
    ------
    DataFileError
        No export, no finished run, or one that did not converge.
    """
    if not (folder / layout.DFT).exists():
        raise DataFileError(
            f"{folder} holds no {layout.DFT}; give a folder of 'single-rs export' or 'single-rs ligand'"
        )
    record = read_record(folder / layout.DFT, DftRecord)
    codes = [code] if code else list(CODES)
    for one in codes:
        if one not in CODES:
            raise DataFileError(f"code is {one!r}; accepted: {', '.join(CODES)}")
        energies, per_atom = {}, set()
        for name in record.calculations:
            path = output_of(folder, one, name)
            if path is None:
                continue
            energies[name] = _READERS[one](path, name)
            if name.startswith("bulk") and one in ("gpaw", "lammps"):
                per_atom.add(name)
        if energies:
            return FinishedRuns(record, one, energies, frozenset(per_atom))
    raise DataFileError(f"{folder} holds no output of {' or '.join(codes)}; run the inputs as README_dft.md says")


def output_of(folder: Path, code: str, name: str) -> Path | None:
    """Return the file that holds the energy of a calculation, None before it was run."""
    start = folder / CODES[code][0]
    own = start if name == "particle" else beside(start, name)
    if code == "vasp":
        own = start if name == "particle" else start.with_name(f"{start.name}_{name}")
        path = own / "OUTCAR"
    elif code == "gpaw":
        path = own.with_name(f"{own.stem}_result.{'txt' if name.startswith('bulk') else 'xyz'}")
    else:
        path = own.with_suffix(".log" if code == "lammps" else ".out")
    return path if path.exists() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror}") from None


def _last(path: Path, text: str, pattern: str, what: str) -> float:
    found = re.findall(pattern, text, re.MULTILINE)
    if not found:
        raise DataFileError(f"{path} holds no {what}; the run did not finish")
    return float(found[-1])


def _ended(path: Path, text: str, word: str) -> None:
    if word not in text:
        raise DataFileError(f"{path} does not end with {word!r}; the run did not finish")


def _converged(path: Path, bad: bool) -> None:
    if bad:
        raise DataFileError(f"{path}: the density did not converge; its energy is not used, converge it first")


def _vasp(path: Path, name: str) -> float:
    text = _text(path)
    _ended(path, text, "General timing")
    loops = text.split("aborting loop")
    _converged(path, "EDIFF is reached" not in loops[-1][:60])
    return _last(path, text, rf"energy\s*\(sigma->0\)\s*=\s*{_NUMBER}", "energy(sigma->0)")


def _qe(path: Path, name: str) -> float:
    text = _text(path)
    _ended(path, text, "JOB DONE")
    _converged(path, "convergence NOT achieved" in text)
    return _RYDBERG * _last(path, text, rf"^!\s+total energy\s*=\s*{_NUMBER}", "total energy")


def _gpaw(path: Path, name: str) -> float:
    if path.suffix == ".txt":
        return _last(path, _text(path), rf"^E_bulk {_NUMBER} eV/atom", "E_bulk")
    return _last(path, _text(path).split("\n", 2)[1], rf"(?:^|\s)energy={_NUMBER}", "energy")


def _cp2k(path: Path, name: str) -> float:
    text = _text(path)
    _ended(path, text, "PROGRAM ENDED")
    _converged(path, "SCF run NOT converged" in text)
    return _HARTREE * _last(path, text, rf"ENERGY\| Total FORCE_EVAL.*?:?\s{_NUMBER}\s*$", "ENERGY|")


def _lammps(path: Path, name: str) -> float:
    word = "E_bulk" if name.startswith("bulk") else "E_particle"
    return _last(path, _text(path), rf"^{word} {_NUMBER} eV", word)


_READERS = {"vasp": _vasp, "qe": _qe, "gpaw": _gpaw, "cp2k": _cp2k, "lammps": _lammps}


def relaxed_atoms(folder: Path, code: str, name: str) -> Any:
    """Return ``ase.Atoms`` at the end of a finished run, in the order of the export.

    Raises
    ------
    DataFileError
        No output, or one whose positions cannot be read.
    """
    from ase.io import read

    path = output_of(folder, code, name)
    if path is None:
        raise DataFileError(f"the run {name} of {code} in {folder} has no output yet")
    kinds = {"vasp": "vasp", "qe": "espresso-out", "gpaw": "extxyz"}
    source = path.with_name("CONTCAR") if code == "vasp" else path
    if code in ("cp2k", "lammps"):
        raise DataFileError(f"positions of {code} are not read back; give a run of vasp, qe or gpaw")
    try:
        atoms: Any = read(source, format=kinds[code], index=-1)
    except (OSError, ValueError, IndexError, KeyError, RuntimeError) as error:
        raise DataFileError(f"{source} has no positions that can be read: {' '.join(str(error).split())}") from None
    rows = path.with_name("POSCAR.map")
    if code == "vasp" and rows.exists():
        order = np.loadtxt(rows, dtype=int)
        atoms = atoms[np.argsort(order)]
    return atoms


def charge_density(folder: Path, code: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the charge density (i, j, k) in electrons per Å³ and the cell (3, 3) of its grid of a finished run.

    Raises
    ------
    DataFileError
        No density, or one that cannot be read.
    """
    from ase.calculators.vasp import VaspChargeDensity
    from ase.io.cube import read_cube_data
    from ase.units import Bohr

    path = {
        "vasp": folder / ("vasp" if name == "particle" else f"vasp_{name}") / "CHGCAR",
        "qe": folder / f"{name}_charge.cube",
        "gpaw": folder / f"gpaw_{name}_charge.cube",
        "cp2k": folder / f"{name}-ELECTRON_DENSITY-1_0.cube",
    }.get(code)
    if path is None or not path.exists():
        where = f"{path} does not exist" if path is not None else f"{code} has none"
        raise DataFileError(f"no charge density of {name}: {where}; export with export.dft.charge = true")
    try:
        if code == "vasp":
            found = VaspChargeDensity(str(path))
            return np.asarray(found.chg[-1]), np.asarray(found.atoms[-1].cell.array)
        data, atoms = read_cube_data(str(path))
    except (OSError, ValueError, IndexError) as error:
        raise DataFileError(f"{path} cannot be read as a charge density: {' '.join(str(error).split())}") from None
    return np.asarray(data) / Bohr**3, np.asarray(atoms.cell.array)
