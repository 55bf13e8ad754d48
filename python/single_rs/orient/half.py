"""Solve one half of the frames: from quotient states to full poses, knowing nothing of the other half.

1. *Seed.* The longest unambiguous segments each give a site model of their own (`occupancy`), after a vote on where
   the lattice's origin lies in the particle: its centre of mass may be far from any atom.
2. *Grow.* Score all mates of all frames against the site model, a hidden Markov model picks, the sites are solved
   again from the confident frames; from the second round on each frame is scored against sites solved from the
   other fold's time blocks only.
3. *Volumes.* The same against held-out Fourier volumes, which need no lattice; the best mates of each frame are
   polished before they are compared, since a polished pose always beats an unpolished rival.
4. *Polish* at full resolution against held-out volumes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs import _core
from single_rs.background import CleanStack
from single_rs.crystal import prototype
from single_rs.orient.atomic_volume import atomic_volume
from single_rs.orient.frames import FrameSet
from single_rs.orient.mates import Candidates, all_mates, best_of, choose, unfold
from single_rs.orient.occupancy import SiteModel, solve_occupancy
from single_rs.orient.quotient import (
    States,
    ball_model,
    nearest_mates,
    refine_states,
    site_amplitude,
    to_quaternions,
)
from single_rs.orient.template import LatticeTemplate
from single_rs.orient.types import OrientConfig
from single_rs.orient.volumes import (
    PAD,
    ball_mask,
    grid_size,
    map_from_sums,
    shell_correlation,
)

__all__ = ["HalfPoses", "HalfSolver", "half_solver", "solve_half"]

SEEDS = 3  # segments tried
SEED_ROUNDS = 3
VOTERS = 48  # frames of a segment that vote on the lattice's origin
SITE_MARGIN = 3.5  # Å of empty lattice round the ball: the particle is no ball
DOUBTFUL = 0.3  # posterior below which a frame enters no volume: it weighs by its posterior above
UNSAMPLED = 0.1  # added to the sampling density, as a share of its shell's mean
MAP_EDGE = 2.0  # Å, soft edge of the map's mask
FINE_GRID = 1.25  # finer than Nyquist, so that peaks are found where they are
CONFIDENT = 0.9  # posterior of the frames that models are built from
CHAIN = 24  # best candidates of each frame that enter the hidden Markov model
LEAST_STATE = 0.01  # probability of a quotient state whose mates are still compared
POLISH_REACH = np.radians(4.0)  # farthest a polish may turn a pose
SAME_POSE = np.radians(3.0)  # poses nearer than this are one
NEAR_POSE = np.radians(14.0)  # how far from the present pose the index's other states are tried again
OUTLIER = 2.5  # widths below the median that make a frame unexplained
HOPELESS = 20.0  # tempered nats behind the best at which a candidate is not polished
FINALISTS = 6  # mates polished against a volume before they are compared
QUARTER_WAVE = 0.25  # spacing of the shift search, of the shortest period


@dataclass(frozen=True)
class HalfPoses:
    """Poses of the frames of one half, in the half's own frame and hand.

    rotations (n, 3, 3); shifts (n, 2) px from the measured centres; score (n,) nats; confidence (n,); step and jump of
    the chain; trail: named numbers of each round.
    """

    rotations: NDArray[np.float64]
    shifts: NDArray[np.float64]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64]
    step: float
    jump: float
    trail: dict[str, float]


@dataclass
class HalfSolver:
    """What all steps share: frames at search resolution, folds, and the settings."""

    frames: FrameSet
    fold: NDArray[np.int64]
    block: NDArray[np.int64]
    template: LatticeTemplate
    diameter: float
    config: OrientConfig
    step: float
    jump: float

    def __post_init__(self) -> None:
        plane = self.frames.plane
        self.reach = plane.max_shell * PAD + 2
        self.spacing = QUARTER_WAVE * plane.size / plane.max_shell
        self.window = int(np.ceil(self.config.shift_window / self.frames.pixel_size / self.spacing))
        self.amplitude = site_amplitude(self.template, self.reach, self.frames.box)

    def score(
        self,
        frames: FrameSet,
        volumes: list[NDArray[np.complex64]],
        of: NDArray[np.int64],
        rotations: NDArray[np.float64],
        frame: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Log-likelihood (c,) and best shift (c, 2) of rotations (c, 3, 3) of the frames `frame` (c,), ascending."""
        overlap, power, shifts = _core.score_poses(
            frames.spectra,
            frames.plane,
            frames.weights,
            np.stack(volumes),
            PAD,
            of.astype(np.int32),
            np.ascontiguousarray(rotations, np.float32),
            frame.astype(np.int32),
            self.window,
            self.spacing,
        )
        return self.likelihood(overlap, power, frame, frames.gain), shifts

    @staticmethod
    def likelihood(
        overlap: NDArray[np.float32], power: NDArray[np.float32], frame: NDArray[np.int64], gain: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """2 s b − s² a with one scale s for all frames: the one that the best candidate of each asks for."""
        best = best_of(frame, 2.0 * overlap - power, 1)[0][:, 0]
        s = max(float(overlap[best].sum() / power[best].sum()), 1e-6)
        return (2 * s * overlap.astype(float) - s * s * power) * gain[frame]

    def gains(
        self, frames: FrameSet, volumes: list[NDArray[np.complex64]], rotations: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Power (n,) of each frame's own slice over the noise, at the scale that fits all frames."""
        slices = np.empty((len(rotations), len(frames.plane)), np.complex64)
        for number, volume in enumerate(volumes):
            here = self.fold == number
            turned = np.ascontiguousarray(rotations[here], np.float32)
            slices[here] = _core.project_slices(volume, frames.plane, PAD, turned)
        power = (slices.real**2 + slices.imag**2) @ frames.weights
        return power.astype(float) * frames.gain

    def polish(
        self,
        frames: FrameSet,
        volumes: list[NDArray[np.complex64]],
        of: NDArray[np.int64],
        rotations: NDArray[np.float64],
        shifts: NDArray[np.floating],
        frame: NDArray[np.int64],
        iterations: int = 8,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Refined rotations (c, 3, 3) and shifts (c, 2) of poses of the frames `frame`, and their log-likelihood."""
        r, t, overlap, power, _ = _core.polish_poses(
            frames.spectra,
            frames.plane,
            frames.weights,
            np.stack(volumes),
            PAD,
            of.astype(np.int32),
            np.ascontiguousarray(rotations, np.float32),
            np.ascontiguousarray(shifts, np.float32),
            frame.astype(np.int32),
            iterations,
            POLISH_REACH,
            2 * self.spacing,
        )
        return r.astype(float), t.astype(float), self.likelihood(overlap, power, frame, frames.gain)

    def whole_volume(self, poses: HalfPoses) -> NDArray[np.complex64]:
        """Fourier volume of all confident frames, at search resolution."""
        weight = poses.confidence * (poses.confidence > DOUBTFUL)
        group = np.zeros(len(weight), np.int64)
        sums = self.insert(self.frames, weight, poses.rotations, poses.shifts, group, 1)
        return self.masked_volume(self.frames, sums[0])

    def masked_volume(
        self, frames: FrameSet, sums: tuple[NDArray[np.complex64], NDArray[np.float32]]
    ) -> NDArray[np.complex64]:
        """Fourier volume of the atoms that accumulated slices show within the particle's ball."""
        shell = frames.plane.max_shell
        size = grid_size(round(FINE_GRID * shell))
        voxel = frames.box / size
        radius = self.diameter / 2 + SITE_MARGIN
        mask = ball_mask(size, radius / voxel, MAP_EDGE / voxel)
        density = map_from_sums(*sums, UNSAMPLED, size) * mask
        spacing = self.template.spacing
        expected = (
            4 / 3 * np.pi * (self.diameter / 2) ** 3 / (prototype(self.template.structure).site_volume * spacing**3)
        )
        return atomic_volume(density, shell * PAD + 2, voxel, spacing, expected)

    def insert(
        self,
        frames: FrameSet,
        weight: NDArray[np.floating],
        rotations: NDArray[np.float64],
        shifts: NDArray[np.floating],
        group: NDArray[np.int64],
        groups: int,
    ) -> list[tuple[NDArray[np.complex64], NDArray[np.float32]]]:
        """Accumulate posed frames, one pair of sums per group."""
        return _core.insert_slices(
            frames.spectra,
            frames.plane,
            frames.weights,
            np.ascontiguousarray(weight * frames.gain, np.float32),
            np.ascontiguousarray(rotations, np.float32),
            np.ascontiguousarray(shifts, np.float32),
            group.astype(np.int32),
            groups,
            PAD,
        )


def half_solver(
    clean: CleanStack,
    select: NDArray[np.int64],
    states: States,
    fold: NDArray[np.int64],
    block: NDArray[np.int64],
    template: LatticeTemplate,
    config: OrientConfig,
    period: float,
) -> HalfSolver:
    """Solver of the frames `select` with periods down to `period` Å; `fold` and `block` are per selected frame."""
    centres = clean.offsets[select] / clean.pixel_size
    frames = FrameSet.pack(clean, select, centres, config, period)
    return HalfSolver(frames, fold, block, template, clean.diameter, config, states.step, states.jump)


def solve_half(
    half: HalfSolver, fine: HalfSolver, states: States, spare: NDArray[np.float64], report: Callable[[str], None]
) -> HalfPoses:
    """Poses of one half's frames from their quotient `states`.

    `fine` holds the same frames at full resolution, `spare` (n, k, 3, 3) index candidates for the frames that no state
    explains.
    """
    frames, config, template = half.frames, half.config, half.template
    report("refine states")
    refined = refine_states(frames, states, template, half.diameter, half.window, half.spacing)
    candidates = Candidates.mates(refined, states.probability, template.group, LEAST_STATE)
    trail: dict[str, float] = {}
    report("seed")
    model = _seed(half, refined[:, 0], trail)
    rotations, shifts, confidence = _grow(half, model, candidates, trail, report)
    score = np.zeros(len(confidence))
    for number in range(config.volume_rounds):
        report("volumes")
        volumes, correlation = _held_out(half, frames, rotations, shifts, confidence)
        if number == 1:
            lost = _unexplained(score, half.gains(frames, volumes, rotations)) | (confidence < CONFIDENT)
            trail["searched_again"] = float(lost.mean())
            candidates = _search_again(candidates, rotations, np.flatnonzero(lost), spare, template.group)
        pool = candidates.joined(rotations)
        rotations, shifts, confidence, score, candidates = _compare(half, volumes, pool)
        trail[f"volume_{number}_fsc"] = float(np.mean(correlation[frames.plane.max_shell // 3 :]))
        trail[f"volume_{number}_confident"] = float((confidence > CONFIDENT).mean())
        trail[f"volume_{number}_score"] = float(score.mean())
    every = np.arange(len(confidence))
    for _ in range(config.polish_rounds):
        report("polish")
        volumes, _ = _held_out(fine, fine.frames, rotations, shifts, confidence)
        rotations, shifts, score = fine.polish(fine.frames, volumes, fine.fold, rotations, shifts, every, 10)
    trail["final_score"] = float(score.mean())
    return HalfPoses(rotations, shifts, score, confidence, half.step, half.jump, trail)


def _seed(half: HalfSolver, rotations: NDArray[np.float64], trail: dict[str, float]) -> SiteModel:
    """Site model of the segment that explains its own frames best."""
    unfolded, segment = unfold(rotations, half.template.group, half.block, half.step)
    lengths = np.bincount(segment)
    best: tuple[float, SiteModel] | None = None
    for number in np.argsort(-lengths, kind="stable")[:SEEDS]:
        members = np.flatnonzero(segment == number)
        model, gain = _segment_model(half, half.frames.take(members), unfolded[members])
        # Longer segments determine the sites better: the sum over frames of what the shape explains decides.
        if best is None or gain * len(members) > best[0]:
            best = (gain * len(members), model)
            trail["seed_frames"], trail["seed_gain"] = float(len(members)), gain
    assert best is not None  # lengths has at least one entry
    return best[1]


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
    gain = 0.0
    for number in range(SEED_ROUNDS):
        _, shifts = half.score(frames, [volume], of, rotations, every)
        rotations, shifts, likelihood = half.polish(frames, [volume], of, rotations, shifts, every)
        gain = float(likelihood.mean())
        start = gain if number == 0 else start
        sums = half.insert(frames, np.ones(n), rotations, shifts, of, 1)
        model = solve_occupancy(*sums[0], model, half.amplitude, frames.box)
        model = replace(model, origin=model.origin - model.centre())
        volume = model.volume(half.amplitude, half.reach, frames.box)
    return model, gain - start


def _vote_origin(half: HalfSolver, frames: FrameSet, rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the lattice's origin lies from the particle's centre, Å: all frames of a segment vote.

    For every trial origin x the lattice of frame i must sit at (R_i x)_xy; the overlaps with the ball of lattice are
    summed over frames. One frame alone cannot tell one lattice row from the next.
    """
    voters = np.unique(np.linspace(0, len(rotations) - 1, VOTERS).astype(int))
    frames, rotations = frames.take(voters), rotations[voters]
    ball = ball_model(half.template, half.diameter)
    volume = ball.volume(half.amplitude, half.reach, frames.box)
    slices = _core.project_slices(volume, frames.plane, PAD, np.ascontiguousarray(rotations, np.float32))
    product = frames.spectra * slices.conj() * frames.weights
    spacing = half.template.spacing
    grid = np.arange(-5, 6) * (spacing / 6.5)
    trial = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    trial = trial[np.linalg.norm(trial, axis=1) <= 0.75 * spacing]
    frequency = frames.plane.frequencies().T.astype(np.float32) * (2 * np.pi / frames.box)
    vote = np.zeros(len(trial))
    for rotation, values in zip(rotations, product, strict=True):
        phase = (trial @ rotation[:2].T).astype(np.float32) @ frequency
        vote += np.cos(phase) @ values.real - np.sin(phase) @ values.imag
    return trial[vote.argmax()]


def _grow(
    half: HalfSolver,
    model: SiteModel,
    candidates: Candidates,
    trail: dict[str, float],
    report: Callable[[str], None],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Break the mates against the site model, solved anew each round from the confident frames of the other fold."""
    frames, frame = half.frames, candidates.frame
    every = np.arange(len(half.fold))
    models, of = [model], np.zeros(len(every), np.int64)
    for number in range(half.config.growth_rounds):
        report("grow")
        volumes = [m.volume(half.amplitude, half.reach, frames.box) for m in models]
        likelihood, shifts = half.score(frames, volumes, of, candidates.rotations, frame)
        emission = half.config.temper * likelihood + candidates.prior
        top, there = best_of(frame, emission, CHAIN)
        pick, confidence = choose(candidates.rotations[top], emission[top], there, half.block, half.step, half.jump)
        best = top[every, pick]
        rotations, moved, _ = half.polish(frames, volumes, of, candidates.rotations[best], shifts[best], every)
        trail[f"growth_{number}_confident"] = float((confidence > CONFIDENT).mean())
        trail[f"growth_{number}_score"] = float(likelihood[best].mean())
        sums = half.insert(frames, confidence > CONFIDENT, rotations, moved, half.fold, 2)
        # A frame of fold 0 is scored against the sites that fold 1 gave, and the other way round.
        models = [_recentred(half, sums[other], model) for other in (1, 0)]
        of = half.fold
    return rotations, moved, confidence


def _recentred(
    half: HalfSolver, sums: tuple[NDArray[np.complex64], NDArray[np.float32]], model: SiteModel
) -> SiteModel:
    solved = solve_occupancy(*sums, model, half.amplitude, half.frames.box)
    if solved.weight.max() <= 0:
        return model
    solved = solved.sharpened()
    return replace(solved, origin=solved.origin - solved.centre())


def _held_out(
    half: HalfSolver,
    frames: FrameSet,
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    confidence: NDArray[np.float64],
) -> tuple[list[NDArray[np.complex64]], NDArray[np.float64]]:
    """Volume for each fold, made of the other's confident frames, and the correlation between the two per shell."""
    sums = half.insert(frames, confidence * (confidence > DOUBTFUL), rotations, shifts, half.fold, 2)
    volumes = [half.masked_volume(frames, s) for s in sums]
    return [volumes[1], volumes[0]], shell_correlation(*volumes)


def _unexplained(score: NDArray[np.float64], power: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames (n,) whose log-likelihood falls far short of the power their slice should explain.

    A right pose gains about the power s² a of its own slice, whatever the zone axis; a wrong one pays for half of it.
    """
    ratio = score / np.maximum(power, 1e-9)
    middle = np.median(ratio)
    width = 1.4826 * np.median(np.abs(ratio - middle))
    return np.asarray(ratio < middle - OUTLIER * width)


def _search_again(
    candidates: Candidates,
    rotations: NDArray[np.float64],
    lost: NDArray[np.int64],
    spare: NDArray[np.float64],
    group: NDArray[np.float64],
) -> Candidates:
    """Add what the index knows: for every frame its candidates near the present pose, for lost ones all their mates.

    Near zone axes the chain may have settled on a neighbouring state some degrees off, which polishing cannot leave.
    """
    aligned, angle = nearest_mates(to_quaternions(spare), to_quaternions(rotations), group)
    frame, place = np.nonzero((angle > SAME_POSE) & (angle < NEAR_POSE))
    near = Rotation.from_quat(np.roll(aligned[frame, place], -1, axis=1)).as_matrix()
    prior = float(np.log(LEAST_STATE))
    candidates = candidates.joined(near, frame, prior)
    if not len(lost):
        return candidates
    mates = all_mates(spare[lost], group)
    return candidates.joined(mates.reshape(-1, 3, 3), np.repeat(lost, mates.shape[1]), prior)


def _compare(
    half: HalfSolver, volumes: list[NDArray[np.complex64]], candidates: Candidates
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Candidates]:
    """Score all candidates, polish the best few of each frame, let the chain decide; also returns those few."""
    frames, n = half.frames, len(half.fold)
    likelihood, shifts = half.score(frames, volumes, half.fold, candidates.rotations, candidates.frame)
    total = likelihood + candidates.prior / half.config.temper
    top, there = best_of(candidates.frame, total, FINALISTS)
    there &= total[top] > total[top[:, :1]] - HOPELESS / half.config.temper
    frame, place = np.nonzero(there)
    flat = top[frame, place]
    refined = half.polish(frames, volumes, half.fold, candidates.rotations[flat], shifts[flat], frame)
    r, t = np.tile(np.eye(3), (n, FINALISTS, 1, 1)), np.zeros((n, FINALISTS, 2))
    likelihood = np.full((n, FINALISTS), -np.inf)
    r[frame, place], t[frame, place], likelihood[frame, place] = refined
    # Finalists that polishing brought together are one pose: the best of them stands for all.
    trace = np.einsum("naij,nbij->nab", r, r)
    same = np.triu(trace > 1 + 2 * np.cos(SAME_POSE), k=1).any(axis=1)
    there = there & ~same
    pick, confidence = choose(r, half.config.temper * likelihood, there, half.block, half.step, half.jump)
    at = (np.arange(n), pick)
    return r[at], t[at], confidence, likelihood[at], candidates.only(top)
