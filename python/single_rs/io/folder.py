"""A movie in several files of one folder, each with one frame or with some, joined in the order of their names.

Numbers in names count as numbers, decimals as decimals (0.25, 0.5, 1.25). What is true of the first file is checked for
all: shape and pixel size must be one, the type is that which holds all. Cameras for in-situ work nest folders by time
(Hour_00/Minute_00/Second_00); they are read as one. Sums, gain references and our own results are no frames.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.formats import SUFFIXES, movie_suffix, open_source
from single_rs.io.source import FrameSource

__all__ = ["LIST_SUFFIXES", "FolderSource", "listed_files", "natural_key", "ordered"]

LIST_SUFFIXES = (".txt", ".lst", ".list", ".filetab")

# A name with one of these words, beside a series of others, is no frame.
WORDS = (
    "gain", "dark", "sum", "mean", "average", "avg", "reference", "ref", "flat", "flatfield", "background", "defect",
    "defects", "mask", "thumb", "thumbnail", "preview", "integrated", "aligned", "map", "half", "stack", "clean",
    "strain", "gpa", "final",
)  # fmt: skip
PIXEL_TOLERANCE = 0.01  # relative, between files of one movie
NUMBER = r"\d+(?:\.\d+)*"
MISSING_SHOWN = 5

log = logging.getLogger(__name__)


def natural_key(name: str, decimals: bool = False) -> list[tuple[int, float, str]]:
    """Return a sort key in which numbers count as numbers: f2 before f10; with `decimals` t_0.5 before t_1.25."""
    key: list[tuple[int, float, str]] = []
    for word in re.split(rf"({NUMBER})" if decimals else r"(\d+)", name.lower()):
        if not word:
            continue
        if not word[0].isdecimal():
            key.append((1, 0.0, word))
        elif word.count(".") == 1:
            key.append((0, float(word), ""))
        else:
            key += [(0, float(part), "") for part in word.split(".")]
    return key


def ordered(names: Sequence[str]) -> list[str]:
    """Return names without suffix in the order of the numbers in them.

    Two numbers with a point between them are a decimal where all such have as many digits behind it or none ends in 0;
    else (1.2, 1.10) they count one after the other. Hexadecimal numbers of one width are in the order of their letters.
    """
    if _hexadecimal(names):
        return sorted(names, key=str.lower)
    behind = [word.split(".")[1] for name in names for word in re.findall(NUMBER, name) if word.count(".") == 1]
    decimals = len({len(digits) for digits in behind}) == 1 or all(d == "0" or d[-1] != "0" for d in behind)
    return sorted(names, key=lambda name: (natural_key(name, decimals), name))


def _hexadecimal(names: Sequence[str]) -> bool:
    """Whether names differ in one run of hexadecimal digits of one width, with a letter in some.

    Series a00, a01, …, b00, b01, … are none: the digit that counts fastest takes no letter there.
    """
    if len(names) < 2 or len({len(name) for name in names}) != 1:
        return False
    low = [name.lower() for name in names]
    columns = [k for k, letters in enumerate(zip(*low, strict=True)) if len(set(letters)) > 1]
    if not columns:
        return False
    parts = [name[columns[0] : columns[-1] + 1] for name in low]
    if not all(re.fullmatch(r"[0-9a-f]+", part) for part in parts) or all(part.isdecimal() for part in parts):
        return False
    numbers = np.unique([int(part, 16) for part in parts])
    step = int(np.gcd.reduce(np.diff(numbers))) if len(numbers) > 1 else 1
    return step % 16 == 0 or any(not part[-1].isdecimal() for part in parts)


class _Facts(NamedTuple):
    """What is kept of a file that is not open: shape, type and pixel size."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pixel_size: float | None
    pixel_aspect: float


