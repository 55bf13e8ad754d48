"""Types of the Rust extension; the meaning of each function is told in the Python module of its stage."""

from typing import final

import numpy as np
import numpy.typing as npt

__version__: str

__all__ = [
    "ConvergenceError",
    "HalfPlane",
    "__version__",
    "factor_normal",
    "index_frames",
    "insert_slices",
    "look_up_poses",
    "look_up_spacing",
    "model_filter_sums",
    "model_gain",
    "model_gradients",
    "model_normal",
    "model_project",
    "motion_accumulate_pixels",
    "motion_accumulate_reference",
    "motion_chunk_velocity",
    "motion_frame_statistics",
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
    "smooth_candidates",
    "solve_normal",
    "threads",
]

class ConvergenceError(RuntimeError): ...

def threads() -> int: ...
def motion_frame_statistics(
    frames: npt.NDArray[np.float32], skip: npt.NDArray[np.bool_], low: float, high: float
) -> npt.NDArray[np.float64]: ...
def motion_accumulate_pixels(
    frames: npt.NDArray[np.float32],
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
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    volumes: npt.NDArray[np.complex64],
    pad: int,
    volume_of: npt.NDArray[np.int32],
    rotations: npt.NDArray[np.float32],
    frame_of: npt.NDArray[np.int32],
    steps: int,
    spacing: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def look_up_poses(
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    filters: npt.NDArray[np.float32],
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    atoms: list[int],
    model_of: npt.NDArray[np.int32],
    rotations: npt.NDArray[np.float32],
    frame_of: npt.NDArray[np.int32],
    starts: npt.NDArray[np.float32],
    steps: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def look_up_spacing(plane: HalfPlane) -> float: ...
def project_slices(
    volume: npt.NDArray[np.complex64], plane: HalfPlane, pad: int, rotations: npt.NDArray[np.float32]
) -> npt.NDArray[np.complex64]: ...
def polish_poses(
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    volumes: npt.NDArray[np.complex64],
    pad: int,
    volume_of: npt.NDArray[np.int32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
    frame_of: npt.NDArray[np.int32],
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
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    frame_weights: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32],
    group_count: int,
    pad: int,
) -> list[tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]]: ...
def model_project(
    plane: HalfPlane,
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    widths: npt.NDArray[np.float32] | None,
    filters: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
) -> npt.NDArray[np.complex64]: ...
def model_gain(
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    widths: npt.NDArray[np.float32] | None,
    filters: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
    frame_of: npt.NDArray[np.int32],
    steps: int,
    spacing: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def polish_poses_to_atoms(
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    widths: npt.NDArray[np.float32] | None,
    filters: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
    frame_of: npt.NDArray[np.int32],
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
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    gains: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    widths: npt.NDArray[np.float32] | None,
    filters: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32],
    group_count: int,
    model_error: float,
    tensors: npt.NDArray[np.float32] | None = None,
    depths: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def model_filter_sums(
    spectra: npt.NDArray[np.complex64],
    plane: HalfPlane,
    weights: npt.NDArray[np.float32],
    gains: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    shifts: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    widths: npt.NDArray[np.float32] | None,
    filters: npt.NDArray[np.float32],
    depths: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def model_normal(
    plane: HalfPlane,
    positions: npt.NDArray[np.float32],
    heights: npt.NDArray[np.float32],
    filters: npt.NDArray[np.float32],
    rotations: npt.NDArray[np.float32],
    information: npt.NDArray[np.float32],
    table: npt.NDArray[np.float32],
    step: float,
    free_poses: bool,
) -> npt.NDArray[np.float64]: ...
def factor_normal(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
def solve_normal(factor: npt.NDArray[np.float64], sides: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
def normal_blocks(factor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
