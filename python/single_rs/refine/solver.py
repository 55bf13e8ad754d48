"""The refinement: poses and atoms in turns, which atoms exist, halves apart, errors.

Each round polishes the poses in use against the atoms, refits the filters, and takes one Gauss-Newton step of all
positions with the poses free (variable projection: at the best poses the gradient by the positions is that of the
reduced problem, and the Schur complement its matrix), and one of heights and widths.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.steps import Steps, current_steps
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.records.invariants import need_record
from single_rs.refine.adp import (
    AnisotropicDisplacement,
    fit_displacement,
    held_out_log_likelihood_ratio,
    improves_bic,
    with_displacement,
)
from single_rs.refine.atom_merge_split import move_atoms
from single_rs.refine.calibrate import calibrate, fit_terms, log_likelihood, refocus
from single_rs.refine.normal import NormalEquations
from single_rs.refine.occupancy_test import decide
from single_rs.refine.optics import OpticsTerm
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.refine.result import assemble
from single_rs.refine.state import Fit, NormalSource
from single_rs.refine.strays import reassign_frames
from single_rs.refine.types import RefineConfig, Refined

__all__ = ["refine_atoms"]

SAMPLE = 150  # frames whose rotations the normal matrix of a step is summed over
# Frames that the filters of a step are fitted to: means over whole shells, whose errors move the atoms by their square.
# The last filters are fitted to all frames.
FILTER_FRAMES = 800
SELECT_ROUNDS = 2  # rounds after which atoms are added and removed
# Of a half alone, from the atoms of the whole: after two, halves of 1 e/px still remember where they came from (their
# difference is 18 % short of that after five, and stated errors as much).
HALF_ROUNDS = 4
LENS_ROUNDS = 2  # of atoms, lens and poses in turn, once there is a lens
SETTLING = 6  # rounds at most until what all atoms do together stands still
SETTLED = 0.5  # standard errors that the last step may have asked for
WORSE = 10.0  # nats that poses which are not at their best yet may cost
CLEAR = 0.5  # standard errors of a step from which the next tells whether it was too long
SHORTER, LONGER = 0.3, 1.5  # the least and the most that a step is changed by
FAR, FARTHER = 3.0, 4.0  # standard errors of a step from which it may be changed by more
ELLIPSE_SIGMA, LEAST_ELLIPSE = 5.0, 5e-4  # of the magnification, to be there at all
LARGEST_ELLIPSE = 0.05  # beyond it, it is no ellipse of a magnification
FEWEST_FRAMES = 20  # of the whole, and of a half to be refined alone
FEWEST_ATOMS = 4


@dataclass(frozen=True)
class _Best:
    """The most likely state of the rounds that settle: misfit, poses and atoms."""

    misfit: float
    fit: Fit
    model: Model


@dataclass(frozen=True)
class _State:
    """What a step leaves: of the frames, and the attributes of `_Solver` of the same names."""

    fit: Fit
    model: Model
    source: NormalSource | None
    information: float
    ellipse_step: NDArray[np.float64]
    asked: NDArray[np.float64] | None
    made: NDArray[np.float64]
    probability: NDArray[np.float64]
    parent_index: NDArray[np.int64]
    displacement: AnisotropicDisplacement | None
    displacement_nats: float
    gained: float
    terms: tuple[OpticsTerm, ...]
    halves: tuple[tuple[Fit, Model], ...]
    best: _Best | None


class _Solver:
    """One refinement: the problem, the atoms, and the factor of their steps while they are the same."""

    def __init__(self, problem: RefinementProblem, model: Model, half: NDArray[np.int8], config: RefineConfig) -> None:
        self.problem, self.model, self.half, self.config = problem, model, half, config
        self.source: NormalSource | None = None  # of the normal equations, which serve while the atoms are the same
        self._normal: NormalEquations | None = None
        self.information = 1.0
        self.ellipse_step = np.zeros(2)
        self.asked: NDArray[np.float64] | None = None  # of what all atoms do together, by the last step, in its
        self.made = np.empty(0)  # standard errors, and what was made of it
        self.best: _Best | None = None
        self.misfit = np.inf  # of the atoms that the last step began with, at their poses
        self.probability = np.ones(len(model))
        self.parent_index = np.arange(len(model))
        self.displacement: AnisotropicDisplacement | None = None
        self.displacement_nats = 0.0
        self.usable = problem.frame_weights
        self.gained = 0.0  # log-likelihood, by the lens
        self.terms: tuple[OpticsTerm, ...] = ()
        self.halves: tuple[tuple[Fit, Model], ...] = ()

    def state(self) -> _State:
        """Return what the next step goes on from."""
        own = {f.name: getattr(self, f.name) for f in fields(_State) if f.name != "fit"}
        return _State(fit=Fit.of(self.problem), **own)

    def restore(self, state: _State) -> None:
        """Go on from what a step left."""
        self.forget_normal()
        self.problem = state.fit.put(self.problem)
        for field in fields(state):
            if field.name != "fit":
                setattr(self, field.name, getattr(state, field.name))

    @property
    def normal(self) -> NormalEquations | None:
        """The normal equations of the steps; None where the atoms are others since."""
        if self._normal is None and self.source is not None:
            self._normal = self.source.equations(self.problem, SAMPLE)
        return self._normal

    def forget_normal(self) -> None:
        """Take the atoms for others."""
        self.source = self._normal = self.asked = None

    def round(self, select: bool, free_ellipse: bool = False) -> None:
        """Refine poses and atoms in turn, and with `select` which atoms there are."""
        self.problem.polish(self.model)
        self.model = self.step(self.problem, self.model, free_ellipse)
        if select:
            self.select()

    def count(self, number: int) -> int:
        """Return the number of frames in use of half `number`."""
        return int((self.problem.frame_weights[self.half == number] > 0).sum())

    def step(self, problem: RefinementProblem, model: Model, free_ellipse: bool = False) -> Model:
        """Take one step of all atoms at the poses of `problem`, and of the ellipse of its frames where that is free."""
        if problem.lens is not None:
            refocus(problem, model, 1)
        problem.fit_filters(model, most=FILTER_FRAMES)
        gradient, fitness, information = problem.gradients(model)
        self.misfit = float(fitness.misfit.sum())
        if problem.lens is None:
            problem.step_depths(fitness)
        amount = float((information * problem.filter_products()[0, 0]).sum())
        if self.normal is None:
            self.source, self.information = NormalSource(Fit.of(problem), model, information), amount
        normal = self.normal
        assert normal is not None  # it has a source
        # The same matrix serves frames in any number: it grows as the information does.
        share = max(amount / self.information, 1e-12)
        gradient = replace(gradient, positions=gradient.positions / share)
        ellipse = fitness.by_ellipse.sum(0, keepdims=True) / share
        step, self.ellipse_step = normal.joint_step(gradient, ellipse, problem.pixel_size, free_ellipse)
        if free_ellipse:
            e1, e2 = np.array(problem.frames.ellipse) + self.ellipse_step
            within = min(1.0, LARGEST_ELLIPSE / max(float(np.hypot(e1, e2)), 1e-12))
            problem.frames = replace(problem.frames, ellipse=(float(e1 * within), float(e2 * within)))
        if problem is self.problem:
            step = step + self._secant(normal, step)
        moved = replace(model, positions=model.positions + step)
        if model.tensors is not None:
            return moved
        heights = problem.step_heights(model, gradient, information)
        return replace(moved, heights=heights.heights, widths=heights.widths)

    def _secant(self, normal: NormalEquations, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Correct a step along what all atoms do together by how much of the last one was right, (n, 3) px.

        What poses take up of these directions is most of all there is, and a step is too long by several times what
        they have not taken up yet. Two steps tell the slope, as in the secant method.
        """
        asked, before = normal.amounts(step), self.asked
        factor = np.ones(len(asked))
        if before is not None and len(before) == len(asked):
            clear = np.abs(self.made) > CLEAR
            slope = (before - asked)[clear] / self.made[clear]
            most = np.where(np.abs(self.made[clear]) > FAR, FARTHER, LONGER)
            factor[clear] = 1 / np.clip(slope, 1 / most, 1 / SHORTER)
        self.asked, self.made = asked, factor * asked
        return normal.displacement((factor - 1) * asked)

    def settle(self, steps: Steps) -> None:
        """Go on where the last step moved what all atoms do together, or asks for an ellipse of the magnification."""
        free = False
        for number in range(SETTLING):
            normal = self.normal
            if normal is None:
                return
            error = np.sqrt(0.5 * np.diag(normal.ellipse))
            size = np.abs(self.ellipse_step)
            told = bool((normal.ellipse_by_views < LEAST_ELLIPSE).all())
            free = free or (told and bool((size > ELLIPSE_SIGMA * error).any() and size.max() > LEAST_ELLIPSE))
            settled = (size < SETTLED * error).all() if free and any(self.problem.frames.ellipse) else not free
            if settled and (self.asked is None or np.abs(self.asked).max(initial=0.0) < SETTLED):
                return
            steps.once(f"settling {number + 1}", _State, self, partial(self.settling, free))
        steps.once("settled", _State, self, self.settled)

    def settling(self, free_ellipse: bool) -> None:
        """Take a round; of a step that made the frames less likely, half is taken from where it began."""
        self.problem.polish(self.model)
        fit, model, asked, made = Fit.of(self.problem), self.model, self.asked, self.made
        self.model = self.step(self.problem, model, free_ellipse)
        if self.best is None or self.misfit < self.best.misfit + WORSE:
            self.best = _Best(self.misfit, fit, model)
        else:
            self.problem, self.model = self.best.fit.put(self.problem), _midway(self.best.model, model)
            self.asked, self.made = asked, made / 2

    def settled(self) -> None:
        """Go back where the last of the rounds made the frames less likely."""
        if self.best is None:
            return
        self.problem.polish(self.model)
        self.problem.fit_filters(self.model)
        if -log_likelihood(self.problem, self.model) > self.best.misfit + WORSE:
            self.problem, self.model = self.best.fit.put(self.problem), self.best.model

    def calibrate(self) -> None:
        """Fit the microscope's lens where that explains the frames better, and go on with it."""
        self.problem, self.gained = calibrate(self.problem, self.model)
        if self.problem.lens is None:
            return
        self.forget_normal()
        for _ in range(LENS_ROUNDS):
            # A frame that did not show the atoms may have been in a wrong pose, or out of focus.
            self.problem.frame_weights = self.usable
            if reassign_frames(self.problem, self.model):
                refocus(self.problem, self.model)
                self.problem.polish(self.model)
            self.start()
            self.model = self.step(self.problem, self.model)
            self.terms = fit_terms(self.problem, self.model)
            self.problem.polish(self.model)
        if self.config.select:
            self.select()

    def select(self) -> None:
        """Move, add and remove atoms; `parent_index` keeps the index of each among the traced ones, -1 for new ones."""
        if not (self.count(1) and self.count(2)):
            return
        moved = move_atoms(self.problem, self.model, self.half, self.config)
        if len(moved.parent_index):
            parent_index = np.where(moved.parent_index < 0, -1, self.parent_index[moved.parent_index])
            self.model = moved.model
            self.forget_normal()
            self.parent_index = np.concatenate([self.parent_index[moved.kept], parent_index])
        decision = decide(self.problem, self.model, self.half, self.config)
        self.model, self.probability = decision.model, decision.probability
        self.parent_index = np.concatenate([self.parent_index[decision.kept], np.full(decision.added, -1)])
        if decision.changed:
            self.forget_normal()

    def free_tensors(self) -> None:
        """Let atoms move more in one direction than in another if that makes held-out frames more likely."""
        if not (self.count(1) and self.count(2)):
            return
        self.displacement_nats = held_out_log_likelihood_ratio(self.problem, self.model, self.half)
        if improves_bic(self.displacement_nats, self.count(1) + self.count(2)):
            self.displacement = fit_displacement(self.problem, self.model)
            self.model = self.displacement.model
            self.problem.polish(self.model)
            self.model = self.step(self.problem, self.model)

    def start(self) -> None:
        """First filters and scales; frames that do not show the atoms are left out."""
        self.problem.fit_filters(self.model, most=FILTER_FRAMES)
        if self.problem.reject_outlier_frames(self.problem.fitness(self.model)) < FEWEST_FRAMES:
            raise InputError(
                f"{int((self.problem.frame_weights > 0).sum())} frames show the atoms; at least {FEWEST_FRAMES} are "
                "needed: check that poses and atoms belong together"
            )

    def half_alone(self, number: int) -> None:
        """Refine half `number` from its own frames."""
        problem, model = self.problem.only(self.half == number), self.model
        for _ in range(HALF_ROUNDS):
            problem.polish(model)
            model = self.step(problem, model)
        self.halves = (*self.halves, (Fit.of(problem), model))


