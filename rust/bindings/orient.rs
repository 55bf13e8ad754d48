//! Orientation search.

use super::agree;
use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use super::frames::{Matches, PolishedPoses, PosedFrames, PyPosedFrames, match_arrays, polished_arrays};
use crate::error::Error;
use crate::orient::hmm::{Step, forward_backward};
use crate::orient::index::{Indexer, LatticeSpots, RING, Rings, polar_spectra};
use crate::orient::lookup::{AtomModel, MOST_STEPS, look_up, shift_spacing};
use crate::orient::polish::{PolishLimits, polish};
use crate::orient::score::{ShiftWindow, score_candidates};
use crate::volume::{FourierVolume, project};
use num_complex::Complex32;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;

#[pyfunction]
fn polar_power<'py>(
    py: Python<'py>,
    images: PyReadonlyArrayDyn<'py, f32>,
    centres: PyReadonlyArrayDyn<'py, f32>,
    radius: f32,
    padded: usize,
    radii: Vec<f32>,
    weights: PyReadonlyArrayDyn<'py, f32>,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let size = images.as_array().shape().last().copied().unwrap_or(0);
    let pixels = contiguous(&images, "images", 3)?;
    let centres = rows(contiguous(&centres, "centres", 2)?, "centres")?;
    let weights = contiguous(&weights, "weights", 2)?;
    agree("images", pixels.len(), centres.len() * size * size)?;
    agree("weights", weights.len(), size * (size / 2 + 1))?;
    let rings = Rings { radii };
    let polar = py.detach(|| polar_spectra(pixels, size, centres, radius, padded, &rings, weights))?;
    polar.into_pyarray(py).reshape([centres.len(), rings.radii.len(), RING])
}

type Candidates<'py> = (Bound<'py, PyArray4<f32>>, Bound<'py, PyArray2<f32>>);

#[pyfunction]
fn index_frames<'py>(
    py: Python<'py>,
    polar: PyReadonlyArrayDyn<'py, f32>,
    radii: Vec<f32>,
    spots: PyReadonlyArrayDyn<'py, f32>,
    power: Vec<f32>,
    diameter: f32,
    directions: PyReadonlyArrayDyn<'py, f32>,
    count: usize,
) -> PyResult<Candidates<'py>> {
    let frames = polar.as_array().shape()[0];
    let polar = contiguous(&polar, "polar", 3)?;
    agree("polar", polar.len(), frames * radii.len() * RING)?;
    let points: &[[f32; 3]] = rows(contiguous(&spots, "spots", 2)?, "spots")?;
    agree("power", power.len(), points.len())?;
    let directions = rows(contiguous(&directions, "directions", 2)?, "directions")?;
    let spots = LatticeSpots { points: points.to_vec(), power, diameter };
    let found = py.detach(|| Indexer::new(&spots, directions, &Rings { radii }).candidates(polar, count));
    let matrices: Vec<f32> = found.iter().flat_map(|c| c.rotation.into_iter().flatten()).collect();
    let scores: Vec<f32> = found.iter().map(|c| c.score).collect();
    Ok((
        matrices.into_pyarray(py).reshape([frames, count, 3, 3])?,
        scores.into_pyarray(py).reshape([frames, count])?,
    ))
}

type Smoothed<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<i64>>, f64, f64);

#[pyfunction]
fn smooth_candidates<'py>(
    py: Python<'py>,
    states: PyReadonlyArrayDyn<'py, f32>,
    emission: PyReadonlyArrayDyn<'py, f32>,
    left: PyReadonlyArrayDyn<'py, f32>,
    right: PyReadonlyArrayDyn<'py, f32>,
    sigma: f32,
    jump: f32,
    volume: f32,
) -> PyResult<Smoothed<'py>> {
    let count = emission.as_array().shape().last().copied().unwrap_or(0);
    let states = rows(contiguous(&states, "states", 3)?, "states")?;
    let emission = contiguous(&emission, "emission", 2)?;
    agree("emission", emission.len(), states.len())?;
    let left = rows(contiguous(&left, "left", 2)?, "left")?;
    let right = rows(contiguous(&right, "right", 2)?, "right")?;
    let step = Step { sigma, jump, volume };
    let result = py.detach(|| forward_backward(states, emission, count, left, right, step));
    let frames = emission.len() / count.max(1);
    let path: Vec<i64> = result.path.iter().map(|&i| i as i64).collect();
    let probability = result.probability.into_pyarray(py).reshape([frames, count])?;
    Ok((probability, path.into_pyarray(py), result.step_square, result.jumps))
}

/// At least one view of volumes (…, 2K+1, 2K+1, K+1), of `axes` axes in all, each of which reaches shell `max_shell`.
fn views<'a>(
    volumes: &'a PyReadonlyArrayDyn<'_, Complex32>,
    name: &'static str,
    axes: usize,
    pad: usize,
    max_shell: usize,
) -> PyResult<Vec<FourierVolume<'a>>> {
    let data = contiguous(volumes, name, axes)?;
    let shape = volumes.shape();
    let len: usize = shape[axes - 3..].iter().product();
    let reach = shape[axes - 1].saturating_sub(1);
    let views: Vec<_> =
        data.chunks(len.max(1)).map(|v| FourierVolume::new(v, reach, pad)).collect::<Result<_, _>>()?;
    match views.iter().map(FourierVolume::max_shell).min() {
        Some(given) if given < max_shell => {
            let given = format!("up to shell {given}");
            Err(Error::bad_input(name, given, format!("shell {max_shell} is needed")).into())
        }
        Some(_) => Ok(views),
        None => Err(Error::bad_input(name, "empty", "a volume is needed").into()),
    }
}

