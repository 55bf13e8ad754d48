//! Fourier insertion.

use super::convert::contiguous;
use super::frames::{PosedFrames, PyPosedFrames};
use crate::reconstruct::insert;
use crate::volume::reach_for;
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

type Sums<'py> = Vec<(Bound<'py, PyArray3<Complex32>>, Bound<'py, PyArray3<f32>>)>;

#[pyfunction]
fn insert_slices<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    frame_weights: PyReadonlyArrayDyn<'py, f32>,
    groups: PyReadonlyArrayDyn<'py, i32>,
    group_count: usize,
    pad: usize,
) -> PyResult<Sums<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, .. } = posed.check_one_each()?;
    let frame_weights = contiguous(&frame_weights, "frame_weights", 1)?;
    let groups = contiguous(&groups, "groups", 1)?;
    let sums = py.detach(|| {
        insert(spectra, plane, weights, frame_weights, rotations, shifts, groups, group_count, pad)
    })?;
    let reach = reach_for(plane.max_shell, pad);
    let shape = [2 * reach + 1, 2 * reach + 1, reach + 1];
    sums.into_iter()
        .map(|s| {
            Ok((s.numerator.into_pyarray(py).reshape(shape)?, s.denominator.into_pyarray(py).reshape(shape)?))
        })
        .collect()
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(insert_slices, m)?)
}
