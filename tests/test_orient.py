"""Orientation search: its parts against known answers, and the whole on a simulated particle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from single_rs import _core
from single_rs.alignment import score_atoms, score_poses
from single_rs.background import clean_stack
from single_rs.base.errors import InputError
from single_rs.frames.packed import FrameSet, time_blocks
from single_rs.frames.volume import PAD, fourier_volume, grid_size, map_from_sums, shell_correlation
from single_rs.orient import OrientConfig, find_poses
from single_rs.orient.indexing.lattice import index_frames
from single_rs.orient.indexing.symmetry import Candidates, symmetry_mates
from single_rs.orient.indexing.template import beam_directions, lattice_template
from single_rs.orient.models.ball import site_amplitude
from single_rs.orient.models.occupancy import SiteModel, solve_occupancy
from single_rs.orient.models.reference import Reference, look_up
from single_rs.orient.search.plan import SearchPlan, search
from single_rs.pipeline.verdict import judge
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records import CleanStack, Graphene, ParticleStack, Poses
from single_rs.simulate import nanocrystal, simulate_stack

PIXEL = 0.4  # Å
BOX = 96


@pytest.fixture(scope="module")
def particle():
    """A 2 nm particle in 400 frames, its cleaned stack, poses and density."""
    crystal = nanocrystal("Pt", 20.0, seed=11)
    stack = simulate_stack(crystal, 400, box=BOX, pixel_size=PIXEL, dose=12.0, step=8.0, jump_rate=0.01, seed=11)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(400), None))
    poses = find_poses(clean, "Pt")
    return stack, clean, poses, reconstruct(clean, poses)


# --- the whole ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_poses_of_a_simulated_particle_agree_with_the_truth(particle):
    stack, _, poses, _ = particle
    score = score_poses(poses.rotations, poses.frames, stack.rotations)
    assert score.within_3deg > 0.85
    assert score.median_deg < 1.0


@pytest.mark.slow
def test_poses_are_proper_rotations_with_probabilities(particle):
    _, clean, poses, _ = particle
    np.testing.assert_allclose(
        poses.rotations @ poses.rotations.transpose(0, 2, 1), np.eye(3)[None].repeat(400, 0), atol=1e-9
    )
    assert (np.linalg.det(poses.rotations) > 0).all()
    assert ((poses.confidence >= 0) & (poses.confidence <= 1 + 1e-6)).all()
    assert set(np.unique(poses.half)) <= {0, 1, 2}
    assert poses.hand == "undetermined"
    assert np.abs(poses.shifts - clean.offsets).max() < 3.0


@pytest.mark.slow
def test_atoms_of_the_reconstruction_are_those_of_the_particle(particle):
    from single_rs.atoms import trace_atoms

    stack, clean, _, density = particle
    atoms = trace_atoms(density.map, PIXEL, "Pt", clean.diameter, density.half1, density.half2)
    score = score_atoms(atoms.positions, stack.crystal.positions)
    assert score.recall > 0.98
    assert score.precision > 0.98
    assert score.rmsd < 8.0  # pm


@pytest.mark.slow
def test_half_maps_agree_where_the_truth_does(particle):
    _, clean, poses, density = particle
    assert density.map.shape == (BOX, BOX, BOX)
    assert density.resolution < 1.1
    assert 0.6 < density.fsc[np.searchsorted(density.frequency, 0.44)] <= 1.0  # {111} of Pt
    shuffled = replace(poses, rotations=poses.rotations[np.random.default_rng(0).permutation(400)])
    assert reconstruct(clean, shuffled).resolution > density.resolution


@pytest.mark.slow
def test_a_solved_particle_is_judged_solved_and_a_wrong_element_is_not(particle):
    from single_rs.analysis.analyze import analyze
    from single_rs.atoms import trace_atoms

    _, clean, poses, density = particle
    atoms = trace_atoms(density.map, PIXEL, "Pt", clean.diameter, density.half1, density.half2)
    model = analyze(atoms, "Pt", box=BOX, pixel_size=PIXEL)
    assert judge(clean, poses, density, model, "Pt").verdict == "solved"
    assert judge(clean, poses, density, model, "Pb").verdict == "failed"
    assert judge(clean, poses, density, None, "Pt").verdict == "failed"
    measured = poses.diagnostics

    def told(**numbers):
        return replace(poses, diagnostics=replace(measured, **numbers))

    restless = told(jump_share=0.08)
    verdict = judge(clean, restless, density, model, "Pt")
    assert verdict.verdict == "doubtful"
    assert any("0.92" in reason and "jumps" in reason for reason in verdict.reasons)
    sheet = Graphene(0.0, 1.02 * 2.461, (0.0, 0.0, 0.0), np.eye(2), np.zeros((1, 2), np.intp), np.ones(1))
    verdict = judge(replace(clean, graphene=[sheet]), poses, density, model, "Pt")
    assert verdict.verdict == "doubtful"
    assert any(f"--pixel-size {PIXEL / 1.02:.4f}" in reason for reason in verdict.reasons)
    unknown = told(start=replace(measured.start, lattice_constant=None))
    assert judge(clean, unknown, density, model, "Pt").verdict == "solved"
    assert judge(clean, unknown, density, model, "Pb").verdict == "failed"  # by its bonds
    for lead, expected in ((0.01, "doubtful"), (0.2, "solved")):
        apart = told(starts_agreement=0.4, starts_lead=lead)
        assert judge(clean, apart, density, model, "Pt").verdict == expected
    for spots, gain, expected in ((1.5, 100.0, "solved"), (1.5, 10.0, "doubtful"), (0.9, 100.0, "failed")):
        weak = told(start=replace(measured.start, spot_significance=spots), lead_over_others=gain)
        assert judge(clean, weak, density, model, "Pt").verdict == expected
    for agree, gain, expected in ((0.1, 100.0, "solved"), (0.1, 10.0, "doubtful"), (0.04, 100.0, "failed")):
        fast = told(start=replace(measured.start, continuity=agree), lead_over_others=gain)
        assert judge(clean, fast, density, model, "Pt").verdict == expected


@pytest.mark.slow
def test_noise_has_no_lattice_and_no_continuity(particle):
    _, clean, _, _ = particle
    random = np.random.default_rng(1)
    noise = replace(clean, images=random.normal(0, 0.3, clean.images.shape).astype(np.float32))
    numbers = index_frames(noise, lattice_template("Pt"), OrientConfig()).significance()
    assert abs(numbers.spot_significance) < 0.5
    assert abs(numbers.continuity) < 0.05


# --- the parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("element", "size"), [("Pt", 24), ("Fe", 24), ("Si", 24), ("Co", 12)])
def test_view_directions_fill_the_sphere_once(element, size):
    group = lattice_template(element).group
    assert len(group) == size
    directions = beam_directions(group, 5.0)
    orbit = np.einsum("gij,nj->gni", group, directions).reshape(-1, 3)
    everywhere = Rotation.random(500, random_state=0).as_matrix()[:, 0]
    assert np.degrees(np.arccos(np.clip((everywhere @ orbit.T).max(axis=1), -1, 1))).max() < 6.0
    assert len(orbit) == pytest.approx(4 * np.pi / np.radians(5.0) ** 2, rel=0.1)


def test_strongest_reflections_of_platinum_are_111_and_its_power_spectrum_has_its_symmetry():
    template = lattice_template("Pt")
    g, power = template.reflections(1.0)
    k = np.linalg.norm(g, axis=1)
    np.testing.assert_allclose(1 / k[power > 0.999], 3.924 / np.sqrt(3), rtol=2e-3)
    assert (power > 0.999).sum() == 8
    for o in template.group:
        turned = g @ o.T
        nearest = np.linalg.norm(turned[:, None] - g[None], axis=2).argmin(axis=1)
        np.testing.assert_allclose(power[nearest], power, rtol=1e-9)


def test_time_blocks_alternate_and_keep_guards():
    blocks = time_blocks(np.arange(1200), 150, 2)
    assert len(np.unique(blocks.block)) == 8
    assert (np.diff(blocks.block) >= 0).all()
    for half in (0, 1):
        assert set(blocks.fold[blocks.half == half]) == {0, 1, 2, 3}
    assert blocks.guard.sum() == 2 * 2 * 7  # both sides of seven borders


def test_a_short_movie_has_as_many_folds():
    blocks = time_blocks(np.arange(400), 150, 2)
    assert (np.diff(blocks.half) != 0).sum() == 3
    for half in (0, 1):
        assert np.bincount(blocks.fold[blocks.half == half]).tolist() == [50, 50, 50, 50]
    assert (np.bincount(blocks.block) == 50).all()
    assert blocks.guard.sum() == 2 * 2 * 3  # folds of one half border without a guard


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="the stack has 30 frames"):
        time_blocks(np.arange(30), 150, 2)


def test_a_map_survives_its_fourier_volume():
    size = grid_size(20)
    x = np.arange(size) - size // 2
    r2 = (x[:, None, None] - 2.3) ** 2 + (x[None, :, None] + 1.1) ** 2 + (x[None, None, :] - 3.7) ** 2
    blob = np.exp(-r2 / (2 * 2.0**2)).astype(np.float32)
    volume = fourier_volume(blob, 20 * PAD + 2)
    again = map_from_sums(volume, np.ones(volume.shape, np.float32), 0.0, size)
    # Reading and inserting each count the interpolation kernel once, so the round trip divides by it twice.
    s = np.sinc((np.arange(size) - size // 2) / (PAD * size)) ** 2
    again *= (s[:, None, None] * s[None, :, None] * s[None, None, :]) ** 2
    np.testing.assert_allclose(again, blob, atol=2e-3)
    assert shell_correlation(volume, volume)[1:15] == pytest.approx(1.0)


def test_occupancies_come_back_from_slices():
    template = lattice_template("Pt")
    random = np.random.default_rng(3)
    index = template.sites(8.0)
    truth = SiteModel(
        index, template.grid_step, np.array([0.4, -0.3, 0.2]), (random.random(len(index)) < 0.7).astype(float)
    )
    size, pixel, shell = 64, 0.4, 24
    box, reach = size * pixel, shell * PAD + 2
    amplitude = site_amplitude(template, reach, box)
    plane = _core.HalfPlane(size, 2, shell)
    rotations = Rotation.random(150, random_state=0).as_matrix().astype(np.float32)
    slices = _core.project_slices(truth.volume(amplitude, reach, box), plane, PAD, rotations)
    n, m = slices.shape
    gain = np.ones(n, np.float32)
    frames = FrameSet(slices, plane, np.ones(m, np.float32), gain, np.zeros((n, 2)), pixel)
    sums = _core.insert_slices(frames.posed(rotations), gain, np.zeros(n, np.int32), 1, PAD)
    solved = solve_occupancy(*sums[0], truth, amplitude, box)
    assert np.abs(solved.weight - truth.weight).max() < 0.2
    assert ((solved.weight > 0.5) == (truth.weight > 0.5)).all()


def _cut_ball(radius, plane, count):
    """Empty frames of 0.4 Å a pixel, and a ball of platinum without a cap: no mate is alike."""
    template = lattice_template("Pt")
    m = len(plane)
    index = template.sites(radius)
    keep = index * template.grid_step @ [0.3, 0.8, 0.52] < 0.45 * radius
    model = SiteModel(index[keep], template.grid_step, np.zeros(3), np.ones(int(keep.sum())))
    weights = np.ones(m, np.float32)
    frames = FrameSet(
        np.zeros((count, m), np.complex64), plane, weights, np.ones(count, np.float32), np.zeros((count, 2)), 0.4
    )
    reach = plane.max_shell * PAD + 2
    amplitude = site_amplitude(template, reach, frames.box)
    volume = model.volume(amplitude, reach, frames.box)
    return frames, Reference.of(frames, model.positions, model.weight, amplitude, volume)


@pytest.fixture(scope="module")
def ball_frames():
    """Noisy slices of a cut ball of platinum at known poses: frames, reference, rotations, shifts (px)."""
    random = np.random.default_rng(4)
    plane = _core.HalfPlane(64, 3, 22)
    m, count = len(plane), 12
    frames, reference = _cut_ball(9.0, plane, count)
    rotations = Rotation.random(count, random_state=4).as_matrix()
    shifts = random.uniform(-1, 1, (count, 2))
    slices = _core.project_slices(reference.volume, plane, PAD, rotations.astype(np.float32))
    phase = np.exp(-2j * np.pi / 64 * (shifts @ plane.frequencies().T))
    signal = (slices * phase).astype(np.complex64)
    noise = random.normal(0, 1, (2, count, m)) * np.sqrt((np.abs(signal) ** 2).mean())
    frames = replace(frames, spectra=(signal + noise[0] + 1j * noise[1]).astype(np.complex64))
    return frames, reference, rotations, shifts, lattice_template("Pt").group


def _power_ratio(frames, reference):
    """Power from the table over the power of slices, at random poses."""
    rotations = Rotation.random(400, random_state=7).as_matrix()
    slices = _core.project_slices(reference.volume, frames.plane, PAD, rotations.astype(np.float32))
    one = replace(frames, spectra=frames.spectra[:1], frame_weight=frames.frame_weight[:1])
    every = np.zeros(400, np.int64)
    _, power, _ = look_up(one, reference, rotations, every, np.zeros((400, 2)), 0)
    return power / ((np.abs(slices) ** 2) @ frames.weights)


def test_a_reference_knows_the_power_of_its_slices(ball_frames):
    frames, reference, *_ = ball_frames
    ratio = _power_ratio(frames, reference)
    # The same view turned in the plane has its spots elsewhere against pixels and the last shell.
    assert abs(ratio.mean() - 1) < 0.02
    assert ratio.std() < 0.06


def test_the_power_of_a_large_particle_is_known_as_well():
    # 32 Å at 1 Å: spots are 2° wide, and a table as coarse as small particles need is wrong by a tenth.
    frames, reference = _cut_ball(16.0, _core.HalfPlane(108, 7, 43), 1)
    ratio = _power_ratio(frames, reference)
    assert abs(ratio.mean() - 1) < 0.03
    assert ratio.std() < 0.04


def test_power_counts_out_where_graphene_was_removed(ball_frames):
    frames, reference, *_ = ball_frames
    k = frames.plane.frequencies()
    turns = np.radians(np.arange(0, 360, 60) + 11)
    spots = 18 * np.stack([np.cos(turns), np.sin(turns)], axis=1)  # within a shell of the lattice's reflections
    near = (np.linalg.norm(k[:, None] - spots, axis=2) < 2.0).any(axis=1)
    frames = replace(frames, weights=np.where(near, 0, 1).astype(np.float32))
    view = _core.tabulate_power(reference.volume, frames.plane, PAD, frames.weights, 20 / frames.pixel_size)
    reference = replace(reference, filter=reference.transfer * frames.weights, view_power=view)
    filled = replace(frames, weights=np.ones_like(frames.weights))
    assert _power_ratio(frames, reference).std() < 0.06
    # What the holes take away is far more than the table's error.
    missing = _power_ratio(frames, reference) / _power_ratio(filled, reference)
    slices = _core.project_slices(
        reference.volume, frames.plane, PAD, Rotation.random(400, random_state=7).as_matrix().astype(np.float32)
    )
    share = (np.abs(slices[:, near]) ** 2).sum(axis=1) / (np.abs(slices) ** 2).sum(axis=1)
    assert share.std() > 0.03
    assert missing.std() < 0.05


def test_look_ups_are_the_overlaps_with_slices(ball_frames):
    frames, reference, rotations, _, _ = ball_frames
    of, every = np.zeros(len(rotations), np.int64), np.arange(len(rotations))
    overlap, _, shifts = look_up(frames, reference, rotations, every, np.zeros((len(of), 2)), 5)
    spacing = _core.look_up_spacing(frames.plane)
    slow, _, found = _core.score_poses(
        frames.posed(rotations), reference.volume[None], PAD, of.astype(np.int32), 5, spacing
    )
    np.testing.assert_allclose(overlap, slow, rtol=0.04)
    np.testing.assert_allclose(shifts, found, atol=0.15)


def test_the_search_finds_poses_among_mates_and_climbs_to_them(ball_frames):
    frames, reference, rotations, shifts, group = ball_frames
    n = len(rotations)
    random = np.random.default_rng(9)
    off = Rotation.from_rotvec(np.radians(random.normal(0, 1.2, (n, 3)))).as_matrix()
    mates = symmetry_mates((off @ rotations)[:, None], group)
    frame = np.repeat(np.arange(n), mates.shape[1])
    candidates = Candidates(frame, mates.reshape(-1, 3, 3), np.zeros(len(frame)))
    found = search(frames, reference, candidates, SearchPlan(5, 1.0))
    turn = np.einsum("nij,nij->n", found.rotations[:, 0], rotations)
    error = np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)))
    assert np.median(error) < 0.6
    assert (error < 2.0).sum() >= n - 1
    assert np.median(np.linalg.norm(found.shifts[:, 0] - shifts, axis=1)) < 0.15  # px
    trace = np.einsum("naij,nbij->nab", found.rotations, found.rotations)
    other = found.there[:, :, None] & found.there[:, None] & ~np.eye(found.there.shape[1], dtype=bool)
    assert (trace[other] < 1 + 2 * np.cos(np.radians(2.99))).all()  # no pose is kept twice


def test_packing_about_a_shifted_centre_gives_the_phases_of_a_centred_particle():
    crystal = nanocrystal("Pt", 14.0, seed=4)
    rotations = Rotation.random(1, random_state=1).as_matrix().repeat(2, 0)
    shifts = np.array([[0.0, 0.0], [1.3, -0.7]])
    stack = simulate_stack(crystal, 2, box=80, pixel_size=PIXEL, dose=1e4, rotations=rotations, shifts=shifts, seed=4)
    images = stack.images / stack.images.mean() - 1
    clean = _bare(images.astype(np.float32))
    frames = FrameSet.pack(clean, np.arange(2), shifts / PIXEL, (6.0, 1.0))
    a, b = frames.spectra
    assert np.real(np.vdot(a, b)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real) > 0.98


def test_bad_input_is_named():
    clean = _bare(np.zeros((60, 64, 64), np.float32))
    with pytest.raises(InputError, match="at least 40 are needed"):
        find_poses(_bare(np.zeros((30, 64, 64), np.float32)), "Pt")
    with pytest.raises(InputError, match="no tabulated"):
        lattice_template("Ga")
    with pytest.raises(InputError, match="poses for"):
        reconstruct(clean, Poses.known(np.eye(3)[None].repeat(10, 0), np.zeros((10, 2))))


def _bare(images):
    return CleanStack.bare(images, PIXEL, 14.0, 0.1)