/// Which of `count` volumes or models each of the frames meets.
fn one_of(
    array: &PyReadonlyArrayDyn<'_, i32>,
    name: &'static str,
    count: usize,
    frames: usize,
) -> PyResult<Vec<usize>> {
    let chosen = indices(contiguous(array, name, 1)?, name, count)?;
    agree(name, chosen.len(), frames)?;
    Ok(chosen)
}

#[pyfunction]
fn score_poses<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    steps: usize,
    spacing: f32,
) -> PyResult<Matches<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, frame_of, frames, .. } = posed.check()?;
    let views = views(&volumes, "volumes", 4, pad, plane.max_shell)?;
    let volume_of = one_of(&volume_of, "volume_of", views.len(), frames)?;
    let window = ShiftWindow { steps, spacing };
    let found = py.detach(|| {
        score_candidates(spectra, plane, weights, &views, &volume_of, rotations, &frame_of, window)
    });
    match_arrays(py, &found)
}

type Looks<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray2<f32>>);

#[pyfunction]
fn look_up_poses<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    filters: PyReadonlyArrayDyn<'py, f32>,
    positions: PyReadonlyArrayDyn<'py, f32>,
    heights: PyReadonlyArrayDyn<'py, f32>,
    atoms: Vec<usize>,
    model_of: PyReadonlyArrayDyn<'py, i32>,
    steps: usize,
) -> PyResult<Looks<'py>> {
    let PosedFrames { spectra, plane, rotations, shifts, frame_of, frames, .. } = posed.check()?;
    let filters: Vec<&[f32]> = contiguous(&filters, "filters", 2)?.chunks(plane.len()).collect();
    agree("filters", filters.len(), atoms.len())?;
    agree("filters", filters.iter().map(|f| f.len()).sum(), atoms.len() * plane.len())?;
    let mut positions: &[[f32; 3]] = rows(contiguous(&positions, "positions", 2)?, "positions")?;
    let mut heights = contiguous(&heights, "heights", 1)?;
    agree("positions", positions.len(), atoms.iter().sum())?;
    agree("heights", heights.len(), positions.len())?;
    let mut models = Vec::with_capacity(atoms.len());
    for &count in &atoms {
        let ((p, more), (h, further)) = (positions.split_at(count), heights.split_at(count));
        models.push(AtomModel { positions: p, heights: h });
        (positions, heights) = (more, further);
    }
    let model_of = one_of(&model_of, "model_of", models.len(), frames)?;
    if !frame_of.is_sorted() {
        return Err(Error::bad_input("frame_of", "not ascending", "sort the candidates by frame").into());
    }
    if steps > MOST_STEPS {
        return Err(Error::bad_input("steps", steps.to_string(), format!("at most {MOST_STEPS}")).into());
    }
    let found = py.detach(|| {
        look_up(spectra, plane, &filters, &models, &model_of, rotations, &frame_of, shifts, steps)
    });
    let shifts: Vec<f32> = found.iter().flat_map(|m| m.shift).collect();
    Ok((
        found.iter().map(|m| m.overlap).collect::<Vec<_>>().into_pyarray(py),
        shifts.into_pyarray(py).reshape([found.len(), 2])?,
    ))
}

/// Distance (px) of the shifts that `look_up_poses` tries.
#[pyfunction]
fn look_up_spacing(plane: &PyHalfPlane) -> f32 {
    shift_spacing(&plane.0)
}

#[pyfunction]
fn polish_poses<'py>(
    py: Python<'py>,
    posed: PyPosedFrames<'py>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    iterations: usize,
    max_turn: f32,
    max_shift: f32,
) -> PyResult<PolishedPoses<'py>> {
    let PosedFrames { spectra, plane, weights, rotations, shifts, frame_of, frames } = posed.check()?;
    let views = views(&volumes, "volumes", 4, pad, plane.max_shell)?;
    let volume_of = one_of(&volume_of, "volume_of", views.len(), frames)?;
    let limits = PolishLimits { iterations, max_turn, max_shift };
    let found = py
        .detach(|| polish(spectra, plane, weights, &views, &volume_of, rotations, shifts, &frame_of, limits));
    polished_arrays(py, &found)
}

#[pyfunction]
fn project_slices<'py>(
    py: Python<'py>,
    volume: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    pad: usize,
    rotations: PyReadonlyArrayDyn<'py, f32>,
) -> PyResult<Bound<'py, PyArray2<Complex32>>> {
    let plane = &plane.0;
    let poses = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let view = &views(&volume, "volume", 3, pad, plane.max_shell)?[0];
    let slices = py.detach(|| project(view, plane, poses));
    slices.into_pyarray(py).reshape([poses.len(), plane.len()])
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(polar_power, m)?)?;
    m.add_function(wrap_pyfunction!(index_frames, m)?)?;
    m.add_function(wrap_pyfunction!(smooth_candidates, m)?)?;
    m.add_function(wrap_pyfunction!(score_poses, m)?)?;
    m.add_function(wrap_pyfunction!(look_up_poses, m)?)?;
    m.add_function(wrap_pyfunction!(look_up_spacing, m)?)?;
    m.add_function(wrap_pyfunction!(project_slices, m)?)?;
    m.add_function(wrap_pyfunction!(polish_poses, m)?)
}
