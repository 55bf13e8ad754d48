//! The pose search.

use super::convert::{Whole, contiguous, rotations, rows};
use super::run::run;
use crate::check::accept;
use crate::solve::alignment::Heights;
use crate::solve::maps::{self, MapGrid};
use num_complex::Complex32;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;

#[pyfunction]
fn correlate_rotations<'py>(
    py: Python<'py>,
    heights: Floats<'py>,
    points: Floats<'py>,
    weights: Floats<'py>,
    rotations: Floats<'py>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let values = contiguous(&heights, "heights", 3)?;
    let heights = Heights::new(values, heights.shape()[2].saturating_sub(1))?;
    let points = rows(&points, "points", 2)?;
    let weights = contiguous(&weights, "weights", 1)?;
    let rotations = self::rotations(&rotations, "rotations")?;
    Ok(run(py, || heights.correlate(points, weights, rotations))?.into_pyarray(py))
}

/// Grid steps that a volume (2K+1, 2K+1, K+1) reaches.
fn reach_of<T: numpy::Element>(volume: &PyReadonlyArrayDyn<'_, T>) -> usize {
    volume.shape().last().map_or(0, |n| n.saturating_sub(1))
}

#[pyfunction]
fn map_from_sums<'py>(
    py: Python<'py>,
    numerator: PyReadonlyArrayDyn<'py, Complex32>,
    denominator: Floats<'py>,
    floor: f32,
    size: Whole,
    pad: Whole,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let sums = contiguous(&numerator, "numerator", 3)?;
    let weights = contiguous(&denominator, "denominator", 3)?;
    let size = size.get("size")?;
    let grid = MapGrid::new(reach_of(&numerator), size, pad.get("pad")?)?;
    let map = run(py, || maps::map_from_sums(sums, weights, floor, grid))?;
    map.into_pyarray(py).reshape([size, size, size])
}

#[pyfunction]
#[pyo3(signature = (map, reach, pad, divide, gain=None))]
fn transform_map<'py>(
    py: Python<'py>,
    map: Floats<'py>,
    reach: Whole,
    pad: Whole,
    divide: bool,
    gain: Option<Floats<'py>>,
) -> PyResult<Bound<'py, PyArray3<Complex32>>> {
    let values = contiguous(&map, "map", 3)?;
    let (reach, size) = (reach.get("reach")?, map.shape()[0]);
    let grid = MapGrid::new(reach, size, pad.get("pad")?)?;
    let side = 2 * reach + 1;
    let one;
    let gain = match &gain {
        Some(gain) => contiguous(gain, "gain", 1)?,
        None => {
            one = vec![1.0; side];
            &one
        }
    };
    let volume = run(py, || maps::transform_map(values, grid, divide, gain))?;
    volume.into_pyarray(py).reshape([side, side, reach + 1])
}

#[pyfunction]
fn shell_products<'py>(
    py: Python<'py>,
    a: PyReadonlyArrayDyn<'py, Complex32>,
    b: PyReadonlyArrayDyn<'py, Complex32>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let reach = reach_of(&a);
    let (first, second) = (contiguous(&a, "a", 3)?, contiguous(&b, "b", 3)?);
    let same = a.shape() == b.shape();
    accept(
        "b",
        format!("of shape {:?}", b.shape()),
        same,
        &format!("the shape of a, {:?}, is needed", a.shape()),
    )?;
    let sums = run(py, || maps::shell_products(first, second, reach))?;
    let shells = sums[0].len();
    sums.concat().into_pyarray(py).reshape([3, shells])
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(correlate_rotations, m)?)?;
    m.add_function(wrap_pyfunction!(map_from_sums, m)?)?;
    m.add_function(wrap_pyfunction!(transform_map, m)?)?;
    m.add_function(wrap_pyfunction!(shell_products, m)?)
}
