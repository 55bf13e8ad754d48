"""The tracing itself: peaks, joint fit, search of the residual, selection, errors."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from single_rs.atoms.config import TraceConfig
from single_rs.atoms.gaussian import Fit, fit_atoms, start_fit
from single_rs.atoms.peaks import find_peaks, keep_highest, typical_peak
from single_rs.atoms.profile import FourierMap, Profile
from single_rs.atoms.select import (
    CLOSE_PACKED,
    HeightLaw,
    bond_order,
    count_neighbours,
    full_coordination,
    half_map_odds,
    in_largest_cluster,
    neighbour_odds,
    typical_height,
)
from single_rs.atoms.support import ATOM_SCALE, Support, find_support, nearest_neighbour_distance
from single_rs.atoms.uncertainty import noise_sigma, pool_with_halves
from single_rs.atoms.unseen import fill_unseen, unseen_directions
from single_rs.base.blas import single_blas_thread
from single_rs.base.bounds import LARGEST_LENGTH
from single_rs.base.errors import InputError, NoParticleError
from single_rs.base.progress import Progress, in_notebooks, silent
from single_rs.base.robust import robust_sigma
from single_rs.crystal.material import elements_of
from single_rs.crystal.neighbours import surface_atoms
from single_rs.records import Atoms

__all__ = ["trace_atoms"]

# Peaks of smoothed noise above this many standard deviations are rarer than one per thousand voxels.
NOISE_LEVEL = 3.0
# Noise has minima as deep as its maxima are high; minima between atoms are at most half as deep.
MIN_ASYMMETRY = 1.35
# Share of the directions: views within 45° of one axis leave 0.3, and atoms are where they were.
FEWEST_UNSEEN = 0.3
# Share of the coordination inside the particle: fewer neighbours mark no atom at all.
LEAST_SHARE = 0.25
SHORTEST = 2.0  # Å, an atom's diameter


@in_notebooks
@single_blas_thread()
def trace_atoms(
    map: np.ndarray,
    pixel_size: float,
    element: str,
    diameter: float | None = None,
    half1: np.ndarray | None = None,
    half2: np.ndarray | None = None,
    config: TraceConfig = TraceConfig(),  # noqa: B008 (frozen)
    progress: Progress | None = None,
) -> Atoms:
    """Find the atoms of one particle in its density map.

    Parameters
    ----------
    map
        (z, y, x) density, atoms bright, cubic with an even side.
    pixel_size
        Å.
    element
        Chemical symbol, or formula of a compound; its bulk neighbour distance scales the search. The atoms of a
        compound all get the symbol of its first element: the refinement tells them apart.
    diameter
        Rough diameter in Å; only keeps far regions of the box out.
    half1, half2
        Independent half maps, same shape: they give the errors and veto peaks that only one of them has.
    config
        Settings.
    progress
        Called as progress("atoms", done, total).

    Returns
    -------
    Atoms
        Positions (x, y, z) in Å from voxel N//2, from the lowest z to the highest.

    Raises
    ------
    InputError
        When a map is not a finite cube, or the pixel size, element or diameter is not accepted.
    NoParticleError
        When the map holds no group of atoms that stands out of the noise; the message says why.
    """
    volume, halves = _check(map, pixel_size, diameter, half1, half2)
    step = progress or silent
    distance = config.neighbour_distance or nearest_neighbour_distance(element)
    total = config.rounds + 3
    step("atoms", 0, total)
    if halves:
        volume, *halves = _filled([volume, *halves], pixel_size, diameter)
    support = find_support(volume, pixel_size, distance, diameter)
    corner, side = _crop(support.mask, margin=int(np.ceil(3.0 / pixel_size)))
    window = tuple(slice(c, c + side) for c in corner)
    volume, mask, halves = volume[window], support.mask[window], [h[window] for h in halves]
    scene = _Scene(volume, mask, halves, pixel_size, distance / pixel_size, support, config)
    fit = scene.first_peaks()
    step("atoms", 1, total)
    for turn in range(config.rounds):
        fit, changed = scene.improve(fit)
        step("atoms", 2 + turn, total)
        if not changed:
            break
    fit, probability, profile, residual = scene.decide(fit)
    sigma = scene.errors(fit, profile, residual)
    positions = (fit.positions + corner - np.array(map.shape) // 2)[:, ::-1] * pixel_size
    order = np.lexsort((positions[:, 0], positions[:, 1], positions[:, 2]))
    step("atoms", total, total)
    return Atoms(
        positions=np.ascontiguousarray(positions[order]),
        symbols=np.full(len(order), elements_of(element)[0]),
        height=fit.height[order],
        bfactor=8.0 * np.pi**2 * (profile.width * fit.scale[order] * pixel_size) ** 2,
        sigma=sigma[order] * pixel_size,
        probability=probability[order],
    )


def _check(
    map: np.ndarray, pixel_size: float, diameter: float | None, half1: np.ndarray | None, half2: np.ndarray | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Check the arguments; return the map and the half maps (none or two) as float64."""
    if not (np.isfinite(pixel_size) and 0.05 <= pixel_size <= 1.0):
        raise InputError(f"pixel_size is {pixel_size} Å; atoms need pixels of 0.05 to 1 Å")
    if diameter is not None and not SHORTEST <= diameter < LARGEST_LENGTH:
        raise InputError(f"diameter is {diameter} Å; {SHORTEST:g} to {LARGEST_LENGTH:g} Å or None is needed")
    if (half1 is None) != (half2 is None):
        raise InputError("only one half map was given; give both or none")
    shape = np.shape(map)
    if len(shape) != 3 or len(set(shape)) != 1 or shape[0] % 2 or shape[0] < 32:
        raise InputError(f"map has shape {shape}; a cube with an even side of at least 32 voxels is needed")
    out = []
    for name, value in (("map", map), ("half1", half1), ("half2", half2)):
        if value is None:
            continue
        array = np.asarray(value, dtype=np.float64)
        if array.shape != shape:
            raise InputError(f"{name} has shape {array.shape}; the map has {shape}")
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds {int((~np.isfinite(array)).sum())} values that are not finite")
        out.append(array)
    return out[0], out[1:]


