"""Read what a comparison needs of each particle from its folder: atoms.xyz, lattice.json, summary.json, energy.json.

A folder is that of a particle when it has atoms.xyz or summary.json, that of a run when it has particle_NN, and may
hold folders of runs. Names are as short as they can be and stay different: particle_00, or run/particle_00.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis import ParticleSummary
from single_rs.analysis.lattice import Lattice
from single_rs.analysis.lattice_record import LatticeRecord
from single_rs.base.errors import DataFileError, InputError
from single_rs.crystal.prototypes import bulk_reference, crystal_axes, prototype
from single_rs.io.atom_files import read_atom_file
from single_rs.records import EnergyRecord
from single_rs.store import layout
from single_rs.store.codecs import read_record
from single_rs.store.states import StatesRecord

__all__ = ["ParticleRow", "find_particles", "read_row"]

T = TypeVar("T")

CELL = ("a", "b", "c", "alpha", "beta", "gamma")
_DEPTH = 2  # folders of runs within the folder that was given
_KERNEL = 2.0  # Å, of the strain, where the file of atoms does not state it
_PLAIN_VERDICT = "not judged"  # of folders of `single-rs analyze`, which has atoms alone to go by


@dataclass(frozen=True)
class ParticleRow:
    """One particle.

    Attributes
    ----------
    name, folder
        Name on figures, and where its files are.
    verdict
        solved, doubtful, failed, or "not judged" when there is no verdict.
    element, structure
        Symbol of the most frequent element; lattice type or "".
    values, errors
        Quantity (see `single_rs.compare.QUANTITIES`) → value and standard error; what is not known is absent.
    positions
        (n, 3) Å from the middle of the atoms.
    radial, surface
        (n,) radial strain, fraction, NaN where unknown; (n,) bool.
    cell
        (3, 3) lattice vectors as rows, Å, or ``None``.
    reference
        What the strain is measured from: "bulk", "fit", or "" where the files do not say.
    calculator
        Of the energy, "" without one.
    change
        (n,) radial strain of the fitted lattice against the bulk; adding it turns one reference into the other. NaN
        where the bulk is not known.
    """

    name: str
    folder: Path
    verdict: str
    element: str
    structure: str
    values: dict[str, float]
    errors: dict[str, float]
    positions: NDArray[np.float64] = field(repr=False)
    radial: NDArray[np.float64] = field(repr=False)
    surface: NDArray[np.bool_] = field(repr=False)
    cell: NDArray[np.float64] | None = field(default=None, repr=False)
    reference: str = ""
    calculator: str = ""
    change: NDArray[np.float64] | None = field(default=None, repr=False)

    def against(self, reference: str) -> ParticleRow | None:
        """Return the same particle with its strain measured from "bulk" or "fit"; None where that is not known."""
        if self.reference == reference:
            return self
        known = self.change is not None and np.isfinite(self.change[np.isfinite(self.radial)]).all()
        if not self.reference or not known or self.change is None:
            return None
        change = self.change if reference == "bulk" else -self.change
        values = dict(self.values)
        for suffix, chosen in _groups(self.radial, self.surface).items():
            if f"radial_strain{suffix}" in values:
                values[f"radial_strain{suffix}"] += float(change[chosen].mean())
        radial = self.radial + change
        if "radial_strain_std" in values:
            values["radial_strain_std"] = float(np.nanstd(radial))
        return replace(self, radial=radial, values=values, reference=reference)

    def without_strain(self) -> ParticleRow:
        """Return the particle without its strain."""
        values = {k: v for k, v in self.values.items() if not k.startswith("radial_strain")}
        return replace(self, radial=np.full_like(self.radial, np.nan), values=values, reference="")


def find_particles(folders: Sequence[Path], states: bool = False) -> list[tuple[str, Path]]:
    """Return name and folder of every particle, each folder once, in the order given.

    With `states` the folders of its states stand for a particle that has several.
    """
    if not folders:
        raise InputError("no folder is given; give folders of runs or of particles")
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataFileError(f"{folder} is not a folder; give folders of runs or of particles")
        inside = _within(folder, _DEPTH)
        if not inside:
            raise DataFileError(
                f"{folder} holds no particle: neither atoms.xyz, summary.json nor particle_NN folders are in it"
            )
        if states:
            inside = [state for path in inside for state in _states_of(path)]
        found |= {path.resolve(): path for path in inside}
    return list(zip(_names(list(found)), found.values(), strict=True))


def _within(folder: Path, depth: int) -> list[Path]:
    """Return the particle folders in a folder, itself included."""
    if any((folder / name).exists() for name in (layout.ATOMS, layout.SUMMARY)):
        return [folder]
    inside = sorted(p for p in folder.iterdir() if p.is_dir())
    return [found for sub in inside for found in _within(sub, depth - 1)] if depth else []


def _states_of(folder: Path) -> list[Path]:
    """Return the folders of the states of a particle, or its own where it has one state."""
    record = _optional(folder / layout.STATES, StatesRecord)
    if record is None or len(record.states) < 2:
        return [folder]
    places = [(folder / state.atoms).parent for state in record.states if state.atoms is not None]
    return [place for place in places if place.is_dir()] or [folder]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of paths that tell them apart."""
    for parts in range(1, max(len(p.parts) for p in paths) + 1):
        names = ["/".join(p.parts[-parts:]).lstrip("/") for p in paths]
        if len(set(names)) == len(names):
            return names
    return [str(p) for p in paths]


