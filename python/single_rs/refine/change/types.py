"""Settings of the search for changes, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from single_rs.base.settings import Settings, setting

__all__ = ["Alternation", "AtomChange", "Change", "Changes", "StatesConfig"]


@dataclass(frozen=True)
class StatesConfig(Settings):
    """Settings of `find_changes`."""

    number: int | None = setting(
        None, "number of states, of equal length; found from the data when not given, 1 does not ask", ge=1
    )
    shortest: int = setting(100, "fewest frames of a state", "frames", ge=40)


@dataclass(frozen=True)
class Change:
    """One change of the whole particle.

    Attributes
    ----------
    frame, frame_err
        First frame of the movie after it, and its standard error.
    kind
        "structure" where the poses go on and the atoms differ; "poses" where the atoms of the whole are seen on one
        side of it only: another particle, or the same one so changed that its poses were lost; "window" where the
        user asked for a number of states of equal length.
    nats
        Held-out log-likelihood that two structures gain over one; None for other kinds.
    significance
        How far that stands above random orders of the same frames, in standard deviations; None for other kinds.
    image
        First image of the stack after it.
    """

    frame: int
    frame_err: float
    kind: str
    nats: float | None
    significance: float | None
    image: int


@dataclass(frozen=True)
class AtomChange:
    """An atom that left or arrived.

    Attributes
    ----------
    atom
        Its index among the atoms of the whole; None for one that stands on a site where the whole has none.
    position
        Å from the box centre.
    event
        "left" or "arrived".
    frame, frame_err
        First frame of the movie after it, and its standard error.
    before, after
        Height, in units of a usual atom.
    nats
        Log-likelihood that the step gains over a constant height.
    """

    atom: int | None
    position: tuple[float, float, float]
    event: str
    frame: int
    frame_err: float
    before: float
    after: float
    nats: float


@dataclass(frozen=True)
class Alternation:
    """Two structures that a stretch of frames shows in turn, faster than a state lasts.

    Attributes
    ----------
    first, last
        First and last frame of the movie of the stretch.
    nats
        Held-out log-likelihood that two kinds of blocks gain over one: sorted by one half of the atoms, judged by the
        other.
    significance
        How far that stands above random kinds of the same sizes, in standard deviations.
    share
        Of the information that the rarer kind holds.
    turns
        How often neighbouring blocks are of different kinds.
    clear
        Whether the significance is a change.
    """

    first: int
    last: int
    nats: float
    significance: float
    share: float
    turns: int
    clear: bool


@dataclass(frozen=True)
class Changes:
    """What was found of a particle in time.

    Attributes
    ----------
    frames
        Number of images looked at.
    changes
        In order of time; none where one structure explains all frames.
    shown
        Share of the good frames of each stretch between changes that show the atoms of the whole.
    nats, significance
        Of the best division in two where none is clear, as in `Change`; None where there is no room for two.
    atoms
        Single atoms that left or arrived, in order of time.
    alternations
        Whether the stretches between changes hold two structures in turn; of those with frames enough to ask.
    """

    frames: int
    changes: tuple[Change, ...]
    shown: tuple[float, ...]
    nats: float | None
    significance: float | None
    atoms: tuple[AtomChange, ...]
    alternations: tuple[Alternation, ...] = ()

    def stretches(self) -> list[tuple[int, int]]:
        """First image, and the one after the last, of each stretch between changes."""
        edges = [0, *(c.image for c in self.changes), self.frames]
        return list(pairwise(edges))
