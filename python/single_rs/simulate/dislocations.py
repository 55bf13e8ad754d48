"""Fcc particles with one straight dislocation of known Burgers vector, line and glide plane.

The atoms of a perfect particle are moved by the elastic field of a Volterra dislocation in an isotropic medium. With z
along the line ξ, y along the normal of the glide plane, x = y × z, and b = b_e x + b_s z,

    u_x = b_e/2π [θ + x y / (2(1 − ν) r²)]
    u_y = −b_e/2π [(1 − 2ν)/(4(1 − ν)) ln r² + (x² − y²)/(4(1 − ν) r²)]
    u_z = b_s/2π θ,     θ = atan2(y, x),

so that u grows by b on a right-handed circuit about ξ (the convention of Hirth and Lothe). The cut lies in the glide
plane at x < 0, half way between two layers: for a perfect b the crystal beyond it is whole again, for a Shockley
partial it is an intrinsic stacking fault. A perfect dislocation may be dissociated into its partials b/2 ± (n × b)/2√3,
with the fault between them. The surface is taken as if it were bulk (no image field), and the core is that of the
elastic field, not relaxed.

Reference: J. P. Hirth and J. Lothe, Theory of Dislocations, 2nd ed., Wiley (1982), equations 3-2, 3-45 and 3-46.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.base.errors import InputError
from single_rs.simulate.crystals import Crystal
from single_rs.simulate.lattices import (
    SAME_LEVEL,
    atomic_volume,
    gauge,
    lattice_block,
    outermost_level,
    reference_lattice,
)
from single_rs.simulate.streams import Stage, stream

__all__ = ["DISLOCATIONS", "dislocated_nanocrystal", "dislocation_field"]

# Name: (Burgers vector in units of a, line direction), both in crystal axes and in the glide plane (111).
DISLOCATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "edge": ((0.5, -0.5, 0.0), (1, 1, -2)),
    "screw": ((0.5, -0.5, 0.0), (1, -1, 0)),
    "mixed": ((0.5, -0.5, 0.0), (1, 0, -1)),
    "shockley": ((1 / 6, 1 / 6, -1 / 3), (-1, 1, 0)),
}
GLIDE_PLANE = (1.0, 1.0, 1.0)
# Shockley partials, in a/6, by which the upper half may slide over (111) into a stacking fault; their opposites would
# put atoms on top of each other.
_FAULTING = np.array([[1, 1, -2], [-2, 1, 1], [1, -2, 1]]) / 6
# Poisson's ratio of polycrystalline platinum (Kaye and Laby, Tables of Physical and Chemical Constants, 2.2.2).
POISSON_PLATINUM = 0.38
# Å of block beyond the particle.
_MARGIN = 8.0


def dislocation_field(
    positions: ArrayLike, burgers: ArrayLike, line: ArrayLike, normal: ArrayLike, poisson: float = POISSON_PLATINUM
) -> NDArray[np.float64]:
    """Displacement (n, 3), Å, of points about a straight dislocation through the origin.

    Parameters
    ----------
    positions
        (n, 3) Å from a point of the line, none on it.
    burgers
        (3,) Å, in the glide plane.
    line, normal
        (3,) directions of the line and of the normal of the glide plane, perpendicular to each other.
    poisson
        Poisson's ratio, pure number.
    """
    x = np.asarray(positions, dtype=np.float64)
    b, z, y = (np.asarray(v, dtype=np.float64) for v in (burgers, line, normal))
    z, y = z / np.linalg.norm(z), y / np.linalg.norm(y)
    if abs(y @ z) > 1e-6 or abs(b @ y) > 1e-6 * np.linalg.norm(b):
        raise InputError("line and burgers must lie in the glide plane, at right angles to its normal")
    if not -1 < poisson < 0.5:
        raise InputError(f"poisson is {poisson}; it must be between -1 and 0.5")
    along = np.cross(y, z)
    edge, screw = float(b @ along) / (2 * np.pi), float(b @ z) / (2 * np.pi)
    px, py = x @ along, x @ y
    r2, theta, stiff = px**2 + py**2, np.arctan2(py, px), 1 - poisson
    ux = edge * (theta + px * py / (2 * stiff * r2))
    uy = -edge * ((1 - 2 * poisson) / (4 * stiff) * np.log(r2) + (px**2 - py**2) / (4 * stiff * r2))
    return ux[:, None] * along + uy[:, None] * y + screw * theta[:, None] * z


def dislocated_nanocrystal(
    kind: str = "edge",
    element: str = "Pt",
    diameter: float = 25.0,
    *,
    shape: str = "wulff",
    offset: float = 0.0,
    separation: float = 0.0,
    lattice_constant: float | None = None,
    poisson: float = POISSON_PLATINUM,
    disorder: float = 0.0,
    seed: int = 0,
    item: int = 0,
) -> Crystal:
    """Build an fcc particle with one dislocation in its (111) plane.

    Parameters
    ----------
    kind
        ``"edge"`` (a/2[1-10], line [11-2]), ``"screw"`` (line [1-10]), ``"mixed"`` (60°, line [10-1]) or
        ``"shockley"`` (edge partial a/6[11-2], line [-110], with an intrinsic stacking fault on one side).
    element
        Chemical symbol of an fcc element.
    diameter
        Diameter in Å of the sphere of equal volume; 25 Å of Pt are 540 atoms.
    shape
        As for `nanocrystal`.
    offset
        Å that the line lies from the middle of the particle, in the glide plane, away from the cut.
    separation
        Å between the two partials of a dissociated edge, screw or mixed dislocation; 0 for a compact core.
    lattice_constant
        a in Å; of the element when not given.
    poisson
        Poisson's ratio, pure number.
    disorder
        Rms random displacement per axis, Å.
    seed, item
        Of the random displacements.

    Raises
    ------
    InputError
        When a value is not accepted.
    """
    if kind not in DISLOCATIONS:
        raise InputError(f"kind is {kind!r}; accepted: {', '.join(DISLOCATIONS)}")
    lattice, own, covera = reference_lattice(element)
    if lattice != "fcc":
        raise InputError(f"{element} is {lattice}; these dislocations are of fcc crystals")
    if not diameter > 8 or not disorder >= 0:
        raise InputError(f"diameter is {diameter} Å and disorder {disorder} Å; more than 8 and at least 0 are needed")
    if separation < 0 or (separation > 0 and kind == "shockley"):
        raise InputError(f"separation is {separation} Å for kind {kind!r}; 0 or more, and 0 for a partial, is needed")
    a = own if lattice_constant is None else float(lattice_constant)
    burgers, line = (np.array(v, dtype=np.float64) for v in DISLOCATIONS[kind])
    normal = np.array(GLIDE_PLANE) / np.sqrt(3.0)
    direction = line / np.linalg.norm(line)
    block = lattice_block("fcc", a, covera, diameter + _MARGIN)
    level = gauge(block, shape, "fcc", covera)
    count = max(2, round(np.pi / 6 * diameter**3 / atomic_volume("fcc", a, covera)))
    sites = block[level <= outermost_level(level, count) + SAME_LEVEL]
    # Between the layers at 0 and d111, and an irrational step aside so that the line meets no row of atoms.
    along = np.cross(normal, direction)
    aside = along * (offset + 0.11 * a) + normal * a / np.sqrt(12.0)
    lines = [(burgers, 0.0)]
    if separation > 0:
        halves = [burgers / 2 + sign * np.cross(normal, burgers) / np.sqrt(12.0) for sign in (1, -1)]
        # The cut of the partial farther on is what lies between the two, so that one must be a faulting one.
        halves.sort(key=lambda b: float(np.abs(_FAULTING - b).max(axis=1).min()), reverse=True)
        lines = [(halves[0], -separation / 2), (halves[1], separation / 2)]
    moved = sites.copy()
    for b, place in lines:
        moved += dislocation_field(sites - aside - place * along, a * b, direction, normal, poisson)
    noise = stream(seed, Stage.CRYSTAL, item).standard_normal(moved.shape)
    moved = moved + disorder * noise
    return Crystal(moved - moved.mean(axis=0), np.full(len(moved), element))
