"""Paths of particles as tables: our tracks.csv, and what other programs give, one file a particle.

tracks.csv has one row per particle and frame: particle, frame (both from 0), x_px, y_px (centre in the raw frame,
column and row), sigma_px, diameter_A. Read are also its first four columns alone, in any order; ``.box`` of EMAN and
SIMPLE (x, y of the first pixel, width, height; a row per frame) and ``.xy`` (x y, or frame x y), each one particle.
Reference: Tang et al. 2007, doi:10.1016/j.jsb.2006.05.009 (EMAN's boxes).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.atomic import atomic_text
from single_rs.io.star import read_tracks
from single_rs.records import Track

__all__ = ["TABLE_SUFFIXES", "GivenTracks", "given_tracks", "read_track_files", "write_track_table"]

TABLE_SUFFIXES = (".csv", ".star", ".box", ".xy")
COLUMNS = ["particle", "frame", "x_px", "y_px", "sigma_px", "diameter_A"]
NEEDED = COLUMNS[:4]
ROUNDED = 12**-0.5  # px, standard deviation of a coordinate that was rounded to whole pixels


One: TypeAlias = str | os.PathLike[str] | Track
GivenTracks: TypeAlias = One | Sequence[One]


def write_track_table(path: str | os.PathLike[str], tracks: Sequence[Track]) -> None:
    """Write the paths of all particles as CSV, whole or not at all.

    Parameters
    ----------
    path
        File; replaced if it exists.
    tracks
        x, y, sigma in px of the raw frame, diameter in Å.
    """
    with atomic_text(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for number, track in enumerate(tracks):
            for frame, x, y, sigma in zip(track.frames, track.x, track.y, track.sigma, strict=True):
                table.writerow([number, int(frame), f"{x:.3f}", f"{y:.3f}", f"{sigma:.3f}", f"{track.diameter:.2f}"])


def given_tracks(
    tracks: GivenTracks | None, shape: tuple[int, int, int], diameter: float | None = None
) -> tuple[list[Track] | None, list[str] | None]:
    """Return the paths that a user gives instead of having them found, and as what they came; None where none are.

    Parameters
    ----------
    tracks
        A file, or several files and `Track`; see `read_track_files`.
    shape, diameter
        As for `read_track_files`.

    Raises
    ------
    InputError, DataFileError
        As `read_track_files`; a diameter without tracks.
    """
    several: list[One] = []
    if tracks is not None:
        several = [tracks] if isinstance(tracks, (str, os.PathLike, Track)) else list(tracks)
    if not several:
        if diameter is not None:
            raise InputError("--diameter is that of the particles in --tracks; give --tracks, or leave it out")
        return None, None
    named = ["array" if isinstance(one, Track) else os.fspath(one) for one in several]
    return read_track_files([one if isinstance(one, Track) else Path(one) for one in several], shape, diameter), named


def read_track_files(
    paths: Sequence[Path | Track], shape: tuple[int, int, int], diameter: float | None = None
) -> list[Track]:
    """Read the paths of particles from tables, in the order of the files and of the particles in them.

    Parameters
    ----------
    paths
        ``.csv`` or ``.star`` of ours, ``.box``, ``.xy``; a `Track` is checked like those of files.
    shape
        (n, y, x) of the movie.
    diameter
        Å, of all particles; needed where the files do not hold it, and wins over what they hold.

    Raises
    ------
    InputError
        No diameter; frames or places outside the movie; two places of a particle in one frame.
    DataFileError
        A file that is missing or no such table.
    """
    if diameter is not None and not (np.isfinite(diameter) and diameter > 0):
        raise InputError(f"--diameter is {diameter} Å; a positive number is needed")
    found: list[Track] = []
    for number, one in enumerate(paths):
        path = Path(f"tracks[{number}]") if isinstance(one, Track) else one
        for track in [one] if isinstance(one, Track) else _read(one):
            given = diameter if diameter is not None else track.diameter
            if not (np.isfinite(given) and given > 0):
                raise InputError(f"{path} does not say how large its particles are; give --diameter in Å, rough")
            found.append(_checked(path, track, shape, given))
    return found


def _read(path: Path) -> list[Track]:
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(f"{path}: tracks are read from {' '.join(TABLE_SUFFIXES)}")
    if suffix == ".star":
        return read_tracks(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    rows = [(n, line) for n, line in enumerate(lines, start=1) if line.strip() and not line.lstrip().startswith("#")]
    if not rows:
        raise DataFileError(f"{path} holds no places; one row per frame is needed")
    return _table(path, rows) if suffix == ".csv" else [_particle(path, rows, suffix == ".box")]


def _numbers(path: Path, line: int, words: Sequence[str]) -> list[float]:
    """Return the words of a row as finite numbers."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise DataFileError(f"{path} line {line}: {' '.join(words)[:60]!r}; numbers are needed") from None
    if not np.isfinite(values).all():
        raise DataFileError(f"{path} line {line} holds NaN or infinite values")
    return values


