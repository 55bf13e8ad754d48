"""Only the particle is analysed: ligands, solvent and a second particle are separated, and stay in the files."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

import single_rs as sr
from single_rs.analysis.analyze import describe_particle
from single_rs.analysis.selection import select_particle
from single_rs.records import Atoms

SHARED = Path(__file__).parents[2] / "shared"


def as_atoms(x, symbols):
    unknown = np.full(len(x), np.nan)
    return Atoms(np.asarray(x), np.asarray(symbols, dtype=str), unknown, unknown, unknown, unknown)


def platinum(seed=1):
    x = sr.nanocrystal("Pt", diameter=18, seed=seed).positions
    return x, np.full(len(x), "Pt")


def with_monoxide(x, count, seed=0):
    """CO upright on the outermost atoms: C 1.85 Å above its metal atom, O 1.15 Å above C (as on Pt(111) on top)."""
    order = np.argsort(-np.linalg.norm(x, axis=1))[:count]
    out = x[order] / np.linalg.norm(x[order], axis=1)[:, None]
    positions = np.concatenate([x, x[order] + 1.85 * out, x[order] + 3.0 * out])
    return positions, np.array(["Pt"] * len(x) + ["C"] * count + ["O"] * count)


def test_a_shell_of_carbon_monoxide_changes_nothing_of_the_metal(tmp_path):
    x, symbols = platinum()
    bare = sr.analyze(as_atoms(x, symbols))
    covered = sr.analyze(as_atoms(*with_monoxide(x, 24)))
    np.testing.assert_array_equal(covered.strain.radial, bare.strain.radial)
    np.testing.assert_array_equal(covered.surface, bare.surface)
    assert covered.lattice.parameters == bare.lattice.parameters
    assert len(covered.others) == 48
    assert covered.ligand.all()
    assert "48 atoms of C, O are ligands or solvent" in describe_particle(covered)
    # All atoms are in every file, the particle's first.
    sr.export.write_analysis(tmp_path, covered, formats=("poscar", "pdb"))
    written = ase.io.read(tmp_path / "atoms.xyz")
    assert len(written) == len(x) + 48
    np.testing.assert_array_equal(written.arrays["ligand"], np.repeat([0, 1], [len(x), 48]))
    assert np.isnan(written.arrays["strain"][len(x) :]).all()
    assert len(ase.io.read(tmp_path / "POSCAR", format="vasp")) == len(x) + 48
    # The file is analysed again as it was.
    again = sr.analyze(sr.export.atoms.read_xyz(tmp_path / "atoms.xyz"))
    assert len(again.others) == 48
    assert again.lattice.a == pytest.approx(bare.lattice.a, abs=1e-6)


@pytest.mark.parametrize(
    ("structure", "formula", "a"),
    [
        ("rocksalt", "PbS", 5.94),
        ("zincblende", "CdSe", 6.05),
        ("fluorite", "CeO2", 5.41),
        ("cesiumchloride", "CsCl", 4.12),
    ],
)
def test_the_non_metal_of_a_compound_is_of_the_particle(structure, formula, a):
    block = bulk(formula, structure, a=a, cubic=True).repeat(8)
    x = block.positions - block.positions.mean(axis=0) + [0.3, 0.1, 0.2]
    inside = np.linalg.norm(x, axis=1) < 10
    chosen = select_particle(x[inside], np.array(block.get_chemical_symbols())[inside])
    assert chosen.particle.all()
    assert chosen.notes == ()


def test_particles_of_non_metals_alone_are_particles():
    block = bulk("C", "diamond", a=3.567, cubic=True).repeat(4)
    assert select_particle(block.positions, block.get_chemical_symbols()).particle.all()


def test_of_two_particles_the_larger_is_analysed_and_it_is_said():
    x, _ = platinum()
    other = sr.nanocrystal("Pt", diameter=14, seed=2).positions + np.array([35.0, 0, 0])
    both = np.concatenate([other, x, [[0, 60.0, 0]]])
    model = sr.analyze(as_atoms(both, np.full(len(both), "Pt")))
    assert len(model.atoms) == len(x)
    np.testing.assert_allclose(model.atoms.positions, x)
    line = describe_particle(model)
    assert f"2 particles: the largest, {len(x)} of {len(both)} atoms, is analysed; another has {len(other)}" in line
    assert "1 atoms stand apart" in line


def test_the_cases_of_the_findings():
    folder = SHARED / "cases" / "analysis"
    for name, particle, others in (("pt_with_CO", 79, 24), ("two_particles", 371, 371)):
        if not (folder / f"{name}.xyz").exists():  # the same is made above
            continue
        found = ase.io.read(folder / f"{name}.xyz")
        chosen = select_particle(found.positions, found.get_chemical_symbols())
        assert (int(chosen.particle.sum()), int((~chosen.particle).sum())) == (particle, others)
