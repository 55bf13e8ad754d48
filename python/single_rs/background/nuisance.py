"""What a frame holds besides the particle: dose, slow liquid background, waves of graphene; fitted outside, taken off.

Least squares over the pixels of the mask `outside`: counts / dose - 1 = Σ_m c_m f_m(x, y), f = polynomials and waves.
The fit is evaluated under the particle as well; the particle's own signal there is untouched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from single_rs.background.graphene import find_sheet, padded_power, wave_basis
from single_rs.records import Graphene

__all__ = ["contrast", "find_sheets", "kept_fraction", "sign_of_counts", "slow_basis", "subtract"]

# Counts further than this from the mean, in standard deviations, are clipped when the dose is measured.
CLIP_SIGMA = 4.0
# A stack whose mean is below this fraction of its standard deviation holds contrast, or counts of an offset that nobody
# knows: a frame of 0.05 e/px, where every electron counts, has 0.22.
CENTRED = 0.2


def contrast(
    block: NDArray[np.float32], outside: NDArray[np.float32], sign: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Counts / dose - 1 (n, y, x) and the dose (n,) of each frame, the clipped mean outside the particle.

    `sign` is that of the counts of the whole stack, from `sign_of_counts`. Images without one are taken to be contrast
    already and only lose their mean. Of counts that are negative, as some programs invert them, the sign is kept:
    counts / |dose| + 1.
    """
    dose = clipped_mean(block, outside)[0]
    if not sign:
        return block - dose[:, None, None].astype(np.float32), dose
    scale = np.where(sign * dose > 0, np.abs(dose), np.inf)[:, None, None].astype(np.float32)
    return block / scale - np.float32(sign), dose


def clipped_mean(
    block: NDArray[np.float32], outside: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (n,) of each image (n, y, x) under a mask, without outliers, and the standard deviation (n,)."""
    pixels = block[:, outside > 0.5]
    mean = pixels.mean(axis=1, dtype=np.float64)
    sigma = pixels.std(axis=1, dtype=np.float64)
    reach = CLIP_SIGMA * sigma
    np.clip(pixels, (mean - reach)[:, None], (mean + reach)[:, None], out=pixels)
    return pixels.mean(axis=1, dtype=np.float64), sigma


def sign_of_counts(block: NDArray[np.float32], outside: NDArray[np.float32]) -> int:
    """Return 1 or -1, the sign of the mean of images (n, y, x); 0 where that is too near zero to be a dose.

    Contrast, normalised images and counts whose zero was moved near their mean have none.
    """
    dose, sigma = clipped_mean(block, outside)
    middle = float(np.median(dose))
    return 0 if abs(middle) < CENTRED * float(np.median(sigma)) else int(np.sign(middle))


def slow_basis(size: int, order: int, waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns (size², m): all x^i y^j with i + j <= order on [-1, 1], then the columns of `waves`."""
    axis = (np.arange(size) - size // 2) / (size / 2)
    columns = [np.outer(axis**j, axis**i).ravel() for i in range(order + 1) for j in range(order + 1 - i)]
    return np.concatenate([np.stack(columns, axis=1).astype(np.float32), waves], axis=1)


def subtract(images: NDArray[np.float32], basis: NDArray[np.float32], outside: NDArray[np.float32]) -> None:
    """Fit `basis` (size², m) to each image (n, y, x) outside the particle and subtract it everywhere, in place."""
    flat = images.reshape(len(images), -1)
    flat -= (flat @ _projector(basis, outside).astype(np.float32).T) @ basis.T


def kept_fraction(basis: NDArray[np.float32], outside: NDArray[np.float32]) -> NDArray[np.float64]:
    """Fraction (y, x // 2 + 1) of white noise that `subtract` leaves at each coefficient under the mask `outside`.

    With c = P n the fitted coefficients of noise n, FFT(m (n - B c)) has the expected power
    Σm² - 2 Re Σ_j conj(Φ_j) Ψ_j + Φ P Pᵀ Φᴴ, where Φ_j = FFT(m B_j) and Ψ_j = FFT(m P_j).
    """
    size = outside.shape[0]
    projector = _projector(basis, outside)
    shape = (-1, size, size)
    phi = fft.rfft2(basis.T.reshape(shape) * outside).reshape(basis.shape[1], -1).astype(np.complex128)
    psi = fft.rfft2(projector.reshape(shape) * outside).reshape(basis.shape[1], -1)
    covariance = projector @ projector.T
    cross = 2 * np.sum(phi.conj() * psi, axis=0).real
    square = np.sum(phi.conj() * (covariance @ phi), axis=0).real
    whole = float(np.sum(outside.astype(np.float64) ** 2))
    return np.asarray((1 - (cross - square) / whole).reshape(size, -1))


def _projector(basis: NDArray[np.float32], outside: NDArray[np.float32]) -> NDArray[np.float64]:
    """Matrix (m, size²) from an image to its least-squares coefficients over the mask."""
    weighted = (basis * outside.reshape(-1, 1)).astype(np.float64)
    return np.asarray(np.linalg.solve(basis.T.astype(np.float64) @ weighted, weighted.T), dtype=np.float64)


def find_sheets(
    sample: NDArray[np.float32], outside: NDArray[np.float32], pixel_size: float, max_sheets: int, order: int = 2
) -> list[Graphene]:
    """Find graphene sheet after sheet, each in the spectrum from which the earlier ones are subtracted.

    Parameters
    ----------
    sample
        (n, y, x) contrast of frames spread over the movie.
    outside
        (y, x) mask of the surroundings of the particle.
    pixel_size
        Å.
    max_sheets
        Stop after so many.
    order
        Order of the polynomial taken off first.
    """
    sheets: list[Graphene] = []
    size = sample.shape[-1]
    for _ in range(max_sheets):
        rest = sample.copy()
        subtract(rest, slow_basis(size, order, wave_basis(sheets, size, pixel_size)), outside)
        sheet = find_sheet(padded_power(rest, outside), pixel_size)
        if sheet is None:
            break
        sheets.append(sheet)
    return sheets
