//! First trajectory, from the tile spectra of short chunks of frames.
//!
//! Within a chunk the specimen moves at a constant velocity `v`. All pairs of frames up to [`LAGS`] apart vote,
//! `score(v) = Re Σ_τ Σ_k w C_τ(k) exp(2πi k·v τ)` with `C_τ(k) = Σ_t X_{t+τ} X_t*`: no reference is needed, particles that
//! tumble lose their vote within a few frames, and the registers of a periodic specimen do not compete because different
//! lags alias to different velocities. The aligned sums of the chunks are then registered one after the other.

use super::align::phase;
use crate::check::{accept, all_finite, room};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use num_complex::Complex32;
use rayon::prelude::*;
use std::f32::consts::TAU;

/// Longest time between two frames that are compared, frames.
pub const LAGS: usize = 16;
/// Velocity step of the search, px per frame: over [`LAGS`] frames a quarter of a graphene period at 0.36 Å pixels.
const VELOCITY_STEP: f64 = 0.1;
/// Fastest motion that is looked for, px per frame: faster, a frame is smeared beyond use.
const FASTEST: f64 = 100.0;
/// Coefficients whose scores are added by one task.
const GROUP: usize = 64;
/// The Hann window correlates neighbouring coefficients: a sum over them varies 35/18 more per axis than independent ones.
const WINDOW_EXCESS: f64 = 35.0 / 18.0;
/// Grid points on each side of the predicted shift in [`track_chunks`].
const GRID: i32 = 8;
/// Widest search, px.
const WIDEST: f64 = 1e4;
/// Width of the prior on the surprise in [`track_chunks`], in units of the search radius.
const SURPRISE: f64 = 0.6;
/// Chunks that the reference of [`track_chunks`] remembers: long against noise, short against slow changes.
const MEMORY: f32 = 20.0;

fn check(spectra: ArrayView2<Complex32>, frequency: ArrayView2<f32>, weight: ArrayView1<f32>) -> Result<()> {
    let kept = spectra.ncols();
    if frequency.dim() != (kept, 2) || weight.len() != kept {
        return Err(Error::bad_input(
            "frequency",
            format!("{:?} with {} weights", frequency.dim(), weight.len()),
            format!("{kept} coefficients need ({kept}, 2) frequencies and {kept} weights"),
        ));
    }
    Ok(())
}

/// Velocity `(x, y)` in px per frame of a chunk, and how clear it is.
///
/// `spectra` (m, k) at the frame numbers `times` (m); searched up to `fastest`. The third value is the height of the
/// maximum in standard deviations of the score of independent spectra: about 3 when nothing is coherent.
///
/// # Errors
/// Arrays that do not agree, a largest velocity that is none, or scores that are not finite.
pub fn chunk_velocity(
    spectra: ArrayView2<Complex32>,
    times: ArrayView1<i64>,
    frequency: ArrayView2<f32>,
    weight: ArrayView1<f32>,
    fastest: f64,
) -> Result<[f64; 3]> {
    check(spectra, frequency, weight)?;
    let (m, kept) = spectra.dim();
    if times.len() != m {
        let accepted = format!("one frame number for each of {m} spectra is needed");
        return Err(Error::bad_input("times", format!("{} values", times.len()), accepted));
    }
    let slow = fastest > 0.0 && fastest <= FASTEST;
    accept("fastest", fastest, slow, &format!("above 0 to {FASTEST} px per frame is accepted"))?;
    let half = (fastest / VELOCITY_STEP).ceil() as i32;
    let width = (2 * half + 1) as usize;
    let velocity = |i: usize| ((i as i32 - half) as f64 * VELOCITY_STEP) as f32;
    room("fastest", fastest, 8.0 * (width as f64).powi(2) * (kept / GROUP + 2) as f64)?;
    // One score image per coefficient group, added in a fixed order.
    let groups: Vec<(Vec<f64>, f64)> = (0..kept)
        .collect::<Vec<_>>()
        .par_chunks(GROUP)
        .map(|group| {
            let mut score = vec![0.0_f64; width * width];
            let mut variance = 0.0_f64;
            for &i in group {
                let mut chance = 0.0_f64;
                let mut lagged = [Complex32::default(); LAGS];
                for a in 0..m {
                    for b in a + 1..m {
                        let lag = times[b].saturating_sub(times[a]);
                        if lag < 1 || lag > LAGS as i64 {
                            break;
                        }
                        let product = spectra[[b, i]] * spectra[[a, i]].conj();
                        lagged[lag as usize - 1] += product;
                        chance += f64::from(product.norm_sqr());
                    }
                }
                let (kx, ky, w) = (frequency[[i, 0]], frequency[[i, 1]], f64::from(weight[i]));
                // The real part of a product of random phase has half of its power.
                variance += 0.5 * w * w * chance;
                for iy in 0..width {
                    for ix in 0..width {
                        let turn = phase(kx, ky, velocity(ix), velocity(iy));
                        // Horner: Σ_τ C_τ turn^τ.
                        let sum = lagged.iter().rev().fold(Complex32::default(), |s, &c| (s + c) * turn);
                        score[iy * width + ix] += w * f64::from(sum.re);
                    }
                }
            }
            (score, variance)
        })
        .collect();
    let mut score = vec![0.0_f64; width * width];
    let mut variance = 0.0;
    for (group, part) in groups {
        variance += part;
        score.iter_mut().zip(group).for_each(|(s, g)| *s += g);
    }
    if !all_finite(&score) || !variance.is_finite() {
        let accepted = "spectra, frequencies and weights whose scores are finite are needed";
        return Err(Error::bad_input("spectra", "not finite or too large", accepted));
    }
    let [x, y] = vertex(&score, width, largest(&score));
    let scaled = |v: f64| (v - f64::from(half)) * VELOCITY_STEP;
    let top = score.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let clarity = if variance > 0.0 { top / (WINDOW_EXCESS * variance.sqrt()) } else { 0.0 };
    Ok([scaled(x), scaled(y), clarity])
}

