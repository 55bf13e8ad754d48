"""Structure of diamond, zincblende, wurtzite and rocksalt, told on a close-packed sublattice."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

import single_rs as sr
from single_rs.analysis.structure import survey_structure
from single_rs.analysis.structure.record import structure_record
from single_rs.analysis.sublattice import close_packed_sublattice

_A = {"zincblende": 6.052, "wurtzite": 4.299, "rocksalt": 5.936, "diamond": 5.431}


def _ball(name: str, structure: str, radius: float, noise: float) -> sr.Atoms:
    options = {"c": 7.010, "u": 0.375} if structure == "wurtzite" else {}
    crystal = bulk(name, structure, a=_A[structure], **options).repeat(14)
    x = crystal.positions - crystal.positions.mean(axis=0) + (0.31, 0.17, 0.05)
    inside = np.linalg.norm(x, axis=1) < radius
    x, symbols = x[inside], np.array(crystal.get_chemical_symbols())[inside]
    unknown = np.full(len(x), np.nan)
    shaken = x + np.random.default_rng(1).normal(0, noise, x.shape)
    return sr.Atoms(shaken, symbols, unknown, unknown, unknown, unknown)


@pytest.mark.parametrize(
    ("name", "structure", "radius", "template"),
    [
        ("CdSe", "zincblende", 13.0, "fcc"),
        ("CdSe", "wurtzite", 13.0, "hcp"),
        ("PbS", "rocksalt", 12.0, "fcc"),
        ("Si", "diamond", 12.0, "fcc"),
    ],
)
def test_structure_of_a_compound_is_that_of_its_close_packed_sublattice(name, structure, radius, template):
    atoms = _ball(name, structure, radius, 0.04)
    model = sr.analyze(atoms)
    assert model.lattice.structure == structure
    packed = close_packed_sublattice(model.atoms, model.lattice)
    assert 0.4 < packed.mean() < 0.6
    assert len(set(model.atoms.symbols[packed])) == 1
    survey = survey_structure(model.atoms.positions, packed)
    found = structure_record(survey)
    assert [grain.structure for grain in found.grains] == [template]
    assert found.grains[0].atoms > 0.85 * packed.sum()
    assert found.structure_types[template] > 0.2 * len(atoms)
    assert not found.faults
    assert not found.dislocations
    assert found.sublattice_atoms == packed.sum()
    assert len(survey.sites) == len(survey.grains.label) == len(survey.match.rmsd) == len(atoms)
    if template == "fcc":  # facets have names in cubic crystals only
        assert found.shape.fractions["other"] < 1


def test_a_metal_has_no_sublattice():
    crystal = sr.nanocrystal("Pt", diameter=14, seed=1)
    unknown = np.full(len(crystal.positions), np.nan)
    atoms = sr.Atoms(crystal.positions, np.full(len(unknown), "Pt"), unknown, unknown, unknown, unknown)
    assert close_packed_sublattice(atoms, sr.analyze(atoms).lattice) is None


def test_a_stacking_fault_of_zincblende_is_found():
    layers = "ABCABCABABCABC"  # one layer of C is missing: an intrinsic fault
    edge, rows = 6.052 / np.sqrt(2), []
    for level, letter in enumerate(layers):
        shift = {"A": 0, "B": 1, "C": 2}[letter]
        for u in range(-6, 7):
            for v in range(-6, 7):
                x = edge * (u + v / 2 + shift / 2)
                y = edge * np.sqrt(3) / 2 * (v + shift / 3)
                z = 6.052 / np.sqrt(3) * (level - 6.5)
                rows += [("Cd", x, y, z), ("Se", x, y, z + 6.052 * np.sqrt(3) / 4)]
    place = np.array([row[1:] for row in rows])
    inside = np.linalg.norm(place, axis=1) < 16
    x, symbols = place[inside], np.array([row[0] for row in rows])[inside]
    found = survey_structure(x, symbols == "Cd")
    assert [fault.kind for fault in found.faults] == ["intrinsic stacking fault"]
    assert set(symbols[found.faults[0].atoms]) == {"Cd"}


def test_a_partial_needs_a_fault():
    from dataclasses import replace

    from single_rs.analysis.structure.dislocations import find_dislocations
    from single_rs.simulate.dislocations import dislocated_nanocrystal

    x = np.asarray(dislocated_nanocrystal("shockley", diameter=24).positions)
    survey = survey_structure(x)
    assert [line.kind for line in survey.dislocations] == ["Shockley partial"]
    no_fault = np.where(survey.match.structure_type == 2, 0, survey.match.structure_type)
    assert find_dislocations(x, replace(survey.match, structure_type=no_fault), survey.grains) == ()