class FolderSource:
    """Frames in the files of a folder; a file is opened only while it is read. Attributes of `FrameSource`."""

    def __init__(self, path: Path, files: Sequence[Path] = ()) -> None:
        """Open the movie in the folder `path`, or that in `files`, in their order, which the list `path` names."""
        self._files = list(files) or _frames_of(path)
        sources = [self._checked(file) for file in self._files]
        first = sources[0]
        self.shape = (sum(s.shape[0] for s in sources), *first.shape[1:])
        self.dtype = np.dtype(np.result_type(*{s.dtype.newbyteorder("=") for s in sources}))
        sizes = [s.pixel_size for s in sources]
        self.pixel_size = next((s for s in sizes if s is not None), None)
        self.pixel_aspect = first.pixel_aspect
        for file, source in zip(self._files, sources, strict=True):
            self._compare(file, source, first)
        if any(s.dtype.newbyteorder("=") != self.dtype for s in sources):
            names = sorted({str(s.dtype.newbyteorder("=")) for s in sources})
            log.warning("%s holds files of types %s; read as %s", path, ", ".join(names), self.dtype)
        self._ends = np.cumsum([s.shape[0] for s in sources])
        self._open: tuple[int, FrameSource] | None = None

    def _checked(self, file: Path) -> _Facts:
        """Open a file, and keep of it what must hold for all without keeping it open."""
        source = open_source(file)
        return _Facts(source.shape, source.dtype, source.pixel_size, source.pixel_aspect)

    def _compare(self, file: Path, source: _Facts, first: _Facts) -> None:
        """Raise `InputError` when a file is not of the movie that the first one is of."""
        if source.shape[1:] != first.shape[1:]:
            raise InputError(
                f"{file} has shape {source.shape}; frames of {first.shape[1:]} are in {self._files[0].name}: keep the "
                "files of one movie"
            )
        sizes = source.pixel_size, self.pixel_size
        if sizes[0] is not None and sizes[1] is not None and abs(sizes[0] / sizes[1] - 1) > PIXEL_TOLERANCE:
            raise InputError(
                f"{file} has {sizes[0]:.4g} Å per pixel, files before it {sizes[1]:.4g} Å; keep those of one pixel size"
            )

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x)."""
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        done = start
        while done < stop:
            number = int(np.searchsorted(self._ends, done, side="right"))
            before = int(self._ends[number - 1]) if number else 0
            source = self._source(number, int(self._ends[number]) - before)
            last = min(stop, int(self._ends[number]))
            out[done - start : last - start] = source.read(done - before, last - before)
            done = last
        return out

    def _source(self, number: int, frames: int) -> FrameSource:
        """Return the reader of one file; the last one stays open."""
        if self._open is None or self._open[0] != number:
            source = open_source(self._files[number])
            if source.shape != (frames, *self.shape[1:]):
                raise DataFileError(f"{self._files[number]} changed while it was read: shape {source.shape}")
            self._open = number, source
        return self._open[1]


def listed_files(path: Path) -> tuple[Path, ...]:
    """Return the files that a text file names, one a line; names are relative to it or to the current folder.

    Raises
    ------
    DataFileError
        No text, no names, or a name of no file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataFileError(f"{path} is no text; a list of files has one name a line") from None
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror or error}") from None
    found: list[Path] = []
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        try:
            file = next((p for p in (path.parent / name, Path(name)) if p.exists()), None)
        except (OSError, ValueError):
            file = None
        if file is None:
            raise DataFileError(
                f"{path} line {number} names {name[:80]}, which is not there; one file a line is needed"
            )
        if file in found:
            raise DataFileError(f"{path} line {number} names {name[:80]} a second time; keep one")
        found.append(file)
    if not found:
        raise DataFileError(f"{path} names no files; one a line is needed")
    return tuple(found)


def _frames_of(path: Path) -> list[Path]:
    """Return the files of the movie in a folder, or in the folders by time within it, in order."""
    named = [p for p in sorted(path.iterdir()) if not p.name.startswith(".")]
    lost = next((p for p in named if movie_suffix(p) and p.is_symlink() and not p.exists()), None)
    if lost is not None:
        raise DataFileError(f"{lost} is a link to a file that is not there; mend or remove it")
    found = [p for p in named if movie_suffix(p) and p.is_file()]
    folders = [p for p in named if p.is_dir()]
    if found and (series := _series(path, found)):
        holding = [p.name for p in folders if any(movie_suffix(q) == movie_suffix(series[0]) for q in p.iterdir())]
        if holding:
            log.warning("%s: the files in it are read, not those in its folders (%s)", path, ", ".join(holding[:4]))
        return series
    if not folders:
        raise DataFileError(f"the folder {path} holds no frames; accepted: {' '.join(SUFFIXES)}")
    kinds = {re.sub(r"\d+", "#", p.name.lower()) for p in folders}
    if len(kinds) > 1 or (len(folders) > 1 and "#" not in next(iter(kinds))):
        said = ", ".join(sorted(p.name for p in folders)[:4])
        raise InputError(f"the folder {path} holds no frames but folders ({said}); give the one that holds the movie")
    names = ordered([p.name for p in folders])
    return [file for name in names for file in _frames_of(path / name)]


