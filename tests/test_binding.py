"""Ligands on slabs, and what finished runs say of their binding."""

import csv
import shutil
import subprocess

import ase.io
import numpy as np
import pytest
from ase.build import fcc111
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.cube import read_cube_data, write_cube
from ase.neighborlist import neighbor_list
from ase.units import Bohr
from scipy.spatial.distance import cdist

import single_rs as sr
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.export.dft import DftSettings
from single_rs.ligands import (
    PLANES,
    LigandModel,
    Molecule,
    charge_difference,
    place_on_slab,
    read_binding,
    relaxed_model,
    surface_slab,
    write_ligands,
)
from single_rs.records import Atoms

# Neighbours of the atoms that each surface of fcc lays open, Pt: from geometry.
OPEN = {"111": {9}, "100": {8}, "110": {7, 11}, "211": {7, 9, 10}, "310": {6, 8, 9, 11}}


@pytest.mark.parametrize("plane", PLANES)
def test_slabs_lay_the_right_atoms_open(plane):
    slab = surface_slab("Pt", plane)
    bond = 3.92 / np.sqrt(2)
    i, d = neighbor_list("id", slab, 1.2 * bond)
    assert d.min() == pytest.approx(bond, abs=1e-6)
    assert set(np.bincount(i).tolist()) == OPEN[plane] | {12}
    assert np.ptp(slab.positions[:, 2]) >= 6.6
    a, b = slab.cell.array[:2]
    across = np.linalg.norm(np.cross(a, b))
    assert min(across / np.linalg.norm(a), across / np.linalg.norm(b)) >= 10.9
    assert np.abs(slab.cell.array[:2, 2]).max() < 1e-9
    # Atoms of a bulk are nowhere lost: the area of an atom in a plane times its thickness is the atomic volume.
    heights = np.unique(slab.positions[:, 2].round(3))
    step = np.diff(heights).mean()
    assert across * step * len(heights) / len(slab) == pytest.approx(3.92**3 / 4, rel=1e-3)


@pytest.mark.parametrize("plane", ["111", "211"])
def test_ligands_on_a_slab_touch_neither_it_nor_their_images(plane):
    model = place_on_slab("Pt", plane, 1, ligand="nep", seed=2)
    x, guest = model.atoms.positions, model.ligand > 0
    oxygen = x[guest][7]
    solid = x[~guest]
    assert np.linalg.norm(solid - oxygen, axis=1).min() == pytest.approx(2.32, abs=0.01)
    assert solid[:, 2].max() < oxygen[2]
    shifts = [i * model.cell[0] + j * model.cell[1] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    assert min(cdist(x[guest], x[guest] + s).min() for s in shifts) > 2.0
    assert model.surface == f"Pt ({plane})"


def test_slabs_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="a metal with fcc, bcc or hcp"):
        surface_slab("Si", "111")
    with pytest.raises(InputError, match="thickness is 0"):
        surface_slab("Pt", "111", thickness=0.0)
    with pytest.raises(InputError, match="lattice_constant is 5"):
        surface_slab("Pt", "111", lattice_constant=5.0)
    with pytest.raises(InputError, match="ligands fit"):
        place_on_slab("Pt", "111", 9)


GPAW = ["--export.dft.charge", "true", "--export.dft.gpaw-spacing", "0.3", "--export.dft.k-spacing", "3"]


def small(folder, *words):
    """A ligand on a thin slab of aluminium, with inputs of GPAW."""
    command = ["ligand", "Al", "--thickness", "2.2", "--width", "8", "--vacuum", "4", "--format", "gpaw", "--out"]
    assert main([*command, str(folder), *GPAW, *words]) == 0


def finish(folder, energies=(-21.0, -12.0, -8.5), charge=0.1):
    """Results of the three runs as the scripts write them; a charge that moves from the surface up to the ligand."""
    for name, energy in zip(("particle", "bare", "ligands"), energies, strict=True):
        done = ase.io.read(folder / f"gpaw_{name}.xyz")
        done.calc = SinglePointCalculator(done, energy=energy, forces=np.zeros((len(done), 3)))
        done.write(folder / f"gpaw_{name}_result.xyz", format="extxyz")
        shape = (24, 24, 48)
        w = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1) @ done.cell.array
        top = ase.io.read(folder / "gpaw_bare.xyz").positions[:, 2].max()
        rho = np.zeros(shape)
        if name == "particle":
            middle = done.cell.array[:2].sum(axis=0) / 2
            up, down = (np.exp(-np.square(w - middle - [0, 0, top + h]).sum(axis=-1) / 2) for h in (2.0, 0.0))
            rho = up / up.sum() - down / down.sum()
            rho *= charge / (done.get_volume() / rho.size)
        with (folder / f"gpaw_{name}_charge.cube").open("w") as file:
            write_cube(file, done, data=rho * Bohr**3)