/// Registers chunk sums one after the other, each with a fading sum of the aligned ones before it.
///
/// The maximum of `Re Σ w R* X exp(2πi k·s)` is sought within `radius` px of the shift that `step` (n, 2; the way from the
/// chunk before, px) predicts. With a radius below half the lattice period the neighbouring register is out of reach,
/// so smoothness in time settles the ambiguity of a periodic specimen; a Gaussian of `SURPRISE` favours small surprises. `spectra` (n, k), `frequency` (k, 2),
/// `weight` (k); chunks of zeros (no good frame) take the prediction. Returns (n, 2) px, zero before the first chunk with data.
///
/// # Errors
/// Arrays that do not agree, numbers that are not finite, or a radius that is none.
pub fn track_chunks(
    spectra: ArrayView2<Complex32>,
    step: ArrayView2<f64>,
    frequency: ArrayView2<f32>,
    weight: ArrayView1<f32>,
    radius: f64,
) -> Result<Array2<f64>> {
    check(spectra, frequency, weight)?;
    let (n, kept) = spectra.dim();
    if step.dim() != (n, 2) {
        let accepted = format!("({n}, 2) steps in px are needed");
        return Err(Error::bad_input("step", format!("{:?}", step.dim()), accepted));
    }
    let near = radius > 0.0 && radius <= WIDEST;
    accept("radius", radius, near, &format!("above 0 to {WIDEST} px is accepted"))?;
    let numbers = |name, sound: bool| accept(name, "not finite", sound, "finite numbers are needed");
    numbers("frequency", frequency.iter().all(|v| v.is_finite()))?;
    numbers("weight", weight.iter().all(|v| v.is_finite()))?;
    numbers("step", step.iter().all(|v| v.is_finite()))?;
    numbers("spectra", spectra.iter().all(|v| v.re.is_finite() && v.im.is_finite()))?;
    let grid_step = radius / f64::from(GRID);
    let width = (2 * GRID + 1) as usize;
    let offset = |i: usize| (i as i32 - GRID) as f32 * grid_step as f32;
    // exp(2πi k·d) is a product of an x and a y part: two small tables serve all grid points of all chunks.
    let table = |axis: usize| -> Vec<Complex32> {
        (0..width)
            .flat_map(|i| {
                frequency
                    .column(axis)
                    .into_iter()
                    .map(move |&k| Complex32::from_polar(1.0, TAU * k * offset(i)))
            })
            .collect()
    };
    let (along_x, along_y) = (table(0), table(1));
    let mut shifts = Array2::zeros((n, 2));
    let mut reference = vec![Complex32::default(); kept];
    let mut at = [0.0_f64; 2];
    let mut started = false;
    for (t, spectrum) in spectra.axis_iter(Axis(0)).enumerate() {
        let empty = spectrum.iter().all(|v| v.norm_sqr() == 0.0);
        if started {
            at = [at[0] + step[[t, 0]], at[1] + step[[t, 1]]];
        }
        if started && !empty {
            let product: Vec<Complex32> = (0..kept)
                .map(|i| {
                    let moved = phase(frequency[[i, 0]], frequency[[i, 1]], at[0] as f32, at[1] as f32);
                    reference[i].conj() * spectrum[i] * moved * weight[i]
                })
                .collect();
            let score: Vec<f64> = (0..width)
                .into_par_iter()
                .flat_map_iter(|iy| {
                    let rows = &along_y[iy * kept..(iy + 1) * kept];
                    let line: Vec<Complex32> = product.iter().zip(rows).map(|(p, e)| p * e).collect();
                    let along_x = &along_x;
                    (0..width).map(move |ix| {
                        let reach = (ix as i32 - GRID).pow(2) + (iy as i32 - GRID).pow(2);
                        if reach > GRID * GRID {
                            return f64::NEG_INFINITY;
                        }
                        let columns = &along_x[ix * kept..(ix + 1) * kept];
                        let sum =
                            line.iter().zip(columns).map(|(p, e)| p.re * e.re - p.im * e.im).sum::<f32>();
                        f64::from(sum)
                    })
                })
                .collect();
            let likely = |i: usize| {
                let [dx, dy] = [i % width, i / width].map(|v| f64::from(v as i32 - GRID));
                (-(dx * dx + dy * dy) / (2.0 * (SURPRISE * f64::from(GRID)).powi(2))).exp()
            };
            let expected: Vec<f64> = score
                .iter()
                .enumerate()
                .map(|(i, v)| if v.is_finite() { v * likely(i) } else { f64::NEG_INFINITY })
                .collect();
            // The prior chooses the hill, the evidence its top.
            let found = vertex(&score, width, climb(&score, width, largest(&expected)));
            for axis in 0..2 {
                at[axis] += (found[axis] - f64::from(GRID)) * grid_step;
            }
        }
        if !empty {
            started = true;
            let keep = 1.0 - 1.0 / MEMORY;
            for i in 0..kept {
                let moved = phase(frequency[[i, 0]], frequency[[i, 1]], at[0] as f32, at[1] as f32);
                reference[i] = reference[i] * keep + spectrum[i] * moved;
            }
        }
        shifts[[t, 0]] = at[0];
        shifts[[t, 1]] = at[1];
    }
    let numbers = shifts.iter().all(|v: &f64| v.is_finite());
    accept("spectra", "too large", numbers, "spectra, steps and weights whose scores are finite are needed")?;
    Ok(shifts)
}

