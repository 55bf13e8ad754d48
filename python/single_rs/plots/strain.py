"""Figures of the strain: invariants, planes through the particle, statistics, and the methods side by side.

Strain is a fraction in arrays and per cent in figures, rotation in degrees. Maps have one symmetric colour scale, blue
compressed and red stretched; positive quantities (von Mises strain, rotation) run from 0 on a scale of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain import Strain
from single_rs.analysis.strain.invariants import strain_measures
from single_rs.analysis.strain.methods import StrainComparison
from single_rs.analysis.strain.statistics import StrainStatistic
from single_rs.analysis.strain.volumes import StrainPlane, plane_normal, strain_plane
from single_rs.crystal.neighbours import neighbour_cutoff
from single_rs.plots.atoms import COMPONENTS, plot_radial_strain, plot_strain_histogram
from single_rs.plots.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    core_and_surface,
    image_axes,
    new_axes,
    quiet_colorbar,
    styled,
)

__all__ = [
    "plot_strain_measures",
    "plot_strain_methods",
    "plot_strain_plane",
    "plot_strain_planes",
    "plot_strain_statistics",
]

LABELS = {
    **{name: f"$\\varepsilon_{{{name}}}$" for name in COMPONENTS},
    "radial": "Radial strain",
    "volumetric": "Volumetric strain",
    "von_mises": "Von Mises strain",
    "principal_1": "Principal strain 1",
    "principal_2": "Principal strain 2",
    "principal_3": "Principal strain 3",
    "rotation": "Rotation",
}
# Quantities that cannot be negative.
POSITIVE = ("von_mises", "rotation")
METHODS = {"kernel": "Kernel on atoms", "bonds": "Bonds", "gpa": "Phases of the map"}


@styled
def plot_strain_measures(strain: Strain, *, axes: np.ndarray | None = None) -> np.ndarray:
    """Plot the distributions of radial, volumetric, von Mises and principal strain: all, core and surface atoms.

    Parameters
    ----------
    strain
        Result of `compute_strain` or of another method.
    axes
        Array (2, 3) of axes; new ones without it.

    Returns
    -------
    The axes (2, 3), in per cent.
    """
    axes = new_axes(2, 3, size=(6.9, 4.4)) if axes is None else axes
    table = strain_measures(strain).table(strain)
    names = ("radial", "volumetric", "von_mises", "principal_1", "principal_2", "principal_3")
    for ax, name in zip(axes.ravel(), names):
        plot_strain_histogram(table[name][0], strain.surface, label=LABELS[name], ax=ax)
        ax.get_legend().set(loc="upper center")
        for text in ax.get_legend().get_texts():
            text.set_fontsize(6)
    for ax in axes[:, 1:].ravel():
        ax.set_ylabel("")
    return axes


@styled
def plot_strain_plane(
    plane: StrainPlane,
    label: str = "Strain",
    *,
    top: float | None = None,
    positive: bool = False,
    percent: bool = True,
    bar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Show values on a plane through the particle, with the atoms near it.

    Parameters
    ----------
    plane
        Result of `strain_plane`.
    label
        Name of the quantity for the colour bar.
    top
        End of the colour scale, per cent (or the unit of the values); None: the 98th percentile.
    positive
        Scale from 0 instead of symmetric about it.
    percent
        Show fractions as per cent.
    bar
        Draw a colour bar.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in Å from the centre of mass.
    """
    ax = new_axes(size=(3.3, 2.7)) if ax is None else ax
    image = (100 if percent else 1) * plane.values
    finite = np.abs(image[np.isfinite(image)])
    limit = (float(np.percentile(finite, 98)) if len(finite) else 1.0) if top is None else top
    limit = limit if limit > 0 else 1.0
    half = (plane.u[1] - plane.u[0]) / 2
    shown = ax.imshow(
        image, cmap="viridis" if positive else "RdBu_r", vmin=0 if positive else -limit, vmax=limit, origin="lower",
        extent=(plane.u[0] - half, plane.u[-1] + half, plane.v[0] - half, plane.v[-1] + half), interpolation="none",
    )  # fmt: skip
    ax.plot(*plane.places.T, "o", ms=2.2, mfc="none", mec=INK, mew=0.4, alpha=0.6)
    ax.grid(False)
    ax.set_aspect("equal")
    ax.set_xlabel("Å")
    if bar:
        unit = " (%)" if percent else ""
        quiet_colorbar(ax.figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.03), f"{label}{unit}")
    return ax


