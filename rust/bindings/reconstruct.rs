//! Fourier insertion.

use super::convert::{Whole, contiguous};
use super::frames::PosedArrays;
use super::run::run;
use crate::frames::Groups;
use crate::reconstruct::insert;
use crate::volume::reach_for;
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

type Sums<'py> = Vec<(Bound<'py, PyArray3<Complex32>>, Bound<'py, PyArray3<f32>>)>;

#[pyfunction]
fn insert_slices<'py>(
    py: Python<'py>,
    posed: PosedArrays<'py>,
    frame_weights: PyReadonlyArrayDyn<'py, f32>,
    groups: PyReadonlyArrayDyn<'py, i32>,
    group_count: Whole,
    pad: Whole,
) -> PyResult<Sums<'py>> {
    let posed = posed.check()?;
    let frame_weights = contiguous(&frame_weights, "frame_weights", 1)?;
    let groups = Groups::new(contiguous(&groups, "groups", 1)?, group_count.get("group_count")?)?;
    let pad = pad.get("pad")?;
    let sums = run(py, || insert(&posed, frame_weights, groups, pad))?;
    let reach = reach_for(posed.plane.max_shell, pad);
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
