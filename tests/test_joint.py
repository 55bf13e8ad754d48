"""What atoms do together: soft modes that do not stall, errors that atoms share, the ellipse of the magnification."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs.analysis import analyze
from single_rs.analysis.strain import StrainConfig, compute_strain
from single_rs.analysis.strain.statistics import strain_statistics
from single_rs.analysis.views import known_lengths
from single_rs.background import clean_stack
from single_rs.base.tensors import even_strain
from single_rs.export.atoms import read_xyz, write_xyz
from single_rs.records import Atoms, ParticleStack, Poses
from single_rs.refine import RefineConfig, refine_atoms
from single_rs.refine.change import StatesConfig, find_changes
from single_rs.refine.modes import collective, rigid, shared
from single_rs.refine.problem import Model, RefinementProblem
from single_rs.simulate import nanocrystal, simulate_stack

PIXEL, BOX, FRAMES = 0.4, 76, 160
CONFIG = RefineConfig(resolution=0.85, select=False, halves=False)


def atoms_at(positions: np.ndarray) -> Atoms:
    n = len(positions)
    return Atoms(positions, np.full(n, "Pt"), np.ones(n), np.full(n, 2.0), np.full(n, 0.03), np.ones(n))


def cone(half: float, seed: int) -> np.ndarray:
    """Views within `half` degrees of one direction, any turn in the plane, (n, 3, 3)."""
    random = np.random.default_rng(seed)
    tilt = np.deg2rad(half) * np.sqrt(random.random(FRAMES))
    azimuth, spin = random.uniform(0, 2 * np.pi, (2, FRAMES))
    tilts = Rotation.from_rotvec(np.stack([tilt * np.cos(azimuth), tilt * np.sin(azimuth), 0 * tilt], 1))
    return (Rotation.from_euler("z", spin[:, None]) * tilts * Rotation.random(random_state=seed)).as_matrix()


def frames(crystal, rotations: np.ndarray, seed: int):
    stack = simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=12.0, rotations=rotations, seed=seed)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(FRAMES), None))
    return clean, Poses.known(rotations, stack.shifts, block=20)


@pytest.fixture(scope="module")
def crystal():
    return nanocrystal("Pt", 14.0, seed=31)


@pytest.fixture(scope="module")
def seen_from_one_side(crystal):
    """Frames within 35° of one direction, and what comes of them from true atoms and from ones 2 % too long."""
    rotations = cone(35.0, 32)
    clean, poses = frames(crystal, rotations, 33)
    beam = np.linalg.eigh(np.einsum("ni,nj->ij", rotations[:, 2], rotations[:, 2]))[1][:, 2]
    long = crystal.positions @ (np.eye(3) + 0.02 * np.outer(beam, beam))
    found = [refine_atoms(clean, poses, atoms_at(x), CONFIG) for x in (crystal.positions, long)]
    return beam, crystal.positions, found


def test_the_stretch_along_the_beam_does_not_depend_on_the_start(seen_from_one_side):
    beam, true, (first, second) = seen_from_one_side
    mode = first.summary.soft_modes[0]
    assert mode.kind == "stretch"
    assert abs(mode.axis @ beam) > 0.9
    assert mode.excess > 3
    covariance = np.array(first.summary.strain_covariance)
    along = np.array([*beam**2, *(2 * beam[[0, 0, 1]] * beam[[1, 2, 2]])])
    sigma = np.sqrt(along @ covariance @ along)
    apart = along @ even_strain((first.atoms.positions - second.atoms.positions)[None], true)[0]
    # 2 % apart at the start; what the rounds leave is less than the error.
    assert abs(apart) < 0.5 * sigma < 0.005
    wrong = along @ even_strain((first.atoms.positions - true)[None], true)[0]
    assert abs(wrong) < 3 * sigma


def test_the_shared_errors_reach_lattice_strain_and_files(seen_from_one_side, tmp_path):
    beam, _, (refined, _) = seen_from_one_side
    atoms = refined.atoms
    assert atoms.modes is not None
    assert np.linalg.eigvalsh(atoms.own_covariance()).min() > 0
    far = np.argsort(atoms.positions @ beam)[[0, -1]]
    both = atoms.pair_covariance(*far)
    # The ends of the particle go apart together.
    assert beam @ both @ beam > 1.05 * sum(beam @ atoms.covariance[i] @ beam for i in far)
    known, alone = analyze(atoms), analyze(replace(atoms, modes=None))
    lengths = known.lattice.cell / np.linalg.norm(known.lattice.cell, axis=1)[:, None]
    nearest = int(np.argmax(np.abs(lengths @ beam)))
    error = [getattr(m.lattice, f"{'abc'[nearest]}_err") for m in (known, alone)]
    assert error[0] > error[1]
    # What the views alone say of the direction known least, from the atoms' own errors, is the same again.
    strain = np.array(refined.summary.strain_covariance)
    along = np.array([*beam**2, *(2 * beam[[0, 0, 1]] * beam[[1, 2, 2]])])
    assert 0.6 < known_lengths(atoms, refined.poses).worst_noise / np.sqrt(along @ strain @ along) < 1.6
    write_xyz(tmp_path / "atoms.xyz", known)
    again = read_xyz(tmp_path / "atoms.xyz")
    np.testing.assert_allclose(again.modes, atoms.modes, rtol=1e-3, atol=1e-6)


def test_a_stretch_of_one_per_cent_is_an_error_of_one_per_cent():
    positions = nanocrystal("Pt", 16.0, seed=1, disorder=0.0).positions
    n = len(positions)
    x = positions - positions.mean(0)
    mode = 0.01 * x[:, 2:] * [0.0, 0.0, 1.0]
    own = 1e-4 * np.eye(3)
    covariance = own + np.einsum("ni,nj->nij", mode, mode)
    sigma = np.sqrt(np.einsum("nii->n", covariance) / 3)
    atoms = replace(atoms_at(positions), sigma=sigma, covariance=covariance, modes=mode[None])
    np.testing.assert_allclose(atoms.own_sigma(), 0.01, rtol=1e-9)
    lattice = analyze(atoms).lattice
    u = lattice.cell / np.linalg.norm(lattice.cell, axis=1)[:, None]
    relative = np.array([lattice.a_err / lattice.a, lattice.b_err / lattice.b, lattice.c_err / lattice.c])
    np.testing.assert_allclose(relative, 0.01 * u[:, 2] ** 2, atol=0.001)
    for reference, expected in (("bulk", 0.01), ("fit", 0.0)):
        config = StrainConfig(reference=reference, frame="lab")
        strain = compute_strain(positions, lattice, config, atoms.own_sigma(), modes=atoms.modes)
        mean = next(s for s in strain_statistics(positions, strain) if s.measure == "zz" and s.group == "all")
        assert mean.atoms == n
        # Good to 1 / √200 of itself; 10 pm of noise of each atom are 0.06 % of the mean.
        assert abs(mean.mean_error - expected) < 0.003


def test_shared_errors_are_what_is_more_than_the_atoms_own():
    random = np.random.default_rng(5)
    positions = 5 * random.normal(size=(60, 3))
    basis = collective(positions)
    assert len(basis) == 24
    everything = np.concatenate([rigid(positions), basis])
    np.testing.assert_allclose(everything @ everything.T, np.eye(30), atol=1e-9)
    own = np.tile(0.01 * np.eye(3), (60, 1, 1))
    together = 0.01 * np.eye(24)
    together[3, 3] = 1.0
    modes, covariance = shared(basis, together, own)
    assert len(modes) == 1
    np.testing.assert_allclose((modes[0] ** 2).sum(), 0.99, rtol=0.01)
    np.testing.assert_allclose(np.abs(basis[3] @ modes[0].ravel()), np.sqrt(0.99), rtol=0.01)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


@pytest.fixture(scope="module")
def oval(crystal):
    """Frames from all sides, of a microscope that makes what is round 1.2 % longer one way than the other."""
    rotations = Rotation.random(FRAMES, random_state=41).as_matrix()
    e1, e2 = 0.004, -0.005
    stretched = np.array([[1 + e1, e2, 0], [e2, 1 - e1, 0], [0, 0, 1]]) @ rotations
    stack = simulate_stack(
        crystal,
        FRAMES,
        box=BOX,
        pixel_size=PIXEL,
        dose=12.0,
        rotations=stretched,
        shifts=np.zeros((FRAMES, 2)),
        seed=42,
    )
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(FRAMES), None))
    return clean, Poses.known(rotations, np.zeros((FRAMES, 2)), block=20), (e1, e2)


def test_the_ellipse_of_the_magnification_is_found(crystal, oval):
    clean, poses, true = oval
    refined = refine_atoms(clean, poses, atoms_at(crystal.positions), CONFIG)
    found = refined.summary.ellipse
    assert found.known
    assert found.corrected
    error = np.array([found.e1, found.e2]) - true
    assert (np.abs(error) < 4 * np.array([found.e1_error, found.e2_error])).all()
    assert np.abs(error).max() < 1e-3
    assert abs(found.stretch - 0.0129) < 0.002
    held = refine_atoms(clean, poses, atoms_at(crystal.positions), replace(CONFIG, ellipse=0.0))
    assert not held.summary.ellipse.corrected
    assert refined.summary.nats_per_frame > held.summary.nats_per_frame + 1
    # Asked without it, frames of other directions would show another particle.
    asked = find_changes(clean, refined.poses, refined.atoms, StatesConfig(), CONFIG, ellipse=found.applied)
    assert asked.changes == ()
    without = find_changes(clean, refined.poses, refined.atoms, StatesConfig(), CONFIG)
    assert (without.significance or 99.0) > (asked.significance or -99.0)


def test_the_gradient_by_the_ellipse_is_that_of_the_misfit(crystal, oval):
    clean, poses, _ = oval
    problem = RefinementProblem.pack(clean, poses, 10.0, CONFIG)
    n = len(crystal.positions)
    model = Model(crystal.positions / PIXEL, np.ones(n), np.zeros(n))
    problem.fit_filters(model)
    step = 1e-3
    for axis in (0, 1):
        values = []
        for sign in (-1, 0, 1):
            e = np.zeros(2)
            e[axis] = sign * step
            moved = replace(problem, frames=replace(problem.frames, ellipse=(float(e[0]), float(e[1]))))
            values.append(moved.gradients(model)[1])
        slope = (values[2].misfit.sum() - values[0].misfit.sum()) / (2 * step)
        np.testing.assert_allclose(values[1].by_ellipse[:, axis].sum(), -0.5 * slope, rtol=0.02)