/// Index of the largest value, the first of equal ones.
fn largest(score: &[f64]) -> usize {
    (0..score.len()).fold(0, |best, i| if score[i] > score[best] { i } else { best })
}

/// Top of the hill of a square grid on which `at` lies.
fn climb(score: &[f64], width: usize, at: usize) -> usize {
    let (y, x) = (at / width, at % width);
    let around = (y.saturating_sub(1)..(y + 2).min(width))
        .flat_map(|yy| (x.saturating_sub(1)..(x + 2).min(width)).map(move |xx| yy * width + xx));
    let best = around.fold(at, |best, i| if score[i] > score[best] { i } else { best });
    // Every step goes up, so the climb ends.
    if best == at { at } else { climb(score, width, best) }
}

/// Maximum (x, y) in grid steps of the parabolas through `at` and its neighbours in x and in y.
fn vertex(score: &[f64], width: usize, at: usize) -> [f64; 2] {
    let top = |low: f64, mid: f64, high: f64| {
        let curvature = low - 2.0 * mid + high;
        let usable = curvature < 0.0 && curvature.is_finite();
        if usable { (0.5 * (low - high) / curvature).clamp(-0.5, 0.5) } else { 0.0 }
    };
    let refined = |i: usize, stride: usize| {
        let inside = i > 0 && i + 1 < width;
        i as f64 + if inside { top(score[at - stride], score[at], score[at + stride]) } else { 0.0 }
    };
    [refined(at % width, 1), refined(at / width, width)]
}
