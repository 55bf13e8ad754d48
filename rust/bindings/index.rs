//! Orientation of frames by their power spectra.

use super::convert::{Whole, contiguous, rows};
use super::run::run;
use crate::check::accept;
use crate::error::Result;
use crate::orient::emc::Emc;
use crate::orient::index::{Candidate, Indexer, LatticeSpots};
use crate::orient::intensity::Intensity;
use crate::orient::polar::{RING, Rings, polar_spectra};
use numpy::{
    IntoPyArray, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

#[pyfunction]
fn polar_power<'py>(
    py: Python<'py>,
    images: PyReadonlyArrayDyn<'py, f32>,
    centres: PyReadonlyArrayDyn<'py, f32>,
    radius: f32,
    padded: Whole,
    radii: Vec<f32>,
    weights: PyReadonlyArrayDyn<'py, f32>,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let pixels = contiguous(&images, "images", 3)?;
    let size = images.shape()[2];
    let centres = rows(&centres, "centres", 2)?;
    let weights = contiguous(&weights, "weights", 2)?;
    let (padded, rings) = (padded.get("padded")?, Rings::new(radii)?);
    let polar = run(py, || polar_spectra(pixels, size, centres, radius, padded, &rings, weights))?;
    polar.into_pyarray(py).reshape([centres.len(), rings.len(), RING])
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
    count: Whole,
) -> PyResult<Candidates<'py>> {
    let polar = spectra(&polar)?;
    let points: &[[f32; 3]] = rows(&spots, "spots", 2)?;
    let directions = rows(&directions, "directions", 2)?;
    let (rings, count) = (Rings::new(radii)?, count.get("count")?);
    let spots = LatticeSpots { points: points.to_vec(), power, diameter };
    let found = run(py, || Indexer::new(&spots, directions, &rings)?.candidates(polar, count))?;
    given(py, &found, count)
}

/// Polar power spectra (n, ring, angle).
fn spectra<'a>(polar: &'a PyReadonlyArrayDyn<'_, f32>) -> Result<&'a [f32]> {
    let values = contiguous(polar, "polar", 3)?;
    let angles = polar.shape()[2];
    accept("polar", format!("of {angles} angles"), angles == RING, "128 on each ring are needed")?;
    Ok(values)
}

fn given<'py>(py: Python<'py>, found: &[Candidate], count: usize) -> PyResult<Candidates<'py>> {
    let matrices: Vec<f32> = found.iter().flat_map(|c| c.rotation.into_iter().flatten()).collect();
    let scores: Vec<f32> = found.iter().map(|c| c.score).collect();
    let frames = found.len() / count;
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
    size: Whole,
    directions: PyReadonlyArrayDyn<'py, f32>,
    count: Whole,
) -> PyResult<Candidates<'py>> {
    let polar = spectra(&polar)?;
    let intensity = contiguous(&intensity, "intensity", 3)?;
    let directions = rows(&directions, "directions", 2)?;
    let (rings, size, count) = (Rings::new(radii)?, size.get("size")?, count.get("count")?);
    let found = run(py, || {
        let intensity = Intensity::new(intensity.to_vec())?;
        Indexer::from_intensity(&intensity, directions, &rings, size)?.candidates(polar, count)
    })?;
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
        size: Whole,
        folds: Vec<Whole>,
        directions: PyReadonlyArrayDyn<'_, f32>,
    ) -> PyResult<Self> {
        let polar = spectra(&polar)?;
        let directions = rows(&directions, "directions", 2)?;
        let (rings, size) = (Rings::new(radii)?, size.get("size")?);
        let folds = folds.into_iter().map(|n| n.get("folds")).collect::<Result<Vec<_>>>()?;
        Ok(Self { emc: run(py, || Emc::new(polar, &rings, size, &folds, directions))? })
    }

    /// Held-out intensities (fold, z, y, x) of the frames in the given rotations.
    fn merge<'py>(
        &self,
        py: Python<'py>,
        rotations: PyReadonlyArrayDyn<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let rotations = super::convert::rotations(&rotations, "rotations")?;
        cubes(py, &run(py, || self.emc.merge(rotations))?)
    }

    /// The next intensities, and of this round the score of the best orientation and the spread.
    fn round<'py>(
        &self,
        py: Python<'py>,
        held_out: PyReadonlyArrayDyn<'py, f32>,
        belief: f32,
    ) -> PyResult<(Bound<'py, PyArray4<f32>>, f64, f64)> {
        let values = contiguous(&held_out, "held_out", 4)?;
        let cube = values.len() / held_out.shape()[0].max(1);
        accept("held_out", "empty", cube > 0, "one intensity for each fold is needed")?;
        let (next, round) = run(py, || {
            let held_out =
                values.chunks(cube).map(|v| Intensity::new(v.to_vec())).collect::<Result<Vec<_>>>()?;
            self.emc.round(&held_out, belief)
        })?;
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
