//! Maps of accumulated slices, and Fourier volumes of maps.
//!
//! A volume F(k) on a grid of 1/(pad·N) reaches K steps along each axis; a map of `size` voxels a side is the middle of a
//! grid of P = pad · size,
//!
//! ```text
//! map(r) = P⁻³ Σ_k F(k) exp(+2πi k·(r − size/2)/P) / Π sinc²(r/P),    F(k) = Σ_r map(r) exp(−2πi k·(r − size/2)/P)
//! ```
//!
//! axis by axis, so that after each only the part that counts is kept. sinc² is what trilinear interpolation multiplies a
//! map by (see `volume`).

use crate::check::{self, agree, all_finite, within};
use crate::error::Result;
use crate::volume::{MOST_PAD, volume_len};
use num_complex::Complex32;
use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

/// Most voxels along a side of a map.
const LARGEST: usize = 2048;

/// Added to the density of slices, so that it is never 0.
const LEAST: f32 = 1e-12;

/// Grids of a map and of its volume.
#[derive(Debug, Clone, Copy)]
pub struct MapGrid {
    /// Grid steps of the volume along each axis.
    reach: usize,
    /// Voxels along each side of the map.
    size: usize,
    /// Voxels along each side of the padded map.
    padded: usize,
}

impl MapGrid {
    /// Grids of a map of `size` voxels and of a volume that reaches `reach` steps, `pad` steps to a frequency of the map.
    ///
    /// # Errors
    /// Grids that are empty, too large, or too coarse for the volume.
    pub fn new(reach: usize, size: usize, pad: usize) -> Result<Self> {
        within("pad", pad, 1..=MOST_PAD)?;
        within("size", size, 2..=LARGEST)?;
        let padded = pad * size;
        within("reach", reach, 1..=padded / 2)?;
        Ok(Self { reach, size, padded })
    }

    /// Values along a side of a volume.
    fn side(&self) -> usize {
        2 * self.reach + 1
    }

    /// Place on the padded axis of the frequency number `i` of −K … K.
    fn place(&self, i: usize) -> usize {
        (i + self.padded - self.reach) % self.padded
    }

    /// exp(2πi k · (size/2)/P) for k = −K … K, which brings the centre to where the map begins.
    fn phases(&self) -> Vec<Complex32> {
        let angle =
            |i: usize| (i as f64 - self.reach as f64) * TAU * (self.size / 2) as f64 / self.padded as f64;
        (0..self.side()).map(angle).map(|a| Complex32::new(a.cos() as f32, a.sin() as f32)).collect()
    }

    /// What divides a map along one axis.
    fn kernel(&self) -> Vec<f32> {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let from_centre = |i: usize| (i as f64 - (self.size / 2) as f64) / self.padded as f64;
        (0..self.size).map(|i| sinc(from_centre(i)).powi(2) as f32).collect()
    }
}

/// Shell of each value of a volume, in grid steps, rounded: called with (z, y) and the shells of the row.
fn shell_rows(reach: usize, mut row: impl FnMut(usize, &[usize])) {
    let side = 2 * reach + 1;
    let square = |i: usize| (i as f32 - reach as f32).powi(2);
    let mut shells = vec![0; reach + 1];
    for (number, (z, y)) in (0..side).flat_map(|z| (0..side).map(move |y| (z, y))).enumerate() {
        for (x, shell) in shells.iter_mut().enumerate() {
            *shell = (square(z) + square(y) + (x * x) as f32).sqrt().round_ties_even() as usize;
        }
        row(number * (reach + 1), &shells);
    }
}

/// Number of shells of a volume, up to its corner.
fn shell_count(reach: usize) -> usize {
    (3.0f32.sqrt() * reach as f32) as usize + 2
}

