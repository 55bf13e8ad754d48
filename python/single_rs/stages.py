"""Each stage on files: what it reads, the one call that does the work, what it writes.

The pipeline and the command line share these, so that ``single-rs orient`` does exactly what ``single-rs run`` does.
Files are those of docs/conventions.md; all are written aside and renamed.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.errors import DataFileError, InputError
from single_rs.io import (
    Movie,
    ParticleStack,
    atomic,
    atomic_text,
    read_map,
    read_stack,
    write_map,
    write_stack,
)
from single_rs.io.json import write_json
from single_rs.io.star import read_frames, read_poses, read_tracks, write_frames, write_poses, write_tracks
from single_rs.sampling import evenly

if TYPE_CHECKING:
    from single_rs.atoms import Atoms
    from single_rs.background import CleanStack
    from single_rs.config import Config
    from single_rs.export import ParticleModel
    from single_rs.motion import Motion
    from single_rs.orient import Poses
    from single_rs.progress import Progress
    from single_rs.reconstruction import Reconstruction
    from single_rs.track import Track

__all__ = [
    "Maps",
    "analyze",
    "correct",
    "cut",
    "describe",
    "export",
    "find",
    "frame_of",
    "load_maps",
    "load_reconstruction",
    "load_stack",
    "orient",
    "particle_folder",
    "placed",
    "read_fsc",
    "read_motion",
    "rebuild",
    "stack_box",
    "trace",
    "update_summary",
    "write_atoms",
    "write_examples",
]

STACK, POSES, FSC, ATOMS, SUMMARY = "stack.mrcs", "poses.star", "fsc.csv", "atoms.xyz", "summary.json"
MAPS = ("map.mrc", "half1.mrc", "half2.mrc")
MOTION_FILES, TRACK_FILE = ("motion.csv", "mean.mrc"), "tracks.star"
STACK_FRAMES = "stack.star"
# Stage of a particle → patterns of the files it writes.
RESULTS: dict[str, tuple[str, ...]] = {
    "orient": ("poses*.star",),
    "reconstruct": (*MAPS, FSC),
    "analyze": (
        "atoms.*",
        SUMMARY,
        "lattice.json",
        "structure.*",
        "strain.*",
        "strain_*.mrc",
        "gpa.vti",
        "gpa_*.mrc",
        "distances.csv",
        "pdf.csv",
        "powder.csv",
        "validation*",
        "POSCAR*",
        "vasp*/*",
        "qe*.in",
        "gpaw_*",
        "cp2k*.inp",
        "lammps*",
        "README_dft.md",
        "energy.*",
        "energy_*.png",
    ),
}
BOX_PER_DIAMETER = 1.8  # leaves a ring round the particle for the background and the delocalised fringes
BOX_MARGIN = 16.0  # Å, the least of that ring for small particles
BOX_LEAST = 1.4  # diameters that background cleaning needs
BOX_OUTSIDE = 0.05  # share of frames that may leave the field before the box is made smaller
EXAMPLES = 6  # cleaned frames kept for the report


def correct(movie: Movie, out: Path, config: Any, progress: Progress | None = None) -> Motion:
    """Correct the motion of `movie`; write ``motion.csv`` and ``mean.mrc``."""
    from single_rs.motion import correct_motion, write_motion

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


def particle_folder(out: Path, number: int) -> Path:
    """Return the folder of a particle in that of its run, ``particle_NN``; made if needed."""
    folder = out / f"particle_{number:02d}"
    folder.mkdir(exist_ok=True)
    return folder


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


def read_motion(out: Path) -> Motion:
    """Read the motion that `correct` wrote."""
    from single_rs.motion import read_motion as read

    path = out / MOTION_FILES[0]
    if not path.exists():
        raise DataFileError(f"{path} does not exist; run 'single-rs motion MOVIE --out {out}' first")
    return read(path)


def load_stack(path: Path, pixel_size: float | None = None) -> ParticleStack:
    """Open a stack; a STAR file of the same name beside it gives movie frames, offsets and diameter."""
    stack = read_stack(path, pixel_size)
    frames = path.with_suffix(".star")
    return read_frames(frames, stack) if path.name == STACK and frames.exists() else stack


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
    from single_rs.material import lattice_seed
    from single_rs.orient import find_poses

    symbol, config = lattice_seed(element, config)
    poses = find_poses(clean, symbol, config, progress=progress, seed=seed)
    write_poses(folder / POSES, poses, stack_name, clean.pixel_size, clean.images.shape[1])
    return read_poses(folder / POSES)


def rebuild(
    clean: CleanStack, poses: Poses, folder: Path, config: Any, progress: Progress | None = None
) -> Reconstruction:
    """Reconstruct the density; write the map, its halves and ``fsc.csv``."""
    from single_rs.reconstruction import reconstruct

    result = reconstruct(clean, poses, config, progress)
    for name, density in zip(MAPS, (result.map, result.half1, result.half2), strict=True):
        write_map(folder / name, density, result.pixel_size)
    with atomic_text(folder / FSC) as f:
        f.write(f"# resolution at FSC 0.143 [A]: {result.resolution:.6g}\n")
        table = csv.writer(f, lineterminator="\n")
        table.writerow(["frequency", "fsc"])
        table.writerows([f"{k:.8g}", f"{v:.8g}"] for k, v in zip(result.frequency, result.fsc, strict=True))
    return result


def read_fsc(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Return frequency (n,) 1/Å, FSC (n,) and resolution Å from ``fsc.csv``."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        resolution = float(lines[0].rpartition(":")[2])
        table = np.array([[float(v) for v in line.split(",")] for line in lines[2:]])
    except (OSError, ValueError, IndexError) as error:
        raise DataFileError(f"cannot read {path}: {error}") from None
    return table[:, 0], table[:, 1], resolution


def load_reconstruction(folder: Path) -> Reconstruction:
    """Read back what `rebuild` wrote."""
    from single_rs.reconstruction import Reconstruction

    (density, pixel_size), (half1, _), (half2, _) = (read_map(folder / name) for name in MAPS)
    frequency, fsc, resolution = read_fsc(folder / FSC)
    return Reconstruction(
        map=density,
        half1=half1,
        half2=half2,
        pixel_size=pixel_size,
        fsc=fsc,
        frequency=frequency,
        resolution=resolution,
    )


@dataclass(frozen=True)
class Maps:
    """A map and its halves, (z, y, x); halves are ``None`` when they are not beside it."""

    map: np.ndarray
    half1: np.ndarray | None
    half2: np.ndarray | None
    pixel_size: float


def load_maps(path: Path) -> Maps:
    """Read a map, and its half maps if ``half1.mrc`` and ``half2.mrc`` are in the same folder."""
    density, pixel_size = read_map(path)
    halves = [path.with_name(name) for name in MAPS[1:]]
    if not all(h.exists() for h in halves):
        return Maps(density, None, None, pixel_size)
    half1, half2 = (read_map(h)[0] for h in halves)
    return Maps(density, half1, half2, pixel_size)


def trace(
    maps: Maps | Reconstruction, element: str, diameter: float | None, config: Any, progress: Progress | None = None
) -> Atoms:
    """Find the atoms of a map."""
    from single_rs.atoms import trace_atoms

    return trace_atoms(maps.map, maps.pixel_size, element, diameter, maps.half1, maps.half2, config, progress=progress)


def write_atoms(atoms: Atoms, maps: Maps, folder: Path) -> None:
    """Write traced atoms as ``atoms.xyz``, with neighbours but without lattice and strain."""
    from single_rs.export import ParticleModel, write_xyz
    from single_rs.structure import analyse_structure

    local = analyse_structure(atoms.positions)
    columns = (local.coordination, local.structure_type, local.surface)
    write_xyz(folder / ATOMS, ParticleModel(atoms, *columns, box=len(maps.map), pixel_size=maps.pixel_size))


def analyze(
    atoms: Atoms,
    element: str | None,
    folder: Path,
    config: Config,
    frame: tuple[int, float] | None = None,
    progress: Progress | None = None,
    density: Path | None = None,
) -> ParticleModel:
    """Fit the lattice, compute strain and structure; write ``atoms.xyz``, ``lattice.json`` and the chosen formats.

    `frame` is the (box in px, pixel size in Å) of the map that the files shall overlay, if there is one. `density` is
    the file of that map, for the strain from its phases; when not given, ``map.mrc`` in the folder.
    """
    from single_rs.analysis import analyse, write_analysis

    box, pixel_size = frame or (None, None)
    source = density or (folder / MAPS[0] if (folder / MAPS[0]).exists() else None)
    maps = None if source is None or frame is None else load_maps(source)
    if maps is not None and frame is not None and not _same_grid(maps, frame):
        raise InputError(
            f"{source} has {len(maps.map)} voxels of {maps.pixel_size:.4g} Å, the atoms were traced in {frame[0]} of "
            f"{frame[1]:.4g} Å; give the map of these atoms"
        )
    model = analyse(
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


def update_summary(folder: Path, model: ParticleModel) -> None:
    """Write the numbers of `analyse` into ``summary.json``; what a run has written there besides them stays."""
    from single_rs.analysis import summarise

    path = folder / SUMMARY
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**before, **summarise(model)})


def export(atoms: Atoms, folder: Path, config: Any, frame: tuple[int, float] | None = None) -> list[Path]:
    """Write atoms for other programs; return the files."""
    from single_rs.analysis import analyse
    from single_rs.export_dft import write_formats

    box, pixel_size = frame or (None, None)
    model = analyse(atoms, box=box, pixel_size=pixel_size)
    return write_formats(folder, model, config.formats, config.vacuum, config.dft)


def frame_of(path: Path) -> tuple[int, float] | None:
    """Return the box and pixel size in the header of an ``atoms.xyz`` of ours, ``None`` for other files."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        header = "".join(itertools.islice(lines, 2))
    box, pixel = re.search(r"\bbox=(\d+)", header), re.search(r"\bpixel_size=([0-9.eE+-]+)", header)
    return (int(box[1]), float(pixel[1])) if box and pixel else None


def describe(model: ParticleModel) -> str:
    """Return one line on the atoms and their lattice."""
    text = f"{len(model.atoms.positions)} atoms"
    if model.lattice is not None:
        p = model.lattice.parameters
        text += f", {model.lattice.structure}, a b c {p.a:.3f} {p.b:.3f} {p.c:.3f} Å (± {p.a_err:.3f})"
        text += f", α β γ {p.alpha:.2f} {p.beta:.2f} {p.gamma:.2f}°"
    return "; ".join([text, *model.notes])


def write_examples(clean: CleanStack, folder: Path) -> None:
    """Keep a few cleaned frames for the report: ``clean_examples.npy`` and their rows in ``clean_examples.json``."""
    good = np.flatnonzero(~np.asarray(clean.bad))
    rows = good[evenly(len(good), EXAMPLES)]
    with atomic(folder / "clean_examples.npy") as partial:
        np.save(partial, np.asarray(clean.images[rows], np.float32))
    write_json(folder / "clean_examples.json", {"index": rows.tolist()})
