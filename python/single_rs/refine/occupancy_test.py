"""Which atoms exist: every atom, and every site where the neighbours would have one more, judged by held-out frames.

With G the gradient of ½ log-likelihood by a height at zero and H its information, both from one half of the frames, the
best height is ĥ = G/H, and the log-likelihood ratio of the other half for an atom of that height is

    Δ = H' (2 ĥ ĥ' − ĥ²),     summed over both directions.

An atom stays, and a site becomes one, when Δ exceeds the Bayesian information criterion of five parameters,
(5/2) ln(frames), and its height belongs to the atoms and not to the empty sites (`HeightLaw`). Sites are the mirror
images of each atom's neighbours through the atom: in any crystal they hold all missing atoms, inside and at the rim,
and being mostly empty they measure what nothing looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from single_rs.atoms.peaks import keep_highest
from single_rs.atoms.select import HeightLaw, count_neighbours
from single_rs.crystal.neighbours import neighbour_cutoff
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.refine.types import RefineConfig

__all__ = ["Decision", "bic_penalty", "continuations", "decide", "empty_sites"]

CLOSEST = 0.7  # bonds; nothing else fits nearer to an atom
SAME = 0.4  # bonds; mirror images nearer than this are one site
REACH = 1.25  # bonds; neighbours are nearer than this
FEWEST_NEIGHBOURS = 3  # of a new atom: a corner atom of a close-packed cluster
LEAST_SHARE = 0.5  # of the atoms that must exist for any to be judged
PARAMETERS = 5  # position, height, width


def continuations(
    positions: NDArray[np.float64], nearest: float, farthest: float = np.inf, fewest_bonds: int = 1
) -> NDArray[np.float64]:
    """Sites (m, 3) where the bonds of the atoms (n, 3) would continue; same unit.

    Parameters
    ----------
    positions
        Atoms.
    nearest, farthest
        Least and greatest distance of a site from the nearest atom, bonds.
    fewest_bonds
        Fewest bonds that must continue to a site.
    """
    bond = neighbour_cutoff(positions)[0]
    tree = cKDTree(positions)
    i, j = tree.query_pairs(REACH * bond, output_type="ndarray").T
    sites: NDArray[np.float64] = np.concatenate([2 * positions[i] - positions[j], 2 * positions[j] - positions[i]])
    distance = tree.query(sites)[0]
    sites = sites[(distance > nearest * bond) & (distance < farthest * bond)]
    if not len(sites):
        return sites
    # A site seen from several atoms is their mean; the most often seen comes first.
    near = cKDTree(sites).query_ball_point(sites, SAME * bond)
    seen = np.array([float(len(k)) for k in near])
    means = np.array([sites[k].mean(0) for k in near])[seen >= fewest_bonds]
    return np.asarray(means[keep_highest(means, seen[seen >= fewest_bonds], SAME * bond)])


def empty_sites(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sites (m, 3) where the bonds of the atoms (n, 3) would continue and no atom is; same unit."""
    sites = continuations(positions, CLOSEST)
    if not len(sites):
        return sites
    reach = REACH * neighbour_cutoff(positions)[0]
    return np.asarray(sites[count_neighbours(np.concatenate([positions, sites]), reach)[len(positions) :] > 0])


@dataclass(frozen=True)
class Decision:
    """Atoms that exist: first those kept of the old ones, then `added` new ones.

    Attributes
    ----------
    model
        The atoms.
    probability
        (n,) of each.
    kept
        (n_old,) bool.
    added
        Number of new atoms.
    """

    model: Model
    probability: NDArray[np.float64]
    kept: NDArray[np.bool_]
    added: int

    @property
    def changed(self) -> bool:
        """Whether any atom came or went."""
        return bool(self.added) or not self.kept.all()


def bic_penalty(problem: RefinementProblem) -> float:
    """Half the Bayesian information criterion of one atom's parameters, nats: (5/2) ln(frames)."""
    return 0.5 * PARAMETERS * float(np.log(max(float((problem.frame_weights > 0).sum()), 2.0)))


def decide(problem: RefinementProblem, model: Model, half: NDArray[np.int8], config: RefineConfig) -> Decision:
    """Judge every atom of `model` and every empty site by the frames of the two halves (n_frame,) 1 or 2."""
    n = len(model)
    sites = empty_sites(model.positions)
    probed = model.join(sites, np.zeros(len(sites)))
    best, weight = [], []
    for number in (1, 2):
        part = problem.only(half == number)
        gradient, _, information = part.gradients(probed)
        weight.append(max(float((information * part.filter_products()[0, 0]).sum()), 1e-30))
        best.append(probed.heights + gradient.heights[0] / weight[-1])
    log_likelihood_ratio = sum(weight[1 - k] * (2 * best[k] * best[1 - k] - best[k] ** 2) for k in (0, 1))
    height = (weight[0] * best[0] + weight[1] * best[1]) / (weight[0] + weight[1])
    height /= np.median(height[:n])
    law = HeightLaw.learn(height[:n], height[n:])
    odds = law.odds(height)
    probability = odds / (1 + odds)
    least = bic_penalty(problem)
    exists = (log_likelihood_ratio > least) & (height > config.min_height) & (probability >= config.min_probability)
    if exists[:n].mean() < LEAST_SHARE:
        # Atoms that are mostly wrong cannot judge each other; the verdict on the particle decides.
        return Decision(model, probability[:n], np.ones(n, bool), 0)
    bond = neighbour_cutoff(model.positions)[0]
    everyone = np.concatenate([model.positions[exists[:n]], sites])
    lonely = count_neighbours(everyone, REACH * bond)[int(exists[:n].sum()) :] < FEWEST_NEIGHBOURS
    exists[n:] &= ~lonely
    heights = np.concatenate([model.heights, height[n:]])
    chosen = Model(probed.positions, heights, probed.widths).take(exists)
    return Decision(chosen, probability[exists], exists[:n], int(exists[n:].sum()))
