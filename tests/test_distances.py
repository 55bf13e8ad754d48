"""Distances along rows and pair distributions of crystals whose answers are known, and errors against Monte Carlo."""

import numpy as np
import pytest
from matplotlib.axes import Axes

import single_rs as sr
from single_rs import plots
from single_rs.analysis.distances import PairDistribution, RowDistances, bond_constant, distance_profile, row_distances
from single_rs.analysis.distances.pdf import number_density, pair_distribution
from single_rs.analysis.lattice import fit_lattice
from single_rs.base.errors import DataFileError, InputError
from single_rs.store.tables import read_table, write_table
from test_lattice import BOND, ball

EDGE = BOND * np.sqrt(2)


@pytest.fixture(scope="module")
def perfect():
    x = ball("fcc", 300, 1)
    return x, fit_lattice(x, "fcc")


@pytest.mark.parametrize(
    ("structure", "steps"),
    [
        ("fcc", {"100": 1, "110": np.sqrt(0.5), "111": np.sqrt(3)}),
        ("bcc", {"100": 1, "110": np.sqrt(2), "111": np.sqrt(0.75)}),
        ("hcp", {"100": 1, "001": np.sqrt(8 / 3), "210": np.sqrt(3)}),
    ],
)
def test_rows_of_perfect_crystals_have_the_steps_of_their_lattice(structure, steps):
    x = ball(structure, 200, 2)
    lattice = fit_lattice(x, structure)
    rows = row_distances(x, lattice)
    for family, step in steps.items():
        mine = rows.family == family
        np.testing.assert_allclose(rows.distance[mine], step * lattice.a, rtol=1e-9)
        np.testing.assert_allclose(rows.reference[mine], rows.distance[mine], rtol=1e-9)
    # Nothing between: every pair that far apart in such a direction is found, once.
    d = np.linalg.norm(x[:, None] - x[None], axis=2)
    nearest = structure != "hcp"
    family = {"fcc": "110", "bcc": "111", "hcp": "100"}[structure]
    within = np.sum(np.abs(d - BOND) < 1e-6) // 2
    found = int(np.sum(rows.family == family))
    assert found == within if nearest else found < within
    assert len({tuple(sorted(p)) for p in zip(rows.i, rows.j, strict=True)}) == len(rows.i)
    assert np.isnan(rows.distance_err).all()


def test_bonds_and_gaps_of_diamond_are_told_apart_by_their_reference():
    x = ball("diamond", 200, 3)
    lattice = fit_lattice(x, "diamond")
    rows = row_distances(x, lattice, families=("111",))
    np.testing.assert_allclose(np.unique(rows.reference.round(6)), [BOND, 3 * BOND], atol=1e-5)
    np.testing.assert_allclose(rows.distance, rows.reference, rtol=1e-9)


def test_the_shell_of_a_core_shell_crystal_is_seen_at_its_radius(perfect):
    """Bulk fcc inside 5 Å, beyond it grown by 2% along the radius: distances follow it there and nowhere else."""
    x, _ = perfect
    x = x - x.mean(axis=0)
    r = np.linalg.norm(x, axis=1)
    core, rim = 5.0, r.max()
    # ∂u/∂r is 2% beyond the core, so radial pairs there are longer by 2% and tangential ones by u/r ≤ 1%.
    u = 0.02 * np.clip(r - core, 0, None)
    grown = x + x * (u / np.maximum(r, 1e-9))[:, None]
    lattice = fit_lattice(x, "fcc")  # the cell of the core
    rows = row_distances(grown, lattice)
    strain = rows.distance / rows.reference - 1
    along = np.abs(np.einsum("pi,pi->p", grown[rows.j] - grown[rows.i], grown[rows.j] + grown[rows.i]))
    along /= rows.distance * 2 * np.maximum(rows.radius, 1e-9)
    both_in = np.maximum(r[rows.i], r[rows.j]) < core
    both_out = np.minimum(r[rows.i], r[rows.j]) > core
    assert np.abs(strain[both_in]).max() < 1e-9
    radial = both_out & (along > 0.95)
    assert radial.sum() > 30
    assert strain[radial].mean() == pytest.approx(0.02, abs=0.0025)
    tangential = both_out & (along < 0.1)
    expected = 0.01 * (2 - core / r[rows.i] - core / r[rows.j])[tangential]
    assert strain[tangential].mean() == pytest.approx(expected.mean(), abs=0.001)
    profile = distance_profile(rows, "110")
    inside = profile.radius < core - 2
    assert np.abs(profile.strain[inside]).max() < 1e-3
    assert profile.strain[-1] > 0.004
    assert profile.radius[-1] < 1.03 * rim


