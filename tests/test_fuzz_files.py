"""Mangled files: each is read right or refused in one line, by an error of ours; nothing else comes out.

Seeded and bounded: the same 6,750 files every time.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

import single_rs as sr
from camera_files import write_dm4, write_eer, write_emd, write_ser
from mangling import mangle_bytes, mangle_text
from movie_files import MOVIE, mrc_bytes
from single_rs.base.errors import DataFileError, InputError
from single_rs.base.settings_text import settings_to_toml
from single_rs.io import open_movie, read_map, read_stack, write_stack
from single_rs.io.star import posed_stack, read_frames, read_tracks, write_frames, write_poses, write_tracks
from single_rs.io.tracks import read_track_files, write_track_table
from single_rs.pipeline.config import Config, load_config
from single_rs.records import ParticleStack
from single_rs.simulate import read_crystal

EACH = 250  # mangled files of each kind
PLACES = sr.nanocrystal("Pt", diameter=9.0, seed=2).positions + 16.0
CELL = 32.0


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


def made(write) -> bytes:
    """Return what a writer of a camera's format writes; skip where the library that reads it is missing."""
    pytest.importorskip("rsciio")
    pytest.importorskip("imagecodecs")
    return star(write)


def arrays() -> bytes:
    h5py = pytest.importorskip("h5py")
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["entry/data"] = MOVIE
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, MOVIE)
    return out.getvalue()


def paths(path: Path) -> np.ndarray:
    return np.concatenate([t.x for t in read_track_files([path], (40, 90, 90), 12.0)])


def settings(path: Path) -> np.ndarray:
    found = load_config(path)
    return np.array([found.orient.search_resolution or 0.0, found.track.window])


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
    "m.npy": (npy, mangle_bytes, movie),
    "m.h5": (arrays, mangle_bytes, movie),
    "m.emd": (lambda: made(lambda p: write_emd(p, MOVIE)), mangle_bytes, movie),
    "m.ser": (lambda: made(lambda p: write_ser(p, MOVIE)), mangle_bytes, movie),
    "m.dm4": (lambda: made(lambda p: write_dm4(p, MOVIE.astype(np.uint16), 0.036)), mangle_bytes, movie),
    "m.eer": (lambda: made(lambda p: write_eer(p, (MOVIE > 4).astype(np.uint8))), mangle_bytes, movie),
    "tracks.csv": (lambda: star(lambda p: write_track_table(p, [some_track()] * 2)), mangle_text, paths),
    "track.box": (lambda: b"".join(b"%d %d 16 16\n" % (20 + i, 30 - i) for i in range(9)), mangle_text, paths),
    "track.xy": (lambda: b"".join(b"%d %d %d\n" % (i, 20 + i, 30 - i) for i in range(9)), mangle_text, paths),
    "s.toml": (lambda: settings_to_toml(Config()).encode(), mangle_text, settings),
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
