"""Is this installation sound? Versions, threads, SIMD, and a small particle solved from known poses.

The self-test simulates single frames of a crystal, reconstructs it with the true poses and traces its atoms: this
exercises the compiled kernels, the FFTs and the tracing, and its outcome is known.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib import util
from typing import Any

import numpy as np

from single_rs.alignment import AtomScore, score_atoms
from single_rs.base.errors import SingleError
from single_rs.pipeline.record import versions

__all__ = ["check", "self_test"]

# Small enough for seconds, large enough for a full shell of neighbours round several atoms.
DIAMETER, FRAMES, BOX, PIXEL, DOSE = 14.0, 250, 72, 0.4, 20.0
LEAST_RECALL, LARGEST_RMSD = 0.99, 4.0  # pm; a sound installation reaches 1.00 and 1.3
EXTRAS = {
    "rsciio": "DM3/4, SER, EMD (extra io)",
    "h5py": "EMD, HDF5 (extra io)",
    "zarr": "Zarr (extra io)",
    "imagecodecs": "compressed TIFF, EER (extra io)",
}


def check(show: Callable[[str], None] = print) -> None:
    """Print what this installation has and run the self-test.

    Raises
    ------
    SingleError
        When the self-test does not find the atoms of a known particle.
    """
    for name, version in versions().items():
        show(f"{name:<12} {version}")
    for module, use in EXTRAS.items():
        show(f"{module:<12} {'installed' if util.find_spec(module) else 'not installed'}: {use}")
    show(f"{'threads':<12} {os.environ.get('RAYON_NUM_THREADS') or _cores()} of {os.cpu_count()} cores")
    show(f"{'SIMD':<12} {platform.machine()}: {' '.join(_simd()[-6:])}")
    start = time.perf_counter()
    score = self_test()
    seconds = time.perf_counter() - start
    outcome = f"{score.matched} of {score.true} atoms, {score.found} found, RMSD {score.rmsd:.1f} pm, {seconds:.1f} s"
    if score.recall < LEAST_RECALL or score.precision < LEAST_RECALL or not score.rmsd < LARGEST_RMSD:
        raise SingleError(f"the self-test failed: {outcome}; please report it with the lines above")
    show(f"{'self-test':<12} passed: {outcome}")


def self_test(seed: int = 0) -> AtomScore:
    """Simulate a small particle, reconstruct it from its true poses, trace it, and score the atoms."""
    from scipy.spatial.transform import Rotation

    from single_rs.atoms import trace_atoms
    from single_rs.background import clean_stack
    from single_rs.reconstruction.fourier import reconstruct
    from single_rs.records import ParticleStack, Poses
    from single_rs.simulate import nanocrystal, simulate_stack

    crystal = nanocrystal("Pt", DIAMETER, ragged=0.0, seed=seed)
    rotations = Rotation.random(FRAMES, random_state=seed).as_matrix()
    made = simulate_stack(crystal, FRAMES, box=BOX, pixel_size=PIXEL, dose=DOSE, rotations=rotations, seed=seed)
    clean = clean_stack(ParticleStack(made.images, PIXEL, np.arange(FRAMES)))
    density = reconstruct(clean, Poses.known(made.rotations, made.shifts))
    atoms = trace_atoms(density.map, PIXEL, "Pt", clean.diameter, density.half1, density.half2)
    return score_atoms(atoms.positions, crystal.positions)


def _cores() -> int:
    """Return the cores this process may use, which is what rayon takes by default."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _simd() -> list[str]:
    """Return the vector extensions that NumPy finds in this processor, widest last."""
    config: Any = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])] or ["unknown"]
