"""Everything that follows from the atoms: lattice, strain, local structure; and the files that hold it.

The stages are called in their order and nothing is computed here but statistics. Atoms are in Å from the box centre
(or in any frame: only the files with a map need the box); strain is a fraction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.distances.summary import (
    known_sigma,
    powder_of,
    powder_summary,
)
from single_rs.analysis.lattice import SMALLEST_DOMAIN, Lattice, fit_lattice
from single_rs.analysis.lattice.expansion import expansion
from single_rs.analysis.model import Particle
from single_rs.analysis.strain import StrainConfig
from single_rs.analysis.strain.methods import compare_strain_methods
from single_rs.analysis.strain.summary import strain_summary
from single_rs.analysis.structure import STRUCTURE_NAMES, analyze_structure
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.base.progress import Progress
from single_rs.crystal.neighbours import check_positions, surface_by_coordination, surface_by_radius
from single_rs.crystal.prototypes import prototype
from single_rs.records import Atoms

__all__ = [
    "analyze",
    "summarise",
]


@single_blas_thread()
def analyze(
    atoms: Atoms | ArrayLike,
    element: str | None = None,
    structure: str | None = None,
    strain: StrainConfig | None = None,
    box: int | None = None,
    pixel_size: float | None = None,
    progress: Progress | None = None,
    density: NDArray[np.float32] | None = None,
    noise: NDArray[np.float32] | None = None,
) -> Particle:
    """Lattice, strain and local structure of one particle.

    Parameters
    ----------
    atoms
        `Atoms`, or positions (n, 3) in Å (then `element` is needed).
    element
        Chemical symbol for the bulk reference. None: that of the atoms, if all are alike.
    structure
        "fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende" or "wurtzite"; None: the one that explains the atoms
        best.
    strain
        Settings of the strain; None: the defaults. With the reference "bulk" where the bulk is not known, the strain
        is left out, with a note.
    box, pixel_size
        Of the map that the atoms were traced in, for files that overlay it.
    progress
        Called as progress(stage, done, total).
    density, noise
        (z, y, x) map that the atoms were traced in, and its noise (half the difference of the half maps), for the
        strain from its phases; None leaves that out.

    Returns
    -------
    Particle
        Lattice and strain are None, with a note, for atoms that hold no lattice.
    """
    if not isinstance(atoms, Atoms):
        if element is None:
            raise InputError("element is not given; positions alone need it, for example element='Pt'")
        atoms = _bare_atoms(check_positions(atoms), element)
    x = check_positions(atoms.positions)
    species = {str(s) for s in atoms.symbols}
    element = element or (species.pop() if len(species) == 1 else None)
    known = known_sigma(atoms)

    def report(done: int) -> None:
        if progress is not None:
            progress("analyze", done, 3)

    settings = StrainConfig() if strain is None else strain
    report(0)
    local = analyze_structure(x)
    model = Particle(atoms, local.coordination, local.structure_type, local.surface, box=box, pixel_size=pixel_size)
    report(1)
    if len(x) < SMALLEST_DOMAIN:
        return replace(model, notes=(f"no lattice, no strain: {len(x)} atoms, {SMALLEST_DOMAIN} are needed",))
    try:
        lattice = fit_lattice(x, structure, known, element, atoms.symbols)
        full = prototype(lattice.structure).coordination
        surface = surface_by_coordination(local.coordination, full) | surface_by_radius(x, lattice.layer_spacing)
        powder, notes = powder_of(atoms, lattice)
        model = replace(model, lattice=lattice, surface=surface, powder=powder, notes=notes)
        report(2)
        if settings.reference == "bulk" and lattice.bulk is None:
            note = f"no strain: the bulk of {element or 'this mixture'} as {lattice.structure} is not known; use 'fit'"
            return replace(model, notes=(*notes, note))
        try:
            compared = compare_strain_methods(x, lattice, settings, known, None, density, pixel_size, noise)
        except InputError as error:
            if density is None:
                raise
            model = replace(model, notes=(*notes, f"no strain from the phases of the map: {error}"))
            compared = compare_strain_methods(x, lattice, settings, known)
        model = replace(model, strain=compared.strains["kernel"], comparison=compared)
    except ConvergenceError as error:
        model = replace(model, notes=(f"no lattice, no strain: {error}",))
    report(3)
    return model


def _bare_atoms(positions: NDArray[np.float64], element: str) -> Atoms:
    unknown = np.full(len(positions), np.nan)
    return Atoms(positions, np.full(len(positions), element), unknown, unknown, unknown, unknown)


def _spread(values: NDArray[np.float64]) -> dict[str, float] | None:
    """Mean and standard deviation of the finite values, None without any."""
    finite = values[np.isfinite(values)]
    return {"mean": float(finite.mean()), "std": float(finite.std())} if len(finite) else None


def _lattice_summary(lattice: Lattice) -> dict[str, Any]:
    p = lattice.parameters
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    return {
        "structure": lattice.structure,
        **{n: getattr(p, n) for n in names},
        **{f"{n}_err": getattr(p, f"{n}_err") for n in names},
        "expansion": expansion(lattice),
        "species": list(lattice.species),
        "fraction_on_sites": lattice.fraction,
        "fraction_off_lattice": lattice.off_lattice,
        "domains": [{"atoms": d.atoms, "relation": d.relation} for d in lattice.domains],
    }


def summarise(model: Particle) -> dict[str, Any]:
    """Return the numbers for summary.json: atoms, bonds, structure types, lattice, strain (Å, degrees, fractions).

    Parameters
    ----------
    model
        Result of `analyze`.
    """
    local = analyze_structure(model.atoms.positions)
    counts = np.bincount(model.structure_type, minlength=len(STRUCTURE_NAMES))
    return {
        "atoms": len(model.atoms.positions),
        "surface_atoms": int(model.surface.sum()),
        "nearest_neighbour": {"peak": local.nearest_neighbour, **(_spread(local.bond_mean) or {})},
        "mean_coordination": float(model.coordination.mean()),
        "structure_types": {name: int(n) for name, n in zip(STRUCTURE_NAMES, counts, strict=True)},
        "lattice": None if model.lattice is None else _lattice_summary(model.lattice),
        "powder": None if model.powder is None else powder_summary(model.powder),
        "strain": None
        if model.strain is None
        else strain_summary(model.atoms.positions, model.strain, model.comparison),
        "notes": list(model.notes),
        "hand": "undetermined",
    }
