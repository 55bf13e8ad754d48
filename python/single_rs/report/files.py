"""Read the files of a run directory; what is missing or unreadable becomes a stated gap, not an error.

Positions in files are (x, y, z) = index x pixel; here they are Å from the box centre, file - (N // 2) pixel, as
everywhere in the library. Its files are those of docs/conventions.md.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from single_rs.analysis import ParticleSummary
from single_rs.analysis.distances import PairDistribution, PowderPattern, RowDistances
from single_rs.analysis.lattice_record import LatticeRecord
from single_rs.analysis.strain.table import StrainTable
from single_rs.analysis.structure.record import StructureRecord
from single_rs.analysis.structure.table import StructureTable
from single_rs.base.errors import DataFileError, SingleError
from single_rs.base.sampling import evenly
from single_rs.records import Background, CleanExamples, EnergyRecord
from single_rs.records.density import ShellCorrelation
from single_rs.report.content import AtomTable, ParticleFiles, RunFiles
from single_rs.store import layout
from single_rs.store.codecs import read_record
from single_rs.store.manifest import Manifest
from single_rs.store.record import RunRecord
from single_rs.store.tables import read_table

if TYPE_CHECKING:
    from single_rs.records import Poses, Track

__all__ = ["read_movie", "read_particle", "read_run"]

T = TypeVar("T")
STRAIN_MAPS = ("xx", "yy", "zz", "radial")  # of the thirteen measures, those that are shown


def read_run(out_dir: str | os.PathLike[str]) -> RunFiles:
    """Read all that a report shows from a run directory.

    Parameters
    ----------
    out_dir
        Directory that ``single-rs run`` or ``solve`` wrote.

    Raises
    ------
    DataFileError
        When the directory does not exist or holds nothing of a run.
    """
    folder = Path(out_dir)
    if not folder.is_dir():
        raise DataFileError(f"{folder} is not a directory; give the --out directory of a run")
    particle_folders = sorted(p for p in folder.glob(layout.PARTICLES) if p.is_dir())
    if not particle_folders and not (folder / layout.RUN).exists():
        raise DataFileError(
            f"{folder} holds neither run.json nor particle_XX folders; give the --out directory of a run"
        )
    run = RunFiles(folder)
    run.info = attempt(folder / layout.RUN, lambda path: read_record(path, RunRecord), run.gaps)
    own = _own_particles(folder, run)
    if own is not None:
        run.gaps += [f"{name} is missing" for name in sorted(own - {p.name for p in particle_folders})]
        particle_folders = [p for p in particle_folders if p.name in own]
    read_movie(run)
    run.particles = [read_particle(number, path) for number, path in enumerate(particle_folders)]
    if run.pixel_size is None:
        run.pixel_size = next((p.pixel_size for p in run.particles if p.pixel_size), None)
    return run


def read_movie(run: RunFiles) -> None:
    """Read what a run found in the whole movie: drift, tracks and the mean image."""
    folder = run.folder
    if not run.from_stack:
        motion = attempt(folder / layout.MOTION, _motion, run.gaps)
        if motion is not None:
            run.shifts, run.bad_frames = motion
        run.tracks = attempt(folder / layout.TRACKS, _tracks, run.gaps) or []
    if (folder / layout.MEAN).exists():
        image = attempt(folder / layout.MEAN, _image, run.gaps)
        if image is not None:
            run.mean, run.pixel_size = image


def _own_particles(folder: Path, run: RunFiles) -> set[str] | None:
    """Return the names of the particles of the run; ``None`` without a record of it, when all folders are shown."""
    if not (folder / layout.RUN).exists():
        return None
    listed = folder / layout.MANIFEST
    manifest = attempt(listed, Manifest.read, run.gaps) if listed.exists() else None
    if run.info is None and manifest is None:
        return None
    names = set(run.info.verdicts) if run.info is not None else set()
    if manifest is not None:
        names |= {name.split("/")[0] for name in manifest.files if "/" in name}
    return set(fnmatch.filter(names, layout.PARTICLES))


def attempt(path: Path, reader: Callable[[Path], T], gaps: list[str]) -> T | None:
    """Read one file; a missing or unreadable one is noted and gives ``None``."""
    if not path.exists():
        gaps.append(f"{path.name} is missing")
        return None
    try:
        return reader(path)
    except (SingleError, OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as error:
        gaps.append(f"{path.name} cannot be read: {' '.join(str(error).split())[:200]}")
        return None


def read_particle(number: int, folder: Path) -> ParticleFiles:
    """Read the folder of one particle, whose number its name tells, or else `number`.

    Poses are the refined ones, or those of the search while there are no others.
    """
    tail = folder.name.rsplit("_", 1)[-1]
    particle = ParticleFiles(int(tail) if tail.isdigit() else number, folder)
    gaps = particle.gaps
    summary = attempt(folder / layout.SUMMARY, lambda path: read_record(path, ParticleSummary), gaps)
    particle.summary = summary or ParticleSummary()
    particle.lattice = attempt(folder / layout.LATTICE, lambda path: read_record(path, LatticeRecord), gaps)
    searched = (folder / layout.SEARCHED).exists() and not (folder / layout.POSES).exists()
    particle.poses = attempt(folder / (layout.SEARCHED if searched else layout.POSES), _poses, gaps)
    stack = attempt(folder / layout.STACK, _stack, gaps)
    if stack is not None:
        particle.stack = stack[0]
        _choose_frames(particle, *stack)
        poses = particle.poses
        if poses is not None and poses.images is not None and not _all_of(poses.images, len(stack[0])):
            # What is shown beside a pose must be its own image.
            posed = attempt(folder / layout.POSES, _posed, gaps)
            particle.stack, particle.poses = posed if posed is not None else (stack[0], None)
    density = attempt(folder / layout.MAP, _map, gaps)
    if density is not None:
        particle.density, particle.pixel_size = density
    particle.fsc = attempt(folder / layout.FSC, lambda path: read_table(path, ShellCorrelation), gaps)
    particle.atoms = attempt(folder / layout.ATOMS, lambda path: _atoms(path, density), gaps)
    _read_later_steps(particle)
    return particle


def _strain_maps(
    strain: StrainTable, positions: np.ndarray, bond: float, box: int, pixel: float
) -> dict[str, np.ndarray]:
    """Return the measures that are shown, each in the whole box of the map (z, y, x)."""
    from single_rs.analysis.strain.volumes import in_box, strain_grid

    values = np.column_stack([strain.measure(name) for name in STRAIN_MAPS])
    first, grid = strain_grid(positions, values, box, pixel, bond)
    return {name: in_box(part, first, box) for name, part in zip(STRAIN_MAPS, grid, strict=True)}


def _read_later_steps(particle: ParticleFiles) -> None:
    """Read what steps beyond the atoms wrote, where they did, and give the atoms the columns that speak of them."""
    from single_rs.compare.rows import read_row
    from single_rs.report.states import read_states
    from single_rs.store.validation import read_validation

    folder, gaps = particle.folder, particle.gaps

    def optional(name: str, reader: Callable[[Path], T]) -> T | None:
        return attempt(folder / name, reader, gaps) if (folder / name).exists() else None

    particle.strain = optional(layout.STRAIN_TABLE, lambda path: read_table(path, StrainTable))
    particle.sites = optional(layout.STRUCTURE_TABLE, lambda path: read_table(path, StructureTable))
    particle.background = optional(layout.BACKGROUND, lambda path: read_record(path, Background))
    particle.pairs = optional(layout.PAIR_DISTRIBUTION, lambda path: read_table(path, PairDistribution))
    particle.powder = optional(layout.POWDER, lambda path: read_table(path, PowderPattern))
    particle.structure = optional(layout.STRUCTURE, lambda path: read_record(path, StructureRecord))
    particle.energy = optional(layout.ENERGY, lambda path: read_record(path, EnergyRecord))
    particle.states = optional(layout.STATES, lambda path: read_states(path.parent))
    particle.validation = optional(layout.VALIDATION, lambda path: read_validation(path.parent))
    atoms = particle.atoms
    if atoms is None:
        return
    with contextlib.suppress(SingleError, ValueError, TypeError, AttributeError):  # its files are named above
        particle.row = read_row(folder.name, folder)
    count = len(atoms.positions)
    sigma = atoms.get("sigma")
    others = {"positions": atoms.positions, "sigma": np.full(count, np.nan) if sigma is None else sigma}
    particle.distances = optional(layout.DISTANCES, lambda path: read_table(path, RowDistances, **others))
    if particle.strain is not None and len(particle.strain.atom) == count:
        atoms.columns.update({name: particle.strain.measure(name) for name in ("von_mises", "rotation")})
        if particle.density is not None and particle.lattice is not None and particle.pixel_size:
            grid = particle.lattice.lattice.nearest_neighbour, len(particle.density), particle.pixel_size
            strain = particle.strain
            maps = attempt(folder / layout.STRAIN_TABLE, lambda _: _strain_maps(strain, atoms.positions, *grid), gaps)
            particle.strain_maps = maps or {}
    if particle.sites is not None and len(particle.sites.atom) == count:
        atoms.columns.update(grain=particle.sites.grain, fault=particle.sites.fault)
    energies = optional(layout.ENERGY_ATOMS, _energies)
    if energies is not None and len(energies) == count:
        atoms.columns["formation_energy"] = energies


def _energies(path: Path) -> np.ndarray | None:
    """Read the formation energy of each atom (n,), eV."""
    from single_rs.io.atom_files import read_atom_file

    return read_atom_file(path).arrays.get("formation_energy")


def _choose_frames(particle: ParticleFiles, images: np.ndarray, pixel_size: float, count: int = 6) -> None:
    """Keep a few frames for display: those the pipeline cleaned, or evenly spaced ones of the usable frames."""
    particle.pixel_size, particle.frames = pixel_size, len(images)
    cleaned = particle.folder / layout.CLEAN_EXAMPLES
    index = evenly(len(images), count)
    if cleaned.exists() and cleaned.with_suffix(".json").exists():
        examples = attempt(cleaned, lambda path: np.load(path, allow_pickle=False), particle.gaps)
        found = attempt(cleaned.with_suffix(".json"), lambda path: read_record(path, CleanExamples), particle.gaps)
        chosen = found.index if found is not None else index[:0]
        if examples is not None and 0 < len(chosen) == len(examples) and chosen.max() < len(images):
            particle.cleaned, index = examples[:count], chosen[:count]
    particle.raw = np.asarray(images[index], np.float32)
    poses = particle.poses
    particle.raw_frames = poses.frames[index] if poses is not None and len(poses.frames) == len(images) else index


def _motion(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the drift (frame, (x, y)) in px and the bad frames (frame,)."""
    from single_rs.io.motion import read_motion

    motion = read_motion(path)
    return np.asarray(motion.shifts, float), np.asarray(motion.bad_frames, bool)


