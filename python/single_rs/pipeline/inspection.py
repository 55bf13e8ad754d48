"""What is in a file or folder, before any work: shape, pixel size, dose, whether it is counts, rings of a lattice.

The rings are peaks of the azimuthal mean of the power spectrum |F(k)|² of single frames over its median in a window of
spatial frequency; a crystal seen in projection gives them at 1/d of its planes (graphene: 2.13 and 1.23 Å).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis import ParticleSummary
from single_rs.base.errors import DataFileError
from single_rs.base.robust import robust_sigma
from single_rs.base.sampling import evenly
from single_rs.export.atoms import read_xyz
from single_rs.frames.spectrum import radius_map
from single_rs.io import open_movie
from single_rs.io.formats import MRC_SUFFIXES, PACKED, SUFFIXES, open_mrc
from single_rs.io.mrc import read_map
from single_rs.io.star_table import read_star
from single_rs.store import layout
from single_rs.store.codecs import read_record

__all__ = ["Inspection", "inspect_path"]

SAMPLE = 48  # frames, evenly spread
FIELD = 512  # px, of the middle of a frame: enough for rings
HALF_WINDOW = 12  # rings of the median that the power is compared with
RING_SIGMA = 5.0  # a ring is reported from this on
RINGS = 4  # the highest ones are reported
WHOLE = 0.99  # share of whole numbers among counts; repaired pixels are means of their neighbours
LONGEST, SHORTEST = 5.0, 0.6  # Å; planes of crystals lie between
PARTICLE_EDGE = 256  # px; square frames up to it are most likely cut out already


@dataclass(frozen=True)
class Inspection:
    """What is in a file or folder.

    Attributes
    ----------
    path
        What was looked at.
    kind
        "movie", "stack", "map", "atoms", "table", "run" or "particle".
    facts
        Name → sentence, in the order to be read.
    images
        Title → picture (y, x), to be shown side by side.
    pixel_size
        Å of the pictures, None where it is not known.
    """

    path: Path
    kind: str
    facts: Mapping[str, str]
    images: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    pixel_size: float | None = None


def inspect_path(path: str | Path, pixel_size: float | None = None) -> Inspection:
    """Say what is in a movie, stack, map, file of atoms, STAR file or folder.

    Parameters
    ----------
    path
        File or folder.
    pixel_size
        Å, where the file of a movie or stack does not tell it.

    Raises
    ------
    DataFileError
        Missing, empty, or in no format that is known.
    """
    source = Path(path)
    if not source.exists():
        raise DataFileError(f"{source} does not exist")
    if source.is_dir() and (source / layout.RUN).is_file():
        return _run(source)
    if source.is_dir() and (source / layout.SUMMARY).is_file():
        return _particle(source)
    suffix = source.suffix.lower()
    if suffix == ".star":
        blocks = read_star(source)
        tables = {name: f"{len(next(iter(t.values()), []))} rows: {', '.join(t)}" for name, t in blocks.items()}
        return Inspection(source, "table", tables)
    if not source.is_dir() and suffix in MRC_SUFFIXES and _is_map(source):
        return _map(source)
    if source.is_dir() or suffix in SUFFIXES or suffix in PACKED:
        return _movie(source, pixel_size)
    return _atoms(source)


def _is_map(path: Path) -> bool:
    """Tell whether an MRC file is a volume: a cube whose voxels have a height."""
    source = open_mrc(path)
    z, y, x = source.shape
    return path.suffix.lower() != ".mrcs" and x == y == z and source.header.voxel[2] > 0


def _movie(path: Path, pixel_size: float | None) -> Inspection:
    guess = None if pixel_size is not None else _guess(path)
    with open_movie(path, pixel_size or guess) as movie:
        n, y, x = movie.shape
        at = evenly(n, SAMPLE)
        top, left = max(0, (y - FIELD) // 2), max(0, (x - FIELD) // 2)
        sample = np.stack([movie.frame(int(i))[top : top + FIELD, left : left + FIELD] for i in at])
        kind = "stack" if y == x <= PARTICLE_EDGE and y % 2 == 0 else "movie"
        facts = {"shape": f"{n} frames of {x} × {y} px, {movie.dtype}"}
        known = guess is None
        facts["pixel size"] = f"{movie.pixel_size:.4g} Å" if known else "not in the file; give --pixel-size"
        facts["values"] = _values(sample)
        power = _power(sample)
        if known:
            facts["field"] = f"{x * movie.pixel_size / 10:.3g} × {y * movie.pixel_size / 10:.3g} nm"
            facts["rings"] = _rings(power, movie.pixel_size)
        command = "solve" if kind == "stack" else "run"
        extra = "" if known else " --pixel-size Å"
        facts["next"] = f"single-rs {command} {path}{extra} --element … --out result"
        images = {f"frame {at[0]}": sample[0], "mean": sample.mean(0), "power spectrum": np.log(power + 1e-12)}
        return Inspection(path, kind, facts, images, movie.pixel_size if known else None)


def _guess(path: Path) -> float | None:
    """Return a stand-in for the pixel size where the file has none, so that it can be opened; else None."""
    try:
        open_movie(path).close()
    except DataFileError as error:
        if "pixel size" not in str(error):
            raise
        return 1.0
    return None


def _values(sample: NDArray[np.float32]) -> str:
    """Say whether the values are counts, and how many electrons a pixel has."""
    mean, variance = float(sample.mean()), float(sample.var(axis=0).mean())
    text = f"{sample.min():.4g} to {sample.max():.4g}, mean {mean:.4g}, variance in time {variance:.4g}"
    if mean <= 0:
        return f"{text}; not counts: the mean is not above 0"
    if float(np.mean(sample == np.round(sample))) >= WHOLE:
        return f"{text}; whole numbers, {variance / mean:.3g} times the variance of electron counts"
    return f"{text}; not whole numbers, so scaled or averaged; 1 count is worth {mean / variance:.3g} electrons at best"


def _power(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean power spectrum (edge, edge) of the largest square, frequency 0 in the middle."""
    edge = min(sample.shape[1:]) // 2 * 2
    window = np.outer(np.hanning(edge), np.hanning(edge)).astype(np.float32)
    total = np.zeros((edge, edge))
    for image in sample:
        part = image[:edge, :edge] - image[:edge, :edge].mean()
        total += np.abs(np.fft.fft2(part * window)) ** 2
    return np.fft.fftshift(total / len(sample)).astype(np.float32)


