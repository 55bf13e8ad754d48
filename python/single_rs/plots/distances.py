"""Figures of distances: along the rows of the lattice against the radius, and pair distribution functions.

Families keep their colour in all figures: ⟨100⟩ blue, ⟨110⟩ orange, ⟨111⟩ green, others after them. Bands and bars are
one standard error.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from single_rs.analysis.distances import RowDistances, distance_profile
from single_rs.analysis.distances.pdf import PairDistribution
from single_rs.plots.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, new_axes, styled

__all__ = ["plot_pair_distribution", "plot_row_distances", "plot_row_lengths"]

_FAMILY_COLOURS = {"100": BLUE, "110": ORANGE, "111": GREEN, "001": PURPLE, "210": SKY}
# R, g and G of `PairDistribution`, with their names on the axis.
_LEAST_PAIRS = 5  # of a shell whose mean is drawn
_FUNCTIONS = {"rdf": "R(r) (1/Å)", "g": "g(r)", "reduced": "G(r) (1/Å²)"}


@styled
def plot_row_distances(
    rows: RowDistances, *, families: tuple[str, ...] | None = None, width: float = 2.0, ax: Axes | None = None
) -> Axes:
    """Plot distances along rows of the lattice, relative to the fitted lattice, against the distance from the centre.

    Parameters
    ----------
    rows
        Result of `single_rs.distances.row_distances`.
    families
        Those shown; None shows all.
    width
        Å, thickness of the shells whose means are drawn.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes: a dot for each pair, and the mean of each shell with its standard error (its spread over √pairs where
    the errors of the atoms are not known); per cent against Å.
    """
    ax = new_axes(size=(5.0, 2.8)) if ax is None else ax
    names = families if families is not None else tuple(dict.fromkeys(rows.family.tolist()))
    ax.axhline(0, color=MUTED, lw=0.7)
    limits = []
    for k, name in enumerate(names):
        profile = distance_profile(rows, name, width)
        mine = rows.family == name
        colour = _FAMILY_COLOURS.get(name, INK)
        percent = 100 * (rows.distance[mine] / rows.reference[mine] - 1)
        limits.append(np.percentile(percent, (0.5, 99.5)))
        ax.plot(rows.radius[mine], percent, ".", ms=2.5, color=colour, alpha=0.35, mew=0, rasterized=True)
        error = np.where(
            np.isfinite(profile.strain_err),
            profile.strain_err,
            profile.spread / np.sqrt(profile.pairs) * (1 + profile.strain) / profile.distance,
        )
        # Side by side, so that bars of different families do not hide each other.
        shift = (k - (len(names) - 1) / 2) * 0.08 * width
        length = float(rows.reference[mine].min())
        ax.errorbar(
            profile.radius + shift,
            100 * profile.strain,
            100 * error,
            fmt="o-",
            ms=3.5,
            lw=1.1,
            capsize=2,
            color=colour,
            label=f"⟨{name}⟩ {length:.3f} Å",
        )
    low, high = np.min(limits, axis=0)[0], np.max(limits, axis=0)[1]
    room = 0.1 * (high - low) + 1e-3
    ax.set_ylim(low - room, high + 3 * room)
    ax.set_xlim(left=0)
    ax.legend(loc="upper left", ncols=len(names))
    ax.set_xlabel("Distance from the centre (Å)")
    ax.set_ylabel("Distance / fitted lattice − 1 (%)")
    return ax


@styled
def plot_row_lengths(rows: RowDistances, *, width: float = 2.0, axes: np.ndarray | None = None) -> np.ndarray:
    """Plot distances along rows of the lattice in Å against the distance from the centre, a panel for each family.

    Parameters
    ----------
    rows
        Result of `single_rs.distances.row_distances`.
    width
        Å, thickness of the shells whose means are drawn.
    axes
        One axes per family; new ones without them.

    Returns
    -------
    The axes: a dot for each pair, the mean of each shell with the spread of its pairs, and the distance in the fitted
    lattice as a dashed line.
    """
    names = tuple(dict.fromkeys(rows.family.tolist()))
    if axes is None:
        axes = new_axes(1, len(names), size=(2.41 * len(names), 2.3), squeeze=False)[0]
    for ax, name in zip(axes, names):
        mine, profile = rows.family == name, distance_profile(rows, name, width)
        colour = _FAMILY_COLOURS.get(name, INK)
        ax.plot(rows.radius[mine], rows.distance[mine], ".", ms=2.5, color=colour, alpha=0.3, mew=0, rasterized=True)
        ax.axhline(float(rows.reference[mine].mean()), color=MUTED, lw=0.9, ls="--", label="fitted lattice")
        known = profile.pairs >= _LEAST_PAIRS
        ax.errorbar(
            profile.radius[known], profile.distance[known], np.nan_to_num(profile.spread)[known], fmt="o-", ms=3.5,
            lw=1.1, capsize=2, color=INK, zorder=3, label="mean and spread of shells",
        )  # fmt: skip
        low, high = np.percentile(rows.distance[mine], (0.5, 99.5))
        room = 0.15 * (high - low) + 1e-3
        ax.set_ylim(low - room, high + 3 * room)
        ax.set_xlim(left=0)
        ax.set_title(f"⟨{name}⟩")
        ax.set_xlabel("Distance from the centre (Å)")
    axes[0].set_ylabel("Distance along row (Å)")
    axes[0].legend(loc="upper left", fontsize=6.5, handlelength=1.4)
    return np.asarray(axes)


@styled
def plot_pair_distribution(
    result: PairDistribution, *, function: str = "g", shells: dict[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot a pair distribution function with its standard error as a band.

    Parameters
    ----------
    result
        Result of `single_rs.distances.pdf.pair_distribution`.
    function
        "rdf" (neighbours per Å), "g" (relative to an even body) or "reduced" (G).
    shells
        Name and distance in Å of neighbours to mark at the top, e.g. ``{"⟨110⟩": 2.77}``.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, against Å.
    """
    ax = new_axes(size=(5.0, 2.6)) if ax is None else ax
    # Near the diameter the even body has no pairs left, so g is 0/0 there and shown only up to nine tenths.
    shown = result.r < 0.9 * result.diameter if function == "g" else np.ones(len(result.r), dtype=bool)
    r, value, error = (getattr(result, n)[shown] for n in ("r", function, f"{function}_err"))
    ax.axhline(1 if function == "g" else 0, color=MUTED, lw=0.7)
    if np.isfinite(error).any():
        ax.fill_between(r, value - error, value + error, color=BLUE, alpha=0.25, lw=0)
    ax.plot(r, value, color=BLUE, lw=0.9)
    for name, distance in (shells or {}).items():
        if distance < r[-1]:
            ax.axvline(distance, color=MUTED, lw=0.5, ls=":", zorder=0)
            top = ax.get_xaxis_transform()
            ax.text(distance, 1.02, name, transform=top, ha="center", rotation=90, fontsize=6.5, color=MUTED)
    ax.set_xlim(0, float(r[-1]))
    ax.set_xlabel("Distance (Å)")
    ax.set_ylabel(_FUNCTIONS[function])
    return ax
