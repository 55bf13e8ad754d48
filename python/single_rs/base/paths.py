"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_path"]


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` for the home folder; where that is not known, the path as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)
