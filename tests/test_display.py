"""Records in a notebook: one line, a table with a picture, figures, tables; and slips of the hand get a sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest

import single_rs as sr
from single_rs.base.errors import InputError
from single_rs.records.invariants import need_positive

PIXEL = 0.4  # Å


@pytest.fixture(scope="module")
def made():
    return sr.simulate_stack(sr.nanocrystal("Pt", 14.0, seed=1), 60, box=80, pixel_size=PIXEL, dose=20.0, seed=1)


@pytest.fixture(scope="module")
def records(made):
    stack = sr.ParticleStack(made.images, PIXEL, np.arange(60))
    clean = sr.clean_stack(stack)
    poses = sr.Poses.known(made.rotations, made.shifts, block=20)
    density = sr.reconstruct(clean, poses)
    particle = sr.analyze(made.crystal.positions, "Pt")
    return [stack, clean, poses, density, particle, particle.atoms, particle.lattice, particle.strain]


def test_every_record_is_one_short_line(records):
    for record in records:
        assert "\n" not in repr(record)
        assert len(repr(record)) < 400


def test_the_line_says_what_matters(records, made):
    particle, lattice = records[4], records[6]
    assert repr(particle.atoms) == f"Atoms({len(made.crystal)} atoms: {len(made.crystal)} Pt; no errors)"
    assert re.match(r"Lattice\(fcc, a = 3\.9\d+ ± 0\.\d+, b", repr(lattice))
    assert {"a", "b", "gamma_err"} <= set(dir(lattice))


def test_a_notebook_gets_meanings_and_pictures(records):
    for record in records:
        page = record._repr_html_()
        assert page.count("<tr>") >= 5
        assert len(page) < 200_000
    assert "data:image/png" in records[3]._repr_html_()
    assert "proper rotations" in records[2]._repr_html_()  # from the docstring


def test_figures_and_tables_of_a_record(records):
    stack, clean, poses, density, particle, atoms, lattice, _ = records
    for record in (stack, clean, poses, density, particle):
        assert np.ravel(record.plot())[0].figure is not None
    with pytest.raises(InputError, match="Lattice has no figure"):
        lattice.plot()
    pandas = pytest.importorskip("pandas")
    table = atoms.to_dataframe()
    assert isinstance(table, pandas.DataFrame)
    np.testing.assert_array_equal(table[["positions_0", "positions_1", "positions_2"]], atoms.positions)
    assert len(poses.to_dataframe()) == 60
    assert atoms.to_ase().get_chemical_symbols() == list(atoms.symbols)


def test_a_slip_is_named_and_told_how_to_mend(made):
    stack = sr.ParticleStack(made.images, PIXEL, np.arange(60))
    with pytest.raises(InputError, match=r"CleanStack is needed, and ParticleStack was given; clean_stack\(stack\)"):
        sr.find_poses(stack, "Pt")
    with pytest.raises(InputError, match="ParticleStack is needed, and SimulatedStack was given"):
        sr.clean_stack(made)
    with pytest.raises(InputError, match="images are a list"):
        sr.ParticleStack([[1]], PIXEL, np.arange(1))
    with pytest.raises(InputError, match=r"pixel_size is '0\.4'; a number is needed in Å"):
        sr.ParticleStack(made.images, "0.4", np.arange(60))
    with pytest.raises(InputError, match="10 times those in nm"):
        sr.analysis.lattice.fit_lattice(made.crystal.positions / 10)
    for wrong in (made.crystal, sr.analyze(made.crystal.positions, "Pt").atoms.to_ase()):
        with pytest.raises(InputError, match=r"positions are of type \w+; give its \.positions"):
            sr.analysis.lattice.fit_lattice(wrong)
    with pytest.raises(InputError, match=r"stack is of type ndarray; give a path, or ParticleStack"):
        sr.solve(made.images, "Pt")
    with pytest.raises(InputError, match=r"movie is of type ndarray; give a path, or Movie\.from_array"):
        sr.run(made.images, "Pt")
    with pytest.raises(InputError, match="a CleanStack is needed, and ParticleStack was given"):
        sr.refine_atoms(stack, None, None)
    with pytest.raises(TypeError, match="element"):
        sr.solve("stack.mrcs")
    with pytest.raises(InputError):
        need_positive("x", -1.0)
