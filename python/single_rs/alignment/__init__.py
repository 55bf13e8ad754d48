"""Compare a result with the truth of a simulation, up to what projections cannot tell.

The frame of a reconstruction is arbitrary: x_found = H · Q · x_true + t with any rotation Q, any shift t and H = ±1,
since projections cannot tell the hand.
"""

from single_rs.alignment.atoms import CUTOFF, PM_PER_ANGSTROM, AtomMatch, AtomScore, match_atoms, score_atoms
from single_rs.alignment.poses import PoseAlignment, PoseScore, align_poses, score_poses

__all__ = [
    "CUTOFF",
    "PM_PER_ANGSTROM",
    "AtomMatch",
    "AtomScore",
    "PoseAlignment",
    "PoseScore",
    "align_poses",
    "match_atoms",
    "score_atoms",
    "score_poses",
]
