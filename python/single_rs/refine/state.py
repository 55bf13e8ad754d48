"""What a step of the refinement changes of the frames, and the frames put back to it.

Arrays are replaced as a whole, never changed in place, so that a state costs nothing while it is kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.packed import FrameSet
from single_rs.refine.lens import Lens
from single_rs.refine.normal import NormalEquations
from single_rs.refine.problem import Model, RefinementProblem

__all__ = ["Fit", "NormalSource", "turned"]


def turned(frames: FrameSet, phase: NDArray[np.float64]) -> FrameSet:
    """Take a phase (m,) off all frames."""
    if not phase.any():
        return frames
    return replace(frames, spectra=frames.spectra * np.exp(1j * phase).astype(np.complex64))


@dataclass(frozen=True)
class Fit:
    """The fields of these names of a `RefinementProblem`, and the ellipse of the magnification of its frames."""

    frame_weights: NDArray[np.float32]
    rotations: NDArray[np.float32]
    shifts: NDArray[np.float32]
    scales: NDArray[np.float32]
    depths: NDArray[np.float32] | None
    transfer: NDArray[np.float64]
    lens: Lens | None
    order: int
    turns: tuple[Lens, ...]
    ellipse: tuple[float, float]

    @classmethod
    def of(cls, problem: RefinementProblem) -> Fit:
        """Return the state of a problem."""
        own = {f.name: getattr(problem, f.name) for f in fields(cls) if f.name != "ellipse"}
        return cls(**own, ellipse=problem.frames.ellipse)

    def put(self, problem: RefinementProblem) -> RefinementProblem:
        """Return the frames of a problem in this state; its own turns are the first of those that it shall have."""
        frames = problem.frames
        for lens in self.turns[len(problem.turns) :]:
            frames = turned(frames, lens.phase(problem.waves))
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "ellipse"}
        return replace(problem, frames=replace(frames, ellipse=self.ellipse), **own)


@dataclass(frozen=True)
class NormalSource:
    """What normal equations are summed from: they are larger than all the rest, and made anew after a stop."""

    fit: Fit
    model: Model
    information: NDArray[np.float64]

    def equations(self, problem: RefinementProblem, sample: int) -> NormalEquations:
        """Return the equations of the frames of `problem` in this state."""
        return NormalEquations.of(self.fit.put(problem), self.model, self.information, sample)
