"""Find every particle of a movie, follow it from frame to frame and cut out its single frames."""

from __future__ import annotations

from single_rs.track.config import TrackConfig
from single_rs.track.cut import extract, extract_all
from single_rs.track.find import find_tracks

__all__ = ["TrackConfig", "extract", "extract_all", "find_tracks"]
