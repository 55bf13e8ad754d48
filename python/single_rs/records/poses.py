"""The pose of the particle in every frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError
from single_rs.base.sampling import block_edges
from single_rs.records.diagnostics import PoseDiagnostics
from single_rs.records.display import Displayed
from single_rs.records.invariants import need_at_least, need_finite, need_rotations, need_shape, need_share

__all__ = ["Poses"]


@dataclass(frozen=True, repr=False)
class Poses(Displayed):
    """Pose of every frame.

    Attributes
    ----------
    rotations
        (n, 3, 3), proper rotations, x_lab = R · x_particle.
    shifts
        (n, 2) Å (x, y), particle's centre from the box centre.
    score
        (n,) log-likelihood ratio to an empty frame, nats.
    confidence
        (n,) posterior probability of the pose among the candidates of its frame, in [0, 1].
    half
        (n,) half set, 1 or 2; 0 for frames of neither (guards, bad frames).
    weight
        (n,) weight in the reconstruction, 0 or more.
    frames
        (n,) 0-based frame of the movie, integers; a table of another program may hold them in any order.
    width
        (n,) standard error of the rotation about an axis, deg, root mean square over three axes: width of the posterior
        round the pose, as `confidence` is the posterior between poses. None where it is not known.
    hand
        Always "undetermined": projections cannot tell it.
    diagnostics
        What the search measured, which the verdict rests on.
    images
        (n,) 0-based image of the stack that each pose is of, ascending; None for all images in their order.

    Raises
    ------
    InputError
        Arrays of other shapes or values; rotations that are not proper to 1e-3.
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
    diagnostics: PoseDiagnostics = field(default_factory=PoseDiagnostics)
    images: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Refuse poses that cannot be."""
        n = np.shape(self.rotations)[0] if np.ndim(self.rotations) else 0
        need_shape("rotations", self.rotations, (n, 3, 3))
        need_shape("shifts", self.shifts, (n, 2))
        for name in ("score", "confidence", "half", "weight", "frames"):
            need_shape(name, getattr(self, name), (n,))
        need_rotations("rotations", self.rotations)
        need_finite("shifts", self.shifts)
        need_finite("score", self.score)
        need_share("confidence", self.confidence)
        need_at_least("weight", self.weight, 0.0)
        other = np.setdiff1d(self.half, (0, 1, 2))
        if len(other):
            raise InputError(f"half holds {other[0]}; 0, 1 and 2 are the half sets")
        if np.asarray(self.frames).dtype.kind not in "iu":
            raise InputError(f"frames are of type {np.asarray(self.frames).dtype}; integers are needed")
        need_at_least("frames", self.frames, 0)
        if self.width is not None:
            need_shape("width", self.width, (n,))
            need_at_least("width", self.width, 0.0)
        if self.images is not None:
            need_shape("images", self.images, (n,))
            need_at_least("images", self.images, 0)

    def _headline(self) -> str:
        n = len(self.rotations)
        clear = f"{100 * np.mean(self.confidence > 0.5):.0f} % with a clear pose, " if n else ""
        return f"{n} frames, {clear}{np.sum(self.half == 1)} and {np.sum(self.half == 2)} in the half sets"

    @classmethod
    def known(cls, rotations: ArrayLike, shifts: ArrayLike, frames: ArrayLike | None = None, block: int = 150) -> Poses:
        """Poses that are known and need no search: of a simulation, or of another program.

        Parameters
        ----------
        rotations
            (n, 3, 3), x_lab = R · x_particle.
        shifts
            (n, 2) Å (x, y), particle's centre from the box centre.
        frames
            (n,) 0-based frame of the movie; 0 to n − 1 when not given.
        block
            Frames of a time block; blocks go to the two half sets in turn, as in the pose search.

        Returns
        -------
        Poses
            Of score 0, confidence 1 and weight 1, with nothing measured in their diagnostics.

        Raises
        ------
        InputError
            As `Poses`.
        """
        r = np.asarray(rotations, np.float64)
        n = len(r)
        edges = block_edges(n, block)
        stretch = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        return cls(
            rotations=r,
            shifts=np.asarray(shifts, np.float64),
            score=np.zeros(n),
            confidence=np.ones(n),
            half=(1 + stretch % 2).astype(np.int8),
            weight=np.ones(n),
            frames=np.arange(n) if frames is None else np.asarray(frames),
        )
