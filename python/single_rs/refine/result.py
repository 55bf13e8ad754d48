"""From the last state of the refinement to its result: the last step, error bars, species, poses, and the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.base.sampling import evenly, half_sphere
from single_rs.crystal.neighbours import surface_atoms
from single_rs.records import Atoms, Poses
from single_rs.refine.covariance import bootstrap, by_cells, pooled, total
from single_rs.refine.modes import combined, common, mean_strain, named, shared
from single_rs.refine.normal import BEYOND, NormalEquations
from single_rs.refine.optics import OpticsTerm
from single_rs.refine.problem import Fitness, Model, RefinementProblem, single
from single_rs.refine.species import classify, surroundings
from single_rs.refine.transfer import describe
from single_rs.refine.types import Ellipse, RefineConfig, Refined, RefinementSummary, SpeciesSummary

__all__ = ["FittedLens", "assemble"]

# Its terms, the log-likelihood that it gained, and whether the frames were inverted.
FittedLens = tuple[tuple[OpticsTerm, ...], float, bool]

POORER = 100  # frames that tell what a poorer model moves
KNOWN = 0.0005  # standard error of the ellipse below which it is known
SAMPLE = 400  # frames whose rotations the normal matrix of the errors is summed over
VIEW_CELLS, FEWEST_CELLS = 60, 8  # of the half sphere, 18° apart, and that frames must look from
FEWEST_BLOCKS = 12  # of the bootstrap; blocks of short movies are made shorter
PM = 100.0  # pm per Å


def assemble(
    problem: RefinementProblem,
    model: Model,
    halves: Sequence[tuple[Model, RefinementProblem]],
    poses: Poses,
    atoms: Atoms,
    parent_index: NDArray[np.int64],
    probability: NDArray[np.float64],
    config: RefineConfig,
    lens: FittedLens | None = None,
) -> Refined:
    """Take the last step, compute all errors and join what is known.

    Parameters
    ----------
    problem, model
        The whole: frames and atoms.
    halves
        Atoms and frames of half 1 and half 2, each refined alone; or nothing.
    poses, atoms
        As they were given.
    parent_index
        (n,) index of each atom among the given ones, -1 for new ones.
    probability
        (n,) of each atom.
    config
        Settings.
    lens
        What the frames told of the microscope; None without a lens.
    """
    pixel = problem.pixel_size
    used = np.flatnonzero(problem.frame_weights > 0)
    length = max(1, min(config.block, len(used) // FEWEST_BLOCKS))
    groups = np.full(len(problem.frame_weights), -1, np.int32)
    groups[used] = np.arange(len(used)) // length
    count = int(groups.max()) + 1
    # The matrix is that of the problem with the poses at their best: elsewhere its step along what they nearly answer
    # is too long by as much as they take up.
    problem.polish(model)
    if problem.depths is not None:
        problem.depths = np.where(problem.frame_weights > 0, problem.depths - np.median(problem.depths[used]), 0.0)
        problem.depths = single(problem.depths)
    problem.fit_filters(model)
    gradient, fitness, information = problem.gradients(model, groups, count)
    normal = NormalEquations.of(problem, model, information, SAMPLE)
    by_ellipse = np.stack([fitness.by_ellipse[groups == k].sum(0) for k in range(count)])
    blocks = normal.steps(gradient, by_ellipse)
    ellipse = _ellipse(problem, normal, normal.ellipse_steps(gradient, by_ellipse))
    shift, shift_together = _poorer_shift(problem, model, normal, used, blocks.sum(0))
    model_shift = shift * pixel
    final = replace(model, positions=model.positions + normal.joint_step(gradient, by_ellipse, pixel, False)[0])
    positions = final.positions * pixel
    surface = surface_atoms(positions)
    fisher = pixel**2 * normal.covariance()
    by_blocks = pixel**2 * bootstrap(blocks)
    difference = np.full((len(model), 3), np.nan)
    if halves:
        difference = (halves[0][0].positions - halves[1][0].positions) * pixel
    statistical = pooled(by_blocks, fisher, count, surface)
    growth = _growth(problem, model, normal, blocks, groups)
    statistical = statistical * growth
    basis = normal.basis
    together = combined(
        pixel**2 * normal.together(),
        pixel * blocks.reshape(count, -1) @ basis.T,
        basis @ difference.ravel() if halves else None,
        pixel * shift_together,
    )
    together += pixel**2 * normal.unseen() + common(basis, positions)
    modes, covariance = shared(basis, together, total(statistical, difference, model_shift, surface))
    species, chosen, species_nats = _species(final, positions, atoms, parent_index, config)
    refined = Atoms(
        positions=positions,
        symbols=chosen,
        height=final.heights * _typical(atoms.height, 1.0),
        bfactor=final.widths + _typical(atoms.bfactor, 0.0),
        sigma=np.sqrt(np.einsum("nii->n", covariance) / 3),
        probability=probability * (species.max(1) if species.size else 1.0),
        covariance=covariance,
        modes=modes if len(modes) else None,
    )
    kept = parent_index >= 0
    summary = RefinementSummary(
        frames=len(used),
        frames_left_out=int(((poses.weight > 0) & (problem.frame_weights == 0)).sum()),
        added=int((~kept).sum()),
        removed=int(len(atoms) - kept.sum()),
        moved_pm=_rms(positions[kept] - atoms.positions[parent_index[kept]]) if kept.any() else None,
        sigma_pm=float(np.sqrt(np.mean(refined.sigma**2))) * PM,
        sigma_core_pm=_group_sigma(refined.sigma, ~surface),
        sigma_surface_pm=_group_sigma(refined.sigma, surface),
        bootstrap_pm=_trace(by_blocks),
        cramer_rao_pm=_trace(fisher),
        half_difference_pm=float(_rms(difference) / 2 / np.sqrt(3)) if halves else None,
        model_error_pm=float(_rms(model_shift) / np.sqrt(3)),
        depth_spread=None if problem.depths is None else float(np.std(problem.depths[used])) * pixel,
        nats_per_frame=float(fitness.log_likelihood_ratio[used].mean()),
        species_nats=species_nats if species.size else None,
        species=tuple(
            _species_summary(name, chosen == name, species[:, index], refined.sigma)
            for index, name in enumerate(config.elements if species.size else ())
        ),
        soft_modes=named(basis, together, covariance - np.einsum("knc,knd->ncd", modes, modes), positions),
        strain_covariance=tuple(map(tuple, mean_strain(basis, together, positions).tolist())),
        ellipse=ellipse,
        model_error_factor=float(np.sqrt(growth)),
        optics=None if lens is None else describe(problem, model, fitness, *lens),
    )
    return Refined(
        atoms=refined,
        covariance=covariance,
        bootstrap=by_blocks,
        fisher=fisher,
        half_difference=difference,
        poses=_poses(problem, halves, poses, fitness),
        scale=np.where(problem.frame_weights > 0, fitness.scale, 0.0),
        transfer=problem.transfer,
        frequency=problem.frequency,
        species_probability=species,
        summary=summary,
        depth=None if problem.depths is None else problem.depths.astype(np.float64) * pixel,
    )


def _growth(
    problem: RefinementProblem,
    model: Model,
    normal: NormalEquations,
    blocks: NDArray[np.float64],
    groups: NDArray[np.int32],
) -> float:
    """By what the variances grow for errors that frames of one view share: 1 or more.

    `blocks` (block, n, 3) px are the steps of blocks of time, `groups` (frame,) the block of each frame.
    """
    beams, centres = problem.rotations[:, 2].astype(float), half_sphere(VIEW_CELLS)
    cells = np.where(groups >= 0, np.abs(beams @ centres.T).argmax(1), -1).astype(np.int32)
    seen = np.unique(cells[cells >= 0])
    if len(seen) < FEWEST_CELLS:
        return 1.0
    cells[cells >= 0] = np.searchsorted(seen, cells[cells >= 0])
    gradient, fitness, _ = problem.gradients(model, cells, len(seen))
    by_ellipse = np.stack([fitness.by_ellipse[cells == k].sum(0) for k in range(len(seen))])
    weight = problem.frame_weights * fitness.scale**2

    def variance(steps: NDArray[np.float64], of: NDArray[np.int32]) -> float:
        sums = np.bincount(of[of >= 0], weight[of >= 0], minlength=len(steps))
        return by_cells(steps, sums / max(float(sums.sum()), 1e-30), normal.basis)

    return max(1.0, variance(normal.steps(gradient, by_ellipse), cells) / max(variance(blocks, groups), 1e-30))


def _poorer_shift(
    problem: RefinementProblem,
    model: Model,
    normal: NormalEquations,
    used: NDArray[np.int64],
    last: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far a model without depth moves the atoms; `last` (n, 3) px is the step of the whole model.

    Atoms alone ask for it at the poses as they are. What all do together is mostly taken up by the poses, which a
    sample of the frames is given the time for.

    Returns
    -------
    shift
        (n, 3) px.
    together
        (2, m) px along the basis, by each half of the sample: what they agree on is no noise.
    """
    poorer = problem.only(problem.frame_weights > 0)
    poorer.order = 0
    if problem.lens is None:
        poorer.transfer = problem.transfer[:1]
    poorer.fit_filters(model)
    gradient, fitness, _ = poorer.gradients(model)
    everyone = normal.steps(gradient, fitness.by_ellipse.sum(0, keepdims=True))[0] - last
    sample = used[evenly(len(used), POORER)]
    groups = np.full(len(problem.frame_weights), -1, np.int32)
    groups[sample] = np.arange(len(sample)) % 2
    poorer.polish(model, sample)
    steps = []
    for side in (problem, poorer):
        part = side.only(groups >= 0)
        gradient, fitness, _ = part.gradients(model, groups, 2)
        by_ellipse = np.stack([fitness.by_ellipse[groups == k].sum(0) for k in (0, 1)])
        steps.append(normal.steps(gradient, by_ellipse).reshape(2, -1) @ normal.basis.T)
    sizes = np.array([max(int((groups == k).sum()), 1) for k in (0, 1)])
    together = (steps[1] - steps[0]) * (len(used) / sizes)[:, None]
    change = (together.mean(0) - normal.basis @ everyone.ravel()) @ normal.basis
    return everyone + change.reshape(everyone.shape), together


