"""Hash of what every kernel gives on one small problem; `test_contracts` runs it with different numbers of threads.

python threads_probe.py kernels|poses
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

import numpy as np

from single_rs import _core
from single_rs.background import clean_stack
from single_rs.frames.packed import PosedFrames
from single_rs.frames.volume import PAD
from single_rs.io import Movie
from single_rs.motion import correct_motion
from single_rs.orient import find_poses
from single_rs.records import ParticleStack
from single_rs.simulate import nanocrystal, simulate_stack

PIXEL = 0.4  # Å


def digest(*arrays: object) -> str:
    """Return a hash of the bytes of arrays."""
    h = hashlib.sha256()
    for array in arrays:
        h.update(np.ascontiguousarray(array).tobytes())
    return h.hexdigest()[:16]


def kernels() -> dict[str, str]:
    """Run every kernel of orientation and reconstruction, and motion correction, on small noisy data."""
    rng = np.random.default_rng(5)
    out = {}
    n, size, radius = 40, 64, 20.0
    images = rng.normal(size=(n, size, size)).astype(np.float32)
    shifts = rng.normal(size=(n, 2)).astype(np.float32)
    quaternions = rng.normal(size=(n, 4))
    rotations = _matrices(quaternions).astype(np.float32)
    frames = np.arange(n, dtype=np.int32)

    plane = _core.HalfPlane(size, 4, 24)
    spectra = plane.pack(images, shifts, radius, 4.0)
    weights = rng.uniform(0.5, 1, len(plane)).astype(np.float32)
    out["pack"] = digest(plane.frequencies(), spectra)

    radii = [k / size for k in range(8, 25)]
    polar = _core.polar_power(images, shifts, radius, 128, radii, np.ones((size, size // 2 + 1), np.float32))
    spots = rng.normal(size=(60, 3)).astype(np.float32)
    spots *= rng.uniform(0.15, 0.35, (60, 1)).astype(np.float32) / np.linalg.norm(spots, axis=1, keepdims=True)
    beams = rng.normal(size=(50, 3)).astype(np.float32)
    beams /= np.linalg.norm(beams, axis=1, keepdims=True)
    found, score = _core.index_frames(polar, radii, spots, np.ones(60).tolist(), 30.0, beams, 6)
    out["index_frames"] = digest(polar, found, score)

    states = rng.normal(size=(n, 6, 4)).astype(np.float32)
    states /= np.linalg.norm(states, axis=2, keepdims=True)
    mates = np.eye(1, 4, dtype=np.float32)
    out["smooth_candidates"] = digest(*_core.smooth_candidates(states, score * 3, mates, mates, 0.2, 0.05, 1000.0))

    ones = np.ones(n, np.float32)
    groups = (frames % 2).astype(np.int32)
    posed = PosedFrames(spectra, plane, weights, rotations, shifts, frames)
    sums = _core.insert_slices(posed, ones, groups, 2, PAD)
    out["insert_slices"] = digest(*[part for pair in sums for part in pair])

    volumes = np.stack([top / (bottom + 1) for top, bottom in sums]).astype(np.complex64)
    out["project_slices"] = digest(_core.project_slices(volumes[0], plane, PAD, rotations))
    data = (volumes, PAD, groups)
    overlap, power, moved = _core.score_poses(posed, *data, 3, 0.7)
    out["score_poses"] = digest(overlap, power, moved)
    out["polish_poses"] = digest(*_core.polish_poses(replace(posed, shifts=moved), *data, 4, 0.1, 2.0))

    points = rng.normal(size=(30, 3)).astype(np.float32) * 5
    filters = np.exp(-np.hypot(*plane.frequencies().T) / 20).astype(np.float32)[None]
    atoms = (points, np.ones(30, np.float32), None, filters)
    turned, pushed, *rest = _core.polish_poses_to_atoms(posed, atoms, 4, 0.1, 2.0)
    out["polish_poses_to_atoms"] = digest(turned, pushed, *rest)
    posed = replace(posed, rotations=turned, shifts=pushed)
    out["model_gain"] = digest(*_core.model_gain(posed, atoms, 2, 0.5))
    out["model_gradients"] = digest(*_core.model_gradients(posed, ones, atoms, groups, 2, 0.0))
    out["model_filter_sums"] = digest(*_core.model_filter_sums(posed, ones, ones, atoms))
    table = np.stack([np.ones(200), np.zeros(200)], 1).astype(np.float32)
    normal, *ellipse = _core.model_normal(plane, atoms, turned, weights, table, 0.5)
    factor = normal + 1e6 * np.eye(90)
    _core.factor_normal(factor)
    side = rng.normal(size=(2, 90))
    out["normal"] = digest(normal, *ellipse, _core.solve_normal(factor, side), _core.normal_blocks(factor))

    counts = rng.poisson(8 + 4 * rng.random((96, 96)), (48, 96, 96)).astype(np.uint16)
    motion = correct_motion(Movie.from_array(counts, PIXEL))
    out["motion"] = digest(motion.shifts, motion.local, motion.mean, motion.quality, motion.hot_pixels)
    return out


def poses() -> dict[str, str]:
    """Clean and orient a small simulated particle."""
    n = 120
    crystal = nanocrystal("Pt", 13.0, seed=1)
    made = simulate_stack(crystal, n, box=76, pixel_size=PIXEL, dose=30.0, seed=1)
    clean = clean_stack(ParticleStack(made.images, PIXEL, np.arange(n)))
    found = find_poses(clean, "Pt")
    return {
        "simulate": digest(made.images, made.rotations, made.shifts),
        "clean_stack": digest(clean.images, clean.noise, clean.offsets),
        "find_poses": digest(found.rotations, found.shifts, found.score, found.confidence, found.half, found.weight),
    }


def _matrices(q: np.ndarray) -> np.ndarray:
    """Rotation matrices of unnormalised quaternions (n, 4), order (w, x, y, z)."""
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.ascontiguousarray(np.moveaxis(np.array(rows), -1, 0))


if __name__ == "__main__":
    print("threads", _core.threads())
    for name, value in {"kernels": kernels, "poses": poses}[sys.argv[1]]().items():
        print(name, value)
