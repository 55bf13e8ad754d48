"""Each stage on files: the one call that does the work, and what it writes into the folder it is given.

The pipeline and the command line share these, so that ``single-rs orient`` does exactly what ``single-rs run`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from single_rs.analysis import Particle, ParticleSummary, analyze, summarise
from single_rs.analysis.structure import analyze_structure
from single_rs.atoms import TraceConfig, trace_atoms
from single_rs.background import BackgroundConfig, clean_stack
from single_rs.base.errors import InputError, NoParticleError
from single_rs.base.progress import Progress
from single_rs.base.sampling import evenly
from single_rs.export import write_analysis, write_formats, write_xyz
from single_rs.export.atoms import file_offset
from single_rs.io import Movie, write_array, write_map, write_stack
from single_rs.io.motion import write_motion
from single_rs.io.mrc import mrc_writer
from single_rs.io.star import read_poses, read_tracks, write_frames, write_poses, write_tracks
from single_rs.io.tracks import write_track_table
from single_rs.motion import MotionConfig, aligned_frames, correct_motion
from single_rs.orient import OrientConfig, find_poses
from single_rs.pipeline.config import Config, ExportConfig
from single_rs.pipeline.material import lattice_seed
from single_rs.reconstruction import ReconstructConfig, reconstruct
from single_rs.records import Atoms, CleanExamples, CleanStack, Density, Motion, ParticleStack, Poses, Track
from single_rs.refine import RefineConfig, RefinementSummary, refine_atoms
from single_rs.refine.adp import displacement_table
from single_rs.refine.change import Changes, find_changes
from single_rs.store import layout
from single_rs.store.codecs import read_record, write_arrays, write_record
from single_rs.store.read import MapFrame, Maps, load_maps
from single_rs.store.tables import write_table
from single_rs.track import TrackConfig, find_tracks

__all__ = [
    "Asked",
    "Refinement",
    "Tracing",
    "analyze_atoms",
    "ask_changes",
    "background",
    "correct",
    "export",
    "find",
    "keep_stack",
    "keep_tracks",
    "orient",
    "placed",
    "rebuild",
    "refine",
    "trace",
    "update_summary",
    "write_aligned",
    "write_atoms",
]

EXAMPLES = 6  # cleaned frames kept for the report


@dataclass(frozen=True)
class Tracing:
    """What tracing gave.

    Attributes
    ----------
    atoms, reason
        Number of atoms, and why there is none where there is none.
    """

    atoms: int
    reason: str | None = None


@dataclass(frozen=True)
class Refinement:
    """What the refinement gave.

    Attributes
    ----------
    summary
        Its numbers; null where it was switched off, and where the frames do not show the atoms.
    refused
        Why the frames do not show the atoms.
    """

    summary: RefinementSummary | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Asked:
    """Whether a particle changes in time.

    Attributes
    ----------
    changes
        Null where nobody asked, or the frames do not show its atoms.
    """

    changes: Changes | None = None


def correct(movie: Movie, out: Path, config: MotionConfig, progress: Progress | None = None) -> Motion:
    """Correct the motion of `movie`; write motion.csv and mean.mrc."""
    motion = correct_motion(movie, config, progress=progress)
    write_motion(out / layout.MOTION, motion)
    write_map(out / layout.MEAN, np.asarray(motion.mean)[None], movie.pixel_size)
    return motion


def write_aligned(movie: Movie, motion: Motion, out: Path, progress: Progress | None = None) -> None:
    """Write aligned.mrc: all frames in counts, bad pixels repaired, each moved by its drift."""
    with mrc_writer(out / layout.ALIGNED, movie.shape, np.dtype(np.float32), movie.pixel_size) as put:
        for frame in aligned_frames(movie, motion, progress):
            put(frame[None])


def find(movie: Movie, motion: Motion, out: Path, config: TrackConfig, progress: Progress | None = None) -> list[Track]:
    """Track the particles; write tracks.star and tracks.csv (also when there are none)."""
    return keep_tracks(find_tracks(movie, motion, config, progress=progress), movie, out)


def keep_tracks(tracks: Sequence[Track], movie: Movie, out: Path) -> list[Track]:
    """Write tracks.star and tracks.csv; return what a later run will read of them."""
    write_tracks(out / layout.TRACKS, tracks, movie.pixel_size)
    write_track_table(out / layout.TRACKS_TABLE, tracks)
    # What was written is what a later run will read; both runs must see the same digits.
    return read_tracks(out / layout.TRACKS)


def keep_stack(stack: ParticleStack, folder: Path) -> None:
    """Write stack.mrcs and stack.star."""
    write_stack(folder / layout.STACK, stack.images, stack.pixel_size)
    write_frames(folder / layout.STACK_FRAMES, stack, layout.STACK)


def background(
    stack: ParticleStack, folder: Path, config: BackgroundConfig, progress: Progress | None = None
) -> CleanStack:
    """Clean the frames; write background.json and a few cleaned frames for the report.

    The cleaned stack itself is not kept in a file, since making it is quicker than reading it.
    """
    clean = clean_stack(stack, config, progress=progress)
    write_record(folder / layout.BACKGROUND, clean.background)
    good = np.flatnonzero(~np.asarray(clean.bad))
    rows = good[evenly(len(good), EXAMPLES)]
    write_array(folder / layout.CLEAN_EXAMPLES, np.asarray(clean.images[rows], np.float32))
    write_record(folder / layout.CLEAN_INDEX, CleanExamples(rows))
    return clean


def orient(
    clean: CleanStack,
    element: str,
    path: Path,
    config: OrientConfig,
    seed: int,
    progress: Progress | None = None,
    stack_name: str = layout.STACK,
) -> Poses:
    """Find the poses; write them to a STAR file and give back what stands in it."""
    symbol, config = lattice_seed(element, config)
    poses = find_poses(clean, symbol, config, progress=progress, seed=seed)
    write_poses(path, poses, stack_name, clean.pixel_size, clean.images.shape[1])
    return read_poses(path)


def rebuild(
    clean: CleanStack, poses: Poses, folder: Path, config: ReconstructConfig, progress: Progress | None = None
) -> Density:
    """Reconstruct the density; write the map, its halves and fsc.csv."""
    result = reconstruct(clean, poses, config, progress)
    for name, density in zip(layout.MAPS, (result.map, result.half1, result.half2), strict=True):
        write_map(folder / name, density, result.pixel_size)
    write_table(folder / layout.FSC, result.correlation)
    return result


def trace(
    maps: Maps | Density, element: str, diameter: float | None, config: TraceConfig, progress: Progress | None = None
) -> Atoms:
    """Find the atoms of a map."""
    return trace_atoms(maps.map, maps.pixel_size, element, diameter, maps.half1, maps.half2, config, progress=progress)


def traced(
    density: Density, element: str, diameter: float, config: TraceConfig, folder: Path, progress: Progress | None
) -> tuple[Atoms | None, Tracing]:
    """Find the atoms of a map and keep them; where it holds none, the reason why."""
    atoms: Atoms | None = None
    try:
        atoms = trace(density, element, diameter, config, progress)
    except NoParticleError as error:
        found = Tracing(0, str(error))
    else:
        write_arrays(folder / layout.TRACED, atoms)
        found = Tracing(len(atoms))
    write_record(folder / layout.TRACING, found)
    return atoms, found


def refine(
    clean: CleanStack,
    poses: Poses,
    atoms: Atoms | None,
    folder: Path,
    config: RefineConfig,
    progress: Progress | None = None,
    stack_name: str = layout.STACK,
) -> tuple[Atoms | None, Refinement]:
    """Refine atoms and poses against the frames; write both, refine.json and with anisotropy displacement.csv.

    Frames that do not show the atoms leave both as they were, and refine.json says why. Where the refinement is
    switched off, or there are no atoms, it holds nothing.
    """
    outcome = Refinement()
    if config.enabled and atoms is not None:
        try:
            refined = refine_atoms(clean, poses, atoms, config, progress)
        except InputError as error:
            outcome = Refinement(refused=str(error))
        else:
            atoms, poses = refined.atoms, refined.poses
            outcome = Refinement(refined.summary)
            if refined.displacement is not None and refined.displacement_error is not None:
                table = displacement_table(refined.displacement, refined.displacement_error)
                write_table(folder / layout.DISPLACEMENT, table)
    write_poses(folder / layout.POSES, poses, stack_name, clean.pixel_size, clean.images.shape[1])
    if atoms is not None:
        write_arrays(folder / layout.REFINED, atoms)
    write_record(folder / layout.REFINEMENT, outcome)
    return atoms, outcome


class Imaging(NamedTuple):
    """What the refinement found of the microscope: ellipse of the magnification, and terms of the lens or None."""

    ellipse: tuple[float, float] = (0.0, 0.0)
    lens: tuple[float, ...] | None = None


def ask_changes(
    clean: CleanStack,
    poses: Poses,
    atoms: Atoms | None,
    folder: Path,
    config: Config,
    seed: int,
    imaging: Imaging,
) -> Asked:
    """Ask whether a particle changes in time, from refined `poses` and `atoms`; write changes.json."""
    asked = Asked()
    if atoms is not None and config.states.number != 1:
        asked = Asked(find_changes(clean, poses, atoms, config.states, config.refine, seed, *imaging))
    write_record(folder / layout.CHANGES, asked)
    return asked


def write_atoms(atoms: Atoms, maps: Maps, folder: Path) -> None:
    """Write traced atoms as atoms.xyz, with neighbours but without lattice and strain."""
    local = analyze_structure(atoms.positions)
    columns = (local.coordination, local.structure_type, local.surface)
    write_xyz(folder / layout.ATOMS, Particle(atoms, *columns, **maps.frame._asdict()))


def analyze_atoms(
    atoms: Atoms,
    element: str | None,
    folder: Path,
    config: Config,
    frame: MapFrame | None = None,
    progress: Progress | None = None,
    maps: Maps | Density | None = None,
) -> Particle:
    """Fit the lattice, compute strain and structure; write atoms.xyz, lattice.json and the chosen formats.

    `frame` is that of the map which the files shall overlay, if there is one. `maps` is that map, with its halves where
    there are any, for the strain from its phases.
    """
    if maps is not None and frame is not None and not _same_grid(maps, frame):
        raise InputError(
            f"the map has {len(maps.map)} voxels of {maps.pixel_size:.4g} Å, the atoms were traced in {frame.box} of "
            f"{frame.pixel_size:.4g} Å; give the map of these atoms"
        )
    maps = maps if frame is not None else None
    noise = None
    if maps is not None and maps.half1 is not None and maps.half2 is not None:
        noise = (maps.half1 - maps.half2) / np.float32(2)
    model = analyze(
        atoms,
        element,
        config.lattice.structure,
        config.strain,
        progress=progress,
        density=None if maps is None else maps.map,
        noise=noise,
        **({} if frame is None else frame._asdict()),
    )
    write_analysis(folder, model, config.export.formats, config.export.vacuum, config.export.dft, config.strain.volumes)
    return model


def _same_grid(maps: Maps | Density, frame: MapFrame) -> bool:
    """Whether a map has the box and, to the digits of a header, the pixel size of the atoms' file."""
    return len(maps.map) == frame.box and abs(maps.pixel_size / frame.pixel_size - 1) < 1e-3


def placed(
    atoms: Atoms, frame: MapFrame | None, density: Path | None, source: Path
) -> tuple[Atoms, MapFrame | None, Maps | None]:
    """Return atoms from the box centre, the frame of their map, and that map.

    Atoms without a box take that of the map; with one and no map, ``map.mrc`` beside their file is theirs.
    """
    if density is None:
        beside = source.with_name(layout.MAP)
        return atoms, frame, load_maps(beside) if frame is not None and beside.exists() else None
    maps = load_maps(density)
    if frame is None:
        frame = maps.frame
        atoms = replace(atoms, positions=atoms.positions - file_offset(*frame))
    return atoms, frame, maps


def update_summary(before: Path, folder: Path, model: Particle) -> None:
    """Write summary.json with the numbers of `analyze`; what `before`, a summary, says besides them stays."""
    known = read_record(before, ParticleSummary) if before.exists() else None
    write_record(folder / layout.SUMMARY, summarise(model, known))


def export(atoms: Atoms, folder: Path, config: ExportConfig, frame: MapFrame | None = None) -> list[Path]:
    """Write atoms for other programs; return the files."""
    model = analyze(atoms, **({} if frame is None else frame._asdict()))
    return write_formats(folder, model, config.formats, config.vacuum, config.dft)
