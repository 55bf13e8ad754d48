"""Frames, poses and atoms together, as the kernels take them; lengths in px.

The spectrum of frame i is X_i ≈ s_i P_i,

    P(k) = f₀(k) Σ_a h_a (1 − b_a k²/4) exp(−2πi k·r_a) + Σ_j f_j(k) Σ_a h_a ζ_a^j exp(−2πi k·r_a)

with r_a the place of atom a in the image, ζ_a its depth along the beam in half boxes, b_a its excess width in Å² and
the f_j round filters fitted to all frames: they hold scattering factor, optics, detector and the mean width at once.
Where the focus changes from frame to frame, as it does with the depth of the whole particle, ζ holds that depth too.
Where atoms move more in one direction than in another, 2π² kᵀU_a k with a tensor U_a each takes the place of b_a k²/4.
Once a lens (`lens`) explains the frames better, the f_j of a frame are those of its focus.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.base.robust import SIGMA_PER_MAD
from single_rs.base.sampling import evenly
from single_rs.frames.packed import FrameSet
from single_rs.records import CleanStack, Poses
from single_rs.refine.lens import Lens
from single_rs.refine.types import RefineConfig

__all__ = ["Fitness", "Gradient", "Model", "RefinementProblem", "single"]

RIM = 2.5  # Å of each atom's image that the mask leaves round the outermost atom, before its soft edge
RIDGE = 1e-4  # of the diagonal: keeps the filters of nearly empty shells finite
LEAST_SPREAD = 2.0  # of the frames' depths over the error of one
FOCUS_BIN = 6.0  # Å of depth whose frames share filters
FARTHEST = 40.0  # Å, of a frame's depth: the expansion in it holds no farther
FARTHEST_FOCUS, LONGEST_FOCUS = 300.0, 15.0  # Å, with a lens: of a frame's depth, and of one step
HEIGHT_PRIOR, WIDTH_PRIOR = 0.3, 1.0  # standard deviations of h (mean 1) and of b (Å²)


def single(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return contiguous float32."""
    return np.ascontiguousarray(values, np.float32)


@dataclass(frozen=True)
class Model:
    """Atoms in the particle's frame: positions (n, 3) px, heights (n,) of mean 1, excess widths (n,) Å².

    `tensors` (n, 6) Å² are excess U (xx, yy, zz, xy, xz, yz), or None where the widths suffice; the widths are then
    those of their traces.
    """

    positions: NDArray[np.float64]
    heights: NDArray[np.float64]
    widths: NDArray[np.float64]
    tensors: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.heights)

    def take(self, keep: NDArray[np.bool_]) -> Model:
        """Return some of the atoms."""
        tensors = None if self.tensors is None else self.tensors[keep]
        return Model(self.positions[keep], self.heights[keep], self.widths[keep], tensors)

    def join(self, positions: NDArray[np.float64], heights: NDArray[np.float64]) -> Model:
        """Return these atoms followed by others of mean width."""
        return Model(
            np.concatenate([self.positions, positions]),
            np.concatenate([self.heights, heights]),
            np.concatenate([self.widths, np.zeros(len(heights))]),
            None if self.tensors is None else np.concatenate([self.tensors, np.zeros((len(heights), 6))]),
        )


@dataclass(frozen=True)
class Fitness:
    """Columns of the kernel's answer per frame.

    Scale s, g Σ w|P|², g Σ w|X − sP|², log-likelihood ratio to an empty frame; gradient of ½ log-likelihood by the
    particle's depth and its information, 0 where no frame has one; and by the ellipse of the magnification, (n, 2).
    """

    scale: NDArray[np.float64]
    power: NDArray[np.float64]
    misfit: NDArray[np.float64]
    log_likelihood_ratio: NDArray[np.float64]
    by_depth: NDArray[np.float64]
    depth_information: NDArray[np.float64]
    by_ellipse: NDArray[np.float64]

    @classmethod
    def of(cls, table: NDArray[np.float64]) -> Fitness:
        """Name the columns (n, 8) of ``model_gradients``."""
        scale, power, misfit, log_likelihood_ratio, by_depth, depth_information, *_ = table.T
        return cls(scale, power, misfit, log_likelihood_ratio, by_depth, depth_information, table[:, 6:])


@dataclass(frozen=True)
class Gradient:
    """Columns of the kernel's gradient of ½ log-likelihood, for each group of frames and each atom.

    positions (group, n, 3) by x, y, z, per px; heights (group, n); widths (group, n) per Å²; tensors (group, n, 6) by
    xx, yy, zz, xy, xz, yz, per Å², (group, n, 0) of a model without tensors. With tensors that by the widths is 0.
    """

    positions: NDArray[np.float64]
    heights: NDArray[np.float64]
    widths: NDArray[np.float64]
    tensors: NDArray[np.float64]

    @classmethod
    def of(cls, columns: NDArray[np.float64]) -> Gradient:
        """Name the columns (group, n, 5 or 11) of ``model_gradients``."""
        return cls(columns[..., :3], columns[..., 3], columns[..., 4], columns[..., 5:])


