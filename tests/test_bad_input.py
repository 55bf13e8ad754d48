"""Bad input ends in one clear line and exit code 2, and nothing is written."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from single_rs.alignment import score_atoms
from single_rs.atoms import trace_atoms
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.crystal.neighbours import check_positions
from single_rs.io import open_movie
from single_rs.pipeline.entry import solve
from single_rs.records import ParticleStack, Poses
from single_rs.simulate import nanocrystal, simulate_movie, simulate_stack
from single_rs.store.folder import open_folder


def _movie(path, data, pixel=0.358):
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as mrc:
        warnings.simplefilter("ignore", RuntimeWarning)  # mrcfile warns of the NaN that we want
        mrc.set_data(data)
        mrc.set_image_stack()
        if pixel is not None:
            mrc.voxel_size = pixel
    return path


def _noise(*shape):
    return np.random.default_rng(3).poisson(8, shape).astype(np.int8)


def _missing_pixel(tmp):
    return _movie(tmp / "in.mrc", _noise(10, 32, 32), None), "--pixel-size"


def _default_pixel(tmp):
    return _movie(tmp / "in.mrc", _noise(10, 32, 32), 1.0), "--pixel-size"


def _truncated(tmp):
    path = _movie(tmp / "in.mrc", _noise(10, 32, 32))
    path.write_bytes(path.read_bytes()[:-1500])
    return path, "truncated: 9,764 bytes where its header (10 frames of 32 × 32) needs 11,264; 8 frames are whole"


def _only_a_header(tmp):
    path = tmp / "in.mrc"
    path.write_bytes(b"\0" * 300)
    return path, "truncated: 300 bytes"


def _one_frame(tmp):
    return _movie(tmp / "in.mrc", _noise(1, 32, 32)), "one frame"


def _nan(tmp):
    data = _noise(10, 32, 32).astype(np.float32)
    data[0, 3, 4] = np.nan
    return _movie(tmp / "in.mrc", data), "frame 0 holds NaN"


def _infinite(tmp):
    data = _noise(10, 32, 32).astype(np.float32)
    data[9, 3, 4] = np.inf
    return _movie(tmp / "in.mrc", data), "frame 9 holds NaN or infinite"


def _complex(tmp):
    return _movie(tmp / "in.mrc", _noise(10, 32, 32).astype(np.complex64)), "mode 4"


def _not_mrc(tmp):
    path = tmp / "in.mrc"
    path.write_bytes(np.random.default_rng(0).bytes(4096))
    return path, "not an MRC file"


def _empty(tmp):
    path = tmp / "in.mrc"
    path.touch()
    return path, "empty (0 bytes)"


def _absent(tmp):
    return tmp / "in.mrc", "does not exist"


def _unknown_suffix(tmp):
    path = tmp / "in.avi"
    path.write_bytes(b"RIFF")
    return path, "unknown format .avi"


def _empty_folder(tmp):
    (tmp / "frames").mkdir()
    return tmp / "frames", "holds no frames"


def _mixed_sizes(tmp):
    (tmp / "frames").mkdir()
    for i, size in enumerate((16, 16, 18)):
        _movie(tmp / "frames" / f"{i}.mrc", _noise(1, size, size))
    return tmp / "frames", "has shape (1, 18, 18)"


def _colour_tiff(tmp):
    tifffile.imwrite(tmp / "in.tif", np.zeros((4, 16, 16, 3), np.uint8), photometric="rgb")
    return tmp / "in.tif", "4 axes"


def _broken_tiff(tmp):
    path = tmp / "in.tif"
    path.write_bytes(b"II*\0" + b"\xff" * 40)
    return path, "cannot read"


CASES = [
    _missing_pixel,
    _default_pixel,
    _truncated,
    _only_a_header,
    _one_frame,
    _nan,
    _infinite,
    _complex,
    _not_mrc,
    _empty,
    _absent,
    _unknown_suffix,
    _empty_folder,
    _mixed_sizes,
    _colour_tiff,
    _broken_tiff,
]


def _complains(capsys, words, expected):
    code = main(words)
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("single-rs: ")
    assert "Traceback" not in err
    assert expected in err, err


@pytest.mark.parametrize("command", ["run", "solve", "motion"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__.strip("_"))
def test_one_line_exit_2_and_nothing_written(tmp_path, capsys, case, command):
    (tmp_path / "input").mkdir()
    path, expected = case(tmp_path / "input")
    words = [command, str(path), "--out", str(tmp_path / "out")]
    _complains(capsys, words if command == "motion" else [*words, "--element", "Pt"], expected)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--element", "pt"], "did you mean Pt?"),
        (["--element", "Unobtainium"], "give a symbol"),
        (["--element", "Pt", "--pixel-size", "-1"], "positive"),
        (["--element", "Pt", "--pixel-size", "wide"], "--pixel-size"),
        (["--element", "Pt", "--track.min-frame", "3"], "did you mean track.min_frames?"),
        (["--element", "Pt", "--track.min-frames", "0"], "at least 1"),
        (["--element", "Pt", "--track.min-frames"], "needs a value"),
        (["--element", "Pt", "--threads", "0"], "at least 1"),
        (["--element", "Pt", "--config", "absent.toml"], "absent.toml"),
        (["--element", "Pt", "--no-such-option"], "no-such-option"),
        ([], "--element"),
    ],
)
def test_bad_options(tmp_path, capsys, words, expected):
    path = _movie(tmp_path / "in.mrc", _noise(10, 32, 32))
    _complains(capsys, ["run", str(path), "--out", str(tmp_path / "out"), *words], expected)
    assert not (tmp_path / "out").exists()


def test_unwritable_output(tmp_path, capsys):
    path = _movie(tmp_path / "in.mrc", _noise(10, 32, 32))
    (tmp_path / "file").write_text("in the way")
    _complains(
        capsys, ["run", str(path), "--element", "Pt", "--out", str(tmp_path / "file")], "choose another with --out"
    )
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_stack_that_is_not_square(tmp_path, capsys):
    path = _movie(tmp_path / "in.mrcs", _noise(10, 32, 40))
    _complains(capsys, ["solve", str(path), "--element", "Pt", "--out", str(tmp_path / "out")], "square")
    assert not (tmp_path / "out").exists()


def test_stages_say_which_file_of_the_stage_before_is_missing(tmp_path, capsys):
    path = _movie(tmp_path / "in.mrc", _noise(10, 32, 32))
    _complains(capsys, ["track", str(path), "--out", str(tmp_path)], "run 'single-rs motion")
    _complains(capsys, ["report", str(tmp_path / "no")], "not a folder")
    _complains(capsys, ["flip-hand", str(tmp_path), "--out", str(tmp_path / "x")], "map.mrc does not exist")
    _complains(capsys, ["analyze", str(tmp_path / "no.xyz"), "--out", str(tmp_path / "x")], "no.xyz")
    _complains(capsys, ["trace", str(tmp_path / "no.mrc"), "--element", "Pt", "--out", str(tmp_path / "x")], "no.mrc")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("mangle", "said"),
    [
        (lambda x: x.astype(complex), "complex numbers"),
        (lambda x: x * 1e300, "no particle reaches"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), "1 atoms that are not finite"),
    ],
)
def test_positions_that_cannot_be_true_are_refused_before_any_library_sees_them(mangle, said):
    positions = nanocrystal("Pt", 12.0, seed=1).positions
    with pytest.raises(InputError, match=said):
        check_positions(mangle(positions))


def test_scores_and_tracing_refuse_what_is_not_finite():
    positions = nanocrystal("Pt", 12.0, seed=1).positions
    broken = positions.copy()
    broken[5, 1] = np.inf
    for wrong in (broken, np.where(np.isinf(broken), 1e300, broken)):
        with pytest.raises(InputError, match="1 found atoms are not finite, or beyond 100000 Å"):
            score_atoms(wrong, positions)
    with pytest.raises(InputError, match=r"diameter is 1e\+300 Å"):
        trace_atoms(np.zeros((32, 32, 32)), 0.36, "Pt", 1e300)
    with pytest.raises(InputError, match="weight holds 1 NaN or infinite values"):
        replace(Poses.known(np.eye(3)[None], np.zeros((1, 2))), weight=np.array([1e300]))


@pytest.mark.parametrize("pixel_size", [0.0, -0.36, float("inf"), float("nan"), 1e300])
def test_a_simulation_needs_a_pixel_size(pixel_size):
    crystal = nanocrystal("Pt", 10.0, seed=1)
    with pytest.raises(InputError, match="pixel_size is"):
        simulate_stack(crystal, 2, box=64, pixel_size=pixel_size)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("step", 1e300, "it must be 0 to 180"), ("shift_sigma", float("inf"), "it must be 0 to"), ("seed", 1.5, "whole")],
)
def test_the_numbers_of_a_simulation_have_bounds(name, value, said):
    with pytest.raises(InputError, match=f"{name} is .*{said}"):
        simulate_stack(nanocrystal("Pt", 10.0, seed=1), 2, box=64, pixel_size=0.4, **{name: value})


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the system does not say how much memory it has")
def test_a_simulation_that_no_machine_holds_is_refused_before_it_begins(tmp_path, capsys):
    crystal = nanocrystal("Pt", 10.0, seed=1)
    for frames, box in ((10**13, 64), (2, 10**8)):
        with pytest.raises(InputError, match="GB of memory, the machine has"):
            simulate_stack(crystal, frames, box=box, pixel_size=0.4)
        with pytest.raises(InputError, match="GB of memory, the machine has"):
            simulate_movie(tmp_path / "movie.mrc", [crystal], frames, shape=(box, box), pixel_size=0.4)
    assert main(["simulate", str(tmp_path / "s.mrcs"), "--kind", "stack", "--frames", str(10**13)]) == 2
    assert capsys.readouterr().err.count("single-rs: ") == 1
    assert not list(tmp_path.iterdir())


def test_a_path_of_the_home_folder_is_found_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "movie.npy", np.ones((3, 16, 16), np.uint8))
    assert open_movie("~/movie.npy", 0.4).shape == (3, 16, 16)
    with open_folder("~/out") as folder:
        assert folder.path == tmp_path / "out"
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("seed", [1.5, -1, 2**64, "1", True])
def test_a_seed_is_a_whole_number(tmp_path, seed):
    stack = ParticleStack(np.ones((60, 32, 32), np.float32), 0.4, np.arange(60))
    with pytest.raises(InputError, match=r"seed is .*; it must be a whole number"):
        solve(stack, "Pt", tmp_path / "out", seed=seed)
    assert not (tmp_path / "out").exists()


def test_a_number_that_shall_be_whole_is_not_rounded(tmp_path, capsys):
    for option in ("--seed", "--bin", "--threads"):
        assert main(["solve", "s.mrcs", "--element", "Pt", "--out", str(tmp_path / "out"), option, "1.5"]) == 2
        said = capsys.readouterr().err
        assert option in said
        assert "1.5" in said
    assert main(["solve", "s.mrcs", "--element", "Pt", "--out", str(tmp_path / "out"), "--seed", "2.0"]) == 2
    assert "s.mrcs does not exist" in capsys.readouterr().err
