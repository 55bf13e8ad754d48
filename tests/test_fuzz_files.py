"""Mangled files: each is read right or refused in one line, by an error of ours; nothing else comes out.

Seeded and bounded: the same 4,250 files every time, some 30 s on one core.
"""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

import single_rs as sr
from movie_files import MOVIE, mrc_bytes
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import open_movie, read_map, read_stack, write_stack
from single_rs.io.star import posed_stack, read_frames, read_tracks, write_frames, write_poses, write_tracks
from single_rs.records import ParticleStack
from single_rs.simulate import read_crystal

EACH = 250  # mangled files of each kind
# Words that parsers stumble over, in the place of a number.
WORDS = [
    "nan", "inf", "-inf", "1e308", "-1e308", "1e999", "1e-308", "-1", "0", "99999999999", "99999999999999999999",
    "0x10", "1_0", "", "H", "1.5", "*****", "'", '"', "#", ";", "_", "data_", "loop_", "\0", "é", "@", "000001@",
    "2147483648",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 101, 255, 1024, 2**15, 2**31 - 1, -(2**31), 0x7F800000, 0x7FC00000, 0x10000000]
PLACES = sr.nanocrystal("Pt", diameter=9.0, seed=2).positions + 16.0
CELL = 32.0


def mangle_bytes(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, cut, doubled or left out, or a word of four bytes made extreme."""
    out = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        # Headers stand at the beginning: half of the changes are there.
        span = len(out) if generator.random() < 0.5 else min(len(out), 300)
        at = int(generator.integers(0, max(span, 1)))
        match int(generator.integers(0, 6)):
            case 0:
                out[at : at + 1] = generator.bytes(1)
            case 1:
                del out[at:]
            case 2:
                del out[at : at + int(generator.integers(1, 40))]
            case 3:
                out[at:at] = out[at : at + int(generator.integers(1, 40))]
            case 4:
                out[at:at] = generator.bytes(int(generator.integers(1, 9)))
            case _:
                number = int(generator.choice(np.array(NUMBERS, np.int64))) & 0xFFFFFFFF
                order = "little" if generator.random() < 0.8 else "big"
                out[at // 4 * 4 : at // 4 * 4 + 4] = number.to_bytes(4, order)
    return bytes(out)


def mangle_text(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a text with words replaced, lines cut, doubled, joined or in another order; or mangled as bytes."""
    if generator.random() < 0.25:
        return mangle_bytes(content, generator)
    lines = content.decode().splitlines()
    for _ in range(int(generator.integers(1, 4))):
        k = int(
            generator.integers(0, len(lines))
            if generator.random() < 0.5
            else generator.integers(0, min(len(lines), 25))
        )
        match int(generator.integers(0, 6)):
            case 0:
                del lines[k]
            case 1:
                lines.insert(k, lines[int(generator.integers(0, len(lines)))])
            case 2:
                lines[k] = lines[k][: int(generator.integers(0, len(lines[k]) + 1))]
            case _:
                words = list(re.finditer(r"[-+\w.@]+", lines[k]))
                if words:
                    word = words[int(generator.integers(0, len(words)))]
                    new = str(generator.choice(np.array(WORDS, dtype=object)))
                    lines[k] = lines[k][: word.start()] + new + lines[k][word.end() :]
        if not lines:
            break
    return "\n".join(lines).encode() + b"\n"


def movie(path: Path) -> np.ndarray:
    with open_movie(path, 0.36) as found:
        return np.array(found.read(0, len(found)))


def atoms(path: Path) -> np.ndarray:
    found, crystal = sr.export.read_xyz(path), read_crystal(path)
    assert len(found.positions) == len(crystal.positions) == len(found.symbols) > 0
    assert "X" not in set(found.symbols)
    return found.positions


def poses(path: Path) -> np.ndarray:
    stack, found = posed_stack(path, read_stack(path.with_name("stack.mrcs")), path.with_name("stack.mrcs"))
    n = len(stack)
    assert len(found.frames) == len(found.images) == len(found.half) == n > 0
    np.testing.assert_allclose(
        found.rotations @ found.rotations.swapaxes(1, 2), np.tile(np.eye(3), (n, 1, 1)), atol=1e-9
    )
    return np.concatenate([found.shifts.ravel(), found.weight, found.score, found.confidence])


def frames(path: Path) -> np.ndarray:
    found = read_frames(path, read_stack(path.with_name("stack.mrcs")))
    return found.frames if found.offsets is None else found.offsets


def tracks(path: Path) -> np.ndarray:
    return np.concatenate([np.empty(0), *(t.x for t in read_tracks(path))])


def tiff(**options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, MOVIE, photometric="minisblack", **options)
    return out.getvalue()


def structure(name: str, **options) -> bytes:
    from ase import Atoms

    out = io.BytesIO() if name == "cif" else io.StringIO()
    Atoms("Pt" * len(PLACES), PLACES, cell=[CELL] * 3, pbc=True).write(out, format=name, **options)
    text = out.getvalue()
    return text if isinstance(text, bytes) else text.encode()


def star(write) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "x.star")
        return (Path(folder) / "x.star").read_bytes()


