"""A small particle of which a layer leaves, at known poses: what the tests of change and of states share."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

import single_rs as sr
from single_rs.simulate.tumbling import brownian_rotations

FRAMES, BOX, PIXEL, DOSE, DATE = 240, 72, 0.4, 8.0, 130


def layer_of(crystal):
    """(n,) whether each atom is in the outermost {111} layer along (1, 1, 1)."""
    height = crystal.positions @ np.ones(3) / np.sqrt(3)
    return height > height.max() - 2.5


def frames_of(crystal, gone, dates=(DATE,)):
    """Rotations, and counts of a crystal whose atoms `gone` leave, and come back, in turn at `dates`; shifts are 0."""
    rotations = brownian_rotations(FRAMES, 8.0, 0.004, 5)
    less = replace(crystal, positions=crystal.positions[~gone], symbols=crystal.symbols[~gone], grain=None)
    common = {"box": BOX, "pixel_size": PIXEL, "dose": DOSE}
    edges = [0, *dates, FRAMES]
    parts = [
        sr.simulate_stack(
            (crystal, less)[k % 2], b - a, rotations=rotations[a:b], shifts=np.zeros((b - a, 2)), seed=a, **common
        ).images
        for k, (a, b) in enumerate(pairwise(edges))
    ]
    return rotations, np.concatenate(parts)
