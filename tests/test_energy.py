"""Formation energies: against springs whose answer is algebra, against ASE set up by hand, with errors that hold."""

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms as AseAtoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.cluster import Octahedron

import single_rs as sr
from single_rs.analysis.model import Particle
from single_rs.base.errors import ConvergenceError, DataFileError, InputError
from single_rs.cli import main
from single_rs.crystal.neighbours import largest_sigma
from single_rs.energy import available_calculators, bulk_energy, formation_energy
from single_rs.export.atoms import read_xyz, write_xyz
from single_rs.plots.energy import plot_atom_energies, plot_energy_views
from single_rs.records import Atoms


def particle(positions, symbols="Pt", sigma=0.02):
    n = len(positions)
    one = np.ones(n)
    symbols = np.full(n, symbols) if isinstance(symbols, str) else np.asarray(symbols)
    return Atoms(np.asarray(positions, float), symbols, one, one, np.broadcast_to(sigma, n).astype(float), one)


class Springs(Calculator):
    """E = ½ Σ (x − x₀)ᵀ K (x − x₀) of each atom: the second derivatives are K, and every trace is known."""

    implemented_properties = ("energy", "energies", "forces")

    def __init__(self, rest, stiffness):
        super().__init__()
        self.rest, self.stiffness = rest, stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        step = self.atoms.positions - self.atoms.positions.mean(axis=0) - self.rest
        force = -step @ self.stiffness
        energies = -0.5 * np.sum(step * force, axis=1)
        self.results = {"energy": energies.sum(), "energies": energies, "forces": force - force.mean(axis=0)}


@pytest.fixture(scope="module")
def lattice_points():
    x = Octahedron("Pt", 5, 1).positions
    return x - x.mean(axis=0)


def test_energy_is_that_of_ase_against_the_bulk():
    cluster = Octahedron("Cu", 5, 1)
    cluster.calc = EMT()
    found = sr.energy.formation_energy(particle(cluster.positions, "Cu"), draws=0)
    crystal, scales = bulk("Cu"), np.linspace(0.99, 1.0, 41)
    energies = []
    for scale in scales:
        cell = crystal.copy()
        cell.set_cell(crystal.cell * scale, scale_atoms=True)
        cell.calc = EMT()
        energies.append(cell.get_potential_energy())
    assert found.bulk["Cu"] == pytest.approx(min(energies), abs=1e-5)
    assert found.lattice_ratio["Cu"] == pytest.approx(scales[np.argmin(energies)], abs=3e-4)
    n = len(cluster)
    assert found.per_atom == pytest.approx((cluster.get_potential_energy() - n * found.bulk["Cu"]) / n, abs=1e-9)
    assert found.energies.mean() == pytest.approx(found.per_atom, abs=1e-9)
    np.testing.assert_allclose(found.forces, cluster.get_forces(), atol=1e-9)
    assert found.corrected == found.per_atom
    assert np.isnan(found.sigma)


def test_an_alloy_is_measured_against_its_own_bulks():
    cluster = Octahedron("Pt", 4, 1)
    cluster.symbols[::3] = "Ni"
    symbols = cluster.get_chemical_symbols()
    found = sr.energy.formation_energy(particle(cluster.positions, symbols), draws=0)
    cluster.calc = EMT()
    expected = cluster.get_potential_energy() - sum(found.bulk[s] for s in symbols)
    assert found.per_atom * len(symbols) == pytest.approx(expected, abs=1e-9)
    given = sr.energy.formation_energy(particle(cluster.positions, symbols), draws=0, bulk={"Ni": -1.0})
    assert given.bulk["Ni"] == -1.0
    assert list(given.lattice_ratio) == ["Pt"]


