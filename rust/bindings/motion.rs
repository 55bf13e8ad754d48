//! Bindings of `motion`; documented in `single_rs/motion.py`.

use super::convert::Whole;
use super::run::run;
use crate::motion;
use numpy::{
    Complex32, Complex64, IntoPyArray, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3, PyReadwriteArray2, PyReadwriteArray3,
};
use pyo3::prelude::*;

/// Frames in the type of the file.
#[derive(FromPyObject)]
enum Frames<'py> {
    #[pyo3(transparent)]
    Signed8(PyReadonlyArray3<'py, i8>),
    #[pyo3(transparent)]
    Unsigned8(PyReadonlyArray3<'py, u8>),
    #[pyo3(transparent)]
    Signed16(PyReadonlyArray3<'py, i16>),
    #[pyo3(transparent)]
    Unsigned16(PyReadonlyArray3<'py, u16>),
    #[pyo3(transparent)]
    Real(PyReadonlyArray3<'py, f32>),
}

/// Calls a kernel with the frames, whatever their type.
macro_rules! of_any_type {
    ($given:ident, |$frames:ident| $call:expr) => {
        match &$given {
            Frames::Signed8(values) => {
                let $frames = values.as_array();
                $call
            }
            Frames::Unsigned8(values) => {
                let $frames = values.as_array();
                $call
            }
            Frames::Signed16(values) => {
                let $frames = values.as_array();
                $call
            }
            Frames::Unsigned16(values) => {
                let $frames = values.as_array();
                $call
            }
            Frames::Real(values) => {
                let $frames = values.as_array();
                $call
            }
        }
    };
}

#[pyfunction]
fn motion_frame_statistics<'py>(
    py: Python<'py>,
    frames: Frames<'py>,
    low: f32,
    high: f32,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let found = of_any_type!(frames, |values| run(py, || motion::frame_statistics(values, low, high)))?;
    Ok(found.into_pyarray(py))
}

#[pyfunction]
fn motion_local_median<'py>(
    py: Python<'py>,
    image: PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let image = image.as_array();
    Ok(run(py, || motion::local_median(image))?.into_pyarray(py))
}

#[pyfunction]
fn motion_local_variance<'py>(
    py: Python<'py>,
    frames: Frames<'py>,
    bad: PyReadonlyArray2<'py, bool>,
    ceiling: f32,
    gain: PyReadonlyArray2<'py, f32>,
    cell: Whole,
    margin: Whole,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let (cell, margin) = (cell.get("cell")?, margin.get("margin")?);
    let (bad, gain) = (bad.as_array(), gain.as_array());
    let found = of_any_type!(frames, |values| run(py, || {
        motion::local_variance(values, bad, ceiling, gain, cell, margin)
    }))?;
    Ok(found.into_pyarray(py))
}

#[pyfunction]
fn motion_accumulate_pixels(
    py: Python<'_>,
    frames: Frames<'_>,
    mut sum: PyReadwriteArray2<'_, f64>,
    mut square: PyReadwriteArray2<'_, f64>,
    mut maximum: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let (sum, square, maximum) = (sum.as_array_mut(), square.as_array_mut(), maximum.as_array_mut());
    of_any_type!(frames, |values| run(py, || motion::accumulate_pixels(values, sum, square, maximum)))
}

#[pyfunction]
fn motion_repair(
    py: Python<'_>,
    mut frames: PyReadwriteArray3<'_, f32>,
    bad: PyReadonlyArray2<'_, bool>,
    ceiling: f32,
) -> PyResult<()> {
    let (frames, bad) = (frames.as_array_mut(), bad.as_array());
    run(py, || motion::repair(frames, bad, ceiling))
}

#[pyfunction]
fn motion_tile_spectra<'py>(
    py: Python<'py>,
    frames: PyReadonlyArray3<'py, f32>,
    origins: PyReadonlyArray3<'py, i64>,
    size: Whole,
    keep: PyReadonlyArray2<'py, u32>,
) -> PyResult<Bound<'py, PyArray3<Complex32>>> {
    let size = size.get("size")?;
    let (frames, origins, keep) = (frames.as_array(), origins.as_array(), keep.as_array());
    Ok(run(py, || motion::tile_spectra(frames, origins, size, keep))?.into_pyarray(py))
}

