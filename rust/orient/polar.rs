//! Power spectra of single frames on polar rings: what indexing compares, free of the particle's place.
//!
//! A frame is masked by a soft disc, padded and transformed; its power is read on rings of [`RING`] angles over half a turn
//! (power spectra are even). Spectra are compressed as ln(1 + power/noise), the noise of a ring being its median over ln 2:
//! zone axes with their few enormous spots would else outweigh everything.

use crate::check::{self, accept, agree, all_finite};
use crate::error::{Error, Result};
use crate::fourier::near_box;
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex};
use std::f32::consts::{LN_2, PI};
use std::sync::Arc;

/// Angles per half turn on every ring.
pub const RING: usize = 128;

/// Rings on which spectra are compared.
#[derive(Debug, Clone)]
pub struct Rings {
    pub(super) radii: Vec<f32>,
}

impl Rings {
    /// Rings of `radii` in cycles per pixel, ascending.
    ///
    /// # Errors
    /// No ring, rings that do not ascend, or rings beyond Nyquist.
    pub fn new(radii: Vec<f32>) -> Result<Self> {
        let inside = radii.iter().all(|k| *k > 0.0 && *k <= 0.5) && radii.is_sorted_by(|a, b| a < b);
        let accepted = "rings from above 0 to 0.5 cycles per px are needed, ascending";
        accept("radii", format!("{radii:?}"), inside && !radii.is_empty(), accepted)?;
        Ok(Self { radii })
    }

    /// Number of rings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.radii.len()
    }

    /// Whether there is no ring; there is always one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.radii.is_empty()
    }

    /// Refuse what are no polar spectra on these rings.
    pub(super) fn check(&self, polar: &[f32]) -> Result<()> {
        let frame = self.len() * RING;
        agree("polar", polar.len(), polar.len() / frame * frame)?;
        check::finite("polar", polar)
    }
}

/// Largest padded image, px.
const MOST_PADDED: usize = 16_384;

/// Polar power spectra of masked frames, whitened, compressed, and free of their ring means.
///
/// `images` n·N·N; each is multiplied by a soft disc of `radius` px round its centre (offset from the box
/// centre in px) and zero-padded to `padded` px before the transform. The noise of each ring is taken
/// from its median, which the few spots do not move. Returns n · radii · [`RING`] numbers.
///
/// # Errors
/// A padded size smaller than the mask or rings beyond Nyquist.
pub fn polar_spectra(
    images: &[f32],
    size: usize,
    centres: &[[f32; 2]],
    radius: f32,
    padded: usize,
    rings: &Rings,
    weights: &[f32],
) -> Result<Vec<f32>> {
    agree("images", images.len(), centres.len() * size * size)?;
    check::finite("images", images)?;
    near_box("centres", centres, size)?;
    agree("weights", weights.len(), size * (size / 2 + 1))?;
    check::finite("weights", weights)?;
    let widest = 4.0 * size as f32;
    accept(
        "radius",
        radius,
        radius > 0.0 && radius <= widest,
        &format!("above 0 to {widest} px is accepted"),
    )?;
    // The mask begins and ends between pixels: one more on each side.
    let least = 2 * ((radius * 1.2).ceil() as usize + 1);
    check::within("padded", padded, least..=MOST_PADDED)?;
    // Bilinear reading takes the column beyond each sample.
    if rings.radii.last().is_none_or(|&k| (k * padded as f32) as usize + 1 > padded / 2) {
        let limit = format!("rings up to 0.5 − 1/{padded} cycles per px are needed, ascending");
        return Err(Error::bad_input("radii", format!("{:?}", rings.radii.last()), limit));
    }
    let transform = PaddedTransform {
        size,
        radius,
        padded,
        half: (rings.radii.last().unwrap_or(&0.0) * padded as f32) as usize + 2,
        rows: RealFftPlanner::new().plan_fft_forward(padded),
        columns: rustfft::FftPlanner::new().plan_fft_forward(padded),
    };
    let ring_count = rings.radii.len();
    let mut out = vec![0.0; centres.len() * ring_count * RING];
    out.par_chunks_mut(ring_count * RING).zip(images.par_chunks(size * size)).zip(centres).for_each(
        |((polar, image), centre)| {
            sample_rings(&transform.power(image, *centre), padded, rings, weights, size, polar);
        },
    );
    if all_finite(&out) { Ok(out) } else { Err(check::unsound(&[("images", &images)])) }
}

