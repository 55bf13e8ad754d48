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
//!
//! J is kept in 8 bits. What a sum over a particle loses by that is a hundredth of its own spread over wrong poses; the
//! distance of the nearest point costs ten times as much. A patch is then a quarter of the memory, which is what bounds
//! the look-ups.

use crate::check::{agree, all_finite, within};
use crate::error::Result;
use crate::fourier::{HalfPlane, good_length};
use crate::frames::PosedFrames;
use crate::orient::atoms::AtomModel;
use crate::orient::score::Match;
use crate::orient::window::{MARGIN, MOST_STEPS, PHASES, Phases};
use crate::volume::Rotation;
use num_complex::Complex32;
use rayon::prelude::*;
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
    let farthest = posed.shifts.iter().map(|t| t[0].hypot(t[1])).fold(0.0, f32::max);
    let filter = FrameFilter::new(posed.plane, model.radius + farthest, steps);
    let found = look_up_by_frame(posed, model, steps, &filter, &ranges, |r| model.power.at(r))?.concat();
    if found.iter().all(Match::is_finite) { Ok(found) } else { Err(model.unsound(posed)) }
}

/// The same for the candidates in `ranges`, one list for each; `power` gives that of the slice at a rotation.
pub(super) fn look_up_by_frame(
    posed: &PosedFrames<'_>,
    model: &AtomModel<'_>,
    steps: usize,
    filter: &FrameFilter<'_>,
    ranges: &[Range<usize>],
    power: impl Fn(&Rotation) -> f32 + Sync,
) -> Result<Vec<Vec<Match>>> {
    within("steps", steps, 0..=MOST_STEPS)?;
    agree("filter", model.filter.len(), posed.plane.len())?;
    let look = |scratch: &mut Scratch, range: &Range<usize>| {
        let mut phases = filter.phases(posed.spectrum(posed.frame_of[range.start]), model.filter, scratch);
        let pose = |i: usize| (&posed.rotations[i], posed.shifts[i]);
        range.clone().map(pose).map(|(r, start)| phases.best(model, r, start, steps, power(r))).collect()
    };
    Ok(ranges.par_iter().map_init(|| filter.scratch(), look).collect())
}

/// From a packed spectrum to images of it times a filter.
pub(super) struct FrameFilter<'a> {
    pub(super) plane: &'a HalfPlane,
    /// Points along each side of the grid.
    pub(super) side: usize,
    /// Rows of the grid that are made; the others stay 0.
    rows: Range<usize>,
    /// For each phase, of each packed frequency: the move to it over what reading the nearest point multiplies by.
    phases: Vec<Vec<Complex32>>,
    transform: Arc<dyn Fft<f32>>,
}

/// Working memory of one thread.
pub(super) struct Scratch {
    /// `[kx + max_shell][ky]`.
    columns: Vec<Complex32>,
    lines: Vec<Complex32>,
    work: Vec<Complex32>,
    /// `[phase][y][x]`.
    values: Vec<f32>,
    images: Vec<i8>,
    looks: Vec<i32>,
}

/// Rows that are transformed together: as many as a cache line of a column holds.
const ROWS: usize = 8;

/// Points beside the rows that atoms reach: rounding, and what a parabola reads.
const BESIDE: f32 = 3.0;

impl<'a> FrameFilter<'a> {
    /// Images of a plane where atoms may lie: within `reach` px and `steps` points of the centre.
    pub(super) fn new(plane: &'a HalfPlane, reach: f32, steps: usize) -> Self {
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
        // Numbers too large for the grid, and none at all, end as all of it.
        let half =
            (reach * side as f32 / plane.size as f32 + steps as f32 + BESIDE).min(side as f32) as usize;
        let rows = (side / 2).saturating_sub(half)..(side / 2 + half + 1).min(side);
        let transform = FftPlanner::new().plan_fft_inverse(side);
        Self { plane, side, rows, phases: (0..PHASES * PHASES).map(step).collect(), transform }
    }