def _rings(power: NDArray[np.float32], pixel_size: float) -> str:
    """Say at which spacings the azimuthal mean of the power stands out."""
    edge = len(power)
    radius = np.rint(radius_map(edge)).astype(int)
    count = np.bincount(radius.ravel())[: edge // 2]
    profile = np.bincount(radius.ravel(), power.ravel())[: edge // 2] / np.maximum(count, 1)
    around = np.array(
        [np.median(profile[max(1, k - HALF_WINDOW) : k + HALF_WINDOW + 1]) for k in range(1, len(profile))]
    )
    excess = np.concatenate([[0.0], profile[1:] / np.maximum(around, 1e-30) - 1])
    spacing = np.concatenate([[np.inf], edge * pixel_size / np.arange(1, len(profile))])
    range_ = (spacing < LONGEST) & (spacing > max(SHORTEST, 2.05 * pixel_size))
    if range_.sum() < 2 * HALF_WINDOW:
        return f"none can be seen: a pixel of {pixel_size:.3g} Å leaves too few frequencies"
    height = excess / max(robust_sigma(excess[range_]), 1e-12)
    peaks = [
        k
        for k in np.flatnonzero(range_)
        if 0 < k < len(height) - 1 and height[k] >= RING_SIGMA and height[k] == height[max(0, k - 3) : k + 4].max()
    ]
    best = sorted(peaks, key=lambda k: -height[k])[:RINGS]
    if not best:
        return f"none above {RING_SIGMA:.0f} σ in {SAMPLE} frames; a lattice is not seen at once"
    return ", ".join(f"{spacing[k]:.2f} Å ({height[k]:.0f} σ)" for k in best)


def _map(path: Path) -> Inspection:
    density, pixel_size = read_map(path)
    n = len(density)
    facts = {
        "shape": f"{n}³ voxels of {pixel_size:.4g} Å, edge {n * pixel_size:.3g} Å",
        "values": f"{density.min():.4g} to {density.max():.4g}, standard deviation {density.std():.4g}",
        "next": f"single-rs trace {path} --element … --out result",
    }
    middle = n // 2
    images = {"xy": density[middle], "xz": density[:, middle], "yz": density[:, :, middle]}
    return Inspection(path, "map", facts, images, pixel_size)


def _atoms(path: Path) -> Inspection:
    from scipy.spatial import cKDTree

    atoms = read_xyz(path)
    names, counts = np.unique(atoms.symbols, return_counts=True)
    facts = {"atoms": f"{len(atoms)}: " + ", ".join(f"{c} {s}" for s, c in zip(names, counts, strict=True))}
    if len(atoms) > 1:
        near = cKDTree(atoms.positions).query(atoms.positions, k=2)[0][:, 1]
        extent = 2 * np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1).max()
        facts["extent"] = f"{extent:.4g} Å"
        facts["nearest neighbour"] = f"median {np.median(near):.4g} Å, {near.min():.4g} to {near.max():.4g} Å"
    known = np.isfinite(atoms.sigma)
    facts["standard error"] = f"median {100 * np.median(atoms.sigma[known]):.2g} pm" if known.any() else "not stated"
    facts["next"] = f"single-rs analyze {path} --out result"
    return Inspection(path, "atoms", facts)


def _run(path: Path) -> Inspection:
    facts = {}
    for folder in sorted(path.glob(layout.PARTICLES)):
        summary = folder / layout.SUMMARY
        verdict = read_record(summary, ParticleSummary).verdict if summary.is_file() else "unfinished"
        facts[folder.name] = verdict or "no verdict"
    facts["next"] = f"single-rs report {path}" if facts else "no particle; the same command as before goes on"
    return Inspection(path, "run", facts)


def _particle(path: Path) -> Inspection:
    summary = read_record(path / layout.SUMMARY, ParticleSummary)
    facts = {"verdict": summary.verdict or "no verdict"}
    facts |= {f"reason {number}": reason for number, reason in enumerate(summary.reasons, 1)}
    facts["next"] = f"single-rs validate {path}"
    return Inspection(path, "particle", facts)
