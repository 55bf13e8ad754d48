"""Atoms in files of other programs: the right places, or one line that says what cannot be true."""

from __future__ import annotations

from pathlib import Path

import ase.io
import gemmi
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import single_rs as sr
from single_rs.base.errors import DataFileError
from single_rs.cli import main
from single_rs.simulate import read_crystal

SIDE = 32.0
PLACES = sr.nanocrystal("Pt", diameter=14.0, seed=2).positions


def xyz(positions, symbol="Pt", comment="x") -> str:
    rows = "".join(f"{symbol} {x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in positions)
    return f"{len(positions)}\n{comment}\n{rows}"


def pdb_row(k, place, *, alt=" ", occupancy=1.0, element="PT", name=" PT ", residue=None) -> str:
    x, y, z = place
    return (
        f"HETATM{k % 100000:5d} {name}{alt} PT A{(residue or k) % 10000:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{8.0:6.2f}          {element:>2s}\n"
    )


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def distances(positions: np.ndarray) -> np.ndarray:
    """Return all distances, sorted: the same for a particle wherever it lies."""
    return np.sort(np.linalg.norm(positions[:, None] - positions[None], axis=2), axis=None)


CELLS = {
    "cubic": np.diag([SIDE] * 3),
    "oblong": np.diag([24.0, 30.0, 41.0]),
    "triclinic": np.array([[SIDE, 0, 0], [SIDE / 2, 0.866 * SIDE, 0], [SIDE / 2, 0.289 * SIDE, 0.816 * SIDE]]),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ["POSCAR", "p.cif", "p.xyz", "p.pdb"])
@pytest.mark.parametrize("place", [(0, 0, 0), (0.5, 0, 0.97)])
def test_a_particle_across_the_faces_of_its_cell_is_one_particle(tmp_path, cell, name, place, caplog):
    model = Atoms("Pt" * len(PLACES), PLACES + np.array(place) @ CELLS[cell], cell=CELLS[cell], pbc=True)
    model.wrap()
    model.write(tmp_path / name)
    for read in (sr.export.read_xyz, read_crystal):
        found = read(tmp_path / name)
        np.testing.assert_allclose(distances(found.positions), distances(PLACES), atol=2e-3)
    assert "across the faces" in caplog.text


def test_pieces_are_put_beside_the_largest(tmp_path):
    far = PLACES[:4] - PLACES[:4].mean(0) + [11.5, 0, 0]
    model = Atoms("Pt" * (len(PLACES) + 4), np.vstack([PLACES, far]), cell=[SIDE] * 3, pbc=True)
    model.wrap()
    model.write(tmp_path / "POSCAR", direct=True)
    found = sr.export.read_xyz(tmp_path / "POSCAR")
    np.testing.assert_allclose(distances(found.positions), distances(np.vstack([PLACES, far])), atol=1e-6)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_a_crystal_without_vacuum_is_told_and_one_with_vacuum_is_as_it_was(tmp_path, pbc, caplog):
    model = bulk("Pt", "fcc", 3.92, cubic=True) * (3, 3, 3)
    model.pbc = pbc
    model.write(tmp_path / "b.xyz")
    np.testing.assert_allclose(sr.export.read_xyz(tmp_path / "b.xyz").positions, model.positions, atol=1e-6)
    assert "no vacuum" in caplog.text
    caplog.clear()
    centred = Atoms("Pt" * len(PLACES), PLACES, cell=[SIDE] * 3, pbc=True)
    centred.center()
    centred.write(tmp_path / "POSCAR")
    np.testing.assert_allclose(sr.export.read_xyz(tmp_path / "POSCAR").positions, centred.positions, atol=1e-6)
    assert not caplog.text


def test_a_cell_of_one_angstrom_in_a_pdb_stands_for_none(tmp_path, caplog):
    rows = "".join(pdb_row(k, p) for k, p in enumerate(PLACES, 1))
    head = "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"
    found = sr.export.read_xyz(written(tmp_path / "p.pdb", head + rows + "END\n"))
    np.testing.assert_allclose(found.positions, PLACES, atol=6e-4)
    assert not caplog.text


def test_places_of_a_pdb_are_those_of_gemmi(tmp_path):
    rows = "".join(pdb_row(k, p, name=f"P{k}".ljust(4)[:4]) for k, p in enumerate(PLACES, 1))
    path = written(tmp_path / "p.pdb", rows + "END\n")
    structure = gemmi.read_pdb(str(path))  # owns the atoms: they must not outlive it
    sites = [atom.atom for atom in structure[0].all()]
    found = sr.export.read_xyz(path)
    np.testing.assert_allclose(found.positions, [s.pos.tolist() for s in sites])
    assert [str(s) for s in found.symbols] == [s.element.name for s in sites] == ["Pt"] * len(PLACES)


def test_an_mmcif_is_read_like_the_pdb_of_the_same_atoms(tmp_path):
    ase.io.write(tmp_path / "p.pdb", Atoms(f"Pt{len(PLACES)}", PLACES))
    model = gemmi.read_structure(str(tmp_path / "p.pdb"))
    model.setup_entities()
    model.make_mmcif_document().write_file(str(tmp_path / "p.cif"))
    found = sr.export.read_xyz(tmp_path / "p.cif")
    assert set(found.symbols) == {"Pt"}
    np.testing.assert_array_equal(found.positions, sr.export.read_xyz(tmp_path / "p.pdb").positions)


def test_sites_that_share_an_atom_are_no_other_unit(tmp_path):
    rows = [f"Pt {x:.6f} {y:.6f} {z:.6f} 0.5" for x, y, z in np.vstack([PLACES, PLACES + np.array([0.3, 0, 0])])]
    head = [str(len(rows)), "Properties=species:S:1:pos:R:3:occupancy:R:1"]
    path = written(tmp_path / "p.xyz", "\n".join([*head, *rows]) + "\n")
    with pytest.raises(DataFileError, match=r"0\.30 Å apart.*share their atoms \(0\.5 and 0\.5\)"):
        sr.export.read_xyz(path)


@pytest.mark.parametrize("cell", CELLS)
def test_places_of_a_cif_are_those_of_gemmi(tmp_path, cell):
    atoms = Atoms(f"Pt{len(PLACES)}", PLACES, cell=CELLS[cell], pbc=True)
    atoms.center()
    ase.io.write(tmp_path / "p.cif", atoms)
    crystal = gemmi.read_small_structure(str(tmp_path / "p.cif"))
    theirs = np.array([crystal.cell.orthogonalize(site.fract).tolist() for site in crystal.get_all_unit_cell_sites()])
    np.testing.assert_allclose(
        distances(sr.export.read_xyz(tmp_path / "p.cif").positions), distances(theirs), atol=1e-6
    )


def test_of_alternative_places_the_likeliest_is_read(tmp_path, caplog):
    rows = ""
    for k, place in enumerate(PLACES, 1):
        first = 0.5 if k % 3 else 0.3
        rows += pdb_row(k, place, alt="A", occupancy=first) + pdb_row(k, place + 0.3, alt="B", occupancy=1 - first)
    found = sr.export.read_xyz(written(tmp_path / "p.pdb", rows + "END\n"))
    wanted = [p + 0.3 * (k % 3 == 0) for k, p in enumerate(PLACES, 1)]
    np.testing.assert_allclose(found.positions, wanted, atol=6e-4)
    assert f"{len(PLACES)} alternative places" in caplog.text


def test_of_several_models_the_last_is_read_and_told(tmp_path, caplog):
    first = "".join(pdb_row(k, p) for k, p in enumerate(PLACES[:9], 1))
    second = "".join(pdb_row(k, p) for k, p in enumerate(PLACES, 1))
    text = f"MODEL        1\n{first}ENDMDL\nMODEL        2\n{second}ENDMDL\nEND\n"
    for path in (
        written(tmp_path / "p.pdb", text),
        written(tmp_path / "p.xyz", xyz(PLACES[:9]) + xyz(PLACES) + "0\n\n"),
    ):
        caplog.clear()
        np.testing.assert_allclose(sr.export.read_xyz(path).positions, PLACES, atol=6e-4)
        assert "holds 2 models" in caplog.text


def cif(rows: str) -> str:
    names = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"]
    return (
        "data_p\n" + "".join(f"_cell_length_{a} {SIDE}\n" for a in "abc")
        + "".join(f"_cell_angle_{a} 90\n" for a in ("alpha", "beta", "gamma"))
        + "_space_group_name_H-M_alt 'P 1'\nloop_\n_space_group_symop_operation_xyz\n'x,y,z'\nloop_\n"
        + "".join(f"_atom_site_{n}\n" for n in names) + rows
    )  # fmt: skip


def test_a_site_of_two_elements_is_refused_and_one_of_a_share_is_its_probability(tmp_path, caplog):
    share = "".join(
        f"Pt{k} Pt {x:.6f} {y:.6f} {z:.6f} 0.5\nCo{k} Co {x:.6f} {y:.6f} {z:.6f} 0.5\n"
        for k, (x, y, z) in enumerate(PLACES / SIDE + 0.5)
    )
    with pytest.raises(DataFileError, match=f"{len(PLACES)} sites are shared by elements"):
        sr.export.read_xyz(written(tmp_path / "p.cif", cif(share)))
    alone = "".join(f"Pt{k} Pt {x:.6f} {y:.6f} {z:.6f} 0.8\n" for k, (x, y, z) in enumerate(PLACES / SIDE + 0.5))
    found = sr.export.read_xyz(written(tmp_path / "p.cif", cif(alone)))
    np.testing.assert_allclose(found.probability, 0.8)
    assert "occupancy below 1" in caplog.text
    x, y, z = PLACES[3] / SIDE + [0.51, 0.5, 0.5]
    near = alone + f"Pt Pt {x:.6f} {y:.6f} {z:.6f} 0.2\n"
    with pytest.raises(DataFileError, match="atoms 4 and"):
        sr.export.read_xyz(written(tmp_path / "p.cif", cif(near)))


def test_an_occupancy_of_nothing_is_left_out_and_another_quantity_is_not_read(tmp_path, caplog):
    rows = "".join(pdb_row(k, p, occupancy=float(k % 4 > 0)) for k, p in enumerate(PLACES, 1))
    found = sr.export.read_xyz(written(tmp_path / "p.pdb", rows + "END\n"))
    np.testing.assert_allclose(found.positions, [p for k, p in enumerate(PLACES, 1) if k % 4], atol=6e-4)
    for value in (0.0, 12.0, -1.0):
        rows = "".join(pdb_row(k, p, occupancy=value) for k, p in enumerate(PLACES, 1))
        found = sr.export.read_xyz(written(tmp_path / "p.pdb", rows + "END\n"))
        assert len(found.positions) == len(PLACES)
        assert np.isnan(found.probability).all()
    assert "something else" in caplog.text


@pytest.mark.parametrize("offset", [0.0, 0.09, 1.2])
def test_atoms_nearer_than_half_a_bond_are_refused(tmp_path, offset):
    path = written(tmp_path / "p.xyz", xyz(np.vstack([PLACES, PLACES[4] + [offset, 0, 0]])))
    for read in (sr.export.read_xyz, read_crystal):
        with pytest.raises(DataFileError, match=f"atoms 5 and {len(PLACES) + 1}"):
            read(path)


@pytest.mark.parametrize(
    ("factor", "said"),
    [(0.1, "in nm, multiply them by 10"), (100, "in pm"), (1e-10, "in m,"), (1 / 0.529177, "in bohr"),
     (1 / 0.36, r"in pixels.*about 0\.3")],
)  # fmt: skip
@pytest.mark.parametrize("second", [None, "Se"])
def test_coordinates_of_another_unit_are_named(tmp_path, factor, said, second):
    symbols = ["Cd", second] if second else ["Pt", "Pt"]
    places = sr.nanocrystal("Pt", diameter=14.0, seed=2).positions * (1.0 if second is None else 0.95)
    rows = "".join(
        f"{symbols[k % 2]} " + " ".join(f"{v:.16f}" for v in p) + "\n" for k, p in enumerate(places * factor)
    )
    path = written(tmp_path / "p.xyz", f"{len(places)}\nx\n{rows}")
    with pytest.raises(DataFileError, match=said):
        sr.export.read_xyz(path)


def test_atoms_that_lie_wide_apart_are_read(tmp_path):
    sodium_chloride = bulk("NaCl", "rocksalt", 5.64, cubic=True) * (3, 3, 3)
    chlorine = sodium_chloride[[s == "Cl" for s in sodium_chloride.symbols]]
    path = written(tmp_path / "p.xyz", xyz(chlorine.positions, "Cl"))
    assert len(sr.export.read_xyz(path).positions) == len(chlorine)


@pytest.mark.parametrize("value", ["nan", "inf", "-1e308", "1e6"])
def test_a_coordinate_that_is_no_place_is_refused(tmp_path, value, capsys):
    text = xyz(PLACES).splitlines()
    text[5] = f"Pt 0.0 {value} 1.0"
    path = written(tmp_path / "p.xyz", "\n".join(text) + "\n")
    for read in (sr.export.read_xyz, read_crystal):
        with pytest.raises(DataFileError, match="atom 4 lies at"):
            read(path)
    assert main(["export", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("comment", "symbol", "said"),
    [
        ("Properties=type:I:1:pos:R:3", "1", "names no element"),
        ("Properties=species:S:1:pos:R:3", "X", "names no element"),
        ("Properties=species:S:1:pos:R:3", "Pt1", "'Pt1', which is no element"),
        ("", "78", "'78', which is no element"),
        ("Properties=species:S:1:pos:R:2147483648", "Pt", "values per atom"),
        ("Properties=species:S:1:pos:R:3 box=-4 pixel_size=0.36", "Pt", "box"),
        ("Properties=species:S:1:pos:R:3 box=many pixel_size=0.36", "Pt", "box"),
    ],
)
def test_what_a_header_cannot_mean_is_refused(tmp_path, comment, symbol, said):
    with pytest.raises(DataFileError, match=said):
        sr.export.read_xyz(written(tmp_path / "p.xyz", xyz(PLACES, symbol, comment)))


@pytest.mark.parametrize("name", ["position", "Position", "positions"])
def test_coordinates_in_a_column_of_another_name_are_found(tmp_path, name):
    path = written(tmp_path / "p.xyz", xyz(PLACES, comment=f"Properties=species:S:1:{name}:R:3"))
    np.testing.assert_allclose(sr.export.read_xyz(path).positions, PLACES, atol=1e-6)


def test_a_name_with_an_at_sign_is_a_name(tmp_path):
    path = written(tmp_path / "p@2.xyz", xyz(PLACES))
    np.testing.assert_allclose(read_crystal(path).positions, PLACES - PLACES.mean(0), atol=1e-6)
    assert len(ase.io.read(path, do_not_split_by_at_sign=True)) == len(PLACES)


@pytest.mark.parametrize("name", ["atoms.pdb", "POSCAR", "atoms.xyz"])
def test_an_atom_that_stands_twice_is_refused_in_our_own_files_too(tmp_path, capsys, name):
    x = PLACES.copy()
    x[7] = x[6]
    if name == "atoms.pdb":
        text = "REMARK 3 SINGLE_RS\n" + "".join(pdb_row(k, place) for k, place in enumerate(x, 1))
    elif name == "POSCAR":
        rows = "".join("{:.6f} {:.6f} {:.6f}\n".format(*(place + SIDE / 2)) for place in x)
        text = f"single_rs\n1.0\n{SIDE} 0 0\n0 {SIDE} 0\n0 0 {SIDE}\nPt\n{len(x)}\nCartesian\n{rows}"
    else:
        text = xyz(x, comment='Properties=species:S:1:pos:R:3 program="single_rs"')
    path = written(tmp_path / name, text)
    assert main(["analyze", str(path), "--element", "Pt", "--out", str(tmp_path / "out")]) == 2
    assert "atoms 7 and 8 (Pt, Pt) are 0.00 Å apart" in capsys.readouterr().err
