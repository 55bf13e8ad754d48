"""Settings of the orientation search."""

from __future__ import annotations

from dataclasses import dataclass

from single_rs.base.settings import Settings, setting

__all__ = ["OrientConfig"]


@dataclass(frozen=True)
class OrientConfig(Settings):
    """Settings of `find_poses`."""

    engine: str = setting(
        "lattice",
        "lattice: begin with the spots and sites of a lattice; lattice-free: with the intensity and the map that the "
        "frames make up themselves; climb: stochastic hill climb in alternation with reconstruction, as published",
        choices=("lattice", "lattice-free", "climb"),
    )
    fallback_engine: str = setting(
        "doubtful",
        "when to solve again with the other engine (lattice-free after lattice, lattice after lattice-free), report "
        "how far the two agree, and keep the one that explains the frames better: never; doubtful: when the first "
        "leaves frames that jump between equivalent poses, as twins do; always. A climb has no fallback",
        choices=("never", "doubtful", "always"),
    )
    structure: str | None = setting(
        None, "lattice type of the seed; that of the element when not given", choices=("fcc", "bcc", "hcp", "diamond")
    )
    lattice_constant: float | None = setting(
        None, "centre of the scan for the lattice constant; that of the bulk when not given", "Å", gt=1.0, le=20.0
    )
    lattice_scan: float = setting(0.06, "lattice constants tried to each side, as a fraction", gt=0.0, le=0.2)
    direction_step: float = setting(3.0, "distance of the view directions of the index", "deg", ge=1.0, le=10.0)
    candidates: int = setting(48, "orientation candidates kept for each frame", ge=4, le=512)
    low_resolution: float = setting(6.0, "longest period used", "Å", gt=2.0)
    search_resolution: float = setting(1.0, "shortest period used while poses are searched", "Å", gt=0.3, le=3.0)
    shift_window: float = setting(
        1.25,
        "shifts searched to each side of the measured centre; doubled where frames are found at its rim",
        "Å",
        gt=0.0,
        le=10.0,
    )
    block: int = setting(150, "frames of a time block; blocks go to the two halves alternately", "frames", ge=20)
    guard: int = setting(2, "frames on each side of a block that enter no half map", "frames", ge=0, le=50)
    map_rounds: int = setting(14, "rounds of comparing with atoms of held-out maps, at most", ge=1, le=50)
    climb_start: str = setting(
        "crystal",
        "first map of a climb: crystal: an ideal crystal of the measured diameter and lattice; lattice-free: that of "
        "the lattice-free engine",
        choices=("crystal", "lattice-free"),
    )
    climb_rounds: int = setting(50, "rounds of climbing, each followed by a reconstruction", ge=5, le=1000)
    climb_batch: int = setting(80, "rotations offered to each frame in a round of the climb", ge=8, le=5000)
