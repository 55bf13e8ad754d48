"""Commands that run the pipeline and each of its stages on files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from single_rs.base.errors import DataFileError, InputError
from single_rs.cli.app import app
from single_rs.cli.options import (
    STAGES,
    WHOLE,
    ConfigFile,
    Element,
    Out,
    PixelSize,
    Seed,
    Threads,
    settings_of,
    use_threads,
)

if TYPE_CHECKING:
    from single_rs.pipeline.config import Config
    from single_rs.pipeline.entry import RunResult


def _tell(result: RunResult) -> None:
    for particle in result.particles:
        print(f"{particle.folder.name}: {particle.verdict}: {'; '.join(particle.reasons)}")
    report = result.folder / "report.html"
    print(f"files: {result.folder}" + (f", report: {report}" if report.exists() else ""))


@app.command(group=WHOLE, sort_key=0)
def run(
    movie: Path,
    *,
    element: Element,
    out: Out,
    pixel_size: PixelSize = None,
    config: ConfigFile = None,
    seed: Seed = 0,
    threads: Threads = None,
    resume: bool = True,
) -> None:
    """Solve every particle in a movie.

    Parameters
    ----------
    movie
        MRC, TIFF, EER, DM4, SER, EMD, or a folder of single frames.
    resume
        Go on with an earlier run of the same input and settings.
    """
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.pipeline import entry

    with progress_bars() as progress:
        result = entry.run(movie, pixel_size, element, out, settings_of(config), seed, resume, progress)
    _tell(result)


@app.command(group=WHOLE, sort_key=1)
def solve(
    stack: Path,
    *,
    element: Element,
    out: Out,
    pixel_size: PixelSize = None,
    config: ConfigFile = None,
    seed: Seed = 0,
    threads: Threads = None,
    resume: bool = True,
) -> None:
    """Solve one particle from a stack of its single frames.

    Parameters
    ----------
    stack
        Square images centred on the particle, e.g. stack.mrcs.
    resume
        Go on with an earlier run of the same input and settings.
    """
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.pipeline import entry

    with progress_bars() as progress:
        result = entry.solve(stack, pixel_size, element, out, settings_of(config), seed, resume, progress)
    _tell(result)


@app.command(group=STAGES, sort_key=3)
def motion(
    movie: Path, *, out: Out, pixel_size: PixelSize = None, config: ConfigFile = None, threads: Threads = None
) -> None:
    """Movie → motion.csv, mean.mrc: drift, bad frames and pixels."""
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.io import open_movie, writable_folder
    from single_rs.pipeline import stages

    settings = settings_of(config)
    with open_movie(movie, pixel_size) as frames, progress_bars() as progress:
        found = stages.correct(frames, writable_folder(out), settings.motion, progress)
    bad = int(found.bad_frames.sum())
    print(
        f"{len(found.bad_frames)} frames, {bad} bad; {len(found.hot_pixels)} hot, {len(found.dead_pixels)} dead pixels"
    )


@app.command(group=STAGES, sort_key=4)
def track(
    movie: Path, *, out: Out, pixel_size: PixelSize = None, config: ConfigFile = None, threads: Threads = None
) -> None:
    """Movie and OUT/motion.csv → tracks.star and a stack of single frames per particle."""
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.io import open_movie
    from single_rs.pipeline import stages
    from single_rs.store.layout import particle_folder
    from single_rs.store.read import read_motion

    settings = settings_of(config)
    with open_movie(movie, pixel_size) as frames, progress_bars() as progress:
        drift = read_motion(out)
        tracks = stages.find(frames, drift, out, settings.track, progress)
        for number, one in enumerate(tracks):
            folder = particle_folder(out, number)
            stages.cut(frames, drift, one, folder)
            print(f"{folder.name}: {len(one.frames)} frames, diameter {one.diameter:.1f} Å")
    if not tracks:
        from single_rs.base.errors import NoParticleError

        raise NoParticleError(f"no particle found in {movie}")


def _cleaned(stack: Path, pixel_size: float | None, settings: Config, progress: Any) -> Any:
    from single_rs.background import clean_stack
    from single_rs.store.read import load_stack

    return clean_stack(load_stack(stack, pixel_size), settings.background, progress=progress)


@app.command(group=STAGES, sort_key=5)
def background(
    stack: Path, *, out: Out, pixel_size: PixelSize = None, config: ConfigFile = None, threads: Threads = None
) -> None:
    """Particle stack → clean.mrcs: contrast without graphene and slow background, to look at.

    The later stages clean the raw stack themselves, with the same settings, because they need its noise as well.
    """
    use_threads(threads)
    from single_rs.background import measure_pixel
    from single_rs.cli.progress import progress_bars
    from single_rs.io import writable_folder, write_stack

    settings = settings_of(config)
    with progress_bars() as progress:
        clean = _cleaned(stack, pixel_size, settings, progress)
    write_stack(writable_folder(out) / "clean.mrcs", clean.images, clean.pixel_size)
    print(f"diameter {clean.diameter:.1f} Å, {len(clean.graphene)} graphene sheets, {int(clean.bad.sum())} bad frames")
    if ruler := measure_pixel(clean.graphene, clean.pixel_size):
        print(f"by the graphene a pixel is {ruler}; {clean.pixel_size:.4f} Å given")


@app.command(group=STAGES, sort_key=6)
def orient(
    stack: Path,
    *,
    element: Element,
    out: Out,
    pixel_size: PixelSize = None,
    config: ConfigFile = None,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Particle stack → poses.star: rotation, shift and confidence of every frame."""
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.crystal.material import check_material
    from single_rs.io import writable_folder
    from single_rs.pipeline import stages

    check_material(element)
    settings = settings_of(config)
    with progress_bars() as progress:
        clean = _cleaned(stack, pixel_size, settings, progress)
        folder = writable_folder(out)
        poses = stages.orient(clean, element, folder, settings.orient, seed, progress, stack_name=stack.name)
    print(f"{len(poses.frames)} poses, mean confidence {poses.confidence.mean():.2f}")


