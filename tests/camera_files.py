"""Small files of cameras, made byte by byte as their formats are described: DM4 of Gatan, EER of Thermo Fisher."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

DM_TYPES = {"int16": (2, 1), "int32": (3, 7), "uint16": (4, 10), "float32": (6, 2)}  # NumPy → codes of tag and of image
CAPACITY = 127  # of a run length of 7 bits


def _group(tags: list[tuple[str, object]]) -> bytes:
    """Return a tag group of DM4; numbers in its structure are big-endian, values little-endian."""
    out = struct.pack(">BBQ", 0, 0, len(tags))
    for name, value in tags:
        body = _group(value) if isinstance(value, list) else _value(value)
        out += struct.pack(">BH", 20 if isinstance(value, list) else 21, len(name)) + name.encode()
        out += struct.pack(">Q", len(body)) + body
    return out


def _value(value: object) -> bytes:
    """Return a data tag: what kind, then the bytes."""
    if isinstance(value, np.ndarray):
        code = DM_TYPES[str(value.dtype)][0]
        return (
            b"%%%%"
            + struct.pack(">4Q", 3, 20, code, value.size)
            + value.astype(value.dtype.newbyteorder("<")).tobytes()
        )
    if isinstance(value, str):
        return b"%%%%" + struct.pack(">4Q", 3, 20, 4, len(value)) + value.encode("utf-16-le")
    if isinstance(value, float):
        return b"%%%%" + struct.pack(">2Q", 1, 6) + struct.pack("<f", value)
    return b"%%%%" + struct.pack(">2Q", 1, 5) + struct.pack("<I", value)


def write_dm4(path: Path, data: np.ndarray, pixel: float | None = None, seconds: float = 0.01) -> Path:
    """Write an image or a movie; `pixel` in nm on x and y."""
    sizes = data.shape[::-1]  # DM counts from the fastest axis
    units = [("nm", pixel or 1.0)] * 2 + [("s", seconds)] * (len(sizes) - 2)
    if pixel is None:
        units[:2] = [("", 1.0)] * 2
    scales = [("", [("Origin", 0.0), ("Scale", float(s)), ("Units", u)]) for u, s in units]
    brightness = [("Origin", 0.0), ("Scale", 1.0), ("Units", "")]
    image = [
        ("Calibrations", [("Brightness", brightness), ("Dimension", scales), ("DisplayCalibratedUnits", 1)]),
        ("Data", data.ravel()),
        ("DataType", DM_TYPES[str(data.dtype)][1]),
        ("Dimensions", [("", int(s)) for s in sizes]),
        ("PixelDepth", data.dtype.itemsize),
    ]
    root = [("ImageList", [("", [("ImageData", image), ("ImageTags", []), ("Name", "movie")])])]
    body = _group(root)
    path.write_bytes(struct.pack(">IQI", 4, len(body), 1) + body + bytes(8))
    return path


def _run_lengths(frame: np.ndarray) -> bytes:
    """Return the electrons of a frame as EER writes them: 7 bits of run length, 4 of the sub-pixel, low bits first."""
    bits, filled, last = 0, 0, -1

    def put(value: int, width: int) -> None:
        nonlocal bits, filled
        bits |= value << filled
        filled += width

    for place in [*np.flatnonzero(frame.ravel()), frame.size]:
        gap = int(place) - last - 1
        while gap >= CAPACITY:
            put(CAPACITY, 7)
            gap -= CAPACITY
        put(gap, 7)
        if place < frame.size:
            put(10, 4)
        last = int(place)
    return bits.to_bytes(2 * ((filled + 15) // 16), "little")  # decoders want an even number of bytes


def write_eer(path: Path, frames: np.ndarray, pixel: float = 0.358) -> Path:
    """Write frames of 0 and 1 as BigTIFF of compression 65001; `pixel` in Å."""
    name = "sensorPixelSize"
    about = "".join(f'<item name="{name}.{a}" unit="m">{pixel * 1e-10:.6g}</item>' for a in ("width", "height"))
    xml = f"<metadata>{about}</metadata>".encode()
    out = bytearray(b"II" + struct.pack("<HHHQ", 43, 8, 0, 16))
    for i, frame in enumerate(frames):
        data, at = _run_lengths(frame), len(out)
        extra = xml if i == 0 else b""
        rows, columns = frame.shape
        count = 10 if i == 0 else 9
        place = at + 8 + 20 * count + 8 + len(extra)
        tags = [(256, 4, columns), (257, 4, rows), (258, 3, 1), (259, 3, 65001), (262, 3, 1), (273, 16, place)]
        tags += [(277, 3, 1), (278, 4, rows), (279, 16, len(data))]
        out += struct.pack("<Q", count) + b"".join(struct.pack("<HHQQ", tag, kind, 1, v) for tag, kind, v in tags)
        if extra:
            out += struct.pack("<HHQQ", 65001, 7, len(extra), place - len(extra))
        out += struct.pack("<Q", place + len(data) if i < len(frames) - 1 else 0) + extra + data
    path.write_bytes(bytes(out))
    return path


def write_ser(path: Path, frames: np.ndarray, pixel: float = 0.358, whole: int | None = None) -> Path:
    """Write a movie as TIA's SER, rows from the bottom; `pixel` in Å; `whole` of its frames are said to be valid."""
    count, rows, columns = frames.shape
    code = {"uint8": 1, "uint16": 2, "int16": 5, "int32": 6, "float32": 7}[str(frames.dtype)]
    unit = b"s"
    dimension = struct.pack("<iddii", count, 0.0, 0.01, 0, 0) + struct.pack("<i", len(unit)) + unit
    head = struct.pack("<3hiiiiii", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, count, whole or count, 0, 1)
    table = len(head) + len(dimension)
    head = head[:22] + struct.pack("<i", table) + head[26:]
    step = pixel * 1e-10
    elements = [
        struct.pack("<ddiddihii", 0.0, step, 0, 0.0, step, 0, code, columns, rows)
        + frame[::-1].astype(frame.dtype.newbyteorder("<")).tobytes()
        for frame in frames
    ]
    tags = [struct.pack("<hhi", 0x4152, 0, 1_700_000_000 + k) for k in range(count)]
    places = table + 8 * count + np.concatenate([[0], np.cumsum([len(e) for e in elements])])
    ends = places[-1] + np.concatenate([[0], np.cumsum([len(t) for t in tags])])[:-1]
    offsets = np.concatenate([places[:-1], ends]).astype("<i4").tobytes()
    path.write_bytes(head + dimension + offsets + b"".join(elements) + b"".join(tags))
    return path


def write_emd(path: Path, frames: np.ndarray, pixel: float = 0.358) -> Path:
    """Write a movie as Berkeley's EMD (HDF5); `pixel` in Å."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/movie")
        group.attrs["emd_group_type"] = 1
        group["data"] = frames
        steps = [("time", "[s]", 0.01), ("y", "[n_m]", pixel / 10), ("x", "[n_m]", pixel / 10)]
        for k, (name, unit, step) in enumerate(steps, start=1):
            axis = group.create_dataset(f"dim{k}", data=np.arange(frames.shape[k - 1]) * step)
            axis.attrs["name"], axis.attrs["units"] = name, unit
    return path