def _ellipse(problem: RefinementProblem, normal: NormalEquations, blocks: NDArray[np.float64]) -> Ellipse:
    """Return the ellipse with its errors, from the steps (block, 2) that blocks of time ask for."""
    count = len(blocks)
    spread = blocks.var(0, ddof=1) * count if count > 1 else np.zeros(2)
    told = normal.ellipse_by_views**2
    variance = np.maximum(0.5 * np.diag(normal.ellipse), spread)
    error = np.sqrt(np.where(told > BEYOND * variance, told, variance))
    applied = np.array(problem.frames.ellipse)
    e1, e2 = applied + blocks.sum(0)
    size = float(np.hypot(e1, e2))
    return Ellipse(
        e1=float(e1),
        e2=float(e2),
        e1_error=float(error[0]),
        e2_error=float(error[1]),
        stretch=(1 + size) / (1 - size) - 1,
        angle=float(np.rad2deg(np.arctan2(e2, e1)) / 2),
        known=bool(np.hypot(*error) < KNOWN),
        corrected=bool(applied.any()),
    )


def _species(
    model: Model,
    positions: NDArray[np.float64],
    atoms: Atoms,
    parent_index: NDArray[np.int64],
    config: RefineConfig,
) -> tuple[NDArray[np.float64], NDArray[np.str_], float]:
    """Probability (n, element), symbols (n,), and log-likelihood ratio of the elements over one."""
    log_likelihood_ratio = 0.0
    probability = np.empty((len(model), 0))
    if len(config.elements) > 1:
        around = surroundings(positions)
        probability, log_likelihood_ratio = classify(model.heights, model.widths, config.elements, around)
        if log_likelihood_ratio > 0:
            return probability, np.array(config.elements)[probability.argmax(1)], log_likelihood_ratio
    usual = Counter(str(s) for s in atoms.symbols).most_common(1)[0][0]
    symbols = np.array([str(atoms.symbols[i]) if i >= 0 else usual for i in parent_index])
    return probability, symbols, log_likelihood_ratio