def test_binding_and_moved_charge_are_read_from_finished_runs(tmp_path, capsys):
    small(tmp_path / "a")
    with pytest.raises(DataFileError, match="no output"):
        read_binding(tmp_path / "a")
    finish(tmp_path / "a")
    assert main(["binding", str(tmp_path / "a"), "--charge", "--out", str(tmp_path / "b")]) == 0
    text = capsys.readouterr().out
    # Of two Gaussians of 0.1 electrons, 2 Å apart, erf(2 / √8) is not shared.
    assert "Al (111) {111}: -0.500 eV per N-ethyl-2-pyrrolidone with gpaw; 0.068 electrons move" in text
    (row,) = csv.DictReader((tmp_path / "b" / "binding.csv").read_text().splitlines())
    assert float(row["binding_energy_eV"]) == pytest.approx(-0.5)
    assert row["surface"] == "Al (111)"
    cube, atoms = read_cube_data(str(tmp_path / "b" / "charge_difference_a.cube"))
    one = charge_difference(tmp_path / "a")
    np.testing.assert_allclose(cube / Bohr**3, one.difference, atol=1e-6)
    np.testing.assert_allclose(atoms.positions, one.atoms.positions, atol=1e-4)
    # The three structures of the inputs are one: surface and ligand stand where they do together.
    parts = [ase.io.read(tmp_path / "a" / f"gpaw_{n}.xyz") for n in ("particle", "bare", "ligands")]
    np.testing.assert_allclose(np.concatenate([p.positions for p in parts[1:]]), parts[0].positions, atol=1e-6)
    rho, atoms = read_cube_data(str(tmp_path / "a" / "gpaw_bare_charge.cube"))
    with (tmp_path / "a" / "gpaw_bare_charge.cube").open("w") as file:
        write_cube(file, atoms, data=np.full(rho.shape, 0.01))
    with pytest.raises(DataFileError, match="has to hold none"):
        charge_difference(tmp_path / "a")


def test_a_relaxed_run_is_gone_on_from(tmp_path):
    small(tmp_path / "a", "--relax")
    fixed = ase.io.read(tmp_path / "a" / "gpaw_particle.xyz").constraints
    assert len(fixed[0].index) > 0
    assert "BFGS" in (tmp_path / "a" / "gpaw_particle.py").read_text()
    finish(tmp_path / "a")
    path = tmp_path / "a" / "gpaw_particle_result.xyz"
    done = ase.io.read(path)
    moved = done.positions + np.array([0, 0, 0.1])
    energy = done.get_potential_energy()
    done.set_constraint()
    done.positions = moved
    done.calc = SinglePointCalculator(done, energy=energy, forces=np.zeros((len(done), 3)))
    done.write(path, format="extxyz")
    model = relaxed_model(tmp_path / "a")
    np.testing.assert_allclose(model.atoms.positions, moved, atol=1e-6)
    assert main(["ligand", str(tmp_path / "a"), "--format", "gpaw", "--out", str(tmp_path / "b"), *GPAW]) == 0
    again = ase.io.read(tmp_path / "b" / "gpaw_particle.xyz")
    np.testing.assert_allclose(again.positions, moved, atol=1e-6)
    assert "BFGS" not in (tmp_path / "b" / "gpaw_particle.py").read_text()


@pytest.mark.slow
def test_figures_of_ligands_are_drawn(tmp_path):
    small(tmp_path / "a")
    finish(tmp_path / "a")
    small(tmp_path / "c", "--facet", "100")
    drawn = {one.name: one for one in sr.figures([tmp_path / "a"], tmp_path / "f", formats=("png",))}
    assert set(drawn) == {"ligand_sites", "binding", "charge_difference"}
    assert not any(one.absent for one in drawn.values())
    assert "0.07 electrons move" in drawn["charge_difference"].caption
    (both,) = sr.figures([tmp_path / "a", tmp_path / "c"], tmp_path / "g", only=("binding",), formats=("png",))
    assert "1 surfaces have no finished runs" in both.caption
    assert all(path.stat().st_size > 10_000 for one in drawn.values() for path in one.files)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gpaw") is None, reason="GPAW is not installed")
def test_gpaw_runs_a_ligand_on_a_slab(tmp_path):
    """CO on two planes of Al, the three scripts as they are written: it binds weakly, and no electrons are made."""
    slab = fcc111("Al", (2, 2, 2), vacuum=4.0)
    slab.pbc = (True, True, False)
    top = slab.positions[slab.positions[:, 2].argmax()]
    guest = np.array([[0, 0, 2.1], [0, 0, 3.25]])
    carbonyl = Molecule("carbon monoxide", np.array(["C", "O"]), guest - guest[0], 0, 1)
    atoms = Atoms.bare(np.concatenate([slab.positions, top + guest]), np.array(["Al"] * 8 + ["C", "O"]))
    cell = slab.cell.array + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 3.0]])
    which = np.repeat([0, 1], [8, 2])
    model = LigandModel(atoms, which, carbonyl, (), facet="111", cell=cell, surface="Al (111)")
    settings = DftSettings(gpaw_spacing=0.3, k_spacing=3.0, charge=True)
    write_ligands(tmp_path, model, codes=("gpaw",), settings=settings)
    for name in ("particle", "bare", "ligands"):
        done = subprocess.run(["gpaw", "python", f"gpaw_{name}.py"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    found = read_binding(tmp_path)
    assert found.code == "gpaw"
    assert -3 < found.energy < 0  # Γ alone binds too strongly: −1.6 eV
    one = charge_difference(tmp_path)
    assert 0.1 < one.moved < 2
    # The charge moves where the bond is: of an eighth of the cell, within 2.5 Å of the carbon atom, more than a third.
    away = np.stack(np.meshgrid(*(np.arange(n) / n for n in one.difference.shape), indexing="ij"), axis=-1)
    away -= one.atoms.positions[8] @ np.linalg.inv(one.cell)
    away[..., :2] -= np.rint(away[..., :2])
    near = np.linalg.norm(away @ one.cell, axis=-1) < 2.5
    assert near.mean() < 0.2
    assert np.abs(one.difference[near]).sum() > 0.35 * np.abs(one.difference).sum()
