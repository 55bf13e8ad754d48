"""Inputs of other codes: complete, alike for particle and bulk, and accepted by the codes that are installed."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms as AseAtoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from scipy.integrate import trapezoid
from scipy.optimize import minimize_scalar

from single_rs.analysis.model import Particle
from single_rs.base.errors import DataFileError
from single_rs.cli import main
from single_rs.export.dft import (
    DftSettings,
    bulk_cell,
    k_mesh,
)
from single_rs.export.dft.cells import start_moments
from single_rs.export.formats import FORMATS, write_formats
from single_rs.records import Atoms

CODES = ("vasp", "qe", "gpaw", "cp2k", "lammps")


def model(symbols, distance, seed=3):
    """Model of the first corners of a tetrahedron, its edges `distance` Å, with 2 pm noise."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])[: len(symbols)] * distance / np.sqrt(8)
    x = corners + np.random.default_rng(seed).normal(0, 0.02, corners.shape)
    unknown, zero = np.full(len(x), np.nan), np.zeros(len(x), dtype=int)
    atoms = Atoms(x, np.array(symbols), unknown, unknown, np.full(len(x), 0.02), unknown)
    return Particle(atoms, zero, zero, zero > 0)


@pytest.fixture(scope="module")
def alloy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alloy")
    particle = model(["Pt", "Ni", "Pt", "Ni"], 2.6)
    return folder, particle, write_formats(folder, particle, CODES, vacuum=6.0)


def test_every_code_has_particle_and_bulk_and_all_tell_the_same(alloy):
    folder, particle, written = alloy
    names = {p.relative_to(folder).as_posix() for p in written}
    for element in ("Pt", "Ni"):
        expected = {f"vasp_bulk_{element}/{f}" for f in ("POSCAR", "INCAR", "KPOINTS", "POTCAR.txt")}
        expected |= {f"qe_bulk_{element}.in", f"gpaw_bulk_{element}.py", f"gpaw_bulk_{element}.xyz"}
        expected |= {f"cp2k_bulk_{element}.inp", f"lammps_bulk_{element}.data", f"lammps_bulk_{element}.in"}
        assert expected <= names
        cells = {
            "vasp": ase.io.read(folder / f"vasp_bulk_{element}" / "POSCAR"),
            "qe": ase.io.read(folder / f"qe_bulk_{element}.in", format="espresso-in"),
            "gpaw": ase.io.read(folder / f"gpaw_bulk_{element}.xyz"),
        }
        for name, cell in cells.items():
            assert cell.get_volume() == pytest.approx(bulk(element).get_volume(), rel=1e-6), name
            assert cell.get_chemical_symbols() == [element]
        super_cell = ase.io.read(folder / f"lammps_bulk_{element}.data", format="lammps-data")
        assert super_cell.get_volume() / len(super_cell) == pytest.approx(bulk(element).get_volume(), rel=1e-6)
        assert super_cell.cell.lengths().min() >= 16
    assert {"README_dft.md", "lammps.in", "lammps_potential.in", "vasp/POSCAR.map"} <= names
    assert all((folder / name).read_bytes().count(b"\r") == 0 for name in names)
    positions = particle.atoms.positions - particle.atoms.positions.min(axis=0) + 6.0
    rows = np.loadtxt(folder / "vasp" / "POSCAR.map", dtype=int)
    found = {
        "gpaw": ase.io.read(folder / "gpaw_particle.xyz").positions,
        "qe": ase.io.read(folder / "qe.in", format="espresso-in").positions,
        "lammps": ase.io.read(folder / "lammps.data", format="lammps-data").positions,
        "vasp": ase.io.read(folder / "vasp" / "POSCAR").positions[np.argsort(rows)],
        "cp2k": np.array(
            [line.split()[1:] for line in _section((folder / "cp2k.inp").read_text(), "COORD")], dtype=float
        ),
    }
    for name, x in found.items():
        np.testing.assert_allclose(x, positions, atol=1e-6, err_msg=name)
    readme = (folder / "README_dft.md").read_text(encoding="utf-8")
    assert "E_form = (E_particle - 2 * E_bulk,Pt - 2 * E_bulk,Ni) / 4" in readme
    assert all(f"| {code} |" in readme for code in CODES)


