"""Files of a particle: read back by ASE, in the frame that overlays the map, in the order of the atoms."""

import ast

import ase.io
import numpy as np
import pytest
from ase.cluster import FaceCenteredCubic
from scipy.spatial.transform import Rotation

from single_rs.analysis import analyze, summarise
from single_rs.analysis.lattice_record import LatticeRecord
from single_rs.analysis.model import Particle
from single_rs.analysis.strain import COMPONENTS, StrainConfig
from single_rs.base.errors import DataFileError, InputError
from single_rs.cli import main
from single_rs.export.analysis import write_analysis
from single_rs.export.atoms import file_offset, read_xyz, write_cif, write_pdb, write_xyz
from single_rs.export.dft import write_poscar
from single_rs.export.formats import FORMATS, write_formats
from single_rs.io import read_map, write_map
from single_rs.records import Atoms
from single_rs.store.codecs import read_record

BOX, PIXEL = 96, 0.4


@pytest.fixture(scope="module")
def particle():
    """A cuboctahedron of 147 Pt atoms, turned, with 3 pm noise and stated errors."""
    rng = np.random.default_rng(7)
    x = FaceCenteredCubic("Pt", [(1, 0, 0), (1, 1, 1)], [3, 3], latticeconstant=3.96).positions
    x = x @ Rotation.random(random_state=1).as_matrix().T + rng.normal(0, 0.03, x.shape)
    n = len(x)
    symbols = np.full(n, "Pt")
    atoms = Atoms(x, symbols, rng.uniform(1, 2, n), rng.uniform(3, 6, n), np.full(n, 0.03), rng.uniform(0.8, 1, n))
    return analyze(atoms, box=BOX, pixel_size=PIXEL)


def same_up_to_shift(positions, model, tolerance):
    difference = positions - model.atoms.positions
    np.testing.assert_allclose(difference, np.broadcast_to(difference[0], difference.shape), atol=tolerance)
    return difference.mean(axis=0)


