"""Frames of the atomic model in the poses found, by a multislice program, with the noise of the measured dose.

Noiseless frames are kept in chunks beside the results, each with the key of what it was made from: an interrupted
simulation goes on where it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.io import atomic
from single_rs.pipeline.config import ValidateConfig
from single_rs.pipeline.record import stage_key
from single_rs.records import ParticleStack
from single_rs.simulate.detector import Detector, DetectorConfig
from single_rs.store.layout import HIDDEN
from single_rs.validate.case import Case
from single_rs.validate.simulators import make_simulator

__all__ = ["FOLDER", "digest", "noisy_stack", "simulated_frames"]

# In a particle's folder, and no result: what is kept there serves as long as its keys fit.
FOLDER = f"{HIDDEN}/resimulation"
CHUNK = 25  # frames; what an interruption can lose
# Data that were simulated with the seed of the run have electrons of their own: the same would repeat their errors.
OTHER_ELECTRONS = 0x5EED0000


def simulated_frames(case: Case, rows: NDArray[np.int64], config: ValidateConfig) -> NDArray[np.float32]:
    """Return noiseless images (n, y, x) of the model in the poses of frames `rows`; finished chunks are read again."""
    x, symbols = np.asarray(case.atoms.positions), np.asarray(case.atoms.symbols)
    box = case.clean.images.shape[-1]
    radius = float(np.linalg.norm(x, axis=1).max())
    optics = {k: v for k, v in asdict(config).items() if k not in ("model_diameter", "model_frames", "mtf")}
    base = stage_key(digest(x), list(symbols), box, case.pixel_size, optics)
    folder = None if case.folder is None else case.folder / FOLDER
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    simulate = None
    images = np.empty((len(rows), box, box), np.float32)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        out = images[start : start + CHUNK]
        path = None if folder is None else folder / f"frames_{start:05d}.npz"
        key = stage_key(base, digest(case.poses.rotations[part]), digest(case.poses.shifts[part]), part.tolist())
        if path is None or not _read(path, key, out):
            simulate = simulate or make_simulator(config, box, case.pixel_size, radius)
            for done, (image, i) in enumerate(zip(out, part, strict=True)):
                case.tell("resimulation frames", start + done, len(rows))
                atoms = x @ case.poses.rotations[i].T
                atoms[:, :2] += case.poses.shifts[i]
                image[:] = simulate(atoms, symbols, int(i))
            if path is not None:
                with atomic(path) as partial:
                    np.savez(partial, key=key, images=out)
        case.tell("resimulation frames", min(start + CHUNK, len(rows)), len(rows))
    return images


def noisy_stack(
    case: Case, rows: NDArray[np.int64], images: NDArray[np.float32], config: ValidateConfig
) -> ParticleStack:
    """Return electron counts of noiseless images of frames `rows` (n, y, x) at the measured dose."""
    shape = (images.shape[1], images.shape[2])
    camera = Detector(
        shape, len(images), DetectorConfig(dose=case.electrons, mtf=config.mtf), case.seed ^ OTHER_ELECTRONS
    )
    counts = np.stack([camera.counts(image, i) for i, image in enumerate(images)])
    return ParticleStack(counts, case.pixel_size, np.asarray(case.poses.frames)[rows])


def digest(values: ArrayLike) -> str:
    """Return the checksum of numbers."""
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