def _section(text, name):
    return re.search(rf"&{name}\n(.*?)\n\s*&END {name}", text, re.DOTALL)[1].splitlines()


def test_magnetic_elements_get_spin_everywhere(alloy):
    folder, _, _ = alloy
    incar = dict(
        line.split(" = ") for line in re.sub(r"  !.*", "", (folder / "vasp" / "INCAR").read_text()).splitlines()
    )
    assert incar["ISPIN"] == "2"
    # Species are grouped in POSCAR, so moments are: Pt Pt Ni Ni.
    assert incar["MAGMOM"] == "2*0 2*0.6"
    assert incar["NSW"] == "0"
    assert (folder / "vasp" / "KPOINTS").read_text().splitlines()[2:4] == ["Gamma", "1 1 1"]
    assert "potpaw_PBE/Pt/POTCAR $VASP_PP_PATH/potpaw_PBE/Ni/POTCAR" in (folder / "vasp" / "POTCAR.txt").read_text()
    bulk_incar = (folder / "vasp_bulk_Pt" / "INCAR").read_text()
    assert "ISIF = 3" in bulk_incar
    assert "ISPIN = 2" in bulk_incar
    for name in ("ENCUT", "SIGMA", "ISMEAR", "GGA", "PREC"):
        assert f"{name} = {incar[name]}" in bulk_incar, name
    for text in ((folder / "qe.in").read_text(), (folder / "qe_bulk_Ni.in").read_text()):
        assert "nspin            = 2" in text
        assert "starting_magnetization" in text
        assert "&FCP" not in text
    assert "UKS .TRUE." in (folder / "cp2k.inp").read_text()
    assert "spinpol=True" in (folder / "gpaw_particle.py").read_text()
    for script in ("gpaw_particle.py", "gpaw_bulk_Ni.py"):
        ast.parse((folder / script).read_text(encoding="utf-8"))
    np.testing.assert_allclose(
        ase.io.read(folder / "gpaw_particle.xyz").get_initial_magnetic_moments(), [0, 0.6, 0, 0.6]
    )


def test_settings_reach_every_code(tmp_path):
    settings = DftSettings(
        smearing=0.3, spin=True, spin_orbit=True, qe_cutoff=45.0, vasp_cutoff=350.0, cp2k_cutoff=400.0, gpaw_spacing=0.2
    )
    particle = model(["Pt", "Pt"], 2.6)
    write_formats(tmp_path, particle, CODES, 6.0, settings)
    qe = (tmp_path / "qe.in").read_text()
    for word in ("lspinorb         = .true.", "noncolin         = .true.", "local-TF", "ecutwfc          = 45.0"):
        assert word in qe
    # Γ alone uses real wave functions, which spin-orbit coupling has not.
    assert "K_POINTS automatic\n1 1 1  0 0 0" in qe
    assert "nspin" not in qe
    assert "ENCUT = 350" in (tmp_path / "vasp" / "INCAR").read_text()
    assert "MAGMOM = 2*0.5" in (tmp_path / "vasp" / "INCAR").read_text()
    cp2k = (tmp_path / "cp2k.inp").read_text()
    assert "CUTOFF 400" in cp2k
    kelvin = float(re.search(r"ELECTRONIC_TEMPERATURE \[K\] (\d+)", cp2k)[1])
    assert kelvin * 8.617333e-5 == pytest.approx(settings.fermi_width, rel=1e-3)
    script = (tmp_path / "gpaw_particle.py").read_text()
    assert "h=0.2," in script
    assert f"FermiDirac({settings.fermi_width:.4f})" in script
    (tmp_path / "organic").mkdir()
    write_formats(tmp_path / "organic", model(["Pt", "O"], 2.0), ("vasp",))
    assert "ENCUT = 520" in (tmp_path / "organic" / "vasp" / "INCAR").read_text()
    assert not (tmp_path / "organic" / "vasp_bulk_O").exists()


