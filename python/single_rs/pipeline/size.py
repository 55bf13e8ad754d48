"""How large a particle's stack is, and how much room its files take, before it is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len

from single_rs.analysis.strain import StrainConfig
from single_rs.io import Movie
from single_rs.records import ParticleStack, Track

__all__ = ["StackSize", "stack_box"]

BOX_PER_DIAMETER = 1.8  # leaves a ring round the particle for the background and the delocalised fringes
BOX_MARGIN = 16.0  # Å, the least of that ring for small particles
BOX_LEAST = 1.4  # diameters that background cleaning needs
BOX_OUTSIDE = 0.05  # share of frames that may leave the field before the box is made smaller
# Three maps; on request thirteen of strain and nine of the phases in VTK files, ten and nine as MRC.
VOLUMES, STRAIN_VOLUMES, FLOAT_BYTES = 3, 22 + 19, 4
ROOM_BESIDE = 20_000_000  # bytes: report, tables, poses, atoms
STEPS = 8_000  # bytes of each frame that the steps of the pose search keep until it has finished: two indices


def stack_box(track: Track, movie: Movie) -> int:
    """Return the edge in px of a particle's images: even, with room for its background, inside the field."""
    wanted = max(BOX_PER_DIAMETER * track.diameter, track.diameter + BOX_MARGIN) / movie.pixel_size
    rows, columns = movie.shape[1:]
    room = np.min([track.x, track.y, columns - 1 - track.x, rows - 1 - track.y], axis=0)
    inside = np.quantile(room, BOX_OUTSIDE)
    least = BOX_LEAST * track.diameter / movie.pixel_size
    half = int(next_fast_len(int(np.ceil(wanted / 2)), real=True))
    if half > inside:
        half = int(max(np.floor(inside), np.ceil(least / 2)))
    return 2 * half


@dataclass(frozen=True)
class StackSize:
    """Size of a particle's stack, before it is cut as well.

    Attributes
    ----------
    frames, box, itemsize
        Number of images, their edge in px, bytes of a pixel.
    diameter
        Å, of the particle.
    """

    frames: int
    box: int
    itemsize: int
    diameter: float

    @classmethod
    def of(cls, stack: ParticleStack) -> StackSize:
        """Return that of a stack; a particle of unknown diameter is taken to fill the box as one that was cut."""
        edge = stack.box * stack.pixel_size
        guess = max(edge / 2, min(edge / BOX_PER_DIAMETER, edge - BOX_MARGIN))
        return cls(len(stack), stack.box, stack.images.dtype.itemsize, stack.diameter or guess)

    @classmethod
    def of_track(cls, track: Track, movie: Movie, itemsize: int) -> StackSize:
        """Return that of the stack that a track will give."""
        return cls(len(track.frames), stack_box(track, movie), itemsize, track.diameter)

    def room_needed(self, strain: StrainConfig) -> int:
        """Return the bytes that the particle's files take at most: stack, and volumes of maps and strain."""
        volumes = VOLUMES + (STRAIN_VOLUMES if strain.volumes else 0)
        frame = self.box**2 * self.itemsize + STEPS
        return self.frames * frame + volumes * self.box**3 * FLOAT_BYTES + ROOM_BESIDE
