"""Volumes for ParaView and other programs of the Visualization Toolkit: the XML image format (.vti).

One file holds any number of named volumes on one grid. Values lie on grid points: value [z, y, x] is at
origin + (x, y, z) · spacing, Å, in the frame of our files (index × pixel size), so that it overlays the map and
atoms.xyz. Data are float32, little-endian, x fastest, each volume in zlib blocks of 32 KiB appended to the XML:

    number of blocks, bytes of a block, bytes of the last (0: a full one), compressed bytes of each, the blocks

with headers of 64-bit integers. The format is described in "The VTK User's Guide", VTK file formats, XML
(https://docs.vtk.org/en/latest/design_documents/VTKFileFormats.html).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError
from single_rs.io.atomic import atomic_binary

__all__ = ["read_vti", "write_vti"]

# VTK's own default block size, bytes.
_BLOCK = 32768
# Volumes are mostly empty: the fastest level shrinks them as well as the best.
_LEVEL = 1


def write_vti(
    path: str | os.PathLike[str],
    volumes: Mapping[str, NDArray[np.float32]],
    spacing: float,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write named volumes on one grid as a VTK image file.

    Parameters
    ----------
    path
        File, `.vti`; replaced if it exists.
    volumes
        Name → (z, y, x), all of one shape; written as float32.
    spacing
        Å between voxels.
    origin
        (x, y, z) Å of voxel 0, 0, 0.

    Raises
    ------
    InputError
        No volume, different shapes, values that are not finite, names with quotes, or spacing that is not positive.
    DataFileError
        If the file cannot be written.
    """
    shapes = {np.shape(v) for v in volumes.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise InputError(f"volumes have shapes {sorted(shapes)}; one or more of one shape (z, y, x) are needed")
    if not spacing > 0:
        raise InputError(f"spacing is {spacing} Å; it must be more than 0 Å")
    names = ", ".join(name for name in volumes if re.search(r"[\"<>&]", name))
    if names:
        raise InputError(f"volumes are named {names}; names must be without quotes, < > and &")
    z, y, x = next(iter(shapes))
    extent = f"0 {x - 1} 0 {y - 1} 0 {z - 1}"
    arrays, blobs, offset = [], [], 0
    for name, volume in volumes.items():
        data = np.ascontiguousarray(volume, dtype="<f4")
        if not np.isfinite(data).all():
            raise InputError(f"volume {name} holds NaN or infinite values; set them to 0")
        arrays.append(f'        <DataArray type="Float32" Name="{name}" format="appended" offset="{offset}"/>')
        blobs.append(_compressed(data.tobytes()))
        offset += len(blobs[-1])
    head = [
        '<?xml version="1.0"?>',
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64"'
        ' compressor="vtkZLibDataCompressor">',
        f'  <ImageData WholeExtent="{extent}" Origin="{origin[0]:.9g} {origin[1]:.9g} {origin[2]:.9g}"'
        f' Spacing="{spacing:.9g} {spacing:.9g} {spacing:.9g}">',
        f'    <Piece Extent="{extent}">',
        f'      <PointData Scalars="{next(iter(volumes))}">',
        *arrays,
        "      </PointData>",
        "    </Piece>",
        "  </ImageData>",
        '  <AppendedData encoding="raw">',
        "   _",
    ]
    with atomic_binary(path) as file:
        file.write("\n".join(head).encode("ascii"))
        for blob in blobs:
            file.write(blob)
        file.write(b"\n  </AppendedData>\n</VTKFile>\n")


def _compressed(data: bytes) -> bytes:
    blocks = [zlib.compress(data[k : k + _BLOCK], _LEVEL) for k in range(0, len(data), _BLOCK)]
    header = [len(blocks), _BLOCK, len(data) % _BLOCK, *map(len, blocks)]
    return np.array(header, dtype="<u8").tobytes() + b"".join(blocks)


def read_vti(
    path: str | os.PathLike[str],
) -> tuple[dict[str, NDArray[np.float32]], float, tuple[float, float, float]]:
    """Read a file that `write_vti` wrote: volumes (z, y, x), spacing (Å) and origin (x, y, z).

    Parameters
    ----------
    path
        File of `write_vti`; other programs' variants of the format are not read.

    Raises
    ------
    DataFileError
        If the file is missing or of another kind.
    """
    source = Path(path)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataFileError(f"cannot read {source}: {error.strerror or error}") from None
    head, mark, data = content.partition(b'<AppendedData encoding="raw">\n   _')
    text = head.decode("ascii", errors="replace")
    extent = re.search(r'WholeExtent="0 (\d+) 0 (\d+) 0 (\d+)"', text)
    place = re.search(r'Origin="(\S+) (\S+) (\S+)" Spacing="(\S+) ', text)
    if not mark or extent is None or place is None:
        raise DataFileError(f"{source} is not a .vti file of write_vti; give one of its files")
    x, y, z = (int(n) + 1 for n in extent.groups())
    volumes = {}
    for name, offset in re.findall(r'Name="([^"]+)" format="appended" offset="(\d+)"', text):
        start = int(offset)
        count = int(np.frombuffer(data, "<u8", 1, start)[0])
        sizes = np.frombuffer(data, "<u8", count, start + 24).astype(int)
        ends = start + 24 + 8 * count + np.concatenate([[0], np.cumsum(sizes)])
        raw = b"".join(zlib.decompress(data[a:b]) for a, b in pairwise(ends))
        volumes[name] = np.frombuffer(raw, "<f4").reshape(z, y, x)
    a, b, c, spacing = (float(v) for v in place.groups())
    return volumes, spacing, (a, b, c)
