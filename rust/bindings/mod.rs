//! Python bindings: convert, release the interpreter, call the kernel, convert back.

mod errors;

use pyo3::prelude::*;

/// The extension module `single_rs._core`; each kernel file registers its own functions.
#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(m)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_function(wrap_pyfunction!(threads, m)?)?;
    Ok(())
}

/// Number of threads the kernels use (`RAYON_NUM_THREADS`, else the number of cores).
#[pyfunction]
fn threads() -> usize {
    rayon::current_num_threads()
}
