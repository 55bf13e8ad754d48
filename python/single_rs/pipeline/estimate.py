"""What a run will take, said before it starts: passes over the movie, processor time, memory and disk.

Times are those of the machine of docs/performance.md, times how much slower this one ran a fixed piece of work just
now. How many particles there are, how large they are and how long they stay is not known before they are tracked; the
time to solve one is that of a particle of some 600 atoms which is there from the first frame to the last.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from single_rs import _core
from single_rs.base.memory_limit import movie_memory, stack_memory
from single_rs.base.scratch import scratch_bytes
from single_rs.motion.mosaic import layout
from single_rs.records.track import MovieLike
from single_rs.track.lattice_variance import cell_size

__all__ = ["Estimate", "estimate_movie", "estimate_stack", "slowness"]

# Processor time, ns per pixel and frame, of the three passes, and s of each movie whatever its length.
STATISTICS, MOTION, CUTTING = 5.0, 14.0, 1.0
PER_PIXEL = 3e-7
# Solving a particle: s, and s per frame, of 128 px at 8 electrons per pixel.
SOLVE, SOLVE_FRAME, REPORT = 32.0, 0.025, 5.0
# The fixed piece of work: frames of so many px, and the s it took there.
FRAMES, EDGE, REFERENCE = 4, 320, 0.0066
LONGEST = 1.0  # s that the fixed piece of work may take in all


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    passes
        Name and processor time, s, of each pass over the movie.
    particle
        Processor time, s, of one particle that is there all the time.
    memory
        Bytes at most while the movie is read, or the stack solved.
    disk
        Bytes of temporary files.
    threads
        Threads that share the time.
    """

    passes: tuple[tuple[str, float], ...]
    particle: float
    memory: int
    disk: int
    threads: int

    def __str__(self) -> str:
        """Say it in one line."""
        said = []
        if self.passes:
            each = ", ".join(f"{name} {_time(seconds)}" for name, seconds in self.passes)
            said.append(f"{len(self.passes)} passes over the movie ({each})")
            said.append(f"then about {_time(self.particle)} for each particle that stays to the end")
        else:
            said.append(f"about {_time(self.particle)}")
        said.append(f"of processor time, on {self.threads} {'threads' if self.threads > 1 else 'thread'}")
        said.append(f"up to {self.memory / 1e9:.1f} GB of memory")
        if self.disk:
            said.append(f"{self.disk / 1e9:.1f} GB of temporary files")
        return "; ".join(said)


def slowness() -> float:
    """Return the time of a fixed piece of work over that on the machine of docs/performance.md."""
    frames = np.random.default_rng(0).poisson(8.0, (FRAMES, EDGE, EDGE)).astype(np.uint8)
    gain, none = np.ones((EDGE, EDGE), np.float32), np.zeros((EDGE, EDGE), bool)
    best, end = np.inf, time.process_time() + LONGEST
    for _ in range(10):
        start = time.process_time()
        _core.motion_local_variance(frames, none, np.inf, gain, 3, 17)
        best = min(best, time.process_time() - start)
        if time.process_time() > end:
            break
    return float(best) / REFERENCE


def estimate_movie(movie: MovieLike) -> Estimate:
    """Estimate a run on a movie."""
    n, rows, columns = movie.shape
    slow = slowness()
    pixels = n * rows * columns
    cell = cell_size(movie.pixel_size)
    item = np.dtype(getattr(movie, "dtype", np.float32)).itemsize
    parts = layout((rows, columns), 3)
    kept = 0 if parts.whole else scratch_bytes(n * parts.size[0] * parts.size[1] * item)
    maps = scratch_bytes(n * (rows // cell) * (columns // cell))
    passes = (
        ("statistics", slow * (1e-9 * STATISTICS * pixels + PER_PIXEL * rows * columns)),
        ("motion", slow * 1e-9 * MOTION * pixels),
        ("cutting", slow * 1e-9 * CUTTING * pixels),
    )
    return Estimate(passes, slow * (SOLVE + SOLVE_FRAME * n), movie_memory(rows, columns), kept + maps, _core.threads())


def estimate_stack(frames: int, box: int) -> Estimate:
    """Estimate the solution of a stack of one particle."""
    seconds = slowness() * (SOLVE + SOLVE_FRAME * frames + REPORT)
    return Estimate((), seconds, stack_memory(frames, box), 0, _core.threads())


def _time(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
