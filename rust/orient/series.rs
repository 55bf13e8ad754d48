//! Fourier series on the rings of a power spectrum, over half a turn, and what is done with them in bulk.
//!
//! The sums run over [`BINS`] lanes at a time and are compiled twice, for processors with fused multiplication and
//! without.

use num_complex::Complex32;
use std::f32::consts::{LN_2, LOG2_E};

/// Orders of the Fourier series on a ring that are kept; order 0 is the ring's mean, which is taken off.
pub(super) const BINS: usize = 32;
/// In-plane angles a half turn: 2.8° apart, half a spot's width.
pub(super) const TURNS: usize = 2 * BINS;

/// A ring's Fourier series: real and imaginary parts of orders 0 .. [`BINS`].
pub(super) type Series = [[f32; BINS]; 2];

/// Orders 1 .. [`BINS`] of a real transform.
pub(super) fn series(spectrum: &[Complex32]) -> Series {
    let mut out = [[0.0; BINS]; 2];
    for (m, v) in spectrum.iter().enumerate().take(BINS).skip(1) {
        out[0][m] = v.re;
        out[1][m] = v.im;
    }
    out
}

/// A real transform of these orders.
pub(super) fn unpack(series: &Series, spectrum: &mut [Complex32]) {
    spectrum.fill(Complex32::default());
    for (m, v) in spectrum.iter_mut().enumerate().take(BINS) {
        *v = Complex32::new(series[0][m], series[1][m]);
    }
}

/// Compile a function of lanes for wide registers as well, and choose when it runs.
macro_rules! wide {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?, $wide:ident, $lanes:ident) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                // SAFETY: the processor has what the function was compiled for.
                return unsafe { $wide($($arg),*) };
            }
            $lanes::<false>($($arg),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn $wide($($arg: $type),*) $(-> $out)? {
            $lanes::<true>($($arg),*)
        }
    };
}

wide!(
    /// Σ over rings of y · conj(t).
    product(frame: &[Series], section: &[Series]) -> Series, product_wide, product_lanes
);
wide!(
    /// Add conj(p) · y to the sums of a direction.
    accumulate(sum: &mut [Series], p: &Series, frame: &[Series]), accumulate_wide, accumulate_lanes
);
wide!(
    /// exp(slope · v − offset) of all values, to 10⁻⁴ of it; the exponents must not be positive.
    boltzmann(values: &mut [f32], slope: f32, offset: f32), boltzmann_wide, boltzmann_lanes
);

/// a · b + c; as one operation where the processor has it, since elsewhere that is a call.
#[inline(always)]
fn add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn product_lanes<const FUSED: bool>(frame: &[Series], section: &[Series]) -> Series {
    let mut out = [[0.0; BINS]; 2];
    for (y, t) in frame.iter().zip(section) {
        for m in 0..BINS {
            out[0][m] = add::<FUSED>(y[0][m], t[0][m], add::<FUSED>(y[1][m], t[1][m], out[0][m]));
            out[1][m] = add::<FUSED>(y[1][m], t[0][m], add::<FUSED>(-y[0][m], t[1][m], out[1][m]));
        }
    }
    out
}

#[inline(always)]
fn accumulate_lanes<const FUSED: bool>(sum: &mut [Series], p: &Series, frame: &[Series]) {
    for (s, y) in sum.iter_mut().zip(frame) {
        for m in 0..BINS {
            s[0][m] = add::<FUSED>(p[0][m], y[0][m], add::<FUSED>(p[1][m], y[1][m], s[0][m]));
            s[1][m] = add::<FUSED>(p[0][m], y[1][m], add::<FUSED>(-p[1][m], y[0][m], s[1][m]));
        }
    }
}

#[inline(always)]
fn boltzmann_lanes<const FUSED: bool>(values: &mut [f32], slope: f32, offset: f32) {
    // 2^t = 2^⌊t⌋ · 2^f: the first is an exponent's bits, the second a Taylor series to the fifth order.
    const TAYLOR: [f32; 5] = [1.333_356e-3, 9.618_129e-3, 5.550_41e-2, 0.240_226_5, LN_2];
    for v in values {
        let t = (add::<FUSED>(slope, *v, -offset) * LOG2_E).clamp(-126.0, 0.0);
        let whole = t.floor();
        let f = t - whole;
        let power = TAYLOR.iter().fold(0.0, |sum, &c| add::<FUSED>(sum, f, c));
        *v = add::<FUSED>(power, f, 1.0) * f32::from_bits(((whole as i32 + 127) as u32) << 23);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_a_ten_thousandth() {
        let mut values: Vec<f32> = (0..900).map(|i| 5.0 - i as f32 * 0.03).collect();
        let exact: Vec<f32> = values.iter().map(|v| (1.7f32 * v - 8.5).exp()).collect();
        boltzmann(&mut values, 1.7, 8.5);
        for (v, e) in values.iter().zip(&exact) {
            assert!((v / e - 1.0).abs() < 2e-4, "{v} {e}");
        }
    }

    #[test]
    fn both_ways_of_compiling_agree() {
        let of = |seed: usize| -> Vec<Series> {
            (0..7)
                .map(|k| {
                    std::array::from_fn(|c| {
                        std::array::from_fn(|m| {
                            ((seed + 131 * k + 37 * c + 17 * m) % 101) as f32 / 50.0 - 1.0
                        })
                    })
                })
                .collect()
        };
        let (y, t) = (of(3), of(40));
        let (wide, plain) = (product(&y, &t), product_lanes::<false>(&y, &t));
        let mut sums = [of(5), of(5)];
        accumulate(&mut sums[0], &t[0], &y);
        accumulate_lanes::<false>(&mut sums[1], &t[0], &y);
        let pairs = wide.iter().flatten().zip(plain.iter().flatten());
        let more = sums[0].iter().flatten().flatten().zip(sums[1].iter().flatten().flatten());
        for (a, b) in pairs.chain(more) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}
