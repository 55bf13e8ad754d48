//! The state of the pose search, and what its rounds compute beside the look-ups of `orient`.
//!
//! - [`alignment`]: one Fourier volume compared with another under many rotations;
//! - [`maps`]: maps of accumulated slices, and Fourier volumes of maps.

pub mod alignment;
pub mod maps;