def test_both_smearings_have_the_same_variance():
    settings = DftSettings(smearing=0.2)
    energy = np.linspace(-4, 4, 200_001)
    fermi = 1 / (4 * settings.fermi_width * np.cosh(energy / (2 * settings.fermi_width)) ** 2)
    gauss = np.exp(-np.square(energy / 0.2)) / (0.2 * np.sqrt(np.pi))
    for shape in (fermi, gauss):
        assert trapezoid(shape, energy) == pytest.approx(1)
    assert trapezoid(fermi * energy**2, energy) == pytest.approx(trapezoid(gauss * energy**2, energy), rel=1e-5)


def test_meshes_and_moments_are_those_of_the_crystals():
    assert k_mesh(10 * np.eye(3), 0.2) == (4, 4, 4)  # 2π/10/0.2 = 3.14
    assert k_mesh(bulk("Cu").cell.array, 0.2) == (16, 16, 16)  # 2π √3/3.61/0.2 = 15.07
    a, b, c = k_mesh(bulk("Ti").cell.array, 0.2)
    assert a == b > c
    np.testing.assert_allclose(start_moments(["Fe", "Pt"], None), [2.3, 0])
    assert start_moments(["Fe"], False) is None
    assert start_moments(["Pt"], None) is None
    np.testing.assert_allclose(start_moments(["Pt", "Pt"], True), 0.5)
    assert bulk_cell("O") is None
    assert bulk_cell("Mn") is None


def test_the_command_writes_complete_inputs(tmp_path, capsys):
    ase.io.write(tmp_path / "a.xyz", AseAtoms("Cu4", model(["Cu"] * 4, 2.5).atoms.positions))
    words = ["export", str(tmp_path / "a.xyz"), "--out", str(tmp_path / "o"), "--export.dft.spin", "true"]
    assert main([*words, "--format", "qe", "--format", "cp2k", "--export.vacuum", "7"]) == 0
    files = {Path(line).name for line in capsys.readouterr().out.splitlines()}
    assert files == {"qe.in", "qe_bulk_Cu.in", "cp2k.inp", "cp2k_bulk_Cu.inp", "README_dft.md", "dft.json"}
    assert "nspin" in (tmp_path / "o" / "qe.in").read_text()
    assert set(CODES) < set(FORMATS)


# The codes below are no Python packages that the tests could ask for: each runs where it is installed.


@pytest.mark.skipif(shutil.which("lmp") is None, reason="LAMMPS is not installed")
def test_lammps_runs_what_is_written(tmp_path):
    """Energies of atoms and bulk with a Lennard-Jones potential, as ASE has them."""
    particle = model(["Cu"] * 4, 2.5)
    write_formats(tmp_path, particle, ("lammps",))
    (tmp_path / "lammps_potential.in").write_text(
        "pair_style lj/cut 8.0\npair_modify shift yes\npair_coeff 1 1 0.4 2.3\n"
    )
    energies = {}
    for run, word in (("lammps.in", "E_particle"), ("lammps_bulk_Cu.in", "E_bulk")):
        done = subprocess.run(["lmp", "-in", run], cwd=tmp_path, capture_output=True, text=True, check=True)
        energies[word] = float(re.search(rf"^{word} (\S+) eV", done.stdout, re.MULTILINE)[1])
    atoms = ase.io.read(tmp_path / "lammps.data", format="lammps-data")
    atoms.pbc, atoms.calc = False, LennardJones(sigma=2.3, epsilon=0.4, rc=8.0)
    assert energies["E_particle"] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    table = np.loadtxt(tmp_path / "lammps_result.dump", skiprows=9)
    np.testing.assert_allclose(table[:, 5], atoms.get_potential_energies(), atol=1e-6)
    np.testing.assert_allclose(table[:, 6:], atoms.get_forces(), atol=1e-6)
    cell = bulk("Cu")
    least = minimize_scalar(lambda a: _lj_energy(cell, a), bounds=(3.4, 3.7), method="bounded").fun
    assert energies["E_bulk"] == pytest.approx(least, abs=1e-4)