def some_poses() -> sr.Poses:
    from scipy.spatial.transform import Rotation

    n, rng = 9, np.random.default_rng(1)
    half = np.array([1, 1, 1, 0, 2, 2, 2, 0, 1], np.int8)
    return sr.Poses(Rotation.random(n, rng=rng).as_matrix(), rng.normal(size=(n, 2)), np.ones(n), np.ones(n), half,
                    np.ones(n), np.arange(n))  # fmt: skip


def some_track() -> sr.Track:
    n = np.arange(6)
    return sr.Track(frames=n, x=10.0 + n, y=12.0 - n, sigma=np.ones(6), diameter=20.0, score=3.0)


STACK = ParticleStack(np.zeros((9, 16, 16), np.int16), 0.36, np.arange(9), 4.0, np.zeros((9, 2)))
VOLUME = np.random.default_rng(5).normal(size=(8, 8, 8)).astype(np.float32)
KINDS = {
    "m.mrc": (lambda: mrc_bytes(MOVIE, 6), mangle_bytes, movie),
    "b.mrc": (lambda: mrc_bytes(MOVIE.astype(np.int8), 0, order=">"), mangle_bytes, movie),
    "p.mrc": (lambda: mrc_bytes(MOVIE.astype(np.uint8) & 15, 101, columns=56), mangle_bytes, movie),
    "m.mrc.gz": (lambda: gzip.compress(mrc_bytes(MOVIE, 6), mtime=0), mangle_bytes, movie),
    "map.mrc": (
        lambda: mrc_bytes(VOLUME, 2, axes=(3, 2, 1), cell=(8 * 0.36,) * 3),
        mangle_bytes,
        lambda p: read_map(p)[0],
    ),
    "m.tif": (tiff, mangle_bytes, movie),
    "z.tif": (lambda: tiff(compression="zlib"), mangle_bytes, movie),
    "big.tif": (lambda: tiff(bigtiff=True, byteorder=">"), mangle_bytes, movie),
    "imagej.tif": (lambda: tiff(imagej=True), mangle_bytes, movie),
    "poses.star": (lambda: star(lambda p: write_poses(p, some_poses(), "stack.mrcs", 0.36, 16)), mangle_text, poses),
    "stack.star": (lambda: star(lambda p: write_frames(p, STACK, "stack.mrcs")), mangle_text, frames),
    "tracks.star": (lambda: star(lambda p: write_tracks(p, [some_track()] * 2, 0.36)), mangle_text, tracks),
    "a.xyz": (lambda: structure("extxyz"), mangle_text, atoms),
    "plain.xyz": (lambda: structure("xyz"), mangle_text, atoms),
    "a.pdb": (lambda: structure("proteindatabank"), mangle_text, atoms),
    "a.cif": (lambda: structure("cif"), mangle_text, atoms),
    "POSCAR": (lambda: structure("vasp", direct=True), mangle_text, atoms),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", KINDS)
def test_a_mangled_file_is_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, mangle, read = KINDS[name]
    write_stack(tmp_path / "stack.mrcs", STACK.images, STACK.pixel_size)
    path, good = tmp_path / name, make()
    path.write_bytes(good)
    assert np.isfinite(read(path)).all()
    generator = np.random.default_rng(list(name.encode()))
    messages = []
    for k in range(EACH):
        path.write_bytes(mangle(good, generator))
        try:
            values = read(path)
        except (DataFileError, InputError) as error:
            messages.append(str(error))
        else:
            assert np.isfinite(values).all(), f"file {k} holds numbers that are none"
    assert all(message.strip() and "\n" not in message for message in messages)
    # Much of what is mangled is noticed.
    assert len(messages) > EACH // 5
