"""Strain of each atom: displacement from the lattice, smoothed over neighbours, differentiated; six components.

Definitions, with X the lattice site and x the atom, F = I + ∂u/∂X the deformation gradient:

    u = x − X,      F = R U  (polar),      strain = U − I,      ∂u_r/∂r = r̂ · strain · r̂

U − I equals the symmetric part of ∂u/∂X to first order, and a rotation does not add to it. Components are in the order
xx, yy, zz, xy, xz, yz, tensor shear (half the engineering shear).

Derivative. Convolving u with a Gaussian K of standard deviation w and differentiating gives, in a continuum, ∂(K∗u) =
∫ K s u / w²: exactly the slope of the weighted least-squares plane through u(s), since ∫ K s sᵀ = w² I. We compute that
slope from the atoms themselves,

    minimise Σ_j K(X_j − X_i) |u_j − u_i⁰ − G_i (X_j − X_i)|²,

so the moments are those of the neighbours that exist. At the rim, where half of the kernel is empty, a plain
convolution mixes u with the shape of the particle; the local plane does not, and a uniform strain comes back exactly.
Where strain changes along the normal of the rim, the plane gives its value about w inside the atom; `order` 2 adds the
six quadratic terms, which makes a linear change of strain exact too, at 2.2 times the noise on surface atoms and 1.1
times in the core. G is linear in u, so the errors of the positions propagate to it exactly. Positions good to 2 pm give
normal strains of Pt good to 0.16% in the core and 0.27% on the surface (w = 2 Å, order 1; measured on 600 atoms).

The reference sets the sign of the conclusions, and is stated in every result. The best fit weighs atoms by their
distance from the centre, so the mean strain against it is not zero where strain grows outwards: u_r = β r³ on a ball of
radius R leaves a mean dilation of 0.29 β R² per axis.

References: Gaussian smoothing of the displacement field at 2 Å: B. H. Kim et al., Science 368, 60 (2020),
doi:10.1126/science.aax3233; local linear regression: J. Fan, Ann. Statist. 21, 196 (1993), doi:10.1214/aos/1176349022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from single_rs.crystal import crystal_axes, polar, prototype
from single_rs.errors import InputError
from single_rs.lattice import Lattice
from single_rs.settings import Settings, setting
from single_rs.structure import check_positions, coordination, surface_by_coordination, surface_by_radius

__all__ = ["COMPONENTS", "Strain", "StrainConfig", "compute_strain", "reference_cells", "strain_maps"]

COMPONENTS = ("xx", "yy", "zz", "xy", "xz", "yz")
_ROWS, _COLUMNS = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
# Kernel radius in standard deviations: beyond 3.5 the weight is below 0.3%.
_REACH = 3.5
# Least share of the kernel-weighted second moment in the flattest direction: less, and the neighbours lie in a plane
# and do not determine the slope across it. A flat free surface has 0.36 of the bulk value across it.
_FLATTEST = 0.05
# One and a half times the terms of the local model.
_LEAST_NEIGHBOURS = {1: 6, 2: 15}
# In kernel widths the moments are of order 1; beyond this a combination of terms is not seen by the atoms.
_WORST_CONDITION = 1e4
# Centres worked on together: 1,000 with 100 neighbours and 10 terms take 8 MB.
_CHUNK = 1000


@dataclass(frozen=True)
class StrainConfig(Settings):
    """Settings of the strain."""

    reference: str = setting(
        "fit",
        "Lattice that displacements are measured from: the best fit, or the bulk crystal turned onto it.",
        choices=("fit", "bulk"),
    )
    kernel_width: float = setting(2.0, "Standard deviation of the Gaussian that smooths displacements.", "Å", gt=0.3)
    order: int = setting(
        1,
        "Local model of the displacements: 1 plane, least noise; 2 with curvature, no bias at the rim, noisier there.",
        choices=(1, 2),
    )
    frame: str = setting(
        "crystal",
        "Axes of the components: those of the main domain's cell, or those of the input positions.",
        choices=("crystal", "lab"),
    )


@dataclass(frozen=True)
class Strain:
    """Strain of the n atoms of one particle.

    Attributes
    ----------
    displacement
        (n, 3) Å, atom minus its reference site, in the frame of the input positions; NaN off the lattice.
    tensor
        (n, 6) fraction, order xx, yy, zz, xy, xz, yz, tensor shear, in `frame`; NaN where the neighbours on the lattice
        do not determine it.
    error
        (n, 6) fraction, standard errors from those of the positions.
    radial
        (n,) fraction, du_r/dr along the line from the centre of mass. Within half a bond of the centre, where that
        line has no direction, the mean of all directions.
    radial_error
        (n,) fraction.
    rotation
        (n, 3) radians, local lattice rotation vector against the domain's axes, in the frame of the input positions.
    surface
        (n,) bool: r > R − d (d the spacing of the densest planes, d111 in fcc) or too few neighbours; see `structure`.
    frame
        "crystal" (X, Y, Z along a, b, c of the main domain's cubic cell; in hcp X along a and Z along c) or "lab"
        (the frame of the input positions).
    axes
        (3, 3) rows X, Y, Z of `frame` in the frame of the input positions.
    reference
        "fit" or "bulk".
    reference_cell
        (3, 3) Å, rows a, b, c of the main domain's reference.
    kernel_width, order
        Å, and the order of the local model.
    """

    displacement: NDArray[np.float64]
    tensor: NDArray[np.float64]
    error: NDArray[np.float64]
    radial: NDArray[np.float64]
    radial_error: NDArray[np.float64]
    rotation: NDArray[np.float64]
    surface: NDArray[np.bool_]
    frame: str
    axes: NDArray[np.float64]
    reference: str
    reference_cell: NDArray[np.float64]
    kernel_width: float
    order: int

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(n, 3, 3) symmetric tensors in `frame`."""
        full = np.empty((len(self.tensor), 3, 3))
        full[:, _ROWS, _COLUMNS] = self.tensor
        full[:, _COLUMNS, _ROWS] = self.tensor
        return full


def reference_cells(lattice: Lattice, reference: str) -> list[NDArray[np.float64]]:
    """Cell (3, 3) of each domain that displacements are measured from.

    "fit" gives the fitted cells. "bulk" gives the cell of the bulk crystal turned to each domain's axes.
    """
    if reference == "fit":
        return [d.cell for d in lattice.domains]
    if lattice.bulk is None:
        raise InputError(
            f"reference is 'bulk', but the bulk crystal is not known for this {lattice.structure} lattice; "
            "give fit_lattice an element of the same structure, or use reference='fit'"
        )
    return [lattice.bulk.cell() @ crystal_axes(d.cell, lattice.structure) for d in lattice.domains]


def compute_strain(
    positions: ArrayLike,
    lattice: Lattice,
    config: StrainConfig = StrainConfig(),
    sigma: ArrayLike | None = None,
) -> Strain:
    """Displacement and strain of every atom against its lattice.

    Parameters
    ----------
    positions
        (n, 3) Å, the positions that `lattice` was fitted to.
    lattice
        Result of `fit_lattice`.
    config
        Reference, kernel and frame of the components.
    sigma
        (n,) Å per axis, standard errors of the positions. None: the scatter of the atoms about the local planes,
        which holds the real disorder of neighbouring atoms as well.

    Raises
    ------
    InputError
        If the numbers of atoms differ, or the bulk is asked for and not known.
    """
    x = check_positions(positions)
    if len(x) != len(lattice.sites):
        raise InputError(
            f"positions hold {len(x)} atoms, the lattice {len(lattice.sites)}; fit the lattice to these atoms"
        )
    s = None if sigma is None else np.asarray(sigma, dtype=np.float64)
    if s is not None and s.shape != (len(x),):
        raise InputError(f"sigma has shape {s.shape}; ({len(x)},) in Å is needed")
    cells = reference_cells(lattice, config.reference)
    ideal = _reference_positions(x, lattice, cells)
    ideal[~lattice.on_site] = np.nan
    displacement = x - ideal
    gradient, slope_variance = _local_gradient(x, ideal, displacement, lattice.domain, config, s)

    stretch, rotation = np.full_like(gradient, np.nan), np.full((len(x), 3), np.nan)
    known = np.isfinite(gradient[:, 0, 0])
    turn, stretch[known] = polar(np.eye(3) + gradient[known])
    stretch -= np.eye(3)
    # Rotations are fractions of a degree to a few degrees: the antisymmetric part is the vector to third order.
    rotation[known] = 0.5 * np.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], axis=1
    )
    axes = lattice.axes if config.frame == "crystal" else np.eye(3)
    components = np.einsum("ai,nij,bj->nab", axes, stretch, axes)[:, _ROWS, _COLUMNS]
    # cov(G_ab, G_cd) = δ_ac C_bd with C = Σ_j s_j² A_j A_jᵀ: var ε_ab = (C_aa + C_bb)/4 off and C_aa on the diagonal.
    c = np.einsum("ai,nij,aj->na", axes, slope_variance, axes)
    error = np.sqrt(np.where(_ROWS == _COLUMNS, c[:, _ROWS], (c[:, _ROWS] + c[:, _COLUMNS]) / 4))

    ray = x - x.mean(axis=0)
    r = np.linalg.norm(ray, axis=1)
    unit = ray / np.maximum(r, 1e-9)[:, None]
    # r̂·(∂u)·r̂ is the derivative of u·r̂ along the ray, as r̂ does not change along it.
    radial = np.einsum("ni,nij,nj->n", unit, stretch, unit)
    radial_error = np.sqrt(np.einsum("ni,nij,nj->n", unit, slope_variance, unit))
    centre = r < 0.5 * lattice.nearest_neighbour
    radial[centre] = np.trace(stretch[centre], axis1=1, axis2=2) / 3
    radial_error[centre] = np.sqrt(np.trace(slope_variance[centre], axis1=1, axis2=2)) / 3
    few = surface_by_coordination(coordination(x), prototype(lattice.structure).coordination)
    return Strain(
        displacement=displacement,
        tensor=components,
        error=error,
        radial=radial,
        radial_error=radial_error,
        rotation=rotation,
        surface=few | surface_by_radius(x, lattice.layer_spacing),
        frame=config.frame,
        axes=axes,
        reference=config.reference,
        reference_cell=cells[0],
        kernel_width=config.kernel_width,
        order=config.order,
    )


