"""Everything that follows from the atoms: lattice, strain, local structure; and the files that hold it.

The stages are called in their order and nothing is computed here but statistics. Atoms are in Å from the box centre
(or in any frame: only the files with a map need the box); strain is a fraction.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from single_rs.analysis.chemical_order import ChemicalOrder, chemical_order
from single_rs.analysis.distances.summary import known_sigma, powder_of
from single_rs.analysis.lattice import SMALLEST_DOMAIN, fit_lattice
from single_rs.analysis.model import Particle, chosen_atoms
from single_rs.analysis.selection import select_particle
from single_rs.analysis.strain import StrainConfig, lattice_surface
from single_rs.analysis.strain.methods import compare_strain_methods
from single_rs.analysis.structure import analyze_structure
from single_rs.analysis.structure.bond_order import bond_order
from single_rs.base.blas import single_blas_thread
from single_rs.base.errors import ConvergenceError, InputError
from single_rs.base.progress import Progress, in_notebooks
from single_rs.crystal.neighbours import check_positions, doubtful_sigma, surface_atoms
from single_rs.records import Atoms

__all__ = ["analyze", "describe_particle"]

# With more of the atoms on the lattice the line says nothing of the others: adatoms and a rough surface.
_NEARLY_ALL = 0.95


@in_notebooks
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
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Particle:
    """Lattice, strain and local structure of one particle.

    Parameters
    ----------
    atoms
        `Atoms`, or positions (n, 3) in Å (then `element` is needed).
    element
        Chemical symbol for the bulk reference. None: that of the atoms, if all are alike.
    structure
        "fcc", "bcc", "hcp", "diamond", "rocksalt", "zincblende", "wurtzite" or "fluorite"; None: the one that explains
        the atoms best.
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
    origin
        (x, y, z) Å of voxel 0 of the map in files, for files that overlay it.

    Returns
    -------
    Particle
        Lattice and strain are None, with a note, for atoms that hold no lattice.
    """
    if not isinstance(atoms, Atoms):
        if element is None:
            raise InputError("element is not given; positions alone need it, for example element='Pt'")
        atoms = _bare_atoms(check_positions(atoms), element)
    selection = select_particle(check_positions(atoms.positions), atoms.symbols)
    others = None if selection.particle.all() else chosen_atoms(atoms, ~selection.particle)
    ligand = selection.ligand[~selection.particle]
    atoms = atoms if others is None else chosen_atoms(atoms, selection.particle)
    x = check_positions(atoms.positions)
    species = {str(s) for s in atoms.symbols}
    element = element or (species.pop() if len(species) == 1 else None)
    # What the atoms share is in none of the scatter about a lattice or a plane, and comes on top.
    stated = atoms.own_sigma()
    known = known_sigma(replace(atoms, sigma=stated))
    modes = None if known is None else atoms.modes
    doubt = doubtful_sigma(x, stated) if known is None and len(x) > 1 and np.isfinite(stated).all() else None

    def report(done: int) -> None:
        if progress is not None:
            progress("analyze", done, 3)

    settings = StrainConfig() if strain is None else strain
    report(0)
    local = analyze_structure(x)
    model = Particle(
        atoms,
        local.coordination,
        local.structure_type,
        surface_atoms(x, settings.surface),
        box=box,
        pixel_size=pixel_size,
        origin=origin,
        notes=selection.notes if doubt is None else (*selection.notes, doubt),
        order=bond_order(x, local.cutoff),
        others=others,
        ligand=ligand,
    )
    report(1)
    if len(x) < SMALLEST_DOMAIN:
        note = f"no lattice, no strain: {len(x)} atoms, {SMALLEST_DOMAIN} are needed"
        return replace(model, notes=(*model.notes, note))
    try:
        lattice = fit_lattice(x, structure, known, element, atoms.symbols, modes)
        powder, notes = powder_of(atoms, lattice)
        surface = lattice_surface(x, lattice, settings.surface)
        model = replace(model, chemistry=chemical_order(atoms, lattice))
        model = replace(
            model,
            lattice=lattice,
            surface=surface,
            powder=powder,
            notes=(*model.notes, *notes),
        )
        report(2)
        if settings.reference == "bulk" and lattice.bulk is None:
            note = f"no strain: the bulk of {element or 'this mixture'} as {lattice.structure} is not known; use 'fit'"
            return replace(model, notes=(*model.notes, note))
        try:
            compared = compare_strain_methods(x, lattice, settings, known, None, density, pixel_size, noise, modes)
        except InputError as error:
            if density is None:
                raise
            model = replace(model, notes=(*model.notes, f"no strain from the phases of the map: {error}"))
            compared = compare_strain_methods(x, lattice, settings, known, modes=modes)
        model = replace(model, strain=compared.strains["kernel"], comparison=compared)
    except ConvergenceError as error:
        chemistry = chemical_order(atoms, None)
        model = replace(model, chemistry=chemistry, notes=(*model.notes, f"no strain: {error}"))
    report(3)
    return model


def describe_particle(model: Particle) -> str:
    """Return one line: atoms, lattice and its share of them, or the order where there is no lattice; then the notes."""
    text = f"{len(model.atoms.positions)} atoms"
    lattice = model.lattice
    if lattice is not None:
        p, held = lattice.parameters, 1 - lattice.off_lattice
        text += f", {lattice.form} of {lattice.structure}" if lattice.form else f", {lattice.structure}"
        text += f", a b c {p.a:.3f} {p.b:.3f} {p.c:.3f} Å (± {p.a_err:.3f})"
        text += f", α β γ {p.alpha:.2f} {p.beta:.2f} {p.gamma:.2f}°"
        if len(lattice.domains) > 1:
            text += f"; {100 * lattice.fraction:.0f} % of the atoms in this domain, {100 * held:.0f} % in all"
            text += f" {len(lattice.domains)} domains"
        elif held < _NEARLY_ALL:
            text += f"; {100 * held:.0f} % of the atoms in crystal"
    elif model.order is not None:
        o = model.order
        text += ", no crystal" if any("no crystal" in note for note in model.notes) else ", no lattice"
        text += f"; bond order Q4 {np.nanmean(o.q4_mean):.2f}, Q6 {np.nanmean(o.q6_mean):.2f} averaged over shells, "
        text += f"{100 * np.nanmean(o.coherence):.0f} % coherent bonds, disorder {np.nanmean(o.disorder):.2f}"
    return "; ".join([text, *_chemistry_line(model.chemistry), *model.notes])


def _chemistry_line(order: ChemicalOrder | None) -> list[str]:
    """Composition, and long- or short-range order of the first two elements, with errors."""
    if order is None:
        return []
    parts = [" ".join(f"{e} {100 * v:.0f} %" for e, v in zip(order.elements, order.share, strict=True))]
    if order.long_range is not None and order.long_range.kind != "disordered":
        long = order.long_range
        parts.append(f"{long.kind} order S {long.s:.2f} ± {long.s_err:.2f}")
        if np.isfinite(long.c_over_a):
            parts.append(f"c/a {long.c_over_a:.4f} ± {long.c_over_a_err:.4f} along {long.axis}")
    elif order.short_range:
        first = order.short_range[0]
        spread = float(np.hypot(first.error[0, 1], first.random[0, 1]))
        parts.append(f"Warren-Cowley α₁ {first.alpha[0, 1]:.2f} ± {spread:.2f}")
    return [", ".join(parts)]


def _bare_atoms(positions: NDArray[np.float64], element: str) -> Atoms:
    unknown = np.full(len(positions), np.nan)
    return Atoms(positions, np.full(len(positions), element), unknown, unknown, unknown, unknown)
