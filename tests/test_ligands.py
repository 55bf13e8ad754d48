"""Ligands on facets: molecules as chemistry has them, sites where the facets are, and nothing that clashes."""

import json

import ase.io
import numpy as np
import pytest
from ase.cluster import Octahedron
from ase.data import atomic_numbers
from ase.data.vdw_alvarez import vdw_radii
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

import single_rs as sr
from single_rs.analysis.lattice import fit_lattice
from single_rs.analysis.model import Particle
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.export.atoms import read_xyz, write_xyz
from single_rs.ligands import LIGANDS, facet_family, facet_sites, miller, molecule
from single_rs.records import Atoms

TURN = Rotation.from_euler("ZYZ", [20, 50, 75], degrees=True)


@pytest.fixture(scope="module")
def atoms():
    """A truncated octahedron of 201 Pt atoms, turned, with 2 pm noise."""
    x = Octahedron("Pt", 7, 2).positions
    x = TURN.apply(x - x.mean(axis=0)) + np.random.default_rng(1).normal(0, 0.02, x.shape)
    one = np.ones(len(x))
    return Atoms(x, np.full(len(x), "Pt"), one, one, 0.02 * one, one)


@pytest.fixture(scope="module")
def lattice(atoms):
    return fit_lattice(atoms.positions)


@pytest.mark.parametrize(("name", "formula"), [("nep", {"C": 6, "H": 11, "N": 1, "O": 1}), ("nvp", {"C": 6, "H": 9})])
def test_molecules_have_the_bonds_of_lactams(name, formula):
    found = molecule(name)
    for symbol, count in formula.items():
        assert (found.symbols == symbol).sum() == count
    distance = cdist(found.positions, found.positions)

    def bonds(a, b, longest):
        i, j = np.nonzero((found.symbols[:, None] == a) & (found.symbols[None] == b) & (distance < longest))
        return np.sort(distance[i, j][i < j] if a == b else distance[i, j])

    # Tables of organic crystals (Allen et al. 1987): C=O 1.23, N-C(=O) 1.35, N-C 1.45 to 1.47, C-C 1.52 Å.
    assert bonds("C", "O", 1.6) == pytest.approx([1.23], abs=0.03)
    assert bonds("N", "C", 1.6)[0] == pytest.approx(1.35, abs=0.03)
    assert bonds("N", "C", 1.6)[-1] == pytest.approx(1.46, abs=0.03)
    assert len(bonds("N", "C", 1.6)) == 3
    assert len(bonds("C", "C", 1.7)) == 4
    assert bonds("C", "C", 1.7)[-1] == pytest.approx(1.53, abs=0.02)
    assert bonds("C", "C", 1.7)[0] == pytest.approx(1.52 if name == "nep" else 1.33, abs=0.02)  # C-C, C=C of vinyl
    hydrogen = distance[found.symbols == "H"]
    hydrogen[hydrogen == 0] = np.inf
    assert np.all(np.abs(hydrogen.min(axis=1) - 1.09) < 0.02)
    np.testing.assert_array_equal(found.positions[found.donor], 0)
    # The amide group, O=C-N and the neighbours of N, is flat.
    n = int(np.flatnonzero(found.symbols == "N")[0])
    group = [found.donor, found.anchor, n, *np.flatnonzero((found.symbols == "C") & (distance[n] < 1.6))]
    flat = found.positions[group] - found.positions[group].mean(axis=0)
    assert np.linalg.svd(flat)[1][2] < 0.15


def test_facets_of_a_truncated_octahedron_are_found(atoms, lattice):
    """Eight hexagons {111} and six squares {100} of 3 × 3 atoms, whose normals are known."""
    for plane, facets in (("111", 8), ("100", 6)):
        sites = facet_sites(atoms.positions, lattice, miller(plane))
        planes = {s.plane for s in sites}
        assert len(planes) == facets
        counts = {p: sum(s.plane == p for s in sites) for p in planes}
        assert len(set(counts.values())) == 1
        for site in sites:
            # In the frame of the crystal the normal is ⟨111⟩ or ⟨100⟩.
            crystal = TURN.inv().apply(site.normal)
            ideal = np.sign(crystal) if plane == "111" else np.rint(crystal)
            assert crystal @ ideal / np.linalg.norm(ideal) > np.cos(np.radians(1.0))
            # Nothing of the particle lies above the facet by more than noise.
            height = (atoms.positions - atoms.positions[site.atom]) @ site.normal
            assert height.max() < 0.2
    inner = [s for s in sites if s.complete == 1]
    assert len(inner) == 6  # the middle atom of each square


def test_families_are_those_of_the_crystal():
    assert len(facet_family("fcc", (1, 1, 1))) == 8
    assert len(facet_family("fcc", (2, 1, 0))) == 24
    assert len(facet_family("hcp", (0, 0, 1))) == 2
    assert len(facet_family("hcp", (1, 0, 0))) == 6


