"""Orientation without a lattice: an icosahedron, which no lattice fits, and a glass, which has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from single_rs.background import clean_stack
from single_rs.frames.packed import FOLDS
from single_rs.orient import OrientConfig
from single_rs.orient.indexing import intensity
from single_rs.orient.indexing.intensity import index_by_intensity
from single_rs.orient.indexing.lattice import FRIEDEL, Index
from single_rs.orient.indexing.template import lattice_template
from single_rs.records import ParticleStack, StartDiagnostics
from single_rs.simulate import SimulatedStack, nanocrystal, simulate_stack

FRAMES = 240
PIXEL = 0.4  # Å


def _index(stack: SimulatedStack) -> tuple[Index, StartDiagnostics]:
    """Index of all frames, as if they were one half, and how the intensity was found."""
    frames = len(stack.images)
    clean = clean_stack(ParticleStack(stack.images, PIXEL, np.arange(frames), None))
    fold = np.arange(frames) * FOLDS // frames
    return index_by_intensity(clean, np.arange(frames), fold, lattice_template("Pt"), OrientConfig())


@pytest.fixture(scope="module")
def icosahedron() -> SimulatedStack:
    """A Mackay icosahedron of 1.8 nm, 240 frames."""
    crystal = nanocrystal("Pt", 18.0, defect="icosahedron", seed=21)
    return simulate_stack(crystal, FRAMES, box=96, pixel_size=PIXEL, dose=12.0, step=6.0, seed=21)


@pytest.fixture(scope="module")
def index(icosahedron: SimulatedStack) -> Index:
    return _index(icosahedron)[0]


@pytest.mark.slow
def test_the_turns_of_an_icosahedron_are_found_in_its_power_spectra(index):
    group = index.template.group
    assert len(group) == 60
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 9)
    nearest = (products @ group.reshape(-1, 9).T).max(axis=1)
    assert np.degrees(np.arccos(np.clip((nearest.min() - 1) / 2, -1, 1))) < 9.0


@pytest.mark.slow
def test_frames_of_an_icosahedron_are_indexed_from_nothing(icosahedron, index):
    stack = icosahedron
    # Mates make one turn of the particle stand for 120: bring every found rotation to the mate nearest to the truth.
    true = stack.rotations
    best = 0.0
    for seed in range(0, FRAMES, 12):
        turn = index.rotations[seed, 0].T @ true[seed]
        mates = np.einsum("fij,njk,okl,lm->nfoim", FRIEDEL, index.rotations[:, 0], index.template.group, turn)
        trace = np.einsum("nfoim,nim->nfo", mates, true).reshape(FRAMES, -1).max(axis=1)
        best = max(best, float((trace > 1 + 2 * np.cos(np.radians(6.0))).mean()))
    assert best > 0.85
    numbers = index.significance()
    assert numbers.continuity > 0.5
    assert numbers.spot_significance > 1.5


def _glasses(count: int, frames: int) -> SimulatedStack:
    """Frames of one glass after another, in turns, so that no two neighbours show the same one."""
    movies = [
        simulate_stack(
            nanocrystal("Pt", 18.0, structure="amorphous", seed=22 + i),
            frames // count,
            box=96,
            pixel_size=PIXEL,
            dose=12.0,
            step=6.0,
            seed=22 + i,
        )
        for i in range(count)
    ]
    images = np.stack([m.images for m in movies], axis=1).reshape(frames, 96, 96)
    return replace(movies[0], images=images)


@pytest.mark.slow
def test_frames_of_a_glass_are_indexed_though_it_has_no_order_at_all():
    stack = _glasses(1, 120)
    index, numbers = _index(stack)
    assert numbers.intensity_continuity > intensity.FOUND
    assert numbers.symmetry_rotations == 1
    found, best = index.rotations[:, 0], 0.0
    for seed in range(0, 120, 5):
        for flip in FRIEDEL:
            turn = (flip @ stack.rotations[seed]).T @ found[seed]
            trace = np.einsum("fij,njk,kl,nil->nf", FRIEDEL, stack.rotations, turn, found).max(axis=1)
            best = max(best, float((trace > 1 + 2 * np.cos(np.radians(10.0))).mean()))
    assert best > 0.6


@pytest.mark.slow
def test_frames_of_many_glasses_do_not_agree(monkeypatch):
    monkeypatch.setattr(intensity, "NUCLEI", 2)  # of eight: more of the same
    index, numbers = _index(_glasses(12, 120))
    assert numbers.intensity_continuity < intensity.PROMISING
    assert index.significance().continuity < intensity.PROMISING
