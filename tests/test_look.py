"""Commands that look: inspect, score and match, against numbers that are known beforehand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import single_rs as sr
from single_rs.cli import main
from single_rs.compare import compare_atoms
from single_rs.io import write_map, write_stack
from single_rs.pipeline.inspection import inspect_path
from single_rs.records import Atoms


def _atoms(positions: np.ndarray, sigma: float = np.nan, symbol: str = "Pt") -> Atoms:
    return replace(Atoms.bare(positions, symbol), sigma=np.full(len(positions), sigma))


def _xyz(path: Path, positions: np.ndarray) -> Path:
    lines = [str(len(positions)), "", *(f"Pt {x:.6f} {y:.6f} {z:.6f}" for x, y, z in positions)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def crystal() -> np.ndarray:
    return sr.nanocrystal("Pt", diameter=16.0, seed=3).positions


def test_a_strain_is_told_from_scatter(crystal):
    rng = np.random.default_rng(5)
    strain = np.diag([0.004, 0.0, -0.003])
    noise = rng.normal(scale=0.004, size=crystal.shape)
    turned = crystal @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = compare_atoms(_atoms(crystal @ (np.eye(3) + strain) + noise, 0.004), _atoms(turned))
    assert (found.recall, found.precision) == (1.0, 1.0)
    assert found.strain == pytest.approx([-0.003, 0.0, 0.004], abs=4e-4)
    assert abs(found.directions[2] @ [1, 0, 0]) > 0.99
    assert found.rmsd_unstrained == pytest.approx(100 * 0.004 * np.sqrt(3), rel=0.1)
    assert found.rmsd > 1.2 * found.rmsd_unstrained


def test_stated_errors_of_both_add_up(crystal):
    rng = np.random.default_rng(6)
    one, other = (crystal + rng.normal(scale=s, size=crystal.shape) for s in (0.012, 0.016))
    found = compare_atoms(_atoms(one, 0.012), _atoms(other, 0.016))
    assert found.error_over_sigma == pytest.approx(1.0, abs=0.1)
    assert compare_atoms(_atoms(one), _atoms(other)).error_over_sigma is None


def test_score_counts_missing_and_false_atoms(tmp_path, crystal, capsys):
    false = crystal.mean(0) + np.array([[30.0, 0, 0], [0, 33.0, 0]])
    extra = np.vstack([crystal[:-7], false])
    files = _xyz(tmp_path / "found.xyz", extra), _xyz(tmp_path / "truth.xyz", crystal)
    assert main(["score", *map(str, files), "--out", str(tmp_path / "pairs.csv")]) == 0
    text = capsys.readouterr().out
    n = len(crystal)
    assert f"{n - 7} of {n} true atoms found" in text
    assert f"2 of {n - 5} false" in text
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    assert len(rows) == n - 7
    assert max(float(row["distance_A"]) for row in rows) < 1e-4
    assert main(["match", *map(str, files)]) == 0
    assert f"{n - 7} pairs; 2 of {n - 5} atoms only in" in capsys.readouterr().out


def test_inspect_names_kind_dose_and_rings(tmp_path, crystal, capsys):
    made = sr.simulate_stack(sr.nanocrystal("Pt", 16.0, seed=3), 60, box=96, pixel_size=0.4, dose=20.0, seed=1)
    stack = tmp_path / "stack.mrcs"
    write_stack(stack, made.images, 0.4)
    found = inspect_path(stack)
    assert found.kind == "stack"
    assert found.facts["shape"].startswith("60 frames of 96 × 96 px")
    assert "whole numbers" in found.facts["values"]
    assert "2.2" in found.facts["rings"].split(" Å")[0]  # {111} of platinum, 2.27 Å
    picture = tmp_path / "look.png"
    assert main(["inspect", str(stack), "--picture", str(picture)]) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "single-rs solve" in capsys.readouterr().out


def test_inspect_of_noise_sees_no_lattice_and_says_what_is_no_count(tmp_path):
    noise = np.random.default_rng(2).normal(size=(40, 128, 128)).astype(np.float32)
    write_stack(tmp_path / "noise.mrcs", noise, 0.4)
    facts = inspect_path(tmp_path / "noise.mrcs").facts
    assert facts["rings"].startswith("none above")
    assert "not whole numbers" in facts["values"] or "not counts" in facts["values"]


def test_inspect_knows_maps_atoms_and_what_is_not_there(tmp_path, crystal, capsys):
    write_map(tmp_path / "map.mrc", np.zeros((32, 32, 32), np.float32), 0.5)
    assert inspect_path(tmp_path / "map.mrc").kind == "map"
    atoms = inspect_path(_xyz(tmp_path / "a.xyz", crystal))
    assert atoms.kind == "atoms"
    assert f"{len(crystal)} Pt" in atoms.facts["atoms"]
    assert main(["inspect", str(tmp_path / "nothing.mrc")]) == 2
    assert "nothing.mrc does not exist" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "a.xyz"), "--picture", str(tmp_path / "a.png")]) == 2


@pytest.mark.slow
def test_a_plan_is_solved_and_scored(tmp_path, capsys):
    words = ["--element", "Pt", "--diameter", "14", "--dose", "12", "--frames", "240", "--pixel-size", "0.4"]
    assert main(["plan", *words, "--out", str(tmp_path / "plan")]) == 0
    text = capsys.readouterr().out
    assert "e/Å²" in text
    assert "% of the atoms found" in text
    assert "s of processor time" in text
