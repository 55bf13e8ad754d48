"""Polyhedral template matching: structure and orientation of each atom from the shape of its first shell.

The k nearest neighbours of an atom and the atom itself are compared with the ideal shells of fcc, hcp, icosahedron
(k = 12), bcc (14) and simple cubic (6). Both point sets have their barycentre at 0 and mean length 1; with v the atoms,
w the template, Q a rotation and s a scale,

    rmsd = min over s, Q, assignments of sqrt(Σ_i |s v_i − Q w_i|² / (k + 1)),

and the template of the least rmsd is taken, if that is below a limit: the definition of Larsen et al. 2016. Trial
rotations carry a pair of template bonds onto a pair of the atom's bonds of the same angle, one trial for each pair that
the template's own symmetry does not repeat, so that every fit starts within a few degrees and assignments are nearest
neighbours; no graph of the hull is needed.

An orientation Q (3, 3) has the axes of the template in its columns: x_particle = Q · x_crystal. The templates of fcc,
bcc and sc stand along their cubic axes, that of hcp has its close-packed layers across [111] of the fcc template, with
which it shares six bonds in the layer and three below it; the icosahedron has twofold axes along x, y and z.

Surface atoms have incomplete shells: they have no structure of their own, and `adopt_orientations` gives them the
template of a neighbour when their bonds fit it.

References: P. M. Larsen, S. Schmidt, J. Schiøtz, Modelling Simul. Mater. Sci. Eng. 24, 055007 (2016),
doi:10.1088/0965-0393/24/5/055007; superposition: W. Kabsch, Acta Cryst. A 32, 922 (1976),
doi:10.1107/S0567739476001873.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.structure.local import STRUCTURE_NAMES
from single_rs.base.errors import InputError
from single_rs.base.rotations import nearest_rotation
from single_rs.crystal.neighbours import check_positions, neighbour_cutoff

__all__ = ["TEMPLATES", "TemplateMatch", "adopt_orientations", "match_templates", "template"]

TEMPLATES = ("fcc", "hcp", "bcc", "ico", "sc")
# sc is no code of OVITO's common-neighbour analysis; 5 is its number in template matching.
_CODES = {**{name: k for k, name in enumerate(STRUCTURE_NAMES)}, "sc": 5}
# Larsen et al. recommend 0.1 to 0.12 at high temperature; 5 pm of noise on Pt gives 0.03.
_RMSD_MAX = 0.1
# Bonds tried as the first of the pair: with one spurious neighbour or a distorted bond the others still fit.
_FIRST_BONDS = 3
_REFINEMENTS = 2
# Atoms worked on together: 500 × 24 trials × 14 × 14 distances take 19 MB.
_CHUNK = 500
# An adopted template needs three bonds to fix a rotation, and nearly all bonds within the growth tolerance of
# `lattice.indexing`, half of what separates the two stackings.
_LEAST_BONDS = 3
_BOND_TOLERANCE = 0.25
_FITTING_SHARE = 0.8


@lru_cache
def template(name: str) -> NDArray[np.float64]:
    """Shell (k, 3) of a template in crystal axes, its nearest neighbours at distance 1."""
    if name not in TEMPLATES:
        raise InputError(f"template is {name!r}; accepted: {', '.join(TEMPLATES)}")
    signs = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    count = np.abs(signs).sum(axis=1)
    if name == "sc":
        return np.asarray(signs[count == 1])
    if name == "bcc":
        return np.concatenate([signs[count == 3] / np.sqrt(3.0), signs[count == 1] * 2 / np.sqrt(3.0)])
    if name == "ico":
        golden = (1 + np.sqrt(5.0)) / 2
        edge = np.array([(0, p, q * golden) for p in (-1, 1) for q in (-1, 1)])
        return np.asarray(np.concatenate([np.roll(edge, k, axis=1) for k in range(3)]) / np.hypot(1, golden))
    shell: NDArray[np.float64] = signs[count == 2] / np.sqrt(2.0)
    if name == "hcp":
        normal = np.ones(3) / np.sqrt(3.0)
        height = shell @ normal
        # Layers A B A: those above are the mirror image of those below.
        lower = shell[height < -0.1]
        return np.concatenate([shell[np.abs(height) < 0.1], lower, lower - 2 * np.outer(lower @ normal, normal)])
    return shell


def _frames(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right-handed frames (..., 3, 3), columns from two bonds with equal weight on both."""
    p, q = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (p, q))
    plus, minus = p + q, p - q
    e1 = plus / np.linalg.norm(plus, axis=-1, keepdims=True)
    e2 = minus / np.linalg.norm(minus, axis=-1, keepdims=True)
    return np.stack([e1, e2, np.cross(e1, e2)], axis=-1)


