"""Commands beside the pipeline: simulate, demo, config, doctor, flip-hand, compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from single_rs.cli.app import app, settings_flags
from single_rs.cli.options import (
    WHOLE,
    ConfigFile,
    Live,
    Out,
    Preset,
    Seed,
    Threads,
    settings_of,
    tell_live,
    use_threads,
)

TOOLS = Group("Tools", sort_key=3)


@app.command(group=WHOLE, sort_key=2)
def demo(
    *,
    out: Out = Path("single_rs_demo"),
    seed: Seed = 1,
    frames: int = 400,
    config: ConfigFile = None,
    threads: Threads = None,
    live: Live = False,
) -> None:
    """Simulate a short movie of known truth, solve it, and compare.

    Parameters
    ----------
    frames
        Frames of the movie; more are slower and more accurate.
    """
    use_threads(threads)
    from single_rs.cli.demo import print_table, run_demo
    from single_rs.cli.progress import progress_bars

    settings = settings_of(config)
    tell_live(out, live)
    with progress_bars() as progress:
        result = run_demo(out, frames, seed, settings, progress, live)
    print_table(result)


@app.command(group=TOOLS)
def simulate(
    out: Path,
    *,
    config: Annotated[Path | None, Parameter(help="TOML file; 'single-rs config --simulate' prints one.")] = None,
    kind: Literal["movie", "stack"] | None = None,
    frames: int | None = None,
    particles: int | None = None,
    atoms: Path | None = None,
    pixel_size: float | None = None,
    dose: float | None = None,
    element: str | None = None,
    diameter: float | None = None,
    seed: int | None = None,
) -> None:
    """Simulate a movie or a stack with its truth beside it: OUT.mrc(s), OUT_truth.npz, OUT_truth*.xyz.

    Everything else is set as in --crystal.defect twin, --movement.step 5; see 'single-rs config --simulate'.

    Parameters
    ----------
    out
        Name of the movie or stack.
    kind
        A movie of a liquid cell, or a stack of one particle; a movie when not given.
    frames
        Frames; 1,200 when not given.
    particles
        Number of particles in a movie; 2 when not given.
    atoms
        File of atoms to use instead of a built-in nanocrystal.
    pixel_size
        Å; 0.358 when not given.
    dose
        Electrons per pixel and frame; 8 when not given.
    element
        Chemical symbol of the built-in nanocrystal; Pt when not given.
    diameter
        Å, of the built-in nanocrystal; 25 when not given.
    seed
        Seed of all random numbers; 0 when not given.
    """
    from single_rs.base.settings_text import load_settings, settings_from_dict
    from single_rs.cli.progress import progress_bars
    from single_rs.io import writable_folder
    from single_rs.simulate import SimulateConfig
    from single_rs.simulate import simulate as make

    settings = load_settings(SimulateConfig(), config, settings_flags())
    given = {
        "kind": kind,
        "frames": frames,
        "particles": particles,
        "atoms": str(atoms) if atoms is not None else None,
        "pixel_size": pixel_size,
        "seed": seed,
        "detector": {"dose": dose},
        "crystal": {"element": element, "diameter": diameter},
    }
    settings = settings_from_dict(settings, _without_none(given))
    writable_folder(out.parent)
    with progress_bars() as progress:
        make(settings, out, progress)
    print(f"{settings.frames} frames and their truth: {out.parent / out.stem}*")


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given, in nested tables too."""
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None and v != {}}


@app.command(group=TOOLS, name="config")
def print_config(*, simulate: bool = False, config: ConfigFile = None) -> None:
    """Print all settings as TOML, with units and meaning.

    Parameters
    ----------
    simulate
        Those of 'single-rs simulate' instead.
    """
    from single_rs.base.settings_text import load_settings, settings_to_toml

    if simulate:
        from single_rs.simulate import SimulateConfig

        print(settings_to_toml(load_settings(SimulateConfig(), config, settings_flags())), end="")
    else:
        print(settings_to_toml(settings_of(config)), end="")


