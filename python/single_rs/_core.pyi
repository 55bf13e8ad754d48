"""Types of the Rust extension; the meaning of each function is told in the Python module of its stage."""

import numpy as np
import numpy.typing as npt

__version__: str

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
def motion_track_bins(
    spectra: npt.NDArray[np.complex64],
    frequency: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    radius: float,
) -> npt.NDArray[np.float64]: ...
def motion_smooth(
    measured: npt.NDArray[np.float64], information: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float, float]: ...
