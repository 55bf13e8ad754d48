"""A simulated liquid-cell movie, written frame by frame.

Frame i is Poisson(dose · MTF ∗ [|1 + ψ_graphene + Σ_p ψ_p|² (1 + liquid)]): the waves of all objects
add, so their interference is there; only double scattering between objects is left out. A specimen
point at p px in the drift-free frame is seen at p + drift, so that raw - drift is drift-free. The
particle's centre at (column, row) is where its point (0, 0, 0) falls; pixel centres are at integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.memory_limit import require_machine
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.settings import Settings, setting
from single_rs.io import atomic
from single_rs.io.mrc import mrc_writer
from single_rs.records.invariants import need_positive
from single_rs.simulate.crystals import Crystal
from single_rs.simulate.detector import Detector, DetectorConfig
from single_rs.simulate.optics import Microscope, OpticsConfig, intensity
from single_rs.simulate.stack import PER_PIXEL, PER_POSE
from single_rs.simulate.streams import Stage, stream
from single_rs.simulate.surroundings import Graphene, Liquid, SurroundingsConfig
from single_rs.simulate.tumbling import MOTIONS, brownian_rotations, ornstein_uhlenbeck, stage_drift

__all__ = ["MovementConfig", "SimulatedMovie", "simulate_movie"]

PATCH_MARGIN = 8.0  # Å around a particle for its delocalised image
PLACEMENTS = 2000  # random tries per particle
FARTHEST = 1000.0  # px that the stage may move between two frames


@dataclass(frozen=True)
class MovementConfig(Settings):
    """How particles tumble and wander, and how the stage drifts."""

    step: float = setting(8.0, "Rotation between frames, rms", "°", ge=0, le=180)
    jump_rate: float = setting(0.0, "Probability per frame of a fresh random pose", "", ge=0, le=1)
    motion: str = setting("brownian", "Kind of rotation", choices=MOTIONS)
    motion_time: float = setting(20.0, "Memory of a drifting rotation, mean length of a burst", "frames", ge=1)
    wander: float = setting(2.0, "Wandering of a particle's centre, standard deviation per axis", "Å", ge=0, le=1e4)
    wander_time: float = setting(300.0, "Memory of the wandering", "frames", ge=0)
    drift_speed: float = setting(0.02, "Drift of the stage, rms per axis", "px/frame", ge=0, le=FARTHEST)
    drift_time: float = setting(100.0, "Memory of the drift's velocity", "frames", ge=0)
    vibration: float = setting(0.02, "Independent shift of each frame, rms per axis", "px", ge=0, le=FARTHEST)


@dataclass(frozen=True)
class SimulatedMovie:
    """Truth of a movie on disk.

    Attributes
    ----------
    path
        The MRC file.
    rotations
        (particle, frame, 3, 3), x_lab = R x_particle.
    centres
        (frame, particle, 2) px, (x, y) in the drift-free frame.
    drift
        (frame, 2) px, (x, y); the raw centre is centres + drift.
    bad
        (k,) frames that are blank, of double dose, or smeared.
    hot, dead
        (k, 2) integer (x, y).
    graphene
        (sheets,) angle of a lattice vector in degrees, from x towards y, 0 to 60.
    crystals
        The particles.
    pixel_size, dose
        Å per px, and mean electrons per px and frame.
    """

    path: Path
    rotations: NDArray[np.float64]
    centres: NDArray[np.float64]
    drift: NDArray[np.float64]
    bad: NDArray[np.int64]
    hot: NDArray[np.int64]
    dead: NDArray[np.int64]
    graphene: NDArray[np.float64]
    crystals: tuple[Crystal, ...]
    pixel_size: float
    dose: float

    def write_truth(self) -> Path:
        """Write NAME_truth.npz and NAME_truth_<particle>.xyz beside the movie; return the first."""
        stem = self.path.stem
        truth = self.path.with_name(f"{stem}_truth.npz")
        atoms: dict[str, Any] = {f"atoms{i}": c.positions for i, c in enumerate(self.crystals)}
        with atomic(truth) as temporary:
            np.savez(
                temporary,
                R=self.rotations,
                centres=self.centres,
                drift=self.drift,
                bad=self.bad,
                hot=self.hot,
                dead=self.dead,
                graphene=self.graphene,
                px=self.pixel_size,
                dose=self.dose,
                **atoms,
            )
        for i, crystal in enumerate(self.crystals):
            crystal.write(self.path.with_name(f"{stem}_truth_{i}.xyz"))
        return truth


@in_notebooks
@single_blas_thread()
def simulate_movie(
    path: str | Path,
    crystals: Sequence[Crystal],
    frames: int = 1200,
    *,
    shape: tuple[int, int] = (320, 320),
    pixel_size: float = 0.358,
    dose: float = 8.0,
    centres: ArrayLike | None = None,
    movement: MovementConfig | None = None,
    surroundings: SurroundingsConfig | None = None,
    optics: OpticsConfig | None = None,
    detector: DetectorConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SimulatedMovie:
    """Simulate a movie into an MRC file with its truth beside it.

    Parameters
    ----------
    path
        Target ``.mrc``; NAME_truth.npz and NAME_truth_<particle>.xyz are written too.
    crystals
        The particles; an empty sequence gives a movie of the cell alone.
    frames
        Number of frames.
    shape
        (y, x) of a frame, px.
    pixel_size
        Å per px.
    dose
        Mean electrons per px and frame; it replaces the detector's.
    centres
        Mean centre (particle, 2) of each particle, (x, y) in px; random and apart when not given.
    movement, surroundings, optics, detector
        Settings; the defaults when not given (the detector's faults: see `DetectorConfig`).
    seed
        Seed of the simulation.
    progress
        Called as progress("simulate", done, frames).

    Raises
    ------
    InputError
        When a value is not accepted, or the particles do not fit the field.
    DataFileError
        When the file cannot be written.
    """
    if frames < 2:
        raise InputError(f"frames is {frames}; a movie needs at least 2")
    need_positive("pixel_size", pixel_size, "Å")
    if len(shape) != 2 or min(shape) < 16:
        raise InputError(f"shape is {tuple(shape)}; (y, x) of at least 16 px each is needed")
    pixels = math.prod(shape)
    what = f"a movie of {frames:,} frames of {pixels:,} px"
    require_machine(what, frames * (len(crystals) + 1) * PER_POSE + PER_PIXEL * pixels)
    movement, surroundings = movement or MovementConfig(), surroundings or SurroundingsConfig()
    optics, detector = optics or OpticsConfig(), replace(detector or DetectorConfig(), dose=dose)
    camera = Detector(shape, frames, detector.with_movie_faults(frames), seed)
    means = _place(crystals, shape, pixel_size, seed) if centres is None else np.asarray(centres, dtype=np.float64)
    if means.shape != (len(crystals), 2):
        raise InputError(f"centres has shape {means.shape}; ({len(crystals)}, 2) is needed")
    drift = stage_drift(frames, movement.drift_speed, movement.drift_time, seed)
    drift += movement.vibration * stream(seed, Stage.DRIFT, 1).standard_normal((frames, 2))
    walks = np.empty((frames, len(crystals), 2))
    rotations = np.empty((len(crystals), frames, 3, 3))
    for p in range(len(crystals)):
        walk = ornstein_uhlenbeck(stream(seed, Stage.WANDER, p), frames, movement.wander, movement.wander_time)
        walks[:, p] = means[p] + walk / pixel_size
        rotations[p] = brownian_rotations(
            frames,
            movement.step,
            movement.jump_rate,
            seed,
            item=p,
            motion=movement.motion,
            motion_time=movement.motion_time,
        )
    scopes = [Microscope(_patch(c, pixel_size), pixel_size, optics) for c in crystals]
    sheets = Graphene(shape, pixel_size, optics, surroundings, seed)
    liquid = Liquid(shape, pixel_size, surroundings, seed)
    path = Path(path)
    with mrc_writer(path, (frames, *shape), camera.dtype, pixel_size) as put:
        for i in range(frames):
            wave = sheets.scattered_wave(drift[i])
            for p, crystal in enumerate(crystals):
                _add_particle(wave, scopes[p], crystal, rotations[p, i], walks[i, p] + drift[i])
            image = intensity(wave, optics) * (1.0 + liquid.next())
            put(camera.counts(image, i)[None])
            if progress is not None:
                progress("simulate", i + 1, frames)
    movie = SimulatedMovie(
        path,
        rotations,
        walks,
        drift,
        camera.bad,
        camera.hot,
        camera.dead,
        sheets.angles,
        tuple(crystals),
        float(pixel_size),
        float(dose),
    )
    movie.write_truth()
    return movie


def _patch(crystal: Crystal, pixel_size: float) -> int:
    """Return the even side in px of the box in which a particle's wave is made, a fast length for the FFT."""
    from scipy.fft import next_fast_len

    half = int(np.ceil((crystal.radius + PATCH_MARGIN) / pixel_size))
    return 2 * int(next_fast_len(half))


def _place(crystals: Sequence[Crystal], shape: tuple[int, int], pixel_size: float, seed: int) -> NDArray[np.float64]:
    """Return random centres (particle, 2) in px: boxes inside the field and not overlapping each other."""
    generator = stream(seed, Stage.PLACEMENT)
    reach = [(c.radius + PATCH_MARGIN) / pixel_size for c in crystals]
    placed: list[NDArray[np.float64]] = []
    for p, radius in enumerate(reach):
        high = np.array([shape[1], shape[0]]) - radius
        if (high <= radius).any():
            raise InputError(
                f"particle {p} needs {2 * radius:.0f} px with its margin; the field is {shape[1]} × {shape[0]} px"
            )
        for _ in range(PLACEMENTS):
            spot = generator.uniform(radius, high)
            if all(np.linalg.norm(spot - q) > radius + reach[j] for j, q in enumerate(placed)):
                placed.append(spot)
                break
        else:
            raise InputError(f"{len(crystals)} particles do not fit {shape[1]} × {shape[0]} px; use a larger shape")
    return np.array(placed).reshape(-1, 2)


def _add_particle(
    wave: NDArray[np.complex64],
    scope: Microscope,
    crystal: Crystal,
    rotation: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> None:
    """Add a particle's scattered wave to the field's, at a centre (x, y) in px; what falls outside is lost."""
    whole = np.rint(centre).astype(int)
    atoms = crystal.positions @ rotation.T
    atoms[:, :2] += (centre - whole) * scope.pixel_size
    patch = scope.scattered_wave(atoms, crystal.symbols)
    start = whole[::-1] - scope.box // 2  # (row, column)
    low = np.maximum(start, 0)
    high = np.minimum(start + scope.box, wave.shape)
    if (low >= high).any():
        return
    inner = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start))
    wave[low[0] : high[0], low[1] : high[1]] += patch[inner]
