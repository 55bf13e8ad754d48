"""What the pose search measured on the way: the numbers that the verdict on a particle rests on.

Every number is None where it was not measured, by another engine or by poses that no search of ours found; nothing
stands for a number that is not there. `diagnostics_from` reads back what `dataclasses.asdict` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from single_rs.base.errors import InputError

__all__ = ["HalfDiagnostics", "MateShare", "PoseDiagnostics", "SearchRound", "StartDiagnostics", "diagnostics_from"]


@dataclass(frozen=True)
class StartDiagnostics:
    """How single frames were indexed before any model of the particle; of two half sets the smaller number each.

    Attributes
    ----------
    spot_score
        Mean score of the frames' spectra in their best orientation: sum over the spots, in units of a ring's scatter.
    scrambled_score
        The same of spectra whose rings were turned at random against each other, which have no lattice.
    spot_significance
        Difference of the two in standard deviations of the score of one scrambled spectrum.
    continuity
        Share of frames whose orientation is within 12° of the next frame's, modulo symmetry, less that share for
        frames a third of the movie apart; -1 to 1.
    lattice_constant
        Å, of the scan that the spots fitted best (engine "lattice").
    trials
        Sets of starting frames from which an intensity was grown (engine "lattice-free").
    intensity_continuity
        `continuity` in the intensity that was chosen (engine "lattice-free").
    symmetry_rotations
        Rotations that map this intensity onto itself (engine "lattice-free").
    lattice_found
        1 where this intensity shows a lattice, 0 where it does not (engine "lattice-free").
    """

    spot_score: float | None = None
    scrambled_score: float | None = None
    spot_significance: float | None = None
    continuity: float | None = None
    lattice_constant: float | None = None
    trials: float | None = None
    intensity_continuity: float | None = None
    symmetry_rotations: float | None = None
    lattice_found: float | None = None


@dataclass(frozen=True)
class SearchRound:
    """State of one half set after one round of its search.

    Attributes
    ----------
    stage
        "growth": against the model of the first segment; "map": against the atoms of held-out maps; "climb": a round of
        the hill climb.
    score
        Mean log-likelihood ratio to an empty frame, nats per frame.
    confident
        Share of frames whose posterior is above 0.9.
    moved
        Share of frames that took another pose, in the hill climb.
    """

    stage: str
    score: float | None = None
    confident: float | None = None
    moved: float | None = None


@dataclass(frozen=True)
class MateShare:
    """A symmetry mate of the poses that some frames of one half set fit as well as their own, in frames held out.

    Attributes
    ----------
    angle_deg
        Angle of the rotation of the particle that leads to it, degrees.
    from_behind
        1 where the particle is seen from the other side of the beam as well, else 0.
    share
        Mean probability of the frames to be in it; together with that of their own poses and all other mates 1.
    """

    angle_deg: float = 0.0
    from_behind: float = 0.0
    share: float = 0.0


@dataclass(frozen=True)
class HalfDiagnostics:
    """History of the search of one half set, and what its models say of its poses.

    Attributes
    ----------
    step_deg
        Root mean square rotation from one frame to the next, degrees, as the hidden Markov model has learnt it.
    jump_share
        Share of steps from frame to frame that are jumps to another pose, likewise.
    seed_frames
        Frames of the segment that the first model was made of.
    seed_log_likelihood_ratio
        Mean log-likelihood ratio of that model in its own frames, nats per frame.
    run_frames
        Frames of the longest run without a jump, where the half was divided and searched again from that run.
    shift_window
        Å to each side of the measured centres in which shifts were searched in the end.
    map_correlation
        Mean shell correlation of two maps of the half that share no frame, over the upper two thirds of the shells.
    mate_lead
        Lead of the poses over the nearest of their symmetry mates in frames held out, nats per frame.
    own_share
        Mean probability of the frames to be in their own pose and not in one of its symmetry mates, in frames held out.
    mates
        Mates that hold more than a hundredth of the frames by that probability, the largest share first.
    lead_over_others
        Lead of the poses over those of other frames in frames held out, nats per frame.
    rounds
        In the order of the search.
    """

    step_deg: float | None = None
    jump_share: float | None = None
    seed_frames: float | None = None
    seed_log_likelihood_ratio: float | None = None
    run_frames: float | None = None
    shift_window: float | None = None
    map_correlation: float | None = None
    mate_lead: float | None = None
    own_share: float | None = None
    mates: tuple[MateShare, ...] = ()
    lead_over_others: float | None = None
    rounds: tuple[SearchRound, ...] = ()


@dataclass(frozen=True)
class PoseDiagnostics:
    """What the search measured of a set of poses.

    Attributes
    ----------
    engine
        "lattice", "lattice-free" or "climb"; None for poses that none of them found.
    start
        Index of single frames.
    joining_lead
        Mean log-likelihood by which the best way to join the two half sets leads the next, nats per frame.
    mate_lead
        Lead over the nearest symmetry mates in frames held out, nats per frame; of the worse half.
    own_share
        Mean probability of the frames to be in their own pose and not in a symmetry mate; of the worse half.
    lead_over_others
        Lead over the poses of other frames in frames held out, nats per frame; of the worse half.
    jump_share
        Share of steps from frame to frame that are jumps to another pose, in the worse half.
    starts_agreement
        Share of the frames in use that two searches from different starts pose within 3° of each other.
    starts_distance_deg
        Median angle between their poses, degrees, of frames within 10°.
    starts_lead
        By how much more the better of the two explains the frames, as a share of the log-likelihood of the other.
    halves
        Half 1 and half 2; empty where no search made them.
    """

    engine: str | None = None
    start: StartDiagnostics = field(default_factory=StartDiagnostics)
    joining_lead: float | None = None
    mate_lead: float | None = None
    own_share: float | None = None
    lead_over_others: float | None = None
    jump_share: float | None = None
    starts_agreement: float | None = None
    starts_distance_deg: float | None = None
    starts_lead: float | None = None
    halves: tuple[HalfDiagnostics, ...] = ()


def diagnostics_from(content: Mapping[str, Any]) -> PoseDiagnostics:
    """Return diagnostics from the mapping that `dataclasses.asdict` makes of them.

    Parameters
    ----------
    content
        Names and values, numbers also as texts; what is missing is None, and names that this version does not know are
        left aside.

    Raises
    ------
    InputError
        A value that is no number where one is needed.
    """
    try:
        return msgspec.convert(content, PoseDiagnostics, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"diagnostics: {error}") from None
