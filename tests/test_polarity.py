"""Dark atoms and inverted counts are seen as such in the frames, and cleaned frames have bright atoms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from single_rs.background import BackgroundConfig, clean_stack
from single_rs.records import CleanStack, Contrast, ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack
from single_rs.simulate.optics import OpticsConfig

COUNT, DOSE = 160, 6.0
DARK = OpticsConfig(c3=5e4, defocus=-38.0, scattering="multislice")
BRIGHT = replace(DARK, c3=-5e4, defocus=38.0)


def frames(optics: OpticsConfig) -> ParticleStack:
    made = simulate_stack(nanocrystal("Pt", 16.0, seed=1), COUNT, box=92, dose=DOSE, step=30.0, seed=4, optics=optics)
    return ParticleStack(np.asarray(made.images, np.float32), made.pixel_size, np.arange(COUNT))


@pytest.fixture(scope="module")
def bright() -> ParticleStack:
    return frames(BRIGHT)


def agreement(one: CleanStack, other: CleanStack) -> float:
    return float(np.corrcoef(one.images.ravel(), other.images.ravel())[0, 1])


def test_bright_atoms_are_bright_and_inverted_counts_dark(bright: ParticleStack) -> None:
    usual = clean_stack(bright)
    assert usual.contrast.atoms == "bright"
    assert usual.contrast.sigma is not None
    assert usual.contrast.sigma > 4
    for inverted in (bright.images.max() - bright.images, -bright.images):
        turned = clean_stack(replace(bright, images=inverted))
        assert turned.contrast.atoms == "dark"
        assert turned.contrast == turned.background.contrast
        # The same pictures but for their scale, which inverted counts do not tell.
        assert agreement(usual, turned) > 0.999
        assert turned.contrast.sigma == pytest.approx(-usual.contrast.sigma, rel=0.05)


def test_atoms_are_dark_with_positive_c3_and_underfocus() -> None:
    dark = clean_stack(frames(DARK))
    assert dark.contrast.atoms == "dark"
    assert not dark.contrast.stated


def test_what_the_user_states_is_taken(bright: ParticleStack) -> None:
    stated = clean_stack(bright, BackgroundConfig(contrast="dark"))
    assert (stated.contrast.atoms, stated.contrast.stated) == ("dark", True)
    assert agreement(stated, clean_stack(bright)) < -0.999


def test_noise_in_which_particles_are_equally_bright_and_dark_is_taken_as_bright() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-36:36, -36:36]
    field = rng.normal(size=(60, 72, 72)) * (np.hypot(x, y) < 22)
    images = (6 * (1 + 0.5 * rng.normal(size=(60, 72, 72)) + field)).astype(np.float32)
    found = clean_stack(ParticleStack(images, 0.36, np.arange(60))).contrast
    assert found.atoms == "bright"
    assert found.sigma is not None
    assert abs(found.sigma) < 4


def test_contrast_is_told_in_words() -> None:
    assert str(Contrast("dark", -9.74)) == "dark (by 9.7 sigma)"
    assert str(Contrast("dark", 5.0, stated=True)) == "dark (as stated, the frames show bright ones by 5.0 sigma)"
    assert str(Contrast()) == "bright (not measured)"
