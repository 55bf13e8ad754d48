"""All checks of a run: which to make, their order, and the files they leave.

Each particle gets ``validation.json`` and ``validation.html``; the folder of a run gets a ``validation.json`` that
tells the status of every check of every particle. Checks of an earlier call are kept as long as atoms, poses and map
are still those they were made of.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import ConvergenceError, DataFileError, InputError, SingleError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.io import write_text
from single_rs.pipeline.config import Config, ValidateConfig
from single_rs.records.check import CHECKS, Check, Validation
from single_rs.records.validation import RunValidationRecord
from single_rs.report.validation import render
from single_rs.store.codecs import write_record
from single_rs.store.folder import one_stage
from single_rs.store.layout import ATOMS, MAPS, PARTICLES, POSES, VALIDATION, VALIDATION_PAGE
from single_rs.store.validation import read_validation, write_validation
from single_rs.validate.case import Case, load_case
from single_rs.validate.coverage import check_coverage
from single_rs.validate.effects import check_effects
from single_rs.validate.halves import check_halves
from single_rs.validate.heldout import check_heldout
from single_rs.validate.perfect import check_perfect
from single_rs.validate.pixel import check_pixel
from single_rs.validate.reprojection import check_reprojection
from single_rs.validate.resimulation import FEWEST, check_resimulation

__all__ = ["validate_case", "validate_folder"]

# Resimulated when the check is asked for by name alone: of 615 atoms 300 frames lost 29 % of the poses, 600 lost 4 %.
DEFAULT_FRAMES = 600

log = logging.getLogger(__name__)


@in_notebooks
@single_blas_thread()
def validate_folder(
    folder: str | os.PathLike[str],
    only: Sequence[str] | None = None,
    resimulate: int | None = None,
    settings: ValidateConfig | None = None,
    config: Config | None = None,
    progress: Progress | None = None,
) -> tuple[Validation, ...]:
    """Validate the particles of a run, or one particle.

    Parameters
    ----------
    folder
        Output folder of a run, or one of its particle_NN.
    only
        Names of the checks to make, see `CHECKS`; all but the resimulation when not given.
    resimulate
        Frames to simulate by multislice and solve from scratch; none when not given.
    settings
        Settings of the validation; the defaults when not given.
    config
        Settings of all stages; those of the run when not given.
    progress
        Called as progress(stage, done, total).

    Returns
    -------
    tuple of Validation
        One per particle that has atoms.

    Raises
    ------
    InputError
        A check that does not exist, or too few frames to resimulate.
    DataFileError
        A folder without a solved particle.
    """
    chosen = _chosen(only, resimulate)
    root = Path(folder)
    parts = [root] if (root / POSES).exists() else sorted(p for p in root.glob(PARTICLES) if p.is_dir())
    if not parts:
        raise DataFileError(f"{root} holds no particle; give the --out of a run or one of its particle_NN")
    solved = [p for p in parts if (p / ATOMS).exists()]
    if not solved:
        raise DataFileError(f"no particle of {root} has {ATOMS}; there is no model to validate")
    done = []
    for part in solved:
        try:
            case = load_case(part, config, progress)
        except DataFileError as error:
            if len(solved) == 1:
                raise
            log.warning("%s was not validated: %s", part.name, error)
            continue
        inputs = _inputs(part)
        earlier = _earlier(part, inputs)
        result = validate_case(case, chosen, resimulate, settings, earlier)
        with one_stage(part, "validate", [part / name for name in (ATOMS, POSES, MAPS[0])]) as writing:
            _write(writing, result, inputs)
        done.append(result)
    if not done:
        raise DataFileError(f"no particle of {root} has all the files of a solved one; see the warnings")
    if root not in parts:
        with one_stage(root, "validate") as writing:
            write_record(writing / VALIDATION, RunValidationRecord.of(done))
    return tuple(done)


def validate_case(
    case: Case,
    only: Sequence[str] | None = None,
    resimulate: int | None = None,
    config: ValidateConfig | None = None,
    earlier: dict[str, Check] | None = None,
) -> Validation:
    """Validate a particle in memory.

    Parameters
    ----------
    case
        The particle.
    only, resimulate
        As for `validate_folder`.
    config
        Settings.
    earlier
        Results that stand in for the checks that are not asked for.
    """
    chosen = _chosen(only, resimulate)
    config = config or ValidateConfig()
    checks = []
    for name in CHECKS:
        if name in chosen:
            checks.append(_timed(name, _function(name, case, config, resimulate or DEFAULT_FRAMES)))
        elif earlier and name in earlier:
            checks.append(earlier[name])
        else:
            how = "--resimulate N" if name == "resimulation" else f"--only {name}"
            checks.append(Check(name, (), f"not asked for; {how} makes it"))
    return Validation(case.folder.name if case.folder is not None else "particle", tuple(checks))


def _chosen(only: Sequence[str] | None, resimulate: int | None) -> tuple[str, ...]:
    """Names of the checks to make."""
    for name in only or ():
        if name not in CHECKS:
            raise InputError(f"check is {name!r}; accepted: {', '.join(CHECKS)}")
    chosen = list(only) if only else [name for name in CHECKS if name != "resimulation"]
    if resimulate is not None:
        if resimulate < FEWEST:
            raise InputError(f"resimulate is {resimulate} frames; at least {FEWEST} are needed to find poses")
        if "resimulation" not in chosen:
            chosen.append("resimulation")
    return tuple(chosen)


def _function(name: str, case: Case, config: ValidateConfig, frames: int) -> Callable[[], Check]:
    """Return the call that makes a check."""
    simple: dict[str, Callable[[Case], Check]] = {
        "reprojection": check_reprojection,
        "halves": check_halves,
        "heldout": check_heldout,
        "coverage": check_coverage,
        "pixel": check_pixel,
        "perfect": check_perfect,
    }
    if name in simple:
        return functools.partial(simple[name], case)
    if name == "defocus":
        return functools.partial(check_effects, case, config)
    return functools.partial(check_resimulation, case, frames, config)


def _timed(name: str, make: Callable[[], Check]) -> Check:
    """Make a check; one that cannot be made says why and costs the others nothing."""
    start = time.monotonic()
    try:
        made = make()
    except (SingleError, ConvergenceError) as error:
        log.warning("check %s was not run: %s", name, error)
        made = Check(name, (), str(error))
    return replace(made, seconds=time.monotonic() - start)


def _inputs(part: Path) -> str:
    """Checksum of what the checks are made of."""
    digest = hashlib.sha256()
    for name in (ATOMS, POSES, MAPS[0]):
        digest.update((part / name).read_bytes())
    return digest.hexdigest()[:16]


def _earlier(part: Path, inputs: str) -> dict[str, Check]:
    """Checks of an earlier call on the same atoms, poses and map."""
    if not (part / VALIDATION).exists():
        return {}
    try:
        return {c.name: c for c in read_validation(part, inputs).checks if c.criteria}
    except (DataFileError, OSError, ValueError):
        return {}  # of an older version, or pictures that cannot be read: made anew


def _write(part: Path, result: Validation, inputs: str) -> None:
    """Write validation.json, the pictures beside it, and the page."""
    write_validation(part, result, inputs)
    write_text(part / VALIDATION_PAGE, render(result))
