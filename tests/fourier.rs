//! Identities of packed spectra.

mod common;

use common::{Random, with_threads};
use num_complex::{Complex32, Complex64};
use proptest::prelude::*;
use single_rs::fourier::{HalfPlane, pack_spectra};
use single_rs::reconstruct::unshift;
use std::f64::consts::{PI, TAU};

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..n * n).map(|_| random.normal() as f32).collect()
}

/// The definition, in f64: 1/N Σ mask (image − mean) exp(−2πi k·(r − c)/N), c the particle's centre.
fn direct(image: &[f32], plane: &HalfPlane, centre: [f32; 2], radius: f32, edge: f32) -> Vec<Complex64> {
    let n = plane.size;
    let at = centre.map(|c| (n / 2) as f64 + f64::from(c));
    let (radius, edge) = (f64::from(radius), f64::from(edge));
    let mask = |i: usize| {
        let r = ((i % n) as f64 - at[0]).hypot((i / n) as f64 - at[1]);
        let t = ((r - radius) / edge).clamp(0.0, 1.0);
        0.5 + 0.5 * (PI * t).cos()
    };
    let weight: f64 = (0..n * n).map(mask).sum();
    let mean = image.iter().enumerate().map(|(i, &v)| f64::from(v) * mask(i)).sum::<f64>() / weight;
    let sum = |(kx, ky): (i32, i32)| {
        let mut sum = Complex64::default();
        for (i, &v) in image.iter().enumerate() {
            let (x, y) = ((i % n) as f64 - at[0], (i / n) as f64 - at[1]);
            let phase = -TAU * (f64::from(kx) * x + f64::from(ky) * y) / n as f64;
            sum += Complex64::cis(phase) * ((f64::from(v) - mean) * mask(i));
        }
        sum / n as f64
    };
    plane.frequencies().into_iter().map(sum).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn spectra_are_the_sums_they_stand_for(
        half in 8usize..14, x in -3.0f32..3.0, y in -3.0f32..3.0, radius in 3.0f32..30.0, seed in any::<u64>()
    ) {
        let n = 2 * half;
        let plane = HalfPlane::new(n, 1, half - 1).unwrap();
        let image = noise(n, seed);
        let found = pack_spectra(&image, &plane, &[[x, y]], radius, 4.0).unwrap();
        for (a, b) in found.iter().zip(direct(&image, &plane, [x, y], radius, 4.0)) {
            // Unit-variance noise has |X| ≈ 1; single precision over n² terms leaves 1e-5 of it.
            prop_assert!((f64::from(a.re) - b.re).hypot(f64::from(a.im) - b.im) < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn a_moved_image_turns_its_phases(sx in -5i32..6, sy in -5i32..6, seed in any::<u64>()) {
        // A cyclic move under a mask that covers all: X'(k) = X(k) exp(−2πi k·s/N), undone by `unshift`.
        let n = 32;
        let plane = HalfPlane::new(n, 2, 15).unwrap();
        let image = noise(n, seed);
        let wrap = |v: usize, s: i32| (v as i32 - s).rem_euclid(n as i32) as usize;
        let moved: Vec<f32> = (0..n * n).map(|i| image[wrap(i / n, sy) * n + wrap(i % n, sx)]).collect();
        let both = pack_spectra(&[image, moved].concat(), &plane, &[[0.0; 2]; 2], 40.0, 1.0).unwrap();
        let (still, moved) = both.split_at(plane.len());
        let mut back = vec![Complex32::default(); plane.len()];
        unshift(&plane, moved, [sx as f32, sy as f32], &mut back);
        for ((a, b), c) in still.iter().zip(&back).zip(moved) {
            prop_assert!((a - b).norm() < 1e-4, "{a} {b}");
            prop_assert!((a.norm() - c.norm()).abs() < 1e-4);
        }
    }

    #[test]
    fn mask_and_phases_follow_the_centre(sx in -6i32..7, sy in -6i32..7, seed in any::<u64>()) {
        let n = 48;
        let plane = HalfPlane::new(n, 1, 20).unwrap();
        let image = noise(n, seed);
        let at = |v: usize, s: i32| usize::try_from(v as i32 - s).ok().filter(|&v| v < n);
        let moved: Vec<f32> = (0..n * n)
            .map(|i| at(i / n, sy).and_then(|y| at(i % n, sx).map(|x| image[y * n + x])).unwrap_or(9.0))
            .collect();
        // The disc (radius 12 + 4) stays inside of what both images hold.
        let still = pack_spectra(&image, &plane, &[[0.0; 2]], 12.0, 4.0).unwrap();
        let followed = pack_spectra(&moved, &plane, &[[sx as f32, sy as f32]], 12.0, 4.0).unwrap();
        for (a, b) in still.iter().zip(&followed) {
            prop_assert!((a - b).norm() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn white_noise_of_variance_v_has_power_v() {
    let n = 64;
    let plane = HalfPlane::new(n, 4, 30).unwrap();
    let images: Vec<f32> = (0..8).flat_map(|i| noise(n, i)).map(|v| 1.5 * v).collect();
    let spectra = pack_spectra(&images, &plane, &[[0.0; 2]; 8], 60.0, 1.0).unwrap();
    let power = spectra.iter().map(Complex32::norm_sqr).sum::<f32>() / spectra.len() as f32;
    // 11,000 samples of an exponential distribution: 1 % (one sigma).
    assert!((power / 2.25 - 1.0).abs() < 0.04, "{power}");
}

#[test]
fn a_constant_image_has_no_spectrum() {
    let plane = HalfPlane::new(32, 1, 15).unwrap();
    let spectrum = pack_spectra(&vec![7.0; 32 * 32], &plane, &[[1.3, -0.4]], 9.0, 3.0).unwrap();
    assert!(spectrum.iter().all(|v| v.norm() < 1e-4));
}

#[test]
fn unshift_is_exact_over_long_rows() {
    // The phase runs along a row by repeated products: 60 of them must not drift.
    let plane = HalfPlane::new(128, 3, 60).unwrap();
    let ones = vec![Complex32::new(1.0, 0.0); plane.len()];
    let mut out = ones.clone();
    unshift(&plane, &ones, [7.3, -4.1], &mut out);
    for (v, (kx, ky)) in out.iter().zip(plane.frequencies()) {
        let phase = TAU * (f64::from(kx) * f64::from(7.3f32) - f64::from(ky) * f64::from(4.1f32)) / 128.0;
        assert!((f64::from(v.re) - phase.cos()).hypot(f64::from(v.im) - phase.sin()) < 2e-5);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let plane = HalfPlane::new(32, 2, 14).unwrap();
    let images: Vec<f32> = (0..9).flat_map(|i| noise(32, i)).collect();
    let pack = || pack_spectra(&images, &plane, &[[0.4, -1.0]; 9], 10.0, 3.0).unwrap();
    assert_eq!(with_threads(1, pack), with_threads(4, pack));
}

#[test]
fn bad_planes_are_named() {
    for (size, low, high, word) in
        [(33, 2, 10, "box is 33 px"), (14, 2, 5, "box is 14"), (32, 2, 16, "Nyquist"), (32, 9, 8, "9 to 8")]
    {
        let message = HalfPlane::new(size, low, high).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
