"""The whole reconstruction once more: from counts to atoms, with the settings of the run and nothing else of it.

Cleaning, pose search, map, atoms and, where the run did so, their refinement against the frames. The search is the
long part: its poses are kept beside the simulated frames with the key of what they were found from.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs._core import __version__
from single_rs.base.errors import InputError
from single_rs.base.progress import Progress
from single_rs.io import atomic
from single_rs.orient import find_poses
from single_rs.pipeline import stages
from single_rs.pipeline.material import lattice_seed
from single_rs.pipeline.record import stage_key
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records import Atoms, CleanStack, Density, Poses, diagnostics_from
from single_rs.refine import refine_atoms
from single_rs.validate.case import Case
from single_rs.validate.resimulated import FOLDER, digest

__all__ = ["Repetition", "repeat", "trace_with_known_poses"]

POSES = "poses.npz"
KNOWN_POSES_BLOCK = 20  # frames of a block of the half sets where poses are known: no search is to be kept apart

log = logging.getLogger(__name__)

_FIELDS = ("rotations", "shifts", "score", "confidence", "half", "weight", "frames")


@dataclass(frozen=True)
class Repetition:
    """What came out, `atoms` refined where the run refines, and `seconds` of each part."""

    poses: Poses
    density: Density
    traced: Atoms
    atoms: Atoms
    seconds: dict[str, float]


def repeat(case: Case, clean: CleanStack, tell: Progress) -> Repetition:
    """Search the poses, reconstruct, trace and refine.

    Parameters
    ----------
    case
        The particle whose settings, element and seed are used.
    clean
        Cleaned frames.
    tell
        Called as tell(stage, done, total).

    Raises
    ------
    NoParticleError, ConvergenceError
        A stage that cannot solve the frames.
    """
    settings, seconds = case.config, {}
    start = time.monotonic()
    key = stage_key(
        digest(clean.images), clean.pixel_size, case.element, case.seed, asdict(settings.orient), __version__
    )
    path = None if case.folder is None else case.folder / FOLDER / POSES
    poses = None if path is None else _read(path, key)
    if poses is None:
        symbol, seeded = lattice_seed(case.element, settings.orient)
        poses = find_poses(clean, symbol, seeded, progress=tell, seed=case.seed)
        if path is not None:
            _write(path, key, poses)
    seconds["search"] = time.monotonic() - start
    start = time.monotonic()
    density = reconstruct(clean, poses, settings.reconstruct, tell)
    atoms = traced = stages.trace(density, case.element, clean.diameter, settings.trace, tell)
    if settings.refine.enabled:
        try:
            atoms = refine_atoms(clean, poses, traced, settings.refine, tell).atoms
        except InputError as error:
            # As in a run: atoms that the frames do not show stay as traced.
            log.warning("the repeated atoms were not refined: %s", error)
    seconds["atoms"] = time.monotonic() - start
    return Repetition(poses, density, traced, atoms, seconds)


def trace_with_known_poses(case: Case, clean: CleanStack, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Positions (n, 3) of the atoms traced when the poses of frames `rows` need not be searched.

    Raises
    ------
    NoParticleError
        When the map shows no atoms.
    """
    known = case.poses
    poses = Poses.known(known.rotations[rows], known.shifts[rows], known.frames[rows], KNOWN_POSES_BLOCK)
    density = reconstruct(clean, poses, case.config.reconstruct)
    traced = stages.trace(density, case.element, clean.diameter, case.config.trace)
    return np.asarray(traced.positions)


def _write(path: Path, key: str, poses: Poses) -> None:
    arrays: dict[str, Any] = {name: np.asarray(getattr(poses, name)) for name in _FIELDS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as partial:
        np.savez(partial, key=key, diagnostics=json.dumps(asdict(poses.diagnostics)), **arrays)


def _read(path: Path, key: str) -> Poses | None:
    """Poses found from the same frames with the same settings; None when there are none."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            diagnostics = diagnostics_from(json.loads(str(kept["diagnostics"])))
            return Poses(**{name: kept[name] for name in _FIELDS}, diagnostics=diagnostics)
    except (OSError, ValueError, KeyError, EOFError):
        return None  # none, or one that an older version or a full disk left behind: it is searched anew