def _tracks(path: Path) -> list[Track]:
    """Read the trajectories."""
    from single_rs.io.star import read_tracks

    return read_tracks(path)


def _poses(path: Path) -> Poses:
    """Read the poses."""
    from single_rs.io.star import read_poses

    return read_poses(path)


def _all_of(images: np.ndarray, count: int) -> bool:
    """Whether ascending image numbers are all of a stack of `count` images."""
    return len(images) == count and int(images[-1]) == count - 1


def _posed(path: Path) -> tuple[np.ndarray, Poses]:
    """Read the poses of some images of the stack, and these images."""
    from single_rs.io import read_stack
    from single_rs.io.star import posed_stack

    source = path.with_name(layout.STACK)
    stack, poses = posed_stack(path, read_stack(source), source)
    return stack.images, poses


def _atoms(path: Path, density: tuple[np.ndarray, float] | None) -> AtomTable:
    """Read atoms and their columns; without a box the middle of the atoms stands for its centre."""
    from single_rs.io.atom_files import read_atom_file

    found = read_atom_file(path)
    box, pixel_size = found.info.get("box"), found.info.get("pixel_size")
    if (not box or not pixel_size) and density is not None:
        box, pixel_size = density[0].shape[0], density[1]
    place = np.asarray(found.info.get("origin", (0.0, 0.0, 0.0)), np.float64)
    middle = (int(box) // 2) * float(pixel_size) + place if box and pixel_size else found.positions.mean(axis=0)
    columns = {name: values for name, values in found.arrays.items() if name not in ("numbers", "positions")}
    return AtomTable(found.positions - middle, found.symbols, columns)


def _map(path: Path) -> tuple[np.ndarray, float]:
    """Read a map (z, y, x) and its pixel size in Å."""
    from single_rs.io import read_map

    return read_map(path)


def _stack(path: Path) -> tuple[np.ndarray, float]:
    """Open a stack (n, y, x), memory-mapped, and its pixel size in Å."""
    from single_rs.io import read_stack

    stack = read_stack(path)
    return stack.images, stack.pixel_size


def _image(path: Path) -> tuple[np.ndarray, float]:
    """Read a single image (y, x) and its pixel size in Å."""
    import mrcfile

    # Not `read_stack`: that refuses a single image, which as a stack would be an error.
    with mrcfile.open(path) as mrc:
        return np.array(mrc.data, np.float32).reshape(mrc.data.shape[-2:]), float(mrc.voxel_size.x)
