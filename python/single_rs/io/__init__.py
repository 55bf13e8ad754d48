"""Read movies and stacks without loading them, write maps and stacks whole or not at all.

Arrays are C order with x fastest, as in MRC: movie (frame, y, x), stack (n, y, x), map (z, y, x).
Stacks are written with ISPG 0 and ORIGIN 0, volumes with ISPG 1 (MRC2014; Cheng et al. 2015,
doi:10.1016/j.jsb.2015.04.002). A movie is never held as floats: blocks are read in the type of the file.
Poses and tracks in STAR files are `star`, volumes for ParaView `vtk`, results for people and programs `json`.
"""

from __future__ import annotations

from single_rs.base.reading import Reading
from single_rs.io.atomic import (
    atomic,
    atomic_text,
    remove_partials,
    require_space,
    writable_folder,
    write_array,
    write_text,
)
from single_rs.io.movie import Movie, open_movie
from single_rs.io.mrc import read_map, read_origin, write_map
from single_rs.io.stack import read_stack, write_stack

__all__ = [
    "Movie",
    "Reading",
    "atomic",
    "atomic_text",
    "open_movie",
    "read_map",
    "read_origin",
    "read_stack",
    "remove_partials",
    "require_space",
    "writable_folder",
    "write_array",
    "write_map",
    "write_stack",
    "write_text",
]