def test_errors_of_means_match_monte_carlo(perfect):
    """Atoms shared by pairs are counted once, and noise across the bond does not lengthen the mean."""
    x, lattice = perfect
    rng = np.random.default_rng(0)
    sigma = np.where(rng.random(len(x)) < 0.5, 0.03, 0.06)
    strains, bonds = [], []
    for _ in range(25):
        y = x + rng.normal(size=x.shape) * sigma[:, None]
        profile = distance_profile(row_distances(y, lattice, sigma, ("110",)), "110", width=4.0)
        strains.append(profile.strain)
        bonds.append(bond_constant(y, lattice, sigma)[:2])
    strains = np.array([s[:2] for s in strains])  # the shells that hold the same pairs each time
    stated = profile.strain_err[:2]
    # 25 copies know a standard deviation to 14%.
    np.testing.assert_allclose(strains.std(axis=0), stated, rtol=0.42)
    assert np.all(np.abs(strains.mean(axis=0)) < 4 * stated / np.sqrt(25))
    a, error = np.array(bonds).T
    assert a.std() == pytest.approx(error.mean(), rel=0.42)
    # The bias without correction would be 2 · 0.047²/2.77 · √2 = 2.3 mÅ, 7 standard errors of this mean.
    assert abs(a.mean() - EDGE) < 4 * a.std() / np.sqrt(25) < 0.0014


def test_peaks_of_the_pair_distribution_are_the_shells_of_fcc(perfect):
    """Shells at √(k/2) bonds; coordination 12, 6, 24, 12 less what the surface cuts: counted atom by atom."""
    x, lattice = perfect
    result = pair_distribution(x, lattice=lattice, width=0.03, step=0.01)
    d = np.linalg.norm(x[:, None] - x[None], axis=2)
    for k in (1, 2, 3, 4, 5):
        shell = BOND * np.sqrt(k)
        low, high = shell - 0.2, shell + 0.2
        assert result.peak(low, high) == pytest.approx(shell, abs=1e-4)
        assert result.coordination(low, high) == pytest.approx(np.sum(np.abs(d - shell) < 1e-6) / len(x), rel=2e-3)
    # The two shells next to an atom of the middle, where no surface cuts: 12 and 6.
    centre = int(np.argmin(np.linalg.norm(x - x.mean(axis=0), axis=1)))
    assert [int(np.sum(np.abs(d[centre] - BOND * np.sqrt(k)) < 1e-6)) for k in (1, 2)] == [12, 6]
    assert result.density == pytest.approx(4 / EDGE**3, rel=1e-6)
    # All ordered pairs: the whole of R is N − 1 neighbours.
    whole = pair_distribution(x, lattice=lattice, r_max=float(d.max()) + 1)
    assert whole.coordination(0, 1e9) == pytest.approx(len(x) - 1, rel=1e-6)


