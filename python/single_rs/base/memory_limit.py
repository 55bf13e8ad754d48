"""Memory that the stages need, estimated before they start, and a limit that they keep.

Upper estimates in bytes, from peaks that were measured (docs/reliability.md), with n frames of box² pixels:

    stack   400 MB + 12 n box² + 90 box³     libraries and tables; images and spectra of all frames; volumes
    movie   150 MB + 128 MB + 64 y x         libraries; two blocks of frames; sums and masks of one

A limit is set as RLIMIT_DATA (setrlimit(2); Linux counts all private memory, not files that are mapped), so that what
would go beyond it fails and is said, instead of making the machine swap.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from single_rs.base.errors import InputError

__all__ = [
    "check_address_space",
    "memory_limit",
    "movie_memory",
    "parse_size",
    "require_machine",
    "require_memory",
    "stack_memory",
]

log = logging.getLogger(__name__)

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LEAST = 500 * UNITS["M"]  # what the libraries take before there are any data
SOLVER, PER_PIXEL, PER_VOXEL = 400 * UNITS["M"], 12, 90
PROGRAM, BLOCKS, PER_MOVIE_PIXEL = 150 * UNITS["M"], 128 * UNITS["M"], 64

_limit: int | None = None


def parse_size(text: str) -> int:
    """Return bytes from ``4G``, ``800M``, ``1.5 GB`` or a plain number; raise `InputError` for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if found is None:
        raise InputError(f"--memory is {text!r}; a size is needed, e.g. 4G or 800M")
    return int(float(found[1]) * UNITS[found[2].upper()])


@contextlib.contextmanager
def memory_limit(size: int | None) -> Iterator[None]:
    """Keep the process to `size` bytes in a block; None is no limit.

    Raises
    ------
    InputError
        Less than the libraries take alone.
    MemoryError
        Inside the block, where an array does not fit. The kernels end the process instead (SIGABRT), as Rust does.
    """
    global _limit
    if size is None:
        yield
        return
    if size < LEAST:
        raise InputError(f"--memory is {size:,} bytes; the program alone takes {LEAST:,}, give more")
    before, _limit = _limit, size
    try:
        with _kept(size):
            yield
    finally:
        _limit = before


def check_address_space() -> None:
    """Raise where the shell allows less memory than the libraries take; OpenBLAS would ask for it without end."""
    if sys.platform == "win32":
        return
    import resource  # of POSIX only

    for option, limit in (("-v", resource.RLIMIT_AS), ("-d", resource.RLIMIT_DATA)):
        allowed = resource.getrlimit(limit)[0]
        if allowed != resource.RLIM_INFINITY and allowed < LEAST:
            raise InputError(
                f"the shell allows {allowed:,} bytes of memory (ulimit {option}); the program alone takes {LEAST:,}, "
                "raise it"
            )


@contextlib.contextmanager
def _kept(size: int) -> Iterator[None]:
    """Have the system refuse what goes beyond `size` bytes; Windows knows no such limit."""
    if sys.platform == "win32":
        yield
        return
    import resource  # of POSIX only

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def stack_memory(frames: int, box: int) -> int:
    """Return what solving a stack of `frames` images of `box` px needs at most, in bytes."""
    return SOLVER + PER_PIXEL * frames * box**2 + PER_VOXEL * box**3


def movie_memory(rows: int, columns: int) -> int:
    """Return what correcting and tracking a movie of such frames needs at most, in bytes, whatever their number."""
    return PROGRAM + BLOCKS + PER_MOVIE_PIXEL * rows * columns


def require_memory(what: str, need: int) -> None:
    """Raise when `need` bytes are more than the limit; warn when there is none and they are more than is free.

    Parameters
    ----------
    what
        What needs them, e.g. ``"a stack of 20,000 frames of 256 px"``.
    need
        From `stack_memory` or `movie_memory`.

    Raises
    ------
    InputError
        The limit cannot be kept; the message says what is needed.
    """
    if _limit is not None and need > _limit:
        raise InputError(
            f"{what} needs up to {need / 1e9:.1f} GB, --memory allows {_limit / 1e9:.1f} GB; allow more, or give fewer "
            "frames or a smaller region"
        )
    free = _system("MemAvailable")  # without swapping
    if _limit is None and free is not None and need > free:
        log.warning("%s needs up to %.1f GB of memory, %.1f GB are free", what, need / 1e9, free / 1e9)


def require_machine(what: str, need: int) -> None:
    """Raise when the `need` bytes that `what` certainly takes are more than the machine has, or the limit."""
    has = _system("MemTotal", "SwapTotal")
    if has is not None and need > has:
        raise InputError(
            f"{what} takes {need / 1e9:.1f} GB of memory, the machine has {has / 1e9:.1f} GB; ask for less"
        )
    require_memory(what, need)


def _system(*names: str) -> int | None:
    """Return the sum of what the system says of its memory, in bytes; None where it does not say (proc(5))."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = [int(line.split()[1]) * 1024 for line in lines if line.split(":")[0] in names]
        return sum(found) if found else None
    return None
