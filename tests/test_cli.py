"""The command line: fast help, settings as flags, each command on the files of the one before, and interruption."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib

import mrcfile
import numpy as np
import pytest

from single_rs.cli import main
from single_rs.cli.app import _take_settings
from single_rs.cli.progress import progress_bars
from single_rs.io import read_stack, write_map, write_stack
from single_rs.pipeline import stages
from single_rs.store.layout import MANIFEST
from single_rs.store.read import frame_of

COMMANDS = (
    *("run", "solve", "demo", "motion", "track", "background", "orient", "reconstruct", "trace", "analyze", "export"),
    *("energy", "ligand", "binding"),
    *("report", "simulate", "doctor", "config", "flip-hand", "inspect", "score", "match", "plan", "completion"),
)


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    assert main([command, "--help"]) == 0
    assert f"single-rs {command}" in capsys.readouterr().out


def test_help_is_fast_because_nothing_heavy_is_imported():
    code = (
        "import sys; from single_rs.cli import main; main(['--help']); "
        "heavy = {'numpy', 'scipy', 'matplotlib', 'jinja2', 'ase', 'mrcfile', 'gemmi'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_options(capsys, shell):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("single-rs", "solve", "pixel-size", "flip-hand"))
    if shell == "bash" and (bash := shutil.which("bash")):
        subprocess.run([bash, "-n"], input=script, text=True, check=True)


def test_the_help_of_validate_names_all_checks():
    """The names stand there as text, because the module that has them would make the help slow."""
    from single_rs.cli.validation import NAMES
    from single_rs.records import CHECKS

    assert NAMES.split(", ") == list(CHECKS)


def test_settings_are_taken_from_anywhere_in_the_line():
    rest, flags = _take_settings(["run", "--orient.resolution", "0.8", "x.mrc", "--track.max-gap=5", "--out", "o.p"])
    assert rest == ["run", "x.mrc", "--out", "o.p"]
    assert flags == {"orient.resolution": "0.8", "track.max_gap": "5"}


def test_config_prints_what_config_reads(tmp_path, capsys):
    assert main(["config", "--track.min-frames", "77"]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["track"]["min_frames"] == 77
    (tmp_path / "c.toml").write_text(text)
    assert main(["config", "--config", str(tmp_path / "c.toml")]) == 0
    assert capsys.readouterr().out == text
    # Flags of one call must not leak into the next one in the same process.
    assert main(["config"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["track"]["min_frames"] != 77


def test_config_of_the_simulation(capsys):
    assert main(["config", "--simulate", "--crystal.diameter", "31"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["crystal"]["diameter"] == 31


def test_simulate_background_trace_analyze_export_chain(tmp_path, capsys):
    """A stack and its truth; then the density of the true atoms goes through the stages on files."""
    stack = tmp_path / "sim" / "s.mrcs"
    words = ["simulate", str(stack), "--kind", "stack", "--frames", "40", "--diameter", "13", "--crystal.ragged", "0"]
    assert main([*words, "--box", "64"]) == 2  # --box is a setting of the file, not a flag
    assert "--box" in capsys.readouterr().err
    (tmp_path / "c.toml").write_text("box = 80\n[detector]\ndose = 30\n")
    assert main([*words, "--config", str(tmp_path / "c.toml")]) == 0
    assert read_stack(stack).images.shape == (40, 80, 80)
    assert (tmp_path / "sim" / "s_truth.npz").exists()
    assert main(["background", str(stack), "--out", str(tmp_path / "bg")]) == 0
    clean = read_stack(tmp_path / "bg" / "clean.mrcs")
    assert abs(float(np.mean(clean.images))) < 0.05
    assert "diameter" in capsys.readouterr().out

    truth = np.load(tmp_path / "sim" / "s_truth.npz")["atoms"]
    write_map(tmp_path / "map.mrc", _density(truth, 64, 0.358), 0.358)
    assert main(["trace", str(tmp_path / "map.mrc"), "--element", "Pt", "--out", str(tmp_path / "t")]) == 0
    assert f"{len(truth)} atoms" in capsys.readouterr().out
    atoms = tmp_path / "t" / "atoms.xyz"
    assert frame_of(atoms) == (64, 0.358, (0, 0, 0))
    assert main(["analyze", str(atoms), "--out", str(tmp_path / "a"), "--lattice.structure", "fcc"]) == 0
    assert "fcc, a b c 3.9" in capsys.readouterr().out
    assert (tmp_path / "a" / "lattice.json").exists()
    assert main(["export", str(tmp_path / "a" / "atoms.xyz"), "--out", str(tmp_path / "e"), "--format", "poscar"]) == 0
    assert {p.name for p in (tmp_path / "e").iterdir()} == {"POSCAR", MANIFEST}


def _density(positions, box, pixel):
    """Sum of Gaussians 0.5 Å wide."""
    axis = (np.arange(box) - box // 2) * pixel
    parts = [np.exp(-np.square(axis[None] - positions[:, i, None]) / (2 * 0.5**2)) for i in range(3)]
    return np.einsum("nz,ny,nx->zyx", parts[2], parts[1], parts[0])


def test_doctor_finds_a_sound_installation(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "numpy" in text
    assert "SIMD" in text
    assert "self-test    passed: " in text


def test_doctor_says_when_the_kernels_are_wrong(capsys, monkeypatch):
    from single_rs.alignment import score_atoms
    from single_rs.cli import doctor

    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(-1, 3) * 3
    monkeypatch.setattr(doctor, "self_test", lambda: score_atoms(grid[:40], grid))
    assert main(["doctor"]) == 2
    assert "the self-test failed: 40 of 64 atoms" in capsys.readouterr().err


def test_ctrl_c_is_130_and_one_line(tmp_path, capsys, monkeypatch):
    write_stack(tmp_path / "s.mrcs", np.ones((10, 32, 32), np.int8), 0.4)

    def interrupted(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "correct", interrupted)
    assert main(["run", str(tmp_path / "s.mrcs"), "--element", "Pt", "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("single-rs: interrupted")
    assert '"status": "interrupted"' in (tmp_path / "out" / "run.json").read_text()
    assert not list((tmp_path / "out").glob("*.partial*"))


def test_progress_is_plain_lines_when_nobody_watches(capsys):
    with progress_bars() as progress:
        for i in range(101):
            progress("track", i, 100)
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_a_closed_pipe_is_no_error():
    code = "import sys; from single_rs.cli import main; sys.exit(main(['config', '--simulate']))"
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -c "{code}" | true'], capture_output=True, text=True)
    assert done.stderr == ""


def test_mrc_written_by_the_commands_is_valid(tmp_path, capsys):
    words = ["simulate", str(tmp_path / "s"), "--kind", "stack", "--frames", "10", "--diameter", "12"]
    assert main(words) == 0
    capsys.readouterr()
    assert mrcfile.validate(tmp_path / "s.mrcs")
