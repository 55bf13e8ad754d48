//! Identities of central slices.

mod common;

use common::{Particle, Random, turned, with_threads};
use num_complex::Complex32;
use proptest::prelude::*;
use single_rs::fourier::HalfPlane;
use single_rs::frames::{Groups, PosedFrames};
use single_rs::reconstruct::insert;
use single_rs::volume::{FourierVolume, Rotation, project, reach_for, volume_len};
use std::f64::consts::TAU;

const IDENTITY: Rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Random volume whose plane x = 0 is Hermitian, as that of a real map.
fn hermitian(reach: usize, seed: u64) -> Vec<Complex32> {
    let mut random = Random(seed);
    let (side, width) = (2 * reach + 1, reach + 1);
    let mut volume: Vec<Complex32> = (0..volume_len(reach)).map(|_| random.complex()).collect();
    for i in 0..side * side {
        let mate = side * side - 1 - i;
        volume[mate * width] = volume[i * width].conj();
    }
    volume[side * side / 2 * width].im = 0.0;
    volume
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Re⟨slice(V), X⟩_w = Re Σ_{x>0} V* N + ½ Re Σ_{x=0} V* N with N the completed insertion of X.
    ///
    /// Proof: before completion N(q) = Σ_k w c_q(k) X(k), so Σ V* N is the left side, c being the weights
    /// slice() reads with. Completion makes N(q) + N*(−q) of the plane x = 0; as V*(q) = V(−q) there, the
    /// two terms contribute alike, and half of their sum is what was there before.
    #[test]
    fn slice_and_insert_are_adjoint(
        seed in any::<u64>(), pad in 1usize..4, tx in -3.0f32..3.0, ty in -3.0f32..3.0
    ) {
        let plane = HalfPlane::new(24, 1, 10).unwrap();
        let reach = reach_for(10, pad);
        let mut random = Random(seed);
        let (r, v) = (random.rotation(), hermitian(reach, seed ^ 1));
        let x: Vec<Complex32> = (0..plane.len()).map(|_| random.complex()).collect();
        let w: Vec<f32> = (0..plane.len()).map(|_| random.uniform() as f32).collect();
        let (poses, shifts) = ([r], [[tx, ty]]);
        let posed = PosedFrames::one_each(&x, &plane, &w, &poses, &shifts).unwrap();
        let sums = insert(&posed, &[1.7], Groups::new(&[0], 1).unwrap(), pad).unwrap();
        let slice = project(&FourierVolume::new(&v, reach, pad).unwrap(), &plane, &[r]).unwrap();
        let (mut left, mut size) = (0.0f64, 0.0f64);
        for (((p, x), w), (kx, ky)) in slice.iter().zip(&x).zip(&w).zip(plane.frequencies()) {
            // The projection moved by t: its phase is the adjoint of the one insert() takes off.
            let phase = -TAU * (f64::from(kx) * f64::from(tx) + f64::from(ky) * f64::from(ty)) / 24.0;
            let moved = p * Complex32::cis(phase as f32);
            left += 1.7 * f64::from(w * (moved.conj() * x).re);
            size += 1.7 * f64::from(w * moved.norm() * x.norm());
        }
        let (mut right, mut density) = (0.0, 0.0);
        for (i, (v, n)) in v.iter().zip(&sums[0].numerator).enumerate() {
            let share = if i % (reach + 1) == 0 { 0.5 } else { 1.0 };
            right += share * f64::from((v.conj() * n).re);
            density += share * f64::from(sums[0].denominator[i]);
        }
        prop_assert!((left - right).abs() < 1e-5 * size, "{left} {right}");
        let given = 1.7 * w.iter().map(|&w| f64::from(w)).sum::<f64>();
        prop_assert!((density / given - 1.0).abs() < 1e-5, "{density} {given}");
    }

    /// What trilinear reading may miss of F is Σ_axes max|F''|/8 per grid step², and each atom at x with
    /// β = 2πx/(N·pad), α = (2πs/(N·pad))² has |F''| ≤ A (β² + 1.74 α) along an axis.
    #[test]
    fn slices_are_the_analytic_ones(seed in any::<u64>(), pad in 1usize..4) {
        let particle = Particle::random(48, 8, 9.0, 1.2, seed);
        let plane = HalfPlane::new(48, 1, 18).unwrap();
        let data = particle.volume(18, pad, false);
        let volume = FourierVolume::new(&data, reach_for(18, pad), pad).unwrap();
        let r = Random(seed).rotation();
        let unit = TAU / (48 * pad) as f64;
        let bend = |x: &[f64; 3]| x.iter().map(|v| (unit * v).powi(2) + 1.74 * (unit * 1.2).powi(2)).sum::<f64>();
        let bound = particle.atoms.iter().map(|(x, h)| h * bend(x)).sum::<f64>() * particle.amplitude() / 8.0;
        let exact = particle.image(&plane, &r, [0.0; 2]);
        for (a, b) in project(&volume, &plane, &[r]).unwrap().iter().zip(&exact) {
            prop_assert!(f64::from((a - b).norm()) <= bound + 1e-5, "{a} {b} {bound}");
        }
        // The bound is the worst case: the mean error is several times smaller, or the test says nothing.
        let largest = exact.iter().map(|v| v.norm()).fold(0.0, f32::max);
        prop_assert!(bound < 0.9 * f64::from(largest));
    }

    /// Trilinear reading is smooth within a cell: the derivatives are exact there, and a step of 1e-3 rad moves the
    /// farthest sample by 0.03 of a cell. Samples that cross a border in between are left out.
    #[test]
    fn derivatives_are_those_of_the_slice(seed in any::<u64>()) {
        let (pad, shell) = (2, 14);
        let plane = HalfPlane::new(32, 1, shell).unwrap();
        let reach = reach_for(shell, pad);
        let data = hermitian(reach, seed);
        let volume = FourierVolume::new(&data, reach, pad).unwrap();
        let r = Random(!seed).rotation();
        let mut all = vec![[Complex32::default(); 4]; plane.len()];
        volume.slice_and_derivatives(&r, &plane, &mut all);
        let plain = project(&volume, &plane, &[r]).unwrap();
        prop_assert!(all.iter().zip(&plain).all(|(a, b)| (a[0] - b).norm() < 1e-5));
        let h = 1e-3;
        for axis in 0..3 {
            let step = |s: f64| turned(&r, std::array::from_fn(|a| if a == axis { s } else { 0.0 }));
            let (low, high) = (step(-h), step(h));
            let two = project(&volume, &plane, &[low, high]).unwrap();
            let cell = |r: &Rotation, (kx, ky): (i32, i32)| -> [i32; 3] {
                let k = |a: usize| pad as f32 * (kx as f32 * r[0][a] + ky as f32 * r[1][a]);
                std::array::from_fn(|a| k(a).floor() as i32)
            };
            let mut compared = 0;
            for (i, at) in plane.frequencies().into_iter().enumerate() {
                if cell(&low, at) != cell(&high, at) {
                    continue;
                }
                compared += 1;
                let slope = (two[plane.len() + i] - two[i]) / (2.0 * h as f32);
                // Values of size 1 in f32 over a step of 2e-3, and neighbours of a random volume differ by 1 a step.
                prop_assert!((slope - all[i][1 + axis]).norm() < 0.02 * (1.0 + slope.norm()), "{slope} {}", all[i][1 + axis]);
            }
            prop_assert!(compared * 2 > plane.len());
        }
    }

    /// Half a turn about the beam shows the image at (−kx, −ky): the conjugate.
    #[test]
    fn half_a_turn_about_the_beam_conjugates(seed in any::<u64>()) {
        let plane = HalfPlane::new(32, 1, 14).unwrap();
        let reach = reach_for(14, 2);
        let data = hermitian(reach, seed);
        let volume = FourierVolume::new(&data, reach, 2).unwrap();
        let r = Random(seed).rotation();
        let half = [r[0].map(|v| -v), r[1].map(|v| -v), r[2]];
        let both = project(&volume, &plane, &[r, half]).unwrap();
        let (a, b) = both.split_at(plane.len());
        prop_assert!(a.iter().zip(b).all(|(a, b)| (a - b.conj()).norm() < 1e-4));
        let mut derivatives = [r, half].map(|r| {
            let mut out = vec![[Complex32::default(); 4]; plane.len()];
            volume.slice_and_derivatives(&r, &plane, &mut out);
            out
        });
        let (first, second) = derivatives.split_at_mut(1);
        for (a, b) in first[0].iter().zip(&second[0]) {
            // exp([l]×) after the half turn F is F exp([F l]×): x and y change sign, z does not.
            for (i, sign) in [1.0, -1.0, -1.0, 1.0].into_iter().enumerate() {
                prop_assert!((a[i] - b[i].conj() * sign).norm() < 2e-3 * (1.0 + a[i].norm()), "{i}: {} {}", a[i], b[i]);
            }
        }
    }
}