def read_row(name: str, folder: Path) -> ParticleRow:
    """Read one particle.

    Parameters
    ----------
    name
        On figures and in tables.
    folder
        Of the particle.

    Raises
    ------
    DataFileError
        When a file that is there cannot be read.
    """
    summary = _optional(folder / layout.SUMMARY, ParticleSummary) or ParticleSummary()
    record = _optional(folder / layout.LATTICE, LatticeRecord)
    lattice = None if record is None else record.lattice
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    _take(values, "resolution", summary.resolution)
    positions, symbols, columns, info = _atoms(folder / layout.ATOMS)
    element = max(dict.fromkeys(symbols), key=symbols.count) if symbols else summary.element or ""
    if record is not None:
        _lattice(record, values, errors)
    structure = lattice.structure if lattice is not None else ""
    count = len(positions)
    if count:
        values["atoms"] = float(count)
        volume = _atomic_volume(structure, values, element)
        if volume is not None:
            values["diameter"] = (6 * count * volume / np.pi) ** (1 / 3)
            errors["diameter"] = values["diameter"] * 2 * count ** (1 / 3) / count / 3
        else:
            _take(values, "diameter", summary.diameter)
            errors["diameter"] = 0.0
    radial = np.asarray(columns.get("radial_strain", np.full(count, np.nan)), np.float64)
    surface = np.asarray(columns.get("surface", np.zeros(count)), np.float64) > 0.5
    if count and np.isfinite(radial).any():
        kernel = float(info.get("strain_kernel") or _KERNEL)
        tied = (4 * np.pi * kernel**2) ** 1.5 / volume if volume is not None and kernel > 0 else 1.0
        _strain(summary, radial, surface, max(tied, 1.0), values, errors)
    calculator = _energy(folder, values, errors)
    stated = summary.strain.reference if summary.strain is not None else None
    reference = str(info.get("strain_reference") or stated or "")
    change = _change(lattice, positions, element) if count and lattice is not None else None
    verdict = summary.verdict or _PLAIN_VERDICT
    middle = positions.mean(axis=0) if count else np.zeros(3)
    return ParticleRow(
        name, folder, verdict, element, structure, values, errors, positions - middle, radial, surface,
        None if lattice is None else lattice.cell, reference,
        calculator, change,
    )  # fmt: skip


def _optional(path: Path, kind: type[T]) -> T | None:
    """Read a record, ``None`` when there is no file."""
    return read_record(path, kind) if path.exists() else None


def _take(into: dict[str, float], key: str, value: float | None) -> None:
    """Keep a number under a key when it is a finite one."""
    if value is not None and np.isfinite(value):
        into[key] = float(value)


def _atoms(path: Path) -> tuple[NDArray[np.float64], list[str], dict[str, Any], dict[str, Any]]:
    """Read positions (n, 3), symbols, columns and header of the atoms; nothing when there is no file."""
    if not path.exists():
        return np.zeros((0, 3)), [], {}, {}
    found = read_atom_file(path)
    own = np.ones(len(found.symbols), dtype=bool)
    if "ligand" in found.arrays:  # ligands and atoms apart are no part of the particle
        own = np.asarray(found.arrays["ligand"]) == 0
    columns = {name: values[own] for name, values in found.arrays.items()}
    return found.positions[own], found.symbols[own].tolist(), columns, found.info


