"""Figures of ligands: where they sit on a particle or slab, their binding energies, and the charge they move.

The charge-density difference is Δρ = ρ(both) − ρ(surface) − ρ(ligand), in electrons per Å³, all three on one grid and
at the positions of both. Surfaces of +Δρ (charge gained) and −Δρ (charge lost) are drawn over the atoms, translucent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from single_rs.plots.particles import Still, draw_still
from single_rs.plots.render import element_colours, render_surface
from single_rs.plots.style import BLUE, INK, MUTED, ORANGE, image_axes, new_axes, scale_bar_below, styled

__all__ = ["plot_binding", "plot_charge_difference", "plot_ligand_sites"]

_GAIN, _LOSS = (0.95, 0.80, 0.15), (0.20, 0.65, 0.85)  # of the surfaces, as VESTA has them
_OPACITY = 0.75
_SPACING = 0.15  # Å, of the grid on which surfaces are drawn
_GUEST = 0.45  # radius of a ligand's atom, in covalent radii of the drawn size


def _radii(symbols: NDArray[np.str_], guest: NDArray[np.bool_], bond: float) -> NDArray[np.float64]:
    """Å: atoms of the particle touch, those of ligands are balls of the size that shows their bonds."""
    from ase.data import atomic_numbers, covalent_radii

    own = np.array([covalent_radii[atomic_numbers[str(s)]] for s in symbols])
    return np.where(guest, (1 + _GUEST) / 2 * own, 0.49 * bond)


def _side_view(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows right, up, towards the viewer with a normal up."""
    up = normal / np.linalg.norm(normal)
    towards = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    towards /= np.linalg.norm(towards)
    return np.stack([np.cross(up, towards), up, towards])


@styled
def plot_ligand_sites(still: Still, guest: NDArray[np.bool_], *, axes: NDArray[Any] | None = None) -> NDArray[Any]:
    """Show a particle or slab with its ligands from two sides.

    Parameters
    ----------
    still
        Particle and ligands together.
    guest
        (n,) bool, atoms of ligands.
    axes
        Two axes; new ones without them.

    Returns
    -------
    The axes, in Å; ligands point up in the first, towards the viewer in the second.
    """
    axes = new_axes(1, 2, size=(4.76, 2.5)) if axes is None else axes
    solid = still.positions[~guest]
    host = Still(still.name, solid, still.symbols[~guest])
    radii = _radii(still.symbols, guest, host.bond)
    away = still.positions[guest].mean(axis=0) - solid.mean(axis=0)
    side = _side_view(away if np.linalg.norm(away) > 1e-6 else np.array([0.0, 0, 1]))
    above = np.stack([side[0], -side[2], side[1]])
    for ax, frame in zip(axes, (side, above)):
        draw_still(ax, still, element_colours(still.symbols), reach=still.reach, frame=frame, radius=radii, inches=2.3)
    _legend(axes[0], still.symbols)
    scale_bar_below(axes[0], 2 * still.reach)
    return axes


def _legend(ax: Axes, symbols: NDArray[np.str_]) -> None:
    for symbol in dict.fromkeys(map(str, symbols)):
        colour = element_colours(np.array([symbol]))[0]
        ax.plot([], [], "o", ms=5, mfc=colour, mec=MUTED, mew=0.5, label=symbol)
    ax.legend(loc="upper left", fontsize=7, handletextpad=0.1, borderpad=0.1)


@styled
def plot_binding(energies: Mapping[str, Mapping[str, float]], *, ax: Axes | None = None) -> Axes:
    """Plot binding energies of ligands, E(both) − E(surface) − E(ligand), by surface.

    Parameters
    ----------
    energies
        Series ("slab", "particle") → surface ("111") → eV per ligand; negative binds.
    ax
        Axes to draw in; new ones without it.

    Returns
    -------
    The axes, in eV.
    """
    ax = new_axes(size=(3.3, 2.3)) if ax is None else ax
    surfaces = list(dict.fromkeys(s for found in energies.values() for s in found))
    width = 0.8 / max(len(energies), 1)
    for k, (name, found) in enumerate(energies.items()):
        places = [surfaces.index(s) + (k - (len(energies) - 1) / 2) * width for s in found]
        bars = ax.bar(places, list(found.values()), width=0.92 * width, color=(BLUE, ORANGE)[k % 2], label=name)
        ax.bar_label(bars, fmt=lambda v: f"{v:.2f}".replace("-", "−"), fontsize=6.5, padding=1.5)
    ax.axhline(0, color=INK, lw=0.7)
    ax.set_xticks(range(len(surfaces)), [f"{{{s}}}" for s in surfaces])
    ax.grid(axis="x", visible=False)
    ax.margins(y=0.15)
    ax.set_ylabel("Binding energy (eV)")
    if len(energies) > 1:
        ax.legend(loc="best")
    return ax


