"""All that the positions say of a particle's structure and defects, in one call.

The stages follow one another: templates and orientations, grains, bending, stacking, faults, dislocations, vacancies,
shape. Nothing is computed here. Directions are in the crystal axes of a grain where the field says so, else in the
frame of the positions; lengths in Å, angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.analysis.structure.bending import Bend, measure_bend
from single_rs.analysis.structure.bond_order import BondOrder, bond_order
from single_rs.analysis.structure.dislocations import Dislocation, find_dislocations
from single_rs.analysis.structure.faults import PlanarFault, find_faults
from single_rs.analysis.structure.grains import Grains, find_grains
from single_rs.analysis.structure.local import LocalStructure, analyze_structure
from single_rs.analysis.structure.matching import TemplateMatch, adopt_orientations, match_templates
from single_rs.analysis.structure.shape import Shape, describe_shape, surface_sites
from single_rs.analysis.structure.stacking import Stacking, stacking_sequences
from single_rs.analysis.structure.vacancies import Vacancy, find_vacancies
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import InputError
from single_rs.crystal.neighbours import check_positions, generalised_coordination

__all__ = ["StructureSurvey", "survey_structure"]

# A full shell within the first minimum of the pair distances, by the structure of the largest grain.
_FULL_SHELL = {"fcc": 12, "hcp": 12, "bcc": 14}


@dataclass(frozen=True)
class StructureSurvey:
    """Structure and defects of the n atoms of one particle.

    Attributes
    ----------
    local
        Coordination, common neighbours and bond lengths.
    order
        Bond-orientational order of each atom.
    generalised
        (n,) generalised coordination.
    match
        Template, rmsd and orientation of each atom.
    grains
        Grains and their misorientations.
    bend
        Bending and the two domains of the largest grain; None when it is too small.
    stacking
        Along the four ⟨111⟩ of the largest grain; empty when that is not fcc.
    faults
        Twin boundaries and stacking faults.
    dislocations
        With Burgers vector, line and glide plane.
    vacancies
        Empty sites inside the hull.
    sites
        (n,) int, kind of surface site, index into `SITES`; −1 for a particle that is neither fcc nor hcp.
    shape
        Radii, facets and sizes; None for atoms in a plane.
    sublattice
        (n,) bool, atoms of the close-packed sublattice that all but `local` and `order` are found on; the others have
        what the nearest of these has. None for elements that are close packings themselves, and bcc.
    """

    local: LocalStructure
    order: BondOrder
    generalised: NDArray[np.float64]
    match: TemplateMatch
    grains: Grains
    bend: Bend | None
    stacking: tuple[Stacking, ...]
    faults: tuple[PlanarFault, ...]
    dislocations: tuple[Dislocation, ...]
    vacancies: tuple[Vacancy, ...]
    sites: NDArray[np.int64]
    shape: Shape | None
    sublattice: NDArray[np.bool_] | None = None


@single_blas_thread()
def survey_structure(positions: ArrayLike, sublattice: NDArray[np.bool_] | None = None) -> StructureSurvey:
    """Find grains, faults, dislocations, vacancies, surface sites and shape of a particle.

    Parameters
    ----------
    positions
        (n, 3) Å, any frame.
    sublattice
        (n,) bool, atoms of one close-packed sublattice of diamond, zincblende, wurtzite or rocksalt
        (`single_rs.analysis.sublattice`); None takes all.

    Raises
    ------
    InputError
        For positions that are not finite or not (n, 3).

    Examples
    --------
    >>> from single_rs.simulate.dislocations import dislocated_nanocrystal
    >>> found = survey_structure(dislocated_nanocrystal("shockley", diameter=24).positions)
    >>> found.dislocations[0].kind, found.faults[0].kind
    ('Shockley partial', 'intrinsic stacking fault')
    """
    x = check_positions(positions)
    if sublattice is not None:
        return _spread(survey_structure(x[sublattice]), x, sublattice)
    local = analyze_structure(x)
    match = adopt_orientations(x, match_templates(x))
    grains = find_grains(x, match)
    main = grains.grains[0] if grains.grains else None
    stacking: tuple[Stacking, ...] = ()
    if main is not None and main.structure == "fcc":
        stacking = stacking_sequences(x, main.orientation, match.bond, grains.label == 0)
    try:
        shape = describe_shape(x, match.bond, grains)
    except InputError:
        shape = None
    close_packed = main is None or main.structure != "bcc"
    return StructureSurvey(
        local=local,
        order=bond_order(x, local.cutoff),
        generalised=generalised_coordination(x, local.cutoff, _FULL_SHELL["fcc" if main is None else main.structure]),
        match=match,
        grains=grains,
        bend=measure_bend(x, match, grains),
        stacking=stacking,
        faults=find_faults(x, match, grains) if close_packed else (),
        dislocations=find_dislocations(x, match, grains),
        vacancies=find_vacancies(x, match),
        sites=surface_sites(x, local.cutoff) if close_packed else np.full(len(x), -1),
        shape=shape,
    )


def _spread(found: StructureSurvey, x: NDArray[np.float64], sublattice: NDArray[np.bool_]) -> StructureSurvey:
    """Give all atoms what the nearest atom of the sublattice has; bonds, neighbours and order are those of all."""
    members = np.flatnonzero(sublattice)
    source = cKDTree(x[members]).query(x)[1]
    local = analyze_structure(x)
    match = replace(
        found.match,
        **{
            name: getattr(found.match, name)[source]
            for name, value in vars(found.match).items()
            if isinstance(value, np.ndarray) and value.shape[:1] == (len(members),)
        },
    )
    return replace(
        found,
        local=local,
        order=bond_order(x, local.cutoff),
        generalised=found.generalised[source],
        match=match,
        grains=replace(found.grains, label=found.grains.label[source]),
        bend=None if found.bend is None else replace(found.bend, second=found.bend.second[source]),
        stacking=tuple(replace(s, layer=s.layer[source]) for s in found.stacking),
        faults=tuple(replace(f, atoms=members[f.atoms]) for f in found.faults),
        sites=found.sites[source],
        sublattice=sublattice,
    )