def test_bias_and_error_of_springs_are_the_traces(lattice_points):
    """With one stiffness per direction, ½ tr HΣ and fᵀΣf − ½ tr HΣHΣ are sums that can be written down."""
    rng = np.random.default_rng(2)
    n = len(lattice_points)
    stiffness = np.diag([4.0, 6.0, 9.0])
    covariance = np.einsum("nij,nkj->nik", a := rng.normal(0, 0.02, (n, 3, 3)), a) + 1e-5 * np.eye(3)
    x = lattice_points + rng.normal(0, 0.02, (n, 3))
    found = sr.energy.formation_energy(
        particle(x), Springs(lattice_points, stiffness), bulk={"Pt": 0.0}, covariance=covariance, draws=64
    )
    product = stiffness @ covariance
    bias = 0.5 * np.trace(product, axis1=1, axis2=2).sum() / n
    # Off-diagonal products have a scatter, which the standard error states.
    assert found.bias == pytest.approx(bias, abs=4 * found.bias_error + 0.02 * bias)
    half = 0.5 * np.einsum("nij,nji->", product, product)
    variance = np.einsum("ni,nij,nj->", found.forces, covariance, found.forces) - half
    assert found.sigma * n == pytest.approx(np.sqrt(max(variance, half)), rel=0.1)
    assert found.energies_bias.mean() == pytest.approx(found.bias, abs=1e-9)


def test_stated_errors_hold_for_springs(lattice_points):
    """Of many noisy copies the corrected energies scatter round the truth as stated."""
    rng = np.random.default_rng(3)
    sigma, n = 0.05, len(lattice_points)
    offset = 0.04 * rng.normal(size=(n, 3))
    truth = 0.5 * 8.0 * np.square(offset - offset.mean(axis=0)).sum() / n
    pulls, raw = [], []
    for k in range(150):
        x = lattice_points + offset + rng.normal(0, sigma, (n, 3))
        springs = Springs(lattice_points, 8.0 * np.eye(3))
        found = sr.energy.formation_energy(particle(x, sigma=sigma), springs, bulk={"Pt": 0.0}, draws=2, seed=k)
        pulls.append((found.corrected - truth) / found.sigma)
        raw.append((found.per_atom - truth) / found.sigma)
    # 150 copies tell the mean of the pulls to 0.08 and their width to 0.06.
    assert abs(np.mean(pulls)) < 0.25
    assert 0.85 < np.std(pulls) < 1.2
    assert np.mean(raw) > 5  # noise is mistaken for energy without the correction


def test_noise_of_a_metal_is_taken_off():
    """Copies of a relaxed-lattice particle with 2 pm noise: biased as measured, on the truth when corrected."""
    x = Octahedron("Pt", 5, 1).positions
    truth = sr.energy.formation_energy(particle(x), draws=0).per_atom
    rng = np.random.default_rng(5)
    found = [
        sr.energy.formation_energy(particle(x + rng.normal(0, 0.02, x.shape)), draws=4, seed=k, bulk={"Pt": -1.5e-4})
        for k in range(10)
    ]
    raw = np.array([f.per_atom for f in found]) - truth
    corrected = np.array([f.corrected for f in found]) - truth
    stated = np.array([f.sigma for f in found])
    assert abs(corrected.mean()) < 3 * stated.mean() / np.sqrt(len(found)) + 2e-4
    assert corrected.std() < 2 * stated.mean()
    assert 1e-3 < raw.mean() - corrected.mean() < 5e-3  # eV per atom; 2.7 meV measured


def test_error_of_the_scale_is_the_virial():
    x = Octahedron("Pt", 4, 1).positions
    found = sr.energy.formation_energy(particle(x), draws=0, scale_error=0.002)
    centre = x - x.mean(axis=0)
    assert found.sigma_scale == pytest.approx(abs((found.forces * centre).sum()) * 0.002 / len(x), rel=0.02)


def test_results_depend_on_the_seed_alone(lattice_points):
    first, again, other = (sr.energy.formation_energy(particle(lattice_points), draws=2, seed=s) for s in (1, 1, 2))
    assert first.bias == again.bias
    np.testing.assert_array_equal(first.energies_sigma, again.energies_sigma)
    assert first.bias != other.bias


def test_a_calculator_is_named_or_given():
    assert available_calculators(["Pt", "Cu"])[0] == "emt"
    argon = particle(Octahedron("Cu", 3).positions * 1.05, "Ar", np.nan)
    named = sr.energy.formation_energy(argon, "ase.calculators.lj:LennardJones", bulk={"Ar": 0.0})
    given = sr.energy.formation_energy(argon, LennardJones(), bulk={"Ar": 0.0})
    assert named.per_atom == given.per_atom
    assert "sigma" in named.notes[0]


