//! Kernel errors to Python exceptions, in one place.

use crate::error::Error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::BadInput { .. } => PyValueError::new_err(error.to_string()),
        }
    }
}
