"""Orientation: the pose of the particle in every frame, from the frames alone.

Rotation R: x_lab = R · x_particle, the beam along lab z. The default engine indexes the lattice's spots in single
frames, pools neighbouring frames by a hidden Markov model, breaks the lattice's symmetry with held-out models and
polishes (`engine`). ``engine = "lattice-free"`` does the same from the intensity that the frames' power spectra make up
themselves, and from the lattice that this shows or from a map: it is given no lattice (`intensity`, `patterson`,
`first_map`), and is tried automatically where the lattice engine leaves the poses ambiguous (`agreement`).
``engine = "climb"`` is the published method, a stochastic hill climb in alternation with reconstruction (`climb`;
Reboul et al., Science Advances 7, eabe6679 (2021), doi:10.1126/sciadv.abe6679). All solve the two half sets apart from
the first step on.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import ConvergenceError
from single_rs.base.memory_limit import require_memory, stack_memory
from single_rs.base.progress import Progress, in_notebooks
from single_rs.base.steps import current_steps
from single_rs.orient.agreement import better_of, has_pose_ambiguity
from single_rs.orient.config import OrientConfig
from single_rs.orient.halves.engine import solve_from_candidates
from single_rs.orient.indexing.intensity import PROMISING
from single_rs.records import CleanStack, Poses
from single_rs.records.invariants import need_record

__all__ = ["OrientConfig", "find_poses"]

log = logging.getLogger(__name__)


@in_notebooks
@single_blas_thread()
def find_poses(
    clean: CleanStack,
    element: str,
    config: OrientConfig | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Poses:
    """Find the pose of the particle in every frame.

    Parameters
    ----------
    clean
        Cleaned single frames, see `single_rs.background.clean_stack`.
    element
        Chemical symbol; its bulk lattice is where the lattice engine starts.
    config
        Settings.
    progress
        Called as progress("orient", done, total).
    seed
        Seed of what the climb draws; the other engines draw no random numbers.

    Returns
    -------
    Poses
        One per frame, in the order of the stack; both halves in one frame, hand undetermined.

    Raises
    ------
    InputError
        Too few frames, an element without a known lattice, or more memory than `memory_limit` allows.
    """
    need_record(clean, CleanStack, "clean_stack(stack) makes one")
    config = config or OrientConfig()
    n, box = clean.images.shape[:2]
    require_memory(f"a stack of {n:,} frames of {box} px", stack_memory(n, box))
    if config.engine == "climb":
        return solve_from_candidates(clean, element, config, progress, seed=seed)
    found = partial(solve_from_candidates, clean, element, config, progress)
    poses = current_steps().kept(f"{config.engine} engine", Poses, found)
    if config.fallback_engine == "never" or (config.fallback_engine == "doubtful" and not has_pose_ambiguity(poses)):
        return poses
    other = replace(config, engine="lattice-free" if config.engine == "lattice" else "lattice")
    log.info(
        "%.0f %% of the steps are jumps; fallback engine: %s", 100 * (poses.diagnostics.jump_share or 0), other.engine
    )
    # On request the other engine is always run to its end; else only where its start shows order.
    least = PROMISING if config.fallback_engine == "doubtful" else -1.0
    try:
        return better_of(poses, solve_from_candidates(clean, element, other, progress, least))
    except ConvergenceError as error:
        log.info("the %s engine found nothing: %s", other.engine, error)
        return poses
