"""Figures of energies: the atoms of a particle by their formation energy; against size: `plot_against_size`.

Energies are in eV in arrays and figures, of the particle at its measured positions, against the bulk.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from single_rs.plots.style import BLUE, INK, MUTED, core_and_surface, new_axes, quiet_colorbar, styled

__all__ = ["plot_atom_energies", "plot_energy_trends", "plot_energy_views"]

# Radius of a drawn atom as a share of the nearest-neighbour distance: neighbours just touch.
_BALL = 0.5
_VIEWS = ((0, 1, 2), (1, 2, 0), (2, 0, 1))


@styled
def plot_atom_energies(
    positions: np.ndarray,
    energies: np.ndarray,
    sigma: np.ndarray | None = None,
    surface: np.ndarray | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot the formation energy of each atom against its distance from the centre of the particle.

    Parameters
    ----------
    positions
        (n, 3) Å.
    energies
        (n,) eV, against the bulk.
    sigma
        (n,) standard error of each, eV.
    surface
        (n,) bool; core and surface are shown apart when given.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes.
    """
    ax = new_axes(size=(3.5, 2.6)) if ax is None else ax
    energy = np.asarray(energies, float)
    place = np.asarray(positions, float)
    radius = np.linalg.norm(place - place.mean(axis=0), axis=1)
    for chosen, colour, name in core_and_surface(len(energy), surface):
        if sigma is not None:
            error = np.asarray(sigma, float)[chosen]
            ax.errorbar(radius[chosen], energy[chosen], error, fmt="none", ecolor=colour, elinewidth=0.6, alpha=0.4)
        label = f"{name}: {energy[chosen].mean():+.2f} eV" if surface is not None else None
        ax.plot(radius[chosen], energy[chosen], "o", ms=2.6, mew=0, color=colour, alpha=0.85, label=label)
    ax.axhline(0, color=MUTED, lw=0.8)
    ax.axhline(float(energy.mean()), color=INK, lw=1.0, ls="--")
    where = ax.get_yaxis_transform()
    ax.text(0.02, float(energy.mean()), f"mean {energy.mean():.3f} eV", transform=where, va="bottom", fontsize=7.5)
    if surface is not None:
        ax.legend(loc="upper left", handlelength=1.0)
    ax.set_xlabel("Distance from the centre (Å)")
    ax.set_ylabel("Formation energy of the atom (eV)")
    return ax


@styled
def plot_energy_views(positions: np.ndarray, energies: np.ndarray, *, axes: np.ndarray | None = None) -> np.ndarray:
    """Draw the atoms along z, x and y, coloured by their formation energy, the nearest in front.

    Parameters
    ----------
    positions
        (n, 3) Å.
    energies
        (n,) eV, against the bulk.
    axes
        Three axes to draw in; new ones without it.

    Returns
    -------
    np.ndarray
        (3,) the axes.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import EllipseCollection
    from matplotlib.colors import Normalize
    from scipy.spatial import cKDTree

    axes = new_axes(1, 3, size=(7.2, 2.6)) if axes is None else np.asarray(axes)
    place = np.asarray(positions, float) - np.mean(positions, axis=0)
    energy = np.asarray(energies, float)
    bond = float(np.median(cKDTree(place).query(place, k=2)[0][:, 1])) if len(place) > 1 else 2.0
    low, high = (float(v) for v in np.percentile(energy, (1, 99)))
    norm = Normalize(low, high if high > low else low + 1e-3)
    half = float(np.abs(place).max()) + bond
    for ax, (u, v, w) in zip(axes, _VIEWS, strict=True):
        order = np.argsort(place[:, w])
        size = np.full(len(order), 2 * _BALL * bond)
        balls = EllipseCollection(
            size,
            size,
            np.zeros(len(order)),
            units="x",
            offsets=place[order][:, [u, v]],
            offset_transform=ax.transData,
            cmap="cividis",
            norm=norm,
            edgecolors="#ffffff",
            linewidths=0.3,
        )
        balls.set_array(energy[order])
        ax.add_collection(balls)
        ax.set_xlim(-half, half)
        ax.set_ylim(-half, half)
        ax.set_aspect("equal")
        ax.grid(False)
        ax.set_xlabel(f"{'xyz'[u]} (Å)")
        ax.set_ylabel(f"{'xyz'[v]} (Å)")
    colours = ScalarMappable(norm, "cividis")
    quiet_colorbar(axes[0].figure.colorbar(colours, ax=list(axes), shrink=0.8), "Formation energy (eV)")
    return axes


@styled
def plot_energy_trends(
    diameter: np.ndarray,
    energy: tuple[np.ndarray, np.ndarray],
    strain: tuple[np.ndarray, np.ndarray],
    *,
    reference: str = "bulk",
    calculator: str = "",
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Plot the formation energies of particles against their size and against their strain.

    Parameters
    ----------
    diameter
        (p,) Å.
    energy
        Formation energy per atom and its standard error, (p,) eV.
    strain
        Mean over the atoms of the volumetric strain εxx + εyy + εzz, and its standard deviation over them, (p,)
        fractions.
    reference
        What the strain is measured from.
    calculator
        Of the energies, for the axis.
    axes
        Two axes; new ones without them.

    Returns
    -------
    The axes, in nm, per cent and eV; bars of the strain are its spread over the atoms of a particle.
    """
    axes = new_axes(1, 2, size=(4.76, 2.3), sharey=True) if axes is None else axes
    value, error = (np.asarray(a, float) for a in energy)
    mean, spread = (100 * np.asarray(a, float) for a in strain)
    look = {"fmt": "o", "ms": 4.5, "color": BLUE, "elinewidth": 0.9, "capsize": 2}
    axes[0].errorbar(np.asarray(diameter, float) / 10, value, yerr=np.nan_to_num(error), **look)
    axes[1].errorbar(mean, value, yerr=np.nan_to_num(error), xerr=np.nan_to_num(spread), **look)
    axes[0].set_xlabel("Diameter (nm)")
    axes[1].set_xlabel(f"εxx + εyy + εzz against {reference} (%)")
    axes[0].set_ylabel(f"Formation energy{f', {calculator}' if calculator else ''} (eV/atom)")
    return np.asarray(axes)
