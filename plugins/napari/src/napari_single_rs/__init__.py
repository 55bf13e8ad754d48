"""Files of single_rs in napari: `reader` opens them as layers, `writer` saves edited tracks.

Images of a movie or a stack are (frame, y, x) in px, tracks points (frame, y, x) in px of the raw frame. Maps and atoms
are (z, y, x) in Å as in their files, so that they lie over each other.
"""

__all__: list[str] = []
