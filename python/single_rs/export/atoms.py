"""Atoms of a particle in files: extxyz with all that is known of each atom, PDB, CIF; and reading any of them.

Positions. In the library an atom lies at (x, y, z) Å from the box centre, voxel N//2; in files

    file position = library position + (N//2) · pixel_size + ORIGIN of the map,

so that a map and its atoms overlay in ChimeraX. Our maps have ORIGIN 0, those of others keep theirs. Box, pixel size
and an ORIGIN that is not 0 stand in the header (extxyz keys, PDB REMARK 3), from which `read_xyz` finds the library
positions again. Without box and pixel size positions are written as they are.

Columns of the extxyz: species, pos (Å), sigma (Å per axis), height (map units), bfactor (Å²), cn (coordination),
structure_type (OVITO's codes: other 0, fcc 1, hcp 2, bcc 3, ico 4), strain (xx, yy, zz, xy, xz, yz; fraction, tensor
shear, axes named by the key strain_frame), radial_strain (fraction), surface (0 or 1). Unknown values are nan. Refined
atoms have probability, cov (Å²) and, where errors are shared, shared (three Å for each of `Atoms.modes`).

References: extended XYZ as read by ASE (A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017),
doi:10.1088/1361-648X/aa680e); PDB format 3.3; CIF (S. R. Hall et al., Acta Cryst. A 47, 655 (1991),
doi:10.1107/S010876739101067X).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs._core import __version__
from single_rs.analysis.model import Particle
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import write_text
from single_rs.io.atom_files import read_atom_file
from single_rs.records import Atoms

__all__ = ["file_offset", "read_xyz", "write_cif", "write_pdb", "write_xyz"]

_PROPERTIES = (
    "species:S:1:pos:R:3:sigma:R:1:height:R:1:bfactor:R:1:cn:I:1:structure_type:I:1"
    ":strain:R:6:radial_strain:R:1:surface:I:1"
)
_REFINED = ":probability:R:1:cov:R:6"  # of refined atoms; xx, yy, zz, xy, xz, yz in Å²
_LIGAND = ":ligand:I:1"  # 0 the particle, 1 ligand or solvent, 2 apart from the particle; only where there are such
_UPPER = ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2))  # order of the six components in files
# The field widths of PDB hold serial numbers to 99,999 and residue numbers to 9,999; beyond they start again.
_PDB_SERIAL, _PDB_RESIDUE = 100_000, 10_000


def file_offset(
    box: int | None, pixel_size: float | None, origin: Sequence[float] | NDArray[np.float64] = (0.0, 0.0, 0.0)
) -> NDArray[np.float64]:
    """Å (3,) added to library positions in files, (N//2) · pixel_size + origin; 0 without a box."""
    if box is None or pixel_size is None:
        return np.zeros(3)
    if box < 1 or not pixel_size > 0:
        raise InputError(f"box is {box} px and pixel_size {pixel_size} Å; both must be more than 0")
    return (box // 2) * float(pixel_size) + np.asarray(origin, np.float64)


def _header(model: Particle) -> str:
    """Comment line of the extxyz file."""
    refined = "" if model.atoms.covariance is None else _REFINED
    ligand = "" if model.others is None else _LIGAND
    shared = "" if model.atoms.modes is None else f":shared:R:{3 * len(model.atoms.modes)}"
    keys = [f"Properties={_PROPERTIES}{refined}{shared}{ligand}", 'pbc="F F F"', 'hand="undetermined"']
    if model.box is not None:
        keys += [f"pixel_size={model.pixel_size}", f"box={model.box}"]
        moved = any(model.origin)
        keys += [f'origin="{" ".join(map(repr, model.origin))}"'] if moved else []
        more = " + origin" if moved else ""
        keys.append(f'frame="file position = position from the box centre + (box//2)*pixel_size{more}, Angstrom"')
    else:
        keys.append('frame="as given, Angstrom"')
    if model.strain is not None:
        axes = "a,b,c of the lattice" if model.strain.frame == "crystal" else "x,y,z of this file"
        keys += [f'strain_frame="{model.strain.frame}: {axes}"', f'strain_reference="{model.strain.reference}"']
        keys += ['strain_components="xx,yy,zz,xy,xz,yz"', f"strain_kernel={model.strain.kernel_width}"]
    if model.lattice is not None:
        keys.append(f'structure="{model.lattice.structure}"')
    return " ".join([*keys, f'program="single_rs {__version__}"'])


def write_xyz(path: str | os.PathLike[str], model: Particle) -> None:
    """Write atoms.xyz (extended XYZ), see the module for columns and frame.

    Parameters
    ----------
    path
        File; replaced if it exists.
    model
        Atoms with what is known of each.

    Raises
    ------
    DataFileError
        If the file cannot be written.
    """
    a, count = model.atoms, len(model.atoms.positions)
    place = np.asarray(a.positions) + file_offset(model.box, model.pixel_size, model.origin)
    tensor = model.strain.tensor if model.strain is not None else np.full((count, 6), np.nan)
    radial = model.strain.radial if model.strain is not None else np.full(count, np.nan)
    lines = [str(count), _header(model)]
    for k in range(count):
        numbers = [f"{v:.6f}" for v in (*place[k], a.sigma[k])] + [f"{a.height[k]:.6g}", f"{a.bfactor[k]:.4f}"]
        codes = [str(int(model.coordination[k])), str(int(model.structure_type[k]))]
        strains = [f"{v:.7f}" for v in (*tensor[k], radial[k])]
        lines.append(" ".join([str(a.symbols[k]), *numbers, *codes, *strains, str(int(model.surface[k]))]))
        if a.covariance is not None:
            lines[-1] += "".join(f" {v:.6g}" for v in (a.probability[k], *a.covariance[k][_UPPER]))
        if a.modes is not None:
            lines[-1] += "".join(f" {v:.5g}" for v in a.modes[:, k].ravel())
        if model.others is not None:
            lines[-1] += " 0"
    lines += _other_lines(model)
    lines[0] = str(len(lines) - 2)
    write_text(path, "\n".join(lines) + "\n")


def _other_lines(model: Particle) -> list[str]:
    """Lines of the atoms that are not the particle: position and what was measured of each, nothing analysed."""
    a, ligand = model.others, model.ligand
    if a is None or ligand is None:
        return []
    place = np.asarray(a.positions) + file_offset(model.box, model.pixel_size, model.origin)
    lines = []
    for k in range(len(a)):
        numbers = [f"{v:.6f}" for v in (*place[k], a.sigma[k])] + [f"{a.height[k]:.6g}", f"{a.bfactor[k]:.4f}"]
        line = [str(a.symbols[k]), *numbers, "0", "0", *["nan"] * 7, "0"]
        if model.atoms.covariance is not None:
            spread = np.full((3, 3), np.nan) if a.covariance is None else a.covariance[k]
            line += [f"{v:.6g}" for v in (a.probability[k], *spread[_UPPER])]
        if a.modes is not None:
            line += [f"{v:.5g}" for v in a.modes[:, k].ravel()]
        lines.append(" ".join([*line, "1" if ligand[k] else "2"]))
    return lines


def write_pdb(path: str | os.PathLike[str], model: Particle) -> None:
    """Write a PDB file: one residue per atom, occupancy = probability of the peak, B-factor in Å²; overlays the map."""
    place = np.asarray(model.atoms.positions) + file_offset(model.box, model.pixel_size, model.origin)
    if np.abs(place).max() >= 1000:
        raise InputError(f"a position is {np.abs(place).max():.0f} Å; PDB holds less than 1000 Å, write extxyz instead")
    lines = ["REMARK   3 SINGLE_RS HAND UNDETERMINED"]
    if model.box is not None:
        lines.append(f"REMARK   3 SINGLE_RS BOX {model.box} PIXEL_SIZE {model.pixel_size}")
        if any(model.origin):
            lines.append(f"REMARK   3 SINGLE_RS ORIGIN {' '.join(map(repr, model.origin))}")
    occupancy = np.nan_to_num(np.asarray(model.atoms.probability, dtype=float), nan=1.0)
    bfactor = np.clip(np.nan_to_num(np.asarray(model.atoms.bfactor, dtype=float)), 0, 999.99)
    for k, (symbol, r) in enumerate(zip(model.atoms.symbols, place, strict=True), start=1):
        # Element symbols are right-justified in columns 13-14, as PDB asks.
        name = str(symbol).upper()
        lines.append(
            f"HETATM{k % _PDB_SERIAL:5d} {name:>2s}   {name:>3s} A{k % _PDB_RESIDUE:4d}    "
            f"{r[0]:8.3f}{r[1]:8.3f}{r[2]:8.3f}{occupancy[k - 1]:6.2f}{bfactor[k - 1]:6.2f}          {name:>2s}"
        )
    write_text(path, "\n".join([*lines, "END"]) + "\n", encoding="ascii")


def write_cif(path: str | os.PathLike[str], model: Particle, vacuum: float = 10.0) -> None:
    """Write a CIF in P1 with the map's box as cell, so that it overlays; without a box, particle and vacuum (Å)."""
    from gemmi import cif

    if model.box is not None and model.pixel_size is not None:
        lengths = np.full(3, model.box * float(model.pixel_size))
        place = np.asarray(model.atoms.positions) + file_offset(model.box, model.pixel_size, model.origin)
    else:
        periodic = model.atoms.to_ase(vacuum)
        lengths, place = periodic.cell.lengths(), periodic.positions
    document = cif.Document()
    block = document.add_new_block("particle")
    block.set_pair("_audit_creation_method", cif.quote(f"single_rs {__version__}; hand undetermined"))
    for name, value in zip("abc", lengths, strict=True):
        block.set_pair(f"_cell_length_{name}", f"{value:.6f}")
    for name in ("alpha", "beta", "gamma"):
        block.set_pair(f"_cell_angle_{name}", "90")
    block.set_pair("_space_group_name_H-M_alt", cif.quote("P 1"))
    block.set_pair("_space_group_IT_number", "1")
    block.init_loop("_space_group_symop_", ["operation_xyz"]).add_row([cif.quote("x,y,z")])
    columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "B_iso_or_equiv"]
    loop = block.init_loop("_atom_site_", columns)
    occupancy = np.nan_to_num(np.asarray(model.atoms.probability, dtype=float), nan=1.0)
    for k, symbol in enumerate(model.atoms.symbols):
        b = model.atoms.bfactor[k]
        row = [f"{symbol}{k + 1}", str(symbol), *(f"{v:.8f}" for v in place[k] / lengths)]
        loop.add_row([*row, f"{occupancy[k]:.3f}", f"{b:.3f}" if np.isfinite(b) else "?"])
    # Not write_file, which says nothing when the disk is full.
    write_text(path, document.as_string())


def _pdb_box(path: Path) -> dict[str, Any]:
    """Box, pixel size and origin from the REMARKs that `write_pdb` leaves."""
    found: dict[str, Any] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if words[:1] in (["ATOM"], ["HETATM"]):
                break
            if words[:4] == ["REMARK", "3", "SINGLE_RS", "ORIGIN"]:
                found["origin"] = [float(word) for word in words[4:7]]
            elif words[:3] == ["REMARK", "3", "SINGLE_RS"] and "BOX" in words and "PIXEL_SIZE" in words:
                values = dict(zip(words[3::2], words[4::2]))
                found |= {"box": int(values["BOX"]), "pixel_size": float(values["PIXEL_SIZE"])}
    return found


def read_xyz(path: str | os.PathLike[str]) -> Atoms:
    """Read atoms from extxyz, xyz, PDB, CIF, POSCAR or whatever else ASE reads (the last of several models).

    Positions are returned from the box centre when the file carries box and pixel_size (as ours do), else as they are;
    a particle across the faces of a periodic cell is put together. What a file does not hold (height, bfactor, sigma,
    probability) is NaN.

    Parameters
    ----------
    path
        File; its suffix tells the format.

    Raises
    ------
    DataFileError
        If the file is missing, holds no atoms, is in no format that ASE knows, or holds atoms that cannot be true: no
        element, two nearer than half a bond, a site of two elements, coordinates of another unit.
    """
    source = Path(path)
    found = read_atom_file(source)
    count = len(found.positions)
    try:
        info = {**found.info, **(_pdb_box(source) if source.suffix.lower() in (".pdb", ".ent") else {})}
        offset = file_offset(info.get("box"), info.get("pixel_size"), info.get("origin", (0.0, 0.0, 0.0)))
        if offset.shape != (3,) or not np.isfinite(offset).all():
            raise ValueError("three numbers are needed")
    except (ValueError, TypeError, KeyError) as error:
        raise DataFileError(f"{source}: box, pixel_size or origin in its header cannot be read: {error}") from None

    def column(*names: str) -> NDArray[np.float64]:
        for name in names:
            values = found.arrays.get(name)
            if values is not None and values.shape == (count,) and values.dtype.kind in "iuf":
                return np.asarray(values, dtype=np.float64)
        return np.full(count, np.nan)

    covariance = None
    if found.arrays.get("cov", np.empty(0)).shape == (count, 6):
        covariance = np.empty((count, 3, 3))
        covariance[:, *_UPPER] = covariance[:, *_UPPER[::-1]] = found.arrays["cov"]
    modes, given = None, found.arrays.get("shared", np.empty(0))
    if covariance is not None and given.ndim == 2 and given.shape[1] % 3 == 0:
        modes = np.ascontiguousarray(given.reshape(count, -1, 3).transpose(1, 0, 2), np.float64)
    try:
        return Atoms(
            covariance=covariance,
            modes=modes,
            positions=found.positions - offset,
            symbols=found.symbols,
            height=column("height"),
            bfactor=column("bfactor"),
            sigma=column("sigma"),
            probability=column("probability", "occupancy"),
        )
    except InputError as error:
        raise DataFileError(f"{source}: {error}") from None
