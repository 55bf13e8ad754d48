"""What the steps of a stage gave that has not finished: files that a run which was killed goes on from.

One file a step in ``OUT/.single_rs/steps/STAGE/KEY``: the SHA-256 of what follows, and a dataclass in MessagePack with
all bits of its arrays, their type, shape and order in memory, on which the order of sums depends. Steps of another key
are never read. A file that is not as it was written is made anew; where one cannot be written, on a full disk, the work
goes on without it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from single_rs.base.progress import SHOWN
from single_rs.io.atomic import atomic_binary

__all__ = ["StepFiles"]

log = logging.getLogger(__name__)

T = TypeVar("T")

HASH = 32  # bytes


class StepFiles:
    """The steps of one stage; a `single_rs.base.steps.Keeper`.

    Parameters
    ----------
    folder
        Of all steps of the stage.
    key
        Of the stage.
    stage
        Its name, for people.
    fresh
        Whether what is there is not to be read.
    """

    def __init__(self, folder: Path, key: str, stage: str, fresh: bool = False) -> None:
        """Look at nothing yet."""
        self._folder, self._stage, self._told, self._room = folder / key, stage, False, True
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)

    def __call__(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """Return what the step `name` gave before, or do it and keep that.

        Both ways the arrays are those that were read from bytes: one that was a part of a larger one would be summed in
        another order by who made it than by who reads it.
        """
        path = self._folder / f"{name.replace(' ', '_')}.step"
        known = self._read(path, kind)
        if known is not None:
            self._tell()
            return known
        data = msgspec.msgpack.encode(make(), enc_hook=_plain)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_binary(path) as file:
                file.write(hashlib.sha256(data).digest())
                file.write(data)
        except OSError as error:  # no step decides anything: what the stage needs room for itself will tell
            if self._room:
                log.warning("%s: steps are not kept (%s); a run that is stopped begins it anew", self._stage, error)
            self._room = False
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_array)

    def _tell(self) -> None:
        """Say once after which step the stage goes on."""
        if not self._told:
            self._told = True
            # The other half may be writing.
            whole = [path for path in self._folder.glob("*.step") if ".partial" not in path.name]
            last = max(whole, key=lambda path: path.stat().st_mtime_ns)
            log.info("%s: continued after %s", self._stage, last.stem.replace("_", " "), extra=SHOWN)

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data[HASH:]).digest() == data[:HASH]:
            try:
                return msgspec.msgpack.decode(data[HASH:], type=kind, dec_hook=_array)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                log.warning("%s: the step %s is of another form (%s); made anew", self._stage, path.stem, error)
                return None
        log.warning("%s: the step %s is not as it was written; made anew", self._stage, path.stem)
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise TypeError(f"{type(value).__name__} has no place in a step")
    order = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
    return value.dtype.str, value.shape, order, np.ascontiguousarray(value.transpose(order)).tobytes()


def _array(kind: Any, value: Any) -> Any:
    if getattr(kind, "__origin__", kind) is not np.ndarray:
        raise TypeError(f"{kind} has no place in a step")
    dtype, shape, order, data = value
    flat = np.frombuffer(bytearray(data), np.dtype(dtype))
    return flat.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