@styled
def plot_strain_planes(
    positions: np.ndarray,
    strain: Strain,
    lattice: Lattice,
    *,
    measure: str = "radial",
    planes: Sequence[tuple[int, int, int]] = ((1, 0, 0), (1, 1, 0), (1, 1, 1)),
    offset: float = 0.0,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show one measure of the strain on lattice planes through the centre, on one colour scale.

    Parameters
    ----------
    positions
        Atoms (n, 3), Å.
    strain
        Result of `compute_strain` or of another method.
    lattice
        Result of `fit_lattice`.
    measure
        One of `single_rs.strain.invariants.MEASURES`.
    planes
        Miller indices of the planes.
    offset
        Å of each plane along its normal, from the centre of mass.
    axes
        One axes per plane; new ones without it.

    Returns
    -------
    The axes, in Å and per cent (degrees for the rotation).
    """
    axes = np.ravel(new_axes(1, len(planes), size=(2.1 * len(planes) + 0.6, 2.2)) if axes is None else axes)
    values = strain_measures(strain).table(strain)[measure][0]
    percent = measure != "rotation"
    cuts = [
        strain_plane(positions, values, plane_normal(lattice, hkl), lattice.nearest_neighbour, offset) for hkl in planes
    ]
    seen = np.abs(np.concatenate([cut.values[np.isfinite(cut.values)] for cut in cuts]))
    top = (100 if percent else 1) * float(np.percentile(seen, 98)) if len(seen) else None
    for ax, hkl, cut in zip(axes, planes, cuts):
        plot_strain_plane(
            cut, LABELS[measure], top=top, positive=measure in POSITIVE, percent=percent, bar=False, ax=ax
        )
        ax.set_title("(" + "".join(f"{h}" if h >= 0 else f"$\\bar{{{-h}}}$" for h in hkl) + ")")
    unit = "%" if percent else "°"
    shown = axes[-1].images[0]
    quiet_colorbar(
        axes[0].figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.02), f"{LABELS[measure]} ({unit})"
    )
    return axes


@styled
def plot_strain_statistics(statistics: Sequence[StrainStatistic], *, ax: Axes | None = None) -> Axes:
    """Plot mean (with its standard error), quartiles and 5 to 95% of every strain, core and surface.

    Parameters
    ----------
    statistics
        Result of `strain_statistics`.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in per cent; the rotation, which is no strain, is left out.
    """
    ax = new_axes(size=(4.4, 3.4)) if ax is None else ax
    names = [name for name in LABELS if name != "rotation" and any(s.measure == name for s in statistics)]
    for shift, group, colour in ((-0.17, "core", BLUE), (0.17, "surface", ORANGE)):
        rows: Mapping[str, Any] = {s.measure: s for s in statistics if s.group == group}
        for row, name in enumerate(names):
            if name not in rows:
                continue
            s, y = rows[name], row + shift
            q = 100 * np.asarray(s.quantiles)
            ax.plot([q[0], q[-1]], [y, y], color=colour, lw=0.8, alpha=0.7)
            ax.plot([q[1], q[3]], [y, y], color=colour, lw=4, alpha=0.45, solid_capstyle="butt")
            ax.errorbar(
                100 * s.mean, y, xerr=100 * s.mean_error if np.isfinite(s.mean_error) else None, color=colour,
                marker="o", ms=3, lw=1.2, capsize=2, label=group if row == 0 else None,
            )  # fmt: skip
    ax.axvline(0, color=MUTED, lw=0.8)
    ax.set_yticks(range(len(names)), [LABELS[name] for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("Strain (%)")
    ax.legend(loc="best", handlelength=1.2)
    return ax


@styled
def plot_strain_methods(
    positions: np.ndarray,
    comparison: StrainComparison,
    *,
    measure: str = "volumetric",
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Show the strain by all methods side by side: a plane, along the radius, and each component against the kernel's.

    Parameters
    ----------
    positions
        Atoms (n, 3), Å.
    comparison
        Result of `compare_strain_methods`.
    measure
        The measure shown on the plane, one of `single_rs.strain.invariants.MEASURES`.
    axes
        Array (3, methods) of axes; new ones without it.

    Returns
    -------
    The axes (3, methods), in Å and per cent. Planes are perpendicular to z and share a colour scale.
    """
    strains = comparison.strains
    count = len(strains)
    axes = new_axes(3, count, size=(2.25 * count + 0.4, 6.3)) if axes is None else np.asarray(axes).reshape(3, count)
    bond = neighbour_cutoff(positions)[0]
    percent = measure != "rotation"
    cuts = {
        name: strain_plane(positions, strain_measures(s).table(s)[measure][0], (0, 0, 1), bond, right=(1, 0, 0))
        for name, s in strains.items()
    }
    held = cuts["kernel"].values
    top = (100 if percent else 1) * float(np.nanpercentile(np.abs(held), 98)) if np.isfinite(held).any() else 1.0
    kernel = strains["kernel"]
    distance = np.linalg.norm(positions - np.mean(positions, axis=0), axis=1)
    known = [s.tensor[np.isfinite(s.tensor)] for s in strains.values()]
    reach = 100 * max((float(np.percentile(np.abs(t), 99.5)) for t in known if len(t)), default=0.01)
    errors = {(row.method, row.group): row.error for row in comparison.spreads}
    pairs = {(p.second, p.group): p for p in comparison.pairs if p.first == "kernel"}
    for column, (name, strain) in enumerate(strains.items()):
        plane, radius, scatter = axes[:, column]
        plot_strain_plane(
            cuts[name], top=top, positive=measure in POSITIVE, percent=percent, bar=column == count - 1,
            label=LABELS[measure], ax=plane,
        )  # fmt: skip
        image_axes(plane)
        plane.set_xlabel("")
        plane.set_title(METHODS.get(name, name))
        plot_radial_strain(positions, strain.radial, strain.surface, ax=radius)
        radius.get_legend().remove()
        if column == 0:
            radius.legend(loc="lower left", fontsize=6, markerscale=2, handlelength=1.2)
        else:
            radius.set_ylabel("")
        _against(scatter, distance, kernel, strain, name, errors, pairs, reach)
    low = min(ax.get_ylim()[0] for ax in axes[1])
    high = max(ax.get_ylim()[1] for ax in axes[1])
    for ax in axes[1]:
        ax.set_ylim(low, high)
    axes[2, 0].set_ylabel("Stated error (%)")
    return axes


def _against(
    ax: Axes,
    radius: np.ndarray,
    kernel: Strain,
    strain: Strain,
    name: str,
    errors: Mapping[tuple[str, str], float],
    pairs: Mapping[tuple[str, str], Any],
    reach: float,
) -> None:
    """Draw the components of a method against those of the kernel; for the kernel, its errors along the radius."""
    dots: dict[str, Any] = {"ls": "", "marker": ".", "ms": 1.5, "alpha": 0.4, "rasterized": True}
    for chosen, colour, group in core_and_surface(len(radius), strain.surface):
        pair = pairs.get((name, group))
        if name == "kernel":
            text = f"{group}: rms {100 * errors.get((name, group), np.nan):.2f}%"
            ax.plot(np.repeat(radius[chosen], 6), 100 * kernel.error[chosen].ravel(), color=colour, label=text, **dots)
        elif pair is not None:
            one, two = 100 * kernel.tensor[chosen].ravel(), 100 * strain.tensor[chosen].ravel()
            ax.plot(one, two, color=colour, label=f"{group}: rms {100 * pair.rms:.2f}%", **dots)
    if name == "kernel":
        ax.set_xlabel("Distance from centre (Å)")
        ax.set_ylim(0, 1.35 * ax.get_ylim()[1])
    else:
        ax.plot([-reach, reach], [-reach, reach], color=INK, lw=0.7)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_xlabel("Kernel: six components (%)")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", fontsize=6, markerscale=4, handletextpad=0.2)
