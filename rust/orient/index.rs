//! Indexing of single frames modulo the symmetry of the lattice.
//!
//! The power spectrum of a frame does not depend on the position of the particle, and its spots give the lattice's
//! orientation. With the frame's spectrum y(k, φ) and a template t_d(k, φ) for view direction d, both on
//! polar rings, the correlation over the in-plane angle is one FFT per ring (Kam 1980 correlated rings in
//! the same way):
//!
//! ```text
//! C_d(ψ) = Σ_k k Σ_φ y(k, φ) t_d(k, φ − ψ),   R = Rz(ψ) · R_d
//! ```
//!
//! Power spectra are even, so ψ runs over half a turn. Both sides are compressed as ln(1 + power/noise):
//! zone axes with their few enormous spots would else outweigh everything.

use crate::check::{self, agree};
use crate::error::{Error, Result};
use crate::orient::intensity::{Intensity, on_ring};
use crate::orient::polar::{RING, Rings};
use crate::volume::Rotation;
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::RealFftPlanner;
use std::f32::consts::PI;

/// The lattice as indexing sees it.
#[derive(Debug, Clone)]
pub struct LatticeSpots {
    /// Reciprocal lattice points in the particle's frame, cycles per pixel.
    pub points: Vec<[f32; 3]>,
    /// Power of each over the noise, at its centre.
    pub power: Vec<f32>,
    /// Diameter of the particle in px: it sets the width of the spots.
    pub diameter: f32,
}

/// Templates for a set of view directions.
pub struct Indexer {
    rings: Rings,
    frames: Vec<Rotation>,
    /// Conjugate ring spectra, `[direction][ring][bin]`, unit norm under the ring weights.
    templates: Vec<Complex32>,
}

/// One candidate of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Rotation, one of its mates.
    pub rotation: Rotation,
    /// Correlation in units of its spread over all states of the frame.
    pub score: f32,
}

/// |transform of a ball|² of unit height for x = π·q·D.
fn ball_power(x: f32) -> f32 {
    if x < 0.05 {
        return 1.0 - x * x / 5.0;
    }
    let s = 3.0 * (x.sin() - x * x.cos()) / (x * x * x);
    s * s
}

/// [`ball_power`] tabulated: between two of `PER_UNIT` points it is straight to 1e-5.
struct BallPower(Vec<f32>);

const PER_UNIT: f32 = 64.0;
const LARGEST: f32 = 24.0;

impl BallPower {
    fn new() -> Self {
        Self((0..=(PER_UNIT * LARGEST) as usize + 1).map(|i| ball_power(i as f32 / PER_UNIT)).collect())
    }

    #[inline]
    fn at(&self, x: f32) -> f32 {
        if x >= LARGEST {
            return ball_power(x);
        }
        let place = x * PER_UNIT;
        let (low, high) = (self.0[place as usize], self.0[place as usize + 1]);
        low + (place - place.floor()) * (high - low)
    }
}

/// Σ over rings of the products of two sets of ring spectra, in lanes as wide as the machine has.
fn correlate(spectrum: &[Complex32], template: &[Complex32], product: &mut [Complex32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { correlate_avx2(spectrum, template, product) };
    }
    correlate_baseline(spectrum, template, product);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn correlate_avx2(spectrum: &[Complex32], template: &[Complex32], product: &mut [Complex32]) {
    correlate_baseline(spectrum, template, product);
}

/// Nothing is fused, so the numbers are the same to the last bit.
#[inline(always)]
fn correlate_baseline(spectrum: &[Complex32], template: &[Complex32], product: &mut [Complex32]) {
    let bins = product.len();
    product.fill(Complex32::default());
    for (a, b) in spectrum.chunks_exact(bins).zip(template.chunks_exact(bins)) {
        for ((p, x), y) in product.iter_mut().zip(a).zip(b) {
            *p += x * y;
        }
    }
}

/// A rotation whose view direction (third row) is `d`.
pub(super) fn frame_of(d: [f32; 3]) -> Rotation {
    let a = if d[2].abs() < 0.8 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] };
    let cross = |u: [f32; 3], v: [f32; 3]| {
        [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    };
    let x = cross(a, d);
    let norm = (x[0] * x[0] + x[1] * x[1] + x[2] * x[2]).sqrt();
    let x = x.map(|v| v / norm);
    [x, cross(d, x), d]
}

/// Rz(ψ) · `r`.
fn turn(r: &Rotation, psi: f32) -> Rotation {
    let (s, c) = psi.sin_cos();
    let mut out = *r;
    for a in 0..3 {
        out[0][a] = c * r[0][a] - s * r[1][a];
        out[1][a] = s * r[0][a] + c * r[1][a];
    }
    out
}

