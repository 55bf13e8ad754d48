"""Check that a perfect crystal comes back as one.

The atoms are put on the sites of a perfect bulk lattice in the same orientation (the same shape, without any strain),
predicted in every frame with the measured transfer, and given noise of the measured spectrum. Reconstructed and traced
as the data were, its interatomic distances must be those of bulk everywhere: what deviates is made by the method, not
by the particle. The distances d of the bonds b are tested for their mean in the core and at the surface, and for a
slope against the radius r of the bond's middle,

    d(r) = d₀ + s r,    s = Σ_b c_b d_b,    var s = σ² Σ_a |Σ_{b∋a} ± c_b e_b|²,

e_b the bond's direction and σ the error per axis of the traced atoms: an atom's error enters all its bonds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from single_rs.alignment import PM_PER_ANGSTROM
from single_rs.analysis.lattice import fit_lattice
from single_rs.base.errors import ConvergenceError, NoParticleError
from single_rs.crystal.prototypes import polar, prototype
from single_rs.frames.spectrum import rfft_shells
from single_rs.pipeline import stages
from single_rs.reconstruction.fourier import reconstruct
from single_rs.records.check import Check, Criterion
from single_rs.simulate.compounds import material_ball
from single_rs.simulate.crystals import Crystal
from single_rs.simulate.streams import Stage, stream
from single_rs.validate.case import Case
from single_rs.validate.matching import Match, match_in_place
from single_rs.validate.reproject import Reprojector

__all__ = ["check_perfect", "perfect_crystal", "predicted_frames"]

BOND_SLACK = 1.2  # bonds reach to 1.2 nearest-neighbour distances
MEAN_OFF = 0.003  # of the bulk distance
SLOPE = 0.003  # of the bulk distance, from the centre to the surface
RECALL = 0.98
MAIN_DOMAIN = 0.8  # share of the atoms on one lattice from which it stands for the particle


def check_perfect(case: Case) -> Check:
    """Put a perfect crystal through poses, noise, reconstruction and tracing.

    Parameters
    ----------
    case
        The particle.

    Returns
    -------
    Check
        Data: radius (Å), distance (Å), surface (bool) of each bond; bulk distance.
    """
    total = len(case.used) + 2
    case.tell("perfect", 0, total)
    crystal, nearest = perfect_crystal(case)
    images, ideal = predicted_frames(case, crystal, total), crystal.positions
    density = reconstruct(replace(case.clean, images=images), case.poses, case.config.reconstruct)
    case.tell("perfect", total - 1, total)
    shared = Criterion("atoms found again, share", 0.0, RECALL, True, "", "a perfect crystal has no weak atoms")
    try:
        found = stages.trace(density, case.element, case.clean.diameter, case.config.trace).positions
    except NoParticleError as error:
        return Check("perfect", (shared,), f"the perfect crystal was not found again: {error}")
    case.tell("perfect", total, total)
    match = match_in_place(ideal, found)
    shared = replace(shared, value=match.shared)
    bonds = _bonds(ideal, found, match, nearest)
    if bonds is None:
        return Check("perfect", (shared,), "too few atoms of the perfect crystal were found again")
    core, core_err = bonds["core"]
    surface, surface_err = bonds["surface"]
    slope, slope_err = bonds["slope"]
    reach = float(np.linalg.norm(ideal - ideal.mean(axis=0), axis=1).max())
    return Check(
        "perfect",
        (shared, *_off_bulk(bonds, nearest, reach)),
        f"a perfect crystal of {len(ideal)} atoms comes back with {match.rmsd():.1f} pm; distances off bulk by "
        f"{100 * (core / nearest - 1):+.2f} ± {100 * core_err / nearest:.2f} % in the core and "
        f"{100 * (surface / nearest - 1):+.2f} ± {100 * surface_err / nearest:.2f} % at the surface",
        numbers={
            "atoms": float(len(ideal)),
            "found": float(len(found)),
            "rmsd_pm": match.rmsd(),
            "bulk_distance_A": nearest,
            "core_distance_A": core,
            "core_error_A": core_err,
            "surface_distance_A": surface,
            "surface_error_A": surface_err,
            "slope_A_per_A": slope,
            "slope_error_A_per_A": slope_err,
            "scatter_pm": float(np.std(bonds["distance"])) * PM_PER_ANGSTROM,
            "resolution_A": density.resolution,
        },
        data={name: bonds[name] for name in ("radius", "distance", "surface_bond")} | {"bulk": nearest},
    )


def _off_bulk(bonds: dict[str, Any], nearest: float, reach: float) -> tuple[Criterion, ...]:
    """Judge distances of `_bonds` against bulk, `nearest` Å, in a crystal that reaches `reach` Å from its centre."""
    slope, slope_err = bonds["slope"]
    why = "a tenth of the strains of 3 % that such particles have; or 3 standard errors, if that is more"

    def off(name: str, distance: float, error: float) -> Criterion:
        limit = 100 * max(MEAN_OFF, 3 * error / nearest)
        return Criterion(f"{name} distance off bulk", 100 * abs(distance / nearest - 1), limit, False, "%", why)

    return (
        Criterion(
            "change of the distance from centre to surface",
            100 * abs(slope) * reach / nearest,
            100 * max(SLOPE, 3 * slope_err * reach / nearest),
            False,
            "%",
            why,
        ),
        off("core", *bonds["core"]),
        off("surface", *bonds["surface"]),
    )


def perfect_crystal(case: Case) -> tuple[Crystal, float]:
    """Atoms of the model on the sites of a perfect lattice, and its nearest-neighbour distance in Å.

    The lattice is that of bulk in the orientation of the particle, or the model's own, made ideal, where bulk is not
    known. Atoms off the main domain are left out; of particles with little of one (twins, clusters) a ball of the same
    diameter, cut from bulk, takes the place.
    """
    x = np.asarray(case.atoms.positions)
    try:
        lattice = fit_lattice(x, element=case.element)
    except ConvergenceError:
        lattice = None
    if lattice is not None and lattice.fraction > MAIN_DOMAIN:
        kind = prototype(lattice.structure).cell
        scale = float(np.cbrt(np.linalg.det(lattice.cell) / np.linalg.det(kind)))
        cell = kind * scale if lattice.bulk is None else lattice.bulk.cell()
        turned = cell @ polar(lattice.cell.T @ np.linalg.inv(cell.T))[0].T
        on = lattice.on_site & (lattice.domain == 0)
        sites = lattice.sites[on] @ turned
        ideal = Crystal(sites - sites.mean(axis=0) + x[on].mean(axis=0), np.asarray(case.atoms.symbols)[on])
    else:
        made = material_ball(case.element, case.clean.diameter, perfect=True)
        ideal = Crystal(made.positions + x.mean(axis=0), made.symbols)
    return ideal, float(np.median(cKDTree(ideal.positions).query(ideal.positions, k=2)[0][:, 1]))


def predicted_frames(case: Case, ideal: Crystal, total: int) -> NDArray[np.float32]:
    """Contrast (n, y, x) of the perfect crystal in all frames, with noise of the measured spectrum."""
    clean, used = case.clean, case.used
    rotations = case.poses.rotations
    frames = case.frames
    model = Reprojector(frames, case.mask, case.atoms.positions, case.atoms.symbols)
    model.fit(np.arange(len(used)), rotations[used], case.poses.weight[used])
    alike = Reprojector(frames, case.mask, ideal.positions, ideal.symbols)
    alike.transfer = model.transfer
    box, size = clean.images.shape[-1], frames.size
    out = np.zeros_like(clean.images)
    start = box // 2 - size // 2
    square = slice(start, start + size)
    spread = np.sqrt(np.interp(rfft_shells(box), np.arange(len(clean.noise)), clean.noise)).astype(np.float32)
    k = 2j * np.pi * np.stack(np.meshgrid(fft.rfftfreq(box), fft.fftfreq(box)))
    for done, i in enumerate(used):
        whole = np.zeros((box, box), np.float32)
        whole[square, square] = alike.images(rotations[i][None])[0]
        move = case.poses.shifts[i] / case.pixel_size
        phase = np.exp(-(k[0] * move[0] + k[1] * move[1])).astype(np.complex64)
        random = stream(case.seed, Stage.COUNTS, int(i)).standard_normal((box, box), np.float32)
        noise = fft.rfft2(random) * (spread * np.sqrt(clean.frame_noise[i]))
        out[i] = fft.irfft2(fft.rfft2(whole) * phase + noise, s=(box, box))
        if done % 64 == 0:
            case.tell("perfect", done, total)
    return out


def _bonds(
    ideal: NDArray[np.float64], found: NDArray[np.float64], match: Match, nearest: float
) -> dict[str, Any] | None:
    """Distances of the crystal's bonds as found, their means and slope with errors."""
    at = np.full(len(ideal), -1)
    at[match.first] = match.second
    pairs = cKDTree(ideal).query_pairs(BOND_SLACK * nearest, output_type="ndarray")
    neighbours = np.bincount(pairs.ravel(), minlength=len(ideal))
    full = neighbours.max()
    pairs = pairs[(at[pairs] >= 0).all(axis=1)]
    if len(pairs) < 10:
        return None
    i, j = pairs.T
    vector = found[at[j]] - found[at[i]]
    distance = np.linalg.norm(vector, axis=1)
    unit = vector / distance[:, None]
    middle = 0.5 * (ideal[i] + ideal[j]) - ideal.mean(axis=0)
    radius = np.linalg.norm(middle, axis=1)
    outside = (neighbours[i] < full) | (neighbours[j] < full)
    sigma = match.rmsd() / PM_PER_ANGSTROM / np.sqrt(3)

    def value(c: NDArray[np.float64]) -> tuple[float, float]:
        pull = np.zeros_like(ideal)
        np.add.at(pull, j, c[:, None] * unit)
        np.add.at(pull, i, -c[:, None] * unit)
        return float(c @ distance), float(sigma * np.sqrt((pull**2).sum()))

    def mean(select: NDArray[np.bool_]) -> tuple[float, float]:
        return value(select / max(select.sum(), 1)) if select.any() else (nearest, 0.0)

    centred = radius - radius.mean()
    return {
        "core": mean(~outside),
        "surface": mean(outside),
        "slope": value(centred / max((centred**2).sum(), 1e-30)),
        "radius": radius,
        "distance": distance,
        "surface_bond": outside,
    }
