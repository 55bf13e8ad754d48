"""Files of ours mean to other programs what they mean to us: RELION, ASE, OVITO, spglib, starfile, mrcfile.

RELION's projection is written here anew from its definition, with nothing of ours: the matrix A of (rot, tilt, psi) as
in its euler.cpp, the image frequency (x, y) read from the volume at A⁻¹ (x, y, 0) as in its projector.cpp, hence
image(x, y) = Σ_z V(A⁻¹ (x, y, z)), and rlnOrigin as the shift that moves the image onto that projection.
Reference: S. H. W. Scheres, J. Struct. Biol. 180, 519 (2012), doi:10.1016/j.jsb.2012.09.006.
"""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import spglib
import starfile
from scipy.ndimage import affine_transform, shift
from scipy.spatial.transform import Rotation

import single_rs as sr
from single_rs.io.star import write_poses, write_tracks
from single_rs.reconstruction.fourier import ReconstructConfig, reconstruct

BOX, PIXEL, FRAMES = 48, 0.5, 160  # px, Å, images
WIDTH = 0.5  # Å, of the atoms


def relion_matrix(rot: float, tilt: float, psi: float) -> np.ndarray:
    """Return A of RELION's Euler_angles2matrix, angles in degrees."""
    (ca, cb, cg), (sa, sb, sg) = (f(np.radians([rot, tilt, psi])) for f in (np.cos, np.sin))
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def relion_image(volume: np.ndarray, a: np.ndarray, origin: tuple[float, float]) -> np.ndarray:
    """Return the image (y, x) of a volume (z, y, x) for a matrix and an origin (x, y) in pixels."""
    # Arrays are indexed (z, y, x), so both axes of the matrix are reversed; A⁻¹ is Aᵀ.
    inverse = a.T[::-1, ::-1]
    centre = np.array([n // 2 for n in volume.shape])
    turned = affine_transform(volume, inverse, centre - inverse @ centre, order=3)
    return shift(turned.sum(axis=0), (-origin[1], -origin[0]), order=3)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def cloud() -> np.ndarray:
    """Return 30 atoms (n, 3) without any symmetry, Å, at least 1.5 Å apart."""
    rng, atoms = np.random.default_rng(5), np.zeros((0, 3))
    while len(atoms) < 30:
        new = rng.uniform(-7, 7, 3)
        if np.linalg.norm(new) < 7 and (np.linalg.norm(atoms - new, axis=1) > 1.5).all():
            atoms = np.vstack([atoms, new])
    return atoms


def profile(places: np.ndarray) -> np.ndarray:
    """Return Gaussians (atom, voxel) along one axis."""
    grid = (np.arange(BOX) - BOX // 2) * PIXEL
    return np.exp(-0.5 * ((grid - places[:, None]) / WIDTH) ** 2)


@pytest.fixture(scope="module")
def particle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write noiseless images, x_lab = R x + shift, their poses, and the map that we reconstruct from them."""
    folder = tmp_path_factory.mktemp("interop")
    rng, atoms = np.random.default_rng(6), cloud()
    rotations = Rotation.random(FRAMES, rng=rng).as_matrix()
    shifts = rng.uniform(-1.2, 1.2, (FRAMES, 2))
    placed = np.einsum("nij,aj->nai", rotations, atoms)
    placed[:, :, :2] += shifts[:, None]
    images = np.stack([np.einsum("ay,ax->yx", profile(p[:, 1]), profile(p[:, 0])) for p in placed])
    images = (images - images.mean(axis=(1, 2), keepdims=True)).astype(np.float32)
    poses = sr.Poses.known(rotations, shifts, block=40)
    clean = sr.CleanStack.bare(images, PIXEL, 15.0, noise=1e-6)
    density = reconstruct(clean, poses, ReconstructConfig(resolution=1.05, low_resolution=40.0))
    sr.io.write_stack(folder / "stack.mrcs", images, PIXEL)
    sr.io.write_map(folder / "map.mrc", density.map, PIXEL)
    exact = np.einsum("az,ay,ax->zyx", *(profile(atoms[:, k]) for k in (2, 1, 0)))
    sr.io.write_map(folder / "exact.mrc", exact.astype(np.float32), PIXEL)
    write_poses(folder / "poses.star", poses, "stack.mrcs", PIXEL, BOX)
    return folder


def test_projections_by_relions_definition_of_known_and_reconstructed_maps_are_our_images(particle: Path) -> None:
    table = starfile.read(particle / "poses.star")["particles"]
    images, exact, made = (np.array(mrcfile.read(particle / n)) for n in ("stack.mrcs", "exact.mrc", "map.mrc"))
    mistaken = []
    for row in table.iloc[:: FRAMES // 8].itertuples():
        number, name = row.rlnImageName.split("@")
        assert name == "stack.mrcs"
        image = images[int(number) - 1]
        a = relion_matrix(row.rlnAngleRot, row.rlnAngleTilt, row.rlnAnglePsi)
        origin = (row.rlnOriginXAngst / PIXEL, row.rlnOriginYAngst / PIXEL)
        # 0.9996 measured: what is missing is the interpolation of the test.
        assert correlation(relion_image(exact, a, origin), image) > 0.999
        # 0.972 to 0.980 measured: 160 images do not fill Fourier space, and the map ends at 1.05 Å.
        assert correlation(relion_image(made, a, origin), image) > 0.965
        wrong = ((a.T, origin), (a, (-origin[0], -origin[1])), (a, origin[::-1]))
        mistaken.append([correlation(relion_image(exact, m, o), image) for m, o in wrong])
    # Each part of the convention matters: the inverse rotation, the other sign, and swapped axes are seen.
    assert (np.median(mistaken, axis=0) < 0.6).all()


def test_starfile_reads_our_poses_and_we_read_what_it_writes(particle: Path, tmp_path: Path) -> None:
    tables = starfile.read(particle / "poses.star")
    assert {"optics", "particles"} <= set(tables)
    assert list(tables["optics"]["rlnOpticsGroupName"]) == ["opticsGroup1"]
    assert float(tables["optics"]["rlnImagePixelSize"].iloc[0]) == PIXEL
    assert list(tables["particles"]["rlnImageName"][:2]) == ["000001@stack.mrcs", "000002@stack.mrcs"]
    assert set(tables["particles"]["rlnRandomSubset"]) == {1, 2}
    starfile.write(tables, tmp_path / "again.star")
    ours, again = sr.io.star.read_poses(particle / "poses.star"), sr.io.star.read_poses(tmp_path / "again.star")
    np.testing.assert_allclose(again.rotations, ours.rotations, atol=1e-5)
    np.testing.assert_allclose(again.shifts, ours.shifts, atol=1e-5)
    assert np.array_equal(again.half, ours.half)
    assert np.array_equal(again.frames, ours.frames)


def test_starfile_reads_our_tracks(tmp_path: Path) -> None:
    frames = np.arange(5)
    track = sr.Track(frames=frames, x=10.0 + frames, y=20.0 - frames, sigma=np.ones(5), diameter=22.0, score=9.0)
    write_tracks(tmp_path / "tracks.star", [track], PIXEL)
    table = starfile.read(tmp_path / "tracks.star", always_dict=True)
    (points,) = [t for t in table.values() if "rlnCoordinateX" in getattr(t, "columns", ())]
    np.testing.assert_allclose(points["rlnCoordinateX"].to_numpy(float), track.x, atol=1e-4)
    np.testing.assert_allclose(points["rlnCoordinateY"].to_numpy(float), track.y, atol=1e-4)


def test_mrc_files_are_valid_and_say_what_they_are(particle: Path) -> None:
    for name, group, volume in (("map.mrc", 1, True), ("stack.mrcs", 0, False)):
        assert mrcfile.validate(particle / name)
        with mrcfile.open(particle / name) as file:
            assert int(file.header.ispg) == group
            assert bool(file.is_volume()) is volume
            assert float(file.voxel_size.x) == pytest.approx(PIXEL)
            assert (float(file.header.origin.x), float(file.header.origin.z)) == (0, 0)
    # The voxel under each atom, by the frame of our files, is one of the brightest: axes are (z, y, x), origin 0.
    with mrcfile.open(particle / "map.mrc") as file:
        z, y, x = np.rint((cloud() + (BOX // 2) * PIXEL) / PIXEL).astype(int).T[::-1]
        assert np.median(file.data[z, y, x]) > np.percentile(file.data, 99)


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Write a small crystal of platinum, turned, in all formats; return its folder and positions."""
    folder = tmp_path_factory.mktemp("crystal")
    positions = sr.nanocrystal("Pt", diameter=15.0, seed=3).positions
    positions = positions @ Rotation.from_euler("xyz", [20, 35, 10], degrees=True).as_matrix().T
    unknown = np.full(len(positions), np.nan)
    atoms = sr.Atoms(positions, np.full(len(positions), "Pt"), unknown, unknown, unknown, unknown)
    sr.export.write_analysis(folder, sr.analyze(atoms, box=BOX, pixel_size=PIXEL), formats=("pdb", "cif", "poscar"))
    return folder, positions


def test_ase_reads_atoms_and_columns(crystal: tuple[Path, np.ndarray]) -> None:
    from ase.io import read

    folder, positions = crystal
    atoms = read(folder / "atoms.xyz", format="extxyz")
    np.testing.assert_allclose(atoms.positions - (BOX // 2) * PIXEL, positions, atol=1e-5)
    assert set(atoms.get_chemical_symbols()) == {"Pt"}
    assert atoms.arrays["strain"].shape == (len(positions), 6)
    assert set(np.unique(atoms.arrays["surface"])) == {0, 1}
    distances = np.linalg.norm(positions[1:] - positions[0], axis=1)
    for name in ("POSCAR", "atoms.cif", "atoms.pdb"):
        other = read(folder / name)
        assert len(other) == len(positions)
        # 2e-3 Å: PDB has three decimals.
        found = np.linalg.norm(other.positions[1:] - other.positions[0], axis=1)
        np.testing.assert_allclose(np.sort(found), np.sort(distances), atol=2e-3)


def test_ovito_reads_atoms_and_finds_the_structure_we_say(crystal: tuple[Path, np.ndarray]) -> None:
    from ase.io import read
    from ovito.io import import_file
    from ovito.modifiers import CommonNeighborAnalysisModifier

    folder, positions = crystal
    pipeline = import_file(str(folder / "atoms.xyz"))
    pipeline.modifiers.append(CommonNeighborAnalysisModifier())
    particles = pipeline.compute().particles
    np.testing.assert_allclose(particles.positions - (BOX // 2) * PIXEL, positions, atol=1e-5)
    ours = read(folder / "atoms.xyz", format="extxyz").arrays
    inside = ours["surface"] == 0
    assert inside.sum() > 10
    assert np.array_equal(np.asarray(particles["Structure Type"])[inside], ours["structure_type"][inside])


def test_spglib_finds_the_space_group_of_the_fitted_cell(crystal: tuple[Path, np.ndarray]) -> None:
    content = json.loads((crystal[0] / "lattice.json").read_text(encoding="utf-8"))
    basis = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    found = spglib.get_symmetry_dataset((content["lattice"]["cell"], basis, [78] * 4), symprec=0.02)
    assert found.number == 225  # Fm-3m