def _poses(
    problem: RefinementProblem, halves: Sequence[tuple[Model, RefinementProblem]], poses: Poses, fitness: Fitness
) -> Poses:
    """Poses of the whole, those of each half against its own atoms: the halves stay independent."""
    rotations, shifts = problem.rotations.astype(np.float64), problem.shifts.astype(np.float64)
    for number, (_, own) in enumerate(halves, start=1):
        mine = (poses.half == number) & (own.frame_weights > 0)
        rotations[mine], shifts[mine] = own.rotations[mine], own.shifts[mine]
    return replace(
        poses,
        rotations=Rotation.from_matrix(rotations).as_matrix(),
        shifts=(problem.centres + shifts) * problem.pixel_size,
        score=np.where(problem.frame_weights > 0, fitness.log_likelihood_ratio, poses.score),
    )


def _typical(values: NDArray[np.float64], default: float) -> float:
    """Median of what is known."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else default


def _rms(vectors: NDArray[np.float64]) -> float:
    """RMS length of vectors (n, 3) Å, pm."""
    return float(np.sqrt((vectors**2).sum(1).mean())) * PM


def _trace(covariance: NDArray[np.float64]) -> float:
    """RMS standard error per axis of covariances (n, 3, 3) Å², pm."""
    return float(np.sqrt(np.mean(np.einsum("nii->n", covariance)) / 3)) * PM


def _species_summary(
    element: str, mine: NDArray[np.bool_], probability: NDArray[np.float64], sigma: NDArray[np.float64]
) -> SpeciesSummary:
    """What is known of the atoms `mine` (n,) of one element, of `probability` (n,) to be that."""
    certainty = float(probability[mine].mean()) if mine.any() else None
    return SpeciesSummary(element, int(mine.sum()), certainty, _group_sigma(sigma, mine))


def _group_sigma(sigma: NDArray[np.float64], group: NDArray[np.bool_]) -> float | None:
    """RMS standard error of a group, pm; None of an empty one."""
    return float(np.sqrt(np.mean(sigma[group] ** 2))) * PM if group.any() else None