def _reference_positions(
    x: NDArray[np.float64], lattice: Lattice, cells: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Reference site (n, 3) of each atom; a cell that was not fitted is put where the mean displacement is zero."""
    out = np.full((len(x), 3), np.nan)
    for k, (domain, cell) in enumerate(zip(lattice.domains, cells, strict=True)):
        mine = (lattice.domain == k) & lattice.on_site
        if not mine.any():
            continue
        out[mine] = lattice.sites[mine] @ cell
        out[mine] += domain.origin if cell is domain.cell else (x[mine] - out[mine]).mean(axis=0)
    return out


def _local_gradient(
    x: NDArray[np.float64],
    ideal: NDArray[np.float64],
    displacement: NDArray[np.float64],
    domain: NDArray[np.int64],
    config: StrainConfig,
    sigma: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope G (n, 3, 3), G[α, β] = ∂u_α/∂X_β, and C (n, 3, 3) = Σ_j s_j² A_j A_jᵀ; NaN where undetermined.

    Only atoms of the same domain take part: the displacements of two domains have different origins. An atom off the
    lattice gets the slope of the main domain's atoms about it.
    """
    gradient, variance = np.full((len(x), 3, 3), np.nan), np.full((len(x), 3, 3), np.nan)
    scatter = np.full(len(x), np.nan)
    for k in range(max(int(domain.max()) + 1, 1)):
        members = np.flatnonzero((domain == k) & np.isfinite(ideal[:, 0]))
        if len(members) < _LEAST_NEIGHBOURS[config.order]:
            continue
        targets = np.flatnonzero((domain == k) | ((domain < 0) & (k == 0)))
        known = np.isfinite(ideal[targets])
        centres = np.where(known, ideal[targets], x[targets])
        share = np.ones(len(members)) if sigma is None else sigma[members] ** 2
        for part in np.array_split(np.arange(len(targets)), -(-len(targets) // _CHUNK)):
            chosen = targets[part]
            gradient[chosen], variance[chosen], scatter[chosen] = _smooth(
                centres[part], ideal[members], displacement[members], share, config
            )
    if sigma is None:
        variance *= float(np.nanmedian(scatter)) ** 2 if np.isfinite(scatter).any() else np.nan
    return gradient, variance


def _smooth(
    centres: NDArray[np.float64],
    sites: NDArray[np.float64],
    values: NDArray[np.float64],
    share: NDArray[np.float64],
    config: StrainConfig,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit the local model about each centre to the values at the sites: slope, Σ share A Aᵀ, and scatter per axis.

    Everything has a leading axis of centres and, padded with weight zero, the m sites in reach of the fullest one.
    """
    width, tree = config.kernel_width, cKDTree(sites)
    count = np.asarray(tree.query_ball_point(centres, _REACH * width, return_length=True))
    distance, index = tree.query(centres, k=max(int(count.max()), 2), distance_upper_bound=_REACH * width)
    inside = np.isfinite(distance)
    index = np.where(inside, index, 0)
    weight = np.where(inside, np.exp(-0.5 * np.where(inside, distance, 0) ** 2 / width**2), 0)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    offset = np.where(inside[..., None], (sites[index] - centres[:, None]) / width, 0)
    terms = [np.ones((*offset.shape[:2], 1)), offset]
    if config.order == 2:
        terms.append(offset[..., _ROWS] * offset[..., _COLUMNS])
    design = np.concatenate(terms, axis=2)
    weighted = np.swapaxes(design * weight[..., None], 1, 2)
    normal = weighted @ design
    # The covariance of the offsets, from the moments that the normal matrix holds.
    spread = normal[:, 1:4, 1:4] - normal[:, :1, 1:4] * normal[:, 1:4, :1]
    good = (count >= _LEAST_NEIGHBOURS[config.order]) & (np.linalg.eigvalsh(spread)[:, 0] > _FLATTEST)
    good[good] = np.linalg.cond(normal[good]) < _WORST_CONDITION
    normal[~good] = np.eye(normal.shape[1])
    operator = np.linalg.solve(normal, weighted)
    model = operator @ values[index]
    slopes = operator[:, 1:4]
    covariance = (slopes * share[index][:, None]) @ np.swapaxes(slopes, 1, 2) / width**2
    # Residuals are (1 − H) u, H = design · operator; the expectation of their weighted square is `freedom` times
    # the variance of u, with the diagonals of H and of H Hᵀ.
    rest = np.where(inside[..., None], values[index] - design @ model, 0)
    diagonal = np.einsum("tmp,tpm->tm", design, operator)
    square = np.sum((design @ (operator @ np.swapaxes(operator, 1, 2))) * design, axis=2)
    freedom = np.sum(weight * (1 - 2 * diagonal + square), axis=1)
    scatter = np.sqrt(np.sum(weight[..., None] * rest**2, axis=(1, 2)) / 3 / np.maximum(freedom, 0.05))
    gradient = np.swapaxes(model[:, 1:4], 1, 2) / width
    gradient[~good], covariance[~good], scatter[~good] = np.nan, np.nan, np.nan
    return gradient, covariance, scatter


def strain_maps(
    positions: ArrayLike,
    strain: Strain,
    box: int,
    pixel_size: float,
    nearest_neighbour: float,
) -> dict[str, NDArray[np.float32]]:
    """Strain on the grid of the map, for display: each voxel the Gaussian-weighted mean of the atoms about it.

    Parameters
    ----------
    positions
        (n, 3) Å from the box centre.
    strain
        Result of `compute_strain`.
    box, pixel_size
        Voxels on an edge, and Å per voxel; voxel N//2 is position 0.
    nearest_neighbour
        Å; the Gaussian has 0.4 of it as standard deviation (it adds to the kernel of the strain), and voxels farther
        than 0.75 of it from all atoms are 0.

    Returns
    -------
    maps
        "xx" … "yz" and "radial": (z, y, x) float32, fraction.
    """
    x = check_positions(positions, least=1)
    if box < 2 or not pixel_size > 0:
        raise InputError(f"box is {box} and pixel_size {pixel_size} Å; at least 2 and more than 0 Å are needed")
    values = np.column_stack([strain.tensor, strain.radial])
    usable = np.isfinite(values).all(axis=1)
    width, reach = 0.4 * nearest_neighbour, 0.75 * nearest_neighbour
    total = np.zeros((box, box, box), dtype=np.float32)
    sums = np.zeros((values.shape[1], box, box, box), dtype=np.float32)
    half = int(np.ceil(reach / pixel_size))
    for place, value in zip(x[usable] / pixel_size + box // 2, values[usable], strict=True):
        first = np.maximum(np.rint(place).astype(int) - half, 0)
        last = np.minimum(np.rint(place).astype(int) + half + 1, box)
        if np.any(first >= last):
            continue
        d2 = [((np.arange(a, b) - p) * pixel_size) ** 2 for a, b, p in zip(first, last, place, strict=True)]
        distance2 = d2[2][:, None, None] + d2[1][None, :, None] + d2[0][None, None, :]
        weight = np.where(distance2 < reach**2, np.exp(-0.5 * distance2 / width**2), 0).astype(np.float32)
        window = tuple(slice(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))
        total[window] += weight
        sums[(slice(None), *window)] += value.astype(np.float32)[:, None, None, None] * weight
    maps = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return dict(zip((*COMPONENTS, "radial"), maps, strict=True))
