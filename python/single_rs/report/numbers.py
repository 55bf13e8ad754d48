"""The numbers of one particle, each determined once, so that the page states one value of it everywhere.

Diameter: of the sphere of the volume of the atoms, as in a comparison of particles; without atoms as tracked. Surface:
the column of atoms.xyz. Frames used: those with a weight in the map. Coverage: the share of all view directions that
have a used frame within 6°.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from single_rs import plots
from single_rs.analysis.lattice.affine import CellParameters
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
        used = used_frames(particle)
        frames = particle.frames if summary.frames is None else summary.frames
        ruler = summary.pixel_size_by_graphene
        size, size_err = values.get("diameter", summary.diameter), errors.get("diameter")
        sigma = atoms.get("sigma") if atoms is not None else None
        cell, lattice = cell_of(particle), particle.lattice
        grown = None if lattice is None else lattice.expansion
        surface = atoms.surface if atoms is not None else None
        axes = _axes(particle)
        covered = None if poses is None or used is None else 100 * plots.view_coverage(poses.rotations[used])
        return cls(
            atoms=Quantity(len(atoms.positions) if atoms is not None else summary.atoms, 0),
            surface=Quantity(None if surface is None else surface.sum(), 0),
            diameter=Quantity(scaled(size, 0.1), 2, "nm", scaled(size_err, 0.1) if size_err else None),
            resolution=Quantity(summary.resolution, 2, "Å"),
            pixel_size=Quantity(summary.pixel_size or particle.pixel_size, 4, "Å"),
            graphene_pixel=Quantity(ruler.pixel_size, 4, "Å", ruler.error) if ruler else None,
            frames=frames,
            used=summary.frames_used if used is None else int(used.sum()),
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
            cell=() if cell is None else tuple(
                (name, Quantity(getattr(cell, key), 4 if len(key) == 1 else 2, "Å" if len(key) == 1 else "°",
                                getattr(cell, f"{key}_err")))
                for key, name in CELL
            ),
            volume=Quantity(None) if cell is None else Quantity(cell.volume, 2, "Å³", cell.volume_err),
            against_bulk=Quantity(None) if grown is None else Quantity(
                100 * grown.mean, 2, "%", scaled(grown.mean_err, 100)
            ),
            on_sites=Quantity(None if lattice is None else 100 * lattice.fraction_on_sites, 1, "%"),
        )  # fmt: skip

    @property
    def frames_used(self) -> str:
        """Return the frames used, of all."""
        return f"{Quantity(self.used, 0)} of {Quantity(self.frames, 0)}"


def used_frames(particle: ParticleFiles) -> np.ndarray | None:
    """Return which images have a weight in the map (n,) bool, ``None`` without poses."""
    poses = particle.poses
    return None if poses is None or not len(poses.frames) else np.asarray(poses.weight) > 0


def cell_of(particle: ParticleFiles) -> CellParameters | None:
    """Return the cell of lattice.json, or of the summary."""
    if particle.lattice is not None:
        return particle.lattice.lattice.parameters
    return None if particle.summary.lattice is None else particle.summary.lattice.cell


def unit_cell(particle: ParticleFiles) -> np.ndarray | None:
    """Return the conventional lattice vectors as rows (3, 3), Å, or ``None``."""
    cell = None if particle.lattice is None else particle.lattice.lattice.cell
    return cell if cell is not None and np.isfinite(cell).all() else None


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural when needed."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def scaled(value: float | None, factor: float) -> float | None:
    """Return a number times a factor, ``None`` where there is no number."""
    return None if value is None else factor * value


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
