"""The numbers of one particle, each determined once, so that the page states one value of it everywhere.

Diameter: of the sphere of the volume of the atoms, as in a comparison of particles; without atoms as tracked. Surface:
the column of atoms.xyz. Frames used: those with a weight in the map. Coverage: the share of all view directions that
have a used frame within 6°.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from single_rs import plots
from single_rs.records import Contrast
from single_rs.report.content import ParticleFiles
from single_rs.report.views import Quantity

__all__ = ["Numbers", "cell_of", "count", "scaled", "unit_cell", "used_frames"]

CELL = (("a", "a"), ("b", "b"), ("c", "c"), ("alpha", "α"), ("beta", "β"), ("gamma", "γ"))


@dataclass(frozen=True)
class Numbers:
    """The numbers of one particle; what is not known has the value ``None`` or NaN."""

    atoms: Quantity
    surface: Quantity
    diameter: Quantity
    resolution: Quantity
    pixel_size: Quantity
    graphene_pixel: Quantity | None
    contrast: str
    frames: int | None
    used: int | None
    coverage: Quantity
    confidence: Quantity
    sigma: Quantity
    sigma_axes: tuple[float, float] | None
    worst_axis: np.ndarray | None
    radial: tuple[tuple[str, Quantity], ...]
    cell: tuple[tuple[str, Quantity], ...]
    volume: Quantity
    against_bulk: Quantity
    on_sites: Quantity

    @classmethod
    def of(cls, particle: ParticleFiles) -> Numbers:
        """Determine the numbers from the files of a particle."""
        summary, atoms, poses, row = particle.summary, particle.atoms, particle.poses, particle.row
        values, errors = (row.values, row.errors) if row is not None else ({}, {})
        used, frames = used_frames(particle), summary.get("frames", particle.frames)
        ruler = summary.get("pixel_size_by_graphene")
        size, size_err = values.get("diameter", summary.get("diameter")), errors.get("diameter")
        sigma = atoms.get("sigma") if atoms is not None else None
        cell, lattice = cell_of(particle), particle.lattice
        grown = lattice.get("expansion")
        grown = grown if isinstance(grown, dict) else {}
        surface = atoms.surface if atoms is not None else None
        axes = _axes(particle)
        covered = None if poses is None or used is None else 100 * plots.view_coverage(poses.rotations[used])
        return cls(
            atoms=Quantity(len(atoms.positions) if atoms is not None else summary.get("atoms"), 0),
            surface=Quantity(None if surface is None else surface.sum(), 0),
            diameter=Quantity(scaled(size, 0.1), 2, "nm", scaled(size_err, 0.1) if size_err else None),
            resolution=Quantity(summary.get("resolution"), 2, "Å"),
            pixel_size=Quantity(summary.get("pixel_size", particle.pixel_size), 4, "Å"),
            graphene_pixel=Quantity(ruler["pixel_size"], 4, "Å", ruler.get("error")) if ruler else None,
            contrast=_contrast(summary.get("contrast")),
            frames=frames,
            used=summary.get("frames_used") if used is None else int(used.sum()),
            coverage=Quantity(covered, 0, "%"),
            confidence=Quantity(None if poses is None or not len(poses.frames) else np.mean(poses.confidence), 3),
            sigma=Quantity(None if sigma is None else 100 * np.nanmedian(sigma), 1, "pm"),
            sigma_axes=axes[0] if axes else None,
            worst_axis=axes[1] if axes else None,
            radial=tuple(
                (name, Quantity(scaled(values[key], 100), 2, "%", scaled(errors.get(key), 100)))
                for key, name in (
                    ("radial_strain", "Mean radial strain"),
                    ("radial_strain_core", "… of the core"),
                    ("radial_strain_surface", "… of the surface"),
                )
                if key in values
            ),
            cell=tuple(
                (name, Quantity(cell.get(key), 4, "Å", cell.get(f"{key}_err")) if len(key) == 1
                 else Quantity(cell.get(key), 2, "°", cell.get(f"{key}_err")))
                for key, name in CELL
            ) if cell else (),
            volume=Quantity(cell.get("volume"), 2, "Å³", cell.get("volume_err")),
            against_bulk=Quantity(scaled(grown.get("mean"), 100), 2, "%", scaled(grown.get("mean_err"), 100)),
            on_sites=Quantity(scaled(lattice.get("fraction_on_sites"), 100), 1, "%"),
        )  # fmt: skip

    @property
    def frames_used(self) -> str:
        """Return the frames used, of all."""
        return f"{Quantity(self.used, 0)} of {Quantity(self.frames, 0)}"


def _contrast(found: Any) -> str:
    """Return whether atoms were bright or dark, and what says so; nothing for a summary that does not tell."""
    if not isinstance(found, dict) or "atoms" not in found:
        return ""
    return str(Contrast(str(found["atoms"]), found.get("sigma"), bool(found.get("stated"))))


def used_frames(particle: ParticleFiles) -> np.ndarray | None:
    """Return which images have a weight in the map (n,) bool, ``None`` without poses."""
    poses = particle.poses
    return None if poses is None or not len(poses.frames) else np.asarray(poses.weight) > 0


def cell_of(particle: ParticleFiles) -> Mapping[str, Any]:
    """Return the cell of lattice.json, or of the summary."""
    for source in (particle.lattice, particle.summary.get("lattice")):
        if isinstance(source, dict):
            cell = source.get("cell", source)
            if isinstance(cell, dict) and "a" in cell:
                return cell
    return {}


def unit_cell(particle: ParticleFiles) -> np.ndarray | None:
    """Return the conventional lattice vectors as rows (3, 3), Å, or ``None``."""
    content = particle.lattice.get("cell")
    vectors = content.get("vectors") if isinstance(content, dict) else None
    cell = None if vectors is None else np.asarray(vectors, float)
    return cell if cell is not None and cell.shape == (3, 3) and np.isfinite(cell).all() else None


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural when needed."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def scaled(value: Any, factor: float) -> float | None:
    """Return a number times a factor, ``None`` where there is no number."""
    return factor * value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _axes(particle: ParticleFiles) -> tuple[tuple[float, float], np.ndarray] | None:
    """Return σ (pm) along the best and the worst axis of the mean covariance of the atoms, and the worst axis (3,)."""
    columns = None if particle.atoms is None else particle.atoms.get("cov")
    if columns is None or columns.ndim != 2 or columns.shape[1] != 6:
        return None
    xx, yy, zz, xy, xz, yz = np.nanmean(np.asarray(columns, float), axis=0)
    variance, axes = np.linalg.eigh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    if not variance[0] > 0:
        return None
    return (100 * float(np.sqrt(variance[0])), 100 * float(np.sqrt(variance[2]))), axes[:, 2]
