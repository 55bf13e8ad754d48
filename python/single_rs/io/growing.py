"""Files that a camera is still writing: wait until nothing has been added for a while."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from single_rs.base.errors import DataFileError

__all__ = ["wait_until_still"]

STILL = 3.0  # s without a change after which a recording counts as ended
STEP = 0.25  # s between two looks

log = logging.getLogger(__name__)


def wait_until_still(path: Path, still: float = STILL) -> None:
    """Return when neither the number nor the sizes of the files at `path` have changed for `still` seconds."""
    if not path.exists():
        raise DataFileError(f"{path} does not exist")
    before, since = _sizes(path), time.monotonic()
    said = False
    while time.monotonic() - since < still:
        time.sleep(STEP)
        now = _sizes(path)
        if now != before:
            before, since = now, time.monotonic()
            if not said:
                log.warning("%s grows; it is read when it has not grown for %g s", path, still)
                said = True


def _sizes(path: Path) -> tuple[int, int]:
    """Return the number of files and the sum of their bytes."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return len(files), sum(p.stat().st_size for p in files)
