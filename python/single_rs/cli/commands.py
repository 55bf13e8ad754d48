"""Commands that run one stage of the pipeline on the files of the stage before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from single_rs.base.errors import DataFileError, InputError
from single_rs.cli.app import app
from single_rs.cli.options import (
    STAGES,
    Axis,
    ConfigFile,
    Diameter,
    Element,
    Out,
    Part,
    PixelSize,
    Preset,
    Seed,
    Threads,
    Tracks,
    settings_of,
    use_threads,
)

if TYPE_CHECKING:
    from single_rs.pipeline.config import Config


@app.command(group=STAGES, sort_key=3)
def motion(
    movie: Path,
    *,
    out: Out,
    pixel_size: PixelSize = None,
    axis: Axis = None,
    reading: Part = None,
    aligned: bool = False,
    config: ConfigFile = None,
    threads: Threads = None,
) -> None:
    """Movie → motion.csv, mean.mrc: drift, bad frames and pixels.

    Parameters
    ----------
    aligned
        Write aligned.mrc as well, the movie without its drift, in float32; no later stage needs it.
    """
    use_threads(threads)
    from single_rs.base.reading import AS_IS
    from single_rs.cli.progress import progress_bars
    from single_rs.io import open_movie
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.inputs import check_out

    check_out(movie, out)
    settings = settings_of(config)
    opened = open_movie(movie, pixel_size, axis, reading or AS_IS)
    with opened as frames, progress_bars() as progress, one_stage(out, "motion") as folder:
        found = stages.correct(frames, folder, settings.motion, progress)
        if aligned:
            stages.write_aligned(frames, found, folder, progress)
    bad = int(found.bad_frames.sum())
    print(
        f"{len(found.bad_frames)} frames, {bad} bad; {len(found.hot_pixels)} hot, {len(found.dead_pixels)} dead pixels"
    )


@app.command(group=STAGES, sort_key=4)
def track(
    movie: Path,
    *,
    out: Out,
    pixel_size: PixelSize = None,
    axis: Axis = None,
    reading: Part = None,
    tracks: Tracks = None,
    diameter: Diameter = None,
    config: ConfigFile = None,
    threads: Threads = None,
) -> None:
    """Movie and OUT/motion.csv → tracks.star, tracks.csv and a stack of single frames per particle.

    'single-rs solve' takes the stacks.
    """
    use_threads(threads)
    from single_rs.base.reading import AS_IS
    from single_rs.cli.progress import progress_bars
    from single_rs.io import open_movie
    from single_rs.io.tracks import given_tracks
    from single_rs.pipeline import stages
    from single_rs.pipeline.cutting import cut
    from single_rs.store.folder import new_key, one_stage, open_folder
    from single_rs.store.inputs import check_out
    from single_rs.store.layout import particle_name
    from single_rs.store.read import read_motion

    check_out(movie, out)
    settings = settings_of(config)
    opened = open_movie(movie, pixel_size, axis, reading or AS_IS)
    with opened as frames, progress_bars() as progress:
        drift = read_motion(out)
        given, _ = given_tracks(tracks, frames.shape, diameter)
        with one_stage(out, "track") as folder:
            if given is None:
                found = stages.find(frames, drift, folder, settings.track, progress)
            else:
                found = stages.keep_tracks(given, frames, folder)
        with open_folder(out) as whole, whole.scratch() as room:
            names = [particle_name(number) for number in range(len(found))]
            cut(frames, drift, found, [room / name for name in names], progress)
            for name, one in zip(names, found, strict=True):
                with whole.stage(f"{name}/stack", new_key(name), hold=False) as folder:
                    for path in (room / name).iterdir():
                        path.replace(folder / path.name)
                print(f"{name}: {len(one.frames)} frames, diameter {one.diameter:.1f} Å")
    if not found:
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
    from single_rs.io import write_stack
    from single_rs.store.folder import one_stage
    from single_rs.store.layout import CLEAN

    settings = settings_of(config)
    with progress_bars() as progress, one_stage(out, "clean") as folder:
        clean = _cleaned(stack, pixel_size, settings, progress)
        write_stack(folder / CLEAN, clean.images, clean.pixel_size)
    print(f"diameter {clean.diameter:.1f} Å, {len(clean.graphene)} graphene sheets, {int(clean.bad.sum())} bad frames")
    print(f"atoms are {clean.contrast}")
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
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.layout import POSES

    element = check_material(element)
    settings = settings_of(config)
    with progress_bars() as progress, one_stage(out, "orient") as folder:
        clean = _cleaned(stack, pixel_size, settings, progress)
        poses = stages.orient(clean, element, folder / POSES, settings.orient, seed, progress, stack_name=stack.name)
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
    from single_rs.background import clean_stack
    from single_rs.cli.progress import progress_bars
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.read import load_posed

    settings = settings_of(config)
    images, found = load_posed(stack, poses, pixel_size)
    with progress_bars() as progress, one_stage(out, "reconstruct") as folder:
        clean = clean_stack(images, settings.background, progress=progress)
        result = stages.rebuild(clean, found, folder, settings.reconstruct)
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
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.read import load_maps

    element = check_material(element)
    settings = settings_of(config)
    density = load_maps(map)
    with progress_bars() as progress, one_stage(out, "trace") as folder:
        atoms = stages.trace(density, element, diameter, settings.trace, progress)
        stages.write_atoms(atoms, density, folder)
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
    from dataclasses import replace

    from single_rs.analysis.analyze import describe_particle
    from single_rs.background import clean_stack
    from single_rs.cli.progress import progress_bars
    from single_rs.export.atoms import read_xyz
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.read import frame_of, load_posed

    settings = settings_of(config)
    asked = replace(settings.refine, enabled=True)
    (images, found), traced = load_posed(stack, poses, pixel_size), read_xyz(atoms)
    frame = frame_of(atoms)
    with progress_bars() as progress, one_stage(out, "refine") as folder:
        clean = clean_stack(images, settings.background, progress=progress)
        refined, outcome = stages.refine(clean, found, traced, folder, asked, progress, stack_name=stack.name)
        if refined is None or outcome.summary is None:
            raise InputError(outcome.refused or f"{atoms} holds no atoms")
        model = stages.analyze_atoms(refined, None, folder, settings, frame)
    print(f"{len(refined)} atoms, {outcome.summary.sigma_pm:.2f} pm per axis; {describe_particle(model)}")


@app.command(group=STAGES, sort_key=9)
def analyze(
    atoms: Path,
    *,
    out: Out,
    element: Annotated[str | None, Parameter(help="Symbol whose bulk is the reference; that of the file.")] = None,
    map: Annotated[Path | None, Parameter(help="Density map, for the strain from its phases.")] = None,
    config: ConfigFile = None,
    preset: Preset = None,
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
    from single_rs.analysis.analyze import describe_particle
    from single_rs.export.atoms import read_xyz
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.layout import SUMMARY
    from single_rs.store.read import frame_of

    settings = settings_of(config, preset)
    found = read_xyz(atoms)
    found, frame, maps = stages.placed(found, frame_of(atoms), map, atoms)
    with one_stage(out, "analyze") as folder:
        model = stages.analyze_atoms(found, element, folder, settings, frame, maps=maps)
        stages.update_summary(out / SUMMARY, folder, model)
    print(describe_particle(model))


@app.command(group=STAGES, sort_key=10)
def export(atoms: Path, *, out: Out, format: list[str] | None = None, config: ConfigFile = None) -> None:
    """Atoms → files for other programs.

    Parameters
    ----------
    atoms
        extxyz, xyz, PDB, CIF, POSCAR; or the folder of a particle, or of a run, whose particles get a folder each.
    format
        Any of xyz, pdb, cif, poscar, vasp, qe, gpaw, cp2k, lammps; may be repeated. Those of [export] when not given.
    """
    from dataclasses import replace

    from single_rs.export.atoms import read_xyz
    from single_rs.pipeline import stages
    from single_rs.store.folder import one_stage
    from single_rs.store.read import atom_files, frame_of

    settings = settings_of(config).export
    chosen = replace(settings, formats=tuple(format)) if format else settings
    inputs = atom_files(atoms)
    for source in inputs:
        target = out / source.parent.name if len(inputs) > 1 else out
        found = read_xyz(source)
        with one_stage(target, "export") as folder:
            written = [path.relative_to(folder) for path in stages.export(found, folder, chosen, frame_of(source))]
        for path in written:
            print(target / path)


@app.command(group=STAGES, sort_key=11)
def report(folder: Path) -> None:
    """Folder of a run → its report.html, made anew from the files."""
    from single_rs.report import write_report
    from single_rs.store.folder import one_stage
    from single_rs.store.layout import REPORT

    if not folder.is_dir():
        raise DataFileError(f"{folder} is not a folder; give the --out of a run")
    with one_stage(folder, "report") as writing:
        write_report(folder, writing / REPORT)
    print(folder / REPORT)
