//! Expand, maximise, compress: orientations of frames without any model of what is in them.
//!
//! The power spectra of the frames are central sections of one intensity W(q), each in an unknown orientation
//! (Loh & Elser 2009, doi:10.1103/PhysRevE.80.026705). A round cuts W in all orientations of a grid (*expand*),
//! gives each frame a probability of each of them, and puts every frame back into its orientations with these
//! weights (*maximise*, *compress*):
//!
//! ```text
//! p_f(d, ψ) ∝ exp(β C_f(d, ψ) / spread of C_f),    C_f(d, ψ) = Σ_k k Σ_φ y_f(k, φ) t_d(k, φ − ψ)
//! t_d(k, φ) ← Σ_f Σ_ψ p_f(d, ψ) y_f(k, φ + ψ)
//! ```
//!
//! With several folds a frame meets the intensity of the others only, so that nothing votes for itself.
//!
//! Both sums over the in-plane angle are products of Fourier series on the rings. With β low a frame is nowhere in
//! particular, and only what many frames have in common grows; that is why a random start does not stay one.
//!
//! Limit: 2 · 8 · 32 · rings flops for each frame and direction.

use crate::check::{self, Argument, all_finite};
use crate::error::{Error, Result};
use crate::orient::index::frame_of;
use crate::orient::intensity::{Intensity, on_ring};
use crate::orient::polar::{RING, Rings};
use crate::orient::series::{BINS, Series, TURNS, accumulate, boltzmann, product, series, unpack};
use crate::volume::Rotation;
use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::f32::consts::PI;
use std::sync::Arc;

/// Largest image whose frequencies the grid counts, px.
const MOST_SIZE: usize = 4096;
/// Frames whose posteriors are held at a time.
const BATCH: usize = 64;
/// Weight of a voxel that no frame has seen, as a share of the mean weight: such voxels stay near zero.
const UNSEEN: f32 = 0.02;
/// Least norm of a template, as a share of the median norm: sections without spots would fit noise.
const LEAST_NORM: f32 = 0.3;
/// Norm of a section without contrast: it stays without, whatever its rounding.
const NO_NORM: f32 = 1e-30;
/// Posterior of a direction below which a frame leaves nothing there.
const NEGLIGIBLE: f32 = 1e-6;

/// What a round says of itself, means over the frames.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Score of the best orientation, in spreads over all orientations.
    pub best: f64,
    /// Orientations that a frame is spread over, 1 / Σ p².
    pub spread: f64,
}

