"""Commands on mangled files: exit 0, or exit 2 and one line; our own JSON is read right or refused by its name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import single_rs as sr
from mangling import mangle_bytes, mangle_text
from single_rs.analysis.lattice_record import LatticeRecord
from single_rs.analysis.structure.record import StructureRecord
from single_rs.analysis.summary import ParticleSummary
from single_rs.base.errors import DataFileError
from single_rs.cli import main
from single_rs.io import write_map, write_stack
from single_rs.io.star import write_poses
from single_rs.simulate import nanocrystal, simulate_stack
from single_rs.store.codecs import read_record
from single_rs.store.manifest import Manifest

EACH = 12  # mangled files of each command


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with one small file of each kind, and what `analyze` makes of the atoms."""
    folder = tmp_path_factory.mktemp("files")
    crystal = nanocrystal("Pt", 9.0, seed=1)
    made = simulate_stack(crystal, 12, box=56, pixel_size=0.4, dose=30.0, seed=1)
    write_stack(folder / "s.mrcs", made.images, 0.4)
    write_stack(folder / "m.mrc", np.random.default_rng(1).poisson(6, (20, 48, 56)).astype(np.int8), 0.4)
    half = np.where(np.arange(12) % 2, 1, 2).astype(np.int8)
    one = np.ones(12)
    poses = sr.Poses(made.rotations, made.shifts, one, one, half, one, np.arange(12))
    write_poses(folder / "poses.star", poses, "s.mrcs", 0.4, 56)
    write_map(folder / "map.mrc", np.random.default_rng(2).normal(size=(32, 32, 32)).astype(np.float32), 0.4)
    rows = "".join(f"Pt {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in crystal.positions)
    (folder / "atoms.xyz").write_text(f"{len(crystal.positions)}\nx\n{rows}")
    (folder / "set.toml").write_text("[orient]\ncandidates = 12\n[trace]\nrounds = 2\nsweeps = 1\n")
    assert not main(["analyze", str(folder / "atoms.xyz"), "--out", str(folder / "analysed")])
    return folder


COMMANDS = {
    "background": ("s.mrcs", mangle_bytes, ["{}"]),
    "motion": ("m.mrc", mangle_bytes, ["{}"]),
    "reconstruct": ("poses.star", mangle_text, ["s.mrcs", "{}"]),
    "trace": ("map.mrc", mangle_bytes, ["{}", "--element", "Pt"]),
    "export": ("atoms.xyz", mangle_text, ["{}"]),
    "config": ("set.toml", mangle_text, ["--config", "{}"]),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_well_or_in_one_line(tmp_path, files, capsys, monkeypatch, command):
    name, mangle, words = COMMANDS[command]
    for other in files.iterdir():
        if other.is_file():
            shutil.copy(other, tmp_path)
    monkeypatch.chdir(tmp_path)
    good = (files / name).read_bytes()
    generator = np.random.default_rng(list(command.encode()))
    for k in range(EACH):
        (tmp_path / name).write_bytes(mangle(good, generator))
        out = [] if command == "config" else ["--out", f"out{k}"]
        code = main([command, *(word.format(name) for word in words), *out])
        said = capsys.readouterr().err
        assert code in (0, None, 2), said
        assert "Traceback" not in said
        assert code != 2 or said.splitlines()[-1].startswith("single-rs: ")


RECORDS = {
    "summary.json": ParticleSummary,
    "lattice.json": LatticeRecord,
    "structure.json": StructureRecord,
    "manifest.json": Manifest,
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_mangled_result_of_ours_is_read_or_refused_by_its_name(tmp_path, files, name):
    good = (files / "analysed" / name).read_bytes()
    generator = np.random.default_rng(list(name.encode()))
    messages = []
    for _ in range(100):
        (tmp_path / name).write_bytes(mangle_text(good, generator))
        try:
            assert isinstance(read_record(tmp_path / name, RECORDS[name]), RECORDS[name])
        except DataFileError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(name in message and "\n" not in message for message in messages)
