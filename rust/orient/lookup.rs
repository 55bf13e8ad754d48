//! Candidate poses of a frame against the atoms of a model.
//!
//! With atoms x_a of heights h_a, all of one transfer c(|k|), the overlap of a frame X with the model's image at
//! rotation R and shift t is
//!
//! ```text
//! b = Re Σ_k w c X Σ_a h_a exp(+2πi k·y_a/N) = Σ_a h_a J(y_a),   y_a = (R x_a)_xy + t,
//! J(y) = Re Σ_k w c X exp(+2πi k·y/N)
//! ```
//!
//! The frame is filtered once to the image J; every candidate then costs one look into J per atom, a hundredth of what
//! cutting a slice from a Fourier volume costs. J is held at `PHASES` points a grid step along each axis, the grid being a
//! quarter of the shortest wavelength, as `PHASES`² images of the grid, and the nearest point is read; what that
//! multiplies the spectrum by (sinc along each axis) is divided out beforehand (compare the second type of non-uniform
//! transform: Dutt and Rokhlin 1993, doi:10.1137/0914081). A window of shifts by whole steps of the grid is one patch of
//! one image (see `window`).

use crate::check::{agree, within};
use crate::error::Result;
use crate::fourier::{HalfPlane, good_length};
use crate::frames::PosedFrames;
use crate::orient::atoms::AtomModel;
use crate::orient::score::Match;
use crate::orient::window::{MARGIN, MOST_STEPS, PHASES, Phases};
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner};
use rustfft::{Fft, FftPlanner};
use std::f32::consts::{PI, TAU};
use std::ops::Range;
use std::sync::Arc;

/// Grid points per shortest period.
const OVERSAMPLING: usize = 4;

/// Distance (px) of the shifts of a window in images of this plane.
#[must_use]
pub fn shift_spacing(plane: &HalfPlane) -> f32 {
    plane.size as f32 / grid_side(plane) as f32
}

/// Side of the grid of J.
pub(super) fn grid_side(plane: &HalfPlane) -> usize {
    good_length(OVERSAMPLING * plane.max_shell)
}

/// Best shift of every candidate, a pose of `posed`, within (2·`steps` + 1)² shifts round its start.
///
/// Candidates come frame by frame. Atoms that leave the box count nothing. Order is kept; the result does not depend on
/// the number of threads.
///
/// # Errors
/// Another order, a window too wide, a model of another plane, or matches that are not finite.
pub fn look_up(posed: &PosedFrames<'_>, model: &AtomModel<'_>, steps: usize) -> Result<Vec<Match>> {
    let ranges = posed.by_frame()?;
    let filter = FrameFilter::new(posed.plane);
    let found = look_up_by_frame(posed, model, steps, &filter, &ranges)?.concat();
    if found.iter().all(Match::is_finite) { Ok(found) } else { Err(model.unsound(posed)) }
}

/// The same for the candidates in `ranges`, one list for each.
pub(super) fn look_up_by_frame(
    posed: &PosedFrames<'_>,
    model: &AtomModel<'_>,
    steps: usize,
    filter: &FrameFilter<'_>,
    ranges: &[Range<usize>],
) -> Result<Vec<Vec<Match>>> {
    within("steps", steps, 0..=MOST_STEPS)?;
    agree("filter", model.filter.len(), posed.plane.len())?;
    let look = |scratch: &mut Scratch, range: &Range<usize>| {
        let mut phases = filter.phases(posed.spectrum(posed.frame_of[range.start]), model.filter, scratch);
        range.clone().map(|i| phases.best(model, &posed.rotations[i], posed.shifts[i], steps)).collect()
    };
    Ok(ranges.par_iter().map_init(|| filter.scratch(), look).collect())
}

/// From a packed spectrum to images of it times a filter.
pub(super) struct FrameFilter<'a> {
    pub(super) plane: &'a HalfPlane,
    /// Points along each side of the grid.
    pub(super) side: usize,
    /// For each phase, of each packed frequency: the move to it over what reading the nearest point multiplies by.
    phases: Vec<Vec<Complex32>>,
    columns: Arc<dyn Fft<f32>>,
    rows: Arc<dyn ComplexToReal<f32>>,
}

