//! Candidate poses of a frame against a Fourier volume.
//!
//! With frame X, central slice P of a candidate and weights w = 1/σ², the log-likelihood gained over "no
//! particle" at shift t is
//!
//! ```text
//! L(t) = 2 b(t) − a,   b(t) = Re Σ w P* X exp(+2πi k·t/N),   a = Σ w |P|²
//! ```
//!
//! summed over the half plane. b is a small Fourier sum over a window of shifts, separable in x and y.

use crate::check::{self, within};
use crate::error::Result;
use crate::fourier::HalfPlane;
use crate::frames::PosedFrames;
use crate::volume::FrameVolumes;
use num_complex::Complex32;
use rayon::prelude::*;
use std::f32::consts::PI;

/// Shifts searched: a square of (2·steps + 1)² points `spacing` px apart.
#[derive(Debug, Clone, Copy)]
pub struct ShiftWindow {
    steps: usize,
    spacing: f32,
}

/// Most points to each side of a window: wider than any box that is searched.
const MOST_POINTS: usize = 255;

impl ShiftWindow {
    /// `steps` points to each side, `spacing` px apart: a quarter of the shortest wavelength or less.
    ///
    /// # Errors
    /// A window of more than 255 points to each side, or points that are not apart.
    pub fn new(steps: usize, spacing: f32) -> Result<Self> {
        within("steps", steps, 0..=MOST_POINTS)?;
        check::positive("spacing", spacing)?;
        Ok(Self { steps, spacing })
    }
}

/// Best shift of one candidate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Match {
    /// b at the best shift.
    pub overlap: f32,
    /// a, the power of the slice.
    pub power: f32,
    /// Best shift (x, y), px.
    pub shift: [f32; 2],
}

impl Match {
    /// Whether all its numbers are finite.
    pub(crate) fn is_finite(&self) -> bool {
        [self.overlap, self.power, self.shift[0], self.shift[1]].iter().all(|v| v.is_finite())
    }
}

/// Score candidates, the poses of `posed`, against the volumes of their frames; the shifts of the poses are left aside.
///
/// Returns one match per candidate, in the order given.
///
/// # Errors
/// Volumes of another number of frames, or matches that are not finite.
pub fn score_candidates(
    posed: &PosedFrames<'_>,
    volumes: &FrameVolumes<'_>,
    window: ShiftWindow,
) -> Result<Vec<Match>> {
    volumes.serve(posed.frames)?;
    let &PosedFrames { plane, weights, rotations, .. } = posed;
    let m = plane.len();
    let twiddles = Twiddles::new(plane, window);
    let mut out = vec![Match::default(); rotations.len()];
    out.par_iter_mut().zip(rotations).zip(&posed.frame_of).with_min_len(8).for_each_init(
        || (vec![Complex32::default(); m], twiddles.scratch()),
        |(slice, scratch), ((best, r), &frame)| {
            let spectrum = posed.spectrum(frame);
            volumes.of(frame).slice(r, plane, slice);
            let mut power = 0.0;
            for ((p, x), &w) in slice.iter_mut().zip(spectrum).zip(weights) {
                power += w * p.norm_sqr();
                *p = x * p.conj() * w;
            }
            twiddles.correlate(plane, slice, scratch);
            *best = twiddles.peak(scratch, power);
        },
    );
    if out.iter().all(Match::is_finite) { Ok(out) } else { Err(posed.unsound(&volumes.arguments())) }
}

/// Phase factors of the shift window.
pub(crate) struct Twiddles {
    window: ShiftWindow,
    side: usize,
    /// exp(2πi kx tx/N), `[kx][tx]`.
    x: Vec<Complex32>,
    /// exp(2πi ky ty/N), `[row][ty]`.
    y: Vec<Complex32>,
}

/// Working memory of one thread.
pub(crate) struct Scratch {
    line: Vec<Complex32>,
    map: Vec<f32>,
}

impl Twiddles {
    pub(crate) fn new(plane: &HalfPlane, window: ShiftWindow) -> Self {
        let side = 2 * window.steps + 1;
        let step = 2.0 * PI * window.spacing / plane.size as f32;
        let shifts = move || (0..side).map(move |i| (i as f32 - window.steps as f32) * step);
        let x = (0..=plane.max_shell).flat_map(|kx| shifts().map(move |t| Complex32::cis(kx as f32 * t)));
        let y = plane.rows.iter().flat_map(|row| {
            let ky = row.ky as f32;
            shifts().map(move |t| Complex32::cis(ky * t))
        });
        Self { window, side, x: x.collect(), y: y.collect() }
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch { line: vec![Complex32::default(); self.side], map: vec![0.0; self.side * self.side] }
    }