impl Indexer {
    /// Build the templates of `directions` (unit vectors in the particle's frame) on `rings`.
    ///
    /// # Errors
    /// No direction or none of unit length, or spots that are no numbers.
    pub fn new(spots: &LatticeSpots, directions: &[[f32; 3]], rings: &Rings) -> Result<Self> {
        check::places("spots", &spots.points)?;
        agree("power", spots.power.len(), spots.points.len())?;
        check::none_negative("power", &spots.power)?;
        check::positive("diameter", spots.diameter)?;
        let (ball, half_turn) = (BallPower::new(), half_turn());
        Self::of(directions, rings, |r| template(spots, r, rings, &ball, &half_turn))
    }

    /// Build the templates from an intensity whose grid is that of images of `size` px.
    ///
    /// # Errors
    /// No direction or none of unit length, or an intensity that does not reach the last ring.
    pub fn from_intensity(
        intensity: &Intensity,
        directions: &[[f32; 3]],
        rings: &Rings,
        size: usize,
    ) -> Result<Self> {
        let last = rings.radii.last().map_or(0.0, |k| k * size as f32);
        if last + 1.0 > intensity.reach as f32 {
            let accepted = format!("{} grid steps at most", intensity.reach.saturating_sub(1));
            return Err(Error::bad_input("radii", last, accepted));
        }
        Self::of(directions, rings, |r| {
            let radii = rings.radii.iter().map(|k| k * size as f32);
            radii
                .flat_map(|k| {
                    (0..RING).map(move |j| intensity.at(on_ring(r, k, PI * j as f32 / RING as f32)))
                })
                .collect()
        })
    }

    /// Build the templates that `section` gives for each rotation.
    fn of(
        directions: &[[f32; 3]],
        rings: &Rings,
        section: impl Fn(&Rotation) -> Vec<f32> + Sync,
    ) -> Result<Self> {
        check::directions("directions", directions)?;
        let bins = RING / 2 + 1;
        let count = rings.radii.len();
        let frames: Vec<Rotation> = directions.iter().map(|&d| frame_of(d)).collect();
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(RING);
        let mut templates = vec![Complex32::default(); frames.len() * count * bins];
        templates.par_chunks_mut(count * bins).zip(&frames).for_each(|(out, r)| {
            let mut image = section(r);
            let mut norm = 0.0;
            for (values, &k) in image.chunks_mut(RING).zip(&rings.radii) {
                let mean = values.iter().sum::<f32>() / RING as f32;
                values.iter_mut().for_each(|v| *v -= mean);
                norm += k * values.iter().map(|v| v * v).sum::<f32>();
            }
            // Rings count in proportion to k: the number of independent samples on them.
            let scale = 1.0 / (norm.sqrt().max(f32::MIN_POSITIVE) * RING as f32);
            for ((values, &k), bins_out) in image.chunks_mut(RING).zip(&rings.radii).zip(out.chunks_mut(bins))
            {
                values.iter_mut().for_each(|v| *v *= k * scale);
                fft.process(values, bins_out).expect("the rings have the planned length");
                bins_out.iter_mut().for_each(|v| *v = v.conj());
            }
        });
        Ok(Self { rings: rings.clone(), frames, templates })
    }

    /// The `count` best states of every polar spectrum, best first, n · `count`.
    ///
    /// At most two in-plane angles a direction, neighbours in direction are kept: the hidden Markov model
    /// likes a cloud better than a point. Scores are in units of the spread over all states. A frame with fewer states
    /// repeats its last; one without contrast, whose states are all alike, has scores of 0.
    ///
    /// # Errors
    /// No polar spectra of these rings, numbers that are not finite, or a count of 0 or of more states than there are.
    pub fn candidates(&self, polar: &[f32], count: usize) -> Result<Vec<Candidate>> {
        self.rings.check(polar)?;
        check::within("count", count, 1..=2 * self.frames.len())?;
        let bins = RING / 2 + 1;
        let mut planner = RealFftPlanner::<f32>::new();
        let forward = planner.plan_fft_forward(RING);
        let inverse = planner.plan_fft_inverse(RING);
        let blank = Candidate { rotation: self.frames[0], score: 0.0 };
        let frame_len = self.rings.len() * RING;
        let mut out = vec![blank; polar.len() / frame_len * count];
        out.par_chunks_mut(count).zip(polar.par_chunks(frame_len)).for_each(|(best, polar)| {
            let mut ring = forward.make_input_vec();
            let mut spectrum = vec![Complex32::default(); self.rings.len() * bins];
            for (values, bins_out) in polar.chunks(RING).zip(spectrum.chunks_mut(bins)) {
                ring.copy_from_slice(values);
                forward.process(&mut ring, bins_out).expect("the rings have the planned length");
            }
            let mut found: Vec<(f32, usize, f32)> = Vec::with_capacity(4 * self.frames.len());
            let (mut sum, mut square) = (0.0f64, 0.0f64);
            let mut product = inverse.make_input_vec();
            let mut curve = inverse.make_output_vec();
            for (d, template) in self.templates.chunks(self.rings.len() * bins).enumerate() {
                correlate(&spectrum, template, &mut product);
                // Rounding may leave an imaginary part where the real transform has none.
                product[0].im = 0.0;
                product[bins - 1].im = 0.0;
                inverse.process(&mut product, &mut curve).expect("the curve has the planned length");
                for &c in &curve {
                    sum += f64::from(c);
                    square += f64::from(c * c);
                }
                peaks(&curve, d, &mut found);
            }
            let total = (self.frames.len() * RING) as f64;
            let mean = sum / total;
            let spread = (square / total - mean * mean).sqrt().max(1e-30);
            found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (slot, &(score, d, psi)) in best.iter_mut().zip(&found) {
                let score = ((f64::from(score) - mean) / spread) as f32;
                *slot = Candidate { rotation: turn(&self.frames[d], psi), score };
            }
            if (1..count).contains(&found.len()) {
                let (there, missing) = best.split_at_mut(found.len());
                missing.fill(there[found.len() - 1]);
            }
        });
        if out.iter().all(|c| c.score.is_finite()) {
            Ok(out)
        } else {
            Err(check::unsound(&[("polar", &polar)]))
        }
    }
}

