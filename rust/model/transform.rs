//! Fourier transforms of eight lines at a time.
//!
//! Stockham's transform, in steps of 6, 4, 2, 5 and 3: each step reads one buffer and writes the other, in the order that
//! the next one needs.

use crate::fourier::good_length;
use crate::lanes::{LANES, Lanes};
use num_complex::{Complex32, Complex64};
use std::f64::consts::TAU;

/// One point of eight lines of complex numbers.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default)]
pub struct Point {
    /// Real parts.
    pub re: [f32; LANES],
    /// Imaginary parts.
    pub im: [f32; LANES],
}

/// Real and imaginary parts in registers.
type Pair<L> = (L, L);

#[inline(always)]
fn plus<L: Lanes>(a: Pair<L>, b: Pair<L>) -> Pair<L> {
    (a.0.plus(b.0), a.1.plus(b.1))
}

#[inline(always)]
fn minus<L: Lanes>(a: Pair<L>, b: Pair<L>) -> Pair<L> {
    (a.0.minus(b.0), a.1.minus(b.1))
}

/// a + f · b for a real f.
#[inline(always)]
fn along<L: Lanes>(a: Pair<L>, f: f32, b: Pair<L>) -> Pair<L> {
    let f = L::splat(f);
    (f.times_plus(b.0, a.0), f.times_plus(b.1, a.1))
}

/// f · a for a real f.
#[inline(always)]
fn scaled<L: Lanes>(f: f32, a: Pair<L>) -> Pair<L> {
    let f = L::splat(f);
    (f.times(a.0), f.times(a.1))
}

/// a − i b and a + i b.
#[inline(always)]
fn turned<L: Lanes>(a: Pair<L>, b: Pair<L>) -> [Pair<L>; 2] {
    [(a.0.plus(b.1), a.1.minus(b.0)), (a.0.minus(b.1), a.1.plus(b.0))]
}

/// The same of three.
#[inline(always)]
fn three<L: Lanes>(x: [Pair<L>; 3]) -> [Pair<L>; 3] {
    const SINE: f32 = 0.866_025_4;
    let (sum, rest) = (plus(x[1], x[2]), minus(x[1], x[2]));
    let [second, third] = turned(along(x[0], -0.5, sum), scaled(SINE, rest));
    [plus(x[0], sum), second, third]
}

/// Σ_j x_j exp(−2πi jk/R) for k = 0..R.
#[inline(always)]
fn butterfly<L: Lanes, const R: usize>(x: [Pair<L>; R]) -> [Pair<L>; R] {
    let mut y = x;
    match R {
        2 => (y[0], y[1]) = (plus(x[0], x[1]), minus(x[0], x[1])),
        3 => [y[0], y[1], y[2]] = three([x[0], x[1], x[2]]),
        4 => {
            let (even, odd) = ([plus(x[0], x[2]), minus(x[0], x[2])], [plus(x[1], x[3]), minus(x[1], x[3])]);
            (y[0], y[2]) = (plus(even[0], odd[0]), minus(even[0], odd[0]));
            [y[1], y[3]] = turned(even[1], odd[1]);
        }
        6 => {
            // Two and three have no common factor, so that nothing is turned in between.
            let (a, b) = (three([x[0], x[2], x[4]]), three([x[3], x[5], x[1]]));
            (y[0], y[3]) = (plus(a[0], b[0]), minus(a[0], b[0]));
            (y[4], y[1]) = (plus(a[1], b[1]), minus(a[1], b[1]));
            (y[2], y[5]) = (plus(a[2], b[2]), minus(a[2], b[2]));
        }
        _ => {
            const COS: [f32; 2] = [0.309_017, -0.809_017];
            const SIN: [f32; 2] = [0.951_056_5, 0.587_785_25];
            let sums = [plus(x[1], x[4]), plus(x[2], x[3])];
            let rests = [minus(x[1], x[4]), minus(x[2], x[3])];
            let cosines = [
                along(along(x[0], COS[0], sums[0]), COS[1], sums[1]),
                along(along(x[0], COS[1], sums[0]), COS[0], sums[1]),
            ];
            let sines = [
                along(scaled(SIN[0], rests[0]), SIN[1], rests[1]),
                along(scaled(SIN[1], rests[0]), -SIN[0], rests[1]),
            ];
            y[0] = plus(x[0], plus(sums[0], sums[1]));
            [y[1], y[4]] = turned(cosines[0], sines[0]);
            [y[2], y[3]] = turned(cosines[1], sines[1]);
        }
    }
    y
}

/// One step of Stockham's transform.
struct Pass {
    radix: usize,
    /// Points that come one after the other.
    stride: usize,
    /// exp(−2πi pk/n) for each p and k = 1..radix.
    twiddles: Vec<Complex32>,
}