    /// b on the whole window: sum along kx for every tx, then along ky for every ty.
    pub(crate) fn correlate(&self, plane: &HalfPlane, product: &[Complex32], scratch: &mut Scratch) {
        let side = self.side;
        scratch.map.fill(0.0);
        for (row, y) in plane.rows.iter().zip(self.y.chunks(side)) {
            scratch.line.fill(Complex32::default());
            for (i, z) in product[row.start..row.start + row.len].iter().enumerate() {
                let kx = row.first as usize + i;
                for (l, t) in scratch.line.iter_mut().zip(&self.x[kx * side..(kx + 1) * side]) {
                    l.re += z.re * t.re - z.im * t.im;
                    l.im += z.re * t.im + z.im * t.re;
                }
            }
            for (out, t) in scratch.map.chunks_mut(side).zip(y) {
                for (o, l) in out.iter_mut().zip(&scratch.line) {
                    *o += l.re * t.re - l.im * t.im;
                }
            }
        }
    }
}

impl Twiddles {
    /// The best of the shifts whose overlaps were left in `scratch`.
    pub(crate) fn peak(&self, scratch: &Scratch, power: f32) -> Match {
        window_peak(&scratch.map, self.window.steps, self.window.spacing, power, HIGHEST_POINT)
    }
}

/// Share for volumes made of frames in uncertain poses, where tops between points are mostly noise: a climb from random
/// poses that compares them ends farther off (3.4° in the median of `tests/test_climb.py`, where 3° are asked).
const HIGHEST_POINT: f32 = 1.0;

/// Highest top of a window of (2·`steps` + 1)² overlaps, refined by a parabola along each axis.
///
/// Tops whose points are at least `share` of the highest point are compared when they are refined: where a lattice moves
/// by one of its own vectors, its side lobe may lie on a point of the grid and the right top between points. A share of 1
/// takes the top at the highest point.
pub(crate) fn window_peak(map: &[f32], steps: usize, spacing: f32, power: f32, share: f32) -> Match {
    let side = 2 * steps + 1;
    let highest = map.iter().fold(f32::NEG_INFINITY, |most, &v| if v > most { v } else { most });
    let to_px = |i: usize, d: f32| (i as f32 + d - steps as f32) * spacing;
    let mut best: Option<Match> = None;
    for (at, &top) in map.iter().enumerate() {
        if top < share * highest && top < highest {
            continue;
        }
        let (y, x) = (at / side, at % side);
        let beside = |there: bool, i: usize| there.then(|| map[i]);
        let (left, right) = (beside(x > 0, at.wrapping_sub(1)), beside(x + 1 < side, at + 1));
        let (above, below) = (beside(y > 0, at.wrapping_sub(side)), beside(y + 1 < side, at + side));
        if [left, right, above, below].into_iter().flatten().any(|v| v > top) {
            continue;
        }
        let (dx, gain_x) = parabola(left, top, right);
        let (dy, gain_y) = parabola(above, top, below);
        let overlap = top + gain_x + gain_y;
        if best.is_none_or(|b| overlap > b.overlap) {
            best = Some(Match { overlap, power, shift: [to_px(x, dx), to_px(y, dy)] });
        }
    }
    best.expect("the highest point is a top")
}

/// Where a parabola through three points has its top, in steps, and by how much it is above the middle one.
fn parabola(low: Option<f32>, top: f32, high: Option<f32>) -> (f32, f32) {
    match (low, high) {
        (Some(a), Some(c)) if a + c < 2.0 * top => {
            let offset = 0.5 * (a - c) / (a - 2.0 * top + c);
            (offset, -0.25 * (a - c) * offset)
        }
        _ => (0.0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::window_peak;

    /// Overlaps of a lattice round its right shift, between points of the grid, and a side lobe on a point.
    fn map(steps: usize, right: [f32; 2], lobe: [f32; 2], height: f32) -> Vec<f32> {
        let side = 2 * steps + 1;
        let bump = |x: f32, y: f32, at: [f32; 2]| (-0.5 * ((x - at[0]).powi(2) + (y - at[1]).powi(2))).exp();
        (0..side * side)
            .map(|i| ((i % side) as f32 - steps as f32, (i / side) as f32 - steps as f32))
            .map(|(x, y)| bump(x, y, right) + height * bump(x, y, lobe))
            .collect()
    }

    #[test]
    fn a_side_lobe_on_a_point_does_not_beat_the_top_between_points() {
        let (right, lobe) = ([1.5, -2.5], [-4.0, 3.0]);
        let map = map(7, right, lobe, 0.85);
        let highest = (0..map.len()).max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap();
        assert_eq!((highest % 15, highest / 15), (3, 10), "the lobe is the highest point");
        let found = window_peak(&map, 7, 1.0, 1.0, 0.75);
        let off = (found.shift[0] - right[0]).hypot(found.shift[1] - right[1]);
        assert!(off < 0.1, "{found:?}");
        assert!((0.85..1.0).contains(&found.overlap), "{found:?}");
    }

    #[test]
    fn a_window_without_a_top_inside_ends_at_its_rim() {
        let map: Vec<f32> =
            (0..25).map(|i| (i % 5) as f32 - 0.01 * ((i / 5) as f32 - 2.0).powi(2) - 9.0).collect();
        assert_eq!(window_peak(&map, 2, 0.5, 1.0, 0.75).shift, [1.0, 0.0]);
    }
}
