//! Image spectra on a packed half plane.
//!
//! An image of N × N pixels is real, so half of its Fourier plane tells all. A [`HalfPlane`] lists the
//! frequencies (kx, ky), in units of 1/(N·pixel), of that half up to a shell, row by row; a spectrum is
//! then one contiguous run of complex numbers. The transform is
//!
//! ```text
//! X(k) = 1/N · Σ_r image(r) · exp(−2πi k·(r − c) / N),   c = (N/2, N/2)
//! ```
//!
//! so that white noise of variance v per pixel has ⟨|X|²⟩ = v, and a particle at the centre has the
//! phases of its own central slice.

use crate::check::{self, accept, agree, all_finite};
use crate::error::{Error, Result};
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::RealFftPlanner;
use std::f32::consts::PI;

/// Largest box, px: squared frequencies and the number of them stay whole numbers of 32 bits.
const LARGEST: usize = 4096;

/// One row of the half plane: frequencies `(first .. first + len, ky)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Frequency along y.
    pub ky: i32,
    /// First frequency along x.
    pub first: i32,
    /// Number of frequencies in the row.
    pub len: usize,
    /// Index of the first one in a packed spectrum.
    pub start: usize,
}

/// The frequencies of half a Fourier plane with `min_shell ≤ |k| ≤ max_shell`, DC and duplicates left out.
#[derive(Debug, Clone)]
pub struct HalfPlane {
    /// Box of the image in pixels.
    pub size: usize,
    /// Largest |k| held.
    pub max_shell: usize,
    /// Rows in order of ky; a row of an annulus may be split in two runs.
    pub rows: Vec<Row>,
    len: usize,
}

impl HalfPlane {
    /// Half plane of a `size` × `size` image between two shells (inclusive, in 1/(N·pixel)).
    ///
    /// # Errors
    /// An odd or tiny box, or shells beyond Nyquist.
    pub fn new(size: usize, min_shell: usize, max_shell: usize) -> Result<Self> {
        if !(16..=LARGEST).contains(&size) || !size.is_multiple_of(2) {
            return Err(Error::bad_input(
                "box",
                format!("{size} px"),
                format!("an even box of 16 to {LARGEST} px is needed"),
            ));
        }
        if max_shell == 0 || max_shell >= size / 2 || min_shell > max_shell {
            return Err(Error::bad_input(
                "shells",
                format!("{min_shell} to {max_shell}"),
                format!("1 ≤ min ≤ max < {} (Nyquist) is needed", size / 2),
            ));
        }
        let (low, high) = (min_shell.max(1) as i32, max_shell as i32);
        let inside = |kx: i32, ky: i32| {
            let k2 = kx * kx + ky * ky;
            k2 >= low * low && k2 <= high * high && (kx > 0 || ky > 0)
        };
        let mut rows = Vec::new();
        let mut len = 0;
        for ky in -high..=high {
            let mut kx = 0;
            while kx <= high {
                let first = kx;
                while kx <= high && inside(kx, ky) {
                    kx += 1;
                }
                if kx > first {
                    let run = (kx - first) as usize;
                    rows.push(Row { ky, first, len: run, start: len });
                    len += run;
                } else {
                    kx += 1;
                }
            }
        }
        Ok(Self { size, max_shell, rows, len })
    }

    /// Number of frequencies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no frequency is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All frequencies `(kx, ky)` in packed order.
    #[must_use]
    pub fn frequencies(&self) -> Vec<(i32, i32)> {
        self.rows.iter().flat_map(|r| (0..r.len as i32).map(move |i| (r.first + i, r.ky))).collect()
    }
}

/// Smallest even length ≥ `least` with no prime factor above 5, for which transforms are fast.
#[must_use]
pub fn good_length(least: usize) -> usize {
    let smooth = |n: usize| {
        let rest = [2, 3, 5].iter().fold(n, |mut rest, p| {
            while rest.is_multiple_of(*p) {
                rest /= p;
            }
            rest
        });
        rest == 1
    };
    (least.div_ceil(2).max(1)..).map(|half| 2 * half).find(|&n| smooth(n)).expect("powers of two have no end")
}

/// Soft circular mask: 1 inside `radius`, 0 beyond `radius + edge`, half a cosine between (px).
fn soft_mask(size: usize, centre: [f32; 2], radius: f32, edge: f32) -> Vec<f32> {
    let mut mask = vec![0.0; size * size];
    for y in 0..size {
        for x in 0..size {
            let r = (x as f32 - centre[0]).hypot(y as f32 - centre[1]);
            mask[y * size + x] = if r <= radius {
                1.0
            } else if r < radius + edge {
                0.5 + 0.5 * (PI * (r - radius) / edge).cos()
            } else {
                0.0
            };
        }
    }
    mask
}

