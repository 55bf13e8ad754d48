"""Types of the Rust extension; the Python module of each stage documents its functions."""

from typing import Any, final

import numpy as np
import numpy.typing as npt

from single_rs.frames.packed import PosedFrames
from single_rs.orient.models.reference import Reference
from single_rs.orient.search.plan import SearchPlan

__version__: str

__all__ = [
    "HalfPlane",
    "IntensityMerge",
    "__version__",
    "correlate_rotations",
    "factor_normal",
    "index_frames",
    "index_in_intensity",
    "insert_slices",
    "look_up_poses",
    "look_up_spacing",
    "map_from_sums",
    "model_filter_sums",
    "model_gain",
    "model_gradients",
    "model_normal",
    "motion_accumulate_pixels",
    "motion_accumulate_reference",
    "motion_chunk_velocity",
    "motion_frame_statistics",
    "motion_local_median",
    "motion_local_variance",
    "motion_repair",
    "motion_shift_score",
    "motion_smooth",
    "motion_tile_spectra",
    "motion_track_chunks",
    "normal_blocks",
    "polar_power",
    "polish_poses",
    "polish_poses_to_atoms",
    "project_slices",
    "score_poses",
    "search_poses",
    "shell_products",
    "smooth_candidates",
    "solve_normal",
    "tabulate_power",
    "threads",
    "transform_map",
]

# Positions (n, 3) px, heights (n,), excess widths (n,) Å² or None for none, filters (channel, m).
_Atoms = tuple[
    npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32] | None, npt.NDArray[np.float32]
]

def threads() -> int: ...
def motion_frame_statistics(frames: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float64]: ...
def motion_local_median(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
def motion_local_variance(
    frames: npt.NDArray[Any],
    bad: npt.NDArray[np.bool_],
    ceiling: float,
    gain: npt.NDArray[np.float32],
    cell: int,
    margin: int,
) -> npt.NDArray[np.float32]: ...
def motion_accumulate_pixels(
    frames: npt.NDArray[Any],
    sum: npt.NDArray[np.float64],
    square: npt.NDArray[np.float64],
    maximum: npt.NDArray[np.float32],
) -> None: ...
def motion_repair(frames: npt.NDArray[np.float32], bad: npt.NDArray[np.bool_], ceiling: float) -> None: ...
def motion_tile_spectra(
    frames: npt.NDArray[np.float32], origins: npt.NDArray[np.int64], size: int, keep: npt.NDArray[np.uint32]
) -> npt.NDArray[np.complex64]: ...
def motion_accumulate_reference(
    spectra: npt.NDArray[np.complex64],
    residual: npt.NDArray[np.float64],
    frequency: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float64],
    sum: npt.NDArray[np.complex128],
    power: npt.NDArray[np.float64],
) -> None: ...
def motion_shift_score(
    spectra: npt.NDArray[np.complex64],
    residual: npt.NDArray[np.float64],
    frequency: npt.NDArray[np.float32],
    filter: npt.NDArray[np.complex64],
) -> npt.NDArray[np.float64]: ...
def motion_chunk_velocity(
    spectra: npt.NDArray[np.complex64],
    times: npt.NDArray[np.int64],
    frequency: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    fastest: float,
) -> tuple[float, float, float]: ...
def motion_track_chunks(
    spectra: npt.NDArray[np.complex64],
    step: npt.NDArray[np.float64],
    frequency: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    radius: float,
) -> npt.NDArray[np.float64]: ...
def motion_smooth(
    measured: npt.NDArray[np.float64], information: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float, float]: ...