/// Map (z, y, x) of accumulated slices, Σ w X over Σ w.
///
/// `floor`, a share of its mean over each shell, is added to the density of slices: unsampled places stay small. The
/// last two steps of the grid, which interpolation needs, are left out. The result does not depend on the number of
/// threads.
///
/// # Errors
/// Sums of another grid, a floor that is none, or a map that is not finite.
pub fn map_from_sums(
    numerator: &[Complex32],
    denominator: &[f32],
    floor: f32,
    grid: MapGrid,
) -> Result<Vec<f32>> {
    let MapGrid { reach, size, padded } = grid;
    agree("numerator", numerator.len(), volume_len(reach))?;
    agree("denominator", denominator.len(), volume_len(reach))?;
    check::not_negative("floor", floor)?;
    let (mut sum, mut count) = (vec![0.0f64; shell_count(reach)], vec![0.0f64; shell_count(reach)]);
    shell_rows(reach, |start, shells| {
        for (&shell, &w) in shells.iter().zip(&denominator[start..]) {
            sum[shell] += f64::from(w);
            count[shell] += 1.0;
        }
    });
    let added = |(s, c): (&f64, &f64)| (f64::from(floor) * s / c.max(1.0)) as f32 + LEAST;
    let added: Vec<f32> = sum.iter().zip(&count).map(added).collect();
    let mut volume = vec![Complex32::default(); volume_len(reach)];
    shell_rows(reach, |start, shells| {
        let sums = numerator[start..].iter().zip(&denominator[start..]);
        for ((value, &shell), (&n, &w)) in volume[start..].iter_mut().zip(shells).zip(sums) {
            *value = if shell + 2 > reach { Complex32::default() } else { n / (w + added[shell]) };
        }
    });
    let planes = planes_of_map(&volume, grid);
    let (kernel, phases) = (grid.kernel(), grid.phases());
    let transform = RealFftPlanner::<f32>::new().plan_fft_inverse(padded);
    let scale = 1.0 / (padded as f32).powi(3);
    let mut map = vec![0.0f32; size * size * size];
    map.par_chunks_mut(size * size).enumerate().for_each_init(
        || RealLine::back(&*transform),
        |line, (z, plane)| {
            for (y, out) in plane.chunks_exact_mut(size).enumerate() {
                line.spectrum.fill(Complex32::default());
                let column = planes[z * size + y..].iter().step_by(size * size);
                for ((value, v), phase) in line.spectrum.iter_mut().zip(column).zip(&phases[reach..]) {
                    *value = v * phase.conj();
                }
                line.spectrum[0].im = 0.0; // rounding of a sum that is real by symmetry
                transform
                    .process_with_scratch(&mut line.spectrum, &mut line.values, &mut line.work)
                    .expect("the lines have the planned length");
                let factor = scale / (kernel[z] * kernel[y]);
                for ((o, v), k) in out.iter_mut().zip(&line.values).zip(&kernel) {
                    *o = v * factor / k;
                }
            }
        },
    );
    if all_finite(&map) {
        return Ok(map);
    }
    Err(check::unsound(&[("numerator", &numerator), ("denominator", &denominator)]))
}

/// Planes along x that are taken apart together: a cache line of a row.
const PLANES: usize = 8;

/// The planes number `first`, `first + 1` … across rows of `width` values, of each as many as there are rows.
fn take_planes(rows: &[Complex32], width: usize, first: usize, out: &mut [Complex32]) {
    let count = rows.len() / width;
    for (at, row) in rows.chunks_exact(width).enumerate() {
        for (plane, &value) in out.chunks_exact_mut(count).zip(&row[first..]) {
            plane[at] = value;
        }
    }
}

/// The volume transformed along z and y: `[kx][z][y]`.
fn planes_of_map(volume: &[Complex32], grid: MapGrid) -> Vec<Complex32> {
    let MapGrid { reach, size, padded } = grid;
    let (side, width, phases) = (grid.side(), reach + 1, grid.phases());
    let transform = FftPlanner::new().plan_fft_inverse(padded);
    let mut planes = vec![Complex32::default(); width * size * size];
    planes.par_chunks_mut(PLANES * size * size).enumerate().for_each_init(
        || {
            let (taken, half) = (PLANES * side * side, side * size);
            (Line::new(&transform), vec![Complex32::default(); taken], vec![Complex32::default(); half])
        },
        |(line, taken, half), (group, planes)| {
            let first = group * PLANES;
            take_planes(volume, width, first, taken);
            let both = taken.chunks_exact(side * side).zip(planes.chunks_exact_mut(size * size));
            for (x, (from, to)) in (first..).zip(both) {
                for (y, out) in half.chunks_exact_mut(size).enumerate() {
                    // Nothing is left beyond the last shell.
                    if (y as f32 - reach as f32).hypot(x as f32) > reach as f32 {
                        out.fill(Complex32::default());
                        continue;
                    }
                    line.values.fill(Complex32::default());
                    for (z, phase) in phases.iter().enumerate() {
                        line.values[grid.place(z)] = from[z * side + y] * phase.conj();
                    }
                    line.transform(&transform);
                    out.copy_from_slice(&line.values[..size]);
                }
                for (z, out) in to.chunks_exact_mut(size).enumerate() {
                    line.values.fill(Complex32::default());
                    for (y, phase) in phases.iter().enumerate() {
                        line.values[grid.place(y)] = half[y * size + z] * phase.conj();
                    }
                    line.transform(&transform);
                    out.copy_from_slice(&line.values[..size]);
                }
            }
        },
    );
    planes
}