def test_bulk_of_a_hexagonal_metal_is_relaxed_in_both_lengths():
    calculator = LennardJones(sigma=2.6, epsilon=0.3, rc=7.0, smooth=True)
    energy, scale = bulk_energy("Ti", lambda atoms: calculator)
    start = bulk("Ti")
    for a in (-0.002, 0, 0.002):
        for c in (-0.02, 0, 0.02):
            # Lennard-Jones crystals have c/a close to that of touching spheres, titanium 2.8% less.
            cell = start.copy()
            ratio = np.sqrt(8 / 3) / (start.cell.lengths()[2] / start.cell.lengths()[0])
            cell.set_cell(start.cell.array * (scale * (1 + a) * np.array([1, 1, ratio * (1 + c)])), scale_atoms=True)
            cell.calc = calculator
            assert energy <= cell.get_potential_energy() / len(cell) + 1e-5
    with pytest.raises(ConvergenceError, match="does not describe it"):
        bulk_energy("Cu", lambda atoms: LennardJones(sigma=1.0))


def test_wrong_input_is_named():
    x = Octahedron("Pt", 3).positions
    with pytest.raises(InputError, match=r"emt does not know W, only Ag.*available for W"):
        sr.energy.formation_energy(particle(x, "W"))
    with pytest.raises(InputError, match="calculator is 'emtt', which is not known; available for Pt: emt"):
        sr.energy.formation_energy(particle(x), "emtt")
    with pytest.raises(InputError, match="calculator no_such_module:X cannot be loaded"):
        sr.energy.formation_energy(particle(x), "no_such_module:X")
    with pytest.raises(InputError, match="an ASE calculator is needed"):
        sr.energy.formation_energy(particle(x), 3.0)
    with pytest.raises(InputError, match=r"covariance has shape \(3, 3\)"):
        sr.energy.formation_energy(particle(x), covariance=np.eye(3))
    with pytest.raises(InputError, match="not positive definite"):
        sr.energy.formation_energy(particle(x), covariance=-np.tile(np.eye(3), (len(x), 1, 1)))
    with pytest.raises(InputError, match="draws is 1"):
        sr.energy.formation_energy(particle(x), draws=1)
    with pytest.raises(InputError, match=r"scale_error is 0\.5"):
        sr.energy.formation_energy(particle(x), scale_error=0.5)
    with pytest.raises(InputError, match="bulk of O is no simple crystal"):
        sr.energy.formation_energy(particle(x, "O"), LennardJones())
    twice = np.zeros((2, 3))
    with np.errstate(all="ignore"), pytest.raises(InputError, match="same place"):
        sr.energy.formation_energy(particle(twice, "Ar"), LennardJones(), bulk={"Ar": 0.0})


