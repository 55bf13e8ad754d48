"""Pages of a TIFF file, or frames of an EER file, as a movie; decoded by tifffile, memory-mapped when not compressed.

All pages of one shape and type are the movie, however they were written: in one go, in pieces, or one by one. A file
whose chain of pages is broken is refused, since a movie that was cut reads as a shorter one.
"""

from __future__ import annotations

import logging
import math
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.pixels import LIKELY, angstroms
from single_rs.io.tiff_chain import Page, read_pages

__all__ = ["TiffSource"]

CENTIMETRE, INCH = 3, 2  # values of the tag ResolutionUnit
NAMES = {1: "uint", 2: "int", 3: "float", 4: "bits", 5: "complex int", 6: "complex"}

log = logging.getLogger(__name__)


class TiffSource:
    """Frames of a TIFF or EER file; attributes of `FrameSource`."""

    def __init__(self, path: Path, growing: bool = False) -> None:
        """Open `path`; of a `growing` file the pages that are whole are read."""
        import tifffile

        self._path = path
        chain = read_pages(path, growing)
        try:
            self._file = tifffile.TiffFile(path)
            # Closed with the last reference, also when opening fails half-way.
            weakref.finalize(self, self._file.close)
            series = list(self._file.series)
            # An image of several planes behind one page (ImageJ, EER, OME of several files) is for tifffile to lay out.
            planes = sum(
                math.prod(n for n, axis in zip(s.shape, s.axes, strict=True) if axis not in "YXS") for s in series
            )
            laid_out = (self._file.is_eer or planes > len(chain.pages)) and not growing
            self._pages = None if laid_out else _movie_pages(path, chain.pages)
            _doubt_axes(path, series)
            first: Any = series[0].pages[0] if self._pages is None else self._file.pages[int(self._pages[0])].aspage()
            self.pixel_size, self.pixel_aspect = _pixel(self._file, first)
            self._data: NDArray[Any] | None = None
            if self._pages is None:
                self._lay_out(series)
            else:
                dtype = first.dtype
                if dtype is None:
                    raise DataFileError(f"{path}: values of a type that is not known")
                y, x = chain.pages[int(self._pages[0])].shape
                self.shape, self.dtype = (len(self._pages), y, x), np.dtype(dtype)
                if len(series) == 1 and len(self._pages) == len(chain.pages) and series[0].dataoffset is not None:
                    self._map(int(series[0].dataoffset))
                if chain.tail:
                    log.warning("%s: %d bytes behind its last page belong to no frame", path, chain.tail)
        except (DataFileError, InputError):
            raise
        except Exception as error:
            # tifffile raises many types on tags that contradict each other; all of them mean the same to the user.
            raise DataFileError(f"cannot read {path} as TIFF: {' '.join(str(error).split())[:200]}") from None

    def _lay_out(self, series: list[Any]) -> None:
        """Take the one movie of a file that tifffile lays out."""
        movies = [s for s in series if len(s.shape) > 2] or series
        if len(movies) > 1:
            said = ", ".join("×".join(map(str, s.shape)) for s in movies[:4])
            raise InputError(f"{self._path} holds {len(movies)} series ({said}); save the one that is the movie")
        self._series = movies[0]
        shape, axes = [int(s) for s in self._series.shape], list(self._series.axes)
        if "S" in axes:
            raise InputError(f"{self._path} has {len(shape)} axes {tuple(shape)}, colour; grey images are needed")
        for k in reversed(range(len(shape) - 2)):
            if shape[k] == 1 and len(shape) > 3:
                del shape[k], axes[k]
        if len(shape) not in (2, 3):
            raise InputError(f"{self._path} has {len(shape)} axes {''.join(axes)}; save one channel, (frame, y, x)")
        n, y, x = (1, *shape) if len(shape) == 2 else shape
        if self._series.dtype is None:
            raise DataFileError(f"{self._path}: values of a type that is not known")
        self.shape, self.dtype = (n, y, x), np.dtype(self._series.dtype)
        if self._series.dataoffset is not None:
            self._map(int(self._series.dataoffset))

    def _map(self, offset: int) -> None:
        """Map data that lie in one piece."""
        need = offset + math.prod(self.shape) * self.dtype.itemsize
        have = self._path.stat().st_size
        if have < need:
            raise DataFileError(f"{self._path} is truncated: {have:,} bytes, {need:,} are needed; copy it again")
        order = self.dtype.newbyteorder(self._file.byteorder)
        self._data = np.memmap(self._path, order, "r", offset, self.shape)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x) in the type of the file."""
        if self._data is not None:
            return self._data[start:stop]
        if stop == start:
            return np.empty((0, *self.shape[1:]), self.dtype)
        try:
            return self._decoded(start, stop)
        except Exception as error:
            # tifffile raises a type of its own for each codec; all of them mean the same to the user.
            extra = 'pip install "single-rs[io]"'
            hint = f"; its compression may need imagecodecs: {extra}" if "imagecodecs" in str(error) else ""
            said = " ".join(str(error).split())[:200]
            raise DataFileError(f"cannot read frames {start} to {stop - 1} of {self._path}: {said}{hint}") from None

    def _decoded(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames that must be decoded."""
        if self._pages is not None:
            frames = [np.asarray(self._file.pages[int(i)].asarray()) for i in self._pages[start:stop]]
            wrong = next((f for f in frames if f.shape != self.shape[1:] or f.dtype != self.dtype), None)
            if wrong is not None:
                raise ValueError(
                    f"a frame of {wrong.shape} {wrong.dtype}; the first is of {self.shape[1:]} {self.dtype}"
                )
            return np.stack(frames)
        if len(self._series.pages) != self.shape[0]:
            # One page holds the whole movie (ImageJ); it is read as one.
            return np.asarray(self._series.asarray()).reshape(self.shape)[start:stop]
        frames = [np.asarray(self._series.pages[i].asarray()) for i in range(start, stop)]
        return np.stack(frames).reshape(stop - start, *self.shape[1:])


