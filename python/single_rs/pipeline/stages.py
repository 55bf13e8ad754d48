"""Each stage on files: what it reads, the one call that does the work, what it writes.

The pipeline and the command line share these, so that ``single-rs orient`` does exactly what ``single-rs run`` does.
Files are those of docs/conventions.md; all are written aside and renamed.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.base.errors import InputError
from single_rs.base.sampling import evenly
from single_rs.io import Movie, atomic, atomic_text, read_map, write_map, write_stack
from single_rs.io.json import write_json
from single_rs.io.star import read_poses, read_tracks, write_frames, write_poses, write_tracks
from single_rs.store.layout import ATOMS, FSC, MAPS, MOTION_FILES, POSES, STACK, STACK_FRAMES, SUMMARY, TRACK_FILE
from single_rs.store.read import Maps, load_maps

if TYPE_CHECKING:
    from single_rs.analysis.model import Particle
    from single_rs.base.progress import Progress
    from single_rs.pipeline.config import Config
    from single_rs.records import Atoms, CleanStack, Density, Motion, Poses, Track

__all__ = [
    "analyze",
    "correct",
    "cut",
    "describe",
    "export",
    "find",
    "orient",
    "placed",
    "rebuild",
    "stack_box",
    "trace",
    "update_summary",
    "write_atoms",
    "write_examples",
]

BOX_PER_DIAMETER = 1.8  # leaves a ring round the particle for the background and the delocalised fringes
BOX_MARGIN = 16.0  # Å, the least of that ring for small particles
BOX_LEAST = 1.4  # diameters that background cleaning needs
BOX_OUTSIDE = 0.05  # share of frames that may leave the field before the box is made smaller
EXAMPLES = 6  # cleaned frames kept for the report


def correct(movie: Movie, out: Path, config: Any, progress: Progress | None = None) -> Motion:
    """Correct the motion of `movie`; write ``motion.csv`` and ``mean.mrc``."""
    from single_rs.io.motion import write_motion
    from single_rs.motion import correct_motion

    motion = correct_motion(movie, config, progress=progress)
    write_motion(out / MOTION_FILES[0], motion)
    write_map(out / MOTION_FILES[1], np.asarray(motion.mean)[None], movie.pixel_size)
    return motion


def find(movie: Movie, motion: Motion, out: Path, config: Any, progress: Progress | None = None) -> list[Track]:
    """Track the particles; write ``tracks.star`` (also when there are none)."""
    from single_rs.track import find_tracks

    tracks = find_tracks(movie, motion, config, progress=progress)
    write_tracks(out / TRACK_FILE, tracks, movie.pixel_size)
    # What was written is what a later run will read; both runs must see the same digits.
    return read_tracks(out / TRACK_FILE)


def stack_box(track: Track, movie: Movie) -> int:
    """Return the edge in px of a particle's images: even, with room for its background, inside the field."""
    from scipy.fft import next_fast_len

    wanted = max(BOX_PER_DIAMETER * track.diameter, track.diameter + BOX_MARGIN) / movie.pixel_size
    rows, columns = movie.shape[1:]
    room = np.min([track.x, track.y, columns - 1 - track.x, rows - 1 - track.y], axis=0)
    inside = np.quantile(room, BOX_OUTSIDE)
    least = BOX_LEAST * track.diameter / movie.pixel_size
    half = int(next_fast_len(int(np.ceil(wanted / 2)), real=True))
    if half > inside:
        half = int(max(np.floor(inside), np.ceil(least / 2)))
    return 2 * half


def cut(movie: Movie, motion: Motion, track: Track, folder: Path) -> None:
    """Extract the single frames of one particle; write ``stack.mrcs`` and ``stack.star``."""
    from single_rs.track import extract

    stack = extract(movie, motion, track, stack_box(track, movie))
    write_stack(folder / STACK, stack.images, stack.pixel_size)
    write_frames(folder / STACK_FRAMES, stack, STACK)


def orient(
    clean: CleanStack,
    element: str,
    folder: Path,
    config: Any,
    seed: int,
    progress: Progress | None = None,
    stack_name: str = STACK,
) -> Poses:
    """Find the poses; write ``poses.star`` and give back what stands in it."""
    from single_rs.orient import find_poses
    from single_rs.pipeline.material import lattice_seed

    symbol, config = lattice_seed(element, config)
    poses = find_poses(clean, symbol, config, progress=progress, seed=seed)
    write_poses(folder / POSES, poses, stack_name, clean.pixel_size, clean.images.shape[1])
    return read_poses(folder / POSES)


def rebuild(clean: CleanStack, poses: Poses, folder: Path, config: Any, progress: Progress | None = None) -> Density:
    """Reconstruct the density; write the map, its halves and ``fsc.csv``."""
    from single_rs.reconstruction.fourier import reconstruct

    result = reconstruct(clean, poses, config, progress)
    for name, density in zip(MAPS, (result.map, result.half1, result.half2), strict=True):
        write_map(folder / name, density, result.pixel_size)
    with atomic_text(folder / FSC) as f:
        f.write(f"# resolution at FSC 0.143 [A]: {result.resolution:.6g}\n")
        table = csv.writer(f, lineterminator="\n")
        table.writerow(["frequency", "fsc"])
        table.writerows([f"{k:.8g}", f"{v:.8g}"] for k, v in zip(result.frequency, result.fsc, strict=True))
    return result


