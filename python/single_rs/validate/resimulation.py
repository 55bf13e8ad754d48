"""Check the atoms by putting them into the microscope again, by multislice, and solving it all from scratch.

The model is turned into each pose found, imaged by an outside multislice program (`simulators`), and given the shot
noise of the measured dose (`resimulated`). These frames pass through the whole pipeline with no further knowledge:
cleaning, poses, map, atoms, refinement (`repetition`). What differs between the two models is the error that
scattering, noise, pose search, reconstruction and tracing make together; Kim et al. (2020, doi:10.1126/science.aax3233)
found 9.9 to 19 pm by the same test. The hand of the repeated model is free, since projections cannot tell it: the
better one is compared.

The same frames are also reconstructed in the poses that they were made in. That parts what scattering and noise do from
what the search does: when only the search fails, and it had fewer frames than the particle has, nothing is decided.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.alignment import PM_PER_ANGSTROM, AtomMatch, align_poses, match_atoms
from single_rs.background import clean_stack
from single_rs.base.errors import ConvergenceError, InputError, NoParticleError
from single_rs.pipeline.config import ValidateConfig
from single_rs.records import CleanStack
from single_rs.records.check import Check, Criterion
from single_rs.validate.case import Case
from single_rs.validate.matching import match_in_place
from single_rs.validate.pictures import low_pass
from single_rs.validate.repetition import Repetition, repeat, trace_with_known_poses
from single_rs.validate.reproject import Reprojector
from single_rs.validate.resimulated import noisy_stack, simulated_frames

__all__ = ["FEWEST", "check_resimulation"]

FEWEST = 80  # frames from which poses can be found at all
PAPER_PM = 19.0  # largest RMSD of the published test
SHARED = 0.95
POSES, NEAR = 0.8, 3.0  # share of the poses, and degrees within which one counts as found again
SHOWN = 5  # frames in the figure
PROGRAMS = {"abtem": "abTEM", "multislice": "this package"}

Array = NDArray[np.float64]


def check_resimulation(case: Case, frames: int, config: ValidateConfig | None = None) -> Check:
    """Simulate the model, solve it again, and compare the models and the poses.

    Parameters
    ----------
    case
        The particle.
    frames
        Number of frames; the first of those used.
    config
        Simulator and optics.

    Returns
    -------
    Check
        Data: radius (Å), distance (pm) and surface (bool) of each pair of atoms; frame and pose_error (degrees);
        frequency (1/Å), transfer_data and transfer_simulated; pictures (k, 3, y, x) of data, simulation with and
        without noise; settings.

    Raises
    ------
    InputError
        Fewer frames than poses can be found from, or a simulator that is not installed.
    """
    config = config or ValidateConfig()
    rows = case.used[:frames]
    if len(rows) < FEWEST:
        raise InputError(f"resimulate is {len(rows)} frames; at least {FEWEST} are needed to find poses")
    start = time.monotonic()
    images = simulated_frames(case, rows, config)
    seconds = {"frames": time.monotonic() - start}

    def tell(stage: str, done: int, total: int) -> None:
        case.tell(f"resimulation {stage}", done, total)

    again: Repetition | None = None
    failure = ""
    known: Array = np.empty((0, 3))
    data: dict[str, Any] = {"settings": asdict(config)}
    try:
        clean = clean_stack(noisy_stack(case, rows, images, config), case.config.background, progress=tell)
        data |= _seen(case, rows, clean, images) | _transfers(case, rows, clean)
        known = trace_with_known_poses(case, clean, rows)
        again = repeat(case, clean, tell)
        seconds |= again.seconds
    except (NoParticleError, ConvergenceError) as error:
        failure = f"the simulated frames could not be solved: {error}"
    return _judged(case, rows, config, known, again, failure, seconds, data)


def _judged(
    case: Case,
    rows: NDArray[np.int64],
    config: ValidateConfig,
    known: Array,
    again: Repetition | None,
    failure: str,
    seconds: dict[str, float],
    data: dict[str, Any],
) -> Check:
    """Compare the models and the poses, and say what a failure means."""
    x, n = np.asarray(case.atoms.positions), len(rows)
    near = match_in_place(known, x)
    bound = near.rmsd() if near.shared >= SHARED else float("nan")
    numbers = {"frames": float(n), "electrons_per_pixel": case.electrons, "told_rmsd_pm": near.rmsd(),
               "told_shared": near.shared}  # fmt: skip
    numbers |= {f"seconds_{name}": value for name, value in seconds.items()}
    rmsd = share = posed = float("nan")
    program = PROGRAMS[config.simulator]
    message = failure
    if again is None:
        share = posed = 0.0
    else:
        match = match_atoms(again.atoms.positions, x)
        poses = align_poses(again.poses.rotations, np.arange(n), case.poses.rotations[rows])
        posed = float((poses.error_deg < NEAR).mean())
        share = len(match.found) / max(len(x), len(again.atoms.positions))
        found, more = _compared(match, x, again, poses.error_deg)
        rmsd = found["rmsd_pm"]
        numbers |= found
        data |= more | {"frame": case.poses.frames[rows]}
        hand = "mirrored, as projections leave open" if match.hand < 0 else "of the same hand"
        message = (
            f"{len(match.found)} of {len(x)} atoms come back within {rmsd:.1f} pm, {hand}, from {n} frames simulated "
            f"by {program}; {posed:.1%} of the poses within {NEAR:.0f}°"
        )
    published = "the published test found 9.9 to 19 pm"
    criteria = (
        Criterion("RMSD between the two models", rmsd, PAPER_PM, False, "pm", published),
        Criterion(
            "atoms in both models, share",
            share,
            SHARED,
            True,
            "",
            "of the larger one; a compact crystal that is aligned with itself one site off still shares 0.7 to 0.9",
        ),
        Criterion(
            f"share of poses within {NEAR:.0f}°",
            posed,
            POSES,
            True,
            "",
            "poses found again from scratch; up to 1 frame in 5 in a wrong one leaves atoms where they are",
        ),
        Criterion(
            "RMSD when the poses need not be searched",
            bound,
            PAPER_PM,
            False,
            "pm",
            "what multiple scattering and noise do alone, as traced; no number when under 0.95 of the atoms come back",
        ),
    )
    return Check("resimulation", criteria, message, numbers, data, undecided=_excuse(criteria, n, len(case.used)))


def _excuse(criteria: tuple[Criterion, ...], n: int, used: int) -> str:
    """Why a failure decides nothing: the search is weaker with fewer frames than the particle was solved from."""
    if not criteria[3].passed or n >= used:
        return ""
    return (
        f"with known poses, atoms come back to {criteria[3].value:.1f} pm: it is the search that failed, and it had "
        f"{n} of the particle's {used} frames; --resimulate {used} decides"
    )


def _compared(
    match: AtomMatch, x: Array, again: Repetition, pose_error: Array
) -> tuple[dict[str, float], dict[str, Any]]:
    """Numbers, and arrays for the figures, of two models and their poses."""
    distance = PM_PER_ANGSTROM * np.linalg.norm(match.error, axis=1)

    def rms(values: Array) -> float:
        return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")

    def median(values: Array) -> float:
        return float(np.median(values)) if len(values) else float("nan")

    traced = match_atoms(again.traced.positions, x)
    numbers = {
        "rmsd_pm": rms(distance),
        "rmsd_core_pm": rms(distance[match.core]),
        "rmsd_surface_pm": rms(distance[~match.core]),
        "rmsd_traced_pm": PM_PER_ANGSTROM * rms(np.linalg.norm(traced.error, axis=1)),
        "median_pm": median(distance),
        "recall": len(match.true) / len(x),
        "precision": len(match.found) / max(len(again.atoms.positions), 1),
        "hand": float(match.hand),
        **{f"poses_within_{d}deg": float((pose_error < d).mean()) for d in (1, 3, 10)},
        "pose_median_deg": median(pose_error[pose_error < 10]),
        "resolution_A": again.density.resolution,
    }
    radius = np.linalg.norm(x - x.mean(axis=0), axis=1)[match.true]
    return numbers, {
        "radius": radius,
        "distance": distance,
        "surface": ~match.core,
        "pose_error": pose_error,
    }


def _seen(case: Case, rows: NDArray[np.int64], clean: CleanStack, images: NDArray[np.float32]) -> dict[str, Any]:
    """Frames of the data beside those simulated, with and without noise, up to the finest period compared."""
    some = np.unique(np.linspace(0, len(rows) - 1, SHOWN + 2).astype(int)[1:-1])
    triples = [(case.clean.images[rows[i]], clean.images[i], images[i] - 1) for i in some]
    middle = clean.images.shape[-1] // 2
    reach = min(int(np.ceil(case.mask[0])), middle)
    square = np.s_[middle - reach : middle + reach, middle - reach : middle + reach]
    shown = [[low_pass(np.asarray(p, np.float32), case.pixel_size, case.period)[square] for p in t] for t in triples]
    return {
        "pictures": np.asarray(shown, np.float32),
        "picture_labels": [f"frame {int(case.poses.frames[rows[i]])}" for i in some],
        "picture_pixel_size": case.pixel_size,
    }


def _transfers(case: Case, rows: NDArray[np.int64], clean: CleanStack) -> dict[str, Any]:
    """Transfer from atoms to frames in the data and in the simulation: it tells whether the microscopes are alike."""
    known = case.poses
    names = ("rotations", "shifts", "score", "confidence", "half", "weight", "frames")
    chosen: dict[str, Any] = {name: np.asarray(getattr(known, name))[rows] for name in names}
    of_rows = replace(known, **chosen)
    curves = []
    for one in (case, case.changed(clean=clean, poses=of_rows)):
        model = Reprojector(one.frames, one.mask, one.atoms.positions, one.atoms.symbols)
        used = one.used
        model.fit(np.arange(min(len(rows), len(used))), one.poses.rotations[used], one.poses.weight[used])
        frequency = np.arange(len(model.transfer)) / one.frames.box
        within = (frequency > 0) & (frequency < 1 / case.period) & (model.transfer != 0)
        curves.append((frequency[within], model.transfer[within]))
    (f, data), (g, simulated) = curves
    return {"frequency": f, "transfer_data": data, "transfer_simulated": np.interp(f, g, simulated)}
