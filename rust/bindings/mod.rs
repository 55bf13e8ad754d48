//! Python bindings: convert, release the interpreter, call the kernel, convert back.

#![allow(clippy::too_many_arguments, reason = "a binding function mirrors its NumPy signature")]

mod convert;
mod errors;
mod fourier;
mod frames;
mod index;
mod model;
mod motion;
mod orient;
mod reconstruct;
mod run;
mod solve;

use pyo3::prelude::*;

/// The extension module `single_rs._core`; each kernel file registers its own functions.
#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    fourier::register(m)?;
    index::register(m)?;
    model::register(m)?;
    motion::register(m)?;
    orient::register(m)?;
    reconstruct::register(m)?;
    run::register(m)?;
    solve::register(m)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
