//! How every kernel runs: without the interpreter, on this process's own threads, with panics caught.

use crate::check::within;
use crate::error::{Error, Result};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// The threads of the process of this number. A forked child has none of its parent's threads and would wait for them
/// for ever, so it makes its own; the parent's pool is never dropped, since that would call those threads.
static POOL: Mutex<Option<(u32, &'static ThreadPool)>> = Mutex::new(None);

/// Threads a processor at most, and threads that any machine may have: more only wait for each other.
const MOST_PER_PROCESSOR: usize = 4;
const ALWAYS_ALLOWED: usize = 64;

/// Run a kernel.
pub(super) fn run<T: Send>(py: Python<'_>, kernel: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    let pool = pool(py)?;
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(|| pool.install(kernel))));
    Ok(done.map_err(|panic| internal(&*panic))??)
}

/// A panic is a mistake of ours; as an ordinary exception it costs one particle and not the run.
fn internal(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    PyRuntimeError::new_err(format!("a kernel failed: {text}; please report this with the arguments"))
}

/// The pool of this process. The interpreter is held meanwhile, so no fork can happen while the lock is taken.
fn pool(_py: Python<'_>) -> PyResult<&'static ThreadPool> {
    let mut known = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((owner, pool)) = *known
        && owner == process
    {
        return Ok(pool);
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(number_of_threads()?)
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("no threads for the kernels: {error}")))?;
    let pool: &'static ThreadPool = Box::leak(Box::new(pool));
    *known = Some((process, pool));
    Ok(pool)
}

/// `RAYON_NUM_THREADS`; the number of processors when it is not set, empty or 0.
fn number_of_threads() -> Result<usize> {
    const NAME: &str = "RAYON_NUM_THREADS";
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = ALWAYS_ALLOWED.max(MOST_PER_PROCESSOR * processors);
    let set = std::env::var_os(NAME).unwrap_or_default();
    let text = set.to_string_lossy();
    if text.is_empty() || text == "0" {
        return Ok(processors);
    }
    let wrong = |_| Error::bad_input(NAME, &text, format!("a whole number from 1 to {most} is needed"));
    let threads = text.trim().parse().map_err(wrong)?;
    within(NAME, threads, 1..=most)?;
    Ok(threads)
}

/// Number of threads the kernels use (`RAYON_NUM_THREADS`, else the number of processors).
#[pyfunction]
fn threads(py: Python<'_>) -> PyResult<usize> {
    Ok(pool(py)?.current_num_threads())
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(threads, m)?)
}