def _table(path: Path, rows: list[tuple[int, str]]) -> list[Track]:
    """Return the particles of a CSV table, by their numbers."""
    head = [word.strip() for word in next(csv.reader([rows[0][1]]))]
    if not set(NEEDED) <= set(head):
        raise DataFileError(f"{path} has columns {', '.join(head)[:80]}; {', '.join(NEEDED)} are needed")
    known = [name for name in COLUMNS if name in head]
    values = []
    for line, text in rows[1:]:
        words = next(csv.reader([text]))
        if len(words) != len(head):
            raise DataFileError(f"{path} line {line} has {len(words)} cells, its head {len(head)}")
        values.append(_numbers(path, line, [words[head.index(name)] for name in known]))
    if not values:
        raise DataFileError(f"{path} holds no places; one row per particle and frame is needed")
    columns = dict(zip(known, np.array(values).reshape(-1, len(known)).T, strict=True))
    particles, frames = (_whole(path, columns[name], name) for name in ("particle", "frame"))
    tracks = []
    for number in np.unique(particles):
        mine = particles == number
        sizes = columns.get("diameter_A", np.full(len(mine), np.nan))[mine]
        sigma = columns.get("sigma_px", np.full(len(mine), ROUNDED))[mine]
        tracks.append(
            Track(frames[mine], columns["x_px"][mine], columns["y_px"][mine], sigma, float(np.median(sizes)), 0.0)
        )
    return tracks


def _particle(path: Path, rows: list[tuple[int, str]], boxes: bool) -> Track:
    """Return the one particle of a file of boxes or of places."""
    values = [_numbers(path, line, text.replace(",", " ").split()) for line, text in rows]
    width = len(values[0])
    wanted = (4, 5) if boxes else (2, 3)
    if width not in wanted or any(len(row) != width for row in values):
        form = "x y width height of a box" if boxes else "x y, or frame x y"
        raise DataFileError(f"{path}: each row must hold {form}")
    table = np.array(values)
    if boxes:
        frames, place = np.arange(len(table)), table[:, :2] + table[:, 2:4] // 2
    elif width == 3:
        frames, place = _whole(path, table[:, 0], "frame"), table[:, 1:]
    else:
        frames, place = np.arange(len(table)), table
    return Track(frames, place[:, 0], place[:, 1], np.full(len(table), ROUNDED), np.nan, 0.0)


def _whole(path: Path, values: NDArray[np.float64], name: str) -> NDArray[np.int64]:
    """Return a column as whole numbers from 0."""
    if ((values != np.rint(values)) | (values < 0) | (values > 2**53)).any():
        raise DataFileError(f"{path}: {name} must be a whole number from 0 in each row")
    return values.astype(np.int64)


def _checked(path: Path, track: Track, shape: tuple[int, int, int], diameter: float) -> Track:
    """Return a track in the order of its frames; raise `InputError` when it is not one of this movie."""
    x, y, sigma = (np.asarray(v, np.float64) for v in (track.x, track.y, track.sigma))
    shapes = [v.shape for v in (track.frames, x, y, sigma)]
    if track.frames.dtype.kind not in "iu" or shapes != [(track.frames.size,)] * 4 or not track.frames.size:
        raise InputError(
            f"{path} has {track.frames.dtype} frames, x, y and sigma of shapes {', '.join(map(str, shapes))}; "
            "whole numbers of frames and a place for each are needed"
        )
    order = np.argsort(track.frames, kind="stable")
    frames = track.frames[order].astype(np.int64)
    x, y, sigma = x[order], y[order], sigma[order]
    if (np.diff(frames) == 0).any():
        twice = int(frames[1:][np.diff(frames) == 0][0])
        raise InputError(f"{path} gives a particle two places in frame {twice}; a .box or .xy file holds one particle")
    count, rows, columns = shape
    wrong = frames[(frames < 0) | (frames >= count)]
    if len(wrong):
        raise InputError(f"{path} has a place in frame {wrong[-1]}; the movie has frames 0 to {count - 1}")
    outside = ~((x >= 0) & (y >= 0) & (x <= columns - 1) & (y <= rows - 1))
    if outside.any():
        k = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{path} has a place at ({x[k]:.6g}, {y[k]:.6g}) px in frame {frames[k]}; frames are {columns} × {rows} px"
        )
    if not ((sigma > 0) & np.isfinite(sigma)).all():
        raise InputError(f"{path}: sigma_px must be more than 0 and finite")
    return Track(frames, x, y, sigma, float(diameter), track.score)
