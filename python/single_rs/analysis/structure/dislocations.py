"""Dislocations of fcc particles: Burgers vector, line and glide plane, from Burgers circuits of tetrahedra.

Faces that enclose a Burgers vector (`burgers`) are joined through the tetrahedra that they share; a chain of them from
surface to surface is a dislocation. Across the chain, at heights h along its length, the faces between the tetrahedra
below h and those above are one surface across the core, and

    b = Σ_faces b_f

is the Burgers vector of a circuit in good crystal round the whole core, the same at every height. It is an exact vector
in units of a/6, counted as b = ∮ du right-handed about the line (Hirth and Lothe; OVITO counts −b). Chains without a
net vector (names of single strained edges, mostly at the surface) and short ones are left out, and so are partials that
end no stacking fault. A core that holds two
partials close together is one line with their sum; wider ones are two lines, with the fault between them in `faults`.
Lines that meet are described by what crosses most heights.

The glide plane is the {111} that holds both b and the line. Without one (Frank partial, stair rod) the line is sessile;
a screw has two.

It works from 100 atoms on and where the line is two bonds from the surface or more.

References: J. P. Hirth and J. Lothe, Theory of Dislocations, 2nd ed., Wiley (1982), chapters 1 and 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from single_rs.analysis.structure.burgers import Complex, tetrahedra
from single_rs.analysis.structure.grains import Grains
from single_rs.analysis.structure.matching import TemplateMatch
from single_rs.analysis.structure.stacking import CLOSE_PACKED_NORMALS
from single_rs.crystal.neighbours import check_positions

__all__ = ["Dislocation", "find_dislocations", "miller_name"]

# Shortest line, in bonds: half loops at the surface, round one strained edge, are up to two.
_SHORTEST = 3.0
_LEAST_ATOMS = 100
# Heights at which the circuit is taken, per bond.
_SECTIONS = 4
# A line that is one has the same circuit at all heights; names of strained edges that happen to touch have not.
_LEAST_AGREEMENT = 0.5
# A partial ends a fault: its hexagonal atoms lie in two layers on one side, within two bonds of the line one atom a
# bond and layer. Strained surfaces name chains of edges without either.
_PARTIALS = ("Shockley partial", "Frank partial", "stair rod")
_PARTIAL_AGREEMENT, _FAULT_REACH, _HCP = 0.75, 2.0, 2
# A line is in a plane within this angle: a core is a bond wide and ten long.
_IN_PLANE = np.deg2rad(15.0)
# |b|² in (a/6)²: what a Burgers vector of this length is called.
_KINDS = {18: "perfect", 6: "Shockley partial", 12: "Frank partial", 2: "stair rod", 36: "a<100>"}


@dataclass(frozen=True)
class Dislocation:
    """One dislocation line.

    Attributes
    ----------
    kind
        "perfect" a/2⟨110⟩, "Shockley partial" a/6⟨112⟩, "Frank partial" a/3⟨111⟩, "stair rod" a/6⟨110⟩, "a<100>", or
        "other".
    name
        Of the Burgers vector, as "a/6[11-2]".
    burgers
        (3,) in units of the lattice constant, crystal axes of `grain`; exact.
    burgers_vector
        (3,) Å, particle frame.
    line
        (3,) unit vector, crystal axes.
    line_vector
        (3,) the same in the particle frame.
    character
        Degrees between line and Burgers vector, 0 (screw) to 90 (edge).
    glide_planes
        (g, 3) normals {111} in crystal axes of the planes that hold both; none for a sessile line, two for a screw.
    path
        (p, 3) Å, points along the line.
    length
        Å.
    agreement
        0 to 1, share of the heights along the line at which the circuit encloses this vector.
    grain
        Number of the reference grain.
    """

    kind: str
    name: str
    burgers: NDArray[np.float64]
    burgers_vector: NDArray[np.float64]
    line: NDArray[np.float64]
    line_vector: NDArray[np.float64]
    character: float
    glide_planes: NDArray[np.float64]
    path: NDArray[np.float64]
    length: float
    agreement: float
    grain: int


def miller_name(burgers: ArrayLike) -> str:
    """Name of a Burgers vector (3,) in units of a, as "a/6[11-2]"."""
    sixths = np.rint(6 * np.asarray(burgers, dtype=np.float64)).astype(int)
    common = int(np.gcd.reduce(np.append(np.abs(sixths), 6)))
    indices = "".join(str(v) for v in sixths // common)
    return f"a/{6 // common}[{indices}]" if common < 6 else f"a[{indices}]"


def find_dislocations(positions: ArrayLike, match: TemplateMatch, grains: Grains) -> tuple[Dislocation, ...]:
    """Dislocations in the fcc grains of a particle, the longest first.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the match.
    match
        Result of `adopt_orientations`.
    grains
        Result of `find_grains`. A grain is taken together with its twins and with parts of almost its orientation.
    """
    x = check_positions(positions)
    found: list[Dislocation] = []
    done: set[int] = set()
    for number, grain in enumerate(grains.grains):
        if number in done or grain.structure != "fcc":
            continue
        partners = {
            other
            for boundary in grains.boundaries
            for other in boundary.grains
            if number in boundary.grains and boundary.relation in ("shifted", "low-angle", "twin")
        }
        together = sorted(({number} | partners) - done)
        done.update(together)
        allowed = np.isin(grains.label, together)
        if allowed.sum() >= _LEAST_ATOMS:
            cells = tetrahedra(x, match, grain.orientation, allowed)
            lines = _lines(x, cells, grain.orientation, match.bond, number)
            found += [line for line in lines if line.kind not in _PARTIALS or _bounds_fault(line, x, match)]
    return tuple(sorted(found, key=lambda line: -line.length))


def _bounds_fault(line: Dislocation, x: NDArray[np.float64], match: TemplateMatch) -> bool:
    """Whether a partial has what makes it one: nearly one circuit along its line, and a fault that ends there."""
    hcp = x[match.structure_type == _HCP]
    if line.agreement < _PARTIAL_AGREEMENT or not len(hcp):
        return False
    near = cdist(hcp, line.path).min(axis=1) < _FAULT_REACH * match.bond
    return bool(near.sum() >= line.length / match.bond / 2)


def _lines(
    x: NDArray[np.float64], cells: Complex, orientation: NDArray[np.float64], bond: float, grain: int
) -> list[Dislocation]:
    """Lines of one complex of tetrahedra."""
    carries = np.any(cells.burgers != 0, axis=1) & np.all(cells.sides >= 0, axis=1)
    sides, vectors = cells.sides[carries], cells.burgers[carries]
    middle = x[cells.faces[carries]].mean(axis=1)
    count = len(cells.cells)
    graph = csr_array((np.ones(len(sides)), (sides[:, 0], sides[:, 1])), shape=(count, count))
    group = connected_components(graph, directed=False)[1][sides[:, 0]]
    found = []
    for g in np.unique(group):
        chain = group == g
        line = _follow(cells.centres[sides[chain]], middle[chain], vectors[chain], orientation, bond, grain)
        if line is not None:
            found.append(line)
    return found


def _follow(
    ends: NDArray[np.float64],
    middle: NDArray[np.float64],
    vectors: NDArray[np.int64],
    orientation: NDArray[np.float64],
    bond: float,
    grain: int,
) -> Dislocation | None:
    """Line through one chain: faces with centres (f, 3) of the tetrahedra (f, 2, 3) behind and before each."""
    direction = np.linalg.svd(middle - middle.mean(axis=0), full_matrices=False)[2][0]
    if np.ptp(middle @ direction) < _SHORTEST * bond:
        return None
    # The first direction is that of the longest extent; the points on the line then tell it better.
    for _ in range(2):
        heights, sums, path = _sections(ends, middle, vectors, direction, bond)
        names, votes = np.unique(sums, axis=0, return_counts=True)
        votes[~np.any(names, axis=1)] = 0
        if not votes.any():
            return None
        burgers = names[votes.argmax()]
        same = np.all(sums == burgers, axis=1)
        inside = (heights >= heights[same].min()) & (heights <= heights[same].max())
        if np.ptp(heights[same]) < _SHORTEST * bond or np.mean(same[inside]) < _LEAST_AGREEMENT:
            return None
        fresh = np.linalg.svd(path[same] - path[same].mean(axis=0), full_matrices=False)[2][0]
        direction = fresh * np.sign(fresh @ direction)
    # Of the two senses of a line the one whose largest component in crystal axes is positive.
    line = orientation.T @ direction
    sense = np.sign(line[np.argmax(np.abs(line))])
    line, b = line * sense, sense * burgers / 6
    angle = float(np.degrees(np.arccos(np.clip(abs(line @ b) / np.linalg.norm(b), 0, 1))))
    planes = [n for n in CLOSE_PACKED_NORMALS if abs(n @ b) < 1e-6 and abs(n @ line) < np.sin(_IN_PLANE)]
    lattice_constant = bond * np.sqrt(2.0)
    return Dislocation(
        kind=_KINDS.get(int(burgers @ burgers), "other"),
        name=miller_name(b),
        burgers=b,
        burgers_vector=lattice_constant * orientation @ b,
        line=line,
        line_vector=direction * sense,
        character=angle,
        glide_planes=np.array(planes).reshape(-1, 3),
        path=path[same][:: int(sense)],
        length=float(np.ptp(heights[same])),
        agreement=float(np.mean(same[inside])),
        grain=grain,
    )


def _sections(
    ends: NDArray[np.float64],
    middle: NDArray[np.float64],
    vectors: NDArray[np.int64],
    direction: NDArray[np.float64],
    bond: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Heights (h,), enclosed vectors (h, 3) and middle of the faces (h, 3) of the surfaces across a chain."""
    behind, before = ends[:, 0] @ direction, ends[:, 1] @ direction
    low, high = np.minimum(behind, before).min(), np.maximum(behind, before).max()
    heights = np.arange(low, high, bond / _SECTIONS) + 1e-6
    up = (behind[None] < heights[:, None]) & (before[None] >= heights[:, None])
    down = (before[None] < heights[:, None]) & (behind[None] >= heights[:, None])
    crossed = (up | down).any(axis=1)
    heights, up, down = heights[crossed], up[crossed], down[crossed]
    sums = up.astype(np.int64) @ vectors - down.astype(np.int64) @ vectors
    weight = (up | down) * np.sum(vectors**2, axis=1)
    return heights, sums, (weight @ middle) / weight.sum(axis=1)[:, None]