@lru_cache
def _trial_frames(name: str) -> tuple[float, NDArray[np.float64]]:
    """Angle of the bond pairs used for trials, and the frames (t, 3, 3) of the pairs that symmetry does not repeat."""
    shell = template(name)
    unit = shell / np.linalg.norm(shell, axis=1)[:, None]
    nearest = 8 if name == "bcc" else len(unit)
    # The commonest angle well away from 0 and 180°: 60° (fcc, hcp), 63.4° (ico), 70.5° (bcc), 90° (sc).
    angle = float(np.arccos(np.max((cosines := unit[:nearest] @ unit[:nearest].T)[cosines < 0.9])))
    first, second = np.nonzero(np.abs(cosines - np.cos(angle)) < 1e-6)
    frames = _frames(unit[first], unit[second])
    kept: list[NDArray[np.float64]] = []
    for frame in frames:
        turned = [shell @ (other @ frame.T).T for other in kept]
        if not any(np.all(np.min(np.linalg.norm(t[:, None] - shell, axis=2), axis=1) < 1e-6) for t in turned):
            kept.append(frame)
    return angle, np.array(kept)


@dataclass(frozen=True)
class TemplateMatch:
    """Structure and orientation of the n atoms of one particle.

    Attributes
    ----------
    structure_type
        (n,) int, code of `STRUCTURE_NAMES`, 5 for simple cubic; 0 for atoms that match nothing, so for surface atoms.
    rmsd
        (n,) pure number, of the best template even where it is above the limit; NaN with too few atoms.
    orientation
        (n, 3, 3) proper rotations, x_particle = Q · x_crystal; NaN where neither matched nor adopted.
    site_type
        (n,) int, as `structure_type`, with the adopted structure of surface atoms.
    bond
        Å, mean nearest-neighbour distance of the matched atoms (of all atoms, if none match).
    """

    structure_type: NDArray[np.int64]
    rmsd: NDArray[np.float64]
    orientation: NDArray[np.float64]
    site_type: NDArray[np.int64]
    bond: float