def _movie_pages(path: Path, pages: list[Page]) -> NDArray[np.int64]:
    """Return which pages are the movie: those of one shape and type, beside at most single other ones."""
    kinds = Counter(pages)
    chosen, count = kinds.most_common(1)[0]
    if chosen.colour is not None or chosen.samples != 1:
        name, shape = chosen.colour or f"{chosen.samples} values per pixel", (count, *chosen.shape, chosen.samples)
        raise InputError(f"{path} has 4 axes {shape}, colour ({name}); grey images (frame, y, x) are needed")
    others = [(kind, number) for kind, number in kinds.items() if kind != chosen]
    if any(number > 1 for _, number in others) or (others and count < 2):
        said = ", ".join(f"{number} of {_describe(kind)}" for kind, number in kinds.most_common(4))
        raise InputError(f"{path} holds pages of several kinds: {said}; save those of the movie alone")
    for kind, _ in others:
        log.warning(
            "%s: page %d (%s) is not of the %d frames (%s); left out",
            path, pages.index(kind) + 1, _describe(kind), count, _describe(chosen),
        )  # fmt: skip
    return np.array([i for i, page in enumerate(pages) if page == chosen])


def _doubt_axes(path: Path, series: list[Any]) -> None:
    """Warn of channels, or of more than one axis beside those of the image: all are taken as frames."""
    for one in series:
        others = [(a, n) for a, n in zip(one.axes, one.shape, strict=True) if a not in "YXS" and n > 1]
        if len(others) > 1 or any(a == "C" for a, _ in others):
            said = " × ".join(f"{n} ({a})" for a, n in others)
            log.warning("%s says that its images are %s; all of them are taken as frames, in this order", path, said)


def _describe(page: Page) -> str:
    """Return shape and type in words."""
    colour = f" {page.colour}" if page.colour else ""
    return f"{page.shape[0]} × {page.shape[1]} {NAMES.get(page.format, 'unknown')}{page.bits}{colour}"


def _pixel(file: Any, page: Any) -> tuple[float | None, float]:
    """Return Å per pixel on x, or None when no tag says it, and the ratio of y to x."""
    sizes = next((s for s in (_ome_pixel(file), _vendor_pixel(file), _tag_pixel(file, page)) if s), None)
    if sizes is None:
        return None, 1.0
    x, y = sizes
    return x, y / x


def _ome_pixel(file: Any) -> tuple[float, float] | None:
    """Return Å per pixel from PhysicalSizeX and Y of OME."""
    if not file.ome_metadata:
        return None
    from xml.etree import ElementTree

    try:
        tree = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return None
    pixels = next((e for e in tree.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return None
    # The standard's unit, when none is given, is µm.
    sizes = [(pixels.get(f"PhysicalSize{a}"), angstroms(pixels.get(f"PhysicalSize{a}Unit", "µm"))) for a in "XY"]
    values = [float(size) * unit for size, unit in sizes if size is not None and unit is not None]
    return _pair(values)


def _vendor_pixel(file: Any) -> tuple[float, float] | None:
    """Return Å per pixel from the tags of EER, FEI and Olympus SIS, all in metres."""
    eer = (file.eer_metadata or {}) if file.is_eer else {}
    fei = (file.fei_metadata or {}).get("Scan", {}) if file.is_fei else {}
    sis = (file.sis_metadata or {}) if file.is_sis else {}
    for table, x, y in (
        (eer, "sensorPixelSize.width", "sensorPixelSize.height"),
        (fei, "PixelWidth", "PixelHeight"),
        (sis, "pixelsizex", "pixelsizey"),
    ):
        if x in table:
            scale = angstroms(table.get(f"{x}.unit", "m")) or 1e10
            return _pair([float(table[k]) * scale for k in (x, y) if k in table])
    return None


def _tag_pixel(file: Any, page: Any) -> tuple[float, float] | None:
    """Return Å per pixel from the resolution tags, or None when they give no unit of length."""
    tags = page.tags
    unit = (file.imagej_metadata or {}).get("unit", "")
    code = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 0
    scale = angstroms(unit) if unit else {CENTIMETRE: angstroms("cm"), INCH: angstroms("inch")}.get(code)
    if scale is None or "XResolution" not in tags:
        return None
    values = []
    for name in ("XResolution", "YResolution"):
        if name in tags:
            top, bottom = tags[name].value
            values.append(scale * bottom / top if top and bottom else 0.0)
    pair = _pair(values)
    # Resolutions per inch or cm are mostly those of a printer (72 dpi = 3.5e6 Å).
    return pair if pair and (unit or LIKELY[0] <= pair[0] <= LIKELY[1]) else None


def _pair(values: list[float]) -> tuple[float, float] | None:
    """Return sizes on x and y; y is x where it is not given."""
    if not values or not all(np.isfinite(v) and v > 0 for v in values):
        return None
    return values[0], values[-1]