def _series(path: Path, files: Iterable[Path]) -> list[Path]:
    """Return the files whose names make the largest series, in order; leave out those that are no frames, or refuse."""
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    files = sorted(files)
    plain = [p for p in files if not _words(p)]
    whole = len(plain) > 1 and _hexadecimal([p.stem for p in plain]) and len({p.suffix.lower() for p in plain}) == 1
    for file in files:
        suffix = str(movie_suffix(file)).replace(".tiff", ".tif")
        pattern = re.sub(NUMBER, "#", file.stem.lower())
        groups[("hexadecimal" if whole and file in plain else pattern, suffix)].append(file)
    # Names without any number (a.tif, b.tif) make one series if nothing else is there.
    if len(plain) > 1 and all(len(g) == 1 for g in groups.values()) and len({p.suffix for p in plain}) == 1:
        groups = {("names", plain[0].suffix): plain, **{k: g for k, g in groups.items() if g[0] not in plain}}
    frames = {k: g for k, g in groups.items() if not all(_words(p) for p in g)}
    if not frames and len(groups) > 1:
        frames = {k: g for k, g in groups.items() if len(g) > 1}
    elif not frames and not (len(files) == 1 and _words(files[0])):
        frames = groups
    if len(frames) > 1:
        said = ", ".join(f"{g[0].name} ({len(g)})" for g in sorted(frames.values(), key=len, reverse=True)[:4])
        raise InputError(f"the folder {path} holds files of several series: {said}; keep those of one movie")
    if not frames:
        return []
    ((pattern, suffix), chosen) = next(iter(frames.items()))
    left = [p.name for p in files if p not in chosen]
    if left:
        log.warning("%s: %s taken for no frames of the movie (%s…) and left out", path, ", ".join(left), chosen[0].name)
    stems = {p.stem: p for p in chosen}
    if len(stems) < len(chosen):
        raise InputError(f"the folder {path} holds files of one name and other suffixes; keep those of one movie")
    names = ordered(list(stems))
    _check_numbers(path, pattern, names)
    return [stems[name] for name in names]


def _words(file: Path) -> bool:
    """Whether a name says that the file is no frame."""
    return any(word in WORDS for word in re.split(r"[^a-z]+", file.stem.lower()))


def _check_numbers(path: Path, pattern: str, names: Sequence[str]) -> None:
    """Refuse a number that is there twice, and warn of those that are missing in the one run of whole numbers."""
    keys = [tuple(re.findall(r"\d+", name)) for name in names]
    if pattern in ("hexadecimal", "names") or len({len(k) for k in keys}) != 1:
        return
    values = [tuple(int(v) for v in key) for key in keys]
    twice = next((k for k in range(1, len(values)) if values[k] == values[k - 1]), None)
    if twice is not None and "." not in "".join(names):
        raise InputError(f"the folder {path} holds {names[twice - 1]} and {names[twice]}, one number twice; keep one")
    if "." in "".join(names):
        return
    varying = [k for k in range(len(values[0])) if len({v[k] for v in values}) > 1]
    if len(varying) == 1:
        numbers = [v[varying[0]] for v in values]
        steps = np.diff(numbers)
        step = int(np.min(steps)) if len(steps) else 0
        if step > 0 and (steps > step).any():
            gaps = [f"{numbers[k]} to {numbers[k + 1]}" for k in np.flatnonzero(steps > step)[:MISSING_SHOWN]]
            log.warning("%s: numbers are missing (%s); the frames are taken one after the other", path, ", ".join(gaps))
