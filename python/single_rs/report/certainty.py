"""What stands behind a verdict: each reason with its limit, and what is least known of the particle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from single_rs.report.numbers import Numbers, unit_cell, used_frames
from single_rs.report.views import Facts, Quantity

if TYPE_CHECKING:
    from single_rs.report.content import ParticleFiles

__all__ = ["least_known", "reasons_with_limits"]

_SURE = 0.99  # probability below which an atom is named
_CLEAR = 0.5  # posterior probability below which the pose of a frame is not clear, as in the verdict
_LIMIT_WORDS = ("needed", "allowed")
_DIRECTIONS = (
    (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1),
    (1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1),
)  # fmt: skip


def reasons_with_limits(reasons: list[str]) -> list[tuple[str, str]]:
    """Return each reason and its limit, which the verdict writes after a semicolon ("…; 2.0 needed")."""
    found = []
    for reason in reasons:
        said, _, limit = reason.rpartition("; ")
        found.append((said, limit) if said and limit.endswith(_LIMIT_WORDS) else (reason, ""))
    return found


def least_known(particle: ParticleFiles, numbers: Numbers) -> Facts:
    """Return what limits the result: views, directions, atoms, frames and the scale of lengths."""
    rows: list[tuple[str, Any]] = []
    if numbers.coverage.value is not None:
        rows.append(("Views", f"{numbers.coverage} of all directions have a frame within 6°"))
    if numbers.sigma_axes is not None and numbers.worst_axis is not None:
        best, worst = numbers.sigma_axes
        along = _direction(numbers.worst_axis, unit_cell(particle))
        rows.append(("Direction", f"σ is {worst:.1f} pm {along}, {best:.1f} pm along the best axis"))
    rows += _lengths(particle)
    rows += _atoms(particle)
    poses, used = particle.poses, used_frames(particle)
    if poses is not None and used is not None:
        unclear = int((np.asarray(poses.confidence)[used] < _CLEAR).sum())
        rows.append(("Frames", f"{unclear} of {int(used.sum())} used without a clear pose"))
    if (ruler := numbers.graphene_pixel) is not None:
        rows.append(("Scale", f"pixel size by the graphene {ruler}; all lengths follow it"))
    else:
        rows.append(("Scale", "the pixel size is as given, with no error; all lengths follow it"))
    rows.append(("Hand", "undetermined, as always with projections"))
    return Facts("Least known", rows)


def _lengths(particle: ParticleFiles) -> list[tuple[str, Any]]:
    """Return along which direction lengths are known least."""
    found = particle.summary.lengths
    if found is None:
        return []
    along = _direction(np.array(found.least_known), unit_cell(particle))
    worst, best, excess = found.worst, found.best, found.excess
    if not np.isfinite(excess) or (worst or 0.0) >= 1:  # JSON has no infinity and gives NaN
        return [("Lengths", f"no frame shows them {along}")]
    said = f"{excess:.1f} times worse than views from all sides give"
    if worst is None or best is None:
        return [("Lengths", f"known least {along}, {said}")]
    return [("Lengths", f"known to {100 * worst:.2g}% {along}, {said}; to {100 * best:.2g}% along the best axis")]


def _atoms(particle: ParticleFiles) -> list[tuple[str, Any]]:
    """Return the atom that is placed worst, and how many may not be there."""
    atoms, rows = particle.atoms, []
    if atoms is None:
        return []
    sigma, probability = atoms.get("sigma"), atoms.get("probability")
    if sigma is not None:
        worst = int(np.nanargmax(sigma))
        where = "" if atoms.surface is None else ", of the surface" if atoms.surface[worst] else ", of the core"
        value = Quantity(100 * sigma[worst], 1, "pm")
        rows.append(("Position", f"the worst is atom {worst + 1}{where}: σ {value}"))
    if probability is not None:
        few = int((probability < _SURE).sum())
        said = f"{few} of {len(probability)} are less than {100 * _SURE:.0f}% sure to be there" if few else (
            f"all are at least {100 * _SURE:.0f}% sure to be there"
        )  # fmt: skip
        rows.append(("Existence", said))
    return rows


def _direction(axis: np.ndarray, cell: np.ndarray | None) -> str:
    """Return a direction of the particle by the nearest simple one of its lattice, or in the axes of the map."""
    if cell is None:
        return "along (" + ", ".join(f"{value:.2f}".replace("-", "−") for value in axis) + ") of the map"
    lines = np.array(_DIRECTIONS) @ cell
    cosines = np.abs(lines @ axis) / np.linalg.norm(lines, axis=1)
    best = int(np.argmax(cosines))
    name = " ".join(f"{u}".replace("-", "−") for u in _DIRECTIONS[best])
    return f"along an axis {np.degrees(np.arccos(min(1.0, float(cosines[best])))):.0f}° from [{name}]"
