//! Orientation search.

use super::agree;
use super::convert::{contiguous, indices, rotations, rows};
use super::fourier::PyHalfPlane;
use crate::error::Error;
use crate::orient::hmm::{Step, forward_backward};
use crate::orient::index::{Indexer, LatticeSpots, RING, Rings, polar_spectra};
use crate::orient::lookup::{AtomModel, MOST_STEPS, look_up, shift_spacing};
use crate::orient::polish::{PolishLimits, polish};
use crate::orient::score::{ShiftWindow, score_candidates};
use crate::volume::{FourierVolume, Rotation, project};
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArrayDyn};
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

/// Views of several volumes given as one (v, 2K+1, 2K+1, K+1) array.
fn volumes<'a>(data: &'a [Complex32], shape: &[usize], pad: usize) -> PyResult<Vec<FourierVolume<'a>>> {
    let len: usize = shape[1..].iter().product();
    let reach = shape.last().copied().unwrap_or(1).saturating_sub(1);
    Ok(data.chunks(len.max(1)).map(|v| FourierVolume::new(v, reach, pad)).collect::<Result<_, _>>()?)
}

/// Check that every volume reaches the plane's last shell.
fn check_reach(volumes: &[FourierVolume<'_>], max_shell: usize) -> PyResult<()> {
    match volumes.iter().map(FourierVolume::max_shell).min() {
        Some(reach) if reach < max_shell => {
            let given = format!("up to shell {reach}");
            Err(Error::bad_input("volumes", given, format!("shell {max_shell} is needed")).into())
        }
        _ => Ok(()),
    }
}

type Scores<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray2<f32>>);

#[pyfunction]
fn score_poses<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: PyReadonlyArrayDyn<'py, f32>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    rotations: PyReadonlyArrayDyn<'py, f32>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
    steps: usize,
    spacing: f32,
) -> PyResult<Scores<'py>> {
    let plane = &plane.0;
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let frames = spectra.len() / plane.len();
    let weights = contiguous(&weights, "weights", 1)?;
    agree("weights", weights.len(), plane.len())?;
    let candidates = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shape = volumes.as_array().shape().to_vec();
    let views = self::volumes(contiguous(&volumes, "volumes", 4)?, &shape, pad)?;
    check_reach(&views, plane.max_shell)?;
    let volume_of = indices(contiguous(&volume_of, "volume_of", 1)?, "volume_of", views.len())?;
    let frame_of = indices(contiguous(&frame_of, "frame_of", 1)?, "frame_of", frames)?;
    agree("volume_of", volume_of.len(), frames)?;
    agree("frame_of", frame_of.len(), candidates.len())?;
    let window = ShiftWindow { steps, spacing };
    let found = py.detach(|| {
        score_candidates(spectra, plane, weights, &views, &volume_of, candidates, &frame_of, window)
    });
    let shifts: Vec<f32> = found.iter().flat_map(|m| m.shift).collect();
    Ok((
        found.iter().map(|m| m.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|m| m.power).collect::<Vec<_>>().into_pyarray(py),
        shifts.into_pyarray(py).reshape([found.len(), 2])?,
    ))
}

type Looks<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray2<f32>>);

