//! Frames with poses of theirs, which most kernels take, and what a search or a refinement of poses gives back.

use super::agree;
use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use crate::error::Error;
use crate::fourier::HalfPlane;
use crate::orient::polish::Polished;
use crate::orient::score::Match;
use crate::volume::Rotation;
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Any object with these attributes, as `single_rs.orient.frames.PosedFrames` is.
#[derive(FromPyObject)]
pub(super) struct PyPosedFrames<'py> {
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: Py<PyHalfPlane>,
    weights: PyReadonlyArrayDyn<'py, f32>,
    rotations: PyReadonlyArrayDyn<'py, f32>,
    shifts: PyReadonlyArrayDyn<'py, f32>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
}

/// The same as slices that agree with each other.
pub(super) struct PosedFrames<'a> {
    pub(super) spectra: &'a [Complex32],
    pub(super) plane: &'a HalfPlane,
    pub(super) weights: &'a [f32],
    /// R of each pose.
    pub(super) rotations: &'a [Rotation],
    /// t of each pose, px.
    pub(super) shifts: &'a [[f32; 2]],
    /// Frame that each pose is one of.
    pub(super) frame_of: Vec<usize>,
    /// Number of frames.
    pub(super) frames: usize,
}

impl PyPosedFrames<'_> {
    /// Any number of poses of each frame.
    pub(super) fn check(&self) -> PyResult<PosedFrames<'_>> {
        let plane = &self.plane.get().0;
        let spectra = contiguous(&self.spectra, "spectra", 2)?;
        let frames = spectra.len() / plane.len();
        agree("spectra", spectra.len(), frames * plane.len())?;
        let weights = contiguous(&self.weights, "weights", 1)?;
        agree("weights", weights.len(), plane.len())?;
        let rotations = self::rotations(contiguous(&self.rotations, "rotations", 3)?, "rotations")?;
        let shifts = rows(contiguous(&self.shifts, "shifts", 2)?, "shifts")?;
        agree("shifts", shifts.len(), rotations.len())?;
        let frame_of = indices(contiguous(&self.frame_of, "frame_of", 1)?, "frame_of", frames)?;
        agree("frame_of", frame_of.len(), rotations.len())?;
        Ok(PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, frames })
    }

    /// One pose of each frame, in their order.
    pub(super) fn check_one_each(&self) -> PyResult<PosedFrames<'_>> {
        let posed = self.check()?;
        agree("frame_of", posed.frame_of.len(), posed.frames)?;
        if posed.frame_of.iter().enumerate().all(|(i, &frame)| i == frame) {
            return Ok(posed);
        }
        Err(Error::bad_input("frame_of", "not 0, 1, 2, …", "one pose of each frame is needed").into())
    }
}

/// Overlap, power and shift.
pub(super) type Matches<'py> =
    (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray2<f32>>);

pub(super) fn match_arrays<'py>(py: Python<'py>, found: &[Match]) -> PyResult<Matches<'py>> {
    let shifts: Vec<f32> = found.iter().flat_map(|m| m.shift).collect();
    Ok((
        found.iter().map(|m| m.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|m| m.power).collect::<Vec<_>>().into_pyarray(py),
        shifts.into_pyarray(py).reshape([found.len(), 2])?,
    ))
}

/// Rotation, shift, overlap, power and standard errors.
pub(super) type PolishedPoses<'py> = (
    Bound<'py, PyArray3<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray2<f32>>,
);

pub(super) fn polished_arrays<'py>(py: Python<'py>, found: &[Polished]) -> PyResult<PolishedPoses<'py>> {
    let count = found.len();
    let matrices: Vec<f32> = found.iter().flat_map(|p| p.rotation.into_iter().flatten()).collect();
    let shifts: Vec<f32> = found.iter().flat_map(|p| p.shift).collect();
    let errors: Vec<f32> = found.iter().flat_map(|p| p.error).collect();
    Ok((
        matrices.into_pyarray(py).reshape([count, 3, 3])?,
        shifts.into_pyarray(py).reshape([count, 2])?,
        found.iter().map(|p| p.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|p| p.power).collect::<Vec<_>>().into_pyarray(py),
        errors.into_pyarray(py).reshape([count, 5])?,
    ))
}
