"""Settings of the refinement and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs.base.settings import Settings, setting
from single_rs.records import Atoms, Poses

__all__ = ["RefineConfig", "Refined"]


@dataclass(frozen=True)
class RefineConfig(Settings):
    """Settings of `refine_atoms`."""

    enabled: bool = setting(True, "refine the traced atoms and the poses against the frames")
    rounds: int = setting(3, "rounds of refining poses and atoms in turn", ge=1, le=20)
    resolution: float = setting(0.72, "shortest period used, as far as Nyquist allows", "Å", gt=0.3, le=3.0)
    low_resolution: float = setting(12.0, "longest period used", "Å", gt=2.0)
    depth_order: int = setting(2, "order of the change of focus along the beam through the particle", ge=0, le=3)
    frame_focus: bool = setting(True, "let the focus change from frame to frame where the frames show that it does")
    polish_iterations: int = setting(6, "most steps of a pose in one round", ge=1, le=50)
    max_turn: float = setting(4.0, "farthest a pose may turn in one round", "deg", gt=0.0, le=30.0)
    max_shift: float = setting(0.7, "farthest a pose may shift in one round", "Å", gt=0.0, le=5.0)
    least_agreement: float = setting(
        0.5, "frames whose scale is below this share of the median scale do not show the model and are left out",
        ge=0.0, le=1.0,
    )  # fmt: skip
    select: bool = setting(True, "add atoms that the frames ask for and remove those that they do not show")
    min_height: float = setting(0.4, "lowest height of an atom, as a share of the median", gt=0.0, le=1.0)
    min_probability: float = setting(0.5, "atoms less probable than this are left out", ge=0.0, le=1.0)
    anisotropic: bool = setting(
        False, "let atoms move more in one direction than in another if held-out frames are more likely so"
    )
    halves: bool = setting(True, "refine each half set alone as well, for errors and independent poses")
    block: int = setting(50, "frames of a block of the bootstrap over time", "frames", ge=5)
    elements: tuple[str, ...] = setting(
        (), "elements to tell apart by height and width, e.g. Pt, Pd; none leaves the traced ones"
    )


@dataclass(frozen=True)
class Refined:
    """Atoms and poses refined against the frames.

    Attributes
    ----------
    atoms
        Refined atoms in the frame of the map; `sigma` is √(trace covariance / 3).
    covariance
        (n, 3, 3) Å², of each position with the poses free, from the whole of the errors below.
    bootstrap
        (n, 3, 3) Å², block bootstrap over time in closed form (one Gauss-Newton step per block).
    fisher
        (n, 3, 3) Å², Cramér-Rao bound with poses free.
    half_difference
        (n, 3) Å, position in half 1 minus position in half 2, each refined alone; NaN without halves.
    poses
        Refined poses; those of each half against the atoms of that half alone where halves were refined.
    scale
        (n_frame,) factor of the model in each frame, near 1; 0 where the frame was not used.
    transfer
        (order + 1, n_shell) filters f₀, f₁, … of the model, contrast per unit height.
    frequency
        (n_shell,) 1/Å.
    species_probability
        (n, element) probability of each element of the configuration; (n, 0) with fewer than two.
    summary
        Named numbers for ``summary.json``.
    depth
        (n_frame,) Å, depth of the particle along the beam as the focus of each frame shows it, 0 in the middle; None
        where the frames do not differ. Sizes are those of the expansion in the depth, less than the true ones.
    displacement, displacement_error
        (n, 3, 3) Å², mean square displacement U = ⟨u uᵀ⟩ of each atom in the particle's frame less the mean over all
        atoms and directions, and (n, 6) Å², standard errors of its xx, yy, zz, xy, xz, yz; None unless
        `RefineConfig.anisotropic` asked for them and held-out frames wanted them.
    """

    atoms: Atoms
    covariance: NDArray[np.float64]
    bootstrap: NDArray[np.float64]
    fisher: NDArray[np.float64]
    half_difference: NDArray[np.float64]
    poses: Poses
    scale: NDArray[np.float64]
    transfer: NDArray[np.float64]
    frequency: NDArray[np.float64]
    species_probability: NDArray[np.float64]
    summary: Mapping[str, float]
    depth: NDArray[np.float64] | None = None
    displacement: NDArray[np.float64] | None = None
    displacement_error: NDArray[np.float64] | None = None
