//! Kernels of `single_rs`: motion correction, orientation search, Fourier reconstruction and the atomic model.
//!
//! The kernels know nothing of Python; the `python` feature adds `bindings`, which only converts,
//! releases the interpreter, calls and converts back. Conventions that hold everywhere:
//!
//! - images are `(n, y, x)`, maps `(z, y, x)`, x fastest, `f32`, even boxes, centre at voxel `N / 2`;
//! - a rotation `R` carries particle coordinates to the laboratory: `x_lab = R · x_particle`;
//! - the beam runs along laboratory z, a projection sums over z, so the image frequency `(kx, ky)`
//!   is the particle's frequency `k = kx · R[0] + ky · R[1]` (central slice theorem);
//! - results are the same to the last bit for any number of threads.

pub mod check;
pub mod error;
pub mod fourier;
pub mod frames;
pub mod lanes;
pub mod model;
pub mod motion;
pub mod orient;
pub mod reconstruct;
pub mod solve;
pub mod volume;

#[cfg(feature = "python")]
mod bindings;
