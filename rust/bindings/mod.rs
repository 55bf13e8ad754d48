//! Python bindings: convert, release the interpreter, call the kernel, convert back.

mod convert;
mod errors;
mod fourier;
mod frames;
mod index;
mod model;
mod motion;
mod orient;
mod reconstruct;

use pyo3::prelude::*;

/// The extension module `single_rs._core`; each kernel file registers its own functions.
#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(m)?;
    fourier::register(m)?;
    index::register(m)?;
    model::register(m)?;
    motion::register(m)?;
    orient::register(m)?;
    reconstruct::register(m)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_function(wrap_pyfunction!(threads, m)?)?;
    Ok(())
}

/// Number of threads the kernels use (`RAYON_NUM_THREADS`, else the number of cores).
#[pyfunction]
fn threads() -> usize {
    rayon::current_num_threads()
}

/// Check that an array has the number of values its partners call for.
fn agree(name: &'static str, given: usize, needed: usize) -> PyResult<()> {
    if given == needed {
        return Ok(());
    }
    Err(crate::error::Error::bad_input(name, format!("{given} values"), format!("{needed} are needed"))
        .into())
}