/// From an image of `size` px to the power spectrum of what a soft disc of `radius` px shows of it, padded.
struct PaddedTransform {
    size: usize,
    radius: f32,
    padded: usize,
    /// Columns kx = 0 .. half that are wanted.
    half: usize,
    rows: Arc<dyn RealToComplex<f32>>,
    columns: Arc<dyn rustfft::Fft<f32>>,
}

impl PaddedTransform {
    /// |FFT|² of the masked, padded image, as `[kx][ky]`.
    fn power(&self, image: &[f32], centre: [f32; 2]) -> Vec<f32> {
        let &Self { size, radius, padded, half, .. } = self;
        let at = [size as f32 / 2.0 + centre[0], size as f32 / 2.0 + centre[1]];
        let reach = radius * 1.2;
        let bounds = |c: f32| ((c - reach).max(0.0) as usize, ((c + reach).ceil() as usize).min(size - 1));
        let ((x0, x1), (y0, y1)) = (bounds(at[0]), bounds(at[1]));
        let mask = |x: usize, y: usize| {
            let r = (x as f32 - at[0]).hypot(y as f32 - at[1]) / radius;
            // Flat to 0.8 of the radius, gone at 1.2: a hard rim would ring across the spots.
            if r <= 0.8 {
                1.0
            } else if r < 1.2 {
                0.5 + 0.5 * (PI * (r - 0.8) / 0.4).cos()
            } else {
                0.0
            }
        };
        let (mut sum, mut area) = (0.0, 0.0);
        for y in y0..=y1 {
            for x in x0..=x1 {
                let m = mask(x, y);
                sum += m * image[y * size + x];
                area += m;
            }
        }
        let mean = sum / area.max(1.0);
        let mut columns = vec![Complex32::default(); half * padded];
        let mut line = self.rows.make_input_vec();
        let mut spectrum = self.rows.make_output_vec();
        for y in y0..=y1 {
            line.fill(0.0);
            for x in x0..=x1 {
                line[x - x0] = (image[y * size + x] - mean) * mask(x, y);
            }
            self.rows.process(&mut line, &mut spectrum).expect("the lines have the planned length");
            for kx in 0..half {
                columns[kx * padded + y - y0] = spectrum[kx];
            }
        }
        self.columns.process(&mut columns);
        columns.iter().map(|v| v.norm_sqr()).collect()
    }
}

/// Bilinear rings of a power spectrum, each divided by its noise, compressed and centred.
///
/// `weights` is the (y, x ≥ 0) half plane of the unpadded image: zero where a coefficient was altered
/// (graphene); samples there take the ring's mean, so they speak for no orientation.
fn sample_rings(
    power: &[f32],
    padded: usize,
    rings: &Rings,
    weights: &[f32],
    size: usize,
    polar: &mut [f32],
) {
    let mut sorted = vec![0.0; RING];
    let mut keep = vec![true; RING];
    for (ring, values) in rings.radii.iter().zip(polar.chunks_mut(RING)) {
        for (j, value) in values.iter_mut().enumerate() {
            let (s, c) = (PI * j as f32 / RING as f32).sin_cos();
            // Half a turn from −y to +y has x ≥ 0: the half plane the real transform keeps.
            let (fx, fy) = (ring * s, -ring * c);
            let (x, y) = (fx * padded as f32, fy * padded as f32);
            let (ix, iy) = (x.floor(), y.floor());
            let (tx, ty) = (x - ix, y - iy);
            let at = |dx: i32, dy: i32| {
                let row = (iy as i32 + dy).rem_euclid(padded as i32) as usize;
                power[(ix as i32 + dx) as usize * padded + row]
            };
            *value = (at(0, 0) * (1.0 - tx) + at(1, 0) * tx) * (1.0 - ty)
                + (at(0, 1) * (1.0 - tx) + at(1, 1) * tx) * ty;
            let row = (fy * size as f32).round().rem_euclid(size as f32) as usize % size;
            keep[j] = weights[row * (size / 2 + 1) + (fx * size as f32).round() as usize] > 0.5;
        }
        sorted.copy_from_slice(values);
        sorted.sort_unstable_by(f32::total_cmp);
        // The median of exponentially distributed noise power is ln 2 times its mean.
        let noise = (sorted[RING / 2] / LN_2).max(f32::MIN_POSITIVE);
        let (mut sum, mut count) = (0.0, 0.0);
        for (value, &k) in values.iter_mut().zip(&keep) {
            *value = (*value / noise).ln_1p();
            if k {
                sum += *value;
                count += 1.0;
            }
        }
        let mean = sum / f32::max(count, 1.0);
        for (value, &k) in values.iter_mut().zip(&keep) {
            *value = if k { *value - mean } else { 0.0 };
        }
    }
}
