"""The napari plugin opens what single_rs writes and saves tracks that are read back; napari need not be there."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from report_run import BOX, FRAMES, PIXEL, write_run
from single_rs import __version__
from single_rs.base.errors import DataFileError, InputError
from single_rs.io import read_map, write_map, write_stack
from single_rs.io.tracks import read_track_files, write_track_table
from single_rs.records import Track

PLUGIN = Path(__file__).parents[1] / "plugins" / "napari"


@pytest.fixture(scope="module")
def plugin():
    """The plugin's package, as an installation has it."""
    sys.path.insert(0, str(PLUGIN / "src"))
    try:
        from napari_single_rs import reader, writer

        yield reader, writer
    finally:
        sys.path.remove(str(PLUGIN / "src"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("napari") / "run")
    write_track_table(folder / "tracks.csv", _tracks())
    return folder


def _tracks() -> list[Track]:
    frames = np.arange(5)
    return [
        Track(frames, 40.0 + frames, 30.0 - frames, np.full(5, 0.3), 21.0, 9.0),
        Track(frames[1:], 80.5 + 0 * frames[1:], 20.0 + 0 * frames[1:], np.full(4, 0.2), 25.0, 9.0),
    ]


def _layers(plugin, path: Path) -> list:
    read = plugin[0].get_reader(str(path))
    assert read is not None, path
    return read(str(path))


def test_frames_are_read_as_they_are_looked_at(plugin, tmp_path: Path) -> None:
    images = np.random.default_rng(1).poisson(9, (30, 12, 16)).astype(np.uint8)
    write_stack(tmp_path / "movie.mrcs", images, PIXEL)
    ((frames, shown, kind),) = _layers(plugin, tmp_path / "movie.mrcs")
    assert kind == "image"
    assert frames.shape == images.shape
    assert shown["metadata"]["pixel_size_A"] == pytest.approx(PIXEL)
    assert 0 <= shown["contrast_limits"][0] < 9 < shown["contrast_limits"][1]
    for key in (3, -1, (4, slice(2, 5), slice(None)), slice(3, 9, 2), (slice(0, 0),), np.int64(2), (slice(None), 3)):
        np.testing.assert_array_equal(frames[key], images[key])
    np.testing.assert_array_equal(np.asarray(frames), images)


def test_a_map_and_its_atoms_lie_over_each_other(plugin, run: Path) -> None:
    (density, shown, _), (points, _, kind) = _layers(plugin, run / "particle_00")
    assert kind == "points"
    assert density.shape == (BOX,) * 3
    assert shown["scale"] == pytest.approx((PIXEL,) * 3)
    at = np.rint(points / PIXEL).astype(int)
    assert np.median(density[tuple(at.T)]) > 0.5 * density.max()
    ((_, shown, _),) = _layers(plugin, run / "particle_00" / "atoms.xyz")
    assert {"sigma", "cn", "element", "radial_strain"} <= set(shown["features"])
    assert shown["face_contrast_limits"][0] < 0 < shown["face_contrast_limits"][1]


def test_a_map_of_another_program_keeps_its_place(plugin, tmp_path: Path) -> None:
    write_map(tmp_path / "map.mrc", np.ones((4, 4, 4), np.float32), 1.5, origin=(3.0, 2.0, 1.0))
    ((_, shown, _),) = _layers(plugin, tmp_path / "map.mrc")
    assert shown["translate"] == (1.0, 2.0, 3.0)
    assert read_map(tmp_path / "map.mrc")[1] == 1.5


def test_a_run_opens_with_its_movie_or_mean_image_and_tracks(plugin, run: Path) -> None:
    (mean, _, kind), (points, shown, other) = _layers(plugin, run)
    assert (kind, other) == ("image", "points")
    assert mean.shape[0] == 1
    assert points.shape == (2 * FRAMES, 3)
    assert set(np.unique(shown["features"]["particle"])) == {0, 1}


def test_edited_tracks_are_what_the_program_reads(plugin, run: Path, tmp_path: Path) -> None:
    _, writer = plugin
    ((points, shown, _),) = _layers(plugin, run / "tracks.csv")
    features = {name: np.asarray(values) for name, values in shown["features"].items()}
    kept = np.delete(np.arange(len(points)), 2)  # a point of the first particle is removed, one moved, one added
    points, features = points[kept], {name: values[kept] for name, values in features.items()}
    points[0, 1:] = (33.25, 41.5)
    points = np.vstack([points, [0.2, 21.0, 81.0]])
    added = {"particle": 1, "sigma_px": np.nan, "diameter_A": np.nan}
    features = {name: np.append(values, added[name]) for name, values in features.items()}
    (path,) = writer.write_tracks(str(tmp_path / "edited.csv"), points, {"features": features})
    first, second = read_track_files([Path(path)], (5, 60, 120))
    np.testing.assert_array_equal(first.frames, [0, 1, 3, 4])
    assert (first.x[0], first.y[0]) == (41.5, 33.25)
    np.testing.assert_array_equal(second.frames, np.arange(5))
    assert (second.x[0], second.y[0], second.sigma[0]) == (81.0, 21.0, writer.CLICKED)
    assert [first.diameter, second.diameter] == [21.0, 25.0]


def test_points_that_are_no_tracks_are_refused_in_one_line(plugin, tmp_path: Path) -> None:
    _, writer = plugin
    two = np.array([[0.0, 1.0, 1.0], [0.3, 2.0, 2.0]])
    with pytest.raises(DataFileError, match=r"a.csv is not written: particle 0 has two points in frame 0"):
        writer.write_tracks(str(tmp_path / "a.csv"), two, {"features": {"particle": [0, 0]}})
    with pytest.raises(InputError, match="1 points have no particle"):
        writer.tracks_of(two, {"particle": [0, np.nan]})
    with pytest.raises(InputError, match=r"\(n, 3\) with frame, y, x is needed"):
        writer.tracks_of(two[:, :2], {})
    assert not list(tmp_path.iterdir())


def test_files_of_others_are_left_to_others(plugin, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    for path in (tmp_path, tmp_path / "other.csv", tmp_path / "picture.png", tmp_path / "absent.csv"):
        assert plugin[0].get_reader(str(path)) is None
    assert plugin[0].get_reader([str(tmp_path)]) is None


@pytest.mark.filterwarnings("ignore")  # of napari's own libraries
def test_the_manifest_names_what_exists(plugin) -> None:
    text = (PLUGIN / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    assert project["version"] == __version__
    assert project["entry-points"]["napari.manifest"] == {"napari-single-rs": "napari_single_rs:napari.yaml"}
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(PLUGIN / "src" / "napari_single_rs" / "napari.yaml")
    manifest.validate_imports()
    assert len(manifest.contributions.readers) == len(manifest.contributions.writers) == 1


@pytest.mark.filterwarnings("ignore")  # of napari's own libraries
def test_napari_shows_and_saves_them_without_a_display(plugin, run: Path, tmp_path: Path) -> None:
    components = pytest.importorskip("napari.components")
    viewer = components.ViewerModel()
    for path in (run, run / "particle_00"):
        for data, shown, kind in _layers(plugin, path):
            getattr(viewer, f"add_{kind}")(data, **shown)
    assert len(viewer.layers) == 4
    tracks = viewer.layers["tracks"]
    tracks.selected_data = {0}
    tracks.remove_selected()
    data, meta, _ = tracks.as_layer_data_tuple()
    (path,) = plugin[1].write_tracks(str(tmp_path / "tracks.csv"), data, meta)
    saved = read_track_files([Path(path)], (FRAMES, 160, 180))
    assert [len(track) for track in saved] == [FRAMES - 1, FRAMES]
