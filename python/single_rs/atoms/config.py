"""Settings of the tracing of atoms."""

from __future__ import annotations

from dataclasses import dataclass

from single_rs.base.settings import Settings, setting

__all__ = ["TraceConfig"]


@dataclass(frozen=True)
class TraceConfig(Settings):
    """Settings of `trace_atoms`; the defaults suit maps of metals at 0.6 to 1.1 Å resolution."""

    neighbour_distance: float | None = setting(
        None, "nearest-neighbour distance; None takes the bulk value of the element", "Å", gt=0.5, le=8.0
    )
    min_distance: float = setting(
        0.7, "two atoms are never closer than this share of the neighbour distance", ge=0.3, le=1.0
    )
    reach: float = setting(1.25, "neighbours are atoms within this share of the neighbour distance", ge=1.0, le=1.6)
    min_neighbours: int | None = setting(
        None, "an atom has at least this many neighbours; None takes a quarter of those inside", ge=0, le=12
    )
    min_height: float = setting(
        0.3, "lowest height of an atom, as a share of the typical height around it", gt=0.0, le=1.0
    )
    min_probability: float = setting(0.5, "atoms less probable than this are left out", ge=0.0, le=1.0)
    min_atoms: int = setting(13, "fewer atoms than this (one atom and its shell) are not a particle", ge=1)
    min_bond_order: float = setting(
        0.72, "share of the neighbour distances that have one common length, of a solid; a metallic glass has 0.65",
        ge=0.0, le=1.0,
    )  # fmt: skip
    sweeps: int = setting(3, "sweeps of removing the neighbours and fitting each atom", ge=1, le=50)
    rounds: int = setting(
        5, "rounds of searching the residual map for missed atoms and removing false ones", ge=1, le=20
    )
