"""Commands that run the whole pipeline: from a movie, or from the stack of one particle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from single_rs.cli.app import app
from single_rs.cli.options import (
    WHOLE,
    Axis,
    ConfigFile,
    Diameter,
    Element,
    Live,
    Out,
    Part,
    PixelSize,
    Preset,
    Seed,
    States,
    Threads,
    Tracks,
    settings_of,
    tell_live,
    use_threads,
)

if TYPE_CHECKING:
    from single_rs.pipeline.entry import RunResult


def _tell(result: RunResult) -> None:
    from single_rs.cli.tables import run_lines
    from single_rs.store.layout import REPORT

    print("\n".join([*run_lines(result), ""]))

    report = result.folder / REPORT
    print(f"files: {result.folder}" + (f", report: {report}" if report.exists() else ""))


@app.command(group=WHOLE, sort_key=0)
def run(
    movie: Path,
    *,
    element: Element,
    out: Out,
    pixel_size: PixelSize = None,
    axis: Axis = None,
    reading: Part = None,
    tracks: Tracks = None,
    diameter: Diameter = None,
    config: ConfigFile = None,
    seed: Seed = 0,
    threads: Threads = None,
    resume: bool = True,
    replace: bool = False,
    preset: Preset = None,
    states: States = None,
    live: Live = False,
) -> None:
    """Solve every particle in a movie.

    Parameters
    ----------
    movie
        MRC, TIFF, EER, DM4, SER, EMD, HDF5, Zarr, NumPy, a folder of frames, or a text file that lists them.
    resume
        Go on with an earlier run of the same input and settings.
    replace
        Replace the finished result of another input, which OUT holds.
    """
    use_threads(threads)
    from single_rs.base.reading import AS_IS
    from single_rs.cli.progress import progress_bars
    from single_rs.io import open_movie
    from single_rs.pipeline import entry

    reading = reading or AS_IS
    source = movie if axis is None else open_movie(movie, pixel_size, axis, reading)
    settings = settings_of(config, preset, states)
    tell_live(out, live)
    with progress_bars() as progress:
        result = entry.run(
            source, element, out, pixel_size, settings, seed, resume, progress, replace, reading, live, tracks, diameter
        )
    _tell(result)


@app.command(group=WHOLE, sort_key=1)
def solve(
    stack: Path,
    *,
    element: Element,
    out: Out,
    pixel_size: PixelSize = None,
    key: str | None = None,
    frames: str | None = None,
    bin: int = 1,
    config: ConfigFile = None,
    seed: Seed = 0,
    threads: Threads = None,
    resume: bool = True,
    replace: bool = False,
    preset: Preset = None,
    states: States = None,
    live: Live = False,
) -> None:
    """Solve one particle from a stack of its single frames.

    Parameters
    ----------
    stack
        Square images centred on the particle, e.g. stack.mrcs.
    key
        Array in an HDF5 file or a Zarr folder, e.g. /entry/data.
    frames
        START:STOP, images from START to before STOP, counted from 0.
    bin
        Pixels along each edge that are added up; the pixel size grows by it.
    resume
        Go on with an earlier run of the same input and settings.
    replace
        Replace the finished result of another input, which OUT holds.
    """
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.io import Reading
    from single_rs.pipeline import entry

    reading = Reading(key=key, frames=frames, bin=bin)
    settings = settings_of(config, preset, states)
    tell_live(out, live)
    with progress_bars() as progress:
        result = entry.solve(stack, element, out, pixel_size, settings, seed, resume, progress, replace, reading, live)
    _tell(result)
