"""Atoms in files of other programs (extxyz, xyz, PDB, CIF, POSCAR, …), read by ASE and checked.

What a list of atoms can say wrongly is resolved with a warning or refused. A periodic cell is used: particles that lie
across its faces are put together again. Species must be elements, of
alternative places of an atom one is taken, a site of two elements is refused, and so are two atoms nearer than half a
bond and distances that fit a unit other than Å. Bonds are sums of covalent radii (Cordero et al. 2008,
doi:10.1039/b801115j, as in ASE).
"""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.bounds import LARGEST_LENGTH
from single_rs.base.errors import DataFileError
from single_rs.io.periodic import whole
from single_rs.io.pixels import ANGSTROM

__all__ = ["AtomFile", "read_atom_file"]

LARGEST_WIDTH = 1000  # values per atom in one column of an extxyz
NEAREST = 0.5  # bonds; no two atoms are nearer
SAME = 0.1  # Å; nearer than any two that were traced: one atom that stands twice
ORDINARY = (0.6, 1.6)  # median distance to the nearest atom, in bonds: within, no unit is doubted
ENOUGH = 4  # atoms, to judge a unit by
SPREAD = 0.15  # relative, of the distances to the nearest atom in a crystal
UNITS = ("nm", "bohr", "pm", "m", "µm")  # that coordinates may be in, the likeliest first
FIT = (0.75, 1.25)  # bonds, of the median distance in the right unit
PDB_SUFFIXES = (".pdb", ".ent")
MMCIF_SUFFIXES = (".cif", ".mmcif")
POSITION_COLUMNS = ("position", "Position", "Positions", "coordinates")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AtomFile:
    """Atoms of a file.

    Attributes
    ----------
    positions
        (n, 3) Å, unwrapped.
    symbols
        (n,) chemical symbols.
    arrays
        Columns by name; ``occupancy`` is (n,), in (0, 1], where the file has it.
    info
        The header by key.
    """

    positions: NDArray[np.float64]
    symbols: NDArray[np.str_]
    arrays: dict[str, NDArray[Any]]
    info: dict[str, Any]


def read_atom_file(path: str | os.PathLike[str]) -> AtomFile:
    """Read the atoms of a file; of several models the last that has any, with a warning.

    Parameters
    ----------
    path
        File; its suffix tells the format.

    Raises
    ------
    DataFileError
        Missing, unreadable, no atoms, or atoms that cannot be true; the message says which.
    """
    source = Path(path)
    if not source.is_file():
        raise DataFileError(f"cannot read {source}: no such file")
    found = _models(source)
    if not found:
        raise DataFileError(f"{source} holds 0 atoms; give at least one atom")
    if len(found) > 1:
        log.warning("%s holds %d models; the last, of %d atoms, is read", source, len(found), len(found[-1]))
    atoms = found[-1]
    _take_positions(atoms)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    wrong = ~np.isfinite(positions).all(axis=1) | (np.abs(positions) > LARGEST_LENGTH).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataFileError(
            f"{source}: atom {row + 1} lies at {_said(positions[row])} Å; finite coordinates are needed"
        )
    symbols = np.array(atoms.get_chemical_symbols())
    if (symbols == "X").any():
        raise DataFileError(
            f"{source} names no element for {int((symbols == 'X').sum())} of {len(symbols)} atoms; give species, as "
            "Properties=species:S:1:pos:R:3 in extxyz"
        )
    occupancy = _occupancy(source, atoms)
    if occupancy is not None:
        atoms.set_array("occupancy", None)
        atoms.set_array("occupancy", occupancy)
        if (occupancy == 0).any():
            log.warning("%s: %d atoms of occupancy 0 are left out", source, int((occupancy == 0).sum()))
            atoms = atoms[occupancy > 0]
    unwrapped = whole(source, atoms)
    symbols = np.array(atoms.get_chemical_symbols())
    _check_distances(source, unwrapped, symbols, atoms)
    return AtomFile(unwrapped, symbols, dict(atoms.arrays), dict(atoms.info))


def _models(path: Path) -> list[Any]:
    """Return all models of a file that hold atoms."""
    from ase.io import read

    _check_xyz(path)
    texts: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix.lower() in PDB_SUFFIXES:
                texts = _pdb_models(path, path.read_text(encoding="utf-8", errors="replace"))
            elif path.suffix.lower() in MMCIF_SUFFIXES:
                texts = _mmcif_models(path)
            models: list[Any] = [read(io.StringIO(text), format="proteindatabank") for text in texts]
            if not models:
                # Without this a name with @ would be taken for a file and a frame of it.
                models = list(read(path, index=":", do_not_split_by_at_sign=True))
        return [model for model in models if len(model)]
    except KeyError as error:
        raise DataFileError(
            f"{path} names {str(error.args[0])[:20]!r}, which is no element; give symbols, as Pt"
        ) from None
    except Exception as error:  # ASE's readers raise whatever their parsers do: all mean the same to the user.
        said = " ".join(str(error).split())[:200]
        raise DataFileError(
            f"{path} cannot be read as atoms ({type(error).__name__}: {said}); give extxyz, xyz, PDB, CIF or POSCAR"
        ) from None


