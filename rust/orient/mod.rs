//! Orientation search: from frames to poses.
//!
//! - [`polar`]: power spectra of frames on polar rings;
//! - [`index`]: every frame on its own against the spots of a lattice, pose known up to the lattice's mates;
//! - [`emc`]: the same with no lattice given: the frames' power spectra make up their own three-dimensional intensity;
//! - [`intensity`]: that intensity, and its sections;
//! - [`hmm`]: the same evidence pooled over neighbouring frames by a hidden Markov model;
//! - [`score`]: candidate poses against a Fourier volume, the shift searched;
//! - [`atoms`]: the atoms that look-ups read;
//! - [`lookup`]: candidate poses against the atoms of a model, the shift searched;
//! - `window`: the same on many shifts at once;
//! - [`power`]: what the model's slices hold, which a look-up does not see;
//! - `newton`: from a candidate to the local top of its likelihood;
//! - [`finalist`]: refined poses of a frame;
//! - [`search`]: all candidates of a frame looked up, the best climbed from, the finalists kept;
//! - [`polish`]: rotation and shift refined continuously against a Fourier volume.

pub mod atoms;
pub mod emc;
pub mod finalist;
pub mod hmm;
pub mod index;
pub mod intensity;
pub mod lookup;
mod newton;
pub mod polar;
pub mod polish;
pub mod power;
pub mod score;
pub mod search;
mod series;
mod window;
