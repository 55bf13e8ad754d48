"""What is computed beside a particle, what it takes, and what its finished runs say."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms as AseAtoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cluster import Octahedron
from ase.neighborlist import neighbor_list
from ase.units import Ry

import single_rs as sr
from single_rs.analysis import analyze
from single_rs.analysis.model import Particle
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.compare.rows import read_row
from single_rs.energy import finished_energy
from single_rs.export.dft import DftRecord, DftSettings, dft_set, write_inputs
from single_rs.export.dft.calculation import Calculation
from single_rs.export.dft.estimate import estimate, plane_waves, valence_electrons
from single_rs.export.dft.finished import read_finished
from single_rs.export.dft.references import compound_cell, references
from single_rs.records import Atoms
from single_rs.store.codecs import read_record

PARTICLE = np.array([[0, 0, 0], [2.6, 0, 0], [0, 2.6, 0], [0, 0, 2.6]], float)


def found(symbols, structure=None):
    every, missing, compound = references(symbols, 0.2, False, structure)
    return {r.name: (r.count, r.units) for r in every}, missing, compound


def test_references_hold_the_atoms_of_the_particle():
    assert found(["Pt"] * 5) == ({"bulk_Pt": (5, 1)}, (), False)
    assert found(["Pt"] * 3 + ["Ni"]) == ({"bulk_Pt": (3, 1), "bulk_Ni": (1, 1)}, (), False)
    # Half of a gas molecule for each atom; oxygen is a triplet.
    assert found(["Pt"] * 3 + ["O"] * 2)[0] == {"bulk_Pt": (3, 1), "molecule_O2": (2, 2)}
    (gas,) = (r for r in references(["Pt", "O"], 0.2, False)[0] if r.name == "molecule_O2")
    assert gas.atoms.get_initial_magnetic_moments().sum() == 2
    assert gas.mesh is None
    # A compound takes as many units as its atoms allow; the excess has the reference of its element.
    assert found(["Cd"] * 10 + ["Se"] * 8) == ({"bulk_CdSe": (8, 1), "bulk_Cd": (2, 2)}, (), True)
    assert found(["Cd"] * 8 + ["Se"] * 10) == ({"bulk_CdSe": (8, 1)}, ("Se",), True)
    assert found(["Ce"] * 10 + ["O"] * 21)[0] == {"bulk_CeO2": (10, 1), "molecule_O2": (1, 2)}
    assert found(["Zn"] * 4 + ["O"] * 4, "wurtzite")[0] == {"bulk_ZnO": (4, 2)}
    assert found(["Mn"] * 4) == ({}, ("Mn",), False)


@pytest.mark.parametrize(
    ("formula", "structure", "like"),
    [
        ("CdSe", "zincblende", bulk("CdSe", "zincblende", a=6.05)),
        ("PbS", "rocksalt", bulk("PbS", "rocksalt", a=5.9362)),
        ("CeO2", "fluorite", bulk("CeO2", "fluorite", a=5.40972)),
        ("ZnO", "wurtzite", bulk("ZnO", "wurtzite", a=3.2533, c=5.2073, u=0.375)),
    ],
)
def test_cells_of_compounds_are_those_of_ase(formula, structure, like):
    cell = compound_cell(formula, structure)
    assert cell.get_chemical_formula(empirical=True) == like.get_chemical_formula(empirical=True)
    assert cell.get_volume() == pytest.approx(like.get_volume())
    for name in sorted(set(like.get_chemical_symbols())):
        for crystal in (cell, like):
            assert name in crystal.get_chemical_symbols()
        ours, theirs = (np.sort(_environment(c, name)) for c in (cell, like))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def _environment(crystal, name):
    """Distances from one atom of an element to all within 5 Å."""
    i, d = neighbor_list("id", crystal, 5.0)
    return d[i == crystal.get_chemical_symbols().index(name)]


def test_compounds_have_a_narrow_smearing_and_metals_a_wide_one():
    unknown = np.array([[0, 0, 0], [2.6, 0, 0]])
    zero = np.zeros(2, int)
    for symbols, width in ((["Cd", "Se"], 0.05), (["Pt", "Pt"], 0.2)):
        particle = Particle(Atoms.bare(unknown, np.array(symbols)), zero, zero, zero > 0)
        assert dft_set(particle, 5.0).settings.width == width
        assert dft_set(particle, 5.0, DftSettings(smearing=0.1)).settings.width == 0.1


def test_valence_electrons_are_those_of_the_recommended_sets():
    """ZVAL of the headers of the PAW sets that the VASP wiki recommends."""
    known = {"H": 1, "C": 4, "O": 6, "Al": 3, "Ti": 12, "Fe": 8, "Ni": 10, "Cu": 11, "Ga": 13, "Mo": 14, "Rh": 15}
    known |= {"Pd": 10, "Ag": 11, "Cd": 12, "Se": 6, "Ce": 12, "Hf": 10, "W": 12, "Pt": 10, "Au": 11, "Pb": 14}
    assert {e: valence_electrons(e) for e in known} == known


def test_plane_waves_and_memory_are_those_that_a_code_reports():
    """pw.x 6.7 of Cu13 in a cube of 16.2 Å: 189035 vectors in half the sphere of 2 k at 30 Ry, 86 states, 2.25 GB."""
    cluster = Octahedron("Cu", 3, 1)
    cluster.center(vacuum=5.0)
    assert 4 * plane_waves(cluster.get_volume(), 30 * Ry) == pytest.approx(189035, rel=2e-3)
    one = Calculation("particle", cluster)
    cost = estimate(one, "qe", DftSettings(), cutoff=30 * Ry, density=240 * Ry, valence={"Cu": 11.0})
    assert (cost.electrons, cost.bands) == (143, 86)
    assert cost.memory == pytest.approx(2.25, rel=0.3)
    # The same by hand for VASP: 16 bytes for each number of the wave functions.
    big = Octahedron("Cu", 9, 2)
    big.center(vacuum=10.0)
    cost = estimate(Calculation("particle", big), "vasp", DftSettings(), cutoff=400.0)
    waves = plane_waves(big.get_volume(), 400.0) / 2
    assert cost.memory > 16 * waves * cost.bands / 1e9
    assert cost.memory < 3 * 16 * waves * cost.bands / 1e9
    assert cost.cores[0] * 2.0 >= cost.memory * 0.9
    assert cost.cores[0] <= cost.cores[1]


@pytest.fixture
def export(tmp_path):
    """An export of Pt4 whose runs have finished."""
    ase.io.write(tmp_path / "a.xyz", AseAtoms("Pt4", PARTICLE))
    out = tmp_path / "dft"
    words = [f for code in ("vasp", "qe", "gpaw", "cp2k", "lammps") for f in ("--format", code)]
    assert main(["export", str(tmp_path / "a.xyz"), "--out", str(out), *words, "--export.vacuum", "5"]) == 0
    return tmp_path / "a.xyz", out


OUTCAR = """
------------------------ aborting loop because EDIFF is reached ----------------------------------------
  energy  without entropy=      -10.50000000  energy(sigma->0) =      {:.8f}
 General timing and accounting
