"""One reader per format, chosen by suffix; each gives shape, type, pixel size and blocks of frames.

TIFF and EER are read by tifffile, MRC by our own memory map, DM3/DM4/SER/EMD and what else rosettasciio knows
by that library if the extra ``io`` is installed, a folder by the reader of its files.
"""

from __future__ import annotations

import importlib
import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.mrc import MrcSource
from single_rs.io.source import FrameSource

__all__ = ["natural_key", "open_source"]

MRC_SUFFIXES = (".mrc", ".mrcs", ".st", ".map", ".rec")
TIFF_SUFFIXES = (".tif", ".tiff", ".eer", ".gtg")
# Formats of microscopes that rosettasciio reads and that can hold a movie.
OTHER_SUFFIXES = (".dm3", ".dm4", ".ser", ".emi", ".emd", ".mib", ".tvips", ".hspy", ".blo", ".prz", ".zspy", ".de5")
EXTRA = 'pip install "single-rs[io]"'
ANGSTROM = {"å": 1.0, "angstrom": 1.0, "a": 1.0, "nm": 10.0, "pm": 0.01, "µm": 1e4, "um": 1e4, "micron": 1e4, "m": 1e10}
PIXEL_RANGE = (0.01, 100.0)  # Å; TIFF resolutions outside are printing resolutions (72 dpi = 3.5e6 Å)
CM_IN_ANGSTROM = 1e8
TIFF_CENTIMETRE, TIFF_NO_UNIT = 3, 1  # values of the tag ResolutionUnit


def open_source(path: Path) -> FrameSource:
    """Return the reader of `path`; raise `DataFileError` when there is none or it cannot read the file."""
    if not path.exists():
        raise DataFileError(f"{path} does not exist")
    if path.is_dir():
        return _FolderSource(path)
    if path.stat().st_size == 0:
        raise DataFileError(f"{path} is empty (0 bytes)")
    suffix = path.suffix.lower()
    if suffix in MRC_SUFFIXES:
        return MrcSource(path)
    if suffix in TIFF_SUFFIXES:
        return _TiffSource(path)
    if suffix in OTHER_SUFFIXES:
        return _ScientificSource(path)
    known = " ".join(MRC_SUFFIXES + TIFF_SUFFIXES + OTHER_SUFFIXES)
    raise DataFileError(f"{path}: unknown format {suffix or '(no suffix)'}; accepted: {known}, or a folder of frames")


class _TiffSource:
    """Pages of a TIFF file or frames of an EER file; memory-mapped when not compressed."""

    def __init__(self, path: Path) -> None:
        import tifffile

        self._path = path
        try:
            self._file = tifffile.TiffFile(path)
            # Closed with the last reference, also when opening fails half-way.
            weakref.finalize(self, self._file.close)
            series = self._file.series[0]
        except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
            raise DataFileError(f"cannot read {path} as TIFF: {error}") from None
        shape = tuple(int(s) for s in series.shape)
        if len(shape) == 2:
            shape = (1, *shape)
        if len(shape) != 3:
            raise InputError(f"{path} has {len(shape)} axes {shape}; grey images (frame, y, x) are needed")
        self.shape = (shape[0], shape[1], shape[2])
        if series.dtype is None:
            raise DataFileError(f"{path}: values of a type that is not known")
        self.dtype = np.dtype(series.dtype)
        self.pixel_size = _tiff_pixel(series.pages[0], self._file)
        self._data: NDArray[Any] | None = None
        if series.dataoffset is not None:
            need = series.dataoffset + int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
            have = path.stat().st_size
            if have < need:
                raise DataFileError(f"{path} is truncated: {have:,} bytes, {need:,} are needed; copy it again")
            order = self.dtype.newbyteorder(self._file.byteorder)
            self._data = np.memmap(path, order, "r", series.dataoffset, self.shape)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        if self._data is not None:
            return self._data[start:stop]
        if stop == start:
            return np.empty((0, *self.shape[1:]), self.dtype)
        pages = self._file.series[0].pages
        try:
            # One page may hold the whole movie (ImageJ hyperstacks); then it is read as one.
            if len(pages) != self.shape[0]:
                return np.asarray(self._file.asarray(series=0)).reshape(self.shape)[start:stop]
            return np.asarray(self._file.asarray(key=slice(start, stop))).reshape(stop - start, *self.shape[1:])
        except Exception as error:
            # tifffile raises a type of its own for each codec; all of them mean the same to the user.
            hint = f"; its compression may need imagecodecs: {EXTRA}" if "imagecodecs" in str(error) else ""
            raise DataFileError(f"cannot read frames {start} to {stop - 1} of {self._path}: {error}{hint}") from None