def _superpose(
    v: NDArray[np.float64], w: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rotation Q (n, 3, 3), its rmsd (n,) and the scale (n,) with v ≈ scale · Q w, both with the centre added."""
    zero = np.zeros((len(v), 1, 3))
    v, w = np.concatenate([zero, v], axis=1), np.concatenate([zero, np.broadcast_to(w, v.shape)], axis=1)
    v, w = v - v.mean(axis=1, keepdims=True), w - w.mean(axis=1, keepdims=True)
    size_v = np.linalg.norm(v, axis=2).mean(axis=1)[:, None, None]
    size_w = np.linalg.norm(w, axis=2).mean(axis=1)[:, None, None]
    v, w = v / size_v, w / size_w
    u, s, vt = np.linalg.svd(np.swapaxes(v, 1, 2) @ w)
    sign = np.ones((len(v), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None, :]) @ vt
    overlap, norm = np.sum(s * sign, axis=1), np.sum(v**2, axis=(1, 2))
    # With the best scale s = overlap / norm, Σ |s v − Q w|² = Σ |w|² − overlap² / norm.
    square = np.sum(w**2, axis=(1, 2)) - overlap**2 / norm
    scale = (size_v / size_w)[:, 0, 0] * norm / overlap
    return rotation, np.sqrt(np.clip(square, 0, None) / v.shape[1]), scale


def _match_one(v: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rmsd (n,) and rotation (n, 3, 3) of one template on the neighbours v (n, k, 3), nearest first."""
    shell = template(name)
    angle, frames = _trial_frames(name)
    scale = np.linalg.norm(v, axis=2).mean(axis=1) / np.linalg.norm(shell, axis=1).mean()
    v = v / scale[:, None, None]
    unit = v / np.linalg.norm(v, axis=2, keepdims=True)
    rows = np.arange(len(v))
    trials = []
    for first in range(_FIRST_BONDS):
        cosine = np.einsum("nki,ni->nk", unit, unit[:, first])
        cosine[:, first] = 2.0
        second = np.argmin(np.abs(cosine - np.cos(angle)), axis=1)
        trials.append(_frames(unit[:, first], unit[rows, second])[:, None] @ np.swapaxes(frames, 1, 2)[None])
    rotations = np.concatenate(trials, axis=1)
    # |Q s − v|² = |s|² + |v|² − 2 v·Q s; the sum of the distances of the template's bonds to the nearest neighbours.
    along = v[:, None] @ (rotations @ shell.T)
    square = np.sum(v**2, axis=2)[:, None, :, None] + np.sum(shell**2, axis=1) - 2 * along
    best = np.argmin(np.sqrt(np.maximum(square.min(axis=2), 0)).sum(axis=2), axis=1)
    rotation = rotations[rows, best]
    rmsd, bijective = np.full(len(v), np.inf), np.ones(len(v), dtype=bool)
    for _ in range(_REFINEMENTS):
        turned = np.einsum("nij,kj->nki", rotation, shell)
        match = np.argmin(np.sum(v**2, axis=2)[:, None] - 2 * (turned @ np.swapaxes(v, 1, 2)), axis=2)
        bijective = np.all(np.sort(match, axis=1) == np.arange(len(shell)), axis=1)
        rotation, rmsd, _ = _superpose(np.take_along_axis(v, match[:, :, None], axis=1), shell)
    return np.where(bijective, rmsd, np.inf), rotation


def match_templates(
    positions: ArrayLike, rmsd_max: float = _RMSD_MAX, templates: tuple[str, ...] = ("fcc", "hcp", "bcc", "ico")
) -> TemplateMatch:
    """Structure and orientation of each atom by polyhedral template matching.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    rmsd_max
        Pure number; atoms whose best template is worse are "other". 0.1 holds for 10 pm of noise on Pt.
    templates
        Names out of `TEMPLATES`.

    Returns
    -------
    match
        Codes and orientations, see `TemplateMatch`.
    """
    x = check_positions(positions)
    if not rmsd_max > 0:
        raise InputError(f"rmsd_max is {rmsd_max}; it must be more than 0")
    peak, cutoff = neighbour_cutoff(x)
    count = len(x)
    best = np.full(count, np.nan)
    code = np.zeros(count, dtype=np.int64)
    orientation = np.full((count, 3, 3), np.nan)
    distance, index = cKDTree(x).query(x, k=min(15, count))
    near = x[index[:, 1:]] - x[:, None]
    # The shell of an inner atom ends within the cutoff; simple cubic is the only one with a smaller shell.
    inside = np.sum(distance[:, 1:] < 1.1 * cutoff, axis=1)
    for name in templates:
        k = len(template(name))
        atoms = np.flatnonzero(inside >= k)
        for start in range(0, len(atoms) if near.shape[1] >= k else 0, _CHUNK):
            part = atoms[start : start + _CHUNK]
            rmsd, rotation = _match_one(near[part, :k], name)
            better = np.isfinite(rmsd) & ~(rmsd >= best[part])
            chosen = part[better]
            best[chosen], orientation[chosen], code[chosen] = rmsd[better], rotation[better], _CODES[name]
    failed = ~(best < rmsd_max)
    code[failed], orientation[failed] = 0, np.nan
    bond = float(distance[~failed, 1:13].mean()) if np.any(np.isin(code, (1, 2))) else peak
    return TemplateMatch(code, best, orientation, code.copy(), bond)


def adopt_orientations(positions: ArrayLike, match: TemplateMatch) -> TemplateMatch:
    """Give atoms without a structure the template of a neighbour that their bonds fit, outwards in rounds.

    Parameters
    ----------
    positions
        (n, 3) Å, those of the match.
    match
        Result of `match_templates`.

    Returns
    -------
    match
        With `site_type` and `orientation` also of the adopted atoms; `structure_type` and `rmsd` as they were.
    """
    x = check_positions(positions)
    site, orientation = match.site_type.copy(), match.orientation.copy()
    tree = cKDTree(x)
    near = [
        np.array([j for j in found if j != i]) for i, found in enumerate(tree.query_ball_point(x, 1.25 * match.bond))
    ]
    names = {code: name for name, code in _CODES.items()}
    open_atoms = [i for i in np.flatnonzero(site == 0) if len(near[i]) >= _LEAST_BONDS]
    while True:
        adopted = []
        for i in open_atoms:
            v = (x[near[i]] - x[i]) / match.bond
            sources = near[i][site[near[i]] > 0]
            found = [(*_fit_bonds(v, orientation[j], names[int(site[j])]), site[j]) for j in sources]
            # fcc goes before hcp: a terrace atom fits both, and what lies below it is nearly always the grain.
            good = [f for f in found if f[0] < np.inf]
            if good:
                _, rotation, kind = min(good, key=lambda f: (f[2] == 2, f[0]))
                adopted.append((i, rotation, kind))
        if not adopted:
            return replace(match, site_type=site, orientation=orientation)
        for i, rotation, kind in adopted:
            site[i], orientation[i] = kind, rotation
        taken = {i for i, _, _ in adopted}
        open_atoms = [i for i in open_atoms if i not in taken]


def _fit_bonds(v: NDArray[np.float64], rotation: NDArray[np.float64], name: str) -> tuple[float, NDArray[np.float64]]:
    """Rms misfit (inf if they do not fit) of bonds (m, 3) in bond lengths to a template, and the refined rotation."""
    shell = template(name) @ rotation.T
    distance = np.linalg.norm(v[:, None] - shell[None], axis=2)
    nearest = distance.argmin(axis=1)
    fits = distance.min(axis=1) < _BOND_TOLERANCE
    if fits.sum() < _LEAST_BONDS or fits.mean() < _FITTING_SHARE or len(set(nearest[fits])) < fits.sum():
        return np.inf, rotation
    # A few bonds of a relaxed surface say less about the axes than the neighbour does: both count, half each.
    a, b = shell[nearest[fits]], v[fits]
    turn = nearest_rotation(b.T @ a + shell.T @ shell * (fits.sum() / len(shell)))
    return float(np.sqrt(np.mean(distance.min(axis=1)[fits] ** 2))), turn @ rotation
