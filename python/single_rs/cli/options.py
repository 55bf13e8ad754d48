"""What the commands share: the types of their options, the groups of the help, settings and threads."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from single_rs.base.errors import InputError
from single_rs.base.reading import Reading
from single_rs.cli.app import settings_flags

if TYPE_CHECKING:
    from single_rs.pipeline.config import Config

__all__ = [
    "STAGES",
    "WHOLE",
    "Axis",
    "ConfigFile",
    "Diameter",
    "Element",
    "Live",
    "Out",
    "Part",
    "PixelSize",
    "Preset",
    "Seed",
    "States",
    "Threads",
    "Tracks",
    "check_threads",
    "settings_of",
    "tell_live",
    "use_threads",
]

# More threads than cores gain nothing; the bound leaves room for tests that compare numbers of threads.
THREADS_PER_CORE, LEAST_UPPER_BOUND = 4, 64

WHOLE = Group("Whole pipeline", sort_key=1)
STAGES = Group("One stage, on the files of the stage before", sort_key=2)
READ = Group("How the movie is read", sort_key=3)

PixelSize = Annotated[float | None, Parameter(help="Å; wins over the header of the file.")]
Axis = Annotated[
    int | None, Parameter(help="Axis of the file's array that is time: 0, 1 or 2. The format tells it when not given.")
]
Part = Annotated[Reading | None, Parameter(name="*", group=READ)]
Element = Annotated[str, Parameter(help="Symbol of the particles (Pt), formula (CdSe, PtFe) or list (Pt,Fe).")]
Out = Annotated[Path, Parameter(help="Folder for the results; made if needed.")]
ConfigFile = Annotated[Path | None, Parameter(help="TOML file of settings; 'single-rs config' prints one.")]
Tracks = Annotated[
    list[Path] | None,
    Parameter(
        help="Paths of particles that are cut out instead of those found here: tracks.csv or tracks.star of ours, .box "
        "of SIMPLE or EMAN with a row per frame, .xy with x y or frame x y; may be repeated."
    ),
]
Diameter = Annotated[
    float | None,
    Parameter(help="Å, rough, of the particles in --tracks; needed where the files do not hold it."),
]
Preset = Annotated[
    str | None, Parameter(name="--as", help="Definitions of a publication: kim2020 (strain against bulk, r > R - d).")
]
States = Annotated[
    str | None,
    Parameter(help="States in time: 'find' them (the default), 'one' does not ask, N cuts the movie in N equal parts."),
]
Seed = Annotated[int, Parameter(help="Seed of all random numbers.")]
Live = Annotated[
    bool, Parameter(negative="", help="Write OUT/live.html while the run goes on, a page that loads itself anew.")
]
Threads = Annotated[int | None, Parameter(help="Threads; all cores when not given. Results do not depend on it.")]


def settings_of(path: Path | None, preset: str | None = None, states: str | None = None) -> Config:
    """Return the settings of all stages: defaults, a preset, then a TOML file, then the flags of this call."""
    from single_rs.pipeline.config import load_config

    asked = {} if states is None else {"states.number": _number_of_states(states)}
    # The refinement is what knows the microscope: --optics.c3 is --refine.optics.c3.
    flags = {f"refine.{k}" if k.startswith("optics.") else k: v for k, v in settings_flags().items()}
    return load_config(path, {**flags, **asked}, preset)


def _number_of_states(text: str) -> str:
    """Return the setting that ``--states`` stands for."""
    if text in ("one", "find"):
        return {"one": "1", "find": "none"}[text]
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InputError(f"--states is {text}; 'find', 'one' or a number of states of equal length is needed")
    return text


def use_threads(threads: int | None) -> None:
    """Set the size of rayon's pool, and one thread for the BLAS; both read it when they are first used.

    The kernels add in a fixed order. A BLAS cuts its matrices by the number of threads, and so rounds differently: with
    one thread of its own the result is the same for any number of ours.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if threads is None:
        return
    check_threads(str(threads), "--threads")
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def check_threads(text: str | None, name: str) -> None:
    """Raise `InputError` when `text` is no number of threads that this machine could use; None and "" are no number."""
    if not text:
        return
    most = max(LEAST_UPPER_BOUND, THREADS_PER_CORE * (os.cpu_count() or 1))
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= most:
        raise InputError(f"{name} is {text}; a number of at least 1 and at most {most} is needed")


def tell_live(out: Path, live: bool) -> None:
    """Say where the page of a run that goes on is, when one is written."""
    if live:
        from single_rs.store.layout import LIVE

        print(f"open {out / LIVE} in a browser to watch the run", file=sys.stderr)