@app.command(group=TOOLS)
def doctor() -> None:
    """Print versions, threads and SIMD, and solve a tiny simulated particle with known poses."""
    from single_rs.cli.doctor import check

    check()


@app.command(group=TOOLS)
def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that lets a shell complete commands, options and files.

    It goes where the shell looks for such scripts: ~/.local/share/bash-completion/completions/single-rs,
    a file _single-rs in a folder of zsh's $fpath, or ~/.config/fish/completions/single-rs.fish.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    print(app.generate_completion(shell=shell))


@app.command(group=TOOLS)
def flip_hand(folder: Path, *, out: Out, config: ConfigFile = None) -> None:
    """Mirror map, atoms and poses of a particle together: projections cannot tell the hand.

    Parameters
    ----------
    folder
        Folder of a particle, e.g. OUT/particle_00.
    out
        Folder for the mirrored files.
    """
    from single_rs.pipeline.handedness import flip_folder

    for path in flip_folder(folder, out, settings_of(config)):
        print(path)


@app.command(group=TOOLS)
def compare(
    *folders: Path,
    out: Out,
    doubtful: bool = False,
    reference: Literal["bulk", "fit"] | None = None,
    states: bool = False,
) -> None:
    """Particles of many runs → compare.csv, compare.json, compare.html: lattice, strain and energy against size.

    Parameters
    ----------
    folders
        Folders of particles, of runs, or of runs within them.
    doubtful
        Let doubtful particles take part in the trends.
    reference
        What every strain is measured from; the bulk where it is known of all.
    states
        Compare the states of a particle that changed in its place.
    """
    from single_rs.compare.trends import compare_particles
    from single_rs.report import write_comparison

    found = compare_particles(folders, doubtful=doubtful, reference=reference, states=states)
    files = write_comparison(found, out)
    print(f"{len(found.particles)} particles, {len(found.particles) - len(found.left_out)} in the trends")
    print(f"strain measured from: {found.reference}")
    for trend in found.trends:
        line = trend.line
        text = f"{trend.quantity}: slope {line.slope:.4g} ± {line.slope_err:.2g} per 1/d, p {line.chance:.2g}"
        print(text + (f"; {line.value:.5g} ± {line.value_err:.2g} at infinite size" if trend.supported else ""))
    for note in found.notes:
        print(note)
    print(f"files: {', '.join(str(path) for path in files)}")


@app.command(group=TOOLS)
def figures(
    *sources: Path,
    out: Out,
    only: list[str] | None = None,
    format: list[str] | None = None,
    element: Annotated[str | None, Parameter(help="Symbol whose bulk is the reference; that of the files.")] = None,
    powder: Path | None = None,
    states: bool = False,
    config: ConfigFile = None,
    preset: Preset = None,
) -> None:
    """Particles of runs, or files of atoms → every figure of a paper that they allow, as PDF, SVG and PNG; figures.md.

    Parameters
    ----------
    sources
        Folders of runs or particles, or files of atoms: extxyz, xyz, PDB, CIF, POSCAR; and folders of
        'single-rs ligand', for sites, binding energies and the charge that moves.
    only
        Kinds of figure, such as particles, strain_sheet, zone_axes; may be repeated. All when not given.
    format
        Any of pdf, svg, png; may be repeated.
    powder
        Measured powder pattern to show beside: two columns, q (1/Å) and intensity.
    states
        Draw each state of a particle that changed like a particle of its own.
    """
    from single_rs.cli.progress import progress_bars
    from single_rs.report.paper import FORMATS
    from single_rs.report.paper import figures as draw

    settings = settings_of(config, preset)
    with progress_bars() as progress:
        drawn = draw(
            sources,
            out,
            only=tuple(only or ()),
            formats=tuple(format or FORMATS),
            element=element,
            structure=settings.lattice.structure,
            strain=settings.strain,
            measured=powder,
            states=states,
            progress=progress,
        )
    for one in drawn:
        if one.absent:
            print(f"not drawn: {one.name}: {one.absent}")
    print(f"{sum(not one.absent for one in drawn)} figures: {out}")
