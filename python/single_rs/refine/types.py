"""Settings of the refinement and its result."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from single_rs.base.settings import Settings, setting
from single_rs.records import Atoms, Poses
from single_rs.refine.optics import Optics, OpticsConfig

__all__ = ["Ellipse", "RefineConfig", "Refined", "RefinementSummary", "SoftMode", "SpeciesSummary"]


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
    ellipse: float = setting(
        0.005, "expected ellipse of the magnification, standard deviation of its relative size; 0 if it is round",
        ge=0.0, le=0.05,
    )  # fmt: skip
    elements: tuple[str, ...] = setting(
        (), "elements to tell apart by height and width, e.g. Pt, Pd; none leaves the traced ones"
    )
    optics: OpticsConfig = field(default_factory=OpticsConfig)


@dataclass(frozen=True)
class SpeciesSummary:
    """Atoms of one element.

    Attributes
    ----------
    element, atoms
        Chemical symbol, and number of atoms.
    certainty, sigma_pm
        Mean probability to be it, and standard error per axis, pm; None without atoms.
    """

    element: str
    atoms: int
    certainty: float | None
    sigma_pm: float | None


@dataclass(frozen=True)
class SoftMode:
    """What all atoms may do together at one standard error, in the frame of the map.

    Attributes
    ----------
    kind
        "stretch", "shear" or "bending".
    axis
        (3,) unit vector, the principal axis of its strain that changes most.
    strain
        Mean strain of the mode by component, xx, yy, zz, xy, xz, yz, tensor shear, as a fraction.
    strain_sigma
        Standard error of the strain along the axis, as a fraction.
    sigma_pm
        Root mean square displacement of the atoms, pm.
    excess
        That over what it would be if the errors of the atoms were independent.
    """

    kind: str
    axis: tuple[float, float, float]
    strain: dict[str, float]
    strain_sigma: float
    sigma_pm: float
    excess: float


@dataclass(frozen=True)
class Ellipse:
    """The ellipse of the magnification: what belongs at (x, y) in the image stands e₁ (x, −y) + e₂ (y, x) from there.

    Attributes
    ----------
    e1, e2, e1_error, e2_error
        As fractions, with their standard errors, the particle's strain free.
    stretch
        Longest over shortest diameter of what is round, less 1.
    angle
        Of the longest, degrees from x towards y.
    known
        Whether the frames tell it from a strain of the particle.
    corrected
        Whether it is there and the atoms are free of it.
    """

    e1: float
    e2: float
    e1_error: float
    e2_error: float
    stretch: float
    angle: float
    known: bool
    corrected: bool

    @property
    def applied(self) -> tuple[float, float]:
        """(e₁, e₂) by which the atoms are free of it; 0 where it was not corrected."""
        return (self.e1, self.e2) if self.corrected else (0.0, 0.0)


@dataclass(frozen=True)
class RefinementSummary:
    """The refinement in numbers; None is what was not measured.

    Attributes
    ----------
    frames, frames_left_out
        Frames in use, and frames of weight above 0 that do not show the atoms.
    added, removed
        Atoms that are new, and traced ones that are gone.
    moved_pm
        Root mean square distance of the traced atoms that are left from where they were, pm; None of none.
    sigma_pm, sigma_core_pm, sigma_surface_pm
        Root mean square standard error per axis, pm, of all atoms, of the core and of the surface.
    bootstrap_pm, cramer_rao_pm
        Standard error per axis by the block bootstrap and its bound, pm, root mean square over atoms.
    half_difference_pm
        Half of the difference of the two halves per axis, pm, root mean square; None where they were not refined alone.
    model_error_pm
        What a model without depth moves the atoms by, per axis, pm, root mean square.
    depth_spread
        Standard deviation of the frames' depths along the beam, Å; None where the focus does not show any.
    nats_per_frame
        Mean log-likelihood ratio to an empty frame.
    species_nats, species
        Log-likelihood ratio of the elements over one, and what is known of each; None and empty with fewer than two.
    anisotropic_nats, anisotropy
        Log-likelihood that tensors give held-out frames over isotropic widths; root mean square spread of the tensors,
        Å². None unless asked for, the spread also where the frames want no tensors.
    soft_modes
        The three softest things that all atoms may do together, the softest first.
    strain_covariance
        (6, 6) of the mean strain in xx, yy, zz, xy, xz, yz, tensor shear, in the frame of the map: the standard error
        of all lengths along a unit vector v is √(tᵀ C t) with t = (v_x², v_y², v_z², 2 v_x v_y, 2 v_x v_z, 2 v_y v_z).
    ellipse
        Of the magnification.
    optics
        Of the microscope; None where round filters suffice, or nothing else was asked for.
    model_error_factor
        What σ of the atoms grew by, since the model leaves more in held-out frames than their noise; 1 where not.
    """

    frames: int
    frames_left_out: int
    added: int
    removed: int
    moved_pm: float | None
    sigma_pm: float
    sigma_core_pm: float | None
    sigma_surface_pm: float | None
    bootstrap_pm: float
    cramer_rao_pm: float
    half_difference_pm: float | None
    model_error_pm: float
    depth_spread: float | None
    nats_per_frame: float
    species_nats: float | None = None
    species: tuple[SpeciesSummary, ...] = ()
    anisotropic_nats: float | None = None
    anisotropy: float | None = None
    soft_modes: tuple[SoftMode, ...] = ()
    strain_covariance: tuple[tuple[float, ...], ...] = ()
    ellipse: Ellipse | None = None
    optics: Optics | None = None
    model_error_factor: float | None = None


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
        (order + 1, n_shell) filters f₀, f₁, … of the model, contrast per unit height; (2, n_shell) a and b of the lens
        where `summary.optics` has one.
    frequency
        (n_shell,) 1/Å.
    species_probability
        (n, element) probability of each element of the configuration; (n, 0) with fewer than two.
    summary
        The refinement in numbers, as ``summary.json`` holds them.
    depth
        (n_frame,) Å, depth of the particle along the beam as the focus of each frame shows it, 0 in the middle; None
        where the frames do not differ. Without a lens sizes are those of the expansion in the depth, less than true.
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
    summary: RefinementSummary
    depth: NDArray[np.float64] | None = None
    displacement: NDArray[np.float64] | None = None
    displacement_error: NDArray[np.float64] | None = None
