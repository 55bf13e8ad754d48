"""Crystals of two species: their structure, sublattices, polar direction, internal parameter; and cell against size."""

import numpy as np
import pytest
import spglib
from scipy.spatial.transform import Rotation

from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.lattice.expansion import expansion
from single_rs.analysis.lattice.size import cell_against_size, volume_diameter
from single_rs.analysis.lattice_record import LatticeRecord, lattice_record
from single_rs.base.errors import InputError
from single_rs.crystal.compounds import COMPOUNDS, binary_formula, compound_formula
from single_rs.crystal.prototypes import BINARY_STRUCTURES, bulk_reference, crystal_axes, prototype
from single_rs.export import write_cell_against_size
from single_rs.store.codecs import decode, encode

PAIRS = {"rocksalt": ("Pb", "S"), "zincblende": ("Ga", "As"), "wurtzite": ("Zn", "O"), "fluorite": ("Ce", "O")}
PER_AXIS = 0.05 / np.sqrt(3)  # Å; the displacement is 5 pm long


def crystal(structure, count, seed=0, noise=0.0, a=None, c=None, u=0.375):
    """Positions, symbols and true cell of the `count` sites nearest to a random centre, randomly turned."""
    rng = np.random.default_rng(seed)
    kind, bulk = prototype(structure), bulk_reference(compound_formula(*PAIRS[structure], structure), structure)
    lengths = np.array([a or bulk.a, a or bulk.a, c or a or bulk.c])
    cell = kind.cell * (lengths / np.linalg.norm(kind.cell, axis=1))[:, None]
    motif = kind.motif + (kind.species == 1)[:, None] * [0, 0, u - 0.375 if structure == "wurtzite" else 0]
    steps = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = (steps + motif).reshape(-1, 3) @ cell - rng.uniform(-2, 2, 3)
    chosen = np.argsort(np.linalg.norm(x, axis=1))[:count]
    symbols = np.array(PAIRS[structure])[np.tile(kind.species, len(steps))[chosen]]
    rotation = Rotation.random(random_state=seed).as_matrix()
    return x[chosen] @ rotation.T + rng.normal(0, noise, (count, 3)), symbols, cell @ rotation.T


@pytest.mark.parametrize("structure", BINARY_STRUCTURES)
def test_noisy_crystals_of_two_species_give_structure_sublattices_and_cell(structure):
    """Ten crystals of 600 atoms, 5 pm: cells to ±0.003 Å and ±0.05°, calibrated, and the true A to B direction."""
    pull = []
    for seed in range(10):
        x, symbols, cell = crystal(structure, 600, seed, PER_AXIS)
        lattice = fit_lattice(x, structure if seed else None, symbols=symbols)
        assert lattice.structure == structure
        assert lattice.species == PAIRS[structure]
        assert lattice.antisites == 0
        assert lattice.fraction == 1
        assert len(lattice.domains) == 1
        p = lattice.parameters
        error = np.array([p.a, p.b, p.c]) - np.linalg.norm(cell, axis=1)
        angle = np.array([p.alpha - 90, p.beta - 90, p.gamma - (120 if structure == "wurtzite" else 90)])
        assert np.abs(error).max() < 0.003
        assert np.abs(angle).max() < 0.05
        pull += [*(error / [p.a_err, p.b_err, p.c_err]), *(angle / [p.alpha_err, p.beta_err, p.gamma_err])]
        # The fitted axes are the true ones turned by a symmetry operation of the coloured crystal, not of the bare one.
        turn = np.linalg.inv(crystal_axes(cell, structure)) @ crystal_axes(lattice.cell, structure)
        frame = crystal_axes(cell, structure)
        inverse = np.linalg.inv(prototype(structure).cell)
        group = np.array([prototype(structure).cell.T @ w @ inverse.T for w in prototype(structure).operations[0]])
        assert np.abs(group - frame @ turn @ frame.T).max(axis=(1, 2)).min() < 0.01
        # Every first species on a site of the first.
        assert np.all((lattice.sites[:, 2] * 8 % 1 < 1e-6) | (structure == "wurtzite"))
    assert np.sqrt(np.mean(np.square(pull))) == pytest.approx(1, abs=0.27)  # 60 parameters: ±9% at one σ