/// Working memory of one thread.
pub(super) struct Scratch {
    /// `[kx][y]`.
    columns: Vec<Complex32>,
    line: Vec<Complex32>,
    work: Vec<Complex32>,
    images: Vec<f32>,
    looks: Vec<i32>,
}

impl<'a> FrameFilter<'a> {
    pub(super) fn new(plane: &'a HalfPlane) -> Self {
        let side = grid_side(plane);
        let fine = (PHASES * side) as f32;
        let sinc = |k: i32| {
            let x = PI * k as f32 / fine;
            if k == 0 { 1.0 } else { x.sin() / x }
        };
        let step = |phase: usize| {
            let (py, px) = ((phase / PHASES) as f32, (phase % PHASES) as f32);
            let at = |&(x, y): &(i32, i32)| {
                Complex32::cis(TAU * (x as f32 * px + y as f32 * py) / fine) / (sinc(x) * sinc(y))
            };
            plane.frequencies().iter().map(at).collect()
        };
        let columns = FftPlanner::new().plan_fft_inverse(side);
        let rows = RealFftPlanner::new().plan_fft_inverse(side);
        Self { plane, side, phases: (0..PHASES * PHASES).map(step).collect(), columns, rows }
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            columns: vec![Complex32::default(); (self.plane.max_shell + 1) * self.side],
            line: self.rows.make_input_vec(),
            work: vec![
                Complex32::default();
                self.columns.get_inplace_scratch_len().max(self.rows.get_scratch_len())
            ],
            images: vec![0.0; PHASES * PHASES * self.stride() * self.stride()],
            looks: Vec::new(),
        }
    }

    /// J at all phases.
    pub(super) fn phases<'s>(
        &self,
        spectrum: &[Complex32],
        filter: &[f32],
        scratch: &'s mut Scratch,
    ) -> Phases<'s> {
        let mut images = std::mem::take(&mut scratch.images);
        let stride = self.stride();
        for (image, factor) in images.chunks_exact_mut(stride * stride).zip(&self.phases) {
            let inside = image[MARGIN * stride..].chunks_exact_mut(stride);
            self.image(spectrum, filter, factor, inside.map(|row| &mut row[MARGIN..]), scratch);
        }
        scratch.images = images;
        Phases { images: &scratch.images, looks: &mut scratch.looks, stride, scale: self.scale() }
    }

    /// Points from one row of a phase's image to the next.
    fn stride(&self) -> usize {
        self.side + 2 * MARGIN
    }

    /// Grid points per px.
    pub(super) fn scale(&self) -> f32 {
        self.side as f32 / self.plane.size as f32
    }

    /// Re Σ_k filter · factor · X · exp(+2πi k·y/N) on the grid, its origin at (side/2, side/2), into rows.
    pub(super) fn image<'i>(
        &self,
        spectrum: &[Complex32],
        filter: &[f32],
        factor: &[Complex32],
        rows: impl Iterator<Item = &'i mut [f32]>,
        scratch: &mut Scratch,
    ) {
        let side = self.side;
        self.plane.lay_out(side, &mut scratch.columns, |at, kx, ky| {
            // (−1)^(kx+ky) puts the origin in the middle of the grid. Half of each pair k, −k is packed: the real part of
            // the sum over it is half the sum over both, which is what the real transform takes.
            let sign = if (kx + ky) % 2 == 0 { 0.5 } else { -0.5 };
            spectrum[at] * factor[at] * (filter[at] * sign)
        });
        self.columns.process_with_scratch(&mut scratch.columns, &mut scratch.work);
        for (y, out) in rows.take(side).enumerate() {
            scratch.line.fill(Complex32::default());
            for (kx, value) in scratch.line.iter_mut().enumerate().take(self.plane.max_shell + 1) {
                *value = scratch.columns[kx * side + y];
            }
            scratch.line[0].im = 0.0; // rounding of a sum that is real by symmetry
            self.rows
                .process_with_scratch(&mut scratch.line, &mut out[..side], &mut scratch.work)
                .expect("the lines have the planned length");
        }
    }
}
