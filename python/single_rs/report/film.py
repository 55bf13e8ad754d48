"""The film of a particle's states: its atoms in the 3D view, stretch by stretch of time, coloured by their fate."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY
from single_rs.report.states import StateFiles
from single_rs.report.view3d import categories, display_radius

__all__ = ["FATES", "film_data"]

FATES = (("always there", BLUE), ("moves", GREEN), ("leaves", ORANGE), ("arrives", SKY), ("comes and goes", PURPLE))
MOVED, MOVED_SIGMA = 0.1, 3.0  # Å, and standard errors, that an atom moves at least between two states


def film_data(found: StateFiles) -> dict[str, Any] | None:
    """Return what the 3D view of all states needs, ready for JSON: one step for each stretch of time.

    Positions are Å from the middle of all atoms; atoms that a step does not have are null in it. None where there is
    one state alone.
    """
    if len(found.record.states) < 2 or len(found.steps) < 2:
        return None
    count = len(found.timeline.id)
    places = np.full((len(found.steps), count, 3), np.nan)
    for place, step in zip(places, found.steps, strict=True):
        place[step.numbers] = step.positions
    places -= np.nanmean(places.reshape(-1, 3), axis=0)
    known = np.isfinite(places[..., 0])
    usual = places[known.argmax(axis=0), np.arange(count)]
    listed = {state.frames: k for k, state in enumerate(found.record.states)}
    shown = sorted((a, b, j, listed[step.frames]) for j, step in enumerate(found.steps) for a, b in step.frames)
    states = found.record.states
    return {
        "positions": np.round(usual, 3).tolist(),
        "middle": [0.0, 0.0, 0.0],
        "symbols": found.timeline.element.tolist(),
        "surface": None,
        "radius": round(display_radius(usual[known[0]]), 3),
        "colourings": [categories("Fate", _fates(found, places, known), FATES)],
        "density": None,
        "views": [],
        "axes": [{"name": n, "along": row.tolist()} for n, row in zip("xyz", np.eye(3))],
        "steps": [
            {
                "name": f"frames {a} to {b}: state {k}, {states[k].count} atoms, {states[k].verdict}",
                "positions": [np.round(x, 3).tolist() if there else None for x, there in zip(places[j], known[j])],
            }
            for a, b, j, k in shown
        ],
    }


def _fates(found: StateFiles, places: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number in `FATES` of each atom; `places` (state, atom, 3) and `known` (state, atom)."""
    arrives = found.timeline.first_err > 0
    leaves = found.timeline.last_err > 0
    sigma = np.zeros(known.shape)
    for mine, step in zip(sigma, found.steps, strict=True):
        mine[step.numbers] = step.sigma
    moves = np.zeros(known.shape[1], bool)
    for i, j in combinations(range(len(places)), 2):
        far = np.linalg.norm(places[i] - places[j], axis=1)  # NaN where one of the two lacks the atom
        moves |= far > np.maximum(MOVED, MOVED_SIGMA * np.sqrt(3 * (sigma[i] ** 2 + sigma[j] ** 2)))
    fates = np.where(moves, 1, 0)
    fates[leaves], fates[arrives] = 2, 3
    # Present in some states only though it never left for good: between them it was away.
    fates[(arrives & leaves) | (~arrives & ~leaves & ~known.all(axis=0))] = 4
    return fates