    pub(super) fn scratch(&self) -> Scratch {
        let phases = PHASES * PHASES;
        Scratch {
            columns: vec![Complex32::default(); (2 * self.plane.max_shell + 1) * self.side],
            lines: vec![Complex32::default(); ROWS * self.side],
            work: vec![Complex32::default(); self.transform.get_inplace_scratch_len()],
            values: vec![0.0; phases * self.side * self.side],
            images: vec![0; phases * self.stride() * self.stride()],
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
        let (side, stride) = (self.side, self.stride());
        let mut values = std::mem::take(&mut scratch.values);
        for (two, factors) in values.chunks_exact_mut(2 * side * side).zip(self.phases.as_chunks::<2>().0) {
            let (first, second) = two.split_at_mut(side * side);
            self.two_images(spectrum, filter, [&factors[0], &factors[1]], scratch, |y, line| {
                let rows = first[y * side..].iter_mut().zip(&mut second[y * side..]);
                rows.zip(line).for_each(|((a, b), z)| (*a, *b) = (z.re, z.im));
            });
        }
        let unit = unit_of(&values);
        for (image, values) in
            scratch.images.chunks_exact_mut(stride * stride).zip(values.chunks_exact(side * side))
        {
            for y in self.rows.clone() {
                let row = &mut image[(y + MARGIN) * stride + MARGIN..][..side];
                round_to(row, &values[y * side..][..side], 1.0 / unit);
            }
        }
        scratch.values = values;
        Phases { images: &scratch.images, unit, looks: &mut scratch.looks, stride, scale: self.scale() }
    }

    /// Points from one row of a phase's image to the next.
    fn stride(&self) -> usize {
        self.side + 2 * MARGIN
    }

    /// Grid points per px.
    pub(super) fn scale(&self) -> f32 {
        self.side as f32 / self.plane.size as f32
    }

    /// Re Σ_k filter · factor · X · exp(+2πi k·y/N) on the grid, its origin at (side/2, side/2), for two factors: the real
    /// and the imaginary part of the lines that `out` is given with their number.
    pub(super) fn two_images(
        &self,
        spectrum: &[Complex32],
        filter: &[f32],
        factors: [&[Complex32]; 2],
        scratch: &mut Scratch,
        mut out: impl FnMut(usize, &[Complex32]),
    ) {
        let (side, reach) = (self.side, self.plane.max_shell);
        let Scratch { columns, lines, work, .. } = scratch;
        columns.fill(Complex32::default());
        for row in &self.plane.rows {
            let (up, down) =
                (row.ky.rem_euclid(side as i32) as usize, (-row.ky).rem_euclid(side as i32) as usize);
            for (kx, at) in (row.first as usize..).zip(row.start..row.start + row.len) {
                // (−1)^(kx+ky) puts the origin in the middle of the grid. Of each pair k, −k one is packed; the sum over
                // both is twice the real part of that over one.
                let sign = if (kx as i32 + row.ky) % 2 == 0 { 0.5 } else { -0.5 };
                let x = spectrum[at] * (filter[at] * sign);
                let (a, b) = (x * factors[0][at], x * factors[1][at]);
                columns[(reach + kx) * side + up] = Complex32::new(a.re - b.im, a.im + b.re);
                columns[(reach - kx) * side + down] = Complex32::new(a.re + b.im, b.re - a.im);
            }
        }
        self.transform.process_with_scratch(columns, work);
        for first in self.rows.clone().step_by(ROWS) {
            let count = ROWS.min(self.rows.end - first);
            let lines = &mut lines[..count * side];
            lines.fill(Complex32::default());
            for (column, kx) in columns.chunks_exact(side).zip(-(reach as i32)..) {
                let x = kx.rem_euclid(side as i32) as usize;
                for (line, &value) in lines.chunks_exact_mut(side).zip(&column[first..]) {
                    line[x] = value;
                }
            }
            self.transform.process_with_scratch(lines, work);
            lines.chunks_exact(side).enumerate().for_each(|(i, line)| out(first + i, line));
        }
    }
}

/// What one unit of 8 bits stands for; NaN where a value is not finite.
fn unit_of(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut most = [0.0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            most[l] = if chunk[l].abs() > most[l] { chunk[l].abs() } else { most[l] };
        }
    }
    // So much above nothing that one over a unit is a number.
    let most = most.iter().chain(rest).fold(1e-30f32, |most, v| v.abs().max(most));
    if all_finite(values) { most / f32::from(i8::MAX) } else { f32::NAN }
}

/// Values times a factor, of at most 127 in magnitude, to the nearest whole numbers.
fn round_to(out: &mut [i8], values: &[f32], factor: f32) {
    // Added to this, a small number leaves its nearest whole one in the last bits.
    const SHIFT: f32 = 12_582_912.0;
    for (o, v) in out.iter_mut().zip(values) {
        *o = (v * factor + SHIFT).to_bits() as i8;
    }
}
