"""The Debye pattern: exact sums, Bragg's law, form factors against ASE's table, the constant that it yields."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.utils.xrdebye import XrDebye

from single_rs import plots
from single_rs.analysis.distances import bond_constant
from single_rs.analysis.distances.powder import PowderPattern, form_factor, powder_pattern, two_theta
from single_rs.analysis.distances.powder_fit import powder_lattice, reflections
from single_rs.analysis.lattice import fit_lattice
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.export.lattice import read_lattice
from single_rs.store.tables import read_table, write_table
from test_lattice import BOND, ball
from test_lattice_binary import crystal


def test_the_pattern_is_the_double_sum_over_atoms():
    rng = np.random.default_rng(0)
    x, symbols, b = rng.uniform(0, 12, (40, 3)), np.array(["Pt", "O"] * 20), np.full(40, 0.5)
    q = np.linspace(0.3, 24.0, 60)
    f = np.stack([form_factor(s, q) for s in symbols])
    damping = np.exp(-0.5 * (q / (4 * np.pi)) ** 2)
    r = np.linalg.norm(x[:, None] - x[None], axis=2)
    direct = np.zeros(len(q))
    for k, value in enumerate(q):
        pairs = np.sinc(value * r / np.pi) * np.outer(f[:, k], f[:, k]) * damping[k] ** 2
        np.fill_diagonal(pairs, f[:, k] ** 2)
        direct[k] = pairs.sum()
    pattern = powder_pattern(x, symbols, q, b)
    # The grid of 2 mÅ changes oscillations by at most (24 · 0.002)²/8 = 3e-4 of the self part.
    np.testing.assert_allclose(pattern.intensity, direct, atol=3e-4 * np.sum(f**2, axis=0).max(), rtol=2e-3)
    np.testing.assert_allclose(pattern.structure, pattern.intensity / np.sum(f**2, axis=0), rtol=1e-12)


def test_two_atoms_oscillate_as_sine_over_argument():
    q = np.linspace(0.5, 10, 50)
    pattern = powder_pattern([[0, 0, 0], [0, 0, 2.5]], "Au", q)
    np.testing.assert_allclose(pattern.structure, 1 + np.sin(2.5 * q) / (2.5 * q), atol=1e-4)


def test_form_factors_are_those_of_other_tables():
    """At q = 0 X-rays see all electrons; beyond agree with Waasmaier and Kirfel (1995), which ASE has, to 0.1%.

    Electrons: Mott's relation f_e = (Z − f_x) / (8π² a₀ s²), s = q/4π and a₀ = 0.529 Å, ties the two tables.
    """
    other = XrDebye(Atoms("Pt"), 1.0)
    for symbol, electrons in (("Pt", 78), ("Cu", 29), ("O", 8)):
        assert form_factor(symbol, [0.0])[0] == pytest.approx(electrons, abs=0.1)
        q = np.array([4.0, 6.0, 8.0, 12.0])
        mott = (electrons - form_factor(symbol, q)) / (8 * np.pi**2 * 0.529177 * (q / (4 * np.pi)) ** 2)
        np.testing.assert_allclose(form_factor(symbol, q, "electron"), mott, rtol=0.005)
    for symbol in ("Pt", "O"):
        for s in (1.0, 4.0, 8.0, 12.0):
            table = other.get_waasmaier(symbol, s / (4 * np.pi))
            assert form_factor(symbol, [s])[0] == pytest.approx(table, rel=1e-3)


@pytest.mark.parametrize("structure", ["fcc", "bcc", "diamond"])
def test_peaks_lie_where_bragg_says(structure):
    """Peaks of S(q) within 1% of 2π√(h² + k² + l²)/a: the first ones that do not overlap, of a 2.5 nm ball."""
    x = ball(structure, 450, 1)
    lattice = fit_lattice(x, structure)
    q = np.arange(1.5, 6.0, 0.005)
    s = powder_pattern(x, "Pt", q).structure
    alone = {"fcc": [(1, 1, 1), (2, 2, 0)], "bcc": [(1, 1, 0), (2, 0, 0), (2, 1, 1)], "diamond": [(2, 2, 0), (3, 1, 1)]}
    for hkl in alone[structure]:
        assert hkl in reflections(structure)
        place = 2 * np.pi * np.linalg.norm(hkl) / lattice.a
        near = np.abs(q - place) < 0.15
        assert q[near][np.argmax(s[near])] == pytest.approx(place, rel=0.01)
        assert s[near].max() > 1.3


def test_reflections_obey_the_extinctions():
    assert reflections("fcc")[:5] == ((1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2))
    assert reflections("bcc")[:3] == ((1, 1, 0), (2, 0, 0), (2, 1, 1))
    assert reflections("diamond")[:4] == ((1, 1, 1), (2, 2, 0), (3, 1, 1), (4, 0, 0))
    assert reflections("zincblende")[:3] == ((1, 1, 1), (2, 0, 0), (2, 2, 0))
    assert (0, 0, 1) not in reflections("hcp")
    assert reflections("hcp")[:3] == ((1, 0, 0), (0, 0, 2), (1, 0, 1))


def test_the_temperature_factor_damps_peaks_and_not_the_self_part():
    x = ball("fcc", 120, 1)
    q = np.linspace(2, 10, 40)
    cold, warm = powder_pattern(x, "Pt", q), powder_pattern(x, "Pt", q, bfactor=0.6)
    factor = np.exp(-2 * 0.6 * (q / (4 * np.pi)) ** 2)
    np.testing.assert_allclose(warm.structure - 1, factor * (cold.structure - 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("structure", ["fcc", "hcp"])
def test_perfect_crystals_yield_their_constant_once_the_size_shift_is_known(structure):
    """Peaks of a 2 nm ball lie at larger a by 0.05 to 0.3%; without the shift a is exact; the size is the ball's."""
    x = ball(structure, 250, 2)
    lattice = fit_lattice(x, structure)
    found = powder_lattice(x, lattice, "Pt")
    assert 0.0005 < found.shift < 0.003
    assert found.corrected == pytest.approx(lattice.a, abs=1e-5)
    assert found.corrected_c == pytest.approx(lattice.c, abs=1e-5)
    diameter = (6 * 250 * lattice.parameters.volume / (4 if structure == "fcc" else 2) / np.pi) ** (1 / 3)
    assert found.size == pytest.approx(diameter, rel=0.05)
    assert np.std(found.observed - found.fitted) < 0.04 * np.std(found.observed)
    assert np.isnan(found.a_err)