@styled
def plot_charge_difference(
    difference: NDArray[np.float64],
    cell: NDArray[np.float64],
    origin: NDArray[np.float64],
    still: Still,
    guest: NDArray[np.bool_],
    *,
    normal: NDArray[np.float64] | None = None,
    level: float | None = None,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Show where charge is gained and lost when a ligand binds, and its mean in layers along the surface's normal.

    Parameters
    ----------
    difference
        (i, j, k) Δρ along the three vectors of the cell, electrons per Å³.
    cell
        (3, 3) vectors of the whole grid as rows, Å.
    origin
        (3,) Å, position of the first point.
    still
        Surface and ligand together.
    guest
        (n,) bool, atoms of the ligand.
    normal
        (3,) direction drawn upwards; from the surface's to the ligand's middle without it.
    level
        Electrons per Å³ on the surfaces; a tenth of the greatest size without it.
    axes
        Two axes; new ones without them.

    Returns
    -------
    The axes: surfaces in Å, and Δρ averaged over planes of the grid's third vector, electrons per Å.
    """
    from scipy.ndimage import map_coordinates

    axes = new_axes(1, 2, size=(4.76, 2.7), width_ratios=(1.6, 1)) if axes is None else axes
    away = still.positions[guest].mean(axis=0) - still.positions[~guest].mean(axis=0)
    frame = _side_view(away if normal is None else np.asarray(normal, float))
    rho = np.asarray(difference, float)
    limit = float(np.abs(rho).max()) / 10 if level is None else level
    host = Still(still.name, still.positions[~guest], still.symbols[~guest])
    # The picture is round the ligand and the surface below it; the grid repeats where the cell does.
    middle = still.positions[guest].mean(axis=0) - 2.0 * frame[1]
    reach = float(np.linalg.norm(still.positions[guest] - middle, axis=1).max()) + 2.5
    size = 2 * int(np.ceil(reach / _SPACING)) + 2
    at = (np.arange(size) - size // 2) * _SPACING
    w, v, u = np.meshgrid(at, at, at, indexing="ij")
    points = np.stack([u, v, w], axis=-1) + middle - origin
    index = (points @ np.linalg.inv(cell) * rho.shape).reshape(-1, 3).T
    cube = map_coordinates(rho, index, order=1, mode="grid-wrap").reshape(size, size, size).astype(np.float32)
    near = np.linalg.norm((still.positions - middle) @ frame[:2].T, axis=1) < 1.3 * reach
    part = Still(still.name, still.positions - middle, still.symbols)
    radii = _radii(still.symbols, guest, host.bond)
    radii[guest] *= 0.55
    radii[~guest] *= 0.55
    pixels = int(2.6 * 300)
    from single_rs.plots.render import render_spheres

    picture = render_spheres(
        part.positions[near] @ frame.T, radii[near], element_colours(still.symbols)[near], reach, pixels
    )
    extent = (-reach, reach, -reach, reach)
    axes[0].imshow(picture, extent=extent, origin="lower", interpolation="antialiased")
    for sign, colour in ((1, _GAIN), (-1, _LOSS)):
        lobes = render_surface(
            np.float32(sign) * cube, _SPACING, limit, frame, middle=np.zeros(3), reach=reach, colour=colour,
            pixels=pixels,
        )  # fmt: skip
        lobes[..., 3] *= _OPACITY
        axes[0].imshow(lobes, extent=extent, origin="lower", interpolation="antialiased")
    image_axes(axes[0])
    axes[0].set_title(f"±{limit:.3g} e/Å³", fontsize=7.5)
    _legend(axes[0], still.symbols)
    scale_bar_below(axes[0], 2 * reach)
    area = float(np.linalg.norm(np.cross(cell[0], cell[1])))
    height = np.arange(rho.shape[2]) / rho.shape[2] * float(np.linalg.norm(cell[2]))
    axes[1].plot(rho.mean(axis=(0, 1)) * area, height, color=INK, lw=1.0)
    axes[1].axvline(0, color=MUTED, lw=0.7)
    axes[1].set_xlabel("Δρ over a plane (e/Å)")
    axes[1].set_ylabel("Height (Å)")
    return np.asarray(axes)
