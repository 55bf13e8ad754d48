//! Half planes and packed spectra.

use super::convert::{Whole, contiguous, rows};
use super::run::run;
use crate::fourier::{HalfPlane, pack_spectra};
use num_complex::Complex32;
use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Frequencies of half an image's Fourier plane between two shells.
#[pyclass(name = "HalfPlane", frozen, module = "single_rs._core")]
pub(super) struct PyHalfPlane(pub(super) HalfPlane);

#[pymethods]
impl PyHalfPlane {
    #[new]
    fn new(size: Whole, min_shell: Whole, max_shell: Whole) -> PyResult<Self> {
        let (min_shell, max_shell) = (min_shell.get("min_shell")?, max_shell.get("max_shell")?);
        Ok(Self(HalfPlane::new(size.get("size")?, min_shell, max_shell)?))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn size(&self) -> usize {
        self.0.size
    }

    #[getter]
    fn max_shell(&self) -> usize {
        self.0.max_shell
    }

    fn frequencies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<i32>>> {
        let flat: Vec<i32> = self.0.frequencies().iter().flat_map(|&(x, y)| [x, y]).collect();
        flat.into_pyarray(py).reshape([self.0.len(), 2])
    }

    fn pack<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArrayDyn<'py, f32>,
        centres: PyReadonlyArrayDyn<'py, f32>,
        radius: f32,
        edge: f32,
    ) -> PyResult<Bound<'py, PyArray2<Complex32>>> {
        let pixels = contiguous(&images, "images", 3)?;
        let centres = rows(&centres, "centres", 2)?;
        let packed = run(py, || pack_spectra(pixels, &self.0, centres, radius, edge))?;
        packed.into_pyarray(py).reshape([centres.len(), self.0.len()])
    }
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyHalfPlane>()
}