def test_the_command_writes_the_energies_of_a_run(tmp_path, capsys):
    cluster = Octahedron("Pt", 4, 1)
    x = cluster.positions - cluster.positions.mean(axis=0)
    atoms = particle(x)
    zero = np.zeros(len(x), dtype=int)
    for k in range(2):
        folder = tmp_path / "run" / f"particle_{k:02d}"
        folder.mkdir(parents=True)
        write_xyz(folder / "atoms.xyz", Particle(atoms, zero, zero, zero > 0, box=64, pixel_size=0.4))
    assert main(["energy", str(tmp_path / "run"), "--draws", "2", "--bulk-energy", "Pt=-0.5"]) == 0
    assert "eV/atom with emt" in capsys.readouterr().out
    folder = tmp_path / "run" / "particle_01"
    content = json.loads((folder / "energy.json").read_text(encoding="utf-8"))
    cluster.calc = EMT()
    measured = cluster.get_potential_energy() / len(x) + 0.5
    assert content["formation_energy_as_measured"] == pytest.approx(measured, abs=1e-5)
    assert content["formation_energy_per_atom"] == pytest.approx(measured - content["bias"], abs=1e-5)
    assert content["formation_energy_per_atom_err"] >= content["sigma"] > 0
    assert content["bulk"] == {"Pt": -0.5}
    np.testing.assert_allclose(read_xyz(folder / "energy.xyz").positions, x, atol=1e-6)
    back = ase.io.read(folder / "energy.xyz")
    assert back.get_potential_energy() == pytest.approx(cluster.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(back.get_forces(), cluster.get_forces(), atol=1e-4)
    assert back.arrays["formation_energy"].mean() == pytest.approx(measured, abs=1e-5)
    assert all((folder / name).stat().st_size > 10_000 for name in ("energy_atoms.png", "energy_views.png"))
    # A file alone, without errors, into a folder of its own.
    ase.io.write(tmp_path / "plain.xyz", AseAtoms("Pt" * len(x), positions=x), format="xyz")
    assert main(["energy", str(tmp_path / "plain.xyz"), "--out", str(tmp_path / "e")]) == 0
    assert "errors of the positions (sigma) are not known" in capsys.readouterr().out
    assert json.loads((tmp_path / "e" / "energy.json").read_text())["formation_energy_per_atom_err"] is None


def test_the_command_complains_in_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["energy", str(tmp_path / "empty")]) == 2
    assert "holds no atoms.xyz" in capsys.readouterr().err
    assert main(["energy", str(tmp_path / "none.xyz")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["energy", str(tmp_path / "none.xyz"), "--bulk-energy", "Pt"]) == 2
    assert "ELEMENT=eV" in capsys.readouterr().err
    with pytest.raises(DataFileError):
        sr.export.read_xyz(tmp_path / "none.xyz")


def test_the_page_runs(capsys):
    page = (Path(__file__).parents[1] / "docs" / "energy.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(source, "docs/energy.md", "exec"), names)
    assert 0.3 < names["found"].corrected < 0.7
    assert "noise adds" in capsys.readouterr().out


def test_figures_show_energies_with_units(lattice_points):
    found = sr.energy.formation_energy(particle(lattice_points), draws=2)
    surface = np.linalg.norm(lattice_points, axis=1) > 5
    ax = plot_atom_energies(lattice_points, found.energies, found.energies_sigma, surface)
    assert ax.get_ylabel() == "Formation energy of the atom (eV)"
    assert [t.get_text()[:4] for t in ax.get_legend().get_texts()] == ["core", "surf"]
    views = plot_energy_views(lattice_points, found.energies)
    assert [v.get_xlabel() for v in views] == ["x (Å)", "y (Å)", "z (Å)"]


def test_a_sigma_that_the_bonds_refute_gives_no_error_and_is_named():
    """±19 pm in three dimensions taken for one axis: the bonds of these atoms scatter by errors of 5 pm."""
    x = Octahedron("Pt", 5, 1).positions
    x = x + np.random.default_rng(0).normal(0, 0.05, x.shape)
    one = np.ones(len(x))
    assert largest_sigma(x) == pytest.approx(0.05, rel=0.15)
    refuted = formation_energy(Atoms(x, np.full(len(x), "Pt"), one, one, 0.19 * one, one), draws=4)
    assert np.isnan(refuted.bias)
    assert refuted.corrected == refuted.per_atom
    assert any("sigma is 0.190 Å per axis" in note for note in refuted.notes)
    believed = formation_energy(Atoms(x, np.full(len(x), "Pt"), one, one, 0.05 * one, one), draws=4)
    assert believed.bias > 0
    model = sr.analyze(Atoms(x, np.full(len(x), "Pt"), one, one, 0.19 * one, one))
    assert any("sigma is 0.190 Å per axis" in note for note in model.notes)


def test_energies_say_what_the_calculator_is_worth():
    """EMT's Pt(111) by ASE's own slab and EMT, as the finding measured it (0.78 J/m²), against 2.49 measured."""
    x = Octahedron("Pt", 4, 1).positions
    unknown = np.full(len(x), np.nan)
    found = formation_energy(Atoms(x, np.full(len(x), "Pt"), unknown, unknown, unknown, unknown), draws=0)
    (check,) = found.surface
    assert check.computed == pytest.approx(0.78, abs=0.01)
    assert check.measured == 2.489
    assert any("Pt(111) 0.78 J/m², measured 2.49" in note for note in found.notes)
