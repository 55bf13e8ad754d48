"""Settings that follow from what a particle is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from single_rs.base.errors import InputError
from single_rs.crystal.material import SPOTS_OF, compound_bulk, elements_of
from single_rs.crystal.prototypes import Bulk, bulk_reference
from single_rs.orient import OrientConfig
from single_rs.pipeline.config import Config

__all__ = ["check_resolved", "lattice_seed", "with_material"]


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


def check_resolved(element: str, pixel_size: float, config: OrientConfig) -> None:
    """Raise `InputError` where pixels (Å) are too large for the widest planes of the bulk; a given lattice wins."""
    bulk = compound_bulk(element) or bulk_reference(elements_of(element)[0])
    if bulk is None or config.lattice_constant is not None or config.structure is not None:
        return
    widest = _widest_planes(bulk)
    if pixel_size >= widest / 2:
        raise InputError(
            f"at {pixel_size:.4g} Å per pixel no frame shows the lattice of {element}, whose widest planes are "
            f"{widest:.2f} Å apart; less than {widest / 2:.2f} Å per pixel is needed"
        )


def _widest_planes(bulk: Bulk) -> float:
    """Return the spacing (Å) of the planes of lowest order that reflect."""
    kind = SPOTS_OF.get(bulk.structure, bulk.structure)
    if kind == "hcp":
        return float(max(bulk.a * np.sqrt(3) / 2, bulk.c / 2))
    return float(bulk.a / np.sqrt(2 if kind == "bcc" else 3))
