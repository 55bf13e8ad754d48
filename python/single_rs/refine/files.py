"""The refinement on the files of a particle's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from single_rs.base.tensors import COMPONENTS, components
from single_rs.io import atomic
from single_rs.io.star import read_poses, write_poses
from single_rs.records import Atoms, CleanStack, Poses
from single_rs.refine.solver import refine_atoms
from single_rs.refine.types import RefineConfig, Refined
from single_rs.store.layout import POSES

if TYPE_CHECKING:
    from single_rs.base.progress import Progress

__all__ = ["refine", "searched_poses"]

# Poses as the search left them, once poses.star holds refined ones: what is repeated starts from the same.
SEARCHED = "poses_searched.star"
DISPLACEMENT = "displacement.csv"


def searched_poses(folder: Path) -> Poses:
    """Read the poses that the search found, whether they were refined since or not."""
    path = folder / SEARCHED
    return read_poses(path if path.exists() else folder / POSES)


def refine(
    clean: CleanStack,
    poses: Poses,
    atoms: Atoms,
    folder: Path,
    config: RefineConfig,
    progress: Progress | None = None,
    stack_name: str = "stack.mrcs",
) -> Refined:
    """Refine atoms and poses against the frames; write ``poses.star``, and keep those of the search beside it.

    With `RefineConfig.anisotropic` also ``displacement.csv``, one row per atom in the order of the atoms.
    """
    refined = refine_atoms(clean, poses, atoms, config, progress)
    box = clean.images.shape[1]
    write_poses(folder / SEARCHED, poses, stack_name, clean.pixel_size, box)
    write_poses(folder / POSES, refined.poses, stack_name, clean.pixel_size, box)
    if refined.displacement is not None and refined.displacement_error is not None:
        table = np.concatenate([components(refined.displacement), refined.displacement_error], axis=1)
        head = ",".join([*(f"U_{p}_A2" for p in COMPONENTS), *(f"error_{p}_A2" for p in COMPONENTS)])
        with atomic(folder / DISPLACEMENT) as temporary:
            np.savetxt(temporary, table, fmt="%.5f", delimiter=",", header=head, comments="")
    return refined
