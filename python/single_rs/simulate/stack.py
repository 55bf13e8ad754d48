"""A simulated particle stack: one crystal, many poses, counted electrons, known truth.

Image i shows R_i x + (shift_i, 0) for every atom x, projected along z onto pixels whose centre is
N//2: column = x / pixel + N//2, row = y / pixel + N//2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.bounds import LARGEST_LENGTH
from single_rs.base.errors import InputError
from single_rs.base.memory_limit import require_machine
from single_rs.base.progress import Progress, in_notebooks
from single_rs.io import atomic, write_stack
from single_rs.records.invariants import need_positive
from single_rs.simulate.crystals import Crystal
from single_rs.simulate.detector import Detector, DetectorConfig
from single_rs.simulate.optics import Microscope, OpticsConfig, intensity
from single_rs.simulate.streams import Stage, stream
from single_rs.simulate.tumbling import brownian_rotations, ornstein_uhlenbeck

__all__ = ["PER_PIXEL", "PER_POSE", "SimulatedStack", "simulate_stack"]

CLEARANCE = 6.0  # Å between the particle and the edge of the box, so that its delocalised image fits
# Bytes that a simulation takes at least: of each pose and its random numbers, of each pixel of a frame, in waves.
PER_POSE, PER_PIXEL = 200, 64


@dataclass(frozen=True)
class SimulatedStack:
    """Images and their truth.

    Attributes
    ----------
    images
        (n, y, x) electron counts, int8 (up to 127) or uint16.
    rotations
        (n, 3, 3), x_lab = R x_particle.
    shifts
        (n, 2) Å, (x, y) of the particle's centre from the box centre.
    crystal
        The particle.
    pixel_size
        Å per px.
    dose
        Mean electrons per px and frame.
    bad
        (k,) images that are blank, of double dose, or smeared.
    """

    images: NDArray[np.generic]
    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    crystal: Crystal
    pixel_size: float
    dose: float
    bad: NDArray[np.int64]

    def write(self, prefix: str | Path) -> Path:
        """Write PREFIX.mrcs, PREFIX_truth.npz (R, shift, atoms, px, dose, bad), PREFIX_truth.xyz; return the first.

        A prefix that is a folder gives FOLDER/stack.mrcs and so on.
        """
        prefix = Path(prefix)
        if prefix.is_dir():
            prefix = prefix / "stack"
        path = prefix.with_name(prefix.name + ".mrcs")
        write_stack(path, self.images, self.pixel_size)
        with atomic(prefix.with_name(prefix.name + "_truth.npz")) as temporary:
            np.savez(
                temporary,
                R=self.rotations,
                shift=self.shifts,
                atoms=self.crystal.positions,
                px=self.pixel_size,
                dose=self.dose,
                bad=self.bad,
            )
        self.crystal.write(prefix.with_name(prefix.name + "_truth.xyz"))
        return path


@in_notebooks
@single_blas_thread()
def simulate_stack(
    crystal: Crystal,
    frames: int = 2000,
    *,
    box: int = 128,
    pixel_size: float = 0.358,
    dose: float = 8.0,
    step: float = 8.0,
    jump_rate: float = 0.0,
    motion: str = "brownian",
    motion_time: float = 20.0,
    shift_sigma: float = 0.45,
    shift_time: float = 20.0,
    rotations: ArrayLike | None = None,
    shifts: ArrayLike | None = None,
    optics: OpticsConfig | None = None,
    detector: DetectorConfig | None = None,
    seed: int = 0,
    item: int = 0,
    progress: Progress | None = None,
) -> SimulatedStack:
    """Simulate single frames of one tumbling particle.

    Parameters
    ----------
    crystal
        The particle.
    frames
        Number of frames.
    box, pixel_size
        Side of the images in px (even), and Å per px.
    dose
        Mean electrons per px and frame; it replaces the detector's.
    step, jump_rate
        Rms rotation between frames in degrees, and probability per frame of a fresh pose.
    motion, motion_time
        Kind of rotation and its time in frames, see `brownian_rotations`.
    shift_sigma, shift_time
        Wandering of the centre: standard deviation per axis in Å, memory in frames.
    rotations, shifts
        Poses (frames, 3, 3) and shifts (frames, 2) in Å to use instead of random ones.
    optics, detector
        Microscope and detector; the defaults when not given.
    seed, item
        Seed of the simulation and number of the particle.
    progress
        Called as progress("simulate", done, frames).

    Raises
    ------
    InputError
        When a value is not accepted or the particle does not fit the box.
    """
    if frames < 1:
        raise InputError(f"frames is {frames}; at least 1 is needed")
    need_positive("pixel_size", pixel_size, "Å")
    if not 0 <= shift_sigma < LARGEST_LENGTH:
        raise InputError(f"shift_sigma is {shift_sigma} Å; it must be 0 to {LARGEST_LENGTH:.0e} Å")
    if crystal.radius + CLEARANCE > 0.5 * box * pixel_size:
        need = int(2 * np.ceil((crystal.radius + CLEARANCE) / pixel_size))
        raise InputError(
            f"box is {box} px ({box * pixel_size:.1f} Å); a particle of radius {crystal.radius:.1f} Å needs {need} px"
        )
    require_machine(f"a stack of {frames:,} frames of {box:,} px", frames * (box**2 + PER_POSE) + PER_PIXEL * box**2)
    microscope = Microscope(box, pixel_size, optics)
    camera = Detector((box, box), frames, replace(detector or DetectorConfig(), dose=dose), seed)
    poses = _given(rotations, (frames, 3, 3), "rotations")
    if poses is None:
        poses = brownian_rotations(frames, step, jump_rate, seed, item=item, motion=motion, motion_time=motion_time)
    offsets = _given(shifts, (frames, 2), "shifts")
    if offsets is None:
        offsets = ornstein_uhlenbeck(stream(seed, Stage.WANDER, item), frames, shift_sigma, shift_time)
    images = np.empty((frames, box, box), dtype=camera.dtype)
    for i in range(frames):
        atoms = crystal.positions @ poses[i].T
        atoms[:, :2] += offsets[i]
        scattered = microscope.scattered_wave(atoms, crystal.symbols)
        images[i] = camera.counts(intensity(scattered, microscope.optics), i)
        if progress is not None:
            progress("simulate", i + 1, frames)
    return SimulatedStack(images, poses, offsets, crystal, float(pixel_size), float(dose), camera.bad)


def _given(values: ArrayLike | None, shape: tuple[int, ...], name: str) -> NDArray[np.float64] | None:
    """Return the array after a check of its shape, or None."""
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}; {shape} is needed")
    return array