def test_positions_alone_tell_what_they_can():
    """Rocksalt and wurtzite geometry are known without species; zincblende is diamond, unless the formula says more."""
    for structure, bare in (("rocksalt", "rocksalt"), ("zincblende", "diamond"), ("wurtzite", "wurtzite")):
        x, _, _ = crystal(structure, 300, 3, 0.03)
        lattice = fit_lattice(x)
        assert lattice.structure == bare
        assert lattice.species == ()
        assert np.isnan(lattice.antisites)
        named = fit_lattice(x, element="".join(PAIRS[structure]))
        assert named.structure == structure
        assert named.bulk is not None
        assert abs(expansion(named).mean) < 3 * expansion(named).mean_err + 1e-9


def test_disordered_species_leave_diamond_and_antisites_are_counted():
    x, symbols, _ = crystal("zincblende", 300, 1)
    rng = np.random.default_rng(2)
    assert fit_lattice(x, symbols=rng.permutation(symbols)).structure == "diamond"
    swapped = symbols.copy()
    for k in range(10):
        swapped[k] = {"Ga": "As", "As": "Ga"}[swapped[k]]
    lattice = fit_lattice(x, symbols=swapped)
    assert lattice.structure == "zincblende"
    assert lattice.antisites == pytest.approx(10 / 300)


def test_u_of_wurtzite_is_fitted_with_its_error():
    pull = []
    for seed in range(8):
        x, symbols, _ = crystal("wurtzite", 400, seed, PER_AXIS, u=0.382)
        lattice = fit_lattice(x, "wurtzite", symbols=symbols)
        assert lattice.u == pytest.approx(0.382, abs=0.0016)
        assert lattice.u_err < 0.0007
        pull.append((lattice.u - 0.382) / lattice.u_err)
        np.testing.assert_allclose(lattice.site_positions(), x - lattice.residual, atol=1e-9)
    assert np.sqrt(np.mean(np.square(pull))) == pytest.approx(1, abs=0.6)  # 8 values: ±25% at one σ
    assert np.isnan(fit_lattice(*crystal("rocksalt", 200)[:1]).u)
    back = decode(encode(lattice_record(lattice)), LatticeRecord, "lattice.json").lattice
    assert (back.species, round(back.u, 6)) == (("Zn", "O"), round(lattice.u, 6))


def test_prototypes_of_two_species_have_the_space_groups_of_spglib():
    for name, number in (("rocksalt", 225), ("zincblende", 216), ("wurtzite", 186)):
        kind = prototype(name)
        found = spglib.get_symmetry_dataset((kind.cell, kind.motif, kind.species + 1))
        assert found.number == number
        proper = {r.tobytes() for r in found.rotations if np.linalg.det(r) > 0}
        assert proper == {np.rint(w).astype(found.rotations.dtype).tobytes() for w in kind.operations[0]}
        bare = spglib.get_symmetry_dataset((kind.cell, kind.motif, np.ones(len(kind.motif))))
        both = {np.rint(w).tobytes() for w in np.concatenate([kind.operations[0], kind.exchanges[0]])}
        assert len(both) == len({r.tobytes() for r in bare.rotations if np.linalg.det(r) > 0})


def test_the_table_of_compounds_is_sound():
    """Bonds lie between those of BeO (1.65 Å) and KBr (3.30 Å), and polytypes agree in their bond."""
    for (first, second, structure), (a, c, source) in COMPOUNDS.items():
        bulk = bulk_reference(compound_formula(first, second, structure), structure)
        assert 1.6 < bulk.nearest < 3.35
        assert source
        assert (c == a) == (structure != "wurtzite")
        assert structure != "wurtzite" or 1.55 < c / a < 1.68
        assert binary_formula(second, first) == (first, second)
    # Volume of a formula unit: a³/4 and √3/4 a² c.
    for name in ("GaN", "AlN", "InN", "CdS", "ZnS"):
        cubic, hexagonal = (bulk_reference(name, s) for s in ("zincblende", "wurtzite"))
        assert cubic.a**3 / 4 == pytest.approx(np.sqrt(3) / 4 * hexagonal.a**2 * hexagonal.c, rel=0.025)
    assert bulk_reference("CoPt") is None
    assert bulk_reference("PbS", "wurtzite") is None
    with pytest.raises(InputError, match="element is 'Qq'"):
        bulk_reference("Qq")