def _lattice(record: LatticeRecord, values: dict[str, float], errors: dict[str, float]) -> None:
    """Take the cell, its mean edge and its expansion."""
    cell = record.lattice.parameters
    for key in CELL:
        _take(values, key, getattr(cell, key))
        _take(errors, key, getattr(cell, f"{key}_err"))
    if cell.volume:
        values["mean_edge"] = cell.volume ** (1 / 3)
        if cell.volume_err:
            _take(errors, "mean_edge", values["mean_edge"] * cell.volume_err / cell.volume / 3)
    if record.expansion is not None:
        _take(values, "expansion", record.expansion.mean)
        _take(errors, "expansion", record.expansion.mean_err)


def _atomic_volume(structure: str, values: dict[str, float], element: str) -> float | None:
    """Return the volume of an atom in Å³, of the fitted cell or of the bulk of the element."""
    if structure and "mean_edge" in values:
        return values["mean_edge"] ** 3 / len(prototype(structure).motif)
    bulk = bulk_reference(element) if element else None
    if bulk is None:
        return None
    return float(np.linalg.det(bulk.cell())) / len(prototype(bulk.structure).motif)


def _strain(
    summary: ParticleSummary, radial: NDArray[np.float64], surface: NDArray[np.bool_], tied: float,
    values: dict[str, float], errors: dict[str, float],
) -> None:  # fmt: skip
    """Take the radial strain of all, core and surface atoms; see `single_rs.compare` for its error."""
    stated = summary.strain.statistics.get("radial", {}) if summary.strain is not None else {}
    finite = np.isfinite(radial)
    for suffix, chosen in _groups(radial, surface).items():
        if not chosen.any():
            continue
        key, count = f"radial_strain{suffix}", int(chosen.sum())
        values[key] = float(radial[chosen].mean())
        group = stated.get(suffix[1:] or "all")
        error = group.mean_err if group is not None else None
        spread = float(radial[chosen].std())
        errors[key] = error if error is not None else spread * float(np.sqrt(min(tied / count, 1.0)))
    values["radial_strain_std"] = float(radial[finite].std())
    error = stated["all"].std_err if "all" in stated else None
    share = float(np.sqrt(min(tied / (2 * finite.sum()), 0.5)))
    errors["radial_strain_std"] = error if error is not None else values["radial_strain_std"] * share


def _groups(radial: NDArray[np.float64], surface: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Suffix of the quantities → atoms with a strain: all, core and surface."""
    finite = np.isfinite(radial)
    return {"": finite, "_core": finite & ~surface, "_surface": finite & surface}


def _change(lattice: Lattice, positions: NDArray[np.float64], element: str) -> NDArray[np.float64] | None:
    """Radial strain (n,) of the fitted lattice against the bulk, r̂ · E · r̂ with E the strain of the cell.

    With rows of lattice vectors, x = X D and D = bulk⁻¹ · cell; E = (D + Dᵀ)/2 − 1. Atoms of other domains, whose cell
    is turned, and atoms off the lattice take a third of the trace.
    """
    cell, structure = lattice.cell, lattice.structure
    bulk = lattice.bulk or (bulk_reference(element, structure) if element else None)
    if bulk is None or bulk.structure != structure:
        return None
    d = np.linalg.inv(bulk.cell() @ crystal_axes(cell, structure)) @ cell
    strain = (d + d.T) / 2 - np.eye(3)
    ray = positions - positions.mean(axis=0)
    length = np.linalg.norm(ray, axis=1)
    unit = ray / np.maximum(length, 1e-9)[:, None]
    change = np.einsum("ni,ij,nj->n", unit, strain, unit)
    domain = lattice.domain
    # The radius has no direction at the centre: there the strain is the mean of all.
    plain = (domain != 0) if len(domain) == len(positions) else np.zeros(len(positions), dtype=bool)
    return np.asarray(np.where(plain | (length < 0.5 * bulk.nearest), np.trace(strain) / 3, change))


def _energy(folder: Path, values: dict[str, float], errors: dict[str, float]) -> str:
    """Take the formation energy per atom, eV, where it was computed; return the calculator."""
    energy = _optional(folder / layout.ENERGY, EnergyRecord)
    if energy is None:
        return ""
    _take(values, "formation_energy", energy.formation_energy_per_atom)
    _take(errors, "formation_energy", energy.formation_energy_per_atom_err)
    return energy.calculator
