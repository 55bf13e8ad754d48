"""Movies in the files of microscopes that rosettasciio reads (DM3/DM4, SER, EMD, …), lazily through dask.

The units of the axes determine which of them is time: two are lengths, the third is a time or has none. What has an
energy, an angle or a frequency there is a spectrum image, a set of detectors or of diffraction patterns, not a movie.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.pixels import angstroms

__all__ = ["OTHER_SUFFIXES", "ScientificSource"]

# Formats of microscopes that rosettasciio reads and that can hold a movie.
OTHER_SUFFIXES = (".dm3", ".dm4", ".ser", ".emi", ".emd", ".mib", ".tvips", ".hspy", ".blo", ".prz", ".zspy", ".de5")
EXTRA = 'pip install "single-rs[io]"'
# The names of modules are not those of the packages that bring them.
PACKAGES = {"skimage": "scikit-image", "yaml": "pyyaml", "PIL": "pillow", "h5py": "h5py", "zarr": "zarr"}
TIMES = {
    "s",
    "sec",
    "second",
    "seconds",
    "ms",
    "µs",
    "us",
    "ns",
    "ps",
    "fs",
    "min",
    "minute",
    "h",
    "hour",
    "frame",
    "frames",
}
ENERGIES = {"ev", "kev", "mev", "j"}
ANGLES = {"rad", "mrad", "µrad", "urad", "deg", "degree", "degrees", "°"}
NOT_IMAGES = (("energy", "a spectrum image"), ("angle", "detector angles"), ("frequency", "diffraction patterns"))
TIME_NAMES = ("time", "frame", "sequence")

log = logging.getLogger(__name__)


class ScientificSource:
    """The movie in a file that rosettasciio reads; attributes of `FrameSource`."""

    def __init__(self, path: Path, axis: int | None = None) -> None:
        """Open `path`; `axis` is that of time where the caller says it."""
        self._path = path
        signals = _signals(path)
        images = [s for s in signals if sum(n > 1 for n in s["data"].shape) >= 2 and s["data"].ndim >= 2]
        movies = [s for s in images if sum(n > 1 for n in s["data"].shape) == 3]
        if not movies and any(sum(n > 1 for n in s["data"].shape) > 3 for s in images):
            shapes = ", ".join("×".join(map(str, s["data"].shape)) for s in images)
            raise InputError(
                f"{path} holds data of more than 3 axes ({shapes}), e.g. 4D-STEM; save images (frame, y, x)"
            )
        if not images:
            raise DataFileError(f"{path} holds no images")
        usable = [(s, _why_not(s)) for s in movies or images]
        good = [s for s, reason in usable if reason is None or axis is not None]
        if not good:
            raise InputError(f"{path} holds no movie: {usable[0][1]}; if it is one, --axis says which axis is time")
        best = max(good, key=lambda s: s["data"].size)
        if len(good) > 1:
            names = ", ".join(_name(s) for s in good)
            log.warning("%s holds %d signals (%s); %s is read", path, len(good), names, _name(best))
        try:
            self._take(best, axis)
        except (ValueError, TypeError, IndexError) as error:
            # Its header says one thing and its axes another.
            raise DataFileError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None

    def _take(self, signal: dict[str, Any], axis: int | None) -> None:
        """Bring the axis of time to the front."""
        data, axes = signal["data"], _axes(signal)
        kept = [k for k, n in enumerate(data.shape) if n > 1]
        kept = kept if len(kept) in (2, 3) else list(range(data.ndim))
        data, axes = data.reshape([data.shape[k] for k in kept]), [axes[k] for k in kept]
        order = list(range(data.ndim))
        if data.ndim == 3:
            time = next((k for k, a in enumerate(axes) if _kind(a) == "time"), 0) if axis is None else axis % 3
            order = [time, *(k for k in range(3) if k != time)]
        # Berkeley's EMD comes with its axes reversed, whatever the program that wrote it put first; their names tell.
        if [str(axes[k].get("name")).strip().lower() for k in order[-2:]] == ["x", "y"]:
            order[-2:] = order[:-3:-1]
        data, axes = data.transpose(order), [axes[k] for k in order]
        self._data = data if data.ndim == 3 else data[None]
        n, y, x = (int(s) for s in self._data.shape)
        self.shape = (n, y, x)
        self.dtype = np.dtype(self._data.dtype)
        sizes = [_size(axes[-1]), _size(axes[-2])]
        self.pixel_size = sizes[0]
        self.pixel_aspect = sizes[1] / sizes[0] if sizes[0] and sizes[1] else 1.0

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x) in the type of the file."""
        try:
            return np.asarray(self._data[start:stop])
        except Exception as error:
            # What is read only now can be cut or packed by a filter that is not there.
            said = " ".join(str(error).split())[:200]
            raise DataFileError(f"cannot read frames {start} to {stop - 1} of {self._path}: {said}") from None


