"""Movies in files that hold plain arrays: NumPy's .npy, HDF5 and Zarr, read block by block.

HDF5 and Zarr hold arrays by name. The only one with three axes is the movie; of several, `key` says which.
"""

from __future__ import annotations

import importlib
import logging
import math
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError

__all__ = ["ARRAY_SUFFIXES", "HDF5_SUFFIXES", "NPY", "ZARR", "ArraySource"]

NPY, ZARR = ".npy", ".zarr"
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs")
ARRAY_SUFFIXES = (NPY, *HDF5_SUFFIXES, ZARR)
SHOWN = 6  # arrays that an error names
NPY_MAGIC = b"\x93NUMPY"

log = logging.getLogger(__name__)


class ArraySource:
    """The movie in a file of arrays; attributes of `FrameSource`. None of these formats has a standard pixel size."""

    pixel_size: float | None = None
    pixel_aspect: float = 1.0

    def __init__(self, path: Path, key: str | None = None) -> None:
        """Open `path`; `key` names the array where there are several."""
        self._path = path
        suffix = path.suffix.lower()
        try:
            if suffix == NPY:
                if key is not None:
                    raise InputError(f"--key is {key}; {path} holds one array without a name")
                data: Any = _mapped(path)
                name = "its array"
            elif suffix == ZARR:
                data, name = self._chosen(_package("zarr", path).open(str(path), mode="r"), key)
            else:
                file = _package("h5py", path).File(path, "r")
                weakref.finalize(self, file.close)
                data, name = self._chosen(file, key)
        except (DataFileError, InputError):
            raise
        except Exception as error:
            # Each library raises types of its own on a broken file.
            said = " ".join(str(error).split())[:120] or type(error).__name__
            raise DataFileError(f"cannot read {path} as {suffix}: {said}") from None
        self._take(data, name)

    def _chosen(self, root: Any, key: str | None) -> tuple[Any, str]:
        """Return the array of the movie and its name."""
        if hasattr(root, "shape"):
            if key not in (None, "", "/"):
                raise InputError(f"--key is {key}; {self._path} holds one array without a name")
            return root, "its array"
        found = {name: array for name, array in _arrays(root) if math.prod(array.shape) > 0}
        said = ", ".join(f"/{n} {'×'.join(map(str, a.shape))}" for n, a in list(found.items())[:SHOWN]) or "no array"
        if key is not None:
            array = found.get(key.strip("/"))
            if array is None:
                raise InputError(f"--key is {key}; {self._path} has {said}")
            return array, f"/{key.strip('/')}"
        movies = [n for n, a in found.items() if sum(s > 1 for s in a.shape) == 3 and np.dtype(a.dtype).kind in "iuf"]
        if len(movies) != 1:
            many = "several arrays of three axes" if movies else "no array of three axes"
            raise InputError(f"{self._path} holds {many}: {said}" + ("; give --key" if movies else ""))
        return found[movies[0]], f"/{movies[0]}"

    def _take(self, data: Any, name: str) -> None:
        """Keep the array; axes of length 1 besides three others are left out."""
        shape = [int(s) for s in data.shape]
        kept = [k for k, s in enumerate(shape) if s > 1] if len(shape) > 3 else list(range(len(shape)))
        if len(kept) not in (2, 3):
            said = "×".join(map(str, shape)) or "a single value"
            raise InputError(f"{self._path}: {name} is {said}; three axes (frame, y, x) are needed")
        missing, blocks = _unwritten(data)
        if missing:
            if missing == blocks:
                raise DataFileError(f"{self._path}: {name} was never written; copy it again")
            log.warning("%s: %d of %d blocks of %s are not in it and read as its fill value; was it copied whole?",
                        self._path, missing, blocks, name)  # fmt: skip
        self._data, self._kept, self._axes = data, kept, len(shape)
        n, y, x = [1] * (3 - len(kept)) + [shape[k] for k in kept]
        self.shape = (n, y, x)
        self.dtype = np.dtype(data.dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start:stop``, (m, y, x) in the type of the file."""
        if len(self._kept) == 2:
            index: tuple[Any, ...] = tuple(slice(None) if k in self._kept else 0 for k in range(self._axes))
        else:
            first = self._kept[0]
            index = tuple(
                slice(start, stop) if k == first else slice(None) if k in self._kept else 0 for k in range(self._axes)
            )
        try:
            block = self._data[index]
            block = block if isinstance(block, np.ndarray) else np.asarray(block)
            return (block[None] if len(self._kept) == 2 else block).reshape(stop - start, *self.shape[1:])
        except Exception as error:
            # What is read only now can be cut, or packed by a filter that is not there.
            said = " ".join(str(error).split())[:200]
            raise DataFileError(f"cannot read frames {start} to {stop - 1} of {self._path}: {said}") from None


def _mapped(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, mapped."""
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise DataFileError(f"cannot read {path} as .npy: it begins with other bytes")
    return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _unwritten(array: Any) -> tuple[int, int]:
    """Return how many blocks of an array of HDF5 or Zarr are not in the file, and how many there should be."""
    if hasattr(array, "nchunks_initialized"):
        return int(array.nchunks) - int(array.nchunks_initialized), int(array.nchunks)
    if getattr(array, "chunks", None) and hasattr(array, "id"):
        count = math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
        return count - int(array.id.get_num_chunks()), count
    return 0, 0


def _package(name: str, path: Path) -> Any:
    """Return a library that an extra brings."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataFileError(f'{path}: {path.suffix} files need {name}: pip install "single-rs[io]"') from None


def _arrays(group: Any, above: str = "") -> list[tuple[str, Any]]:
    """Return all arrays in a group of HDF5 or Zarr and in the groups within it, by their paths, in their order."""
    found = []
    for name in sorted(group.keys()):
        try:
            member = group[name]
        except (KeyError, OSError):
            continue  # a link to another file that is not there
        if hasattr(member, "shape") and hasattr(member, "dtype"):
            if member.shape is not None:
                found.append((f"{above}{name}", member))
        elif hasattr(member, "keys"):
            found += _arrays(member, f"{above}{name}/")
    return found
