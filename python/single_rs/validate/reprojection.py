"""Check that the frames look like the atoms, seen in the poses found.

For frame X_i and its reprojection P_i (`reproject`), with weights 1/σ²(k), the correlation is

    c_i = Σ w Re(X P*) / √(Σ w |X|² Σ w |P|²).

Most of a frame is noise, so c_i alone says little; it is compared with the correlations with the reprojections of
other frames. Per shell and over all frames the noise can be taken off, since its power is measured:

    ρ(k) = Σ Re(X P*) / √(Σ |P|² (Σ |X|² − noise)),

the correlation with the frames as they would be without noise: 1 for a model that explains everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from single_rs.frames.spectrum import disc, radius_map
from single_rs.records.check import Check, Criterion
from single_rs.validate.case import Case
from single_rs.validate.pictures import make_pictures
from single_rs.validate.reproject import BLOCK, Reprojector

__all__ = ["check_reprojection"]

NULL_QUANTILE = 0.95  # of the correlations with reprojections of other frames
# Good particles of 16 to 27 Å have 0.94 to 0.99 and all frames above; with 20 % of the frames in wrong mates 0.78 to
# 0.84 and 0.87 to 0.93, with halves of two hands 0.83 (benches/validation.py).
FRAMES_ABOVE = 0.95
CORRELATION = 0.88
SHOWN_SHELLS = 5  # shells whose sums are joined for the noise-free correlation per shell


def check_reprojection(case: Case) -> Check:
    """Correlate every used frame with the reprojection of the model in its pose.

    Parameters
    ----------
    case
        The particle.

    Returns
    -------
    Check
        Data: frequency, correlation_noise_free, correlation_raw (per shell), frame, correlation, null (quantiles),
        pictures.
    """
    frames, used = case.frames, case.used
    rotations, weight = case.poses.rotations[used], case.poses.weight[used]
    model = Reprojector(frames, case.mask, case.atoms.positions, case.atoms.symbols)
    model.fit(np.arange(len(used)), rotations, weight)
    n, shells = len(used), model.shells
    length = int(shells.max()) + 1
    covered = float(np.mean(disc(radius_map(frames.size), *case.mask) ** 2))
    noise = np.where(frames.weights > 0, 1 / np.maximum(frames.weights, 1e-30), 0.0) * covered
    sums = np.zeros((4, length))  # XP, PP, XX, noise
    correlation, null = np.zeros(n), []
    w = frames.weights.astype(np.float64)
    seen = (frames.weights > 0).astype(np.float64)
    blocks = max(1, n // BLOCK)
    for number in range(blocks):
        # Frames far apart in time: neighbours are in nearly the same pose and would be no null for each other.
        rows = np.arange(number, n, blocks)
        x, p = frames.spectra[rows], model.spectra(rotations[rows])
        cross = ((x * w) @ p.conj().T).real
        size = np.sqrt(np.outer((np.abs(x) ** 2 @ w), (np.abs(p) ** 2 @ w)))
        c = cross / np.maximum(size, 1e-30)
        correlation[rows] = np.diag(c)
        null.append(c[~np.eye(len(rows), dtype=bool)])
        gain = frames.frame_weight[rows].astype(np.float64)  # 0 where a frame is unusable
        good = gain > 0
        g = (gain * weight[rows])[:, None] * seen
        sums[0] += np.bincount(shells, (g * (x.real * p.real + x.imag * p.imag)).sum(0), minlength=length)
        sums[1] += np.bincount(shells, (g * np.abs(p) ** 2).sum(0), minlength=length)
        sums[2] += np.bincount(shells, (g * np.abs(x) ** 2).sum(0), minlength=length)
        sums[3] += np.bincount(shells, noise * float(weight[rows][good].sum()), minlength=length)
        case.tell("reprojection", number + 1, blocks)
    others = np.concatenate(null) if len(null) else np.zeros(1)
    top = float(np.quantile(others, NULL_QUANTILE))
    above = float((correlation > top).mean())
    inverse = 1 / np.maximum(_per_shell(shells, noise, length), 1e-30)
    inverse[_per_shell(shells, seen, length) == 0] = 0.0
    free = _noise_free(sums @ inverse)
    pictures = make_pictures(case, model, correlation)
    criteria = (
        Criterion(
            "correlation with the frames less their noise",
            free,
            CORRELATION,
            True,
            "",
            "1 for a model that explains all; multiple scattering, which a projection leaves out, leaves 0.94 of it in "
            "2.7 nm of platinum, and 20 % of the frames in wrong poses 0.8",
        ),
        Criterion(
            "share of frames above the 95 % quantile of other frames' reprojections",
            above,
            FRAMES_ABOVE,
            True,
            "",
            "by chance 0.05; a frame in a wrong pose correlates as other frames do",
        ),
    )
    joined = np.stack([np.convolve(row, np.ones(SHOWN_SHELLS), mode="same") for row in sums])
    with np.errstate(invalid="ignore", divide="ignore"):
        shell_free = np.array([_noise_free(column) for column in joined.T])
        shell_raw = sums[0] / np.sqrt(sums[1] * sums[2])
    first = int(shells.min())
    return Check(
        "reprojection",
        criteria,
        f"{above:.1%} of the frames fit their own reprojection better than chance; without noise the correlation is "
        f"{free:.3f}",
        numbers={
            "mean_correlation": float(correlation.mean()),
            "median_correlation": float(np.median(correlation)),
            "mean_correlation_other_poses": float(others.mean()),
            "quantile95_other_poses": top,
            "finest_period_A": case.period,
            "frames": float(n),
        },
        data={
            "frequency": np.arange(first, length) / frames.box,
            "correlation_noise_free": shell_free[first:],
            "correlation_raw": shell_raw[first:],
            "transfer": model.transfer[first:length],
            "frame": case.poses.frames[used],
            "correlation": correlation,
            "null": np.quantile(others, np.linspace(0, 1, 101)),
            **pictures,
        },
    )


def _per_shell(shells: NDArray[np.int64], values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Mean of values (m,) over each shell."""
    return np.bincount(shells, values, minlength=length) / np.maximum(np.bincount(shells, minlength=length), 1)


def _noise_free(sums: NDArray[np.float64]) -> float:
    """ρ from the sums XP, PP, XX and noise; NaN where the frames hold nothing but noise."""
    signal = sums[2] - sums[3]
    return float(sums[0] / np.sqrt(sums[1] * signal)) if signal > 0 and sums[1] > 0 else float("nan")
