"""States: stretches of one structure, also where others lie between them."""

from __future__ import annotations

from single_rs.refine.change.same import same_structure
from single_rs.refine.change.stretches import Stretch, joined

__all__ = ["group_states"]


def group_states(stretches: list[Stretch], merge: bool = True) -> list[list[Stretch]]:
    """Return the states of the particle of the longest stretch, in order of time: stretches of one structure.

    Neighbours of one structure, which a change of their poses alone had parted, become one stretch. Without `merge`
    each stretch is a state.
    """
    states: list[list[Stretch]] = []
    for stretch in stretches:
        if stretch.placed is None or not stretch.same:
            continue
        for state in states if merge else ():
            longest = max(state, key=len)
            if longest.placed is not None and same_structure(longest.placed.atoms, stretch.placed.atoms):
                if state[-1].last == stretch.first:
                    state[-1] = joined(state[-1], stretch)
                else:
                    state.append(stretch)
                break
        else:
            states.append([stretch])
    return states
