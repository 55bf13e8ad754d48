"""Open what single_rs reads and writes as layers of napari.

*.mrc, *.mrcs, *.map    volume (ISPG 1) → image (z, y, x) in Å; anything else → lazy movie or stack (frame, y, x) in px
tracks.csv, tracks.star → points (frame, y, x) in px of the raw frame, with particle, sigma_px and diameter_A of each
atoms.xyz               → points (z, y, x) in Å, with all columns of the file
folder of a run         → movie or mean image, tracks
folder of a particle    → map, atoms
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from single_rs.base.errors import SingleError
from single_rs.io import open_movie, read_map, read_origin
from single_rs.io.formats import open_mrc
from single_rs.io.tracks import COLUMNS, read_track_files
from single_rs.records import Track
from single_rs.store import layout
from single_rs.store.record import read_run

__all__ = ["Frames", "get_reader"]

Layer = tuple[Any, dict[str, Any], str]
VOLUME = 1  # ISPG of a volume
ANYWHERE = (2**31, 2**31, 2**31)  # frames, rows and columns: tracks are shown whatever movie they belong to
SHOWN = 16  # frames from which the limits of contrast are taken
MARK = 12.0  # px, of a place on a track
ATOM = 2.2  # Å


def get_reader(path: str | list[str]) -> Callable[[str], list[Layer]] | None:
    """Return the function that opens a path, ``None`` for what is not of single_rs.

    Parameters
    ----------
    path
        A file or a folder; of several files each is opened by itself.
    """
    if isinstance(path, list):
        return None
    place = Path(path)
    if place.is_dir():
        known = (layout.RUN, layout.TRACKS, layout.MAP, layout.ATOMS)
        return _read_folder if any((place / name).exists() for name in known) else None
    kind = place.suffix.lower()
    if kind in (".mrc", ".mrcs", ".map"):
        return _read_mrc
    if kind == ".xyz":
        return _read_atoms
    if kind == ".star" or (kind == ".csv" and _first_line(place).startswith("particle,frame")):
        return _read_tracks
    return None


class Frames:
    """Frames (frame, y, x) as an array, of which only those that are looked at are read.

    Parameters
    ----------
    source
        A movie, or a file that gives its frames by ``read(start, stop)``.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.shape: tuple[int, int, int] = source.shape
        self.dtype = np.dtype(source.dtype)
        self.ndim = 3
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return frames, as NumPy would."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        chosen = np.arange(self.shape[0])[first]
        if np.ndim(chosen) == 0:
            return np.asarray(self._source.read(int(chosen), int(chosen) + 1))[0][tuple(rest)]
        frames = [np.asarray(self._source.read(int(k), int(k) + 1))[0] for k in chosen]
        images = np.stack(frames) if frames else np.zeros((0, *self.shape[1:]), self.dtype)
        return images[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all frames; napari asks only for those it shows."""
        return np.asarray(self[:], dtype)


def _first_line(path: Path) -> str:
    """Return the first line of a text, without spaces, empty for what is none."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().replace(" ", "")
    except (OSError, UnicodeDecodeError):
        return ""


def _read_mrc(path: str) -> list[Layer]:
    """Open a volume, or the frames of a movie or a stack."""
    import mrcfile

    place = Path(path)
    with mrcfile.open(place, permissive=True, header_only=True) as file:
        volume = int(file.header.ispg) == VOLUME
    if volume:
        density, pixel = read_map(place)
        z, y, x = reversed(read_origin(place))
        limits = [float(v) for v in (max(0.0, density.min()), density.max())]
        shown = {"name": place.stem, "scale": (pixel,) * 3, "translate": (z, y, x), "units": ("angstrom",) * 3}
        return [(density, shown | {"contrast_limits": limits, "colormap": "magma", "rendering": "mip"}, "image")]
    source = open_mrc(place)
    return [_frames(source, source.pixel_size, place)]


def _frames(source: Any, pixel_size: float | None, path: Path) -> Layer:
    """Return frames that are read as they are looked at."""
    frames = Frames(source)
    sample = frames[np.unique(np.linspace(0, len(frames) - 1, SHOWN).astype(int))]
    low, high = np.percentile(sample, (0.5, 99.5))
    limits = [float(low), float(max(high, low + 1e-6))]
    about = {"pixel_size_A": pixel_size, "path": str(path)}
    return frames, {"name": path.stem, "contrast_limits": limits, "metadata": about, "multiscale": False}, "image"


def _read_tracks(path: str) -> list[Layer]:
    """Open tracks as points that can be moved, added and removed."""
    tracks = read_track_files([Path(path)], ANYWHERE)
    return [_points(tracks, Path(path).stem)]


def _points(tracks: list[Track], name: str) -> Layer:
    """Return the points of tracks; what is known of each place stands in its features, in the words of tracks.csv."""
    place = np.concatenate([np.zeros((0, 3)), *(np.stack([t.frames, t.y, t.x], axis=1) for t in tracks)])
    features = {
        "particle": np.repeat(np.arange(len(tracks)), [len(t) for t in tracks]),
        "sigma_px": np.concatenate([np.zeros(0), *(t.sigma for t in tracks)]),
        "diameter_A": np.repeat([t.diameter for t in tracks], [len(t) for t in tracks]),
    }
    assert set(features) <= set(COLUMNS)
    shown: dict[str, Any] = {"name": name, "ndim": 3, "features": features, "size": MARK, "face_color": "transparent"}
    if len(place):
        shown |= {"border_color": "particle", "border_color_cycle": ["orange", "cyan", "magenta", "lime", "yellow"]}
    return place, shown, "points"


def _read_atoms(path: str) -> list[Layer]:
    """Open atoms where they lie in their file, which is where their map lies."""
    from ase.io import read

    model: Any = read(path, index=0)
    features = {
        name: values
        for name, values in model.arrays.items()
        if name not in ("positions", "numbers") and values.ndim == 1
    }
    features["element"] = np.array(model.get_chemical_symbols())
    shown: dict[str, Any] = {
        "name": Path(path).stem, "features": features, "size": ATOM, "shading": "spherical", "border_width": 0.0,
        "units": ("angstrom",) * 3, "out_of_slice_display": True, "face_color": "goldenrod",
    }  # fmt: skip
    radial = features.get("radial_strain")
    if radial is not None and np.isfinite(radial).all() and len(radial):
        top = float(np.percentile(np.abs(radial), 97)) or 1.0
        shown |= {"face_color": "radial_strain", "face_colormap": "coolwarm", "face_contrast_limits": (-top, top)}
    return [(np.asarray(model.positions)[:, ::-1].copy(), shown, "points")]


def _read_folder(path: str) -> list[Layer]:
    """Open a run, or a particle."""
    folder = Path(path)
    layers: list[Layer] = []
    run = read_run(folder)
    movie = None if run is None or run.command != "run" or run.input.path is None else Path(run.input.path)
    if run is not None and movie is not None and movie.exists() and not run.input.reading:
        layers.append(_frames(open_movie(movie, run.input.pixel_size), run.input.pixel_size, movie))
    elif (folder / layout.MEAN).exists():  # no movie, or one of which a part was read: its pixels are others
        layers += _read_mrc(str(folder / layout.MEAN))
    for name, reader in ((layout.TRACKS, _read_tracks), (layout.MAP, _read_mrc), (layout.ATOMS, _read_atoms)):
        if (folder / name).exists():
            layers += reader(str(folder / name))
    if not layers:
        raise SingleError(f"{folder} holds no movie, tracks, map or atoms of single_rs")
    return layers
