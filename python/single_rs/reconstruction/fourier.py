"""Weighted Fourier reconstruction of a map and its two independent halves from posed frames.

Each frame's spectrum X, unshifted, is inserted into the plane k = kx·R[0] + ky·R[1] with weight 1/σ²(shell) times the
frame's own; the volume is Σ w X / (Σ w + τ). Half maps come from contiguous time blocks with guard gaps and poses that
were found apart, so their Fourier shell correlation

    FSC(k) = Σ F₁ F₂* / √(Σ|F₁|² Σ|F₂|²)

measures what both saw. The correlation that the mask alone would give is taken off by noise substitution (Chen et
al. 2013, doi:10.1016/j.ultramic.2013.06.004); the map is filtered by 2 FSC/(1 + FSC), the Wiener filter of the sum
of the halves (Rosenthal and Henderson 2003, doi:10.1016/j.jmb.2003.07.013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from single_rs import _core
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.settings import Settings, setting
from single_rs.frames.packed import FrameSet
from single_rs.frames.volume import PAD, ball_mask, fourier_volume, map_from_sums, shell_correlation, shell_index
from single_rs.records import CleanStack, Density, Poses
from single_rs.records.invariants import need_record

__all__ = ["ReconstructConfig", "fsc_resolution", "reconstruct"]

THRESHOLD = 0.143  # FSC of half maps at which the whole map correlates to 0.5 with the truth (Rosenthal, Henderson)
SUBSTITUTE_BELOW = 0.8  # phases are randomised from the first shell whose FSC falls below
NULL_KEY = 20202  # of the random phases of the noise substitution


@dataclass(frozen=True)
class ReconstructConfig(Settings):
    """Settings of `reconstruct`."""

    resolution: float = setting(0.72, "shortest period inserted, as far as Nyquist allows", "Å", gt=0.3, le=5.0)
    low_resolution: float = setting(12.0, "longest period inserted", "Å", gt=2.0)
    unsampled: float = setting(0.02, "added to the sampling density, as a share of its shell's mean", gt=0.0, le=1.0)
    mask_margin: float = setting(4.0, "map kept beyond the ball of the particle's diameter", "Å", ge=0.0, le=20.0)
    mask_edge: float = setting(2.0, "soft edge of that mask", "Å", gt=0.0, le=20.0)


@in_notebooks
@single_blas_thread()
def reconstruct(
    clean: CleanStack,
    poses: Poses,
    config: ReconstructConfig | None = None,
    progress: Progress | None = None,
) -> Density:
    """Reconstruct the density from frames and poses.

    Parameters
    ----------
    clean
        Cleaned frames, (n, y, x).
    poses
        One per frame. Frames of half 0 enter the whole map only, frames of weight 0 nothing.
    config
        Settings.
    progress
        Called as progress("reconstruct", done, total).

    Raises
    ------
    InputError
        Numbers of frames and poses that differ, or a half without frames.
    """
    need_record(clean, CleanStack, "clean_stack(stack) makes one")
    need_record(poses, Poses, "find_poses(clean, element) or Poses.known(rotations, shifts) makes one")
    config = config or ReconstructConfig()
    n = len(clean.images)
    if len(poses.rotations) != n:
        raise InputError(f"{len(poses.rotations)} poses for {n} frames; one per frame is needed")
    used = poses.weight > 0
    for half in (1, 2):
        if not (used & (poses.half == half)).any():
            raise InputError(f"half set {half} has no frame of weight above 0; both halves need frames")

    def step(done: int) -> None:
        if progress is not None:
            progress("reconstruct", done, 4)

    step(0)
    centres = poses.shifts / clean.pixel_size
    frames = FrameSet.pack(clean, np.arange(n), centres, (config.low_resolution, config.resolution))
    group = np.where(poses.half > 0, poses.half - 1, 2).astype(np.int32)
    sums = _core.insert_slices(
        frames.posed(poses.rotations),  # packed about the posed centres
        np.ascontiguousarray(poses.weight * frames.frame_weight, np.float32),
        group,
        3,
        PAD,
    )
    step(1)
    size = frames.size
    voxel = clean.pixel_size
    mask = ball_mask(size, (clean.diameter / 2 + config.mask_margin) / voxel, config.mask_edge / voxel)
    halves = [map_from_sums(*s, config.unsampled, size) for s in sums[:2]]
    reach = frames.plane.max_shell * PAD + 2
    step(2)
    fsc = _corrected_fsc(halves, mask, reach)[: frames.plane.max_shell + 1]
    frequency = np.arange(len(fsc)) / frames.box
    first, second, rest = sums
    data, weight = first[0] + second[0] + rest[0], first[1] + second[1] + rest[1]
    whole = fourier_volume(map_from_sums(data, weight, config.unsampled, size) * mask, reach)
    step(3)
    c = np.clip(np.convolve(np.pad(fsc, 1, mode="edge"), np.full(3, 1 / 3), mode="valid"), 0, 1)
    transfer = np.interp(np.arange(int(np.sqrt(3) * reach) + 2) / PAD, np.arange(len(c)), 2 * c / (1 + c), right=0.0)
    filtered = whole * transfer.astype(np.float32)[shell_index(reach)]
    density = map_from_sums(filtered, np.ones(filtered.shape, np.float32), 0.0, size)
    result = Density(
        map=_in_box(density, clean.images.shape[-1], size),
        half1=_in_box(halves[0] * mask, clean.images.shape[-1], size),
        half2=_in_box(halves[1] * mask, clean.images.shape[-1], size),
        pixel_size=clean.pixel_size,
        fsc=fsc,
        frequency=frequency,
        resolution=fsc_resolution(fsc, frequency),
    )
    step(4)
    return result


def _in_box(density: NDArray[np.float32], box: int, scale: float) -> NDArray[np.float32]:
    """Map in the box of the frames, in contrast per voxel (`scale` undoes the 1/N of the transforms)."""
    start = box // 2 - density.shape[0] // 2
    out = np.zeros((box,) * 3, np.float32)
    out[(slice(start, start + density.shape[0]),) * 3] = density * np.float32(scale)
    return out


def _corrected_fsc(halves: list[NDArray[np.float32]], mask: NDArray[np.float32], reach: int) -> NDArray[np.float64]:
    """FSC of the masked halves less what the mask makes of noise."""
    masked = shell_correlation(*(fourier_volume(h * mask, reach) for h in halves))
    low = np.flatnonzero(masked[1:] < SUBSTITUTE_BELOW)
    first = int(low[0]) + 1 if len(low) else len(masked)
    shells = shell_index(reach)
    random = np.random.Generator(np.random.Philox(key=NULL_KEY))
    substituted = []
    for half in halves:
        volume = fourier_volume(half, reach)
        phase = np.exp(2j * np.pi * random.random(volume.shape, np.float32)).astype(np.complex64)
        noisy = np.where(shells >= first * PAD, volume * phase, volume)
        turned = map_from_sums(noisy, np.ones(volume.shape, np.float32), 0.0, half.shape[0])
        substituted.append(fourier_volume(turned * mask, reach))
    null = shell_correlation(*substituted)
    out = masked.copy()
    beyond = np.arange(len(out)) >= first + 2  # right at the seam the mask still mixes true phases in
    out[beyond] = (masked[beyond] - null[beyond]) / np.maximum(1 - null[beyond], 1e-6)
    return out


def fsc_resolution(fsc: NDArray[np.float64], frequency: NDArray[np.float64]) -> float:
    """Return the period in Å after which the FSC is below 0.143 for three shells running; inf when never above.

    Parameters
    ----------
    fsc
        (n,) Fourier shell correlation of two maps.
    frequency
        (n,) 1/Å, rising.
    """
    smooth = np.convolve(np.pad(fsc, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    # Shells before the lattice's first reflection hold little but shape, and noise: the search starts at 1/4 Å.
    start = int(np.searchsorted(frequency, 0.25))
    above = np.flatnonzero(smooth[start:] >= THRESHOLD)
    if not len(above):
        return float("inf")
    below = smooth[start:] < THRESHOLD
    run = np.flatnonzero(below[:-2] & below[1:-1] & below[2:]) if len(below) > 2 else np.empty(0, int)
    # Between reflections a perfect crystal has no signal either: count from the last shell above.
    last = int(above[-1]) if not len(run) else int(above[above < run[-1] + 1].max(initial=above[0]))
    return float(1 / frequency[start + last])
