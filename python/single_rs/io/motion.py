"""Motion as a CSV file: one row per frame, what concerns the whole movie in ``# key: value`` lines before it.

Columns: frame (0-based), x_px, y_px (shift, see `Motion`), sigma_x_px, sigma_y_px, quality, bad (0 or 1), reason, then
local_ROW_COLUMN_x and _y per patch when local shifts were found. RFC 4180, LF line ends, UTF-8.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from single_rs.base.errors import DataFileError
from single_rs.io import atomic_text
from single_rs.records import Motion

TITLE = "# single_rs motion 1"
COLUMNS = ["frame", "x_px", "y_px", "sigma_x_px", "sigma_y_px", "quality", "bad", "reason"]


def write_motion(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write `motion` to a CSV file, whole or not at all; the mean image is not written.

    Numbers are written with all their digits, so that reading gives the same motion back.

    Parameters
    ----------
    path
        File; replaced if it exists.
    motion
        What to write.
    """
    _, py, px, _ = motion.local.shape
    local = [f"local_{j}_{i}_{c}" for j in range(py) for i in range(px) for c in "xy"]
    pixels = {"hot_pixels": motion.hot_pixels, "dead_pixels": motion.dead_pixels}
    with atomic_text(path) as file:
        print(TITLE, file=file)
        print(f"# shape: {motion.shape[0]} {motion.shape[1]}", file=file)
        print(f"# ceiling: {float(motion.ceiling)!r}", file=file)
        for name, xy in pixels.items():
            print(f"# {name}: " + " ".join(f"{x},{y}" for x, y in xy), file=file)
        for name in ("patch_x", "patch_y"):
            print(f"# {name}: " + " ".join(repr(float(v)) for v in getattr(motion, name)), file=file)
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS + local)
        for t in range(len(motion)):
            numbers = [*motion.shifts[t], *motion.sigma[t], motion.quality[t]]
            row = [t, *(repr(float(v)) for v in numbers), int(motion.bad_frames[t]), motion.reasons[t]]
            table.writerow(row + [repr(float(v)) for v in motion.local[t].ravel()])


def read_motion(path: str | os.PathLike[str]) -> Motion:
    """Read what `write_motion` wrote; `mean` is None.

    Parameters
    ----------
    path
        File.

    Raises
    ------
    DataFileError
        When the file cannot be read or is not such a table.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(f"{path}: cannot be read ({error})") from error
    if not lines or lines[0] != TITLE:
        raise DataFileError(f"{path}: is not a motion table; its first line must be '{TITLE}'")
    try:
        head = {k: v.split() for k, _, v in (line[2:].partition(":") for line in lines if line.startswith("# "))}
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        if any(list(row)[: len(COLUMNS)] != COLUMNS or None in row.values() for row in rows):
            raise ValueError(f"the columns must begin with {', '.join(COLUMNS)} and every row must be whole")
        px, py = (np.array(head[k], np.float64) for k in ("patch_x", "patch_y"))

        def column(*names: str) -> np.ndarray:
            values = np.array([[float(row[name]) for name in names] for row in rows], np.float64)
            return values.reshape(len(rows), len(names))

        def points(name: str) -> np.ndarray:
            return np.array([[int(c) for c in xy.split(",")] for xy in head[name]], int).reshape(-1, 2)

        names = [f"local_{j}_{i}_{c}" for j in range(len(py)) for i in range(len(px)) for c in "xy"]
        return Motion(
            shifts=column("x_px", "y_px"),
            bad_frames=column("bad")[:, 0] != 0,
            hot_pixels=points("hot_pixels"),
            dead_pixels=points("dead_pixels"),
            shape=(int(head["shape"][0]), int(head["shape"][1])),
            quality=column("quality")[:, 0],
            sigma=column("sigma_x_px", "sigma_y_px"),
            reasons=np.array([row["reason"] for row in rows], "U24"),
            ceiling=float(head["ceiling"][0]),
            mean=None,
            local=column(*names).reshape(len(rows), len(py), len(px), 2),
            patch_x=px,
            patch_y=py,
        )
    except (ValueError, KeyError, IndexError) as error:
        raise DataFileError(f"{path}: is not a whole motion table ({error})") from error
