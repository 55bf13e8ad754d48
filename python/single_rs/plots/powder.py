"""Figure of the powder pattern: the Debye equation, the fit of its peaks, and where the peaks of the fitted cell lie.

The pattern is S(q) = I(q)/Σf², which tends to 1 at large q; q = 4π sin θ / λ.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from single_rs.analysis.distances.powder import PowderPattern, two_theta
from single_rs.analysis.distances.powder_fit import PowderLattice
from single_rs.plots.style import BLUE, MUTED, ORANGE, new_axes, styled

__all__ = ["plot_powder", "plot_powders"]

_NAMES = {"xray": "X-rays", "electron": "electrons"}


@styled
def plot_powder(
    pattern: PowderPattern,
    lattice: PowderLattice | None = None,
    *,
    cell: np.ndarray | None = None,
    wavelength: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot a powder pattern, with the fit that gives the lattice constant.

    Parameters
    ----------
    pattern
        Result of `single_rs.distances.powder.powder_pattern`.
    lattice
        Result of `single_rs.distances.powder_fit.powder_lattice`; its fit and constant are drawn.
    cell
        Fitted lattice vectors a, b, c as rows (3, 3), Å; their reflections are marked (those of `lattice`).
    wavelength
        Å; the axis is 2θ in degrees when given, else q in 1/Å.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """

    def across(q: np.ndarray) -> np.ndarray:
        return np.asarray(q) if wavelength is None else two_theta(q, wavelength)

    ax = new_axes(size=(5.0, 2.8)) if ax is None else ax
    ax.plot(across(pattern.q), pattern.structure, color=BLUE, label=f"Debye equation, {_NAMES[pattern.radiation]}")
    if lattice is not None:
        error = f" ± {lattice.a_err:.4f}" if np.isfinite(lattice.a_err) else ""
        label = f"peaks: a = {lattice.a:.4f}{error} Å, without size shift {lattice.corrected:.4f} Å"
        ax.plot(across(lattice.q), lattice.fitted, color=ORANGE, lw=0.9, ls="--", label=label)
        if cell is not None:
            place = 2 * np.pi * np.linalg.norm(lattice.reflections @ np.linalg.inv(np.asarray(cell, float)).T, axis=1)
            for hkl, x in zip(lattice.reflections.tolist(), across(place)):
                if np.isfinite(x):
                    ax.axvline(x, color=MUTED, lw=0.5, ls=":", zorder=0)
                    name = "".join(f"{abs(v)}\u0305" if v < 0 else str(v) for v in hkl)
                    top = ax.get_xaxis_transform()
                    ax.text(x, 1.02, name, transform=top, ha="center", rotation=90, fontsize=6.5, color=MUTED)
    shown = pattern.structure[pattern.q > (lattice.q[0] if lattice is not None else 0)]
    ax.set_ylim(0, 1.35 * float(np.max(shown)))
    finite = across(pattern.q)[np.isfinite(across(pattern.q))]
    ax.set_xlim(float(finite[0]), float(finite[-1]))
    ax.legend(loc="upper right")
    ax.set_xlabel("q = 4π sin θ / λ (1/Å)" if wavelength is None else f"2θ (°), λ = {wavelength:g} Å")
    ax.set_ylabel("S(q)")
    return ax


@styled
def plot_powders(
    patterns: Mapping[str, PowderPattern],
    *,
    bulk: Mapping[str, float] | None = None,
    measured: tuple[np.ndarray, np.ndarray] | None = None,
    wavelength: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot powder patterns of particles above each other, with the reflections of the bulk and a measured pattern.

    Parameters
    ----------
    patterns
        Name of the particle → its pattern, from below.
    bulk
        Name → q (1/Å) of the reflections of the bulk, as lines.
    measured
        (n,) q (1/Å) and intensity; scaled to the height of the others, on top.
    wavelength
        Å; the axis is 2θ in degrees when given, else q in 1/Å.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes; each curve is scaled to its highest peak.
    """

    def across(q: np.ndarray) -> np.ndarray:
        return np.asarray(q) if wavelength is None else two_theta(q, wavelength)

    ax = new_axes(size=(4.76, 1.5 + 0.42 * (len(patterns) + (measured is not None)))) if ax is None else ax
    first = min((min(bulk.values()) if bulk else np.inf), 2.0) * 0.75
    last = max((float(p.q[-1]) for p in patterns.values()), default=10.0)
    curves: list[tuple[str, np.ndarray, np.ndarray, str]] = [
        (name, p.q, p.structure, BLUE) for name, p in patterns.items()
    ]
    if measured is not None:
        curves.append(("measured", np.asarray(measured[0], float), np.asarray(measured[1], float), ORANGE))
    for level, (name, q, intensity, colour) in enumerate(curves):
        seen = (q > first) & (q < last) & np.isfinite(intensity)
        low, high = (float(f(intensity[seen])) for f in (np.min, np.max))
        ax.plot(across(q[seen]), level + 0.9 * (intensity[seen] - low) / ((high - low) or 1), color=colour, lw=1.0)
        ax.text(1.005, level + 0.05, name, transform=ax.get_yaxis_transform(), fontsize=7, color=colour, va="bottom")
    for name, place in (bulk or {}).items():
        if place < last:
            at = float(across(np.array([place]))[0])
            ax.axvline(at, color=MUTED, lw=0.6, ls=":", zorder=0)
            ax.text(at, 1.01, name, transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=6.5,
                    rotation=90, color=MUTED)  # fmt: skip
    ax.set_yticks([])
    ax.set_ylim(-0.1, len(curves) + 0.05)
    ax.set_xlim(float(across(np.array([first]))[0]), float(across(np.array([last]))[0]))
    ax.grid(False)
    ax.set_xlabel("q = 4π sin θ / λ (1/Å)" if wavelength is None else f"2θ (°), λ = {wavelength:g} Å")
    ax.set_ylabel("Intensity (scaled)")
    return ax
