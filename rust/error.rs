//! The one error type of the kernels; `bindings::errors` maps it to Python in one place.

/// What can go wrong in a kernel: what was given and what is accepted.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub enum Error {
    /// An argument has a value or a shape that the kernel does not take.
    #[error("{name} is {given}; {accepted}")]
    BadInput {
        /// Argument as the caller knows it.
        name: &'static str,
        /// What was given.
        given: String,
        /// What is accepted, and what to do.
        accepted: String,
    },
}

impl Error {
    /// A [`Error::BadInput`] from anything printable.
    pub fn bad_input(name: &'static str, given: impl ToString, accepted: impl ToString) -> Self {
        Self::BadInput { name, given: given.to_string(), accepted: accepted.to_string() }
    }
}

/// Result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;
