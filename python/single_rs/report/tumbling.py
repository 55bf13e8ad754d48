"""Data of the movie of a tumbling particle: frames, their denoised form, the map projected at the pose that was found.

All three are pictures (y, x) on one grid, cropped to the particle; the browser plays them beside the atoms turned by
the same pose, x_lab = R x_particle, seen along the beam: x to the right, y down, z away from the viewer. The map is
projected by its central slice, FFT2[∫ρ(Rᵀx) dz](kx, ky) = FFT3[ρ](kx R[0] + ky R[1]), and moved by the shift.

A frame is denoised for display alone, by a weighted mean over its neighbours in time (each moved by the difference of
the shifts, weight exp(−½(θ r / 1 Å)²) for a turn θ of a particle of radius r, so that only frames count in which no
atom has moved far) and a Wiener filter that is the same for all frames and directions: against projections free of
noise, signal over signal and noise is the square of the Fourier ring correlation. Without a map it is a band pass.

Reference: R. N. Bracewell, Australian Journal of Physics 9, 198 (1956), doi:10.1071/PH560198 (projection slice).
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.frames.spectrum import rfft_frequencies, rfft_shells
from single_rs.plots.style import limits
from single_rs.report.figures import band_pass

if TYPE_CHECKING:
    from single_rs.records import Poses
    from single_rs.report.content import ParticleFiles

__all__ = ["project_map", "tumbling_data"]

_FIELD = 1.35  # field of view, in diameters of the particle
_MAX_SIDE = 128  # px of one picture
_WINDOW = 3  # neighbours in time on each side that a denoised frame may use
_MOVE = 1.0  # Å that the outermost atom may move before a neighbour counts little
_QUALITY = 72  # of the JPEG: noise costs bytes and shows nothing
_COLUMNS = 6  # pictures in a row of the sheet, which keeps it below the sizes that browsers refuse


def tumbling_data(particle: ParticleFiles, count: int) -> dict[str, Any] | None:
    """Return what the movie of one particle needs, ready for JSON; ``None`` without stack or poses.

    Parameters
    ----------
    particle
        Files of the particle.
    count
        Frames to show: the consecutive ones whose poses are surest.
    """
    stack, poses = particle.stack, particle.poses
    if stack is None or poses is None or not particle.pixel_size or len(poses.frames) != len(stack):
        return None
    pixel, box = float(particle.pixel_size), stack.shape[-1]
    diameter = float(particle.summary.diameter or box * pixel / _FIELD)
    side = min(box, _MAX_SIDE, 2 * int(np.ceil(0.5 * _FIELD * diameter / pixel)))
    chosen = _surest(poses, min(count, len(stack)))
    low, high = max(0, chosen[0] - _WINDOW), min(len(stack), chosen[-1] + 1 + _WINDOW)
    inside = slice(box // 2 - side // 2, box // 2 - side // 2 + side)
    near = np.array(stack[low:high, inside, inside], np.float32)
    near -= near.mean(axis=(1, 2), keepdims=True)
    raw, averaged = near[chosen - low], _averaged(near, poses, low, chosen, pixel, 0.5 * diameter)
    agreement = None
    if particle.density is None:
        rows = [raw, band_pass(averaged, pixel)]
    else:
        projected = project_map(particle.density, pixel, poses.rotations[chosen], poses.shifts[chosen], side)
        denoised = _wiener(averaged, projected)
        agreement = _correlation(denoised, projected)
        rows = [raw, denoised, projected]
    return {
        "side": side,
        "columns": _COLUMNS,
        "pixel": round(pixel, 5),
        "panels": ["raw", "denoised", "projected"][: len(rows)],
        "frames": poses.frames[chosen].astype(int).tolist(),
        "confidence": np.round(np.asarray(poses.confidence, float)[chosen], 3).tolist(),
        "agreement": None if agreement is None else np.round(agreement, 3).tolist(),
        "rotations": np.round(poses.rotations[chosen].reshape(len(chosen), 9), 4).tolist(),
        "shifts": np.round(poses.shifts[chosen], 2).tolist(),
        "sheet": _sheet(rows),
    }


def _surest(poses: Poses, count: int) -> np.ndarray:
    """Return the indices of consecutive frames with the highest mean confidence; gaps in time count against."""
    value = np.asarray(poses.confidence, float) * (np.asarray(poses.half) > 0)
    value[1:] -= np.diff(poses.frames) != 1
    sums = np.convolve(value, np.ones(count), mode="valid")
    # Equal sums differ in the last bits, which must not choose the frames.
    first = int(np.argmax(np.round(sums, 6)))
    return np.arange(first, first + count)


def project_map(
    density: np.ndarray, pixel_size: float, rotations: np.ndarray, shifts: np.ndarray, side: int
) -> np.ndarray:
    """Project a map at given poses.

    Parameters
    ----------
    density
        Map (z, y, x), cubic.
    pixel_size
        Å per voxel.
    rotations
        (n, 3, 3), x_lab = R x_particle.
    shifts
        (n, 2) of the particle from the box centre, Å (x, y).
    side
        Even width of the pictures in px; what lies outside the cube of this width is left out.

    Returns
    -------
    Pictures (n, y, x) of mean zero, in map units times Å.
    """
    from single_rs._core import HalfPlane, project_slices
    from single_rs.frames.volume import PAD, fourier_volume

    cube = np.zeros((side,) * 3, np.float32)
    size = min(side, density.shape[0])
    (into, out) = (slice(n // 2 - size // 2, n // 2 - size // 2 + size) for n in (side, density.shape[0]))
    cube[(into,) * 3] = density[(out,) * 3]
    plane = HalfPlane(side, 1, side // 2 - 1)
    volume = fourier_volume(cube, PAD * (side // 2))
    slices = project_slices(volume, plane, PAD, np.ascontiguousarray(rotations, np.float32))
    kx, ky = plane.frequencies().T
    phase = -2j * np.pi / (side * pixel_size) * (np.outer(shifts[:, 0], kx) + np.outer(shifts[:, 1], ky))
    values = slices * np.exp(phase)
    spectra = np.zeros((len(rotations), side, side // 2 + 1), np.complex64)
    spectra[:, ky, kx] = values
    on_axis = kx == 0  # the half-complex transform holds both ends of the axis kx = 0
    spectra[:, -ky[on_axis], 0] = values[:, on_axis].conj()
    images = np.fft.irfft2(spectra, s=(side, side))
    return np.fft.fftshift(pixel_size * images, axes=(1, 2)).astype(np.float32)


def _averaged(near: np.ndarray, poses: Poses, low: int, chosen: np.ndarray, pixel: float, radius: float) -> np.ndarray:
    """Return for each chosen frame the weighted mean of its neighbours, moved onto it; see the module."""
    side = near.shape[-1]
    spectra = np.fft.rfft2(near)
    ky, kx = rfft_frequencies((side, side), pixel)
    out = np.empty((len(chosen), side, side), np.float32)
    for row, frame in enumerate(chosen):
        others = np.arange(max(low, frame - _WINDOW), min(low + len(near), frame + _WINDOW + 1))
        cosine = (np.einsum("nij,ij->n", poses.rotations[others], poses.rotations[frame]) - 1) / 2
        turn = np.arccos(np.clip(cosine, -1, 1))
        weight = np.exp(-0.5 * (turn * radius / _MOVE) ** 2)
        dx, dy = (poses.shifts[frame] - poses.shifts[others]).T
        move = np.exp(-2j * np.pi * (kx * dx[:, None, None] + ky * dy[:, None, None]))
        total = np.einsum("n,nyx->yx", weight / weight.sum(), spectra[others - low] * move)
        out[row] = np.fft.irfft2(total, s=(side, side))
    return out


def _wiener(images: np.ndarray, projected: np.ndarray) -> np.ndarray:
    """Return images (n, y, x) filtered by their squared Fourier ring correlation with the projections."""
    side = images.shape[-1]
    rings = rfft_shells(side)
    ring = rings.ravel()
    a, b = np.fft.rfft2(images), np.fft.rfft2(projected)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(ring, values.sum(axis=0).ravel())

    cross, power = summed((a * b.conj()).real), summed(np.abs(a) ** 2) * summed(np.abs(b) ** 2)
    correlation = np.clip(cross / np.sqrt(np.maximum(power, 1e-30)), 0, 1)
    weight = np.convolve(correlation**2, np.full(3, 1 / 3), mode="same")
    return np.fft.irfft2(a * weight[rings], s=(side, side)).astype(np.float32)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation coefficient of each pair of pictures (n, y, x)."""
    a, b = (x - x.mean(axis=(1, 2), keepdims=True) for x in (a, b))
    norm = np.sqrt(np.einsum("nyx,nyx->n", a, a) * np.einsum("nyx,nyx->n", b, b))
    correlation: np.ndarray = np.einsum("nyx,nyx->n", a, b) / np.maximum(norm, 1e-30)
    return correlation


def _sheet(rows: list[np.ndarray]) -> str:
    """Return one JPEG with a cell per frame, its pictures side by side, as a data URI."""
    from PIL import Image

    grey = []
    for images in rows:
        low, high = limits(images, 0.5, 99.7)
        grey.append(np.rint(255 * np.clip((images - low) / (high - low), 0, 1)).astype(np.uint8))
    cells = np.concatenate(grey, axis=2)
    lines = -(-len(cells) // _COLUMNS)
    blank = np.zeros((lines * _COLUMNS - len(cells), *cells.shape[1:]), np.uint8)
    grid = np.concatenate([cells, blank]).reshape(lines, _COLUMNS, *cells.shape[1:])
    sheet = grid.transpose(0, 2, 1, 3).reshape(lines * cells.shape[1], -1)
    target = io.BytesIO()
    Image.fromarray(sheet).save(target, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode("ascii")
