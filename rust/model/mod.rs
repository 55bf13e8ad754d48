//! The atomic model in the frames' own Fourier planes: spectra of projected atoms, and their adjoint.
//!
//! - [`window`]: the spreading window of the non-uniform transform;
//! - [`transform`]: Fourier transforms of eight lines at a time;
//! - [`places`]: points on a grid with these windows;
//! - [`grid`]: sums of plane waves at arbitrary points, and their exact adjoint;
//! - [`atoms`]: atoms, their projection and the channels of the model;
//! - [`pose`]: candidate poses scored and refined against atoms;
//! - [`gradient`]: gradients of the misfit by the atoms, over many frames;
//! - [`normal`]: the normal matrix of all positions, and what unknown poses take away from it;
//! - `sums`: sums over the frequencies of one frame;
//! - [`factor`]: its factor, what is solved with it, and blocks of its inverse.
//!
//! Everywhere the spectrum of a frame at pose (R, t) is
//!
//! ```text
//! P(k) = Σ_c f_c(k) Σ_a v_ca exp(−2πi k·(R x_a + t)_xy / N),    X(k) ≈ s · P(k)
//! ```
//!
//! with the channels c of [`atoms::Model`]: heights, widths, and powers of the depth along the beam.

pub mod atoms;
pub mod factor;
pub mod gradient;
pub mod grid;
pub mod normal;
pub mod places;
pub mod pose;
mod sums;
pub mod transform;
pub mod window;
