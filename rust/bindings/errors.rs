//! Kernel errors to Python exceptions, in one place.

use crate::error::Error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(
    _core,
    ConvergenceError,
    pyo3::exceptions::PyRuntimeError,
    "An iteration ended without meeting its tolerance."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::BadInput { .. } => PyValueError::new_err(error.to_string()),
            Error::NoConvergence { .. } => ConvergenceError::new_err(error.to_string()),
        }
    }
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("ConvergenceError", m.py().get_type::<ConvergenceError>())
}