/// Packed spectra of masked images, each referred to its own centre.
///
/// `images` are n·N·N contrasts, `centres` n offsets (x, y) of the particle from the box centre in px;
/// the mask of `radius` + `edge` px sits on the particle and the phases are those of a particle at the
/// origin. Returns n · `plane.len()` numbers. The mean inside the mask is removed first, so that the
/// mask's own transform does not leak into the low shells.
///
/// # Errors
/// Numbers that do not agree or are not finite, a centre more than four boxes off, or a mask of no extent.
pub fn pack_spectra(
    images: &[f32],
    plane: &HalfPlane,
    centres: &[[f32; 2]],
    radius: f32,
    edge: f32,
) -> Result<Vec<Complex32>> {
    let n = plane.size;
    agree("images", images.len(), centres.len() * n * n)?;
    near_box("centres", centres, n)?;
    check::positive("radius", radius)?;
    check::not_negative("edge", edge)?;
    let half = n / 2 + 1;
    let origin = (n / 2) as f32;
    let mut planner = RealFftPlanner::<f32>::new();
    let rows_fft = planner.plan_fft_forward(n);
    let columns_fft = rustfft::FftPlanner::<f32>::new().plan_fft_forward(n);
    let frequencies = plane.frequencies();
    let mut spectra = vec![Complex32::default(); centres.len() * plane.len()];
    let mut sound = vec![false; centres.len()];
    let jobs = spectra.par_chunks_mut(plane.len()).zip(images.par_chunks(n * n)).zip(centres).zip(&mut sound);
    jobs.for_each(|(((out, image), centre), sound)| {
        let at = [origin + centre[0], origin + centre[1]];
        let mask = soft_mask(n, at, radius, edge);
        let weight: f32 = mask.iter().sum();
        let mean = image.iter().zip(&mask).map(|(v, m)| v * m).sum::<f32>() / weight.max(1.0);
        let mut real: Vec<f32> = image.iter().zip(&mask).map(|(v, m)| (v - mean) * m).collect();
        // Rows first, then the columns of the half plane, transposed so that each is contiguous.
        let mut columns = vec![Complex32::default(); half * n];
        let mut line = rows_fft.make_output_vec();
        for y in 0..n {
            rows_fft
                .process(&mut real[y * n..(y + 1) * n], &mut line)
                .expect("the lines have the planned length");
            for (x, value) in line.iter().enumerate() {
                columns[x * n + y] = *value;
            }
        }
        columns_fft.process(&mut columns[..(plane.max_shell + 1) * n]);
        let scale = 1.0 / n as f32;
        let step = [2.0 * PI * at[0] / n as f32, 2.0 * PI * at[1] / n as f32];
        for (value, &(kx, ky)) in out.iter_mut().zip(&frequencies) {
            let index = kx as usize * n + ky.rem_euclid(n as i32) as usize;
            let phase = kx as f32 * step[0] + ky as f32 * step[1];
            *value = columns[index] * Complex32::cis(phase) * scale;
        }
        // A pixel that is not finite makes the mean so, whether the mask shows it or not.
        *sound = mean.is_finite() && all_finite(out);
    });
    if sound.contains(&false) {
        return Err(check::unsound(&[("images", &images)]));
    }
    Ok(spectra)
}

/// Refuse centres (px from the box centre) that are not finite or more than four boxes off.
pub(crate) fn near_box(name: &'static str, centres: &[[f32; 2]], size: usize) -> Result<()> {
    let limit = 4.0 * size as f32;
    let far = centres.iter().find(|c| !c.iter().all(|v| v.abs() <= limit));
    let accepted = format!("finite offsets of at most {limit} px from the box centre are needed");
    accept(name, format!("{:?}", far.unwrap_or(&[0.0; 2])), far.is_none(), &accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_plane_holds_each_frequency_pair_once() {
        let plane = HalfPlane::new(32, 3, 12).unwrap();
        let all = plane.frequencies();
        assert_eq!(all.len(), plane.len());
        let mut seen = std::collections::HashSet::new();
        for &(x, y) in &all {
            assert!(seen.insert((x, y)) && !seen.contains(&(-x, -y)));
        }
        let expected = (-12i32..=12)
            .flat_map(|y| (-12i32..=12).map(move |x| x * x + y * y))
            .filter(|k2| (9..=144).contains(k2))
            .count();
        assert_eq!(all.len() * 2, expected);
    }

    #[test]
    fn good_lengths_are_the_next_even_ones_of_small_primes() {
        for (least, length) in [(0, 2), (1, 2), (2, 2), (7, 8), (13, 16), (97, 100), (121, 128), (140, 144)] {
            assert_eq!(good_length(least), length);
        }
    }

    #[test]
    fn a_shifted_point_has_no_phase_at_its_centre() {
        let n = 32;
        let plane = HalfPlane::new(n, 2, 12).unwrap();
        let mut image = vec![0.0; n * n];
        image[(n / 2 + 2) * n + n / 2 - 3] = 1.0;
        let spectrum = pack_spectra(&image, &plane, &[[-3.0, 2.0]], 10.0, 2.0).unwrap();
        for value in spectrum {
            assert!(value.re > 0.02 && value.im.abs() < 1e-5, "{value}");
        }
    }
}
