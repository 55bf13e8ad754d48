"""The other hand: the same particle mirrored, with the poses that give the same images.

Projections along the beam z cannot tell a particle x from its inverse -x: with F = diag(-1, -1, 1),

    F R (-x) = (R x)_x, (R x)_y, -(R x)_z,

so the map inverted about its centre voxel, ρ'(i) = ρ(-i mod N), the atoms -x and the rotations F R explain every image
equally well, with the same shifts. Strain, a tensor of even rank, does not change under inversion.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import DataFileError
from single_rs.base.rotations import BEAM_HALF_TURN
from single_rs.export.atoms import file_offset, read_xyz
from single_rs.io import read_map, read_origin, write_map
from single_rs.io.star import read_poses, write_poses
from single_rs.pipeline import stages
from single_rs.pipeline.config import Config
from single_rs.store.codecs import read_record
from single_rs.store.folder import one_stage
from single_rs.store.layout import ATOMS, FSC, MAPS, POSES, STACK, STATES
from single_rs.store.read import frame_of, load_maps
from single_rs.store.states import StatesRecord, flip_states

__all__ = ["flip_folder", "flip_map", "flip_positions", "flip_rotations"]


def flip_map(map: NDArray[Any]) -> NDArray[Any]:
    """Return a map (z, y, x) inverted about its centre, voxel N//2 of each even axis.

    Parameters
    ----------
    map
        (z, y, x), any type.
    """
    # Index 0 of an even axis is its own image, so reversing must be followed by a step of one.
    axes = (0, 1, 2)
    return np.roll(np.flip(map, axes), (1, 1, 1), axes)


def flip_positions(positions: ArrayLike) -> NDArray[np.float64]:
    """Return positions (n, 3), Å from the box centre, inverted.

    Parameters
    ----------
    positions
        (n, 3) Å from the box centre.
    """
    return 0.0 - np.asarray(positions, np.float64)


def flip_rotations(rotations: ArrayLike) -> NDArray[np.float64]:
    """Return the rotations (n, 3, 3) that show the inverted particle in the same images.

    Parameters
    ----------
    rotations
        (n, 3, 3), x_lab = R · x_particle.
    """
    return BEAM_HALF_TURN @ np.asarray(rotations, np.float64)


def flip_folder(folder: Path, out: Path, config: Config) -> list[Path]:
    """Write the mirrored map, half maps, poses and atoms of a particle's folder, and its states, to another folder.

    Parameters
    ----------
    folder
        Folder of a particle of a run.
    out
        Another folder.
    config
        Settings for the analysis of the mirrored atoms.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    DataFileError
        When a file is missing, or `out` is `folder`.
    """
    for name in (*MAPS, POSES, ATOMS):
        if not (folder / name).exists():
            raise DataFileError(f"{folder / name} does not exist; give the folder of a solved particle")
    if out.resolve() == folder.resolve():
        raise DataFileError(f"--out is {out} itself; give another folder, so that neither hand is lost")
    frame = frame_of(folder / ATOMS)
    offset = np.zeros(3) if frame is None else file_offset(frame.box, frame.pixel_size)
    with one_stage(out, "flip-hand") as writing:
        names = _flip(folder, writing, config)
        if (folder / STATES).exists():
            record = read_record(folder / STATES, StatesRecord)
            names += flip_states(folder, writing, offset)
            for place in (Path(state.atoms).parent for state in record.states if state.atoms is not None):
                if place != Path() and (folder / place / ATOMS).exists():
                    (writing / place).mkdir(parents=True)
                    names += [str(place / name) for name in _flip(folder / place, writing / place, config)]
    return [out / name for name in names]


def _flip(folder: Path, writing: Path, config: Config) -> list[str]:
    """Write the mirrored files of a particle, or of one of its states, into an empty folder; return their names."""
    poses = read_poses(folder / POSES)
    atoms = read_xyz(folder / ATOMS)
    frame = frame_of(folder / ATOMS)
    for name in MAPS:
        density, pixel_size = read_map(folder / name)
        write_map(writing / name, flip_map(density), pixel_size, read_origin(folder / name))
    mirrored = replace(poses, rotations=flip_rotations(poses.rotations))
    write_poses(writing / POSES, mirrored, STACK, pixel_size, len(density))
    shutil.copyfile(folder / FSC, writing / FSC)
    flipped = replace(atoms, positions=flip_positions(atoms.positions))
    maps = load_maps(writing / MAPS[0])
    stages.analyze_atoms(flipped, None, writing, config, frame, maps=maps)
    return [*MAPS, POSES, FSC, ATOMS]
