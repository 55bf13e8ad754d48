"""Slabs of the planes that bind a ligand, and ligands on them: the flat surfaces beside a particle's facets.

A slab is cut from the bulk with the plane (hkl) upwards, `thickness` Å thick, and repeated along the plane until it is
`width` Å wide, so that a ligand does not touch its images. Planes of Kim et al., Science 368, 60 (2020),
doi:10.1126/science.aax3233, Fig. 3E: {111}, {100}, {110}, {211}, {310}. The lattice constant is that of experiment
unless another is given; that of the functional leaves the slab without stress.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import InputError
from single_rs.base.seeds import random_stream
from single_rs.crystal.prototypes import bulk_reference
from single_rs.ligands.molecules import molecule
from single_rs.ligands.place import STREAM, LigandModel, LigandPlace, describe, orient, start_distance
from single_rs.ligands.sites import Site, miller
from single_rs.records import Atoms

__all__ = ["PLANES", "place_on_slab", "surface_slab"]

PLANES = ("111", "100", "110", "211", "310")
_THICKNESS, _WIDTH = 6.7, 11.0  # Å: four planes {111} of Pt; ligands are 7 Å wide
_VACUUM = 10.0  # Å on each side of a bare slab
_LEVEL = 0.1  # Å within which atoms are of the topmost plane
_REACH = 1.25  # nearest-neighbour distances to the end of the first shell


def surface_slab(
    element: str,
    facet: str,
    *,
    thickness: float = _THICKNESS,
    width: float = _WIDTH,
    lattice_constant: float | None = None,
) -> Any:
    """Return ``ase.Atoms``, a slab with (hkl) upwards along z, periodic along a and b.

    Parameters
    ----------
    element
        Symbol of a metal with fcc, bcc or hcp bulk.
    facet
        "111", "100", …
    thickness, width
        Å, at least.
    lattice_constant
        Å; that of experiment when not given.

    Raises
    ------
    InputError
        No such bulk, or sizes that make no slab.
    """
    from ase.build import bulk, surface

    reference = bulk_reference(element)
    if reference is None or reference.structure not in ("fcc", "bcc", "hcp"):
        raise InputError(f"element is {element!r}; a slab needs a metal with fcc, bcc or hcp bulk, e.g. Pt")
    for name, value, least in (("thickness", thickness, 2.0), ("width", width, 2.0)):
        if not least <= value <= 60:
            raise InputError(f"{name} is {value} Å; {least} to 60 Å make a slab")
    a = reference.a if lattice_constant is None else lattice_constant
    if not 0.8 * reference.a < a < 1.2 * reference.a:
        raise InputError(f"lattice_constant is {a} Å; the bulk of {element} has {reference.a:.3f} Å")
    options: dict[str, Any] = {"c": reference.c / reference.a * a} if reference.structure == "hcp" else {}
    crystal = bulk(element, reference.structure, a=a, **options)
    plane = _primitive_indices(crystal.cell.array / a, miller(facet), reference.structure)
    count = 1
    while np.ptp((slab := surface(crystal, plane, count, vacuum=_VACUUM)).positions[:, 2]) < thickness - _LEVEL:
        count += 1
    height = slab.positions[:, 2]
    lowest = height[height <= height.max() - thickness + _LEVEL].max()
    slab = slab[height > lowest - _LEVEL]
    first, second = _reduced(slab.cell.array[:2].copy())
    slab.set_cell([first, second, slab.cell.array[2]], scale_atoms=False)
    across = np.linalg.norm(np.cross(first, second))
    repeats = [int(np.ceil(width / (across / np.linalg.norm(other)))) for other in (second, first)]
    slab = slab.repeat((*repeats, 1))
    slab.pbc = (True, True, False)
    slab.center(axis=2, vacuum=_VACUUM)
    slab.wrap(pbc=(True, True, False))
    return slab


def _primitive_indices(
    primitive: NDArray[np.float64], plane: tuple[int, int, int], structure: str
) -> tuple[int, int, int]:
    """Return Miller indices in a primitive cell (3, 3), rows in units of the cubic edge: h' = P h, without divisor."""
    if structure == "hcp":
        return plane
    found = np.rint(2 * primitive @ np.array(plane)).astype(int)
    h, k, l = (int(v) for v in found // np.gcd.reduce(found))
    return h, k, l


def _reduced(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two shortest vectors (3,) of a plane lattice, right-handed about z (Gauss reduction)."""
    a, b = vectors
    if np.linalg.norm(a) > np.linalg.norm(b):
        a, b = b, a
    while abs(step := np.rint(a @ b / (a @ a))) > 0:
        b = b - step * a
        if np.linalg.norm(b) < np.linalg.norm(a):
            a, b = b, a
    return (a, b) if np.cross(a, b)[2] > 0 else (a, -b)


def place_on_slab(
    element: str,
    facet: str = "111",
    count: int = 1,
    *,
    ligand: str = "nep",
    distance: float | None = None,
    vacuum: float = 10.0,
    thickness: float = _THICKNESS,
    width: float = _WIDTH,
    lattice_constant: float | None = None,
    seed: int = 0,
) -> LigandModel:
    """Place ligands on top atoms of a slab, oxygen towards the surface.

    Parameters
    ----------
    element, facet, thickness, width, lattice_constant
        As in `surface_slab`.
    count
        Number of ligands in the cell.
    ligand, distance, seed
        As in `place_ligands`.
    vacuum
        Å below the slab and above the ligands.

    Raises
    ------
    InputError
        No such slab, or fewer free sites than ligands.
    """
    guest = molecule(ligand)
    slab = surface_slab(element, facet, thickness=thickness, width=width, lattice_constant=lattice_constant)
    cell = slab.cell.array
    x = np.asarray(slab.positions)
    steps = np.array([(i, j, 0) for i in (0, 1, -1) for j in (0, 1, -1)], float)
    shifts = steps @ cell
    images = np.concatenate([x + shift for shift in shifts])
    symbols = np.tile(np.asarray(slab.get_chemical_symbols()), len(shifts))
    bond = float(np.sort(np.linalg.norm(images[1:] - images[0], axis=1))[0])
    middle = (cell[0] + cell[1]) / 2
    top = np.flatnonzero(x[:, 2] > x[:, 2].max() - _LEVEL)
    top = top[np.argsort(np.linalg.norm((x[top] - middle)[:, :2], axis=1).round(6), kind="stable")]
    random = random_stream(seed, STREAM)
    placed: list[NDArray[np.float64]] = []
    blocked: list[NDArray[np.float64]] = []
    places: list[LigandPlace] = []
    up = np.array([0.0, 0.0, 1.0])
    plane = miller(facet)
    for atom in top.tolist():
        if len(places) == count:
            break
        apart = images - x[atom]
        length = np.linalg.norm(apart, axis=1)
        beside = np.flatnonzero((length > 0) & (length < _REACH * bond) & (np.abs(apart[:, 2]) < _LEVEL))
        site = Site(atom, plane, up, tuple(beside.tolist()), 1.0)
        reach = start_distance(element) if distance is None else distance
        found = orient(images, symbols, site, guest, reach, blocked, random, shifts[1:])
        if found is not None:
            placed.append(found)
            blocked += [found + shift for shift in shifts]
            places.append(describe(images, site, guest, found))
    if len(places) < count:
        raise InputError(
            f"count is {count}; {len(places)} ligands fit on the {len(top)} top atoms of this slab without clashes, "
            "give fewer, a larger width, or another seed"
        )
    every = np.concatenate([x, *placed])
    every[:, 2] += vacuum - every[:, 2].min()
    box = cell.copy()
    box[2] = (0.0, 0.0, float(every[:, 2].max()) + vacuum)
    names = np.concatenate([slab.get_chemical_symbols(), np.tile(guest.symbols, count)])
    which = np.repeat(np.arange(count + 1), [len(x)] + [len(guest.symbols)] * count)
    return LigandModel(
        Atoms.bare(every, names), which.astype(np.int64), guest, tuple(places), facet=facet, cell=box,
        surface=f"{element} ({facet})",
    )  # fmt: skip
