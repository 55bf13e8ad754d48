"""Results of a run, read back from its files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from single_rs.base.errors import DataFileError, InputError
from single_rs.base.reading import AS_IS
from single_rs.base.sampling import evenly
from single_rs.io import Reading, read_map, read_origin, read_stack
from single_rs.io import motion as motion_table
from single_rs.io.star import posed_stack, read_frames
from single_rs.records import Density, Motion, ParticleStack, Poses
from single_rs.records.density import ShellCorrelation
from single_rs.store.layout import ATOMS, FSC, MAPS, MOTION, PARTICLES, STACK
from single_rs.store.tables import read_table

__all__ = [
    "MapFrame",
    "Maps",
    "atom_files",
    "frame_of",
    "load_maps",
    "load_posed",
    "load_stack",
    "read_density",
    "read_motion",
]


def read_motion(out: Path) -> Motion:
    """Read the motion of a run."""
    path = out / MOTION
    if not path.exists():
        raise DataFileError(f"{path} does not exist; run 'single-rs motion MOVIE --out {out}' first")
    return motion_table.read_motion(path)


def load_stack(path: Path, pixel_size: float | None = None, reading: Reading = AS_IS) -> ParticleStack:
    """Open a stack; a STAR file of the same name beside it gives movie frames, offsets and diameter.

    Of a part of a stack, or of other pixels, all three are measured again.
    """
    stack = read_stack(path, pixel_size, reading)
    looked = stack.images[evenly(len(stack), LOOKED)]
    if all(image.min() == image.max() for image in looked):
        raise InputError(f"{path} is blank: all of {len(looked)} images looked at hold one value each")
    if reading.changes:
        return stack
    frames = path.with_suffix(".star")
    return read_frames(frames, stack) if path.name == STACK and frames.exists() else stack


def load_posed(path: Path, poses: Path, pixel_size: float | None = None) -> tuple[ParticleStack, Poses]:
    """Open the images of a stack that a STAR file has poses of, and these poses; see `posed_stack`."""
    return posed_stack(poses, load_stack(path, pixel_size), path)


def read_density(place: Callable[[str], Path]) -> Density:
    """Read the map of a particle, its halves and its FSC; `place` tells where the file of a name is."""
    (density, pixel_size), (half1, _), (half2, _) = (read_map(place(name)) for name in MAPS)
    shells = read_table(place(FSC), ShellCorrelation)
    try:
        return Density(
            map=density,
            half1=half1,
            half2=half2,
            pixel_size=pixel_size,
            fsc=shells.fsc,
            frequency=shells.frequency,
            resolution=shells.resolution,
        )
    except InputError as error:
        raise DataFileError(f"{place(MAPS[0]).parent}, {', '.join((*MAPS, FSC))}: {error}") from None


LOOKED = 8  # images of a stack that are looked at before any work


def atom_files(path: Path) -> list[Path]:
    """Return the files of atoms in a run (every particle's atoms.xyz), in a particle's folder, or the file itself."""
    if not path.is_dir():
        return [path]
    found = [path / ATOMS] if (path / ATOMS).is_file() else sorted(path.glob(f"{PARTICLES}/{ATOMS}"))
    if not found:
        raise DataFileError(f"{path} holds no {ATOMS} and no {PARTICLES}/{ATOMS}; give a file of atoms or a run")
    return found


class MapFrame(NamedTuple):
    """The map that atoms belong to: edge in px, Å per voxel, and (x, y, z) Å of voxel 0 in files."""

    box: int
    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Maps:
    """A map and its halves, (z, y, x), and (x, y, z) Å of voxel 0; halves are ``None`` when they are not beside it."""

    map: np.ndarray
    half1: np.ndarray | None
    half2: np.ndarray | None
    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def frame(self) -> MapFrame:
        """Box, pixel size and origin."""
        return MapFrame(len(self.map), self.pixel_size, self.origin)


def load_maps(path: Path) -> Maps:
    """Read a map, and its half maps if ``half1.mrc`` and ``half2.mrc`` are in the same folder."""
    density, pixel_size = read_map(path)
    halves = [path.with_name(name) for name in MAPS[1:]]
    if not all(h.exists() for h in halves):
        return Maps(density, None, None, pixel_size, read_origin(path))
    half1, half2 = (read_map(h)[0] for h in halves)
    return Maps(density, half1, half2, pixel_size, read_origin(path))


def frame_of(path: Path) -> MapFrame | None:
    """Return box, pixel size and origin in the header of an ``atoms.xyz`` of ours, ``None`` for other files."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        header = "".join(itertools.islice(lines, 2))
    box, pixel = re.search(r"\bbox=(\d+)", header), re.search(r"\bpixel_size=([0-9.eE+-]+)", header)
    if not box or not pixel:
        return None
    place = re.search(r'\borigin="([0-9.eE+-]+) ([0-9.eE+-]+) ([0-9.eE+-]+)"', header)
    origin = (float(place[1]), float(place[2]), float(place[3])) if place else (0.0, 0.0, 0.0)
    return MapFrame(int(box[1]), float(pixel[1]), origin)