def test_size_shift_falls_with_the_size():
    shifts = []
    for count in (120, 600):
        x = ball("fcc", count, 1)
        shifts.append(powder_lattice(x, fit_lattice(x, "fcc"), "Pt").shift)
    # The shift is that of a width squared over a distance, (1/D)² and faster than 1/D: D grows by 1.71.
    assert shifts[1] < shifts[0] / 1.71


def test_stated_error_of_the_powder_constant_matches_monte_carlo():
    """20 copies know a standard deviation to 16%; the mean is unbiased."""
    x = ball("fcc", 150, 3)
    lattice = fit_lattice(x, "fcc")
    rng = np.random.default_rng(2)
    values, error = [], np.nan
    for k in range(20):
        noisy = x + rng.normal(0, 0.04, x.shape)
        found = powder_lattice(noisy, lattice, "Pt", np.full(len(x), 0.04) if k == 0 else None)
        values.append(found.corrected)
        error = found.a_err if k == 0 else error
    assert np.std(values) == pytest.approx(error, rel=0.5)
    assert abs(np.mean(values) - BOND * np.sqrt(2)) < 4 * error / np.sqrt(20)


def test_powder_bond_and_fit_agree_where_the_strain_is_even_and_differ_where_it_is_not():
    """Stretched evenly by 1%, all three constants are larger by 1%. With the surface grown alone they come apart."""
    x = ball("fcc", 250, 4)
    even = fit_lattice(1.01 * x, "fcc")
    found = powder_lattice(1.01 * x, even, "Pt")
    for value in (even.a, found.corrected, bond_constant(1.01 * x, even)[0]):
        assert value == pytest.approx(1.01 * BOND * np.sqrt(2), abs=1e-4)
    x = x - x.mean(axis=0)
    r = np.linalg.norm(x, axis=1)
    grown = x * (1 + 0.02 * np.clip(r / r.max(), 0, 1)[:, None] ** 4)
    lattice = fit_lattice(grown, "fcc")
    found = powder_lattice(grown, lattice, "Pt")
    constants = [lattice.parameters.volume ** (1 / 3), found.corrected, bond_constant(grown, lattice)[0]]
    assert np.ptp(constants) > 0.003
    assert min(constants) > BOND * np.sqrt(2)
    assert found.strain > 0.002