@contextlib.contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """Say what rosettasciio logs as plain lines of ours, with the file, and nothing where it ends in an error."""
    theirs, said = logging.getLogger("rsciio"), _Kept()
    before, propagates = theirs.handlers[:], theirs.propagate
    theirs.handlers[:], theirs.propagate = [said], False
    try:
        yield
    finally:
        theirs.handlers[:], theirs.propagate = before, propagates
    for text in dict.fromkeys(said.texts):
        log.warning("%s: %s", path, text)


class _Kept(logging.Handler):
    """Keeps what is logged; it is told of its own accord that slow code is used, which changes no value."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if "numba" not in text:
            self.texts.append(text[:200])


def _signals(path: Path) -> list[dict[str, Any]]:
    """Return what rosettasciio finds in a file."""
    try:
        plugins = importlib.import_module("rsciio").IO_PLUGINS
    except ImportError:
        raise DataFileError(f"{path}: {path.suffix} files need rosettasciio, which is not installed: {EXTRA}") from None
    suffix = path.suffix.lower().lstrip(".")
    chosen = next((p for p in plugins if suffix in {e.lower() for e in p["file_extensions"]}), None)
    if chosen is None:
        raise DataFileError(f"{path}: the installed rosettasciio does not read {path.suffix} files")
    api = chosen["api"] if isinstance(chosen, dict) else chosen.api
    try:
        with _plainly(path):
            return list(importlib.import_module(api).file_reader(str(path), lazy=True))
    except ImportError as error:
        package = PACKAGES.get(str(error.name).partition(".")[0], error.name)
        raise DataFileError(f"{path}: {path.suffix} files need {package}: pip install {package}") from None
    except MemoryError:
        raise DataFileError(f"cannot read {path}: its header asks for more memory than there is") from None
    except Exception as error:
        # Each of its readers raises types of its own (struct, h5py, key errors) on a broken file.
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataFileError(f"cannot read {path}: {said}") from None


def _axes(signal: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the axes of a signal in the order of its array."""
    axes = list(signal.get("axes") or [])
    if len(axes) != signal["data"].ndim:
        return [{} for _ in signal["data"].shape]
    if all("index_in_array" in a for a in axes):
        axes.sort(key=lambda a: int(a["index_in_array"]))
    return axes


def _kind(axis: dict[str, Any]) -> str:
    """Return what an axis measures: time, length, energy, angle, frequency or unknown."""
    unit = str(axis.get("units") or "").strip().lower().strip("[]").replace("μ", "µ")
    name = str(axis.get("name") or "").lower()
    if unit in TIMES:
        return "time"
    if unit in ENERGIES or name.startswith(("energy", "wavelength")):
        return "energy"
    if unit in ANGLES:
        return "angle"
    if "1/" in unit or "^-1" in unit or unit.endswith("-1") or "⁻¹" in unit:
        return "frequency"
    if angstroms(unit) is not None:
        return "length"
    return "time" if name.startswith(TIME_NAMES) else "unknown"


def _why_not(signal: dict[str, Any]) -> str | None:
    """Return why a signal is no movie of images, or ``None``."""
    axes = [a for a, n in zip(_axes(signal), signal["data"].shape, strict=True) if n > 1]
    kinds = [_kind(a) for a in axes]
    for kind, what in NOT_IMAGES:
        if kind in kinds:
            unit = axes[kinds.index(kind)].get("units")
            return f"{_name(signal)} is {what} (an axis in {unit})"
    if kinds.count("length") == 3:
        return f"{_name(signal)} is a volume (three axes of length)"
    return None


def _size(axis: dict[str, Any]) -> float | None:
    """Return Å per pixel of an axis, ``None`` when it does not say."""
    unit, scale = angstroms(axis.get("units")), float(axis.get("scale") or 0)
    # Many formats hold float32; six digits give back the number that was meant.
    return float(f"{scale * unit:.6g}") if unit is not None and np.isfinite(scale) and scale > 0 else None


def _name(signal: dict[str, Any]) -> str:
    """Return title and shape of a signal."""
    general = (signal.get("metadata") or {}).get("General") or {}
    title = str(general.get("title") or "").strip() or "signal"
    return f"{title} {'×'.join(map(str, signal['data'].shape))}"
