"""What short blocks of frames say of the atoms: gradients by heights and positions, and their inner products.

With g_b the gradient of ½ log-likelihood that block b of contiguous frames has at the atoms of the whole, and S half
the information of all frames, of which block b holds the share p_b, the structure that is best for a set T of blocks
gains over that of the whole

    L(T) = Σ_{b,b'∈T} K_bb' / p_T,    K_bb' = g_bᵀ S⁻¹ g_b',    p_T = Σ_T p_b

nats. Noise of block b meets itself on the diagonal alone. Without the diagonal the sum is what the blocks of T gain by
a structure from the *other* blocks of T: held out, and 0 on average where nothing changes, whatever the noise is.

The gradients are those by all positions with the poses free, and by all heights, of atoms and of the empty sites round
them: an atom that stood on a site for a part of the time shows there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine.calibrate import refocus, with_lens
from single_rs.refine.normal import NormalEquations
from single_rs.refine.occupancy_test import empty_sites
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.refine.types import RefineConfig

__all__ = ["BlockEvidence", "WholeModel"]

SAMPLE = 100  # frames whose rotations the normal matrix is summed over
MOST_BLOCKS = 400
SHORTEST_BLOCK = 10  # frames


@dataclass(frozen=True)
class BlockEvidence:
    """Blocks of contiguous frames against the structure of all of them.

    Attributes
    ----------
    edges
        (block + 1,) first image of each block, and the number of images.
    share
        (block,) share of the information that each block holds; they sum to 1.
    vectors
        (block, 3n + n + site) g with what all blocks together ask for taken off: by positions (per px), then heights.
    steps
        (block, 3n + n + site) S⁻¹ g.
    gradients
        (block, n + site) ½ log-likelihood by the heights of the atoms, then of the sites, at `heights`.
    heights
        (n + site,) heights of the whole, in units of a usual atom; 0 at the sites.
    information
        Half the information of one height, all frames, per squared unit of `heights`.
    """

    edges: NDArray[np.int64]
    share: NDArray[np.float64]
    vectors: NDArray[np.float64]
    steps: NDArray[np.float64]
    gradients: NDArray[np.float64]
    heights: NDArray[np.float64]
    information: float

    @property
    def products(self) -> NDArray[np.float64]:
        """(block, block) K, nats."""
        return np.asarray(self.vectors @ self.steps.T)


class WholeModel:
    """All frames at their refined poses, compared with the refined atoms and the empty sites round them.

    Parameters
    ----------
    clean
        Cleaned frames, (n, y, x).
    poses
        One per frame, as refined.
    atoms
        As refined, Å from the box centre.
    config
        Settings of the refinement: band and focus.
    ellipse
        Of the magnification, as the refinement found it: without it, views of other directions, and so other times,
        seem to show another particle.
    lens
        Terms (6,) of the microscope's lens as the refinement found them; None without one.
    """

    def __init__(
        self,
        clean: CleanStack,
        poses: Poses,
        atoms: Atoms,
        config: RefineConfig,
        ellipse: tuple[float, float] = (0.0, 0.0),
        lens: tuple[float, ...] | None = None,
    ) -> None:
        """Pack the frames, fit the filters and find the frames that show the atoms."""
        extent = float(np.linalg.norm(atoms.positions, axis=1).max())
        problem = RefinementProblem.pack(clean, poses, extent, config, ellipse)
        pixel = problem.pixel_size
        heights, widths = atoms.height / atoms.height.mean(), atoms.bfactor - atoms.bfactor.mean()
        self.model = Model(atoms.positions / pixel, heights, widths)
        if lens is not None:
            problem = with_lens(problem, self.model, lens)
            refocus(problem, self.model)
        self.problem = problem
        problem.fit_filters(self.model)
        fitness = problem.fitness(self.model)
        self.scale = fitness.scale  # (image,) 0 where the image is not in use
        problem.reject_outlier_frames(fitness)
        problem.fit_filters(self.model)
        self.shown = problem.frame_weights > 0  # (image,) whether it shows the particle in its pose
        sites = empty_sites(self.model.positions)
        self.sites = sites * pixel  # (site, 3) Å
        self._probed = self.model.join(sites, np.zeros(len(sites)))
        self._normal: NormalEquations | None = None
        self._amount, self._weight = 1.0, 1.0

    def blocks(self) -> BlockEvidence:
        """Return the evidence of all blocks."""
        n = len(self.shown)
        count = int(np.clip(n // SHORTEST_BLOCK, 1, MOST_BLOCKS))
        edges = np.rint(np.linspace(0, n, count + 1)).astype(np.int64)
        return self._evidence(np.repeat(np.arange(count), np.diff(edges)), edges)

    def frames(self, first: int, last: int) -> BlockEvidence:
        """Return that of the single images `first` to `last` - 1, of which each is a block; after `blocks`."""
        groups = np.full(len(self.shown), -1)
        groups[first:last] = np.arange(last - first)
        return self._evidence(groups, np.arange(first, last + 1))

    def presence(
        self, edges: NDArray[np.int64], heights: NDArray[np.float64], there: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what some images say of each atom's height: its gradient, and its information.

        Parameters
        ----------
        edges
            (block + 1,) first image of each block, and the one after the last.
        heights
            (n,) of each atom while it is there, of a usual one's.
        there
            (n,) whether it is.

        Returns
        -------
        (block, n) and (block, n)
            G, of ½ log-likelihood, and H, half the information, per `heights`: at the height x a block has the
            log-likelihood 2 G (x − h) − H (x − h)² over that of the model.
        """
        groups = np.full(len(self.shown), -1, np.int32)
        groups[edges[0] : edges[-1]] = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        problem = self.problem.only(groups >= 0)
        usual = float(np.median(self.model.heights[self.model.heights > 0]))
        model = replace(self.model, heights=usual * heights * there)
        gradient, fitness, information = problem.gradients(model, groups, len(edges) - 1)
        amount = float((information * problem.filter_products()[0, 0]).sum())
        weight = problem.frame_weights * fitness.scale**2
        share = np.bincount(groups[groups >= 0], weight[groups >= 0], minlength=len(edges) - 1)
        own = usual * heights
        return gradient.heights * own, amount * share[:, None] / max(share.sum(), 1e-12) * own**2

    def _evidence(self, groups: NDArray[np.int64], edges: NDArray[np.int64]) -> BlockEvidence:
        count, problem = len(edges) - 1, self.problem
        gradient, fitness, information = problem.gradients(self._probed, groups.astype(np.int32), count)
        own = gradient.positions[:, : len(self.model)]
        weight = np.where(groups >= 0, problem.frame_weights * fitness.scale**2, 0.0)
        if self._normal is None:
            self._normal = NormalEquations.of(problem, self.model, information, SAMPLE)
            amount = (information * problem.filter_products()[0, 0]).sum()
            self._amount, self._weight = float(amount), float(weight.sum())
            self._toward = gradient.positions.sum(0)[: len(self.model)], gradient.heights.sum(0)
        share = np.bincount(groups[groups >= 0], weight[groups >= 0], minlength=count) / self._weight
        own = own - share[:, None, None] * self._toward[0]
        heights = gradient.heights - share[:, None] * self._toward[1]
        usual = float(np.median(self.model.heights[self.model.heights > 0]))
        return BlockEvidence(
            edges=edges,
            share=share,
            vectors=np.concatenate([own.reshape(count, -1), heights], axis=1),
            steps=np.concatenate([self._normal.held_steps(own).reshape(count, -1), heights / self._amount], axis=1),
            gradients=gradient.heights * usual,
            heights=self._probed.heights / usual,
            information=self._amount * usual**2,
        )
