"""A first model that breaks the lattice's symmetry: occupied lattice sites, solved from one segment of frames.

Between ⟨001⟩ and ⟨110⟩ zone axes continuity follows a particle through its mates without doubt. The longest such
segments each give a site model of their own (`occupancy`), after a vote on where the lattice's origin lies in the
particle: its centre of mass may be far from any atom.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.base.sampling import evenly
from single_rs.frames.packed import FrameSet
from single_rs.frames.volume import PAD
from single_rs.orient.indexing.lattice import OrientationCandidates
from single_rs.orient.models.ball import ball_model
from single_rs.orient.models.occupancy import SiteModel, solve_occupancy
from single_rs.orient.models.reference import Reference
from single_rs.orient.search.segments import Seed, best_segment
from single_rs.orient.search.solver import SITE_MARGIN, HalfSolver

__all__ = ["site_seed"]

SEED_ROUNDS = 3
VOTERS = 48  # frames of a segment that vote on the lattice's origin


def site_seed(half: HalfSolver, indexed: OrientationCandidates) -> Seed[Reference]:
    """Reference of the segment whose sites explain its own frames best."""
    sites = best_segment(half, indexed, partial(_segment_model, half))
    return Seed(half.site_reference(sites.model), sites.frames, sites.log_likelihood_ratio)


def _segment_model(half: HalfSolver, frames: FrameSet, rotations: NDArray[np.float64]) -> tuple[SiteModel, float]:
    """Sites solved from one segment, and the mean log-likelihood ratio per frame of its model over the ball's."""
    n = len(rotations)
    of, every = np.zeros(n, np.int64), np.arange(n)
    origin = _vote_origin(half, frames, rotations)
    ball = ball_model(half.template, half.diameter, origin)
    volume = ball.volume(half.amplitude, half.reach, frames.box)
    sites = half.template.sites(half.diameter / 2 + SITE_MARGIN + float(np.linalg.norm(origin)))
    model = SiteModel(sites, half.template.grid_step, origin, np.ones(len(sites)))
    start = 0.0
    log_likelihood_ratio = 0.0
    for number in range(SEED_ROUNDS):
        _, found = half.score(frames, [volume], of, rotations, every)
        fitted = half.polish(frames, [volume], of, rotations, found, every)
        rotations, shifts = fitted.rotations, fitted.shifts
        log_likelihood_ratio = float(fitted.likelihood.mean())
        start = log_likelihood_ratio if number == 0 else start
        sums = half.insert(frames, np.ones(n), rotations, shifts, of, 1)
        model = solve_occupancy(*sums[0], model, half.amplitude, frames.box)
        model = replace(model, origin=model.origin - model.centre())
        volume = model.volume(half.amplitude, half.reach, frames.box)
    return model, log_likelihood_ratio - start


def _vote_origin(half: HalfSolver, frames: FrameSet, rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the lattice's origin lies from the particle's centre, Å: all frames of a segment vote.

    For every trial origin x the lattice of frame i must sit at (R_i x)_xy; the overlaps with the ball of lattice are
    summed over frames. One frame alone cannot distinguish one lattice row from the next.
    """
    voters = evenly(len(rotations), VOTERS)
    frames, rotations = frames.take(voters), rotations[voters]
    ball = ball_model(half.template, half.diameter)
    volume = ball.volume(half.amplitude, half.reach, frames.box)
    slices = _core.project_slices(volume, frames.plane, PAD, np.ascontiguousarray(rotations, np.float32))
    product = frames.spectra * slices.conj() * frames.weights
    spacing = half.template.spacing
    grid = np.arange(-5, 6) * (spacing / 6.5)
    frequency = frames.plane.frequencies() * (2 * np.pi / frames.box)
    vote = np.zeros((len(grid),) * 3)
    for rotation, values in zip(rotations, product, strict=True):
        # exp(i k·x) is a product over the axes.
        k = (frequency @ rotation[:2])[..., None] * grid
        x, y, z = np.moveaxis(np.exp(1j * k).astype(np.complex64), 1, 0)
        plane = (values[:, None, None] * x[:, :, None] * y[:, None, :]).reshape(len(values), -1)
        vote += (plane.T @ z).real.reshape(vote.shape)
    trial = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1)
    vote[np.linalg.norm(trial, axis=-1) > 0.75 * spacing] = -np.inf
    return np.asarray(trial[np.unravel_index(vote.argmax(), vote.shape)])
