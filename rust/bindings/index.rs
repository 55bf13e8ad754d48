//! Orientation of frames by their power spectra.

use super::agree;
use super::convert::{contiguous, rows};
use crate::error::Error;
use crate::orient::emc::Emc;
use crate::orient::index::{Candidate, Indexer, LatticeSpots, RING, Rings, polar_spectra};
use crate::orient::intensity::Intensity;
use numpy::{IntoPyArray, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArrayDyn};
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
    given(py, &found, count)
}

fn given<'py>(py: Python<'py>, found: &[Candidate], count: usize) -> PyResult<Candidates<'py>> {
    let matrices: Vec<f32> = found.iter().flat_map(|c| c.rotation.into_iter().flatten()).collect();
    let scores: Vec<f32> = found.iter().map(|c| c.score).collect();
    let frames = found.len() / count.max(1);
    Ok((
        matrices.into_pyarray(py).reshape([frames, count, 3, 3])?,
        scores.into_pyarray(py).reshape([frames, count])?,
    ))
}

/// The best states of frames against an intensity (z, y, x) instead of a lattice.
#[pyfunction]
fn index_in_intensity<'py>(
    py: Python<'py>,
    polar: PyReadonlyArrayDyn<'py, f32>,
    radii: Vec<f32>,
    intensity: PyReadonlyArrayDyn<'py, f32>,
    size: usize,
    directions: PyReadonlyArrayDyn<'py, f32>,
    count: usize,
) -> PyResult<Candidates<'py>> {
    let frames = polar.as_array().shape()[0];
    let polar = contiguous(&polar, "polar", 3)?;
    agree("polar", polar.len(), frames * radii.len() * RING)?;
    let intensity = Intensity::new(contiguous(&intensity, "intensity", 3)?.to_vec())?;
    let last = radii.last().map_or(0.0, |k| k * size as f32);
    if last + 1.0 > intensity.reach as f32 {
        return Err(
            Error::bad_input("radii", last, format!("{} grid steps at most", intensity.reach - 1)).into()
        );
    }
    let directions = rows(contiguous(&directions, "directions", 2)?, "directions")?;
    let rings = Rings { radii };
    let found =
        py.detach(|| Indexer::from_intensity(&intensity, directions, &rings, size).candidates(polar, count));
    given(py, &found, count)
}

/// Expand-maximise-compress on the power spectra of frames.
#[pyclass(frozen, module = "single_rs._core")]
struct IntensityMerge {
    emc: Emc,
}

#[pymethods]
impl IntensityMerge {
    #[new]
    fn new(
        py: Python<'_>,
        polar: PyReadonlyArrayDyn<'_, f32>,
        radii: Vec<f32>,
        size: usize,
        folds: Vec<usize>,
        directions: PyReadonlyArrayDyn<'_, f32>,
    ) -> PyResult<Self> {
        let polar = contiguous(&polar, "polar", 3)?;
        let directions = rows(contiguous(&directions, "directions", 2)?, "directions")?;
        let emc = py.detach(|| Emc::new(polar, &Rings { radii }, size, &folds, directions))?;
        Ok(Self { emc })
    }

    /// Held-out intensities (fold, z, y, x) of the frames in the given rotations.
    fn merge<'py>(
        &self,
        py: Python<'py>,
        rotations: PyReadonlyArrayDyn<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let rotations = super::convert::rotations(contiguous(&rotations, "rotations", 3)?, "rotations")?;
        cubes(py, &py.detach(|| self.emc.merge(rotations))?)
    }

    /// The next intensities, and of this round the score of the best orientation and the spread.
    fn round<'py>(
        &self,
        py: Python<'py>,
        held_out: PyReadonlyArrayDyn<'py, f32>,
        belief: f32,
    ) -> PyResult<(Bound<'py, PyArray4<f32>>, f64, f64)> {
        let folds = held_out.as_array().shape()[0].max(1);
        let values = contiguous(&held_out, "held_out", 4)?;
        let held_out: crate::error::Result<Vec<Intensity>> =
            values.chunks(values.len() / folds).map(|v| Intensity::new(v.to_vec())).collect();
        let held_out = held_out?;
        let (next, round) = py.detach(|| self.emc.round(&held_out, belief))?;
        Ok((cubes(py, &next)?, round.best, round.spread))
    }
}

fn cubes<'py>(py: Python<'py>, intensities: &[Intensity]) -> PyResult<Bound<'py, PyArray4<f32>>> {
    let side = 2 * intensities[0].reach + 1;
    let values: Vec<f32> = intensities.iter().flat_map(|i| i.values.iter().copied()).collect();
    values.into_pyarray(py).reshape([intensities.len(), side, side, side])
}

/// Register the functions with the module.
pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(polar_power, m)?)?;
    m.add_function(wrap_pyfunction!(index_frames, m)?)?;
    m.add_function(wrap_pyfunction!(index_in_intensity, m)?)?;
    m.add_class::<IntensityMerge>()
}