#[test]
fn grid_points_are_read_as_they_are() {
    let plane = HalfPlane::new(32, 1, 12).unwrap();
    let reach = reach_for(12, 2);
    let data = hermitian(reach, 5);
    let slice = project(&FourierVolume::new(&data, reach, 2).unwrap(), &plane, &[IDENTITY]).unwrap();
    for (v, (kx, ky)) in slice.iter().zip(plane.frequencies()) {
        let y = (reach as i32 + 2 * ky) as usize;
        let at = (reach * (2 * reach + 1) + y) * (reach + 1) + 2 * kx as usize;
        assert_eq!(*v, data[at]);
    }
}

#[test]
fn the_centre_never_moves() {
    // An atom at the origin has no phase from any side.
    let particle = Particle { size: 48, width: 1.5, atoms: vec![([0.0; 3], 1.0)] };
    let plane = HalfPlane::new(48, 1, 18).unwrap();
    let data = particle.volume(18, 2, false);
    let volume = FourierVolume::new(&data, reach_for(18, 2), 2).unwrap();
    let mut random = Random(3);
    let poses: Vec<Rotation> = (0..10).map(|_| random.rotation()).collect();
    for v in project(&volume, &plane, &poses).unwrap() {
        assert!(v.re > 0.0 && v.im.abs() < 1e-6);
    }
}