/// Frames and the grid of orientations that they are tried in.
pub struct Emc {
    /// Radii in grid steps.
    radii: Vec<f32>,
    directions: Vec<Rotation>,
    /// `[frame][ring]`, fold after fold.
    frames: Vec<Series>,
    /// Where each fold begins, and the end.
    bounds: Vec<usize>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Emc {
    /// Take n · rings · [`RING`] spectra of `polar_spectra` from images of `size` px, `folds` frames in each fold,
    /// to be tried along `directions` (unit vectors in the particle's frame).
    ///
    /// # Errors
    /// A number of values that does not fit, values that are not finite, or directions that are none.
    pub fn new(
        polar: &[f32],
        rings: &Rings,
        size: usize,
        folds: &[usize],
        directions: &[[f32; 3]],
    ) -> Result<Self> {
        rings.check(polar)?;
        check::accept("polar", "empty", !polar.is_empty(), "at least one frame is needed")?;
        check::directions("directions", directions)?;
        check::within("size", size, 1..=MOST_SIZE)?;
        let mut bounds = vec![0];
        bounds.extend(folds.iter().scan(0usize, |end, &n| {
            *end = end.saturating_add(n);
            Some(*end)
        }));
        let count = polar.len() / (rings.len() * RING);
        if folds.is_empty() || bounds[folds.len()] != count {
            return Err(Error::bad_input(
                "folds",
                format!("{folds:?}"),
                format!("numbers that add up to {count}"),
            ));
        }
        let mut planner = RealFftPlanner::<f32>::new();
        let whole = planner.plan_fft_forward(RING);
        let frames = polar
            .par_chunks(RING)
            .map(|ring| {
                let mut spectrum = whole.make_output_vec();
                whole.process(&mut ring.to_vec(), &mut spectrum).expect("the rings have the planned length");
                series(&spectrum)
            })
            .collect();
        let radii = rings.radii.iter().map(|k| k * size as f32).collect();
        let (forward, inverse) = (planner.plan_fft_forward(TURNS), planner.plan_fft_inverse(TURNS));
        let directions = directions.iter().map(|&d| frame_of(d)).collect();
        let emc = Self { radii, directions, frames, bounds, forward, inverse };
        // Sum, weight and intensity of every fold, and of all.
        let cubes = 3 * (folds.len() + 1) * 4;
        check::room("size", size, cubes as f64 * (2.0 * emc.reach() as f64 + 1.0).powi(3))?;
        Ok(emc)
    }

    /// Grid steps that an intensity of these rings reaches.
    fn reach(&self) -> usize {
        self.radii.last().map_or(0, |k| k.ceil() as usize) + 2
    }

    fn count(&self) -> usize {
        self.frames.len() / self.radii.len()
    }

    /// Held-out intensities of all frames in given orientations, one each.
    ///
    /// # Errors
    /// Another number of orientations than of frames, or matrices that are no rotations.
    pub fn merge(&self, rotations: &[Rotation]) -> Result<Vec<Intensity>> {
        if rotations.len() != self.count() {
            return Err(Error::bad_input(
                "rotations",
                rotations.len(),
                format!("{} are needed", self.count()),
            ));
        }
        check::rotations("rotations", rotations)?;
        let rings = self.radii.len();
        let sums = self.bounds.windows(2).map(|b| {
            let weight = vec![1.0; b[1] - b[0]];
            self.compress(&rotations[b[0]..b[1]], &self.frames[b[0] * rings..b[1] * rings], &weight)
        });
        Ok(self.held_out(&sums.collect::<Vec<_>>()))
    }

    /// One round at belief `beta` from one intensity per fold; returns the next ones.
    ///
    /// # Errors
    /// Another number of intensities, one that does not reach the last ring, a belief that is no positive number, or
    /// intensities whose sums are not finite.
    pub fn round(&self, held_out: &[Intensity], beta: f32) -> Result<(Vec<Intensity>, Round)> {
        if held_out.len() != self.bounds.len() - 1 {
            let limit = format!("one for each of {} folds", self.bounds.len() - 1);
            return Err(Error::bad_input("intensity", held_out.len(), limit));
        }
        if let Some(small) = held_out.iter().find(|i| i.reach < self.reach()) {
            return Err(Error::bad_input("intensity", small.reach, format!("reach {}", self.reach())));
        }
        check::not_negative("belief", beta)?;
        let rings = self.radii.len();
        let (mut best, mut spread) = (0.0, 0.0);
        let mut parts = Vec::with_capacity(held_out.len());
        for (bounds, intensity) in self.bounds.windows(2).zip(held_out) {
            let templates = self.expand(intensity);
            let mut sums = vec![[[0.0; BINS]; 2]; templates.len()];
            let mut weight = vec![0.0f32; self.directions.len()];
            for batch in self.frames[bounds[0] * rings..bounds[1] * rings].chunks(BATCH * rings) {
                let told: Vec<Posterior> =
                    batch.par_chunks(rings).map(|frame| self.posterior(frame, &templates, beta)).collect();
                for p in &told {
                    best += f64::from(p.best);
                    spread += f64::from(p.spread);
                }
                // Over directions, each in the order of the frames: no sum depends on the number of threads.
                sums.par_chunks_mut(rings).zip(&mut weight).enumerate().for_each(|(d, (sum, weight))| {
                    for (p, frame) in told.iter().zip(batch.chunks(rings)) {
                        if p.weight[d] > NEGLIGIBLE {
                            *weight += p.weight[d];
                            accumulate(sum, &p.series[d], frame);
                        }
                    }
                });
            }
            parts.push(self.compress(&self.directions, &sums, &weight));
        }
        let n = self.count() as f64;
        let stats = Round { best: best / n, spread: spread / n };
        let next = self.held_out(&parts);
        if stats.best.is_finite() && stats.spread.is_finite() && next.iter().all(|i| all_finite(&i.values)) {
            return Ok((next, stats));
        }
        let given: Vec<&[f32]> = held_out.iter().map(|i| i.values.as_slice()).collect();
        let arguments: Vec<(&'static str, &dyn Argument)> =
            given.iter().map(|v| ("held_out", v as _)).collect();
        Err(check::unsound(&arguments))
    }

    /// For each fold the intensity of all the others; of all frames where there is one fold.
    fn held_out(&self, parts: &[Merged]) -> Vec<Intensity> {
        let reach = self.reach();
        let length = (2 * reach + 1).pow(3);
        let total = |of: fn(&Merged) -> &[f32]| -> Vec<f32> {
            (0..length).map(|i| parts.iter().map(|p| of(p)[i]).sum()).collect()
        };
        let (sum, seen) = (total(|p| &p.sum), total(|p| &p.seen));
        let share = if parts.len() > 1 { 1.0 } else { 0.0 };
        parts
            .par_iter()
            .map(|own| {
                let rest: Vec<f32> =
                    seen.iter().zip(&own.seen).map(|(a, b)| (a - share * b).max(0.0)).collect();
                let touched = rest.iter().filter(|&&w| w > 0.0).count().max(1);
                let mean = rest.iter().map(|&w| f64::from(w)).sum::<f64>() / touched as f64;
                let unseen = (UNSEEN * mean as f32).max(f32::MIN_POSITIVE);
                let mut values = vec![0.0; length];
                for i in 0..=length / 2 {
                    // Power spectra are even.
                    let mate = length - 1 - i;
                    let value = sum[i] + sum[mate] - share * (own.sum[i] + own.sum[mate]);
                    values[i] = value / (rest[i] + rest[mate] + 2.0 * unseen);
                    values[mate] = values[i];
                }
                Intensity { reach, values }
            })
            .collect()
    }

    /// Normalised sections of the intensity, ready to be multiplied with frames: `[direction][ring]`.
    fn expand(&self, intensity: &Intensity) -> Vec<Series> {
        let rings = self.radii.len();
        let mut out = vec![[[0.0; BINS]; 2]; self.directions.len() * rings];
        let mut norms = vec![0.0f32; self.directions.len()];
        out.par_chunks_mut(rings).zip(&mut norms).zip(&self.directions).for_each(|((section, norm), r)| {
            let mut ring = self.forward.make_input_vec();
            let mut spectrum = self.forward.make_output_vec();
            for (values, &k) in section.iter_mut().zip(&self.radii) {
                for (j, v) in ring.iter_mut().enumerate() {
                    *v = intensity.at(on_ring(r, k, PI * j as f32 / TURNS as f32));
                }
                self.forward.process(&mut ring, &mut spectrum).expect("the rings have the planned length");
                *values = series(&spectrum);
                *norm += k * values.iter().flatten().map(|v| v * v).sum::<f32>();
            }
            *norm = norm.sqrt();
        });
        let mut sorted = norms.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let least = (LEAST_NORM * sorted[sorted.len() / 2]).max(NO_NORM);
        out.par_chunks_mut(rings).zip(&norms).for_each(|(section, norm)| {
            for (values, &k) in section.iter_mut().zip(&self.radii) {
                // Rings count in proportion to k: the number of independent samples on them.
                let scale = k / norm.max(least);
                values.iter_mut().flatten().for_each(|v| *v *= scale);
            }
        });
        out
    }

    /// Probabilities of one frame's orientations, as Fourier series over the in-plane angle.
    fn posterior(&self, frame: &[Series], templates: &[Series], beta: f32) -> Posterior {
        let rings = self.radii.len();
        let mut curves = vec![0.0f32; self.directions.len() * TURNS];
        let mut spectrum = self.inverse.make_input_vec();
        for (curve, section) in curves.chunks_mut(TURNS).zip(templates.chunks(rings)) {
            unpack(&product(frame, section), &mut spectrum);
            self.inverse.process(&mut spectrum, curve).expect("the curve has the planned length");
        }
        // Orders 0 are zero, so the mean is.
        let square: f64 = curves.iter().map(|&c| f64::from(c * c)).sum();
        let scale = (square / curves.len() as f64).sqrt().max(1e-30) as f32;
        let best = curves.iter().copied().fold(f32::MIN, f32::max) / scale;
        boltzmann(&mut curves, beta / scale, beta * best);
        let total: f64 = curves.iter().map(|&p| f64::from(p)).sum();
        let share = (1.0 / total) as f32;
        let mut square = 0.0;
        let mut weight = Vec::with_capacity(self.directions.len());
        let mut out = vec![[[0.0; BINS]; 2]; self.directions.len()];
        let mut spectrum = self.forward.make_output_vec();
        for (curve, out) in curves.chunks_mut(TURNS).zip(&mut out) {
            curve.iter_mut().for_each(|p| *p *= share);
            square += curve.iter().map(|p| p * p).sum::<f32>();
            weight.push(curve.iter().sum());
            if weight[weight.len() - 1] > NEGLIGIBLE {
                self.forward.process(curve, &mut spectrum).expect("the curve has the planned length");
                *out = series(&spectrum);
            }
        }
        Posterior { series: out, weight, best, spread: 1.0 / square }
    }

    /// Put sections (one per rotation, each a weighted sum) together.
    fn compress(&self, rotations: &[Rotation], sections: &[Series], weight: &[f32]) -> Merged {
        let rings = self.radii.len();
        let reach = self.reach();
        let length = (2 * reach + 1).pow(3);
        let grid = Intensity { reach, values: Vec::new() };
        let mut out = Merged { sum: vec![0.0; length], seen: vec![0.0; length] };
        let mut spectrum = self.inverse.make_input_vec();
        let mut ring = self.inverse.make_output_vec();
        for ((section, r), &w) in sections.chunks(rings).zip(rotations).zip(weight) {
            if w <= 0.0 {
                continue;
            }
            for (values, &k) in section.iter().zip(&self.radii) {
                unpack(values, &mut spectrum);
                self.inverse.process(&mut spectrum, &mut ring).expect("the rings have the planned length");
                for (j, &value) in ring.iter().enumerate() {
                    let q = on_ring(r, k, PI * j as f32 / TURNS as f32);
                    for (i, share) in grid.cell(q) {
                        out.sum[i] += share * value;
                        out.seen[i] += share * w;
                    }
                }
            }
        }
        out
    }
}

/// Frames of one fold put together: weighted sum and weight of each voxel.
struct Merged {
    sum: Vec<f32>,
    seen: Vec<f32>,
}

/// Probabilities of one frame: Fourier series over the in-plane angle and weight of each direction.
struct Posterior {
    series: Vec<Series>,
    weight: Vec<f32>,
    best: f32,
    spread: f32,
}