def test_an_even_body_has_g_of_one_and_reduced_of_zero():
    """Random points in a ball: g = 1 at all distances (so the normalisation by γ₀ is right), G = 0."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1000, 3))
    x *= (15 * rng.random((1000, 1)) ** (1 / 3)) / np.linalg.norm(x, axis=1, keepdims=True)
    # The points of a ball of 15 Å fill it to the rim; the correction of half a cell assumes atoms, so 7% remain.
    assert number_density(x) == pytest.approx(1000 / (4 / 3 * np.pi * 15**3), rel=0.05)
    result = pair_distribution(x, width=0.3, step=0.1)
    inside = (result.r > 2) & (result.r < 24)
    assert result.g[inside].mean() == pytest.approx(1, abs=0.05)
    assert np.abs(result.g[inside] - 1).max() < 0.3
    part = (result.r > 2) & (result.r < 20)
    assert np.abs(result.g[part].mean() - 1) < 0.04
    np.testing.assert_allclose(
        result.reduced, 4 * np.pi * result.r * result.density * _overlap(result) * (result.g - 1), atol=1e-9
    )


def _overlap(result):
    x = result.r / result.diameter
    return 1 - 1.5 * x + 0.5 * x**3


def test_errors_of_the_pair_distribution_match_monte_carlo(perfect):
    x, lattice = perfect
    rng = np.random.default_rng(1)
    stated = pair_distribution(x, np.full(len(x), 0.01), lattice, r_max=6.0)
    copies = [pair_distribution(x + rng.normal(0, 0.01, x.shape), None, lattice, r_max=6.0).rdf for _ in range(20)]
    strong = stated.rdf_err > 0.3 * stated.rdf_err.max()
    # 20 copies know each standard deviation to 16%, and the mean over the flanks of the peaks to a few.
    assert np.mean(np.std(copies, axis=0)[strong] / stated.rdf_err[strong]) == pytest.approx(1, abs=0.15)


def test_density_of_a_ball_without_a_lattice_is_that_with_one(perfect):
    x, lattice = perfect
    assert number_density(x) == pytest.approx(number_density(x, lattice), rel=0.05)


def test_tables_come_back_and_figures_show_them(tmp_path, perfect):
    x, lattice = perfect
    sigma = np.full(len(x), 0.02)
    rows, pdf = row_distances(x, lattice, sigma), pair_distribution(x, sigma, lattice, r_max=8.0)
    write_table(tmp_path / "distances.csv", rows)
    write_table(tmp_path / "pdf.csv", pdf)
    table = np.genfromtxt(tmp_path / "distances.csv", delimiter=",", names=True)
    np.testing.assert_allclose(table["distance"], rows.distance, atol=1e-6)
    np.testing.assert_allclose(table["distance_err"], 0.02 * np.sqrt(2), atol=1e-6)
    table = np.genfromtxt(tmp_path / "pdf.csv", delimiter=",", names=True, skip_header=4)
    np.testing.assert_allclose(table["rdf"], pdf.rdf, rtol=1e-5, atol=1e-9)
    back = read_table(tmp_path / "distances.csv", RowDistances, positions=x, sigma=sigma)
    np.testing.assert_array_equal(back.direction, rows.direction)
    np.testing.assert_array_equal(back.family, rows.family)
    again = read_table(tmp_path / "pdf.csv", PairDistribution)
    np.testing.assert_allclose(again.g, pdf.g, rtol=1e-5, atol=1e-9)
    assert (again.count, again.width) == (pdf.count, pdf.width)
    (tmp_path / "pdf.csv").write_text("r,g\n1,2\n")
    with pytest.raises(DataFileError, match=r"pdf\.csv is not a PairDistribution of this version"):
        read_table(tmp_path / "pdf.csv", PairDistribution)
    ax = plots.plot_row_distances(rows)
    assert ax.get_xlabel() == "Distance from the centre (Å)"
    assert [t.get_text()[:5] for t in ax.get_legend().get_texts()] == ["⟨100⟩", "⟨110⟩", "⟨111⟩"]
    for function, label in (("g", "g(r)"), ("rdf", "R(r) (1/Å)"), ("reduced", "G(r) (1/Å²)")):
        ax = plots.plot_pair_distribution(pdf, function=function, shells={"⟨110⟩": BOND})
        assert isinstance(ax, Axes)
        assert ax.get_ylabel() == label
        ax.figure.canvas.draw()


def test_wrong_input_is_named(perfect):
    x, lattice = perfect
    with pytest.raises(InputError, match="the lattice 300"):
        row_distances(x[:-1], lattice)
    with pytest.raises(InputError, match="family is '11'"):
        row_distances(x, lattice, families=("11",))
    with pytest.raises(InputError, match=r"sigma has shape \(2,\)"):
        row_distances(x, lattice, [0.1, 0.2])
    with pytest.raises(InputError, match=r"centre has shape \(2,\)"):
        row_distances(x, lattice, centre=[0, 0])
    with pytest.raises(InputError, match="family is '123'"):
        distance_profile(row_distances(x, lattice), "123")
    with pytest.raises(InputError, match="width is 0"):
        distance_profile(row_distances(x, lattice), "110", 0)
    with pytest.raises(InputError, match="step is 0"):
        pair_distribution(x, step=0)
    with pytest.raises(InputError, match="r_max is 0"):
        pair_distribution(x, r_max=0)
    with pytest.raises(InputError, match="sigma has shape"):
        pair_distribution(x, [0.1])
    with pytest.raises(InputError, match="there is no pair"):
        pair_distribution(x).peak(0.1, 0.5)


def test_errors_from_some_atoms_are_those_from_all(monkeypatch):
    import single_rs.analysis.distances.pdf as pdf
    from single_rs.analysis.distances.pairs import distance_histogram, representatives

    some, factor = representatives(2000)
    assert len(np.unique(some)) == len(some) == 500
    assert factor == 4.0
    x = np.asarray(sr.nanocrystal("Pt", diameter=26, disorder=0.05, seed=1).positions)
    assert len(x) > 500
    sigma = np.full(len(x), 0.05)
    part = pdf.pair_distribution(x, sigma, r_max=8.0)
    monkeypatch.setattr(pdf, "representatives", lambda count: (np.arange(count), 1.0))
    whole = pdf.pair_distribution(x, sigma, r_max=8.0)
    assert np.array_equal(part.rdf, whole.rdf)
    known = whole.rdf_err > 0.2 * whole.rdf_err.max()
    assert np.abs(part.rdf_err[known] / whole.rdf_err[known] - 1).max() < 0.15
    counts = distance_histogram(x, x, 0.01)
    pairs = np.linalg.norm(x[:, None] - x[None], axis=2)
    assert counts.sum() == pytest.approx(len(x) ** 2)
    assert counts @ (0.01 * np.arange(len(counts))) == pytest.approx(pairs.sum(), rel=1e-6)
