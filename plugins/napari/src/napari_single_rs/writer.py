"""Save points as tracks.csv, which ``single-rs run --tracks`` and ``track --tracks`` read.

A point is (frame, y, x) in px of the raw frame; its particle, the error and the diameter stand in its features. A point
that was added without them is of the particle that was chosen last, with the error of a place that was clicked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.tracks import write_track_table
from single_rs.records import Track

__all__ = ["tracks_of", "write_tracks"]

CLICKED = 1.0  # px, standard deviation of a place that a hand gave


def write_tracks(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write points as a table of tracks.

    Parameters
    ----------
    path
        File; replaced if it exists.
    data
        (n, 3) frame, y, x.
    meta
        Of the layer; ``features`` hold particle, sigma_px and diameter_A.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    DataFileError
        Points that are no tracks: two of one particle in one frame, or a particle without a number.
    """
    target = Path(path).with_suffix(".csv")
    try:
        tracks = tracks_of(np.asarray(data, float), meta.get("features", {}))
    except InputError as error:  # a ValueError, which napari takes for "no writer" and does not show
        raise DataFileError(f"{target} is not written: {error}") from None
    write_track_table(target, tracks)
    return [str(target)]


def tracks_of(data: np.ndarray, features: Any) -> list[Track]:
    """Return the tracks that points make up, in the order of the particles' numbers."""
    count = len(data)
    if data.ndim != 2 or data.shape[1] != 3 or not count:
        raise InputError(f"the points have shape {data.shape}; (n, 3) with frame, y, x is needed, one or more")
    particle = _column(features, "particle", count, np.zeros(count))
    if not np.isfinite(particle).all():
        raise InputError(
            f"{int((~np.isfinite(particle)).sum())} points have no particle; give them a number in features"
        )
    sigma = _column(features, "sigma_px", count, np.full(count, CLICKED))
    diameter = _column(features, "diameter_A", count, np.full(count, np.nan))
    frame = np.rint(data[:, 0]).astype(np.int64)
    tracks = []
    for number in np.unique(particle):
        mine = np.flatnonzero(particle == number)
        mine = mine[np.argsort(frame[mine], kind="stable")]
        twice = frame[mine][1:][np.diff(frame[mine]) == 0]
        if len(twice):
            raise InputError(f"particle {number:.0f} has two points in frame {twice[0]}; remove one of them")
        errors = np.where(np.isfinite(sigma[mine]) & (sigma[mine] > 0), sigma[mine], CLICKED)
        sizes = diameter[mine][np.isfinite(diameter[mine])]
        size = float(np.median(sizes)) if len(sizes) else np.nan
        tracks.append(Track(frame[mine], data[mine, 2], data[mine, 1], errors, size, 0.0))
    return tracks


def _column(features: Any, name: str, count: int, otherwise: np.ndarray) -> np.ndarray:
    """Return a column of the features (a table or a dictionary) as numbers, or what stands in its place."""
    if name not in features:
        return otherwise
    values = np.asarray(features[name], float)
    return values if len(values) == count else otherwise