/// Fourier volume of a map (z, y, x), times `gain[k + K]` along each axis.
///
/// `divide` undoes what interpolation will multiply the map by. The result does not depend on the number of threads.
///
/// # Errors
/// A map or a gain of another grid, or a volume that is not finite.
pub fn transform_map(map: &[f32], grid: MapGrid, divide: bool, gain: &[f32]) -> Result<Vec<Complex32>> {
    let MapGrid { reach, size, padded } = grid;
    let (side, width) = (grid.side(), reach + 1);
    agree("map", map.len(), size * size * size)?;
    agree("gain", gain.len(), side)?;
    let kernel = if divide { grid.kernel() } else { vec![1.0; size] };
    let phases: Vec<Complex32> = grid.phases().into_iter().zip(gain).map(|(p, g)| p * g).collect();
    let real = RealFftPlanner::<f32>::new().plan_fft_forward(padded);
    let mut rows = vec![Complex32::default(); size * size * width];
    rows.par_chunks_mut(size * width).zip(map.par_chunks(size * size)).enumerate().for_each_init(
        || RealLine::forth(&*real),
        |line, (z, (out, plane))| {
            let lines = plane.chunks_exact(size).zip(out.chunks_exact_mut(width));
            for ((values, out), ky) in lines.zip(&kernel) {
                let factor = 1.0 / (kernel[z] * ky);
                line.values.fill(0.0);
                for ((padded, v), k) in line.values.iter_mut().zip(values).zip(&kernel) {
                    *padded = v * factor / k;
                }
                real.process_with_scratch(&mut line.values, &mut line.spectrum, &mut line.work)
                    .expect("the lines have the planned length");
                for ((o, v), phase) in out.iter_mut().zip(&line.spectrum).zip(&phases[reach..]) {
                    *o = v * phase;
                }
            }
        },
    );
    let transform = FftPlanner::new().plan_fft_forward(padded);
    // `[kx][kz][ky]`.
    let mut planes = vec![Complex32::default(); width * side * side];
    planes.par_chunks_mut(PLANES * side * side).enumerate().for_each_init(
        || {
            let (taken, half) = (PLANES * size * size, side * size);
            (Line::new(&transform), vec![Complex32::default(); taken], vec![Complex32::default(); half])
        },
        |(line, taken, half), (group, planes)| {
            take_planes(&rows, width, group * PLANES, taken);
            for (from, to) in taken.chunks_exact(size * size).zip(planes.chunks_exact_mut(side * side)) {
                for (z, values) in from.chunks_exact(size).enumerate() {
                    line.values.fill(Complex32::default());
                    line.values[..size].copy_from_slice(values);
                    line.transform(&transform);
                    for (y, phase) in phases.iter().enumerate() {
                        half[y * size + z] = line.values[grid.place(y)] * phase;
                    }
                }
                for (y, values) in half.chunks_exact(size).enumerate() {
                    line.values.fill(Complex32::default());
                    line.values[..size].copy_from_slice(values);
                    line.transform(&transform);
                    for (z, phase) in phases.iter().enumerate() {
                        to[z * side + y] = line.values[grid.place(z)] * phase;
                    }
                }
            }
        },
    );
    let mut volume = vec![Complex32::default(); volume_len(reach)];
    volume.par_chunks_mut(width).enumerate().for_each(|(row, out)| {
        out.iter_mut().zip(planes[row..].iter().step_by(side * side)).for_each(|(o, v)| *o = *v);
    });
    if all_finite(&volume) {
        return Ok(volume);
    }
    Err(check::unsound(&[("map", &map), ("gain", &gain)]))
}

/// Σ Re(a b*), Σ |a|² and Σ |b|² over each shell of two volumes, in grid steps.
///
/// # Errors
/// Volumes of different sizes, or sums that are not finite.
pub fn shell_products(a: &[Complex32], b: &[Complex32], reach: usize) -> Result<[Vec<f64>; 3]> {
    agree("a", a.len(), volume_len(reach))?;
    agree("b", b.len(), volume_len(reach))?;
    let mut sums = vec![[0.0f64; 3]; shell_count(reach)];
    shell_rows(reach, |start, shells| {
        for (&shell, (a, b)) in shells.iter().zip(a[start..].iter().zip(&b[start..])) {
            let products = [a.re * b.re + a.im * b.im, a.norm_sqr(), b.norm_sqr()];
            (0..3).for_each(|i| sums[shell][i] += f64::from(products[i]));
        }
    });
    let out: [Vec<f64>; 3] = std::array::from_fn(|i| sums.iter().map(|s| s[i]).collect());
    if out.iter().all(|sums| all_finite(sums)) {
        Ok(out)
    } else {
        Err(check::unsound(&[("a", &a), ("b", &b)]))
    }
}

/// A line of complex numbers and the memory to transform it.
struct Line {
    values: Vec<Complex32>,
    work: Vec<Complex32>,
}

impl Line {
    fn new(transform: &Arc<dyn Fft<f32>>) -> Self {
        let blank = |n: usize| vec![Complex32::default(); n];
        Self { values: blank(transform.len()), work: blank(transform.get_inplace_scratch_len()) }
    }

    fn transform(&mut self, transform: &Arc<dyn Fft<f32>>) {
        transform.process_with_scratch(&mut self.values, &mut self.work);
    }
}

/// A line of real numbers, its spectrum and the memory to transform it.
struct RealLine {
    values: Vec<f32>,
    spectrum: Vec<Complex32>,
    work: Vec<Complex32>,
}

impl RealLine {
    fn forth(transform: &dyn RealToComplex<f32>) -> Self {
        Self {
            values: transform.make_input_vec(),
            spectrum: transform.make_output_vec(),
            work: transform.make_scratch_vec(),
        }
    }

    fn back(transform: &dyn ComplexToReal<f32>) -> Self {
        Self {
            values: transform.make_output_vec(),
            spectrum: transform.make_input_vec(),
            work: transform.make_scratch_vec(),
        }
    }
}