#[pyfunction]
fn look_up_poses<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    filters: PyReadonlyArrayDyn<'py, f32>,
    positions: PyReadonlyArrayDyn<'py, f32>,
    heights: PyReadonlyArrayDyn<'py, f32>,
    atoms: Vec<usize>,
    model_of: PyReadonlyArrayDyn<'py, i32>,
    rotations: PyReadonlyArrayDyn<'py, f32>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
    starts: PyReadonlyArrayDyn<'py, f32>,
    steps: usize,
) -> PyResult<Looks<'py>> {
    let plane = &plane.0;
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let frames = spectra.len() / plane.len();
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
    let model_of = indices(contiguous(&model_of, "model_of", 1)?, "model_of", models.len())?;
    agree("model_of", model_of.len(), frames)?;
    let candidates = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let frame_of = indices(contiguous(&frame_of, "frame_of", 1)?, "frame_of", frames)?;
    agree("frame_of", frame_of.len(), candidates.len())?;
    if !frame_of.is_sorted() {
        return Err(Error::bad_input("frame_of", "not ascending", "sort the candidates by frame").into());
    }
    let starts = rows(contiguous(&starts, "starts", 2)?, "starts")?;
    agree("starts", starts.len(), candidates.len())?;
    if steps > MOST_STEPS {
        return Err(Error::bad_input("steps", steps.to_string(), format!("at most {MOST_STEPS}")).into());
    }
    let found = py.detach(|| {
        look_up(spectra, plane, &filters, &models, &model_of, candidates, &frame_of, starts, steps)
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

type PolishedPoses<'py> = (
    Bound<'py, PyArray3<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray2<f32>>,
);

#[pyfunction]
fn polish_poses<'py>(
    py: Python<'py>,
    spectra: PyReadonlyArrayDyn<'py, Complex32>,
    plane: &PyHalfPlane,
    weights: PyReadonlyArrayDyn<'py, f32>,
    volumes: PyReadonlyArrayDyn<'py, Complex32>,
    pad: usize,
    volume_of: PyReadonlyArrayDyn<'py, i32>,
    rotations: PyReadonlyArrayDyn<'py, f32>,
    shifts: PyReadonlyArrayDyn<'py, f32>,
    frame_of: PyReadonlyArrayDyn<'py, i32>,
    iterations: usize,
    max_turn: f32,
    max_shift: f32,
) -> PyResult<PolishedPoses<'py>> {
    let plane = &plane.0;
    let spectra = contiguous(&spectra, "spectra", 2)?;
    let frames = spectra.len() / plane.len();
    let weights = contiguous(&weights, "weights", 1)?;
    agree("weights", weights.len(), plane.len())?;
    let start: &[Rotation] = self::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
    let shifts = rows(contiguous(&shifts, "shifts", 2)?, "shifts")?;
    agree("shifts", shifts.len(), start.len())?;
    let shape = volumes.as_array().shape().to_vec();
    let views = self::volumes(contiguous(&volumes, "volumes", 4)?, &shape, pad)?;
    check_reach(&views, plane.max_shell)?;
    let volume_of = indices(contiguous(&volume_of, "volume_of", 1)?, "volume_of", views.len())?;
    let frame_of = indices(contiguous(&frame_of, "frame_of", 1)?, "frame_of", frames)?;
    agree("volume_of", volume_of.len(), frames)?;
    agree("frame_of", frame_of.len(), start.len())?;
    let limits = PolishLimits { iterations, max_turn, max_shift };
    let found =
        py.detach(|| polish(spectra, plane, weights, &views, &volume_of, start, shifts, &frame_of, limits));
    let count = found.len();
    let matrices: Vec<f32> = found.iter().flat_map(|p| p.rotation.into_iter().flatten()).collect();
    let moved: Vec<f32> = found.iter().flat_map(|p| p.shift).collect();
    let errors: Vec<f32> = found.iter().flat_map(|p| p.error).collect();
    Ok((
        matrices.into_pyarray(py).reshape([count, 3, 3])?,
        moved.into_pyarray(py).reshape([count, 2])?,
        found.iter().map(|p| p.overlap).collect::<Vec<_>>().into_pyarray(py),
        found.iter().map(|p| p.power).collect::<Vec<_>>().into_pyarray(py),
        errors.into_pyarray(py).reshape([count, 5])?,
    ))
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
    let shape = volume.as_array().shape().to_vec();
    let reach = shape.last().copied().unwrap_or(1).saturating_sub(1);
    let view = FourierVolume::new(contiguous(&volume, "volume", 3)?, reach, pad)?;
    check_reach(std::slice::from_ref(&view), plane.max_shell)?;
    let slices = py.detach(|| project(&view, plane, poses));
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
