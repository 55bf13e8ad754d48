"""Data of the interactive 3D view: positions and the quantities that atoms can be coloured by.

The page builds one small sphere per atom from these numbers, so that the file stays small, and the isosurface of the
density from `single_rs.report.density`. Quantities are continuous (a range and a colour scale), diverging (zero in the
middle) or categories (names and colours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.base.tensors import COMPONENTS
from single_rs.plots.maps import ZONE_VIEWS, zone_frame
from single_rs.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY
from single_rs.report.density import density_data

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles

__all__ = ["categories", "display_radius", "view_data"]

_GREY = "#9aa4b2"
_STRUCTURES = (("other", _GREY), ("fcc", BLUE), ("hcp", ORANGE), ("bcc", GREEN), ("ico", PURPLE))
_MAX_DECIMALS = 4
# Grain −1 is none; those beyond the fifth are small and share a colour.
_GRAINS = (("none", _GREY), ("grain 0", BLUE), ("grain 1", ORANGE), ("grain 2", GREEN), ("grain 3", PURPLE),
           ("others", SKY))  # fmt: skip


def view_data(particle: ParticleFiles, cell: np.ndarray | None) -> dict[str, Any] | None:
    """Return what the 3D view of one particle needs, ready for JSON; ``None`` with neither atoms nor a map.

    Parameters
    ----------
    particle
        Files of the particle.
    cell
        Lattice vectors as rows (3, 3), Å, for the buttons that look along zone axes.
    """
    atoms = particle.atoms if particle.atoms is not None and len(particle.atoms.positions) else None
    middle = np.zeros(3) if atoms is None else atoms.positions.mean(axis=0)
    density = density_data(particle, middle)
    if atoms is None and density is None:
        return None
    positions = np.zeros((0, 3)) if atoms is None else atoms.positions - middle
    surface = None if atoms is None else atoms.surface
    data: dict[str, Any] = {
        "positions": np.round(positions, 3).tolist(),
        "middle": np.round(middle, 3).tolist(),
        "symbols": [] if atoms is None else atoms.symbols.tolist(),
        "surface": None if surface is None else surface.astype(int).tolist(),
        "radius": round(display_radius(positions), 3),
        "colourings": [] if atoms is None else _colourings(particle),
        "density": density,
        "views": [],
        "axes": [{"name": n, "along": row.tolist()} for n, row in zip("xyz", np.eye(3))],
    }
    if cell is not None:
        along = cell / np.linalg.norm(cell, axis=1, keepdims=True)
        data["axes"] = [{"name": n, "along": row.round(4).tolist()} for n, row in zip("abc", along)]
        for view, right in ZONE_VIEWS:
            _, up, towards = zone_frame(cell, view, right)
            name = "[" + "".join(map(str, view)) + "]"
            data["views"].append({"name": name, "eye": towards.round(5).tolist(), "up": up.round(5).tolist()})
    return data


def display_radius(positions: np.ndarray) -> float:
    """Return a sphere radius (Å) that leaves a little room between neighbours."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return 1.2
    return 0.42 * float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def _colourings(particle: ParticleFiles) -> list[dict[str, Any]]:
    """Return all quantities that the atoms have, the most telling first."""
    assert particle.atoms is not None  # the caller has atoms
    atoms = particle.atoms
    found: list[dict[str, Any]] = []
    radial, strain = atoms.get("radial_strain"), atoms.get("strain")
    if radial is not None:
        found.append(_diverging("Radial strain", 100 * radial, "%"))
    if strain is not None and strain.ndim == 2 and strain.shape[1] == 6:
        found.append(_diverging("Volume strain (trace)", 100 * strain[:, :3].sum(axis=1), "%"))
    number = atoms.get("cn")
    if number is not None:
        found.append(_continuous("Coordination", number, "", "Cividis", (4.0, 12.0)))
    structure = atoms.get("structure_type")
    if structure is not None:
        codes = np.clip(np.asarray(structure, int), 0, len(_STRUCTURES) - 1)
        found.append(categories("Structure type", codes, _STRUCTURES))
    if atoms.surface is not None:
        found.append(categories("Core and surface", atoms.surface.astype(int), (("core", BLUE), ("surface", ORANGE))))
    if atoms.get("sigma") is not None:
        found.append(_continuous("Uncertainty σ", 100 * np.asarray(atoms.get("sigma"), float), "pm", "Viridis"))
    if atoms.get("height") is not None:
        found.append(_continuous("Peak height", np.asarray(atoms.get("height"), float), "map units", "Viridis"))
    for key, name, unit, factor in (
        ("von_mises", "Von Mises strain", "%", 100.0),
        ("rotation", "Local rotation", "°", 1.0),
        ("formation_energy", "Formation energy", "eV", 1.0),
    ):
        values = atoms.get(key)
        if values is not None and values.ndim == 1:
            found.append(_continuous(name, factor * values, unit, "Viridis"))
    grains = atoms.get("grain")
    if grains is not None and len(np.unique(grains)) > 1:
        labels = np.clip(grains.astype(int) + 1, 0, len(_GRAINS) - 1)
        found.append(categories("Grain", labels, _GRAINS))
    if strain is not None and strain.ndim == 2 and strain.shape[1] == 6:
        found += [_diverging(f"Strain ε {name}", 100 * strain[:, k], "%") for k, name in enumerate(COMPONENTS)]
    kinds = sorted(set(atoms.symbols.tolist()))
    if len(kinds) > 1 or not found:
        palette = (BLUE, ORANGE, GREEN, PURPLE, SKY)
        codes = np.array([kinds.index(s) for s in atoms.symbols])
        found.append(categories("Element", codes, tuple((k, palette[i % 5]) for i, k in enumerate(kinds))))
    return found


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return rounded values; JSON has no NaN, so unknown ones are null."""
    return [round(float(v), _MAX_DECIMALS) if np.isfinite(v) else None for v in np.asarray(values, float)]


def _diverging(name: str, values: np.ndarray, unit: str) -> dict[str, Any]:
    """Return a quantity whose sign matters: symmetric range, so that white is zero."""
    top = float(np.nanpercentile(np.abs(values), 97)) or 1.0
    return {
        "name": name, "unit": unit, "kind": "diverging", "values": _numbers(values),
        "range": [-round(top, 4), round(top, 4)],
    }  # fmt: skip


def _continuous(
    name: str, values: np.ndarray, unit: str, scale: str, span: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Return a quantity on a sequential colour scale; outliers take the end colours."""
    low, high = span or tuple(float(v) for v in np.nanpercentile(np.asarray(values, float), (2, 98)))
    return {
        "name": name, "unit": unit, "kind": "continuous", "values": _numbers(values), "scale": scale,
        "range": [round(low, 5), round(high if high > low else low + 1e-3, 5)],
    }  # fmt: skip


def categories(name: str, codes: np.ndarray, classes: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return named classes with their counts."""
    listed = [{"name": n, "colour": c, "count": int((codes == k).sum())} for k, (n, c) in enumerate(classes)]
    return {"name": name, "unit": "", "kind": "category", "values": codes.astype(int).tolist(), "classes": listed}