def _lj_energy(cell, a):
    crystal = cell.copy()
    crystal.set_cell(cell.cell * (a / 3.61), scale_atoms=True)
    crystal.calc = LennardJones(sigma=2.3, epsilon=0.4, rc=8.0)
    return crystal.get_potential_energy()


@pytest.mark.skipif(shutil.which("cp2k.psmp") is None, reason="CP2K is not installed")
def test_cp2k_parses_what_is_written(tmp_path):
    write_formats(tmp_path, model(["Pt", "Ni"], 2.6), ("cp2k",))
    for file in tmp_path.glob("*.inp"):
        done = subprocess.run(["cp2k.psmp", "--check", file.name], cwd=tmp_path, capture_output=True, text=True)
        assert "could be parsed correctly" in done.stdout, done.stdout


DIRECT = """
from ase import Atoms
from gpaw import GPAW, FermiDirac
atoms = Atoms("{symbols}", positions={positions})
atoms.center(vacuum={vacuum})
atoms.calc = GPAW(mode="lcao", basis="dzp", xc="PBE", h={spacing}, occupations=FermiDirac({width:.4f}), symmetry="off",
                  convergence={{"energy": 1e-4}}, txt=None)
print("energy", atoms.get_potential_energy())
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gpaw") is None, reason="GPAW is not installed")
def test_gpaw_runs_what_is_written(tmp_path):
    """A single point of Al4 from the exported script, unchanged, is that of the same calculation set up by hand."""
    particle, settings = model(["Al"] * 4, 2.7), DftSettings(gpaw_spacing=0.25)
    write_formats(tmp_path, particle, ("gpaw",), 4.0, settings)
    values = {"spacing": 0.25, "width": settings.fermi_width, "vacuum": 4.0, "symbols": "Al4"}
    (tmp_path / "direct.py").write_text(DIRECT.format(positions=particle.atoms.positions.tolist(), **values))
    energies = []
    for script in ("gpaw_particle.py", "direct.py"):
        done = subprocess.run(["gpaw", "python", script], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        energies.append(float(re.search(r"^energy (\S+)", done.stdout, re.MULTILINE)[1]))
    assert energies[0] == pytest.approx(energies[1], abs=2e-4)  # printed with four decimals
    result = ase.io.read(tmp_path / "gpaw_particle_result.xyz")
    expected = particle.atoms.positions - particle.atoms.positions.min(axis=0) + 4.0
    np.testing.assert_allclose(result.positions, expected, atol=1e-6)
    assert result.get_potential_energy() == pytest.approx(energies[0], abs=1e-4)
    assert np.abs(result.get_forces().sum(axis=0)).max() < 0.3  # the grid breaks translations by some 0.1 eV/Å
    assert -8 < energies[0] < -4  # bound by some 1.5 eV per atom


def test_quantum_espresso_input_names_what_is_needed(tmp_path):
    files = write_formats(tmp_path, model(["Cu"] * 4, 2.4), ("qe",), 5.0)
    text = files[0].read_text()
    assert "Cu.UPF into ./pseudo" in text.splitlines()[0]
    assert "K_POINTS gamma" in text
    assert "vc-relax" in files[1].read_text()


def test_a_line_of_moments_is_short_and_read_by_ase(tmp_path):
    count = 300
    places = np.column_stack([np.arange(2 * count) * 2.5, np.zeros((2 * count, 2))])
    unknown = np.full(2 * count, np.nan)
    atoms = Atoms(places, np.array(["Fe", "Pt"] * count), unknown, unknown, unknown, unknown)
    zero = np.zeros(2 * count, np.int64)
    write_formats(tmp_path, Particle(atoms, zero, zero, zero > 0), ("vasp",))
    lines = (tmp_path / "vasp" / "INCAR").read_text().splitlines()
    assert max(len(line) for line in lines) < 250
    (moments,) = (line for line in lines if line.startswith("MAGMOM"))
    assert moments.split("=")[1].split("!")[0].strip() == "300*2.3 300*0"
    back = ase.io.read(tmp_path / "vasp" / "POSCAR")
    assert back.get_chemical_symbols() == ["Fe"] * count + ["Pt"] * count


def test_cutoffs_are_those_of_the_pseudopotentials(tmp_path):
    folder = tmp_path / "upf"
    folder.mkdir()
    head = '<UPF version="2.0.1">\n<PP_HEADER element="{}" z_valence="{}"\nwfc_cutoff="{}" rho_cutoff="{}"/>\n'
    (folder / "Fe.pbe-spn.UPF").write_text(head.format("Fe", "1.600E+01", "7.1E+01", "7.82E+02"))
    (folder / "Pt.UPF").write_text(head.format("Pt", "1.600E+01", "4.4E+01", "3.52E+02"))
    write_formats(tmp_path, model(["Fe", "Pt"], 2.6), ("qe",), 5.0, DftSettings(qe_pseudo=str(folder), charge=True))
    text = (tmp_path / "qe.in").read_text()
    assert "ecutwfc          = 71.0" in text
    assert "ecutrho          = 782.0" in text
    assert "Fe.pbe-spn.UPF" in text
    assert float(re.search(r"starting_magnetization\(1\) *= *([0-9.]+)", text)[1]) == pytest.approx(
        1.5 * 2.3 / 16, 1e-3
    )
    assert "particle_charge.cube" in (tmp_path / "qe_charge.in").read_text()
    (tmp_path / "plain").mkdir()
    write_formats(tmp_path / "plain", model(["Fe", "Pt"], 2.6), ("qe",), 5.0)
    plain = (tmp_path / "plain" / "qe.in").read_text()
    assert "ecutwfc          = 90.0" in plain
    assert "ecutrho          = 1080.0" in plain
    (folder / "Pt.other.UPF").write_text("")
    with pytest.raises(DataFileError, match=r"one is needed, such as Pt\.UPF"):
        write_formats(tmp_path, model(["Pt", "Pt"], 2.6), ("qe",), 5.0, DftSettings(qe_pseudo=str(folder)))


def test_dispersion_and_charge_reach_every_code(tmp_path):
    write_formats(tmp_path, model(["Pt", "O"], 2.0), CODES, 6.0, DftSettings(dispersion=True, charge=True))
    incar = (tmp_path / "vasp" / "INCAR").read_text()
    assert "IVDW = 12" in incar
    assert "LCHARG = .TRUE." in incar
    assert "IVDW = 12" in (tmp_path / "vasp_bulk_Pt" / "INCAR").read_text()
    assert "LCHARG = .FALSE." in (tmp_path / "vasp_bulk_Pt" / "INCAR").read_text()
    assert "'dft-d3'" in (tmp_path / "qe.in").read_text()
    assert "TYPE DFTD3(BJ)" in (tmp_path / "cp2k_bulk_Pt.inp").read_text()
    assert "E_DENSITY_CUBE" in (tmp_path / "cp2k.inp").read_text()
    for name in ("gpaw_particle.py", "gpaw_bulk_Pt.py"):
        script = (tmp_path / name).read_text()
        ast.parse(script)
        assert "DFTD3(dft=atoms.calc" in script
    assert "write_cube" in (tmp_path / "gpaw_particle.py").read_text()
