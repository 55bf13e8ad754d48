"""A particle against time: its atoms, its lattice and strain state by state, and how long sites of the surface last.

Times are frames of the movie. Strain is a fraction in arrays and per cent in figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from single_rs.analysis.survival import Survival
from single_rs.plots.style import BLUE, MUTED, SERIES, new_axes, styled

__all__ = ["plot_atoms_in_time", "plot_state_values", "plot_states", "plot_survival"]


@styled
def plot_atoms_in_time(
    frames: ArrayLike,
    count: ArrayLike,
    error: ArrayLike,
    changes: Sequence[tuple[float, float]] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the number of atoms against time, with one standard error.

    Parameters
    ----------
    frames, count, error
        (f,) frames of the movie, atoms there, and the standard error of their number.
    changes
        Frame and standard error of each change of the whole.
    ax
        Axes to draw into; new ones when not given.

    Returns
    -------
    Axes
    """
    ax = new_axes() if ax is None else ax
    t, n, spread = (np.asarray(v, float) for v in (frames, count, error))
    ax.fill_between(t, n - spread, n + spread, step="mid", color=BLUE, alpha=0.25, lw=0)
    ax.plot(t, n, drawstyle="steps-mid", color=BLUE)
    for when, when_err in changes:
        ax.axvspan(when - max(when_err, 0.5), when + max(when_err, 0.5), color=MUTED, alpha=0.35, lw=0)
    ax.set(xlabel="Frame", ylabel="Atoms", ylim=(0, 1.1 * max(float(n.max(initial=1.0)), 1.0)))
    return ax


@styled
def plot_state_values(
    spans: Sequence[tuple[int, int, int]],
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    label: str,
    scale: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw values of the states against time, each over the frames of its state.

    Parameters
    ----------
    spans
        First frame, last frame and state of each stretch of time.
    series
        Name → values and standard errors (state,), NaN where unknown.
    label
        Of the axis.
    scale
        Factor on values and errors, 100 for per cent.
    ax
        Axes to draw into; new ones when not given.

    Returns
    -------
    Axes
    """
    ax = new_axes() if ax is None else ax
    for k, (name, (values, errors)) in enumerate(series.items()):
        colour, y, spread = (
            SERIES[k % len(SERIES)],
            scale * np.asarray(values, float),
            scale * np.asarray(errors, float),
        )
        label_once: str | None = name
        for first, last, state in spans:
            if np.isfinite(y[state]):
                ax.plot([first, last], [y[state]] * 2, color=colour, label=label_once)
                label_once = None
                bar = spread[state] if np.isfinite(spread[state]) else 0.0
                ax.errorbar([(first + last) / 2], [y[state]], yerr=[bar], color=colour, capsize=2, fmt="o", ms=2.5)
    ax.set(xlabel="Frame", ylabel=label)
    if len(series) > 1 and ax.get_legend_handles_labels()[0]:
        ax.legend(ncols=len(series))
    return ax


@styled
def plot_survival(groups: Sequence[Survival], last: float, ax: Axes | None = None) -> Axes:
    """Draw the share of each group of sites that is still there, with one standard error.

    Parameters
    ----------
    groups
        From `single_rs.analysis.survival`.
    last
        Last frame of the movie.
    ax
        Axes to draw into; new ones when not given.

    Returns
    -------
    Axes
    """
    ax = new_axes() if ax is None else ax
    for k, group in enumerate(groups):
        t = np.append(group.frames, last)
        share, error = (100 * np.append(v, v[-1]) for v in (group.share, group.error))
        colour = SERIES[k % len(SERIES)]
        ax.fill_between(t, share - error, share + error, step="post", color=colour, alpha=0.2, lw=0)
        ax.plot(t, share, drawstyle="steps-post", color=colour, label=f"{group.name} ({group.count})")
    ax.set(xlabel="Frame", ylabel="Still there (%)", ylim=(-3, 105))
    if groups:
        ax.legend()
    return ax


@styled
def plot_states(
    atoms: tuple[ArrayLike, ArrayLike, ArrayLike],
    spans: Sequence[tuple[int, int, int]],
    cell: tuple[ArrayLike, ArrayLike],
    strain: tuple[ArrayLike, ArrayLike],
    energy: tuple[ArrayLike, ArrayLike],
    groups: tuple[Sequence[Survival], Sequence[Survival]],
    changes: Sequence[tuple[float, float]] = (),
) -> Any:
    """Draw atoms, lattice constants, strain, energy and survival on one page.

    Parameters
    ----------
    atoms
        Frames, atoms there, standard errors, as in `plot_atoms_in_time`.
    spans
        As in `plot_state_values`.
    cell
        (state, 3) edges a, b, c and standard errors, Å, NaN where unknown.
    strain
        (state,) mean radial strain and standard errors, fractions, NaN where unknown.
    energy
        (state,) formation energies per atom and standard errors, eV, NaN where unknown.
    groups
        By number of neighbours, and by kind of site, as in `plot_survival`.
    changes
        As in `plot_atoms_in_time`.

    Returns
    -------
    (3, 2) axes; those of survival and energy are empty where nothing is known of them.
    """
    axes = new_axes(3, 2, (7.2, 7.2))
    plot_atoms_in_time(*atoms, changes=changes, ax=axes[0, 0])
    last = float(np.asarray(atoms[0], float).max())
    edges, errors = (np.asarray(v, float).reshape(-1, 3) for v in cell)
    named = {name: (edges[:, k], errors[:, k]) for k, name in enumerate("abc")}
    plot_state_values(spans, named, "Lattice constants (Å)", ax=axes[0, 1])
    for ax, of in zip(axes[1], groups, strict=True):
        if of:
            plot_survival(of, last, ax=ax)
        else:
            ax.set_axis_off()
    plot_state_values(spans, {"all atoms": strain}, "Mean radial strain (%)", 100.0, ax=axes[2, 0])
    if np.isfinite(np.asarray(energy[0], float)).any():
        plot_state_values(spans, {"all atoms": energy}, "Formation energy (eV per atom)", ax=axes[2, 1])
    else:
        axes[2, 1].set_axis_off()
    return axes
