"""Whether, when and where a particle changes: blocks of frames against the structure of the whole."""

from __future__ import annotations

from single_rs.refine.change.find import find_changes
from single_rs.refine.change.types import Alternation, AtomChange, Change, Changes, StatesConfig

__all__ = ["Alternation", "AtomChange", "Change", "Changes", "StatesConfig", "find_changes"]