def trace(
    maps: Maps | Density, element: str, diameter: float | None, config: Any, progress: Progress | None = None
) -> Atoms:
    """Find the atoms of a map."""
    from single_rs.atoms import trace_atoms

    return trace_atoms(maps.map, maps.pixel_size, element, diameter, maps.half1, maps.half2, config, progress=progress)


def write_atoms(atoms: Atoms, maps: Maps, folder: Path) -> None:
    """Write traced atoms as ``atoms.xyz``, with neighbours but without lattice and strain."""
    from single_rs.analysis.model import Particle
    from single_rs.analysis.structure import analyze_structure
    from single_rs.export.atoms import write_xyz

    local = analyze_structure(atoms.positions)
    columns = (local.coordination, local.structure_type, local.surface)
    write_xyz(folder / ATOMS, Particle(atoms, *columns, box=len(maps.map), pixel_size=maps.pixel_size))


def analyze(
    atoms: Atoms,
    element: str | None,
    folder: Path,
    config: Config,
    frame: tuple[int, float] | None = None,
    progress: Progress | None = None,
    density: Path | None = None,
) -> Particle:
    """Fit the lattice, compute strain and structure; write ``atoms.xyz``, ``lattice.json`` and the chosen formats.

    `frame` is the (box in px, pixel size in Å) of the map that the files shall overlay, if there is one. `density` is
    the file of that map, for the strain from its phases; when not given, ``map.mrc`` in the folder.
    """
    from single_rs.analysis.analyze import analyze
    from single_rs.export.analysis import write_analysis

    box, pixel_size = frame or (None, None)
    source = density or (folder / MAPS[0] if (folder / MAPS[0]).exists() else None)
    maps = None if source is None or frame is None else load_maps(source)
    if maps is not None and frame is not None and not _same_grid(maps, frame):
        raise InputError(
            f"{source} has {len(maps.map)} voxels of {maps.pixel_size:.4g} Å, the atoms were traced in {frame[0]} of "
            f"{frame[1]:.4g} Å; give the map of these atoms"
        )
    model = analyze(
        atoms,
        element,
        config.lattice.structure,
        config.strain,
        box,
        pixel_size,
        progress,
        density=None if maps is None else maps.map,
        noise=None if maps is None or maps.half1 is None or maps.half2 is None else (maps.half1 - maps.half2) / 2,
    )
    write_analysis(folder, model, config.export.formats, config.export.vacuum, config.export.dft)
    return model


def _same_grid(maps: Maps, frame: tuple[int, float]) -> bool:
    """Whether a map has the box and, to the digits of a header, the pixel size of the atoms' file."""
    return len(maps.map) == frame[0] and abs(maps.pixel_size / frame[1] - 1) < 1e-3


def placed(
    atoms: Atoms, frame: tuple[int, float] | None, density: Path | None, source: Path
) -> tuple[Atoms, tuple[int, float] | None, Path | None]:
    """Return atoms from the box centre, their box and pixel size, and the file of their map.

    Atoms without a box take that of the map; with one and no map, ``map.mrc`` beside their file is theirs.
    """
    if density is None:
        beside = source.with_name(MAPS[0])
        return atoms, frame, beside if frame is not None and beside.exists() else None
    if frame is None:
        volume, pixel_size = read_map(density)
        frame = len(volume), pixel_size
        atoms = replace(atoms, positions=atoms.positions - (frame[0] // 2) * pixel_size)
    return atoms, frame, density


def update_summary(folder: Path, model: Particle) -> None:
    """Write the numbers of `analyze` into ``summary.json``; what a run has written there besides them stays."""
    from single_rs.analysis.analyze import summarise

    path = folder / SUMMARY
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**before, **summarise(model)})


def export(atoms: Atoms, folder: Path, config: Any, frame: tuple[int, float] | None = None) -> list[Path]:
    """Write atoms for other programs; return the files."""
    from single_rs.analysis.analyze import analyze
    from single_rs.export.formats import write_formats

    box, pixel_size = frame or (None, None)
    model = analyze(atoms, box=box, pixel_size=pixel_size)
    return write_formats(folder, model, config.formats, config.vacuum, config.dft)


def describe(model: Particle) -> str:
    """Return one line on the atoms and their lattice."""
    from single_rs.analysis.analyze import describe_particle

    return describe_particle(model)


def write_examples(clean: CleanStack, folder: Path) -> None:
    """Keep a few cleaned frames for the report: ``clean_examples.npy`` and their rows in ``clean_examples.json``."""
    good = np.flatnonzero(~np.asarray(clean.bad))
    rows = good[evenly(len(good), EXAMPLES)]
    with atomic(folder / "clean_examples.npy") as partial:
        np.save(partial, np.asarray(clean.images[rows], np.float32))
    write_json(folder / "clean_examples.json", {"index": rows.tolist()})
