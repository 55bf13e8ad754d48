"""Strain between the atoms, for display: on the grid of the map, and on any plane.

A point has the Gaussian-weighted mean of the atoms about it, of width 0.4 nearest-neighbour distances, which adds to
the kernel of the strain (2 Å and 1.1 Å make 2.3 Å); points farther than 0.75 distances from every atom are empty. Axes
of components stay those of the strain, whatever the plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.lattice import Lattice
from single_rs.analysis.strain.field import Strain
from single_rs.analysis.strain.invariants import strain_measures
from single_rs.base.errors import InputError
from single_rs.base.tensors import COMPONENTS
from single_rs.crystal.neighbours import check_positions

__all__ = ["MAPS", "StrainPlane", "in_box", "plane_normal", "strain_grid", "strain_maps", "strain_plane"]

# Measures that have a volume; principal strains follow from the components.
MAPS = (*COMPONENTS, "radial", "volumetric", "von_mises", "rotation")
# Width of the Gaussian and reach of an atom, in nearest-neighbour distances.
_WIDTH, _REACH = 0.4, 0.75
# Neighbours of a point that count: within 0.75 distances there are at most 4 in a close packing, 8 allow for disorder.
_NEAR = 8


@dataclass(frozen=True)
class StrainPlane:
    """Values on a plane through a particle.

    Attributes
    ----------
    values
        (v, u), NaN where there is no atom.
    u, v
        Å, coordinates of the columns and rows along `right` and `up` from the particle's centre of mass.
    right, up, normal
        (3,) orthonormal, in the frame of the positions; right × up = normal.
    offset
        Å, of the plane along its normal from the centre of mass.
    atoms
        Numbers of the atoms within half a nearest-neighbour distance of the plane.
    places
        (len(atoms), 2) Å, their u and v.
    """

    values: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    right: NDArray[np.float64]
    up: NDArray[np.float64]
    normal: NDArray[np.float64]
    offset: float
    atoms: NDArray[np.int64]
    places: NDArray[np.float64]


def plane_normal(lattice: Lattice, plane: tuple[int, int, int]) -> NDArray[np.float64]:
    """Unit normal (3,) of a lattice plane of the main domain, in the frame of the positions (n, 3) of the lattice.

    Parameters
    ----------
    lattice
        Result of `fit_lattice`.
    plane
        Miller indices (hkl).
    """
    if len(plane) != 3 or not np.any(plane):
        raise InputError(f"plane is {plane!r}; three Miller indices, not all 0, are needed")
    normal = np.asarray(plane, dtype=np.float64) @ np.linalg.inv(lattice.cell).T
    return np.asarray(normal / np.linalg.norm(normal))


def strain_plane(
    positions: ArrayLike,
    values: ArrayLike,
    normal: ArrayLike,
    nearest_neighbour: float,
    offset: float = 0.0,
    right: ArrayLike | None = None,
    step: float = 0.2,
) -> StrainPlane:
    """Any value of the atoms on a plane through the particle.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    values
        (n,), such as `Strain.radial` or one component; NaN for atoms that have none.
    normal
        (3,) direction, in the frame of the positions; see `plane_normal` for lattice planes.
    nearest_neighbour
        Å.
    offset
        Å, of the plane along its normal from the centre of mass.
    right
        (3,) direction of the columns, made perpendicular to the normal; None: the axis of the frame that is most so.
    step
        Å between points.

    Raises
    ------
    InputError
        If shapes differ, the normal is 0 or parallel to `right`, or the step is not positive.
    """
    x, value = check_positions(positions, least=1), np.asarray(values, dtype=np.float64)
    if value.shape != (len(x),):
        raise InputError(f"values have shape {value.shape}; ({len(x)},), one for each atom, is needed")
    if not (step > 0 and nearest_neighbour > 0):
        raise InputError(f"step is {step} Å and nearest_neighbour {nearest_neighbour} Å; both must be more than 0 Å")
    across = np.asarray(normal, dtype=np.float64)
    if across.shape != (3,) or not np.linalg.norm(across) > 0:
        raise InputError(f"normal is {normal!r}; a direction of three numbers, not all 0, is needed")
    across = across / np.linalg.norm(across)
    first = np.eye(3)[np.argmin(np.abs(across))] if right is None else np.asarray(right, dtype=np.float64)
    first = first - (first @ across) * across
    if not np.linalg.norm(first) > 1e-6:
        raise InputError(f"right is {right!r}, parallel to the normal; another direction is needed")
    first /= np.linalg.norm(first)
    second = np.cross(across, first)
    ray = x - x.mean(axis=0)
    place = np.column_stack([ray @ first, ray @ second, ray @ across - offset])
    reach = _REACH * nearest_neighbour
    u, v = (np.arange(np.floor((p.min() - reach) / step), np.ceil((p.max() + reach) / step) + 1) * step
            for p in place.T[:2])  # fmt: skip
    points = np.stack([*np.meshgrid(u, v), np.zeros((len(v), len(u)))], axis=-1).reshape(-1, 3)
    usable = np.isfinite(value)
    image = np.full(len(points), np.nan)
    if usable.any():
        tree = cKDTree(place[usable])
        distance, near = tree.query(points, k=min(_NEAR, int(usable.sum())), distance_upper_bound=reach)
        distance, near = distance.reshape(len(points), -1), near.reshape(len(points), -1)
        weight = np.where(np.isfinite(distance), np.exp(-0.5 * (distance / (_WIDTH * nearest_neighbour)) ** 2), 0)
        total = weight.sum(axis=1)
        held = np.append(value[usable], 0.0)
        image[total > 0] = (weight * held[near]).sum(axis=1)[total > 0] / total[total > 0]
    close = np.flatnonzero(np.abs(place[:, 2]) < nearest_neighbour / 2)
    return StrainPlane(
        image.reshape(len(v), len(u)), u, v, first, second, across, float(offset), close, place[close, :2]
    )


def strain_grid(
    positions: ArrayLike,
    values: ArrayLike,
    box: int,
    pixel_size: float,
    nearest_neighbour: float,
) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
    """Values of the atoms on the part of the map's grid that holds the particle.

    Parameters
    ----------
    positions
        (n, 3) Å from the box centre.
    values
        (n, m).
    box, pixel_size
        Voxels on an edge, and Å per voxel; voxel N//2 is position 0.
    nearest_neighbour
        Å.

    Returns
    -------
    first
        Index (z, y, x) of the first voxel.
    grid
        (m, z, y, x) float32, 0 where there is no atom.
    """
    x, table = check_positions(positions, least=1), np.asarray(values, dtype=np.float64)
    if box < 2 or not pixel_size > 0:
        raise InputError(f"box is {box} and pixel_size {pixel_size} Å; at least 2 and more than 0 Å are needed")
    usable = np.isfinite(table).all(axis=1)
    width, reach = _WIDTH * nearest_neighbour, _REACH * nearest_neighbour
    half = int(np.ceil(reach / pixel_size))
    places = (x[usable] / pixel_size + box // 2)[:, ::-1]
    voxel = np.rint(places).astype(int)
    inside = np.all((voxel + half >= 0) & (voxel - half < box), axis=1)
    places, voxel, table = places[inside], voxel[inside], table[usable][inside]
    if len(voxel) == 0:
        return (0, 0, 0), np.zeros((table.shape[1], 1, 1, 1), dtype=np.float32)
    start, stop = np.maximum(voxel.min(axis=0) - half, 0), np.minimum(voxel.max(axis=0) + half + 1, box)
    total = np.zeros(stop - start, dtype=np.float32)
    sums = np.zeros((table.shape[1], *total.shape), dtype=np.float32)
    for place, nearest, value in zip(places, voxel, table.astype(np.float32), strict=True):
        low, high = np.maximum(nearest - half, start), np.minimum(nearest + half + 1, stop)
        d2 = [((np.arange(a, b) - p) * pixel_size) ** 2 for a, b, p in zip(low, high, place, strict=True)]
        distance2 = d2[0][:, None, None] + d2[1][None, :, None] + d2[2][None, None, :]
        weight = np.where(distance2 < reach**2, np.exp(-0.5 * distance2 / width**2), 0).astype(np.float32)
        window = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        total[window] += weight
        sums[(slice(None), *window)] += value[:, None, None, None] * weight
    np.divide(sums, total, out=sums, where=total > 0)
    first = int(start[0]), int(start[1]), int(start[2])
    return first, sums


def in_box(part: NDArray[np.float32], first: tuple[int, int, int], box: int) -> NDArray[np.float32]:
    """Return a part (z, y, x) of a map, whose first voxel has the index `first`, in its whole box of zeros."""
    whole = np.zeros((box, box, box), dtype=np.float32)
    whole[tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))] = part
    return whole


def strain_maps(
    positions: ArrayLike,
    strain: Strain,
    box: int,
    pixel_size: float,
    nearest_neighbour: float,
) -> dict[str, NDArray[np.float32]]:
    """Strain on the grid of the map: each voxel the Gaussian-weighted mean of the atoms about it.

    Parameters
    ----------
    positions
        (n, 3) Å from the box centre.
    strain
        Result of `compute_strain`.
    box, pixel_size
        Voxels on an edge, and Å per voxel; voxel N//2 is position 0.
    nearest_neighbour
        Å.

    Returns
    -------
    maps
        "xx" … "yz", "radial", "volumetric", "von_mises" as fractions and "rotation" in degrees: (z, y, x) float32,
        0 where there is no atom.
    """
    table = strain_measures(strain).table(strain)
    first, grid = strain_grid(
        positions, np.column_stack([table[name][0] for name in MAPS]), box, pixel_size, nearest_neighbour
    )
    return {name: in_box(part, first, box) for name, part in zip(MAPS, grid, strict=True)}