def _check_xyz(path: Path) -> None:
    """Refuse an xyz whose counts of atoms or widths of columns are not those of its lines, before ASE believes them."""
    if path.suffix.lower() not in (".xyz", ".extxyz"):
        return
    with path.open("rb") as file:
        lines = file.read().rstrip().splitlines()
    at = 0
    while at < len(lines):
        if not re.fullmatch(rb"\s*\d{1,9}\s*", lines[at]):
            said = lines[at][:40].decode(errors="replace").strip()
            raise DataFileError(f"{path}: line {at + 1} is {said!r}; the number of atoms is needed there")
        count = int(lines[at])
        if at + (2 + count if count else 1) > len(lines):
            raise DataFileError(
                f"{path} is truncated: line {at + 1} says {count} atoms, {len(lines) - at - 2} lines follow"
            )
        widths = re.findall(rb":[SRILsril]:(\d+)", lines[at + 1] if count else b"")
        if any(len(width) > 9 or int(width) > LARGEST_WIDTH for width in widths):
            raise DataFileError(f"{path} asks for more than {LARGEST_WIDTH} values per atom; correct its Properties")
        at += 2 + count


def _mmcif_models(path: Path) -> list[str]:
    """Return the models of an mmCIF, whose coordinates are Cartesian, as texts of PDB; none for CIF of crystals."""
    import gemmi

    document = gemmi.cif.read(str(path))
    if not any(len(block.find_values("_atom_site.Cartn_x")) for block in document):
        return []
    return _pdb_models(path, gemmi.read_structure(str(path)).make_pdb_string())


def _pdb_models(path: Path, content: str) -> list[str]:
    """Return the text of each model, with one place for each atom: the likeliest of the alternatives."""
    models: list[list[str]] = [[]]
    cell: list[str] = []
    for line in content.splitlines():
        record = line[:6].rstrip().upper()
        if record in ("MODEL", "ENDMDL", "END"):
            models.append([])
        elif record in ("ATOM", "HETATM"):
            models[-1].append(line)
        elif record == "CRYST1":
            # A cell of 1 Å stands for none (PDB format 3.3, CRYST1).
            cell = [] if re.match(r"CRYST1\s+1\.0+\s+1\.0+\s+1\.0+\s", line) else [line]
    filled = [_one_place(path, lines) for lines in models if lines]
    return ["\n".join([*cell, *lines, "END"]) + "\n" for lines in filled]


def _one_place(path: Path, lines: list[str]) -> list[str]:
    """Return lines of atoms without alternative places (column 17) but that of the highest occupancy."""
    best: dict[str, int] = {}
    left: set[int] = set()
    for k, line in enumerate(lines):
        if line[16:17].strip():
            # Name, residue, chain and number: what alternatives have in common.
            key = line[12:16] + line[17:27]
            if key in best:
                lower = k if _number(line[54:60]) <= _number(lines[best[key]][54:60]) else best[key]
                left.add(lower)
                best[key] = best[key] if lower == k else k
            else:
                best[key] = k
    if left:
        log.warning("%s: %d alternative places of atoms are left out, those of lower occupancy", path, len(left))
    return [line for k, line in enumerate(lines) if k not in left]


def _number(word: str) -> float:
    """Return a number of a PDB column, 1 where it is empty or none."""
    try:
        return float(word)
    except ValueError:
        return 1.0


def _take_positions(atoms: Any) -> None:
    """Take coordinates from a column of another name when none is called pos."""
    if not np.any(atoms.positions):
        for name in POSITION_COLUMNS:
            if atoms.arrays.get(name, np.empty(0)).shape == (len(atoms), 3):
                atoms.positions[:] = atoms.arrays[name]
                return


