"""Chemical order: perfect compounds have S = 1 and known Warren-Cowley parameters, random alloys none, errors hold."""

from __future__ import annotations

import numpy as np
import pytest
from ase.spacegroup import crystal as spacegroup_crystal
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

import single_rs as sr
from single_rs.analysis.analyze import describe_particle
from single_rs.analysis.chemical_order import chemical_order
from single_rs.analysis.lattice import fit_lattice
from single_rs.records import Atoms
from single_rs.store.codecs import decode, encode

CELLS = {
    "L1_0": (["Fe", "Pt"], [(0, 0, 0), (0.5, 0.5, 0.5)], 123, [2.724, 2.724, 3.713, 90, 90, 90]),
    "L1_2": (["Fe", "Pt"], [(0, 0, 0), (0.5, 0.5, 0)], 221, [3.866] * 3 + [90] * 3),
    "B2": (["Ni", "Al"], [(0, 0, 0), (0.5, 0.5, 0.5)], 221, [2.887] * 3 + [90] * 3),
}


def particle(kind, radius=11.0, noise=0.05, seed=3):
    """Positions and symbols of a ball of an ordered alloy, off centre and turned."""
    symbols, basis, group, cell = CELLS[kind]
    block = spacegroup_crystal(symbols, basis, spacegroup=group, cellpar=cell).repeat(10)
    x = block.positions - block.positions.mean(axis=0) + [0.3, 0.2, 0.1]
    inside = np.linalg.norm(x, axis=1) < radius
    x = x[inside] @ Rotation.random(random_state=seed).as_matrix().T
    names = np.array(block.get_chemical_symbols())[inside]
    return x + np.random.default_rng(seed).normal(0, noise, x.shape), names


def atoms(x, symbols, probability=np.nan):
    unknown = np.full(len(x), np.nan)
    return Atoms(x, np.asarray(symbols), unknown, unknown, unknown, np.full(len(x), probability))


@pytest.mark.parametrize("kind", list(CELLS))
def test_a_perfect_compound_has_full_order_on_its_sublattices(kind):
    x, symbols = particle(kind)
    order = chemical_order(atoms(x, symbols), fit_lattice(x, symbols=symbols))
    long = order.long_range
    assert long.kind == kind
    assert long.s == pytest.approx(1)
    assert 0 < long.s_err < 0.05
    for shares in long.occupancies.values():
        assert sorted(round(v, 6) for v, _ in shares.values()) == [0, 1]
    if kind == "L1_0":
        # c/a of the conventional cell: 3.713 / (√2 · 2.724).
        assert long.c_over_a == pytest.approx(3.713 / (2.724 * np.sqrt(2)), abs=4 * long.c_over_a_err)
        assert long.c_over_a_err < 0.002
    else:
        assert np.isnan(long.c_over_a)


@pytest.mark.parametrize(("kind", "alpha"), [("L1_0", -1 / 3), ("L1_2", -1 / 3), ("B2", -1.0)])
def test_warren_cowley_of_the_first_shell_is_that_of_plain_numpy(kind, alpha):
    x, symbols = particle(kind)
    found = chemical_order(atoms(x, symbols), fit_lattice(x, symbols=symbols)).short_range[0]
    bond = found.distance
    pairs = cKDTree(x).query_pairs(1.08 * bond if kind == "B2" else 1.2 * bond, output_type="ndarray")
    first, second = sorted(set(symbols))
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    of_first = ends[symbols[ends[:, 0]] == first]
    direct = 1 - np.mean(symbols[of_first[:, 1]] == second) / np.mean(symbols == second)
    assert found.alpha[0, 1] == pytest.approx(direct, abs=0.02)
    assert found.alpha[0, 1] == pytest.approx(alpha, abs=0.05)  # a particle has as many atoms as it has


def test_a_random_alloy_has_no_order():
    x, symbols = particle("L1_0")
    for seed in range(5):
        mixed = np.random.default_rng(seed).permutation(symbols)
        order = chemical_order(atoms(x, mixed), fit_lattice(x, symbols=mixed))
        assert order.long_range.kind == "disordered"
        first = order.short_range[0]
        assert abs(first.alpha[0, 1]) < 4 * first.random[0, 1]


@pytest.mark.parametrize("kind", list(CELLS))
def test_the_error_of_s_covers_what_misnamed_atoms_hide(kind):
    """A tenth of the atoms misnamed: the true S of 1 is seen as about 0.8, and the probabilities say by how much."""
    x, symbols = particle(kind)
    rng = np.random.default_rng(2)
    wrong = rng.random(len(symbols)) < 0.1
    first, second = sorted(set(symbols))
    seen = np.where(wrong, np.where(symbols == first, second, first), symbols)
    long = chemical_order(atoms(x, seen, 0.9), fit_lattice(x, symbols=seen)).long_range
    assert long.kind == kind
    assert 0.7 < long.s < 0.9
    assert abs(1 - long.s) < 2 * long.s_err
    sure = chemical_order(atoms(x, seen, 1.0), fit_lattice(x, symbols=seen)).long_range
    assert sure.s_err < 0.5 * long.s_err


def test_the_profile_of_a_shell_on_a_core():
    made = sr.nanocrystal("Pd", diameter=24, second="Pt", fraction=0.4, mixing="core_shell", seed=1)
    order = chemical_order(atoms(made.positions, made.symbols), fit_lattice(made.positions, symbols=made.symbols))
    platinum = order.elements.index("Pt")
    shares = np.array([b.share[platinum] for b in order.profile])
    assert shares[0] == 0
    assert shares[-1] > 0.9
    assert sum(b.atoms for b in order.profile) == len(made.positions)
    assert all(b.error[platinum] > 0 for b in order.profile)
    assert order.short_range[0].alpha[0, 1] > 0.3  # the elements part


def test_the_analysis_holds_it_and_says_it():
    x, symbols = particle("L1_0")
    model = sr.analyze(atoms(x, symbols))
    line = describe_particle(model)
    assert "L1_0 order S 1.00" in line
    assert "c/a 0.96" in line
    content = decode(encode(sr.analysis.summarise(model)), sr.analysis.ParticleSummary, "summary.json").chemistry
    assert content.long_range.kind == "L1_0"
    assert content.share[content.elements.index("Fe")] == pytest.approx(np.mean(symbols == "Fe"))
    assert sr.analyze(atoms(x, np.full(len(x), "Pt"))).chemistry is None