def _filled(maps: list[np.ndarray], pixel_size: float, diameter: float | None) -> list[np.ndarray]:
    """Fill the map and its halves where so many directions were not seen that atoms merge along the beam."""
    directions = unseen_directions(maps[1], maps[2], pixel_size)
    if directions[1].mean() < FEWEST_UNSEEN:
        return maps
    radius = (0.5 * maps[0].shape[0] * pixel_size if diameter is None else diameter) / 2
    return [fill_unseen(m, pixel_size, radius, directions) for m in maps]


def _crop(mask: np.ndarray, margin: int) -> tuple[np.ndarray, int]:
    """Corner and side of an even cube round the mask, of a length that the FFT likes."""
    n = mask.shape[0]
    low, high = zip(*[(s.start, s.stop) for s in ndimage.find_objects(mask.astype(np.int8))[0]], strict=True)
    need = int(np.max(np.array(high) - low)) + 2 * margin
    side = fft.next_fast_len(need, real=True)
    while side % 2:
        side = fft.next_fast_len(side + 1, real=True)
    if side >= n:
        return np.zeros(3, dtype=int), n
    corner = (np.array(low) + high) // 2 - side // 2
    return np.clip(corner, 0, n - side), side


def _high_pass(volume: np.ndarray, distance: float) -> np.ndarray:
    """Take off the local mean: the map minus its Gaussian average of standard deviation 0.6 · `distance` (voxels)."""
    n = volume.shape[0]
    full, half = fft.fftfreq(n), fft.rfftfreq(n)
    width = 0.6 * distance
    low, low_half = (np.exp(-2.0 * (np.pi * width * f) ** 2) for f in (full, half))
    factor = 1.0 - (low[:, None] * low)[:, :, None] * low_half
    return np.asarray(fft.irfftn(fft.rfftn(volume, workers=1) * factor, s=volume.shape, workers=1))


