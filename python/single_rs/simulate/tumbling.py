"""Motion of particles: Brownian rotation, wandering of the centre, drift of the stage.

Rotation: R_{i+1} = exp([ω]×) R_i with ω isotropic in the lab frame and E|ω|² = step². Isotropy makes lab-frame and
body-frame increments the same in law. ω is Gaussian and independent (Brownian), an Ornstein-Uhlenbeck process
(drift), Gaussian with a variance that switches (bursts), or Student's t (heavy-tailed). At a jump (rate per frame) the
pose is drawn anew from the uniform distribution on SO(3).
Centre: an Ornstein-Uhlenbeck process, x_{i+1} = ρ x_i + √(1-ρ²) σ n, ρ = exp(-1/τ), stationary from frame 0.
Drift: a velocity that is itself an Ornstein-Uhlenbeck process, summed; a stage creeps, it does not jitter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.simulate.streams import Stage, stream

__all__ = ["MOTIONS", "brownian_rotations", "ornstein_uhlenbeck", "stage_drift"]

MOTIONS = ("brownian", "drift", "bursts", "heavy_tailed")
TAIL_FREEDOM = 3  # the fewest whole degrees of freedom for which a mean square exists
BURST_SHARE = 0.15  # of the frames
BURST_RATIO = 5.0  # step in a burst over that at rest


def brownian_rotations(
    n: int,
    step: float = 8.0,
    jump_rate: float = 0.0,
    seed: int = 0,
    *,
    item: int = 0,
    motion: str = "brownian",
    motion_time: float = 20.0,
) -> NDArray[np.float64]:
    """Return the poses of a tumbling particle, (n, 3, 3), x_lab = R x_particle.

    Parameters
    ----------
    n
        Number of frames.
    step
        Root mean square rotation angle between frames, degrees, whatever the motion.
    jump_rate
        Probability per frame of a fresh uniform pose, 0 to 1.
    seed, item
        Seed of the simulation and number of the particle. The first m of n poses are those of a run of m.
    motion
        ``"brownian"``, independent Gaussian steps; ``"drift"``, steps that keep their axis and angle for a while;
        ``"bursts"``, rest with spells of five times larger steps; ``"heavy_tailed"``, steps of Student's t with
        three degrees of freedom: most are small, few are large.
    motion_time
        Frames: memory of a drift, mean length of a burst. Other motions have no memory.

    Raises
    ------
    InputError
        When a value is not accepted.
    """
    if n < 1:
        raise InputError(f"number of frames is {n}; at least 1 is needed")
    if not 0 <= jump_rate <= 1:
        raise InputError(f"jump_rate is {jump_rate}; it must be 0 to 1 per frame")
    if not 0 <= step <= 180:
        raise InputError(f"step is {step} degrees; it must be 0 to 180")
    if motion not in MOTIONS:
        raise InputError(f"motion is {motion!r}; accepted: {', '.join(MOTIONS)}")
    if not motion_time >= 1:
        raise InputError(f"motion_time is {motion_time} frames; it must be at least 1")
    from scipy.spatial.transform import Rotation
    from scipy.special import ndtr

    per_axis = np.deg2rad(step) / np.sqrt(3.0)
    steps = _unit_steps(n, motion, motion_time, seed, item)
    turns = Rotation.from_rotvec(per_axis * steps).as_matrix()
    draws = stream(seed, Stage.JUMP, item)
    # Five numbers a frame whether it jumps or not, so that a longer run begins with the shorter one.
    table = draws.standard_normal((n, 5))
    fresh = Rotation.from_quat(table[:, :4]).as_matrix()
    # The jump test uses the normal's own distribution function, to keep one kind of draw per row.
    jumps = ndtr(table[:, 4]) < jump_rate
    jumps[0] = True
    poses = np.empty((n, 3, 3))
    for i in range(n):
        poses[i] = fresh[i] if jumps[i] else turns[i] @ poses[i - 1]
    # Products of n rotations lose orthogonality by ~n · 1e-16; renormalise once at the end.
    return np.asarray(Rotation.from_matrix(poses).as_matrix())


def _unit_steps(n: int, motion: str, time: float, seed: int, item: int) -> NDArray[np.float64]:
    """Return rotation vectors (n, 3) of mean square 1 per component."""
    generator = stream(seed, Stage.ROTATION, item)
    if motion == "drift":
        return ornstein_uhlenbeck(generator, n, 1.0, time, 3)
    steps = generator.standard_normal((n, 3))
    scales = stream(seed, Stage.TUMBLING, item)
    if motion == "heavy_tailed":
        # A normal over √(χ²/ν) is Student's t of variance ν/(ν - 2); the three components share χ², so it is isotropic.
        freedom = TAIL_FREEDOM
        steps /= np.sqrt(scales.chisquare(freedom, n) / (freedom - 2))[:, None]
    elif motion == "bursts":
        draws = scales.random(n)
        burst = np.empty(n, bool)
        burst[0] = draws[0] < BURST_SHARE
        begin = BURST_SHARE / (1 - BURST_SHARE) / time  # per frame of rest, so that the share is kept
        for i in range(1, n):
            burst[i] = draws[i] >= 1 / time if burst[i - 1] else draws[i] < begin
        rest = 1 / np.sqrt(1 - BURST_SHARE + BURST_SHARE * BURST_RATIO**2)
        steps *= np.where(burst, BURST_RATIO * rest, rest)[:, None]
    return steps


def ornstein_uhlenbeck(
    generator: np.random.Generator, n: int, sigma: float, correlation_time: float, dimensions: int = 2
) -> NDArray[np.float64]:
    """Return a stationary Gaussian walk (n, dimensions) with standard deviation sigma.

    Parameters
    ----------
    generator
        Source of random numbers.
    n
        Number of frames.
    sigma
        Standard deviation per component, in the unit of the result.
    correlation_time
        Frames after which the memory is 1/e; 0 gives independent values.
    dimensions
        Number of components.
    """
    memory = np.exp(-1.0 / correlation_time) if correlation_time > 0 else 0.0
    noise = sigma * generator.standard_normal((n, dimensions))
    noise[1:] *= np.sqrt(1.0 - memory**2)
    for i in range(1, n):
        noise[i] += memory * noise[i - 1]
    return noise


def stage_drift(n: int, speed: float, correlation_time: float, seed: int) -> NDArray[np.float64]:
    """Return the drift of the specimen (n, 2), (x, y) in px, zero on average.

    A specimen point at p in the drift-free frame is seen at p + drift; so raw - drift is drift-free.

    Parameters
    ----------
    n
        Number of frames.
    speed
        Root mean square speed, px per frame and component.
    correlation_time
        Memory of the velocity, frames.
    seed
        Seed of the simulation.
    """
    velocity = ornstein_uhlenbeck(stream(seed, Stage.DRIFT), n, speed, correlation_time)
    path = np.cumsum(velocity, axis=0)
    return np.asarray(path - path.mean(axis=0))
