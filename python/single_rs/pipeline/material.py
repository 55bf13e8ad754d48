"""Settings that follow from what a particle is made of."""

from __future__ import annotations

from dataclasses import replace

from single_rs.crystal.material import SPOTS_OF, compound_bulk, elements_of
from single_rs.orient import OrientConfig
from single_rs.pipeline.config import Config

__all__ = ["lattice_seed", "with_material"]


def lattice_seed(element: str, config: OrientConfig) -> tuple[str, OrientConfig]:
    """Return symbol and settings of the pose search: of several elements, those of a lattice with the same spots."""
    bulk = compound_bulk(element)
    if bulk is None:
        return element, config
    structure = config.structure or SPOTS_OF.get(bulk.structure, bulk.structure)
    constant = config.lattice_constant or bulk.a
    return elements_of(element)[0], replace(config, structure=structure, lattice_constant=constant)


def with_material(element: str, config: Config) -> Config:
    """Return the settings with the elements of a compound or an alloy to be distinguished, unless others are given."""
    if compound_bulk(element) is None or config.refine.elements:
        return config
    return replace(config, refine=replace(config.refine, elements=elements_of(element)))