"""
QE = "!    total energy   =     {:.8f} Ry\n     convergence has been achieved in  12 iterations\n   JOB DONE.\n"
CP2K = " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:     {:.12f}\n  **** PROGRAM ENDED AT 2026\n"


def _finish(out):
    """Outputs of runs with E_particle −18 eV and E_bulk −6 eV per atom, in the words of each code."""
    ry, hartree = 13.605693122994, 27.211386245988
    (out / "vasp" / "OUTCAR").write_text(OUTCAR.format(-18.0))
    (out / "vasp_bulk_Pt" / "OUTCAR").write_text(OUTCAR.format(-6.0))
    (out / "qe.out").write_text("!    total energy = -1.0 Ry\n" + QE.format(-18 / ry))
    (out / "qe_bulk_Pt.out").write_text(QE.format(-6 / ry))
    done = ase.io.read(out / "gpaw_particle.xyz")
    done.calc = SinglePointCalculator(done, energy=-18.0, forces=np.zeros((4, 3)))
    done.write(out / "gpaw_particle_result.xyz", format="extxyz")
    (out / "gpaw_bulk_Pt_result.txt").write_text("E_bulk -6.0000 eV/atom at 15.100 Angstrom^3/atom\n")
    (out / "cp2k.out").write_text(CP2K.format(-18 / hartree))
    (out / "cp2k_bulk_Pt.out").write_text(CP2K.format(-6 / hartree))
    (out / "lammps.log").write_text('print "E_particle ${energy} eV"\nE_particle -18.0 eV\n')
    (out / "lammps_bulk_Pt.log").write_text("E_bulk -6.0 eV/atom\n")


@pytest.mark.parametrize("code", ["vasp", "qe", "gpaw", "cp2k", "lammps"])
def test_finished_runs_are_read_into_energy_json(export, code, capsys):
    atoms, out = export
    _finish(out)
    where = out.parent / "energy"
    words = ["energy", str(atoms), "--finished", str(out), "--calculator", code, "--out", str(where)]
    assert main(words) == 0
    assert "1.5000 eV/atom" in capsys.readouterr().out
    record = json.loads((where / "energy.json").read_text())
    assert record["formation_energy_per_atom"] == pytest.approx(1.5, abs=1e-6)  # (−18 + 4 · 6) / 4
    assert record["bulk"] == {"Pt": pytest.approx(-6.0, abs=1e-6)}
    assert code in record["calculator"]


def test_runs_that_did_not_end_or_converge_are_refused(export):
    atoms, out = export
    with pytest.raises(DataFileError, match="no output"):
        read_finished(out)
    _finish(out)
    (out / "vasp" / "OUTCAR").write_text(OUTCAR.format(-18.0).replace("General", ""))
    with pytest.raises(DataFileError, match="did not finish"):
        read_finished(out, "vasp")
    (out / "vasp" / "OUTCAR").write_text(
        OUTCAR.format(-18.0).replace("because EDIFF is reached", "EDIFF was not reached")
    )
    with pytest.raises(DataFileError, match="did not converge"):
        read_finished(out, "vasp")
    (out / "qe.out").write_text(QE.format(-1.0).replace("has been achieved", "NOT achieved"))
    with pytest.raises(DataFileError, match="did not converge"):
        read_finished(out, "qe")
    (out / "cp2k_bulk_Pt.out").unlink()
    with pytest.raises(DataFileError, match="bulk_Pt"):
        read_finished(out, "cp2k").formation()
    with pytest.raises(InputError, match="3 Pt"):
        finished_energy(read_finished(out, "gpaw"), Atoms.bare(PARTICLE[:3], "Pt"))
    with pytest.raises(DataFileError, match="no ligands"):
        read_finished(out, "gpaw").binding()
    assert main(["energy", str(atoms), "--finished", str(out.parent)]) != 0


def test_compare_takes_the_energies_of_finished_runs(export, tmp_path):
    atoms, out = export
    _finish(out)
    folder = tmp_path / "particle_00"
    folder.mkdir()
    (folder / "atoms.xyz").write_bytes(atoms.read_bytes())
    assert main(["energy", str(folder), "--finished", str(out)]) == 0
    row = read_row("particle_00", folder)
    assert row.values["formation_energy"] == pytest.approx(1.5)
    assert row.calculator == "vasp PBE (finished runs)"


def test_a_particle_with_ligands_is_exported_with_its_parts(tmp_path):
    """A metal particle with two CO: all, the metal, the molecules; the bulk of the metal alone is a reference."""
    metal = Octahedron("Pt", 5, 1)
    metal.positions -= metal.positions.mean(axis=0)
    top = metal.positions[:, 2].max()
    parts = [metal]
    for sign in (1, -1):
        guest = AseAtoms("CO", positions=[[0, 0, sign * (top + 1.9)], [0, 0, sign * (top + 3.05)]])
        parts.append(guest)
    every = parts[0] + parts[1] + parts[2]
    ase.io.write(tmp_path / "co.xyz", every)
    assert (
        main(["export", str(tmp_path / "co.xyz"), "--out", str(tmp_path / "o"), "--format", "vasp", "--format", "qe"])
        == 0
    )
    record = read_record(tmp_path / "o" / "dft.json", DftRecord)
    assert record.ligands == 2
    assert record.calculations == {"particle": len(every), "bare": len(metal), "ligands": 4, "bulk_Pt": 1}
    assert record.composition == {"Pt": len(metal)}
    cells = [ase.io.read(tmp_path / "o" / f / "POSCAR").cell.array for f in ("vasp", "vasp_bare", "vasp_ligands")]
    np.testing.assert_allclose(cells[1], cells[0])
    np.testing.assert_allclose(cells[2], cells[0])
    readme = (tmp_path / "o" / "README_dft.md").read_text()
    assert "E_bind = (E_particle - E_bare - E_ligands) / 2" in readme
    assert f"E_form = (E_bare - {len(metal)} * E_bulk,Pt) / {len(metal)}" in readme
    assert "plane waves" in readme


def test_vasp_inputs_are_read_alike_by_an_independent_reader(export, tmp_path):
    """pymatgen, where it is installed, reads tags, k-points and positions as we meant them."""
    pytest.importorskip("pymatgen")
    from pymatgen.io.vasp import Incar, Kpoints, Poscar

    _, out = export
    for folder, relaxed in (("vasp", False), ("vasp_bulk_Pt", True)):
        incar = Incar.from_file(out / folder / "INCAR")
        assert incar.check_params() is None
        assert incar["ENCUT"] == 400
        assert incar["ISMEAR"] == 0
        assert incar["LASPH"] is True
        assert (incar["NSW"] > 0) == relaxed
        mesh = Kpoints.from_file(out / folder / "KPOINTS")
        assert str(mesh.style).endswith("Gamma")
        assert (tuple(mesh.kpts[0]) == (1, 1, 1)) == (not relaxed)
        structure = Poscar.from_file(out / folder / "POSCAR").structure
        ours = ase.io.read(out / folder / "POSCAR")
        np.testing.assert_allclose(structure.cart_coords, ours.positions, atol=1e-6)
        np.testing.assert_allclose(structure.lattice.matrix, ours.cell.array, atol=1e-6)
    # A line of moments in its short form is spread by the reader to one for each atom.
    unknown = np.arange(12.0).reshape(-1, 1) * [2.6, 0, 0]
    zero = np.zeros(12, int)
    mixed = Particle(Atoms.bare(unknown, np.array(["Fe", "Pt"] * 6)), zero, zero, zero > 0)
    (tmp_path / "m").mkdir()
    write_inputs(tmp_path / "m", dft_set(mixed, 5.0), ["vasp"], 5.0)
    assert Incar.from_file(tmp_path / "m" / "vasp" / "INCAR")["MAGMOM"] == [2.3] * 6 + [0] * 6


def test_analyse_and_export_from_python(tmp_path):
    """The same from Python, as docs/export.md has it."""

    crystal = sr.nanocrystal("Pt", diameter=12.0, seed=1)
    model = analyze(crystal.positions, "Pt")
    (folder := Path(tmp_path / "dft")).mkdir()
    written = write_inputs(folder, dft_set(model, 6.0), ["vasp"], 6.0)
    assert folder / "dft.json" in written