class _Scene:
    """The cropped maps and what the steps of the tracing share; lengths in voxels."""

    def __init__(
        self,
        volume: np.ndarray,
        mask: np.ndarray,
        halves: list[np.ndarray],
        pixel_size: float,
        distance: float,
        support: Support,
        config: TraceConfig,
    ) -> None:
        # What varies over more than a bond (shape of the particle, liquid) would lift noise to the height of atoms.
        self.volume, self.mask = _high_pass(volume, distance), mask
        self.halves = [_high_pass(h, distance) for h in halves]
        self.pixel_size, self.distance, self.config = pixel_size, distance, config
        self.target = FourierMap(self.volume)
        self.coordination, self.floor = CLOSE_PACKED, 0.0
        self.smooth = self._smooth(self.volume)
        outside = self.smooth[~mask]
        self.noise = robust_sigma(outside) if outside.size > 1000 else 0.0
        self.smooth_halves = [self._smooth(h) for h in self.halves]
        if halves:
            # Half the difference of the halves is the noise of their mean.
            self.noise = max(self.noise, float(np.std(0.5 * (self.smooth_halves[0] - self.smooth_halves[1])[mask])))

    def _smooth(self, volume: np.ndarray) -> np.ndarray:
        """Low-pass near the matched filter of an atom, which merges peaks that noise has split."""
        return np.asarray(ndimage.gaussian_filter(volume.astype(np.float32), ATOM_SCALE / self.pixel_size))

    def _peaks(self, volume: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        return find_peaks(volume, threshold, self.config.min_distance * self.distance, self.mask)

    def _value(self, positions: np.ndarray, volume: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.map_coordinates(volume, positions.T, order=1, mode="nearest"))

    def first_peaks(self) -> Fit:
        """Peaks that stand out of the noise and of the minima, as the start of the fit."""
        position, value = self._peaks(self.smooth, max(NOISE_LEVEL * self.noise, 1e-9 * float(self.smooth.max())))
        if len(value) < self.config.min_atoms:
            raise NoParticleError(
                f"no particle in the map: {len(value)} peaks above {NOISE_LEVEL:g} times the noise, "
                f"at least {self.config.min_atoms} are needed; check the poses and the resolution"
            )
        typical = typical_peak(value, self.config.min_atoms)
        strong = value > 0.5 * typical
        _, minima = self._peaks(-self.smooth, 0.0)
        depth = float(np.median(minima[: int(strong.sum())])) if len(minima) else 0.0
        if typical < MIN_ASYMMETRY * depth:
            raise NoParticleError(
                f"no particle in the map: its minima are {depth / typical:.2f} times as deep as its maxima are "
                f"high, as in noise (at most {1 / MIN_ASYMMETRY:.2f} for atoms); "
                "check the poses and the sign of the contrast"
            )
        if not self.halves:
            # False maxima are as high as minima are deep, which the noise outside a filtered map does not show.
            self.floor = min(depth, 0.5 * typical)
        keep = value > max(0.5 * self.config.min_height * typical, self.floor)
        scale = float(np.median(self._value(position[strong], self.volume) / value[strong]))
        return start_fit(position[keep], value[keep] * scale)

    def improve(self, fit: Fit) -> tuple[Fit, bool]:
        """Fit, remove what cannot be an atom, and add peaks of the residual; True when the atoms changed."""
        if not len(fit):
            return fit, False
        start = fit
        fit, _, residual = fit_atoms(self.target, self.pixel_size, fit, 2)
        keep = self._plausible(fit, start)
        fit = fit.take(keep)
        if not len(fit):
            return fit, True
        smooth_height = float(np.median(self._value(fit.positions, self.smooth)))
        position, value = self._peaks(
            self._smooth(residual), max(NOISE_LEVEL * self.noise, self.config.min_height * smooth_height, self.floor)
        )
        if len(value):
            everyone = np.concatenate([fit.positions, position])
            # Found atoms rank above all new ones.
            rank = np.concatenate([np.full(len(fit), 2.0 * value.max()), value])
            chosen = keep_highest(everyone, rank, self.config.min_distance * self.distance)
            new = chosen[chosen >= len(fit)] - len(fit)
            position, value = position[new], value[new]
        if len(value):
            fit = fit.join(start_fit(position, value / smooth_height * np.median(fit.height)))
        return fit, bool(len(value)) or not keep.all()

    def _plausible(self, fit: Fit, start: Fit) -> np.ndarray:
        """(n,) bool: inside the support, not too low, wide, narrow or close, and still where the peak was."""
        ratio = fit.height / typical_height(fit.positions, fit.height)
        width = fit.scale / np.median(fit.scale)
        moved = np.linalg.norm(fit.positions - start.positions, axis=1)
        index = np.clip(np.rint(fit.positions).astype(np.intp), 0, self.mask.shape[0] - 1)
        good = (ratio > self.config.min_height) & (width < 1.9) & (width > 0.5) & self.mask[tuple(index.T)]
        good &= moved < 0.35 * self.distance
        order = keep_highest(fit.positions, np.where(good, fit.height, -1.0), self.config.min_distance * self.distance)
        apart = np.zeros_like(good)
        apart[order] = True
        return np.asarray(good & apart)

    def decide(self, fit: Fit) -> tuple[Fit, np.ndarray, Profile, np.ndarray]:
        """Final fit and the probability of each atom; the improbable ones are removed, the rest fitted again."""
        config = self.config
        law = None
        least = config.min_neighbours or 0
        while True:
            if len(fit) < config.min_atoms:
                raise NoParticleError(
                    f"no particle in the map: {len(fit)} peaks are probable atoms with neighbours, "
                    f"at least {config.min_atoms} are needed; check the poses and the resolution"
                )
            fit, profile, residual = fit_atoms(self.target, self.pixel_size, fit, config.sweeps)
            ratio = fit.height / typical_height(fit.positions, fit.height)
            if law is None:
                law = self._learn(ratio, fit, residual)
                # Kept from here on: judged anew, each atom lost at the rim would condemn the next.
                self.coordination = full_coordination(fit.positions, ratio, self.distance, config.reach)
                surroundings = neighbour_odds(fit.positions, self.distance, config.reach, self.coordination)
                if config.min_neighbours is None:
                    least = round(LEAST_SHARE * self.coordination)
            odds = law.odds(ratio) * surroundings
            if self.halves:
                odds *= half_map_odds(*(self._value(fit.positions, h) for h in self.smooth_halves))
            lonely = count_neighbours(fit.positions, config.reach * self.distance) < least
            odds[lonely | (ratio < config.min_height)] = 0.0
            probability = odds / (1.0 + odds)
            keep = probability >= config.min_probability
            keep[keep] = in_largest_cluster(fit.positions[keep], config.reach * self.distance)
            if keep.all():
                break
            fit, surroundings = fit.take(keep), surroundings[keep]
        order = bond_order(fit.positions, self.distance)
        if order < config.min_bond_order:
            raise NoParticleError(
                f"no particle in the map: only {order:.0%} of the {len(fit)} peaks' distances share one bond length, "
                f"at least {config.min_bond_order:.0%} do in a solid; check the poses, the pixel size and the element"
            )
        return fit, probability, profile, residual

    def _learn(self, ratio: np.ndarray, fit: Fit, residual: np.ndarray) -> HeightLaw:
        """Learn the heights of atoms from the candidates and those of false peaks from the residual, both signs."""
        smooth = self._smooth(residual) / np.median(self._value(fit.positions, self.smooth))
        return HeightLaw.learn(ratio, np.concatenate([self._peaks(sign * smooth, 0.0)[1] for sign in (1.0, -1.0)]))

    def errors(self, fit: Fit, profile: Profile, residual: np.ndarray) -> np.ndarray:
        """(n,) standard error per axis, voxels."""
        sigma = noise_sigma(residual, self.mask, fit, profile.width, self.distance)
        if not self.halves:
            return sigma
        positions, variance = [], []
        for half in self.halves:
            own, own_profile, left = fit_atoms(FourierMap(half), self.pixel_size, fit, 2)
            positions.append(own.positions)
            variance.append(noise_sigma(left, self.mask, own, own_profile.width, self.distance) ** 2)
        surface = surface_atoms(fit.positions) if len(fit) > 1 else np.ones(len(fit), dtype=bool)
        return pool_with_halves(sigma, positions[0] - positions[1], variance[0] + variance[1], surface)
