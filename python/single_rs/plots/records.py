"""The figure by which each record shows itself: the one that tells most of it at a glance."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np

from single_rs.analysis import Particle
from single_rs.analysis.strain import Strain
from single_rs.base.sampling import evenly
from single_rs.plots.atoms import plot_neighbour_distances, plot_strain_histogram, plot_uncertainty
from single_rs.plots.first_look import plot_first_look
from single_rs.plots.movie import plot_drift
from single_rs.plots.poses import plot_orientation_coverage
from single_rs.plots.slices import plot_map_slices
from single_rs.records import Atoms, CleanStack, Density, Motion, ParticleStack, Poses

__all__ = ["draw"]

FRAMES = 4  # of a stack


@singledispatch
def draw(record: Any) -> Any:
    """Return the axes of a record's figure, None for what has none."""
    return None


@draw.register
def _stack(record: ParticleStack) -> Any:
    return _frames(record.images, record.frames, record.pixel_size)


@draw.register
def _clean(record: CleanStack) -> Any:
    return _frames(record.images, record.frames, record.pixel_size)


def _frames(images: np.ndarray, frames: np.ndarray, pixel_size: float) -> Any:
    chosen = evenly(len(images), FRAMES)
    pictures = {f"frame {int(frames[k])}": np.asarray(images[k], np.float32) for k in chosen}
    return plot_first_look(pictures, pixel_size) if pictures else None


@draw.register
def _motion(record: Motion) -> Any:
    return plot_drift(record.shifts, bad_frames=record.bad_frames)


@draw.register
def _poses(record: Poses) -> Any:
    return plot_orientation_coverage(record.rotations) if len(record.rotations) else None


@draw.register
def _density(record: Density) -> Any:
    return plot_map_slices(record.map, record.pixel_size)


@draw.register
def _atoms(record: Atoms) -> Any:
    if np.isfinite(record.sigma).any():
        return plot_uncertainty(record.sigma)
    return plot_neighbour_distances(record.positions) if len(record) > 1 else None


@draw.register
def _strain(record: Strain) -> Any:
    return plot_strain_histogram(record.radial, record.surface)


@draw.register
def _particle(record: Particle) -> Any:
    return _atoms(record.atoms) if record.strain is None else _strain(record.strain)
