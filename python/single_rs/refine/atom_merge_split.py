"""Moves of atoms that stand in each other's place: two for one, one for two, one for another, by held-out frames.

A traced peak may be two atoms, or one may stand between two sites, or twice. Such sets cannot be judged atom by atom:
each is wrong only while the others are there. A move takes the atoms O of a set away and puts N in their place. With g
the gradient of ½ log-likelihood by the heights h of all of them, H their information and L(h) = 2 gᵀδ − δᵀHδ,
δ = h − h_now, each half finds the heights of O and of N that are best for itself, and the other half judges:

    Δ = L'(ĥ_N) − L'(ĥ_O),    summed over both directions, and less (5/2) ln(frames) for each atom more.

The waves of points x_a, x_b overlap by H_ab = ⟨Σ_k I(k) f₀² J₀(2π k d)⟩ over the views, d their projected distance.
Candidates are close pairs; atoms beside sites where the bonds of others would continue; and atoms unusually wide or
low, which are split in many directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import j0

from single_rs.base.robust import robust_sigma
from single_rs.base.sampling import evenly
from single_rs.crystal.neighbours import neighbour_cutoff
from single_rs.refine.occupancy_test import CLOSEST, bic_penalty, continuations
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.refine.types import RefineConfig

__all__ = ["Moved", "move_atoms"]

BESIDE = 0.22  # bonds; a site farther than this from an atom is another place than the atom's
FEWEST_BONDS = 2  # pairs of neighbours that continue to such a site
DIRECTIONS = 60  # of a hemisphere; no direction is farther than 12° from one of them
HALF_SPLITS = (0.38, 0.5)  # bonds from the peak to each of two atoms: no two are nearer than 0.7
UNUSUAL = 4.0  # standard deviations of the widths, by their median deviation
LOW = 0.7  # of the median height
VIEWS = 200  # frames whose rotations the overlaps are summed over
RIDGE = 1e-3  # of the diagonal: heights of points that all but coincide stay finite


@dataclass(frozen=True)
class Moved:
    """Atoms after the moves: those of `kept` (n_old,) bool first, then the new ones.

    `parent_index` (n_new,) are the old atoms in whose place the new ones stand, -1 for one more; `log_likelihood_ratio`
    is that of the held-out frames, nats.
    """

    model: Model
    kept: NDArray[np.bool_]
    parent_index: NDArray[np.int64]
    log_likelihood_ratio: float


@dataclass(frozen=True)
class _Move:
    """Indices of the atoms that go, and points (k, 3) px that come."""

    old: tuple[int, ...]
    new: NDArray[np.float64]


def move_atoms(problem: RefinementProblem, model: Model, half: NDArray[np.int8], config: RefineConfig) -> Moved:
    """Try all moves and make those that held-out frames ask for, the best first; `half` (n_frame,) is 1 or 2."""
    bond = neighbour_cutoff(model.positions)[0]
    moves = [*_close_pairs(model, bond), *_beside_sites(model, bond), *_splits(model, bond)]
    moves = [move for move in moves if _fits(move, model, bond)]
    kept = np.ones(len(model), bool)
    if not moves:
        return Moved(model, kept, np.empty(0, np.int64), 0.0)
    probed = model.join(np.concatenate([m.new for m in moves]), np.zeros(sum(len(m.new) for m in moves)))
    sides = [_Side.of(problem.only(half == number), probed) for number in (1, 2)]
    penalty = bic_penalty(problem)
    judged = []
    start = len(model)
    for move in moves:
        new = np.arange(start, start + len(move.new))
        start += len(new)
        log_likelihood_ratio, heights = _judge(sides, probed, np.array(move.old), new)
        more = len(new) - len(move.old)
        # An exchange must be as clear as one atom more.
        if log_likelihood_ratio > penalty * (more or 1) and (heights > config.min_height).all():
            judged.append((log_likelihood_ratio - penalty * more, move, heights))
    made: list[tuple[_Move, NDArray[np.float64]]] = []
    total = 0.0
    for log_likelihood_ratio, move, heights in sorted(judged, key=lambda item: -item[0]):
        # What touches an earlier move was judged in other company.
        near = np.concatenate([m.new for m, _ in made]) if made else np.full((1, 3), np.inf)
        if kept[list(move.old)].all() and _distances(move.new, near).min() > CLOSEST * bond:
            kept[list(move.old)] = False
            made.append((move, heights))
            total += log_likelihood_ratio
    if not made:
        return Moved(model, kept, np.empty(0, np.int64), 0.0)
    parent_index = np.concatenate([np.r_[m.old[0], np.full(len(m.new) - 1, -1)] for m, _ in made])
    chosen = model.take(kept).join(np.concatenate([m.new for m, _ in made]), np.concatenate([h for _, h in made]))
    return Moved(chosen, kept, parent_index.astype(np.int64), total)


def _close_pairs(model: Model, bond: float) -> list[_Move]:
    """Two atoms that are one: at either place, or between."""
    x, h = model.positions, np.maximum(model.heights, 0.1)
    pairs = cKDTree(x).query_pairs(CLOSEST * bond, output_type="ndarray")
    moves = []
    for i, j in pairs:
        mean = (h[i] * x[i] + h[j] * x[j]) / (h[i] + h[j])
        moves += [_Move((int(i), int(j)), point[None]) for point in (x[i], x[j], mean)]
    return moves


def _beside_sites(model: Model, bond: float) -> list[_Move]:
    """Atoms that stand beside one site, or between two."""
    x = model.positions
    sites = continuations(x, BESIDE, CLOSEST, FEWEST_BONDS)
    if not len(sites):
        return []
    around = cKDTree(x).query_ball_point(sites, CLOSEST * bond)
    moves = [_Move(tuple(old), site[None]) for old, site in zip(around, sites, strict=True) if len(old) in (1, 2)]
    for i in {old[0] for old in around if len(old) == 1}:
        mine = sites[[old == [i] for old in around]]
        pairs = [np.stack(pair) for pair in combinations(mine, 2)] + [np.stack([s, 2 * x[i] - s]) for s in mine]
        moves += [_Move((i,), pair) for pair in pairs]
    return moves


def _splits(model: Model, bond: float) -> list[_Move]:
    """Unusually wide or low atoms as two, in all directions."""
    rest = model.widths - np.median(model.widths)
    spread = robust_sigma(model.widths)
    unusual = np.flatnonzero((rest > UNUSUAL * spread) | (model.heights < LOW * np.median(model.heights)))
    steps = np.outer(HALF_SPLITS, _directions().ravel()).reshape(-1, 3) * bond
    return [_Move((int(i),), model.positions[i] + np.stack([step, -step])) for i in unusual for step in steps]


def _directions() -> NDArray[np.float64]:
    """Evenly spread directions of a hemisphere, (n, 3): a spiral in the golden angle."""
    index = np.arange(DIRECTIONS) + 0.5
    z, angle = 1 - index / DIRECTIONS, np.pi * (3 - np.sqrt(5)) * index
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)


def _fits(move: _Move, model: Model, bond: float) -> bool:
    """Whether the new points are as far from each other and from the atoms that stay as atoms are."""
    apart = _distances(move.new, np.delete(model.positions, move.old, axis=0))
    within = _distances(move.new, move.new) + np.diag(np.full(len(move.new), np.inf))
    return bool(min(apart.min(initial=np.inf), within.min()) >= CLOSEST * bond * (1 - 1e-9))


def _distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (n, m) between points (n, 3) and (m, 3)."""
    return np.asarray(np.linalg.norm(first[:, None] - second[None], axis=2))


