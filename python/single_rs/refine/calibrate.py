"""Calibration of the microscope from frames whose atoms and poses are nearly known.

Focus of each frame, the round functions a and b of the lens, and its terms without round symmetry are fitted in turns
with the poses: a and b in closed form, the rest by Newton steps. A term is there if it exceeds five standard errors, of
which half of its difference between the two halves of the frames is a part, and turns a phase by enough to matter;
others are 0. The lens is kept where it gains more log-likelihood than it has unknowns, and a hundredth of what
the atoms explain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from single_rs.base.sampling import evenly
from single_rs.crystal.scattering import electron_wavelength
from single_rs.refine.lens import TERMS, Lens
from single_rs.refine.optics import OpticsTerm
from single_rs.refine.problem import ChannelSums, Model, RefinementProblem, single
from single_rs.refine.state import turned

__all__ = ["calibrate", "fit_terms", "log_likelihood", "refocus", "with_lens"]

ROUNDS = 2  # of lens, focus and poses in turn
STEPS = 3  # of terms and focus in one round
FEW = 200  # frames that decide whether there is a lens
# Share of all that the atoms explain: what errors could shrink by is half of it.
WORTH = 0.01
NOT_LINEAR = 0.06  # of a term, that imaging which is not linear may hide (docs/refine.md)
PRESENT, LEAST_PHASE = 5.0, 0.05  # standard errors, and rad at the finest detail, of a term that is there


def with_lens(problem: RefinementProblem, model: Model, terms: tuple[float, ...]) -> RefinementProblem:
    """Return the problem with a lens of given terms, and its round part fitted."""
    reach = float(np.linalg.norm(model.positions, axis=1).max()) * problem.pixel_size
    lens = Lens(electron_wavelength(problem.config.optics.voltage), max(reach, 1.0), terms)
    depths = problem.depths
    if depths is None and problem.config.frame_focus:
        depths = np.zeros(len(problem.frame_weights), np.float32)
    shells = problem.transfer.shape[1]
    out = replace(problem, lens=lens, depths=depths, transfer=np.zeros((2, shells)), order=problem.config.depth_order)
    out.frames, out.turns = turned(problem.frames, lens.phase(problem.waves)), (*problem.turns, lens)
    out.fit_filters(model)
    return out


def _started(problem: RefinementProblem, model: Model) -> RefinementProblem:
    """Return the problem with what is known of the lens; which way the beam runs is that of the better likelihood."""
    known = problem.config.optics
    astigmatism, *odd = (np.array(getattr(known, name) or (0.0, 0.0)) for name in TERMS)
    sides = (-1, 1) if astigmatism.any() else (-1,)
    trials = [with_lens(problem, model, tuple(np.concatenate([s * astigmatism, *odd]).tolist())) for s in sides]
    return trials[0] if len(trials) == 1 else max(trials, key=lambda trial: log_likelihood(trial, model))


def calibrate(problem: RefinementProblem, model: Model) -> tuple[RefinementProblem, float]:
    """Fit a lens to frames at the atoms `model`; return the better problem, and the log-likelihood that it gained.

    Some frames decide first, and give the lens that all of them start from. The problem is the one given where round
    filters explain the frames as well, or nearly: a lens costs several times their work.
    """
    used = np.flatnonzero(problem.frame_weights > 0)
    few = problem.only(np.isin(np.arange(len(problem.frame_weights)), used[evenly(len(used), FEW)]))
    trial = _started(few, model)
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            fit_terms(trial, model, judge=False)
            refocus(trial, model, 1)
        trial.polish(model)
        trial.fit_filters(model)
    if not _gained(few, trial, model):
        return problem, 0.0
    assert trial.lens is not None  # from `_started`
    whole = with_lens(problem, model, trial.lens.terms)
    whole.transfer = trial.transfer
    refocus(whole, model)
    whole.polish(model)
    whole.fit_filters(model)
    gained = _gained(problem, whole, model)
    return (whole, gained) if gained else (problem, 0.0)


def _gained(problem: RefinementProblem, trial: RefinementProblem, model: Model) -> float:
    """Log-likelihood that the lens of `trial` gains over `problem`; 0 where that is not worth it."""
    before, after = problem.fitness(model), trial.fitness(model)
    gained = float(before.misfit.sum() - after.misfit.sum())
    frames = int((problem.frame_weights > 0).sum()) if problem.depths is None and trial.depths is not None else 0
    explained = float(after.log_likelihood_ratio.sum())
    return gained if gained > max(frames + 2 * len(TERMS), WORTH * explained) else 0.0


def refocus(problem: RefinementProblem, model: Model, steps: int = STEPS) -> None:
    """Step the focus of each frame; a frame that a step makes less likely goes back and stays."""
    if problem.depths is None:
        return
    _, fitness, _ = problem.gradients(model)
    for _ in range(steps):
        before = problem.depths
        problem.step_depths(fitness)
        if problem.depths is None:
            return
        _, after, _ = problem.gradients(model)
        worse = after.misfit > fitness.misfit
        problem.depths = np.where(worse, before, problem.depths)
        fitness = replace(
            after,
            by_depth=np.where(worse, 0.0, after.by_depth),
            scale=np.where(worse, fitness.scale, after.scale),
        )
    problem.scales = single(fitness.scale)


def log_likelihood(problem: RefinementProblem, model: Model) -> float:
    """Log-likelihood of the frames in use, up to a constant."""
    return -float(problem.fitness(model).misfit.sum())


def fit_terms(problem: RefinementProblem, model: Model, judge: bool = True) -> tuple[OpticsTerm, ...]:
    """Fit the round part, then step the terms of the lens that were not given; those judged to be absent become 0."""
    assert problem.lens is not None  # the caller gave one
    everything = problem.channel_sums(model)
    problem.fit_filters(model, everything)
    step, information = lens_step(problem, problem.lens, everything)
    variance = 0.5 * np.diag(np.linalg.inv(information))
    if judge:
        used = np.flatnonzero(problem.frame_weights > 0)
        first = problem.only(np.isin(np.arange(len(problem.frame_weights)), used[: len(used) // 2]))
        # Of halves of equal size, the first is as far from the mean as half of their difference.
        variance += (lens_step(problem, problem.lens, first.channel_sums(model))[0] - step) ** 2
    found = np.array(problem.lens.terms) + step
    terms = tuple(
        _term(name, found[2 * i : 2 * i + 2], variance[2 * i : 2 * i + 2], problem) for i, name in enumerate(TERMS)
    )
    kept = tuple(v if t.present or not judge else 0.0 for t in terms for v in (t.x, t.y))
    change = replace(problem.lens, terms=tuple(np.subtract(kept, problem.lens.terms)))
    problem.frames = turned(problem.frames, change.phase(problem.waves))
    problem.turns = (*problem.turns, change)
    problem.lens = replace(problem.lens, terms=kept)
    return terms


def _term(
    name: str, found: NDArray[np.float64], variance: NDArray[np.float64], problem: RefinementProblem
) -> OpticsTerm:
    assert problem.lens is not None  # the caller gave one
    given = getattr(problem.config.optics, name)
    x, y = found if given is None else problem.lens.terms[2 * TERMS.index(name) :][:2]
    size, sigma = float(np.hypot(x, y)), float(np.sqrt(variance.mean()))
    error = float(np.hypot(sigma, NOT_LINEAR * size))
    k, wavelength = float(problem.radius.max()) / problem.frames.box, problem.lens.wavelength
    phase = size * (np.pi * wavelength * k**2 if name == TERMS[0] else 2 / 3 * np.pi * wavelength**2 * k**3)
    present = given is not None or (size > PRESENT * sigma and phase > LEAST_PHASE)
    return OpticsTerm(name, float(x), float(y), error, size / sigma, phase, present, given is not None)


def lens_step(
    problem: RefinementProblem, lens: Lens, sums: list[ChannelSums]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton step (6,) of the terms of a lens, Å, and half their information (6, 6), from the sums at its filters."""
    waves, box = problem.waves, problem.frames.box
    shells = np.arange(problem.transfer.shape[1])
    rows = np.stack([np.interp(problem.radius, shells, row) for row in problem.transfer])
    slope, bend, turn, power = np.zeros((4, len(waves)))
    for of in sums:
        parts, changes = lens.parts(waves, box, problem.order, of.depth * problem.pixel_size)
        f, g = np.einsum("pm,xpcm->xcm", rows, np.stack([parts, changes]))
        left = of.right.real.T - np.einsum("mcd,dm->cm", of.square, f)
        slope += (g * left).sum(0)
        bend += np.einsum("cm,mcd,dm->m", g, of.square, g, optimize=True)
        turn -= (f * of.right.imag.T).sum(0)
        power += np.einsum("cm,mcd,dm->m", f, of.square, f, optimize=True)
    step, information = np.zeros(6), np.zeros((6, 6))
    even = lens.even(waves)
    information[:2, :2] = (even * bend) @ even.T
    step[:2] = np.linalg.solve(information[:2, :2], even @ slope)
    # With shifts, which the poses take up, in Å of phase.
    odd = np.concatenate([lens.odd(waves), 2 * np.pi * waves.T])
    square = (odd * power) @ odd.T
    information[2:, 2:] = np.linalg.inv(np.linalg.inv(square)[:4, :4])
    step[2:] = np.linalg.solve(square, odd @ turn)[:4]
    return step, information