def test_extxyz_is_read_by_ase_with_every_column(particle, tmp_path):
    write_xyz(tmp_path / "atoms.xyz", particle)
    found = ase.io.read(tmp_path / "atoms.xyz")
    assert found.get_chemical_symbols() == ["Pt"] * len(particle.atoms.positions)
    shift = same_up_to_shift(found.positions, particle, 2e-6)
    np.testing.assert_allclose(shift, BOX // 2 * PIXEL, atol=1e-6)
    assert found.info["box"] == BOX
    assert found.info["pixel_size"] == PIXEL
    assert found.info["hand"] == "undetermined"
    assert "box centre" in found.info["frame"]
    assert found.info["strain_frame"].startswith("crystal")
    assert found.info["strain_reference"] == "fit"
    columns = {
        "sigma": particle.atoms.sigma,
        "height": particle.atoms.height,
        "bfactor": particle.atoms.bfactor,
        "cn": particle.coordination,
        "structure_type": particle.structure_type,
        "strain": particle.strain.tensor,
        "radial_strain": particle.strain.radial,
        "surface": particle.surface,
    }
    for name, values in columns.items():
        np.testing.assert_allclose(found.arrays[name], values, atol=1e-4, err_msg=name)
    assert (tmp_path / "atoms.xyz").read_bytes().count(b"\r") == 0


@pytest.mark.parametrize(("name", "writer", "tolerance"), [("a.xyz", write_xyz, 1e-6), ("a.pdb", write_pdb, 6e-4)])
def test_library_positions_come_back(particle, tmp_path, name, writer, tolerance):
    writer(tmp_path / name, particle)
    back = read_xyz(tmp_path / name)
    np.testing.assert_allclose(back.positions, particle.atoms.positions, atol=tolerance)
    np.testing.assert_allclose(back.bfactor, particle.atoms.bfactor, atol=6e-3)
    assert list(back.symbols) == ["Pt"] * len(back.positions)


def test_an_atom_lies_on_its_voxel_of_the_map(tmp_path):
    """The brightest voxel of the map, times the pixel size, is the position in the files."""
    volume = np.zeros((16, 16, 16), np.float32)
    volume[5, 9, 12] = 1  # z, y, x
    write_map(tmp_path / "map.mrc", volume, 0.5)
    position = (np.array([[12, 9, 5]]) - 16 // 2) * 0.5
    one = np.ones(1)
    atoms = Atoms(position, np.array(["Au"]), one, one, one, one)
    none = np.zeros(1, dtype=int)
    model = Particle(atoms, none, none, none.astype(bool), box=16, pixel_size=0.5)
    written, pixel = read_map(tmp_path / "map.mrc")
    voxel = np.array(np.unravel_index(np.argmax(written), written.shape))[::-1] * pixel
    for name, writer in (("a.xyz", write_xyz), ("a.pdb", write_pdb), ("a.cif", write_cif)):
        writer(tmp_path / name, model)
        np.testing.assert_allclose(ase.io.read(tmp_path / name).positions[0], voxel, atol=1e-6, err_msg=name)


def test_cif_overlays_the_map_and_is_p1(particle, tmp_path):
    write_cif(tmp_path / "a.cif", particle)
    found = ase.io.read(tmp_path / "a.cif")
    np.testing.assert_allclose(same_up_to_shift(found.positions, particle, 1e-5), BOX // 2 * PIXEL, atol=1e-5)
    np.testing.assert_allclose(found.cell.cellpar(), [BOX * PIXEL] * 3 + [90] * 3)
    assert len(found) == len(particle.atoms.positions)


def test_poscar_qe_lammps_gpaw_hold_the_particle_in_vacuum(particle, tmp_path):
    write_poscar(tmp_path / "POSCAR", particle)
    write_formats(tmp_path, particle, ("qe", "lammps", "gpaw"))
    extent = np.ptp(particle.atoms.positions, axis=0)
    for name, kind in (
        ("POSCAR", "vasp"),
        ("qe.in", "espresso-in"),
        ("lammps.data", "lammps-data"),
        ("gpaw_particle.xyz", "extxyz"),
    ):
        found = ase.io.read(tmp_path / name, format=kind)
        same_up_to_shift(found.positions, particle, 1e-6)
        np.testing.assert_allclose(found.cell.lengths(), extent + 20.0, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(found.positions.min(axis=0), 10.0, atol=1e-6)
        assert set(found.get_chemical_symbols()) == {"Pt"}
    assert not (tmp_path / "POSCAR.map").exists()
    text = (tmp_path / "qe.in").read_text()
    for word in ("calculation      = 'scf'", "tprnfor          = .true.", "Pt.UPF", "local-TF", "K_POINTS gamma"):
        assert word in text
    script = (tmp_path / "gpaw_particle.py").read_text()
    ast.parse(script)
    assert "gpaw_particle.xyz" in script


def test_poscar_of_an_alloy_groups_species_and_keeps_the_map(particle, tmp_path):
    n = len(particle.atoms.positions)
    symbols = np.where(np.arange(n) % 3 == 0, "Ni", "Pt")
    alloy = analyze(Atoms(particle.atoms.positions, symbols, *[np.ones(n)] * 2, np.full(n, 0.03), np.ones(n)))
    assert alloy.lattice.bulk is None
    write_poscar(tmp_path / "POSCAR", alloy, vacuum=8.0)
    found = ase.io.read(tmp_path / "POSCAR", format="vasp")
    rows = np.loadtxt(tmp_path / "POSCAR.map", dtype=int)
    assert sorted(rows) == list(range(n))
    assert found.get_chemical_symbols() == list(symbols[rows])
    assert (tmp_path / "POSCAR").read_text().splitlines()[5].split() == ["Ni", "Pt"]
    difference = found.positions - particle.atoms.positions[rows]
    np.testing.assert_allclose(difference - difference[0], 0, atol=1e-9)
    write_formats(tmp_path, alloy, ("lammps",))
    assert ase.io.read(tmp_path / "lammps.data", format="lammps-data").get_chemical_symbols() == list(symbols)


def test_plain_files_of_others_are_read(particle, tmp_path):
    atoms = particle.atoms.to_ase()
    ase.io.write(tmp_path / "plain.xyz", atoms, format="xyz")
    ase.io.write(tmp_path / "other.pdb", atoms)
    for name in ("plain.xyz", "other.pdb"):
        back = read_xyz(tmp_path / name)
        np.testing.assert_allclose(back.positions, particle.atoms.positions, atol=6e-4)
        assert np.isnan(back.sigma).all()
        assert analyze(back).lattice.structure == "fcc"


def test_particle_without_lattice_still_has_its_files(tmp_path):
    rng = np.random.default_rng(0)
    model = analyze(rng.uniform(-10, 10, (100, 3)), element="Pt")
    assert model.lattice is None
    assert model.strain is None
    assert any("no lattice" in note or "no crystal" in note for note in model.notes)
    write_analysis(tmp_path, model, ())
    back = read_xyz(tmp_path / "atoms.xyz")
    assert len(back) == 100  # atoms apart from the others stay in the file
    np.testing.assert_allclose(back.positions, model.everything().atoms.positions, atol=1e-6)
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(("lattice", "strain"))]
    assert summarise(model).lattice is None


def test_a_cluster_of_six_atoms_is_exported_without_lattice(particle, tmp_path):
    model = analyze(particle.atoms.positions[:6], element="Pt")
    assert "13 are needed" in model.notes[0]
    assert [p.name for p in write_formats(tmp_path, model, ["poscar"])] == ["POSCAR"]
    assert len(ase.io.read(tmp_path / "POSCAR", format="vasp")) == 6


def test_the_surface_column_is_that_of_the_strain(particle):
    np.testing.assert_array_equal(particle.surface, particle.strain.surface)


def test_analysis_writes_everything(particle, tmp_path):
    steps = []
    model = analyze(particle.atoms, box=BOX, pixel_size=PIXEL, progress=lambda *step: steps.append(step))
    files = write_analysis(tmp_path, model, tuple(FORMATS), volumes=True)
    assert steps == [("analyze", k, 3) for k in range(4)]
    names = {f.name for f in files}
    assert {"atoms.xyz", "lattice.json", "atoms.pdb", "atoms.cif", "POSCAR", "qe.in", "lammps.data"} <= names
    assert {f"strain_{c}.mrc" for c in (*COMPONENTS, "radial")} <= names
    assert all(f.stat().st_size > 0 for f in files)
    content = read_record(tmp_path / "lattice.json", LatticeRecord)
    assert content.lattice.a == pytest.approx(3.96, abs=0.01)
    assert content.expansion.mean == pytest.approx(0.04 / 3.92, abs=2e-3)
    assert abs(content.expansion.mean - 0.04 / 3.92) < 4 * content.expansion.mean_err
    summary = summarise(model)
    assert summary.atoms == 147
    assert summary.lattice.structure == "fcc"
    assert abs(summary.strain.components["xx"].mean) < 0.005


def test_bulk_strain_of_an_expanded_particle_is_its_expansion(particle):
    model = analyze(particle.atoms, strain=StrainConfig(reference="bulk"))
    components = summarise(model).strain.components
    dilation = sum(components[c].mean for c in ("xx", "yy", "zz")) / 3
    assert dilation == pytest.approx(0.04 / 3.92, abs=0.001)
    wrong = analyze(particle.atoms, element="Fe", strain=StrainConfig(reference="bulk"))
    assert wrong.strain is None
    assert "Fe as fcc" in wrong.notes[0]


def test_wrong_input_is_named(particle, tmp_path):
    with pytest.raises(DataFileError, match=r"none\.xyz"):
        read_xyz(tmp_path / "none.xyz")
    (tmp_path / "text.xyz").write_text("no atoms here\n")
    with pytest.raises(DataFileError, match=r"text\.xyz"):
        read_xyz(tmp_path / "text.xyz")
    with pytest.raises(InputError, match="format is 'doc'"):
        write_formats(tmp_path, particle, ["doc"])
    with pytest.raises(DataFileError, match="cannot write"):
        write_xyz(tmp_path / "absent" / "a.xyz", particle)
    with pytest.raises(InputError, match="vacuum is -1"):
        particle.atoms.to_ase(vacuum=-1.0)
    with pytest.raises(InputError, match="element is not given"):
        analyze(particle.atoms.positions)
    with pytest.raises(InputError, match="box and pixel_size belong together"):
        analyze(particle.atoms, box=64)
    with pytest.raises(InputError, match="both must be more than 0"):
        file_offset(0, 1.0)
    # A failed write leaves nothing behind.
    assert not (tmp_path / "absent").exists()


def test_export_takes_the_folder_of_a_particle_or_of_a_run(particle, tmp_path):
    for name in ("particle_00", "particle_01"):
        (tmp_path / "run" / name).mkdir(parents=True)
        write_xyz(tmp_path / "run" / name / "atoms.xyz", particle)
    assert (
        main(["export", str(tmp_path / "run" / "particle_00"), "--out", str(tmp_path / "one"), "--format", "pdb"]) == 0
    )
    assert (tmp_path / "one" / "atoms.pdb").is_file()
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "all"), "--format", "cif"]) == 0
    assert sorted(p.parent.name for p in (tmp_path / "all").rglob("atoms.cif")) == ["particle_00", "particle_01"]