def _tiff_pixel(page: Any, file: Any) -> float | None:
    """Return Å per pixel from the resolution tags, or None when they do not speak of Å."""
    tags = page.tags
    if "XResolution" not in tags:
        return None
    top, bottom = tags["XResolution"].value
    if not top or not bottom:
        return None
    per_unit = top / bottom
    unit = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else TIFF_NO_UNIT
    imagej = (file.imagej_metadata or {}).get("unit", "")
    if imagej:
        scale = ANGSTROM.get(str(imagej).lower().replace("\\u00b5", "µ").replace("\\u00c5", "å"))
    else:
        scale = CM_IN_ANGSTROM if unit == TIFF_CENTIMETRE else None
    if scale is None:
        return None
    pixel = scale / per_unit
    return float(pixel) if PIXEL_RANGE[0] < pixel < PIXEL_RANGE[1] else None


class _ScientificSource:
    """The first movie in a file that rosettasciio reads, lazily through dask."""

    def __init__(self, path: Path) -> None:
        try:
            plugins = importlib.import_module("rsciio").IO_PLUGINS
        except ImportError:
            raise DataFileError(
                f"{path}: {path.suffix} files need rosettasciio, which is not installed: {EXTRA}"
            ) from None
        suffix = path.suffix.lower().lstrip(".")
        chosen = next((p for p in plugins if suffix in {e.lower() for e in p["file_extensions"]}), None)
        if chosen is None:
            raise DataFileError(f"{path}: the installed rosettasciio does not read {path.suffix} files")
        api = chosen["api"] if isinstance(chosen, dict) else chosen.api
        try:
            signals = importlib.import_module(api).file_reader(str(path), lazy=True)
        except ImportError as error:
            raise DataFileError(f"{path}: {path.suffix} files need {error.name}: pip install {error.name}") from None
        except Exception as error:
            # Each of its readers raises types of its own (struct, h5py, key errors) on a broken file.
            raise DataFileError(f"cannot read {path}: {error}") from None
        movies = [s for s in signals if s["data"].ndim in (2, 3)]
        if not movies:
            raise DataFileError(f"{path} holds no images")
        best = max(movies, key=lambda s: s["data"].size)
        data = best["data"]
        self._data = data if data.ndim == 3 else data[None]
        n, y, x = (int(s) for s in self._data.shape)
        self.shape = (n, y, x)
        self.dtype = np.dtype(self._data.dtype)
        axis = best["axes"][-1]
        scale = ANGSTROM.get(str(axis.get("units") or "").lower())
        self.pixel_size = float(axis["scale"]) * scale if scale is not None and axis.get("scale", 0) > 0 else None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        return np.asarray(self._data[start:stop])


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key in which runs of digits count as numbers: f2 before f10."""
    return [(0, int(s), "") if s.isdigit() else (1, 0, s) for s in re.split(r"(\d+)", name.lower()) if s]


class _FolderSource:
    """Single frames in a folder, one file each; a file is opened only while it is read."""

    def __init__(self, path: Path) -> None:
        known = MRC_SUFFIXES + TIFF_SUFFIXES + OTHER_SUFFIXES
        files = [p for p in path.iterdir() if p.is_file() and p.suffix.lower() in known and not p.name.startswith(".")]
        if not files:
            raise DataFileError(f"the folder {path} holds no frames; accepted: {' '.join(known)}")
        suffixes = sorted({p.suffix.lower() for p in files})
        if len(suffixes) > 1:
            raise InputError(f"the folder {path} mixes {', '.join(suffixes)} files; frames must be of one format")
        self._files = sorted(files, key=lambda p: natural_key(p.name))
        first = open_source(self._files[0])
        if first.shape[0] != 1:
            raise InputError(f"{self._files[0]} holds {first.shape[0]} frames; in a folder each file is one frame")
        self.shape = (len(files), *first.shape[1:])
        self.dtype = first.dtype
        self.pixel_size = first.pixel_size

    def read(self, start: int, stop: int) -> NDArray[Any]:
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for i in range(start, stop):
            frame = open_source(self._files[i])
            if frame.shape != (1, *self.shape[1:]):
                raise DataFileError(f"{self._files[i]} has shape {frame.shape}; the first frame has {self.shape[1:]}")
            out[i - start] = frame.read(0, 1)[0]
        return out
