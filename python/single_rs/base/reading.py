"""How a movie is taken from its files: what part of it, in what pixels, corrected by which references.

The order is fixed: dark and gain on the frames as the camera wrote them, then the region, then binning, then sums of
consecutive frames. Binning and summing add values, so that counts stay counts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from single_rs.base.errors import InputError

__all__ = ["AS_IS", "Reading"]

LARGEST_SUM = 10_000  # pixels along an edge, or frames, that may be added


@dataclass(frozen=True)
class Reading:
    """How a movie is taken from its files.

    Attributes
    ----------
    key
        Array in an HDF5 file or a Zarr folder, e.g. /entry/data.
    frames
        START:STOP, frames of the file from START to before STOP, counted from 0; negative ones from the end.
    region
        X0:X1,Y0:Y1, columns and rows in pixels of the file, counted from 0; both may be left open (100:,:512).
    bin
        Pixels along each edge that are added up; the pixel size grows by it.
    group
        Consecutive frames that are added up, e.g. the fractions of an EER file.
    gain
        Gain reference, one frame in any format that is read; frames are multiplied by it, except by .gain of EER.
    gain_rotate
        Quarter turns of the gain reference before use, in degrees counter-clockwise with row 0 at the top.
    gain_flip
        x reverses the columns of the gain reference, y its rows, after the rotation.
    gain_divide
        Frames are divided by the gain reference, which is scaled to mean 1: a flat field.
    dark
        Dark reference in counts of one frame, subtracted before the gain; the mean where it holds several frames.
    follow
        The file is still being written: wait until it has not grown for 3 s, then read the frames that are whole.
    """

    key: str | None = None
    frames: str | None = None
    region: str | None = None
    bin: int = 1
    group: int = 1
    gain: Path | None = None
    gain_rotate: int = 0
    gain_flip: str | None = None
    gain_divide: bool = False
    dark: Path | None = None
    follow: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be, before a file is opened."""
        for name, value in (("bin", self.bin), ("group", self.group)):
            if not 1 <= value <= LARGEST_SUM:
                raise InputError(f"--{name} is {value}; a number from 1 to {LARGEST_SUM} is needed")
        if self.gain_rotate not in (0, 90, 180, 270):
            raise InputError(f"--gain-rotate is {self.gain_rotate}; 0, 90, 180 or 270 degrees are accepted")
        if self.gain_flip not in (None, "x", "y"):
            raise InputError(f"--gain-flip is {self.gain_flip}; x (columns reversed) or y (rows reversed) is accepted")
        if self.gain is None and (self.gain_rotate or self.gain_flip or self.gain_divide):
            raise InputError(
                "--gain-rotate, --gain-flip and --gain-divide say how a gain reference is used; give --gain"
            )
        if self.frames is not None:
            _bounds("--frames", self.frames, "START:STOP, e.g. 0:500")
        if self.region is not None:
            self._corners()

    @property
    def references(self) -> tuple[Path, ...]:
        """Files besides the movie that its values depend on."""
        return tuple(Path(path) for path in (self.gain, self.dark) if path is not None)

    @property
    def changes(self) -> bool:
        """Whether the frames are others than those of the file."""
        return any((self.frames, self.region, self.bin > 1, self.group > 1, self.references))

    def first_and_last(self, count: int) -> tuple[int, int]:
        """Return the frames to take of `count`, from and to before."""
        if self.frames is None:
            return 0, count
        return _within("--frames", self.frames, _bounds("--frames", self.frames, ""), count, "frames")

    def rows_and_columns(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Return which part of a frame of the file to take."""
        if self.region is None:
            return slice(0, rows), slice(0, columns)
        x, y = self._corners()
        return (
            slice(*_within("--region", self.region, y, rows, "rows")),
            slice(*_within("--region", self.region, x, columns, "columns")),
        )

    def _corners(self) -> tuple[tuple[int | None, int | None], tuple[int | None, int | None]]:
        parts = str(self.region).split(",")
        if len(parts) != 2:
            raise InputError(f"--region is {self.region}; X0:X1,Y0:Y1 is needed, e.g. 100:612,0:512")
        x, y = (_bounds("--region", part, "X0:X1,Y0:Y1, e.g. 100:612,0:512") for part in parts)
        return x, y

    def record(self) -> dict[str, Any]:
        """Return what was asked for, as it stands in run.json: nothing where the file is taken as it is."""
        plain = AS_IS
        return {
            name: value.as_posix() if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if value != getattr(plain, name)
        }


def _bounds(option: str, text: str, form: str) -> tuple[int | None, int | None]:
    """Return the two numbers round a colon, ``None`` for one that is left open."""
    words = text.strip().split(":")
    try:
        if len(words) != 2:
            raise ValueError
        first, last = (int(word) if word.strip() else None for word in words)
    except ValueError:
        raise InputError(f"{option} is {text}; {form} is needed, whole numbers") from None
    return first, last


def _within(option: str, text: str, bounds: tuple[int | None, int | None], count: int, what: str) -> tuple[int, int]:
    """Return bounds within 0 … count; raise `InputError` when they reach beyond it or enclose nothing."""
    first, last = bounds
    start = 0 if first is None else first + count if first < 0 else first
    stop = count if last is None else last + count if last < 0 else last
    if not 0 <= start < stop <= count:
        raise InputError(f"{option} is {text}; the file has {what} 0 to {count - 1}")
    return start, stop


AS_IS = Reading()