@app.command(group=STAGES, sort_key=7)
def reconstruct(
    stack: Path,
    poses: Path,
    *,
    out: Out,
    pixel_size: PixelSize = None,
    config: ConfigFile = None,
    threads: Threads = None,
) -> None:
    """Particle stack and poses.star → map.mrc, half1.mrc, half2.mrc, fsc.csv."""
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.io import writable_folder
    from single_rs.io.star import read_poses
    from single_rs.pipeline import stages

    settings = settings_of(config)
    found = read_poses(poses)
    with progress_bars() as progress:
        clean = _cleaned(stack, pixel_size, settings, progress)
    if len(found.frames) != len(clean.images):
        raise InputError(
            f"{poses} has {len(found.frames)} poses, {stack} {len(clean.images)} images; one each is needed"
        )
    result = stages.rebuild(clean, found, writable_folder(out), settings.reconstruct)
    print(f"resolution {result.resolution:.2f} Å at FSC 0.143")


@app.command(group=STAGES, sort_key=8)
def trace(map: Path, *, element: Element, out: Out, diameter: float | None = None, config: ConfigFile = None) -> None:
    """Density map → atoms.xyz; half1.mrc and half2.mrc beside the map give the errors.

    Parameters
    ----------
    diameter
        Å, rough; keeps far regions of the box out.
    """
    from single_rs.cli.progress import progress_bars
    from single_rs.crystal.material import check_material
    from single_rs.io import writable_folder
    from single_rs.pipeline import stages
    from single_rs.store.read import load_maps

    check_material(element)
    settings = settings_of(config)
    density = load_maps(map)
    with progress_bars() as progress:
        atoms = stages.trace(density, element, diameter, settings.trace, progress)
    stages.write_atoms(atoms, density, writable_folder(out))
    print(f"{len(atoms)} atoms")