impl Pass {
    #[inline(always)]
    fn run<L: Lanes, const R: usize>(&self, from: &[Point], to: &mut [Point]) {
        let s = self.stride;
        let groups = from.len() / (R * s);
        for (p, (out, twiddles)) in
            to.chunks_exact_mut(R * s).zip(self.twiddles.chunks_exact(R - 1)).enumerate()
        {
            let mut inputs: [&[Point]; R] = [&[]; R];
            for j in 0..R {
                inputs[j] = &from[s * (p + groups * j)..][..s];
            }
            for q in 0..s {
                // Closures would not be compiled for the registers: loops alone are.
                let mut x = [(L::splat(0.0), L::splat(0.0)); R];
                for j in 0..R {
                    x[j] = (L::load(&inputs[j][q].re), L::load(&inputs[j][q].im));
                }
                let y = butterfly::<L, R>(x);
                for k in 0..R {
                    let (re, im) = y[k];
                    let point = &mut out[q + s * k];
                    if p == 0 || k == 0 {
                        re.store(&mut point.re);
                        im.store(&mut point.im);
                    } else {
                        let (c, i) = (L::splat(twiddles[k - 1].re), L::splat(twiddles[k - 1].im));
                        i.taken_from(im, c.times(re)).store(&mut point.re);
                        i.times_plus(re, c.times(im)).store(&mut point.im);
                    }
                }
            }
        }
    }
}

/// Transforms of eight lines of one length, with no prime factor above 5.
pub struct LaneTransform {
    passes: Vec<Pass>,
}

impl LaneTransform {
    /// For lines of `length` points, as [`good_length`] gives.
    #[must_use]
    pub fn new(length: usize) -> Self {
        debug_assert_eq!(good_length(length), length);
        let (mut rest, mut stride, mut passes) = (length, 1, Vec::new());
        for radix in [6, 4, 2, 5, 3] {
            while rest.is_multiple_of(radix) && rest > 1 {
                let groups = rest / radix;
                let angle = |p: usize, k: usize| -TAU * (p * k) as f64 / rest as f64;
                let twiddles = (0..groups).flat_map(|p| (1..radix).map(move |k| (p, k)));
                let twiddles = twiddles.map(|(p, k)| {
                    let w = Complex64::cis(angle(p, k));
                    Complex32::new(w.re as f32, w.im as f32)
                });
                passes.push(Pass { radix, stride, twiddles: twiddles.collect() });
                (rest, stride) = (groups, stride * radix);
            }
        }
        Self { passes }
    }

    /// Σ_x a(x) exp(−2πi kx/n), which is left in one of the two.
    #[inline(always)]
    pub fn run<'a, L: Lanes>(&self, a: &'a mut [Point], b: &'a mut [Point]) -> &'a mut [Point] {
        let (mut from, mut to) = (a, b);
        for pass in &self.passes {
            match pass.radix {
                2 => pass.run::<L, 2>(from, to),
                3 => pass.run::<L, 3>(from, to),
                4 => pass.run::<L, 4>(from, to),
                6 => pass.run::<L, 6>(from, to),
                _ => pass.run::<L, 5>(from, to),
            }
            std::mem::swap(&mut from, &mut to);
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::HalfPlane;
    use crate::model::grid::Grid;
    use crate::model::places::Places;

    /// Numbers of −1 to 1 without order.
    fn number(i: usize) -> f32 {
        ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
    }

    #[test]
    fn lines_are_sums_of_waves() {
        for length in [6, 8, 10, 30, 48, 100, 144] {
            let mut a = vec![Point::default(); length];
            for (x, point) in a.iter_mut().enumerate() {
                point.re = std::array::from_fn(|l| number(16 * x + l));
                point.im = std::array::from_fn(|l| number(16 * x + 8 + l));
            }
            let (given, mut b) = (a.clone(), a.clone());
            let found = LaneTransform::new(length).run::<[f32; LANES]>(&mut a, &mut b);
            for (k, point) in found.iter().enumerate() {
                for l in 0..LANES {
                    let sum: Complex64 = (0..length)
                        .map(|x| {
                            let z = Complex64::new(given[x].re[l].into(), given[x].im[l].into());
                            z * Complex64::cis(-TAU * (k * x % length) as f64 / length as f64)
                        })
                        .sum();
                    let error = sum - Complex64::new(point.re[l].into(), point.im[l].into());
                    assert!(error.norm() < 1e-5 * length as f64, "{length} {k} {l}: {error}");
                }
            }
        }
    }

    #[test]
    fn registers_change_nothing_but_rounding() {
        let plane = HalfPlane::new(48, 2, 21).expect("the shells fit the box");
        let grid = Grid::new(&plane);
        let points: Vec<[f32; 2]> = (0..40).map(|i| [14.0 * number(i), 14.0 * number(i + 99)]).collect();
        let values: Vec<f32> = (0..40).map(|i| 1.0 + number(i + 7)).collect();
        let ones = vec![1.0; plane.len()];
        let (mut places, mut memory) = (Places::default(), grid.memory());
        grid.cells.place(&points, &mut places);
        let mut waves = [vec![Complex32::default(); plane.len()], vec![Complex32::default(); plane.len()]];
        let mut back = [[[0.0; 3]; 40]; 2];
        grid.forward(&places, &values, &mut memory, &mut waves[0]);
        grid.forward_on::<[f32; LANES]>(&places, &values, &mut memory, &mut waves[1]);
        grid.adjoint(&waves[0], &ones, &places, &mut memory, &mut back[0]);
        grid.adjoint_on::<[f32; LANES]>(&waves[0], &ones, &places, &mut memory, &mut back[1]);
        let off = waves[0].iter().zip(&waves[1]).map(|(a, b)| (a - b).norm()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{off}");
        let most = back[0].as_flattened().iter().fold(0.0f32, |most, v| most.max(v.abs()));
        for (a, b) in back[0].as_flattened().iter().zip(back[1].as_flattened()) {
            assert!((a - b).abs() < 1e-5 * most, "{a} {b}");
        }
    }
}