def test_two_species_and_electrons():
    x, symbols, _ = crystal("rocksalt", 250, 1)
    lattice = fit_lattice(x, "rocksalt", symbols=symbols)
    for radiation in ("xray", "electron"):
        found = powder_lattice(x, lattice, symbols, radiation=radiation)
        assert found.corrected == pytest.approx(lattice.a, abs=1e-4)


def test_bragg_angle_and_figure(tmp_path):
    # Pt 111 with Cu Kα1: d = 2.2632 Å, 2θ = 39.79°.
    assert two_theta([2 * np.pi / 2.2632], 1.5406)[0] == pytest.approx(39.79, abs=0.01)
    assert np.isnan(two_theta([9.0], 1.5406)[0])
    x = ball("fcc", 150, 1)
    lattice = fit_lattice(x, "fcc")
    pattern, found = powder_pattern(x, "Pt", np.arange(1, 8, 0.05)), powder_lattice(x, lattice, "Pt")
    ax = plots.plot_powder(pattern, found, cell=lattice.cell)
    assert ax.get_xlabel() == "q = 4π sin θ / λ (1/Å)"
    assert "111" in [t.get_text() for t in ax.texts]
    assert plots.plot_powder(pattern, wavelength=1.5406).get_xlabel() == "2θ (°), λ = 1.5406 Å"
    write_table(tmp_path / "powder.csv", pattern)
    back = read_table(tmp_path / "powder.csv", PowderPattern)
    assert back.radiation == pattern.radiation
    np.testing.assert_allclose(back.intensity, pattern.intensity, rtol=1e-6)
    table = np.genfromtxt(tmp_path / "powder.csv", delimiter=",", names=True, skip_header=1)
    np.testing.assert_allclose(table["structure"], pattern.structure, rtol=1e-5)


def test_analyze_writes_the_three_tables_and_the_constants(tmp_path):
    x = ball("fcc", 120, 5, noise=0.02)
    atoms = Atoms("Pt120", positions=x)
    atoms.set_array("sigma", np.full(120, 0.02))
    write(tmp_path / "atoms.xyz", atoms, format="extxyz")
    assert main(["analyze", str(tmp_path / "atoms.xyz"), "--out", str(tmp_path / "out")]) in (0, None)
    for name in ("distances.csv", "pdf.csv", "powder.csv"):
        assert len((tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()) > 100
    content = json.loads((tmp_path / "out" / "lattice.json").read_text(encoding="utf-8"))
    lattice = read_lattice(tmp_path / "out" / "lattice.json")
    fitted, err = lattice.a, lattice.a_err
    powder, bond = content["powder"], content["bond"]
    assert powder["a"] > powder["a_corrected"]
    assert abs(powder["a_corrected"] - fitted) < 5 * np.hypot(powder["a_err"], err)
    assert abs(bond["a"] - fitted) < 5 * np.hypot(bond["a_err"], err)


def test_wrong_input_is_named():
    x = ball("fcc", 60)
    with pytest.raises(InputError, match="symbol is 'Qq'"):
        powder_pattern(x, "Qq")
    with pytest.raises(InputError, match="symbols has shape"):
        powder_pattern(x, ["Pt"] * 3)
    with pytest.raises(InputError, match="radiation is 'light'"):
        powder_pattern(x, "Pt", radiation="light")
    with pytest.raises(InputError, match="q goes from"):
        powder_pattern(x, "Pt", [1.0, 30.0])
    with pytest.raises(InputError, match="bfactor goes from"):
        powder_pattern(x, "Pt", bfactor=-1.0)
    with pytest.raises(InputError, match="q has shape"):
        powder_pattern(x, "Pt", [])
    with pytest.raises(InputError, match="wavelength is 0"):
        two_theta([1.0], 0)
    lattice = fit_lattice(x, "fcc")
    with pytest.raises(InputError, match="the lattice 60"):
        powder_lattice(x[:-1], lattice, "Pt")
    with pytest.raises(InputError, match="sigma has shape"):
        powder_lattice(x, lattice, "Pt", [0.1])


def test_the_page_on_the_lattice_is_true(capsys):
    page = (Path(__file__).parents[1] / "docs" / "lattice.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(source, "docs/lattice.md", "exec"), {})
    assert capsys.readouterr().out.startswith("fit 3.9")
