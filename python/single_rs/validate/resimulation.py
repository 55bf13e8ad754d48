"""Check the atoms by putting them into the microscope again, by multislice, and solving it all from scratch.

The model is turned into each pose found, imaged by an outside multislice program (`simulators`), and given the shot
noise of the measured dose. These frames go the whole road without being told anything: cleaning, poses, map, atoms.
What differs between the two models is the error that scattering, noise, pose search, reconstruction and tracing make
together; Kim et al. (2020, doi:10.1126/science.aax3233) found 9.9 to 19 pm by the same test.

Simulated frames are kept in chunks beside the results, each with the key of what it was made from: an interrupted
simulation goes on where it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from single_rs.errors import ConvergenceError, InputError, NoParticleError
from single_rs.io import ParticleStack, atomic
from single_rs.run_log import stage_key
from single_rs.scoring import score_atoms, score_poses
from single_rs.simulate.detector import Detector, DetectorConfig
from single_rs.validate.case import Case
from single_rs.validate.simulators import make_simulator
from single_rs.validate.types import Check, Criterion, ValidateConfig

__all__ = ["FOLDER", "check_resimulation", "simulated_frames"]

FOLDER = "validation_frames"  # of the simulated frames, beside the results of the particle
CHUNK = 25  # frames; what an interruption can lose
FEWEST = 80  # frames from which poses can be found at all
PAPER_PM = 19.0  # largest RMSD of the published test
RECALL = 0.95
POSES = 0.8


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
        Data: what was asked for.

    Raises
    ------
    InputError
        Fewer frames than poses can be found from, or a simulator that is not installed.
    """
    from single_rs.atoms import trace_atoms
    from single_rs.background import clean_stack
    from single_rs.orient import find_poses
    from single_rs.reconstruction import reconstruct

    config = config or ValidateConfig()
    if frames < FEWEST:
        raise InputError(f"resimulate is {frames} frames; at least {FEWEST} are needed to find poses")
    rows = case.used[:frames]
    images = simulated_frames(case, rows, config)
    n, box = len(rows), images.shape[-1]
    camera = Detector((box, box), n, DetectorConfig(dose=case.electrons, mtf=config.mtf), case.seed)
    counts = np.stack([camera.counts(image, i) for i, image in enumerate(images)])
    stack = ParticleStack(counts, case.pixel_size, np.asarray(case.poses.frames)[rows])

    def tell(stage: str, done: int, total: int) -> None:
        case.tell(f"resimulation {stage}", done, total)

    settings = case.config
    shared = Criterion("atoms found again, share", 0.0, RECALL, True, "", "of the atoms that were simulated")
    try:
        clean = clean_stack(stack, settings.background, progress=tell)
        poses = find_poses(clean, case.element, settings.orient, progress=tell, seed=case.seed)
        density = reconstruct(clean, poses, settings.reconstruct, tell)
        atoms = trace_atoms(
            density.map,
            case.pixel_size,
            case.element,
            clean.diameter,
            density.half1,
            density.half2,
            settings.trace,
            progress=tell,
        )
    except (NoParticleError, ConvergenceError) as error:
        return Check("resimulation", (shared,), f"the simulated frames could not be solved: {error}")
    score = score_atoms(atoms.positions, case.atoms.positions)
    posed = score_poses(poses.rotations, np.arange(n), case.poses.rotations[rows])
    criteria = (
        Criterion("RMSD between the two models", score.rmsd, PAPER_PM, False, "pm", "the published test: 9.9 to 19 pm"),
        Criterion(shared.name, score.recall, RECALL, True, "", shared.reason),
        Criterion("share of poses within 3°", posed.within_3deg, POSES, True, "", "poses found again from scratch"),
    )
    return Check(
        "resimulation",
        criteria,
        f"{score.matched} of {score.true} atoms come back within {score.rmsd:.1f} pm from {n} frames simulated by "
        f"{'abTEM' if config.simulator == 'abtem' else 'this package'}; {posed.within_3deg:.1%} of the poses within 3°",
        numbers={
            "rmsd_pm": score.rmsd,
            "rmsd_core_pm": score.rmsd_core,
            "rmsd_surface_pm": score.rmsd_surface,
            "median_pm": score.median,
            "recall": score.recall,
            "precision": score.precision,
            "poses_within_1deg": posed.within_1deg,
            "poses_within_3deg": posed.within_3deg,
            "poses_within_10deg": posed.within_10deg,
            "pose_median_deg": posed.median_deg,
            "resolution_A": density.resolution,
            "frames": float(n),
            "electrons_per_pixel": case.electrons,
        },
        data={"settings": asdict(config)},
    )


def simulated_frames(case: Case, rows: NDArray[np.int64], config: ValidateConfig) -> NDArray[np.float32]:
    """Return noiseless images (n, y, x) of the model in the poses of frames `rows`; finished chunks are read again."""
    x, symbols = np.asarray(case.atoms.positions), np.asarray(case.atoms.symbols)
    box = case.clean.images.shape[-1]
    radius = float(np.linalg.norm(x, axis=1).max())
    optics = {k: v for k, v in asdict(config).items() if k not in ("model_diameter", "model_frames", "mtf")}
    base = stage_key(_digest(x), list(symbols), box, case.pixel_size, optics)
    folder = None if case.folder is None else case.folder / FOLDER
    if folder is not None:
        folder.mkdir(exist_ok=True)
    simulate = None
    images = np.empty((len(rows), box, box), np.float32)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        out = images[start : start + CHUNK]
        path = None if folder is None else folder / f"frames_{start:05d}.npz"
        key = stage_key(base, _digest(case.poses.rotations[part]), _digest(case.poses.shifts[part]), part.tolist())
        if path is None or not _read(path, key, out):
            simulate = simulate or make_simulator(config, box, case.pixel_size, radius)
            for image, i in zip(out, part, strict=True):
                atoms = x @ case.poses.rotations[i].T
                atoms[:, :2] += case.poses.shifts[i]
                image[:] = simulate(atoms, symbols, int(i))
            if path is not None:
                with atomic(path) as partial, open(partial, "wb") as file:
                    np.savez(file, key=key, images=out)
        case.tell("resimulation frames", min(start + CHUNK, len(rows)), len(rows))
    return images


def _digest(values: NDArray[np.float64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, np.float64).tobytes()).hexdigest()


def _read(path: Path, key: str, out: NDArray[np.float32]) -> bool:
    """Fill `out` from a chunk made of the same things; False when there is none."""
    try:
        with np.load(path, allow_pickle=False) as chunk:
            if str(chunk["key"]) != key or chunk["images"].shape != out.shape:
                return False
            out[:] = chunk["images"]
    except (OSError, ValueError, KeyError, EOFError):
        return False  # none, or one that an older version or a full disk left behind: it is made anew
    return True
