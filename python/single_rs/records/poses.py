"""Settings and result of the orientation search."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Poses"]


@dataclass(frozen=True)
class Poses:
    """Pose of every frame.

    Attributes
    ----------
    rotations
        (n, 3, 3), x_lab = R · x_particle.
    shifts
        (n, 2) Å (x, y), particle's centre from the box centre.
    score
        (n,) log-likelihood gained over an empty frame, nats.
    confidence
        (n,) posterior probability of the pose among the candidates of its frame, in [0, 1].
    half
        (n,) half set, 1 or 2; 0 for frames of neither (guards, bad frames).
    weight
        (n,) weight in the reconstruction.
    frames
        (n,) 0-based frame of the movie.
    width
        (n,) standard error of the rotation about an axis, deg, root mean square over three axes: width of the posterior
        round the pose, as `confidence` is the posterior between poses. None where it is not known.
    hand
        Always "undetermined": projections cannot tell it.
    evidence
        Named numbers that the verdict is judged by.
    """

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64]
    half: NDArray[np.int8]
    weight: NDArray[np.float64]
    frames: NDArray[np.int64]
    width: NDArray[np.float64] | None = None
    hand: str = "undetermined"
    evidence: dict[str, float] = field(default_factory=dict)