def particles(slope, sizes, noise=0.03, jitter=0.0, seed=0):
    """Fitted lattices of balls whose edge is 3.92 + slope/diameter (+ jitter), and their true diameters."""
    rng = np.random.default_rng(seed)
    kind, out, diameters = prototype("fcc"), [], []
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    for k, count in enumerate(sizes):
        diameter = (6 * count * 3.92**3 / 4 / np.pi) ** (1 / 3)
        x = (steps + kind.motif).reshape(-1, 3) * (3.92 + slope / diameter + rng.normal(0, jitter)) - rng.uniform(
            -1, 1, 3
        )
        x = x[np.argsort(np.linalg.norm(x, axis=1))[:count]] @ Rotation.random(random_state=seed + k).as_matrix().T
        out.append(fit_lattice(x + rng.normal(0, noise, x.shape), "fcc", element="Pt"))
        diameters.append(diameter)
    return out, np.array(diameters)


def test_cell_against_size_finds_the_bulk_cell_and_the_slope(tmp_path):
    lattices, diameters = particles(-0.4, [80, 120, 180, 260, 380, 550])
    result = cell_against_size(lattices, diameters)
    assert abs(result.bulk - 3.92) < 3 * result.bulk_err < 0.02
    assert abs(result.slope + 0.4) < 3 * result.slope_err < 0.5
    assert 0.3 < result.chi2 < 14  # 4 degrees of freedom, 0.3 and 99.3 percent
    value, error = result.predict([1e9, 20.0])
    assert value[0] == pytest.approx(result.bulk)
    assert error[1] < error[0]
    # Tension f = −(3/4) B k/a∞: 230 GPa and −0.4 Å² give +1.76 N/m.
    stress, stress_err = result.surface_stress(230.0)
    assert stress == pytest.approx(-0.75 * 23.0 * result.slope / result.bulk)
    assert 0 < stress_err < abs(stress)
    np.testing.assert_allclose(result.table["expansion"], result.table["mean"] / 3.92 - 1, atol=1e-12)
    # Without diameters those of the spheres of equal volume, which is how the balls were cut.
    own = cell_against_size(lattices)
    np.testing.assert_allclose(own.diameter, diameters, rtol=0.01)
    assert volume_diameter(lattices[0])[1] < 1.0
    write_cell_against_size(tmp_path / "size.csv", result)
    table = np.genfromtxt(tmp_path / "size.csv", delimiter=",", names=True, skip_header=3)
    np.testing.assert_allclose(table["mean"], result.table["mean"], atol=1e-6)


def test_particles_that_differ_by_more_than_their_errors_widen_the_errors():
    """Edges jittered by 10 mÅ where each is known to 1 mÅ: the scatter is found and carried into the line."""
    lattices, diameters = particles(-0.4, [120, 160, 200, 260, 330, 400, 480, 550], noise=0.01, jitter=0.01)
    result = cell_against_size(lattices, diameters)
    assert 0.004 < result.scatter < 0.02
    assert result.chi2 > 50
    assert abs(result.bulk - 3.92) < 3 * result.bulk_err
    assert result.bulk_err > 0.005


def test_wrong_particles_are_named():
    lattices, diameters = particles(0, [80, 100, 120])
    with pytest.raises(InputError, match="2 lattices"):
        cell_against_size(lattices[:2])
    with pytest.raises(InputError, match=r"diameters have shape \(2,\)"):
        cell_against_size(lattices, diameters[:2])
    with pytest.raises(InputError, match="quantity is 'd'"):
        cell_against_size(lattices, diameters, quantity="d")
    with pytest.raises(InputError, match=r"all diameters are 20\.0 Å"):
        cell_against_size(lattices, np.full(3, 20.0))
    with pytest.raises(InputError, match="surface stress"):
        cell_against_size(lattices, diameters, quantity="gamma").surface_stress(230)
    with pytest.raises(InputError, match="symbols have shape"):
        fit_lattice(np.eye(3).repeat(5, 0) + np.arange(15)[:, None], symbols=["Pt"])