def _occupancy(path: Path, atoms: Any) -> NDArray[np.float64] | None:
    """Return the occupancy (n,) of the atoms, ``None`` without; refuse sites that elements share."""
    sites = atoms.info.get("occupancy")
    if isinstance(sites, dict) and "spacegroup_kinds" in atoms.arrays:
        try:
            sites = {kind: {name: float(share) for name, share in site.items()} for kind, site in sites.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataFileError(f"{path}: an occupancy is no number: {error}") from None
        shared = {kind: site for kind, site in sites.items() if len(site) > 1}
        if shared:
            count = sum(str(kind) in shared for kind in atoms.arrays["spacegroup_kinds"])
            said = ", ".join(f"{name} {share:g}" for name, share in next(iter(shared.values())).items())
            raise DataFileError(f"{path}: {count} sites are shared by elements (as {said}); give each site one element")
        values = [next(iter(sites[str(k)].values())) if str(k) in sites else 1.0
                  for k in atoms.arrays["spacegroup_kinds"]]  # fmt: skip
    elif "occupancy" in atoms.arrays and atoms.arrays["occupancy"].shape == (len(atoms),):
        values = list(atoms.arrays["occupancy"])
    else:
        return None
    occupancy = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(occupancy).all() and occupancy.min() >= 0 and occupancy.max() <= 1) or not occupancy.any():
        log.warning("%s: its column of occupancies holds something else (%.3g to %.3g) and is not read", path,
                    np.min(occupancy), np.max(occupancy))  # fmt: skip
        atoms.set_array("occupancy", None)
        return None
    partial = int(((occupancy > 0) & (occupancy < 1)).sum())
    if partial and not _ours(path):
        log.warning("%s: %d atoms of occupancy below 1; it is taken for the probability of the atom", path, partial)
    return np.maximum(occupancy, 1e-3) if _ours(path) else occupancy


def _ours(path: Path) -> bool:
    """Whether a file was written by this program, where the probability of an atom stands as its occupancy."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return "single_rs" in file.read(1024).lower()


def _check_distances(path: Path, positions: NDArray[np.float64], symbols: NDArray[np.str_], atoms: Any) -> None:
    """Refuse atoms nearer than half a bond (in our own files only doubles), and coordinates of another unit."""
    from ase.data import atomic_numbers, covalent_radii
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in symbols])
    distance, neighbour = cKDTree(positions).query(positions, k=2)
    distance, other = distance[:, 1], neighbour[:, 1]
    bonds = distance / (radii + radii[other])
    # Sites that share one atom: the distance between them tells of no unit.
    occupancy = atoms.arrays.get("occupancy", np.ones(len(positions)))
    split = (bonds < NEAREST) & (occupancy + occupancy[other] <= 1 + 1e-6)
    if len(positions) >= ENOUGH and not split.all() and (problem := _unit(bonds, distance, symbols)):
        raise DataFileError(f"{path}: {problem}; give Å")
    near = bonds < NEAREST
    if near.any():
        first = int(np.argmin(bonds))
        # Of exact doubles the tree may name an atom as its own neighbour.
        pair = sorted((first, int(other[first]) if other[first] != first else int(neighbour[first, 0])))
        said = f"atoms {pair[0] + 1} and {pair[1] + 1} ({symbols[pair[0]]}, {symbols[pair[1]]})"
        text = (
            f"{path}: {said} are {distance[first]:.2f} Å apart, nearer than half a bond, {int(near.sum())} atoms in all"
        )
        if distance[first] < SAME or not _ours(path):
            why = (
                f", which share their atoms ({occupancy[first]:g} and {occupancy[other[first]]:g})"
                if split.any()
                else ""
            )
            raise DataFileError(f"{text}{why}; keep one of each pair")
        # What was traced is what was traced; a result of ours must not stop its own analysis.
        log.warning("%s", text)


def _unit(bonds: NDArray[np.float64], distance: NDArray[np.float64], symbols: NDArray[np.str_]) -> str | None:
    """Return why distances cannot be in Å and the factor that makes them so, or ``None``."""
    middle, typical = float(np.median(bonds)), float(np.median(distance))
    if ORDINARY[0] <= middle <= ORDINARY[1] or middle == 0:
        return None
    text = f"nearest atoms are {typical:.3g} apart (median) where a bond is {typical / middle:.3g} Å"
    fits = [unit for unit in UNITS if FIT[0] <= middle * ANGSTROM[unit] <= FIT[1]]
    # Atoms of one kind can lie wide apart, between others that the file leaves out; those of a metal or of a compound
    # that is given whole do not.
    wide = middle > 1
    if wide and middle < 20 and not (_complete(symbols) and np.std(distance) < SPREAD * typical):
        return None
    if fits:
        return f"{text}; if the coordinates are in {fits[0]}, multiply them by {ANGSTROM[fits[0]]:g}"
    if wide:
        return f"{text}; if the coordinates are in pixels, multiply them by the pixel size (about {1 / middle:.2g} Å)"
    return None


def _complete(symbols: NDArray[np.str_]) -> bool:
    """Whether atoms are of several elements, or of a metal, whose own crystal is close-packed or nearly so."""
    from ase.data import atomic_numbers, reference_states

    if len(np.unique(symbols)) > 1:
        return True
    states = [reference_states[atomic_numbers[s]] or {} for s in np.unique(symbols)]
    return all(state.get("symmetry") in ("fcc", "bcc", "hcp") for state in states)


def _said(position: NDArray[np.float64]) -> str:
    """Return coordinates in words."""
    return "(" + ", ".join(f"{v:.6g}" for v in position) + ")"
