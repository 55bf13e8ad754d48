"""Maps of other programs lie where their ORIGIN or nstart says, and so do the atoms and maps that are made of them."""

from __future__ import annotations

from pathlib import Path

import ase.io
import gemmi
import mrcfile
import numpy as np
import pytest
from scipy.spatial import cKDTree

from single_rs.cli import main
from single_rs.export import read_xyz
from single_rs.io import read_map, read_origin
from single_rs.store.read import frame_of, load_maps
from strained import ball

BOX, PIXEL = 60, 0.4
PLACE = (-12.4, 3.2, 40.0)  # Å, whole voxels, so that nstart can say it too


@pytest.fixture(scope="module")
def atoms():
    return ball(110) @ np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]).T


def _map(path: Path, atoms: np.ndarray, **header: tuple[float, ...]) -> Path:
    axis = (np.arange(BOX) - BOX // 2) * PIXEL
    x, y, z = (np.exp(-np.square(axis[None] - atoms[:, k, None]) / (2 * 0.5**2)) for k in range(3))
    with mrcfile.new(path, np.einsum("nz,ny,nx->zyx", z, y, x).astype(np.float32)) as file:
        file.set_volume()
        file.voxel_size = PIXEL
        if "origin" in header:
            file.header.origin = header["origin"]
        if "start" in header:
            file.header.nxstart, file.header.nystart, file.header.nzstart = header["start"]
    return path


@pytest.mark.parametrize("header", [{"origin": PLACE}, {"start": tuple(round(v / PIXEL) for v in PLACE)}])
def test_traced_atoms_overlay_a_map_of_another_program(tmp_path, capsys, atoms, header):
    source = _map(tmp_path / "emd.map", atoms, **header)
    assert main(["trace", str(source), "--element", "Pt", "--out", str(tmp_path / "t")]) == 0
    found = tmp_path / "t" / "atoms.xyz"
    places = ase.io.read(found).positions
    # Where a viewer shows the density: voxel · pixel + place.
    wanted = atoms + (BOX // 2) * PIXEL + np.array(PLACE)
    assert len(places) == len(wanted)
    assert cKDTree(wanted).query(places)[0].max() < 0.05
    assert frame_of(found) == (BOX, PIXEL, PLACE)
    np.testing.assert_allclose(read_xyz(found).positions, places - wanted.mean(axis=0) + atoms.mean(axis=0), atol=1e-5)
    if "start" in header:
        # gemmi puts the values of a map with nstart there; the interpolated density is highest at the atoms.
        grid = gemmi.read_ccp4_map(str(source))
        grid.setup(0.0)
        at = [grid.grid.interpolate_value(gemmi.Position(*p)) for p in places]
        assert min(at) > 0.8 * max(at)

    words = ["analyze", str(found), "--map", str(source), "--out", str(tmp_path / "a")]
    assert main([*words, "--export.formats", "pdb", "--strain.volumes", "true"]) == 0
    out = tmp_path / "a"
    np.testing.assert_allclose(
        ase.io.read(out / "atoms.pdb").positions, ase.io.read(out / "atoms.xyz").positions, atol=1e-3
    )
    np.testing.assert_allclose(read_xyz(out / "atoms.pdb").positions, read_xyz(found).positions, atol=1e-3)
    volumes = sorted(out.glob("*.mrc"))
    assert len(volumes) > 10
    assert {read_origin(v) for v in volumes} == {PLACE}
    shown = "".join(p.read_bytes()[:2000].decode(errors="replace") for p in (out / "gpa.vti",))
    assert f'Origin="{" ".join(f"{v:g}" for v in PLACE)}"' in shown
    first = (out / "strain.csv").read_text().splitlines()[1].split(",")
    np.testing.assert_allclose([float(v) for v in first[2:5]], ase.io.read(out / "atoms.xyz").positions[0], atol=1e-4)


def test_atoms_of_another_program_that_overlay_the_map_are_taken_into_its_box(tmp_path, atoms):
    source = _map(tmp_path / "m.mrc", atoms, origin=PLACE)
    moved = atoms + (BOX // 2) * PIXEL + np.array(PLACE)
    ase.io.write(tmp_path / "bare.xyz", ase.Atoms("Pt" * len(atoms), positions=moved))
    assert main(["analyze", str(tmp_path / "bare.xyz"), "--map", str(source), "--out", str(tmp_path / "a")]) == 0
    np.testing.assert_allclose(read_xyz(tmp_path / "a" / "atoms.xyz").positions, atoms, atol=1e-4)
    np.testing.assert_allclose(ase.io.read(tmp_path / "a" / "atoms.xyz").positions, moved, atol=1e-4)


def test_a_map_at_zero_stays_there(tmp_path, atoms):
    source = _map(tmp_path / "m.mrc", atoms, origin=(1e-6, 0, 0))
    assert load_maps(source).origin == (0, 0, 0)
    assert read_map(source)[1] == PIXEL