@app.command(group=STAGES, sort_key=8.5)
def refine(
    stack: Path,
    poses: Path,
    atoms: Path,
    *,
    out: Out,
    pixel_size: PixelSize = None,
    config: ConfigFile = None,
    threads: Threads = None,
) -> None:
    """Particle stack, poses.star and atoms.xyz → both refined against the frames, with error bars.

    Parameters
    ----------
    stack
        Single frames of the particle, as those that the poses were found in.
    poses
        Their poses.
    atoms
        Atoms traced in the map of these poses.
    """
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.export.atoms import read_xyz
    from single_rs.io import writable_folder
    from single_rs.io.json import write_json
    from single_rs.io.star import read_poses
    from single_rs.pipeline import stages
    from single_rs.refine.files import refine as run_refinement
    from single_rs.store.read import frame_of

    settings = settings_of(config)
    found, traced = read_poses(poses), read_xyz(atoms)
    frame = frame_of(atoms)
    with progress_bars() as progress:
        clean = _cleaned(stack, pixel_size, settings, progress)
        folder = writable_folder(out)
        refined = run_refinement(clean, found, traced, folder, settings.refine, progress, stack_name=stack.name)
    model = stages.analyze(refined.atoms, None, folder, settings, frame)
    write_json(folder / "refine.json", asdict(refined.summary))
    print(f"{len(refined.atoms)} atoms, {refined.summary.sigma_pm:.2f} pm per axis; {stages.describe(model)}")


@app.command(group=STAGES, sort_key=9)
def analyze(
    atoms: Path,
    *,
    out: Out,
    element: Annotated[str | None, Parameter(help="Symbol whose bulk is the reference; that of the file.")] = None,
    map: Annotated[Path | None, Parameter(help="Density map, for the strain from its phases.")] = None,
    config: ConfigFile = None,
) -> None:
    """Atoms → lattice.json, strain.csv, structure.csv and .json, summary.json; atoms.xyz with what is known of each.

    Parameters
    ----------
    atoms
        extxyz, xyz, PDB, CIF, POSCAR.
    map
        Map that the atoms were traced in; map.mrc beside a file of ours is found by itself, and half1.mrc and half2.mrc
        beside the map give the errors. Atoms of other programs must overlay it: position = index × pixel size.
    """
    from single_rs.export.atoms import read_xyz
    from single_rs.io import writable_folder
    from single_rs.pipeline import stages
    from single_rs.store.read import frame_of

    settings = settings_of(config)
    found = read_xyz(atoms)
    found, frame, density = stages.placed(found, frame_of(atoms), map, atoms)
    model = stages.analyze(found, element, writable_folder(out), settings, frame, density=density)
    stages.update_summary(out, model)
    print(stages.describe(model))


@app.command(group=STAGES, sort_key=10)
def export(atoms: Path, *, out: Out, format: list[str] | None = None, config: ConfigFile = None) -> None:
    """Atoms → files for other programs.

    Parameters
    ----------
    atoms
        extxyz, xyz, PDB, CIF, POSCAR.
    format
        Any of xyz, pdb, cif, poscar, vasp, qe, gpaw, cp2k, lammps; may be repeated. Those of [export] when not given.
    """
    from dataclasses import replace

    from single_rs.export.atoms import read_xyz
    from single_rs.io import writable_folder
    from single_rs.pipeline import stages
    from single_rs.store.read import frame_of

    settings = settings_of(config).export
    chosen = replace(settings, formats=tuple(format)) if format else settings
    found = read_xyz(atoms)
    for path in stages.export(found, writable_folder(out), chosen, frame_of(atoms)):
        print(path)


@app.command(group=STAGES, sort_key=11)
def report(folder: Path) -> None:
    """Folder of a run → its report.html, made anew from the files."""
    from single_rs.report import write_report

    if not folder.is_dir():
        raise DataFileError(f"{folder} is not a folder; give the --out of a run")
    print(write_report(folder))