/// The two best local maxima of a correlation curve, angle refined by a parabola.
fn peaks(curve: &[f32], direction: usize, found: &mut Vec<(f32, usize, f32)>) {
    let n = curve.len();
    let mut best: [(f32, f32); 2] = [(f32::NEG_INFINITY, 0.0); 2];
    for j in 0..n {
        let (a, b, c) = (curve[(j + n - 1) % n], curve[j], curve[(j + 1) % n]);
        if b < a || b <= c {
            continue;
        }
        let bend = a - 2.0 * b + c;
        let offset = if bend < 0.0 { 0.5 * (a - c) / bend } else { 0.0 };
        let peak = (b - 0.25 * (a - c) * offset, PI * (j as f32 + offset) / n as f32);
        if peak.0 > best[0].0 {
            best = [peak, best[0]];
        } else if peak.0 > best[1].0 {
            best[1] = peak;
        }
    }
    found.extend(best.iter().filter(|p| p.0.is_finite()).map(|p| (p.0, direction, p.1)));
}

/// Sines and cosines of the angles of a ring.
fn half_turn() -> [(f32, f32); RING] {
    std::array::from_fn(|j| (PI * j as f32 / RING as f32).sin_cos())
}

/// ln(1 + power) of the lattice's spots cut by the plane of rotation `r`, on the rings.
fn template(
    spots: &LatticeSpots,
    r: &Rotation,
    rings: &Rings,
    ball: &BallPower,
    half_turn: &[(f32, f32); RING],
) -> Vec<f32> {
    let mut power = vec![0.0; rings.radii.len() * RING];
    // Beyond the ball transform's third zero (x = 10.9) less than 0.1 % of a spot is left.
    let reach = 10.9 / (PI * spots.diameter);
    for (g, &strength) in spots.points.iter().zip(&spots.power) {
        let dot = |a: &[f32; 3]| a[0] * g[0] + a[1] * g[1] + a[2] * g[2];
        let (x, y, depth) = (dot(&r[0]), dot(&r[1]), dot(&r[2]));
        if depth.abs() > reach {
            continue;
        }
        let (k, angle) = (x.hypot(y), x.atan2(-y));
        for (i, &radius) in rings.radii.iter().enumerate() {
            if (radius - k).abs() > reach {
                continue;
            }
            let width = if k > reach { (reach / k.min(radius)).min(1.0) * PI / 2.0 } else { PI };
            let steps = (width / PI * RING as f32).ceil() as i32;
            let first = (angle / PI * RING as f32).round() as i32;
            for j in first - steps..=first + steps {
                let slot = j.rem_euclid(RING as i32) as usize;
                // Half a turn on, both change their sign.
                let radius = if j.div_euclid(RING as i32) % 2 == 0 { radius } else { -radius };
                let (s, c) = half_turn[slot];
                let (dx, dy) = (radius * s - x, -radius * c - y);
                let q = (dx * dx + dy * dy + depth * depth).sqrt();
                // Each spot and its Friedel mate fall on the same even ring: half turns are equal.
                let value = strength * ball.at(PI * q * spots.diameter);
                let power = &mut power[i * RING + slot];
                *power = f32::max(*power, value);
            }
        }
    }
    power.iter_mut().for_each(|p| *p = p.ln_1p());
    power
}
