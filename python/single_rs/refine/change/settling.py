"""Whether the poses of a stretch are clear, and how far its own frames can make them so.

Frames that a search has divided between symmetry mates are tried by maps of other frames (`reassign_runs`): each of two
parts of the stretch by that of the other, at once, or after all were by that of the longest run without a jump, which
lies in one mate. The share of the frames that fit their own pose, and no mate of it, tells which of both is better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import ConvergenceError, SingleError
from single_rs.base.rotations import JUMP, jumps, rotation_angle
from single_rs.orient.agreement import MOST_JUMPS
from single_rs.records import CleanStack, Poses

__all__ = ["Known", "Reassign", "is_clear", "jump_share", "moved_frames", "settled"]

log = logging.getLogger(__name__)

Reassign = Callable[[CleanStack, Poses, NDArray[np.bool_]], Poses]  # frames, poses, and which of them are known

# Least share of the frames that fit their own pose and no symmetry mate of it, of poses that need no search anew: 0.94
# and more of stretches in their right poses at 8 e/px, 0.84 at 2; 0.73 of another particle's, 0.50 to 0.84 of mixtures.
OWN_SHARE = 0.9


def is_clear(poses: Poses) -> bool:
    """Whether frames are hardly divided between poses, by their own steps and by the search that they come from."""
    share = max(jump_share(poses.rotations), poses.diagnostics.jump_share or 0.0)
    own = poses.diagnostics.own_share
    return share <= MOST_JUMPS and (own is None or own >= OWN_SHARE)


def jump_share(rotations: NDArray[np.float64], inside: NDArray[np.bool_] | None = None) -> float:
    """Share of the steps between neighbouring images that are jumps, of rotations (n, 3, 3) and images (n,) in use."""
    used = np.ones(len(rotations), bool) if inside is None else inside
    steps = used[1:] & used[:-1]
    return float(np.mean(jumps(rotations)[steps])) if steps.any() else 1.0


@dataclass(frozen=True)
class Known:
    """Poses of a stretch, and whether its frames are clear enough in them to go on without another search."""

    poses: Poses
    clear: bool

    @property
    def own_share(self) -> float:
        """Share of the frames that fit their own pose and no mate of it; 0 where nobody knows."""
        return self.poses.diagnostics.own_share or 0.0


def settled(clean: CleanStack, poses: Poses, reassign: Reassign) -> Known:
    """Return the poses of a stretch with its runs of frames in the mates that its own maps show.

    Parameters
    ----------
    clean, poses
        Frames (n, y, x) and their poses.
    reassign
        Moves the frames that are not known to the mates that fit the map of the known ones best.

    Returns
    -------
    Known
        With `own_share` as the two parts of the stretch show it by each other's maps.
    """
    found = [_by_each_other(clean, poses, reassign)]
    run = np.concatenate([[0], np.cumsum(jumps(poses.rotations))])
    longest = run == np.bincount(run).argmax()
    if not longest.all():
        try:
            found.append(_by_each_other(clean, reassign(clean, poses, longest), reassign))
        except (SingleError, ConvergenceError) as problem:
            log.info("%d frames of %d are too few to reassign the others by: %s", longest.sum(), len(run), problem)
    return max(found, key=lambda one: one.own_share)


def _by_each_other(clean: CleanStack, poses: Poses, reassign: Reassign) -> Known:
    """Reassign two parts of a stretch by the maps of each other; blocks of the halves are cut in two."""
    half = poses.half[np.maximum.accumulate(np.where(poses.half > 0, np.arange(len(poses.half)), 0))]  # without gaps
    block = np.concatenate([[0], np.cumsum(half[1:] != half[:-1])])
    begin, length = np.searchsorted(block, block), np.bincount(block)[block]
    part = 2 * (np.arange(len(half)) - begin) < length
    found, own = poses, 0.0
    try:
        for known in (part, ~part):
            found = reassign(clean, found, known)
            own += (found.diagnostics.own_share or 0.0) * float((~known).mean())
    except (SingleError, ConvergenceError) as problem:
        log.info("%d frames are too few to reassign them by each other: %s", len(part), problem)
        return Known(poses, False)
    jumping = jump_share(found.rotations)
    # What the search said of the mates of its halves no longer holds.
    halves = tuple(replace(one, own_share=None, mates=()) for one in found.diagnostics.halves)
    diagnostics = replace(found.diagnostics, own_share=own, jump_share=jumping, halves=halves)
    return Known(replace(found, diagnostics=diagnostics), own >= OWN_SHARE and jumping <= MOST_JUMPS)


def moved_frames(before: Poses, after: Poses) -> int:
    """Return how many frames have another mate than before."""
    return int((rotation_angle(np.einsum("nij,nij->n", before.rotations, after.rotations)) > JUMP).sum())