class ChannelSums(NamedTuple):
    """Sums over frames of one focus: their depth (px), Re S* S (m, c, c), and S* X (m, c)."""

    depth: float
    square: NDArray[np.float64]
    right: NDArray[np.complex128]


@dataclass
class RefinementProblem:
    """The frames of one particle with their poses and filters; the atoms come and go as `Model`.

    frames, packed about centres (n, 2) px; frame_weights (n,), 0 of frames that are not in use; rotations (n, 3, 3),
    shifts (n, 2) px from the centres, scales (n,) and depths (n,) px of the frames, None where the focus does not
    change; transfer (order + 1, shell), the filters, or with a lens (2, shell), its a and b; order of the expansion in
    the depth; turns, the lenses whose phases were taken off the frames one after the other. Arrays are
    replaced as a whole, never changed in place: copies share them.
    """

    config: RefineConfig
    pixel_size: float
    centres: NDArray[np.float64]
    frames: FrameSet
    frame_weights: NDArray[np.float32]
    rotations: NDArray[np.float32]
    shifts: NDArray[np.float32]
    scales: NDArray[np.float32]
    depths: NDArray[np.float32] | None
    transfer: NDArray[np.float64]
    lens: Lens | None = None
    order: int = 0
    turns: tuple[Lens, ...] = ()

    def __post_init__(self) -> None:
        """Lay out the shells."""
        self.plane, self.size = self.frames.plane, self.frames.size
        self.radius = np.hypot(*self.plane.frequencies().T.astype(float))
        self.frequency = np.arange(self.plane.max_shell + 1) / self.frames.box

    @classmethod
    def pack(
        cls,
        clean: CleanStack,
        poses: Poses,
        extent: float,
        config: RefineConfig,
        ellipse: tuple[float, float] = (0.0, 0.0),
    ) -> RefinementProblem:
        """Pack the frames about the posed centres.

        `extent` is the radius of the outermost atom, Å, `ellipse` that of the magnification, as known before.
        """
        n, pixel_size = len(clean.images), float(clean.pixel_size)
        centres = poses.shifts / pixel_size
        band = (config.low_resolution, config.resolution)
        frames = FrameSet.pack(clean, np.arange(n), centres, band, mask_radius=extent + RIM)
        focus = config.frame_focus and config.depth_order > 0
        return cls(
            config=config,
            pixel_size=pixel_size,
            centres=centres,
            frames=replace(frames, ellipse=ellipse),
            frame_weights=single(frames.frame_weight * (poses.weight > 0)),
            rotations=single(poses.rotations),
            shifts=np.zeros((n, 2), np.float32),
            scales=np.ones(n, np.float32),
            depths=np.zeros(n, np.float32) if focus else None,
            transfer=np.zeros((config.depth_order + 1, frames.plane.max_shell + 1)),
            order=config.depth_order,
        )

    def only(self, keep: NDArray[np.bool_]) -> RefinementProblem:
        """Return the same problem with the frames `keep` alone in use; poses and filters are its own."""
        return replace(self, frame_weights=self.frame_weights * keep)

    @cached_property
    def waves(self) -> NDArray[np.float64]:
        """Frequencies (m, 2), 1/Å."""
        return np.asarray(self.plane.frequencies().astype(float) / self.frames.box)

    def _foci(self, select: NDArray[np.int64]) -> list[tuple[float, NDArray[np.int64]]]:
        """Depths (px) of the filters and the frames of `select` that have each: one for all without a lens."""
        if self.lens is None or self.depths is None:
            return [(0.0, select)]
        bins = np.rint(self.depths[select] * self.pixel_size / FOCUS_BIN).astype(int)
        return [(FOCUS_BIN / self.pixel_size * b, select[bins == b]) for b in np.unique(bins)]

    def _planes(self, depth: float = 0.0) -> NDArray[np.float64]:
        """f₀, f₁ and so on (order + 1, m) of frames whose particle is at `depth`, px."""
        shells = np.arange(self.transfer.shape[1])
        rows = np.stack([np.interp(self.radius, shells, row) for row in self.transfer])
        if self.lens is None:
            return rows
        parts, _ = self.lens.parts(self.waves, self.frames.box, self.order, depth * self.pixel_size)
        return np.asarray(np.einsum("pm,pcm->cm", rows, parts), np.float64)

    def filters(self, depth: float = 0.0) -> NDArray[np.float32]:
        """Return the channels of the kernel, (channel, m): f₀, that of the excess width, f₁ and so on."""
        planes = self._planes(depth)
        wave = self.radius / self.frames.box
        return single(np.stack([planes[0], -0.25 * wave**2 * planes[0], *planes[1:]]))

    def filter_products(self) -> NDArray[np.float64]:
        """Return the products (channel, channel, m) of all pairs of `filters`, mean over the frames in use."""
        total, amount = np.zeros((1, 1, 1)), 0.0
        for depth, members in self._foci(np.flatnonzero(self.frame_weights > 0)):
            filters, weight = self.filters(depth).astype(np.float64), float(len(members))
            total, amount = total + weight * filters[:, None] * filters, amount + weight
        return total / max(amount, 1.0)

    def shell_sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums over round(|k|) of one value (m,) per frequency, (shell,)."""
        sums = np.bincount(np.rint(self.radius).astype(int), values, minlength=self.plane.max_shell + 1)
        return np.asarray(sums, np.float64)  # which it is with weights, whatever the stub says

    def tensor_filters(self, depth: float = 0.0) -> NDArray[np.float32]:
        """Return the channels with three of the tensors in place of that of the excess width, (channel, m)."""
        f0, _, *others = self.filters(depth)
        kx, ky = self.plane.frequencies().T / self.frames.box
        form = np.stack([kx**2 + ky**2, kx**2 - ky**2, 2 * kx * ky])
        return single(np.stack([f0, *(-2 * np.pi**2 * form * f0), *others]))

    def _atoms(
        self, model: Model, depth: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]]:
        atoms = single(model.positions), single(model.heights)
        if model.tensors is None:
            return *atoms, single(model.widths), self.filters(depth)
        return *atoms, None, self.tensor_filters(depth)

    def _tensors(self, model: Model) -> NDArray[np.float32] | None:
        return None if model.tensors is None else single(model.tensors)

    def _beside(self, depth: float) -> NDArray[np.float32] | None:
        """Depths (n,) px of all frames from that of the filters."""
        return None if self.depths is None else single(self.depths - depth)

    def channel_sums(self, model: Model, most: int | None = None) -> list[ChannelSums]:
        """Return the normal equations of the channels at the poses and scales of the frames in use, by focus.

        Without a lens those of `most` of them at most, evenly spread.
        """
        used = np.flatnonzero(self.frame_weights > 0)
        used = used if most is None or self.lens is not None else used[evenly(len(used), most)]
        ones, found = np.ones((self.order + 1, len(self.plane)), np.float32), []
        for depth, members in self._foci(used):
            weights = np.zeros_like(self.frame_weights)
            weights[members] = self.frame_weights[members]
            square, right = _core.model_filter_sums(
                self.frames.posed(self.rotations, self.shifts),
                weights,
                self.scales,
                (single(model.positions), single(model.heights), None, ones),
                self._beside(depth),
            )
            found.append(ChannelSums(depth, square, right))
        return found

    def fit_filters(self, model: Model, sums: list[ChannelSums] | None = None, most: int | None = None) -> None:
        """Fit the filters of all shells to the frames in use, or to `most` of them, at their poses and scales."""
        rows, shells = len(self.transfer), self.transfer.shape[1]
        square, right = np.zeros((shells, rows, rows)), np.zeros((shells, rows))
        for of in self.channel_sums(model, most) if sums is None else sums:
            matrix, side = of.square.transpose(1, 2, 0), of.right.real.T
            if self.lens is not None:
                parts, _ = self.lens.parts(self.waves, self.frames.box, self.order, of.depth * self.pixel_size)
                matrix = np.einsum("pcm,cdm,qdm->pqm", parts, matrix, parts, optimize=True)
                side = np.einsum("pcm,cm->pm", parts, side)
            for a in range(rows):
                right[:, a] += self.shell_sums(side[a])
                for b in range(rows):
                    square[:, a, b] += self.shell_sums(matrix[a, b])
        diagonal = np.einsum("sii->si", square)
        seen = (diagonal > 0).all(1)
        square = square[seen] + RIDGE * diagonal[seen][:, :, None] * np.eye(rows)
        self.transfer = np.zeros((rows, shells))
        self.transfer[:, seen] = np.linalg.solve(square, right[seen][..., None])[..., 0].T

    def polish(self, model: Model, select: NDArray[np.int64] | None = None) -> None:
        """Refine the poses of the frames in use (or of `select`) against the atoms."""
        chosen = np.flatnonzero(self.frame_weights > 0) if select is None else select
        new_rotations, new_shifts = self.rotations.copy(), self.shifts.copy()
        for depth, members in self._foci(chosen):
            beside = self._beside(depth)
            rotations, shifts, *_ = _core.polish_poses_to_atoms(
                self.frames.posed(self.rotations[members], self.shifts[members], members),
                self._atoms(model, depth),
                self.config.polish_iterations,
                float(np.deg2rad(self.config.max_turn)),
                self.config.max_shift / self.pixel_size,
                self._tensors(model),
                None if beside is None else np.ascontiguousarray(beside[members]),
            )
            new_rotations[members], new_shifts[members] = rotations, shifts
        self.rotations, self.shifts = new_rotations, new_shifts

    def gradients(
        self, model: Model, groups: NDArray[np.int32] | None = None, count: int = 1
    ) -> tuple[Gradient, Fitness, NDArray[np.float64]]:
        """Gradient of ½ log-likelihood for `count` groups of frames, fitness of each frame, information (m,)."""
        columns = 5 if model.tensors is None else 11
        sums = np.zeros((count, len(model), columns))
        table, information = np.zeros((len(self.frame_weights), 8)), np.zeros(len(self.plane))
        for depth, members in self._foci(np.arange(len(self.frame_weights))):
            weights = np.zeros_like(self.frame_weights)
            weights[members] = self.frame_weights[members]
            part = _core.model_gradients(
                self.frames.posed(self.rotations, self.shifts),
                weights,
                self._atoms(model, depth),
                np.zeros(len(weights), np.int32) if groups is None else groups,
                count,
                0.0,
                self._tensors(model),
                self._beside(depth),
            )
            sums, table, information = sums + part[0], table + part[1], information + part[2]
        fitness = Fitness.of(table)
        self.scales = single(fitness.scale)
        return Gradient.of(sums), fitness, information

    def fitness(self, model: Model) -> Fitness:
        """Return the fitness of each frame without a gradient, whose columns are 0."""
        return self.gradients(model, np.full(len(self.frame_weights), -1, np.int32))[1]

    def step_depths(self, fitness: Fitness) -> None:
        """Newton step of each frame's depth, px, which the focus shows, shrunk by the spread of all frames.

        Where the frames differ by no more than twice the error of one of them, their depths are left at 0 for good.
        """
        if self.depths is None:
            return
        used = self.frame_weights > 0
        information = np.maximum(fitness.depth_information, 1e-12)
        step, variance = fitness.by_depth / information, 0.5 / information
        if self.lens is not None:  # far from its focus a frame has no straight way there
            longest = LONGEST_FOCUS / self.pixel_size
            step = np.clip(step, -longest, longest)
        free = self.depths + step
        middle = np.median(free[used])
        free = free - middle
        noise = float(np.median(variance[used]))
        spread = (SIGMA_PER_MAD * float(np.median(np.abs(free[used])))) ** 2 - noise
        if spread < LEAST_SPREAD**2 * noise:
            self.depths = None
            return
        farthest = (FARTHEST if self.lens is None else FARTHEST_FOCUS) / self.pixel_size
        depths = np.clip(free / (1 + variance / spread), -farthest, farthest)
        # The round part of a lens was fitted at the middle of before.
        self.depths = single(np.where(used, depths + (0.0 if self.lens is None else middle), 0.0))

    def reject_outlier_frames(self, fitness: Fitness) -> int:
        """Take frames that do not show the model out of use; return how many are left."""
        used = self.frame_weights > 0
        typical = float(np.median(fitness.scale[used])) if used.any() else 1.0
        outlier = used & (fitness.scale <= self.config.least_agreement * typical)
        self.frame_weights = np.where(outlier, 0.0, self.frame_weights).astype(np.float32)
        return int((self.frame_weights > 0).sum())

    def step_heights(self, model: Model, gradient: Gradient, information: NDArray[np.float64]) -> Model:
        """Newton step of heights and widths, 2 × 2 per atom with weak priors; the means stay in the filters."""
        square = self.height_matrix(model, information)
        right = np.stack([gradient.heights[0], gradient.widths[0]], axis=1)
        right[:, 0] -= (model.heights - 1.0) / (2 * HEIGHT_PRIOR**2)
        right[:, 1] -= model.widths / (2 * WIDTH_PRIOR**2)
        # Neighbours share some of their power: the whole step of one atom alone would overshoot.
        step = 0.7 * np.linalg.solve(square, right[..., None])[..., 0]
        heights = np.maximum(model.heights + step[:, 0], 0.0)
        widths = model.widths + step[:, 1]
        return replace(model, heights=heights / heights.mean(), widths=widths - widths.mean())

    def height_matrix(self, model: Model, information: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half the information on height and width of each atom with the weak priors, (n, 2, 2)."""
        power = (self.filter_products()[:2, :2] * information).sum(-1)
        h, n = model.heights, len(model)
        square = np.empty((n, 2, 2))
        square[:, 0, 0] = power[0, 0] + 1 / (2 * HEIGHT_PRIOR**2)
        square[:, 0, 1] = square[:, 1, 0] = h * power[0, 1]
        square[:, 1, 1] = h * h * power[1, 1] + 1 / (2 * WIDTH_PRIOR**2)
        return square