@pytest.mark.parametrize(("facet", "count", "name"), [("111", 6, "nep"), ("100", 4, "nvp")])
def test_ligands_stand_on_their_atoms_and_touch_nothing_else(atoms, lattice, facet, count, name):
    model = sr.ligands.place_ligands(atoms, facet, count, ligand=name, lattice=lattice, seed=4)
    guest, n = molecule(name), len(atoms)
    assert len(model.atoms) == n + count * len(guest.symbols)
    np.testing.assert_array_equal(model.atoms.positions[:n], atoms.positions)
    np.testing.assert_array_equal(model.ligand[:n], 0)
    radius = np.array([vdw_radii[atomic_numbers[s]] for s in model.atoms.symbols])
    for k, place in enumerate(model.places, start=1):
        own = np.flatnonzero(model.ligand == k)
        x = model.atoms.positions[own]
        # The molecule is moved, not bent.
        np.testing.assert_allclose(pdist(x), pdist(guest.positions), atol=1e-9)
        oxygen = x[guest.donor]
        bond = oxygen - atoms.positions[place.atom]
        assert np.linalg.norm(bond) == pytest.approx(place.distance) == pytest.approx(1.36 + 0.66 + 0.3)
        normal = np.array(place.plane) @ np.linalg.inv(lattice.cell).T
        normal /= np.linalg.norm(normal)
        assert bond @ normal == pytest.approx(place.distance, abs=1e-6)
        assert place.height == pytest.approx(place.distance, abs=0.1)
        lean = x[guest.anchor] - oxygen
        assert np.degrees(np.arccos(lean @ normal / np.linalg.norm(lean))) == pytest.approx(place.tilt, abs=1e-6)
        assert 30 <= place.tilt <= 60
        # The oxygen is the atom of the ligand nearest to the particle.
        distance = cdist(x, atoms.positions)
        assert distance.min() == pytest.approx(place.distance)
        assert np.delete(distance, guest.donor, axis=0).min() == pytest.approx(place.contact)
        share = distance / (radius[own][:, None] + radius[None, :n])
        share[guest.donor, place.atom] = np.inf
        assert share.min() >= 0.75
        for other in range(1, k):
            theirs = np.flatnonzero(model.ligand == other)
            between = cdist(x, model.atoms.positions[theirs])
            assert (between / (radius[own][:, None] + radius[theirs][None])).min() >= 0.8
    assert len({p.atom for p in model.places}) == count


def test_places_depend_on_the_seed_alone(atoms, lattice):
    a, b, c = (sr.ligands.place_ligands(atoms, "111", 2, lattice=lattice, seed=s).atoms.positions for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_wrong_input_is_named(atoms, lattice):
    for facet in ("11", "000", "abc", "1111"):
        with pytest.raises(InputError, match="three indices are needed"):
            miller(facet)
    assert miller("{1 -1 0}") == (1, -1, 0)
    with pytest.raises(InputError, match="form no facet"):
        sr.ligands.place_ligands(atoms, "321", lattice=lattice)
    with pytest.raises(InputError, match=f"accepted: {', '.join(LIGANDS)}"):
        sr.ligands.place_ligands(atoms, ligand="pvp", lattice=lattice)
    with pytest.raises(InputError, match="count is 0"):
        sr.ligands.place_ligands(atoms, count=0)
    with pytest.raises(InputError, match=r"distance is 9\.0 Å"):
        sr.ligands.place_ligands(atoms, distance=9.0)
    with pytest.raises(InputError, match=r"count is 100; \d+ ligands fit on the \d+ sites of \{100\}"):
        sr.ligands.place_ligands(atoms, "100", 100, lattice=lattice)


def test_the_command_writes_files_that_others_read(atoms, tmp_path, capsys):
    zero = np.zeros(len(atoms), dtype=int)
    write_xyz(tmp_path / "atoms.xyz", Particle(atoms, zero, zero, zero > 0, box=64, pixel_size=0.4))
    out = tmp_path / "ligands"
    words = ["ligand", str(tmp_path / "atoms.xyz"), "--facet", "100", "--count", "2", "--seed", "3", "--out", str(out)]
    assert main([*words, "--distance", "2.4", "--vacuum", "8"]) == 0
    text = capsys.readouterr().out
    assert text.count("O at 2.40 Å, height 2.") == 2
    found = ase.io.read(out / "ligands.xyz")
    assert list(np.bincount(found.arrays["ligand"])) == [len(atoms), 19, 19]
    np.testing.assert_allclose(read_xyz(out / "ligands.xyz").positions[: len(atoms)], atoms.positions, atol=1e-5)
    cell = ase.io.read(out / "POSCAR", format="vasp")
    rows = np.loadtxt(out / "POSCAR.map", dtype=int)
    assert cell.get_chemical_symbols() == [found.get_chemical_symbols()[k] for k in rows]
    np.testing.assert_allclose(pdist(cell.positions), pdist(found.positions[rows]), atol=1e-5)
    np.testing.assert_allclose(cell.cell.lengths(), np.ptp(found.positions, axis=0) + 16, atol=1e-5)
    content = json.loads((out / "ligands.json").read_text(encoding="utf-8"))
    assert content["ligand"] == "N-ethyl-2-pyrrolidone"
    assert [round(p["distance"], 3) for p in content["places"]] == [2.4, 2.4]
    assert len(ase.io.read(out / "molecule.xyz")) == 19
    assert main(["ligand", str(tmp_path / "atoms.xyz"), "--facet", "9", "--out", str(out)]) == 2
    assert "three indices are needed" in capsys.readouterr().err
