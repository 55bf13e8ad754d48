"""Files of each kind that the extra ``io`` brings, made by their own libraries or by microscopes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camera_files import write_dm4, write_eer, write_emd, write_ser
from movie_files import frames_of
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import Reading, open_movie
from single_rs.io.formats import open_source

RNG = np.random.default_rng(5)
MOVIE = RNG.poisson(6, (7, 20, 28)).astype(np.uint16)
REAL = Path(__file__).parents[2] / "shared" / "data" / "real" / "files"


def test_dm4_has_its_frames_and_pixel_size(tmp_path):
    pytest.importorskip("rsciio")
    path = write_dm4(tmp_path / "m.dm4", MOVIE, 0.0358)
    np.testing.assert_array_equal(frames_of(path), MOVIE)
    with open_movie(path) as movie:
        assert (movie.pixel_size, movie.dtype) == (0.358, np.uint16)


def test_eer_has_its_electrons_and_pixel_size(tmp_path):
    pytest.importorskip("imagecodecs")
    electrons = (RNG.random((8, 48, 48)) < 0.05).astype(np.uint8)
    path = write_eer(tmp_path / "m.eer", electrons)
    np.testing.assert_array_equal(frames_of(path), electrons)
    with open_movie(path) as movie:
        assert movie.pixel_size == pytest.approx(0.358)


def test_ser_and_emd_have_their_frames_and_pixel_size(tmp_path):
    pytest.importorskip("rsciio")
    pytest.importorskip("h5py")
    for path in (write_ser(tmp_path / "m.ser", MOVIE), write_emd(tmp_path / "m.emd", MOVIE)):
        np.testing.assert_array_equal(frames_of(path), MOVIE)
        with open_movie(path) as movie:
            assert movie.pixel_size == pytest.approx(0.358)
    # An acquisition that was stopped: what its header calls valid is read.
    with open_movie(write_ser(tmp_path / "s.ser", MOVIE, whole=4)) as movie:
        np.testing.assert_array_equal(movie.read(0, len(movie)), MOVIE[:4])


@pytest.mark.parametrize("kind", ["dm4", "ser", "emd"])
def test_values_are_those_of_ncempy(tmp_path, kind):
    pytest.importorskip("rsciio")
    pytest.importorskip("ncempy.io")
    write = {"dm4": lambda p, f: write_dm4(p, f, 0.0358), "ser": write_ser, "emd": write_emd}[kind]
    paths = [write(tmp_path / f"m.{kind}", MOVIE), *sorted(REAL.glob(f"*.{kind}"))]
    for path in paths:
        found = open_source(path)
        theirs = _by_ncempy(path)
        np.testing.assert_array_equal(found.read(0, found.shape[0]), theirs.reshape(found.shape))


def _by_ncempy(path):
    from ncempy.io import dm, emd, emdVelox, ser

    if path.suffix == ".ser":
        return ser.serReader(str(path))["data"]
    if path.suffix == ".dm4":
        with dm.fileDM(str(path)) as file:
            return file.getDataset(0)["data"]
    if path.stem.startswith("ceta"):  # Velox
        with emdVelox.fileEMDVelox(str(path)) as file:
            return file.get_dataset(0)[0]
    with emd.fileEMD(str(path), readonly=True) as file:
        return file.get_emdgroup(0)[0]


def test_numpy_arrays_are_movies(tmp_path):
    for name, data in (("c", MOVIE), ("f", np.asfortranarray(MOVIE)), ("d", MOVIE.astype(">f8"))):
        np.save(tmp_path / f"{name}.npy", data)
        np.testing.assert_array_equal(frames_of(tmp_path / f"{name}.npy", 0.36), MOVIE)
    np.save(tmp_path / "t.npy", MOVIE.transpose(1, 2, 0))
    np.testing.assert_array_equal(frames_of(tmp_path / "t.npy", 0.36, axis=2), MOVIE)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([{"a": 1}, None]), "cannot read"),
        (MOVIE[None, :, None].repeat(2, axis=0), "2×7×1×20×28"),
        (MOVIE[0], "one frame"),
        (MOVIE + 1j, "complex128"),
        (np.array(3.0), "a single value"),
    ],
)
def test_numpy_arrays_that_are_no_movies_are_refused(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises((InputError, DataFileError), match=said):
        open_movie(tmp_path / "a.npy", 0.36)


def test_a_cut_numpy_file_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", MOVIE)
    data = (tmp_path / "a.npy").read_bytes()
    for size in (4, 60, len(data) - 1):
        (tmp_path / "b.npy").write_bytes(data[:size])
        with pytest.raises(DataFileError, match="cannot read"):
            open_movie(tmp_path / "b.npy", 0.36)


def test_what_is_no_array_is_refused_without_advice_to_trust_it(tmp_path):
    (tmp_path / "a.npy").write_bytes(bytes(range(200)))
    with pytest.raises(DataFileError, match="begins with other bytes"):
        open_movie(tmp_path / "a.npy", 0.36)


def test_blocks_that_are_not_in_a_file_are_told(tmp_path, caplog):
    zarr = pytest.importorskip("zarr")
    h5py = pytest.importorskip("h5py")
    array = zarr.open_array(str(tmp_path / "m.zarr"), mode="w", shape=MOVIE.shape, chunks=(2, 20, 28), dtype="u2")
    array[:] = MOVIE
    np.testing.assert_array_equal(frames_of(tmp_path / "m.zarr", 0.36), MOVIE)
    assert not caplog.text
    blocks = [p for p in (tmp_path / "m.zarr").rglob("*") if p.is_file() and not p.name.endswith((".json", "zarray"))]
    blocks[0].unlink()
    frames_of(tmp_path / "m.zarr", 0.36)
    assert "1 of 4 blocks" in caplog.text
    with h5py.File(tmp_path / "m.h5", "w") as file:
        data = file.create_dataset("a", MOVIE.shape, "u2", chunks=(1, 20, 28))
        data[:3] = MOVIE[:3]
        file.create_dataset("b", MOVIE.shape, "u2", chunks=(1, 20, 28))
    caplog.clear()
    with open_movie(tmp_path / "m.h5", 0.36, reading=Reading(key="a")) as movie:
        np.testing.assert_array_equal(movie.read(0, 3), MOVIE[:3])
    assert "4 of 7 blocks" in caplog.text
    with pytest.raises(DataFileError, match="never written"):
        open_movie(tmp_path / "m.h5", 0.36, reading=Reading(key="b"))


def test_what_the_library_logs_is_one_line_of_ours(tmp_path, capsys, caplog):
    pytest.importorskip("rsciio")
    (tmp_path / "m.zspy").write_bytes(b"no folder")
    with pytest.raises(DataFileError, match="cannot read"):
        open_movie(tmp_path / "m.zspy", 0.36)
    assert capsys.readouterr().err == ""


def _hdf5(path, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=array, compression="gzip" if array.ndim else None)
    return path


def _zarr(path, **arrays):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w")
    for name, array in arrays.items():
        group.create_array(name.replace("__", "/"), data=array, chunks=array.shape or "auto")
    return path


@pytest.mark.parametrize(("make", "suffix"), [(_hdf5, "h5"), (_zarr, "zarr")])
def test_arrays_with_names_are_chosen_by_key(tmp_path, make, suffix):
    one = make(tmp_path / f"one.{suffix}", entry__data=MOVIE, entry__gain=MOVIE[0].astype(np.float32))
    np.testing.assert_array_equal(frames_of(one, 0.36), MOVIE)
    two = make(tmp_path / f"two.{suffix}", entry__data=MOVIE, other=MOVIE[None, :, None] * 2)
    with pytest.raises(InputError, match=r"several .*/entry/data 7×20×28.*; give --key"):
        open_movie(two, 0.36)
    with open_movie(two, 0.36, reading=Reading(key="/other", frames="2:")) as movie:
        np.testing.assert_array_equal(movie.read(0, 5), 2 * MOVIE[2:])
    with pytest.raises(InputError, match="--key is /nothing"):
        open_movie(two, 0.36, reading=Reading(key="/nothing"))
    with pytest.raises(InputError, match="no array of three axes"):
        open_movie(make(tmp_path / f"flat.{suffix}", a=MOVIE[0]), 0.36)
    with pytest.raises(InputError, match="does not say its pixel size"):
        open_movie(one)


def test_a_broken_hdf5_file_is_refused(tmp_path):
    data = _hdf5(tmp_path / "m.h5", a=MOVIE).read_bytes()
    for content in (data[: len(data) // 2], b"\0" * 100, data[:8]):
        (tmp_path / "b.h5").write_bytes(content)
        with pytest.raises(DataFileError, match="cannot read"):
            open_movie(tmp_path / "b.h5", 0.36)


@pytest.mark.parametrize(
    ("name", "shape", "pixel"),
    [("stem_abf_stack.hspy", (5, 512, 512), 0.092)],
)
def test_a_movie_of_a_microscope_is_read(name, shape, pixel):
    pytest.importorskip("rsciio")
    h5py = pytest.importorskip("h5py")
    if not (REAL / name).exists():
        pytest.skip("the files of microscopes are not beside the project")
    with open_movie(REAL / name) as movie, h5py.File(REAL / name) as file:
        assert movie.shape == shape
        assert movie.pixel_size == pytest.approx(pixel, rel=0.01)
        found = []
        file.visititems(lambda _, item: found.append(item) if getattr(item, "shape", None) == shape else None)
        np.testing.assert_array_equal(movie.read(0, 5), found[0][()])


@pytest.mark.parametrize("name", ["16_STOimage_1.ser", "Acquisition_18.emd", "ceta_frame.emd"])
def test_single_images_of_microscopes_are_told_as_such(name):
    pytest.importorskip("rsciio")
    if not (REAL / name).exists():
        pytest.skip("the files of microscopes are not beside the project")
    with pytest.raises(InputError, match="one frame"):
        open_movie(REAL / name)


def test_images_of_a_microscope_serve_as_references(tmp_path):
    """Velox EMD: a gain reference of the camera is such a file."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("rsciio")
    if not (REAL / "ceta_frame.emd").exists():
        pytest.skip("the files of microscopes are not beside the project")
    with h5py.File(REAL / "ceta_frame.emd") as file:
        found = []
        file.visititems(lambda _, item: found.append(item) if getattr(item, "ndim", 0) == 3 else None)
        dark = found[0][..., 0].astype(np.float32)
    np.save(tmp_path / "m.npy", np.stack([dark + 3, dark + 5]))
    with open_movie(tmp_path / "m.npy", 0.36, reading=Reading(dark=REAL / "ceta_frame.emd")) as movie:
        np.testing.assert_allclose(movie.read(0, 2).mean(axis=(1, 2)), [3, 5], rtol=1e-5)
