"""Which rotations lay a volume on another: physics of the search that joins halves and finds mates."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from single_rs.frames.volume import PAD, fourier_volume
from single_rs.orient.indexing.rotation_search import rotation_grid, volume_alignments


def cloud(positions: np.ndarray) -> np.ndarray:
    """Fourier volume of Gaussian atoms at positions (n, 3) in voxels from the centre of 32."""
    x = np.arange(32) - 16
    one = np.exp(-((x - positions[:, :, None]) ** 2) / (2 * 0.9**2))
    return fourier_volume(np.einsum("nz,ny,nx->zyx", one[:, 2], one[:, 1], one[:, 0]).astype(np.float32), 14 * PAD)


def fcc(radius: float) -> np.ndarray:
    """(n, 3) voxels, nearest neighbours 5.2 apart, the cut off centre."""
    n = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    x = n[n.sum(1) % 2 == 0] * 3.7
    return x[np.linalg.norm(x - [1.1, 0.4, 0.8], axis=1) < radius]


def test_a_turned_and_moved_particle_is_aligned_with_itself() -> None:
    atoms = np.random.Generator(np.random.Philox(key=1)).uniform(-7, 7, (40, 3))
    turn = Rotation.from_rotvec([1.1, -0.7, 1.9]).as_matrix()
    found, alike = volume_alignments(cloud(atoms), cloud(atoms @ turn.T + [0.7, -1.2, 0.4]), 3, 10, 8)
    error = np.degrees(Rotation.from_matrix(found[0] @ turn.T).magnitude())
    assert error < 2.0
    assert alike[0] > 1.5 * alike[1], "nothing else fits a shapeless cloud nearly as well"


def test_a_cut_of_fcc_has_the_24_turns_of_the_cube() -> None:
    volume = cloud(fcc(11.0))
    turns, alike = volume_alignments(volume, volume, 3, 10, 40)
    assert (alike > 0.55 * alike[1]).sum() == 24
    cube = Rotation.create_group("O").as_matrix()
    trace = np.einsum("nij,mij->nm", turns[:24], cube).max(axis=1)
    assert np.degrees(np.arccos((trace.min() - 1) / 2)) < 3.0


def test_the_grid_covers_every_rotation() -> None:
    step = np.radians(15.0)
    trial = Rotation.random(200, random_state=0).as_matrix()
    trace = np.einsum("nij,mij->nm", trial, rotation_grid(step)).max(axis=1)
    # A body-centred cell of edge `step`, the roundest cover there is, reaches 0.7 steps; the spiral is a little worse.
    assert np.arccos(np.clip((trace - 1) / 2, -1, 1)).max() < 1.2 * step
