"""Paths of particles as tables, ours and those of other programs, and the movie without its drift."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from movie_files import mrc_bytes, written
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.io import open_movie, read_stack
from single_rs.io.star import read_tracks, write_tracks
from single_rs.io.tracks import given_tracks, read_track_files, write_track_table
from single_rs.records import Motion, Track

RNG = np.random.default_rng(2)
SHAPE = (30, 90, 100)


def _track(first: int, last: int, x: float, y: float, diameter: float = 12.0) -> Track:
    frames = np.arange(first, last)
    path = np.round(np.stack([x + 0.3 * frames, y - 0.2 * frames]), 3)
    return Track(frames, *path, np.full(len(frames), 0.25), diameter, 9.0)


TRACKS = [_track(0, 30, 40, 50), _track(4, 25, 60.5, 30.25, 15.5)]


def test_our_table_gives_the_tracks_back(tmp_path):
    write_track_table(tmp_path / "tracks.csv", TRACKS)
    write_tracks(tmp_path / "tracks.star", TRACKS, 0.36)
    for name in ("tracks.csv", "tracks.star"):
        found = read_track_files([tmp_path / name], SHAPE)
        assert len(found) == 2
        for one, wanted in zip(found, TRACKS, strict=True):
            np.testing.assert_array_equal(one.frames, wanted.frames)
            for field in ("x", "y", "sigma", "diameter"):
                np.testing.assert_allclose(getattr(one, field), getattr(wanted, field), atol=6e-4)


def test_a_table_of_another_program_needs_four_columns_in_any_order(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["\ufeffy_px, frame ,particle,x_px,note", "10,3,7,20,a", "11,1,7,21,b", "40,0,2,50,c"]
    path.write_text("\r\n".join(rows) + "\r\n", encoding="utf-8")
    found = read_track_files([path], SHAPE, 14.0)
    assert [t.frames.tolist() for t in found] == [[0], [1, 3]]
    assert found[1].x.tolist() == [21, 20]
    assert {t.diameter for t in found} == {14.0}
    with pytest.raises(InputError, match="give --diameter"):
        read_track_files([path], SHAPE)


def test_boxes_of_simple_give_centres(tmp_path):
    (tmp_path / "track.box").write_text("".join(f"{10 + i:7d}{20:7d}{64:7d}{64:7d}{-3:7d}\n" for i in range(5)))
    (one,) = read_track_files([tmp_path / "track.box"], SHAPE, 20.0)
    assert one.frames.tolist() == [0, 1, 2, 3, 4]
    assert one.x.tolist() == [42, 43, 44, 45, 46]
    assert set(one.y) == {52}
    (tmp_path / "a.xy").write_text("10 20\n11.5 21\n")
    (tmp_path / "b.xy").write_text("# frame x y\n5 10 20\n3 11.5 21\n")
    a, b = read_track_files([tmp_path / "a.xy", tmp_path / "b.xy"], SHAPE, 20.0)
    assert (a.frames.tolist(), a.x.tolist()) == ([0, 1], [10, 11.5])
    assert (b.frames.tolist(), b.x.tolist()) == ([3, 5], [11.5, 10])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "frame,x,y\n0,1,2\n", "are needed"),
        ("t.csv", "particle,frame,x_px,y_px\n0,0,1\n", "line 2 has 3 cells"),
        ("t.csv", "particle,frame,x_px,y_px\n0,0,nan,1\n", "NaN"),
        ("t.csv", "particle,frame,x_px,y_px\n0,0,a,1\n", "numbers are needed"),
        ("t.csv", "particle,frame,x_px,y_px\n0,0.5,1,1\n", "whole number"),
        ("t.csv", "particle,frame,x_px,y_px\n0,3,1,1\n0,3,2,2\n", "two places in frame 3"),
        ("t.csv", "particle,frame,x_px,y_px\n0,30,1,1\n", "frames 0 to 29"),
        ("t.csv", "particle,frame,x_px,y_px\n0,0,100,1\n", "100 × 90 px"),
        ("t.csv", "particle,frame,x_px,y_px,diameter_A\n0,0,1,1,-3\n", "give --diameter"),
        ("t.csv", "", "holds no places"),
        ("t.box", "1 2 3\n", "x y width height"),
        ("t.xy", "1 2\n1 2 3\n", "frame x y"),
        ("t.txt", "1 2\n", "tracks are read from"),
    ],
)
def test_a_table_that_is_none_is_refused_in_words(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises((InputError, DataFileError), match=said):
        read_track_files([tmp_path / name], SHAPE, None if said == "give --diameter" else 20.0)


def test_paths_from_python_are_checked_like_those_of_files():
    good = TRACKS[0]
    assert given_tracks(None, SHAPE) == (None, None)
    (one,), named = given_tracks(good, SHAPE)
    assert named == ["array"]
    np.testing.assert_array_equal(one.x, good.x)
    (one,), _ = given_tracks([dataclasses.replace(good, diameter=np.nan)], SHAPE, 9.0)
    assert one.diameter == 9
    wrong = [
        ({"x": good.x[:5]}, "a place for each"),
        ({"frames": good.frames * 1.0}, "float64 frames"),
        ({"frames": good.frames - 1}, "frame -1"),
        ({"y": good.y * np.nan}, "place at"),
        ({"sigma": good.sigma * np.inf}, "sigma_px"),
        ({"diameter": np.nan}, "give --diameter"),
        ({name: getattr(good, name)[:0] for name in ("frames", "x", "y", "sigma")}, "a place for each"),
    ]
    for changes, said in wrong:
        with pytest.raises(InputError, match=said):
            given_tracks([good, dataclasses.replace(good, **changes)], SHAPE)
    with pytest.raises(InputError, match="give --tracks"):
        given_tracks([], SHAPE, 9.0)


def _motion(shifts: np.ndarray, shape: tuple[int, int]) -> Motion:
    n = len(shifts)
    return Motion(
        shifts, np.zeros(n, bool), np.zeros((0, 2), int), np.zeros((0, 2), int), shape, np.ones(n), np.ones((n, 2)),
        np.full(n, "", "U24"), 1e9, None, np.zeros((n, 0, 0, 2)), np.zeros(0), np.zeros(0),
    )  # fmt: skip


def test_the_aligned_movie_stands_still(tmp_path):
    from single_rs.pipeline.stages import write_aligned

    shifts = np.array([[0, 0], [2.0, -3.0], [-4.5, 1.25]])
    y, x = np.mgrid[:64, :72]
    spot = [100 * np.exp(-((x - 36 - dx) ** 2 + (y - 30 - dy) ** 2) / 18) for dx, dy in shifts]
    movie = written(tmp_path / "m.mrc", mrc_bytes(np.array(spot, np.float32), 2))
    with open_movie(movie) as opened:
        write_aligned(opened, _motion(shifts, (64, 72)), tmp_path)
    with open_movie(tmp_path / "aligned.mrc") as aligned:
        assert aligned.shape == (3, 64, 72)
        assert aligned.pixel_size == 0.36
        frames = aligned.read(0, 3)
        inner = np.s_[:, 8:-8, 8:-8]
        np.testing.assert_allclose(frames[inner], np.broadcast_to(spot[0], frames.shape)[inner], atol=0.3)


def test_particles_are_cut_where_the_given_table_says(tmp_path, capsys):
    frames = RNG.poisson(20, SHAPE).astype(np.int16)
    movie = written(tmp_path / "m.mrc", mrc_bytes(frames, 1))
    out = str(tmp_path / "o")
    assert main(["motion", str(movie), "--out", out, "--aligned"]) in (0, None)
    assert (tmp_path / "o" / "aligned.mrc").exists()
    write_track_table(tmp_path / "t.csv", [Track(np.arange(30), *np.full((2, 30), 45.0), np.ones(30), 8.0, 0.0)])
    assert main(["track", str(movie), "--out", out, "--tracks", str(tmp_path / "t.csv")]) in (0, None)
    assert "particle_00: 30 frames, diameter 8.0" in capsys.readouterr().out
    images = read_stack(tmp_path / "o" / "particle_00" / "stack.mrcs").images
    half = images.shape[-1] // 2
    hot = read_stack(tmp_path / "o" / "particle_00" / "stack.mrcs").images[:, half, half]
    assert np.mean(hot == frames[:, 45, 45]) > 0.9
    assert len(read_tracks(tmp_path / "o" / "tracks.star")) == 1
    assert (tmp_path / "o" / "tracks.csv").exists()
    assert main(["track", str(movie), "--out", out, "--diameter", "20"]) == 2
    assert "--tracks" in capsys.readouterr().err
