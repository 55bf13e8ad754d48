"""Maps of a particle that was seen from one side: the directions that no frame crossed are found and filled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from single_rs.alignment import match_atoms
from single_rs.atoms import trace, trace_atoms
from single_rs.atoms.unseen import fill_unseen, unseen_directions
from single_rs.base.errors import NoParticleError
from single_rs.simulate import nanocrystal

PIXEL, BOX = 0.4, 72
HALF_ANGLE = 15.0  # degrees, of the views about one axis
AXIS = np.array([0.48, 0.6, 0.64])  # of the beam, (x, y, z)
FINEST = 1 / 0.85  # 1/Å


@pytest.fixture(scope="module")
def crystal() -> np.ndarray:
    return nanocrystal("Pt", 15.0, seed=61).positions


@pytest.fixture(scope="module")
def maps(crystal) -> list[np.ndarray]:
    """Map and halves with nothing in directions nearer than 70° to the beam."""
    k = fft.fftfreq(BOX, PIXEL)
    z, y, x = np.meshgrid(k, k, fft.rfftfreq(BOX, PIXEL), indexing="ij")
    length = np.sqrt(x**2 + y**2 + z**2)
    along = np.abs(x * AXIS[0] + y * AXIS[1] + z * AXIS[2])
    seen = (along <= np.sin(np.radians(HALF_ANGLE)) * length) & (length < FINEST)
    wave = np.zeros(length.shape, complex)
    for a, b, c in crystal:
        wave += np.exp(-2j * np.pi * (x * a + y * b + z * c))
    wave *= np.exp(-0.6 * length**2) * (length > 0.1)
    random = np.random.default_rng(62)
    centre = (-1.0) ** np.add.outer(np.add.outer(np.arange(BOX), np.arange(BOX)), np.arange(BOX // 2 + 1))
    halves = []
    for _ in range(2):
        noise = fft.rfftn(random.normal(size=(BOX, BOX, BOX))) * 0.02
        halves.append(fft.irfftn((wave * centre + noise) * seen, s=(BOX, BOX, BOX)))
    return [0.5 * (halves[0] + halves[1]), *halves]


def test_directions_that_no_frame_crossed_are_those_of_the_cone(maps):
    directions, unseen = unseen_directions(maps[1], maps[2], PIXEL)
    angle = np.degrees(np.arcsin(np.abs(directions[:, ::-1] @ AXIS)))
    # Directions are 6° apart, so that those at the edge hold some of both.
    assert unseen[angle > HALF_ANGLE + 6].all()
    assert not unseen[angle < HALF_ANGLE - 6].any()


def test_atoms_are_found_in_a_map_with_a_missing_cone(crystal, maps, monkeypatch):
    found = trace_atoms(maps[0], PIXEL, "Pt", 15.0, maps[1], maps[2])
    match = match_atoms(found.positions, crystal)
    assert len(found) == len(match.found) == len(crystal)
    assert np.sqrt((match.error**2).sum(1).mean()) < 0.4
    monkeypatch.setattr(trace, "FEWEST_UNSEEN", 1.0)  # as it is
    with pytest.raises(NoParticleError):
        trace_atoms(maps[0], PIXEL, "Pt", 15.0, maps[1], maps[2])


def test_what_was_measured_is_kept(maps):
    directions = unseen_directions(maps[1], maps[2], PIXEL)
    filled = fill_unseen(maps[0], PIXEL, 7.5, directions)
    assert filled.shape == maps[0].shape
    # Atoms stand out of a filled map, where they were drawn out along the beam.
    assert filled.max() > 1.3 * maps[0].max()
    again = fill_unseen(maps[0], PIXEL, 7.5, directions)
    np.testing.assert_array_equal(filled, again)


def test_noise_alone_is_not_filled(maps):
    random = np.random.default_rng(63)
    noise = random.normal(size=(2, BOX, BOX, BOX))
    assert not unseen_directions(noise[0], noise[1], PIXEL)[1].any()
