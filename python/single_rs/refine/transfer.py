"""The fitted lens in numbers: C1 and C3 from its round phase, envelope, and the power that it explains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from single_rs.refine.lens import TERMS
from single_rs.refine.optics import Optics, OpticsTerm
from single_rs.refine.problem import Fitness, Model, RefinementProblem

__all__ = ["describe"]

KNOWN = 1 / 3  # of its size, the error of C1 or C3 that separates them
HIDDEN = (0.1, 0.25)  # of C1 and of C3, by the phase of the scattering of heavy atoms (docs/refine.md)
WEAKEST = 1e-3  # of the largest information of a shell, below which its phase says nothing


def describe(
    problem: RefinementProblem,
    model: Model,
    fitness: Fitness,
    terms: tuple[OpticsTerm, ...],
    gained: float,
    dark: bool,
) -> Optics:
    """Return what the lens of a problem says of the microscope; `dark` if the frames were inverted."""
    lens, known = problem.lens, problem.config.optics
    assert lens is not None  # the caller has one
    used = problem.frame_weights > 0
    frames, count = int(used.sum()), problem.shell_sums(np.ones(len(problem.plane)))
    seen = count > 0
    weighted = (np.abs(problem.frames.spectra[used]) ** 2 * problem.frame_weights[used, None]).sum(0)
    observed = problem.shell_sums(weighted.astype(np.float64) * problem.frames.weights)
    information, explained = np.zeros((2, len(seen)))
    shells = np.arange(len(seen))
    rows = np.stack([np.interp(problem.radius, shells, row) for row in problem.transfer])
    for of in problem.channel_sums(model):
        parts, _ = lens.parts(problem.waves, problem.frames.box, problem.order, of.depth * problem.pixel_size)
        f = np.einsum("pm,pcm->cm", rows, parts)
        explained += problem.shell_sums(np.einsum("cm,mcd,dm->m", f, of.square, f, optimize=True))
        information += problem.shell_sums(of.square[:, 0, 0])
    a, b = problem.transfer
    chi = np.arctan2(a, -b) + np.pi * dark
    amplitude = np.hypot(a, b)
    strong = seen & (information * amplitude**2 > WEAKEST * (information * amplitude**2).max())
    chi, side, (c1, c1_error, c3, c3_error) = _round_part(
        problem.frequency, chi, information * amplitude**2 * strong, lens.wavelength, (known.c1, known.c3)
    )
    mtf = np.ones(len(seen))
    if known.mtf:
        nyquist = 0.5 / problem.pixel_size
        mtf = np.interp(problem.frequency / nyquist, np.linspace(0, 1, len(known.mtf)), np.array(known.mtf, float))
    envelope = amplitude / np.maximum(mtf, 1e-3)
    focus = problem.depths
    spread = None if focus is None else float(np.std(focus[used])) * problem.pixel_size
    error = None
    if focus is not None:
        error = float(np.sqrt(np.median(0.5 / np.maximum(fitness.depth_information[used], 1e-12)))) * problem.pixel_size
    sure = all(e is not None and e <= KNOWN * abs(v or 0.0) for v, e in ((c1, c1_error), (c3, c3_error)))

    def listed(values: NDArray[np.float64], digits: int) -> tuple[float, ...]:
        return tuple(float(f"{v:.{digits}g}") for v in values[strong])

    return Optics(
        voltage=known.voltage,
        nats_per_frame=gained / max(frames, 1),
        terms=tuple(replace(t, x=-side * t.x, y=-side * t.y) if t.name == TERMS[0] else t for t in terms),
        side=side,
        focus_spread=spread,
        focus_error=error,
        c1=c1,
        c1_error=c1_error,
        c3=c3,
        c3_error=c3_error,
        separate=sure,
        frequency=listed(problem.frequency, 5),
        envelope=listed(envelope / max(float(envelope[strong].max(initial=0.0)), 1e-30), 4),
        aberration=listed(chi, 4),
        observed=listed(observed / np.maximum(count * frames, 1), 5),
        explained=listed(explained / np.maximum(count * frames, 1), 5),
    )


def _round_part(
    frequency: NDArray[np.float64],
    chi: NDArray[np.float64],
    weight: NDArray[np.float64],
    wavelength: float,
    given: tuple[float | None, float | None],
) -> tuple[NDArray[np.float64], int, tuple[float | None, float | None, float | None, float | None]]:
    """χ (shell,) without jumps, 1 or −1 if it was taken for π − χ, and C1, its error, C3, its error, Å.

    The frames do not tell the beam's direction, which is the same as taking χ for π − χ: the one is taken that is
    nearer to 0 at the lowest frequencies, as that of a weak object is. Errors are those of the scatter about the fit
    and of the phase of the atoms' scattering, which is in χ.
    """
    inside = np.flatnonzero(weight > 0)
    if len(inside) < 4:
        return chi, 1, (given[0], None, given[1], None)
    k, w = frequency[inside], weight[inside]
    basis = np.stack([np.ones(len(k)), np.pi * wavelength * k**2, np.pi / 2 * wavelength**3 * k**4])
    best: tuple[float, int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None = None
    for side, taken in ((1, chi), (-1, np.pi - chi)):
        phase = np.unwrap(taken[inside])
        phase -= 2 * np.pi * np.rint(phase[0] / (2 * np.pi))
        values, covariance = _fit(basis, phase, w, (None, *given))
        if best is None or abs(values[0]) < best[0]:
            best = abs(values[0]), side, phase, values, np.sqrt(np.diag(covariance))
    assert best is not None  # two sides were tried
    _, side, phase, values, errors = best
    out = chi.copy()
    out[inside] = phase
    c1, c3 = float(values[1]), float(values[2])
    hidden = (
        0.0 if known is not None else share * abs(v) for known, share, v in zip(given, HIDDEN, (c1, c3), strict=True)
    )
    c1_error, c3_error = (float(np.hypot(e, h)) for e, h in zip(errors[1:], hidden, strict=True))
    return out, side, (c1, c1_error, c3, c3_error)


def _fit(
    basis: NDArray[np.float64], phase: NDArray[np.float64], weight: NDArray[np.float64], given: tuple[float | None, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted least squares of `phase` (n,) by `basis` (p, n), those `given` held: values (p,), covariance (p, p)."""
    free = [i for i, v in enumerate(given) if v is None]
    values = np.array([0.0 if v is None else v for v in given])
    square = (basis[free] * weight) @ basis[free].T
    values[free] = np.linalg.solve(square, (basis[free] * weight) @ (phase - values @ basis))
    rest = phase - values @ basis
    covariance = np.zeros((len(given), len(given)))
    scatter = float(weight @ rest**2) / max(len(phase) - len(free), 1)
    covariance[np.ix_(free, free)] = np.linalg.inv(square) * scatter
    return values, covariance