@final
class HalfPlane:
    def __new__(cls, size: int, min_shell: int, max_shell: int) -> HalfPlane: ...
    def __len__(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def max_shell(self) -> int: ...
    def frequencies(self) -> npt.NDArray[np.int32]: ...
    def pack(
        self, images: npt.NDArray[np.float32], centres: npt.NDArray[np.float32], radius: float, edge: float
    ) -> npt.NDArray[np.complex64]: ...

def polar_power(
    images: npt.NDArray[np.float32],
    centres: npt.NDArray[np.float32],
    radius: float,
    padded: int,
    radii: list[float],
    weights: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]: ...
def index_frames(
    polar: npt.NDArray[np.float32],
    radii: list[float],
    spots: npt.NDArray[np.float32],
    power: list[float],
    diameter: float,
    directions: npt.NDArray[np.float32],
    count: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def index_in_intensity(
    polar: npt.NDArray[np.float32],
    radii: list[float],
    intensity: npt.NDArray[np.float32],
    size: int,
    directions: npt.NDArray[np.float32],
    count: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...

@final
class IntensityMerge:
    def __new__(
        cls,
        polar: npt.NDArray[np.float32],
        radii: list[float],
        size: int,
        folds: list[int],
        directions: npt.NDArray[np.float32],
    ) -> IntensityMerge: ...
    def merge(self, rotations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...
    def round(
        self, held_out: npt.NDArray[np.float32], belief: float
    ) -> tuple[npt.NDArray[np.float32], float, float]: ...

def smooth_candidates(
    states: npt.NDArray[np.float32],
    emission: npt.NDArray[np.float32],
    left: npt.NDArray[np.float32],
    right: npt.NDArray[np.float32],
    sigma: float,
    jump: float,
    volume: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], float, float]: ...
def score_poses(
    posed: PosedFrames,
    volumes: npt.NDArray[np.complex64],
    pad: int,
    volume_of: npt.NDArray[np.int32],
    steps: int,
    spacing: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def tabulate_power(
    volume: npt.NDArray[np.complex64], plane: HalfPlane, pad: int, weights: npt.NDArray[np.float32], diameter: float
) -> npt.NDArray[np.float32]: ...
def look_up_poses(
    posed: PosedFrames, reference: Reference, steps: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def search_poses(
    posed: PosedFrames,
    reference: Reference,
    frame_weight: npt.NDArray[np.float32],
    prior: npt.NDArray[np.float32],
    plan: SearchPlan,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]: ...
def look_up_spacing(plane: HalfPlane) -> float: ...
def project_slices(
    volume: npt.NDArray[np.complex64], plane: HalfPlane, pad: int, rotations: npt.NDArray[np.float32]
) -> npt.NDArray[np.complex64]: ...
def polish_poses(
    posed: PosedFrames,
    volumes: npt.NDArray[np.complex64],
    pad: int,
    volume_of: npt.NDArray[np.int32],
    iterations: int,
    max_turn: float,
    max_shift: float,
) -> tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
]: ...
def insert_slices(
    posed: PosedFrames,
    frame_weights: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32],
    group_count: int,
    pad: int,
) -> list[tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]]: ...
def model_gain(
    posed: PosedFrames,
    atoms: _Atoms,
    steps: int,
    spacing: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def polish_poses_to_atoms(
    posed: PosedFrames,
    atoms: _Atoms,
    iterations: int,
    max_turn: float,
    max_shift: float,
    tensors: npt.NDArray[np.float32] | None = None,
    depths: npt.NDArray[np.float32] | None = None,
) -> tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
]: ...
def model_gradients(
    posed: PosedFrames,
    gains: npt.NDArray[np.float32],
    atoms: _Atoms,
    groups: npt.NDArray[np.int32],
    group_count: int,
    model_error: float,
    tensors: npt.NDArray[np.float32] | None = None,
    depths: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def model_filter_sums(
    posed: PosedFrames,
    gains: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    atoms: _Atoms,
    depths: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.complex128]]: ...
def model_normal(
    plane: HalfPlane,
    atoms: _Atoms,
    rotations: npt.NDArray[np.float32],
    information: npt.NDArray[np.float32],
    table: npt.NDArray[np.float32],
    step: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def correlate_rotations(
    heights: npt.NDArray[np.float32],
    points: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]: ...
def map_from_sums(
    numerator: npt.NDArray[np.complex64], denominator: npt.NDArray[np.float32], floor: float, size: int, pad: int
) -> npt.NDArray[np.float32]: ...
def transform_map(
    map: npt.NDArray[np.float32], reach: int, pad: int, divide: bool, gain: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.complex64]: ...
def shell_products(a: npt.NDArray[np.complex64], b: npt.NDArray[np.complex64]) -> npt.NDArray[np.float64]: ...
def factor_normal(matrix: npt.NDArray[np.float64]) -> None: ...
def solve_normal(factor: npt.NDArray[np.float64], sides: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
def normal_blocks(factor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
