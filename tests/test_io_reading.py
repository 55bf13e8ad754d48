"""Parts of a movie, binning, sums of frames, gain and dark references: against the same made with NumPy."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest
import tifffile

from camera_files import write_dm4, write_eer
from movie_files import mrc_bytes, written
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.io import Reading, open_movie, read_map
from single_rs.io.growing import wait_until_still
from single_rs.store.inputs import InputRecord, input_files
from single_rs.store.read import load_stack

RNG = np.random.default_rng(3)
FRAMES = RNG.poisson(6, (12, 24, 36)).astype(np.uint8)
SENSITIVITY = RNG.normal(1, 0.1, (24, 36)).astype(np.float32)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    return written(
        tmp_path_factory.mktemp("movie") / "m.mrc", mrc_bytes(FRAMES, 0, imod=0, cell=(36 * 0.36, 24 * 0.36, 4.32))
    )


def _read(path, **asked):
    with open_movie(path, reading=Reading(**asked)) as opened:
        whole = np.array(opened.read(0, len(opened)))
        np.testing.assert_array_equal(opened.read(1, 2), whole[1:2])
        return whole, opened.pixel_size


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"frames": "3:9"}, FRAMES[3:9]),
        ({"frames": "-4:"}, FRAMES[-4:]),
        ({"region": "4:20,:10"}, FRAMES[:, :10, 4:20]),
        ({"bin": 2}, FRAMES.reshape(12, 12, 2, 18, 2).sum(axis=(2, 4))),
        ({"bin": 5}, FRAMES[:, :20, :35].reshape(12, 4, 5, 7, 5).sum(axis=(2, 4))),
        ({"group": 4}, FRAMES.reshape(3, 4, 24, 36).sum(axis=1)),
        ({"group": 5, "frames": "1:"}, FRAMES[1:11].reshape(2, 5, 24, 36).sum(axis=1)),
        ({"frames": "2:8", "group": 3, "bin": 3, "region": "3:,3:"},
         FRAMES[2:8, 3:, 3:].reshape(2, 3, 7, 3, 11, 3).sum(axis=(1, 3, 5))),
    ],
)  # fmt: skip
def test_parts_and_sums_are_those_of_the_array(movie, asked, wanted):
    values, pixel = _read(movie, **asked)
    np.testing.assert_array_equal(values, wanted)
    assert pixel == pytest.approx(0.36 * asked.get("bin", 1))
    # Sums of bytes stay whole numbers; a part of the file keeps its type.
    assert values.dtype == (np.uint8 if asked.keys() <= {"frames", "region"} else np.uint16)


def test_dark_and_gain_come_before_region_and_binning(movie, tmp_path):
    gain, dark = 1 / SENSITIVITY, RNG.random((24, 36)).astype(np.float32)
    np.save(tmp_path / "gain.npy", gain)
    tifffile.imwrite(tmp_path / "dark.tif", np.stack([dark - 0.5, dark + 0.5]))
    values, _ = _read(movie, gain=tmp_path / "gain.npy", dark=tmp_path / "dark.tif", region="6:,:", bin=2)
    whole = ((FRAMES - dark) * gain)[:, :, 6:]
    np.testing.assert_allclose(values, whole.reshape(12, 12, 2, 15, 2).sum(axis=(2, 4)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["mrc", "tif", "npy", "dm4"])
@pytest.mark.parametrize(("degrees", "flip"), [(0, None), (90, None), (90, "x"), (180, "y"), (270, "x")])
def test_a_gain_reference_is_turned_and_flipped_as_asked(movie, tmp_path, kind, degrees, flip):
    wanted = 1 / SENSITIVITY
    stored = wanted[:, ::-1] if flip == "x" else wanted[::-1] if flip == "y" else wanted
    stored = np.ascontiguousarray(np.rot90(stored, -degrees // 90))
    path = tmp_path / f"reference.{kind}"
    if kind == "mrc":
        written(path, mrc_bytes(stored[None], 2))
    elif kind == "tif":
        tifffile.imwrite(path, stored)
    elif kind == "npy":
        np.save(path, stored)
    else:
        pytest.importorskip("rsciio")
        write_dm4(path, stored)
    values, _ = _read(movie, gain=path, gain_rotate=degrees, gain_flip=flip)
    np.testing.assert_allclose(values, FRAMES * wanted, rtol=1e-6)


def test_a_flat_field_divides_and_keeps_the_counts(movie, tmp_path):
    flat = (900 * SENSITIVITY).astype(np.float32)
    flat[2, 3] = 0
    np.save(tmp_path / "flat.npy", flat)
    values, _ = _read(movie, gain=tmp_path / "flat.npy", gain_divide=True)
    assert (values[:, 2, 3] == 0).all()
    assert values.mean() == pytest.approx(FRAMES.mean(), rel=0.02)
    good = flat > 0
    np.testing.assert_allclose(values[:, good], FRAMES[:, good] * (flat.mean() / flat[good]), rtol=1e-5)


def test_frames_of_eer_are_summed_and_divided_by_their_gain(tmp_path):
    pytest.importorskip("imagecodecs")
    electrons = (RNG.random((12, 64, 64)) < 0.05).astype(np.uint8)
    gain = RNG.normal(1, 0.05, (64, 64)).astype(np.float32)
    write_eer(tmp_path / "m.eer", electrons)
    tifffile.imwrite(tmp_path / "m.tif", gain)
    (tmp_path / "m.tif").rename(tmp_path / "m.gain")
    values, pixel = _read(tmp_path / "m.eer", group=4)
    np.testing.assert_array_equal(values, electrons.reshape(3, 4, 64, 64).sum(axis=1))
    assert pixel == pytest.approx(0.358)
    values, _ = _read(tmp_path / "m.eer", group=4, gain=tmp_path / "m.gain")
    np.testing.assert_allclose(values, electrons.reshape(3, 4, 64, 64).sum(axis=1) * gain.mean() / gain, rtol=1e-4)


def test_a_reference_of_physical_pixels_serves_sub_pixels(movie, tmp_path):
    small = RNG.normal(1, 0.1, (12, 18)).astype(np.float32)
    np.save(tmp_path / "g.npy", small)
    values, _ = _read(movie, gain=tmp_path / "g.npy")
    np.testing.assert_allclose(values, FRAMES * np.kron(small, np.ones((2, 2))), rtol=1e-6)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (1 / SENSITIVITY, ""),
        (1 / SENSITIVITY[:, ::-1], "--gain-flip x"),
        (1 / SENSITIVITY[::-1, ::-1], "--gain-rotate 180"),
        (SENSITIVITY, "--gain-divide"),
        (RNG.normal(1, 0.1, (24, 36)), "not seen"),
    ],
)
def test_a_reference_that_lies_wrong_is_seen_in_the_frames(tmp_path, caplog, stored, said):
    counts = RNG.poisson(60 * SENSITIVITY, (30, 24, 36)).astype(np.int16)
    path = written(tmp_path / "m.mrc", mrc_bytes(counts, 1))
    np.save(tmp_path / "g.npy", stored.astype(np.float32))
    with caplog.at_level(logging.WARNING, logger="single_rs"):
        open_movie(path, reading=Reading(gain=tmp_path / "g.npy")).close()
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"frames": "3"}, "START:STOP"),
        ({"frames": "5:99"}, "frames 0 to 11"),
        ({"frames": "7:7"}, "frames 0 to 11"),
        ({"frames": "2:3"}, "one frame"),
        ({"region": "0:5"}, "X0:X1,Y0:Y1"),
        ({"region": "0:99,:"}, "columns 0 to 35"),
        ({"bin": 0}, "--bin is 0"),
        ({"bin": 40}, "leave nothing"),
        ({"group": 13}, "leave nothing"),
        ({"gain_rotate": 90}, "give --gain"),
        ({"gain": "g.npy", "gain_rotate": 45}, "0, 90, 180 or 270"),
        ({"key": "/a"}, "no arrays with names"),
    ],
)
def test_what_the_file_has_not_is_refused_in_words(movie, asked, said):
    with pytest.raises(InputError, match=said):
        open_movie(movie, reading=Reading(**asked))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.ones((36, 24)), "--gain-rotate 90"),
        (np.ones((23, 36)), "23 × 36 px, the frames are 24 × 36"),
        (np.full((24, 36), -1.0), "a gain reference is above 0"),
        (np.zeros((24, 36)), "a gain reference is above 0"),
        (np.full((24, 36), np.nan), "NaN"),
    ],
)
def test_an_image_that_is_no_reference_is_refused(movie, tmp_path, image, said):
    np.save(tmp_path / "g.npy", image)
    with pytest.raises(InputError, match=said):
        open_movie(movie, reading=Reading(gain=tmp_path / "g.npy"))


def test_a_growing_file_gives_the_frames_that_are_whole(movie, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("single_rs.io.movie.wait_until_still", lambda _: None)
    data = movie.read_bytes()
    cut = written(tmp_path / "m.mrc", data[: 1024 + 24 * 36 * 7 + 100])
    with pytest.raises(DataFileError, match="truncated"):
        open_movie(cut)
    values, _ = _read(cut, follow=True)
    np.testing.assert_array_equal(values, FRAMES[:7])
    assert "7 frames are whole" in caplog.text
    with tifffile.TiffWriter(tmp_path / "m.tif") as file:
        for frame in FRAMES:
            file.write(frame, contiguous=False)
    whole = (tmp_path / "m.tif").read_bytes()
    written(tmp_path / "m.tif", whole[: len(whole) * 2 // 3])
    with open_movie(tmp_path / "m.tif", 0.36, reading=Reading(follow=True)) as opened:
        assert 5 < len(opened) < 10
        np.testing.assert_array_equal(opened.read(0, len(opened)), FRAMES[: len(opened)])


def test_following_waits_until_nothing_is_added(tmp_path):
    path = written(tmp_path / "m.mrc", b"x")

    def grow():
        for _ in range(3):
            time.sleep(0.1)
            with path.open("ab") as file:
                file.write(b"x")

    writer = threading.Thread(target=grow)
    writer.start()
    wait_until_still(path, 0.6)
    writer.join()
    assert path.stat().st_size == 4


def test_a_list_of_files_is_one_movie(tmp_path):
    for i, frame in enumerate(FRAMES):
        tifffile.imwrite(tmp_path / f"frame{i}.tif", frame)
    names = [f"frame{i}.tif" for i in (3, 1, 2)]
    (tmp_path / "filetab.txt").write_text("# frames\n" + "\n".join(names) + f"\n\n{tmp_path / 'frame0.tif'}\n")
    with open_movie(tmp_path / "filetab.txt", 0.36) as opened:
        np.testing.assert_array_equal(opened.read(0, 4), FRAMES[[3, 1, 2, 0]])
    for text, said in (("frame77.tif\n", "line 1"), ("frame1.tif\nframe1.tif\n", "second time"), ("\n", "no files")):
        (tmp_path / "filetab.txt").write_text(text)
        with pytest.raises(DataFileError, match=said):
            open_movie(tmp_path / "filetab.txt", 0.36)


def test_a_run_records_what_was_read_and_notices_another_gain(movie, tmp_path):
    np.save(tmp_path / "g.npy", 1 / SENSITIVITY)

    def record(asked):
        with open_movie(movie, reading=asked) as opened:
            files = input_files(opened.files)
            return InputRecord("m", opened.shape, opened.pixel_size, files, opened.content(), opened.reading)

    asked = Reading(gain=tmp_path / "g.npy", frames="2:10")
    first = record(asked)
    assert first.reading == {"frames": "2:10", "gain": (tmp_path / "g.npy").as_posix()}
    assert first.unchanged(record(asked))
    np.save(tmp_path / "g.npy", 2 / SENSITIVITY)
    assert not first.unchanged(record(asked))
    assert record(asked).content != first.content
    part = record(Reading(frames="2:10"))
    assert not part.unchanged(record(Reading(frames="3:11")))


def test_a_part_of_a_stack_is_not_joined_to_its_old_table(tmp_path):
    images = RNG.poisson(5, (20, 32, 32)).astype(np.int16)
    written(tmp_path / "stack.mrcs", mrc_bytes(images, 1))
    (tmp_path / "stack.star").write_text("data_single_stack\n\n_rlnImagePixelSize 0.36\n")
    part = load_stack(tmp_path / "stack.mrcs", None, Reading(frames="5:15", bin=2))
    assert (len(part), part.box, part.diameter) == (10, 16, None)


def test_the_command_line_reads_as_python_does(tmp_path, capsys):
    frames = RNG.poisson(20, (10, 64, 64)).astype(np.int16)
    written(tmp_path / "m.mrc", mrc_bytes(frames, 1))
    np.save(tmp_path / "g.npy", np.full((64, 64), 2, np.float32))
    words = ["motion", str(tmp_path / "m.mrc"), "--out", str(tmp_path / "o"), "--frames", "1:9", "--region", "8:56,:48"]
    assert main([*words, "--gain", str(tmp_path / "g.npy"), "--group", "2"]) in (0, None)
    assert "4 frames" in capsys.readouterr().out
    assert read_map(tmp_path / "o" / "mean.mrc")[0].shape == (1, 48, 48)