def _midway(a: Model, b: Model) -> Model:
    """Return the same atoms half way between two models of them."""
    return replace(
        a,
        positions=0.5 * (a.positions + b.positions),
        heights=0.5 * (a.heights + b.heights),
        widths=0.5 * (a.widths + b.widths),
    )


@in_notebooks
@single_blas_thread()
def refine_atoms(
    clean: CleanStack,
    poses: Poses,
    atoms: Atoms,
    config: RefineConfig | None = None,
    progress: Progress | None = None,
) -> Refined:
    """Refine atoms and poses against the frames, with a covariance for each atom.

    Parameters
    ----------
    clean
        Cleaned frames, (n, y, x).
    poses
        One per frame; frames of weight 0 are not used.
    atoms
        Atoms traced in the map of these poses, Å from the box centre.
    config
        Settings.
    progress
        Called as progress("refine", done, total).

    Returns
    -------
    Refined

    Raises
    ------
    InputError
        Numbers of frames and poses that differ, fewer than 4 atoms, or frames that do not show the atoms.
    """
    need_record(clean, CleanStack, "clean_stack(stack) makes one")
    need_record(poses, Poses, "find_poses(clean, element) or Poses.known(rotations, shifts) makes one")
    need_record(atoms, Atoms, "trace_atoms(map, pixel_size, element) or Atoms.bare(positions, symbols) makes one")
    config = config or RefineConfig()
    n = len(clean.images)
    if len(poses.rotations) != n:
        raise InputError(f"{len(poses.rotations)} poses for {n} frames; one per frame is needed")
    if len(atoms) < FEWEST_ATOMS:
        raise InputError(f"{len(atoms)} atoms; at least {FEWEST_ATOMS} are needed")
    tasks = config.rounds + 2 * config.halves + 2

    def tell(done: int) -> None:
        if progress is not None:
            progress("refine", done, tasks)

    tell(0)
    extent = float(np.linalg.norm(atoms.positions, axis=1).max())
    problem = RefinementProblem.pack(clean, poses, extent, config)
    pixel = problem.pixel_size
    model = Model(atoms.positions / pixel, np.ones(len(atoms)), np.zeros(len(atoms)))
    work = _Solver(problem, model, poses.half, config)
    work.start()
    tell(1)
    steps = current_steps()
    for number in range(config.rounds):
        select = config.select and number < SELECT_ROUNDS
        steps.once(f"round {number + 1}", _State, work, partial(work.round, select))
        tell(2 + number)
    if config.optics.calibrate:
        steps.once("lens", _State, work, work.calibrate)
    work.settle(steps)
    if config.anisotropic:
        steps.once("tensors", _State, work, work.free_tensors)
    for number in (1, 2) if config.halves else ():
        if work.count(number) >= FEWEST_FRAMES:
            steps.once(f"half {number}", _State, work, partial(work.half_alone, number))
        tell(2 + config.rounds + number)
    problem = work.problem
    halves = [(model, fit.put(problem)) for fit, model in work.halves]
    refined = assemble(
        problem,
        work.model,
        halves if len(halves) == 2 else [],
        poses,
        atoms,
        work.parent_index,
        work.probability,
        config,
        None if problem.lens is None else (work.terms, work.gained, clean.contrast.atoms == "dark"),
    )
    if config.anisotropic:
        refined = with_displacement(refined, work.displacement, work.displacement_nats)
    tell(tasks)
    return refined