#[pyfunction]
fn motion_accumulate_reference(
    py: Python<'_>,
    spectra: PyReadonlyArray3<'_, Complex32>,
    residual: PyReadonlyArray2<'_, f64>,
    frequency: PyReadonlyArray3<'_, f32>,
    weight: PyReadonlyArray1<'_, f64>,
    mut sum: PyReadwriteArray2<'_, Complex64>,
    mut power: PyReadwriteArray2<'_, f64>,
) -> PyResult<()> {
    let (spectra, residual, frequency, weight) =
        (spectra.as_array(), residual.as_array(), frequency.as_array(), weight.as_array());
    let (sum, power) = (sum.as_array_mut(), power.as_array_mut());
    run(py, || motion::accumulate_reference(spectra, residual, frequency, weight, sum, power))
}

#[pyfunction]
fn motion_shift_score<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArray3<'py, Complex32>,
    residual: PyReadonlyArray2<'py, f64>,
    frequency: PyReadonlyArray3<'py, f32>,
    filter: PyReadonlyArray2<'py, Complex32>,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let (spectra, residual, frequency, filter) =
        (spectra.as_array(), residual.as_array(), frequency.as_array(), filter.as_array());
    Ok(run(py, || motion::shift_score(spectra, residual, frequency, filter))?.into_pyarray(py))
}

#[pyfunction]
fn motion_chunk_velocity(
    py: Python<'_>,
    spectra: PyReadonlyArray2<'_, Complex32>,
    times: PyReadonlyArray1<'_, i64>,
    frequency: PyReadonlyArray2<'_, f32>,
    weight: PyReadonlyArray1<'_, f32>,
    fastest: f64,
) -> PyResult<(f64, f64, f64)> {
    let (spectra, times, frequency, weight) =
        (spectra.as_array(), times.as_array(), frequency.as_array(), weight.as_array());
    let [x, y, clarity] = run(py, || motion::chunk_velocity(spectra, times, frequency, weight, fastest))?;
    Ok((x, y, clarity))
}

#[pyfunction]
fn motion_track_chunks<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArray2<'py, Complex32>,
    step: PyReadonlyArray2<'py, f64>,
    frequency: PyReadonlyArray2<'py, f32>,
    weight: PyReadonlyArray1<'py, f32>,
    radius: f64,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (spectra, step, frequency, weight) =
        (spectra.as_array(), step.as_array(), frequency.as_array(), weight.as_array());
    Ok(run(py, || motion::track_chunks(spectra, step, frequency, weight, radius))?.into_pyarray(py))
}

type PyDrift<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>, f64, f64);

#[pyfunction]
fn motion_smooth<'py>(
    py: Python<'py>,
    measured: PyReadonlyArray2<'py, f64>,
    information: PyReadonlyArray2<'py, f64>,
) -> PyResult<PyDrift<'py>> {
    let (measured, information) = (measured.as_array(), information.as_array());
    let drift = run(py, || motion::best_drift(measured, information))?;
    Ok((drift.shifts.into_pyarray(py), drift.variance.into_pyarray(py), drift.jitter, drift.wander))
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(motion_frame_statistics, m)?)?;
    m.add_function(wrap_pyfunction!(motion_accumulate_pixels, m)?)?;
    m.add_function(wrap_pyfunction!(motion_local_median, m)?)?;
    m.add_function(wrap_pyfunction!(motion_local_variance, m)?)?;
    m.add_function(wrap_pyfunction!(motion_repair, m)?)?;
    m.add_function(wrap_pyfunction!(motion_tile_spectra, m)?)?;
    m.add_function(wrap_pyfunction!(motion_accumulate_reference, m)?)?;
    m.add_function(wrap_pyfunction!(motion_shift_score, m)?)?;
    m.add_function(wrap_pyfunction!(motion_chunk_velocity, m)?)?;
    m.add_function(wrap_pyfunction!(motion_track_chunks, m)?)?;
    m.add_function(wrap_pyfunction!(motion_smooth, m)?)
}