#[test]
fn deconvolution_brings_slices_closer() {
    let particle = Particle::random(64, 20, 15.0, 1.2, 9);
    let plane = HalfPlane::new(64, 2, 24).unwrap();
    let mut random = Random(4);
    let poses: Vec<Rotation> = (0..20).map(|_| random.rotation()).collect();
    let exact: Vec<Complex32> = poses.iter().flat_map(|r| particle.image(&plane, r, [0.0; 2])).collect();
    let error = [false, true].map(|deconvolve| {
        let data = particle.volume(24, 2, deconvolve);
        let slices =
            project(&FourierVolume::new(&data, reach_for(24, 2), 2).unwrap(), &plane, &poses).unwrap();
        let power: f32 = exact.iter().map(Complex32::norm_sqr).sum();
        (slices.iter().zip(&exact).map(|(a, b)| (a - b).norm_sqr()).sum::<f32>() / power).sqrt()
    });
    assert!(error[1] < 0.05 && error[1] < 0.7 * error[0], "{error:?}");
}

#[test]
fn threads_do_not_change_a_bit() {
    let plane = HalfPlane::new(32, 1, 12).unwrap();
    let reach = reach_for(12, 2);
    let data = hermitian(reach, 8);
    let volume = FourierVolume::new(&data, reach, 2).unwrap();
    let mut random = Random(6);
    let poses: Vec<Rotation> = (0..33).map(|_| random.rotation()).collect();
    let run = || project(&volume, &plane, &poses).unwrap();
    assert_eq!(with_threads(1, run), with_threads(4, run));
}

#[test]
fn bad_volumes_are_named() {
    let data = vec![Complex32::default(); volume_len(6) - 1];
    let message = FourierVolume::new(&data, 6, 2).unwrap_err().to_string();
    assert!(message.contains("1182 values") && message.contains("1183"), "{message}");
    // Too small to hold a shell: one value is a valid length of reach 0, but there is nothing to read.
    assert!(FourierVolume::new(&data[..1], 0, 2).unwrap_err().to_string().contains("reach"));
    assert!(FourierVolume::new(&[data.clone(), vec![data[0]]].concat(), 6, 0).is_err());
}