@dataclass(frozen=True)
class _Side:
    """What the frames of one half say: gradient by the height of each point, and how waves of two points overlap."""

    gradient: NDArray[np.float64]  # (n,)
    beam: NDArray[np.float64]  # (view, 3), direction of the beam in the particle's frame
    power: NDArray[np.float64]  # (shell,) Σ I f₀²
    wave: NDArray[np.float64]  # (shell,) 2π k / N, 1/px

    @classmethod
    def of(cls, problem: RefinementProblem, probed: Model) -> _Side:
        gradient, _, information = problem.gradients(probed)
        used = np.flatnonzero(problem.frame_weights > 0)
        used = used[evenly(len(used), VIEWS)]
        power = problem.shell_sums(information * problem.filter_products()[0, 0])
        wave = 2 * np.pi * np.arange(len(power)) / problem.size
        return cls(gradient.heights[0], problem.rotations[used, 2].astype(np.float64), power, wave)

    def overlaps(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """H (n, n) of points (n, 3) px."""
        between = points[:, None] - points[None]
        along = between @ self.beam.T
        across = np.sqrt(np.maximum((between**2).sum(2)[:, :, None] - along**2, 0.0))
        return np.asarray((j0(across[..., None] * self.wave) * self.power).sum(-1).mean(-1))


def _judge(
    sides: list[_Side], probed: Model, old: NDArray[np.int64], new: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Held-out log-likelihood ratio of points `new` over `old`, nats; heights (k,) of the new ones in all frames."""
    group = np.concatenate([old, new])
    squares = [side.overlaps(probed.positions[group]) for side in sides]
    # Gradients by the heights where all of them are 0.
    rights = [s.gradient[group] + q @ probed.heights[group] for s, q in zip(sides, squares, strict=True)]

    def best(right: NDArray[np.float64], square: NDArray[np.float64], part: slice) -> NDArray[np.float64]:
        inner = square[part, part]
        inner = inner + RIDGE * np.diag(np.diag(inner))
        return np.asarray(np.maximum(np.linalg.solve(inner, right[part]), 0.0))

    log_likelihood_ratio = 0.0
    for part, sign in ((slice(len(old)), -1.0), (slice(len(old), None), 1.0)):
        for k in (0, 1):
            heights = best(rights[k], squares[k], part)
            other, square = rights[1 - k][part], squares[1 - k][part, part]
            log_likelihood_ratio += sign * float(2 * other @ heights - heights @ square @ heights)
    return log_likelihood_ratio, best(rights[0] + rights[1], squares[0] + squares[1], slice(len(old), None))
