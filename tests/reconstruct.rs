//! Insertion: sums over frames, and the way back to the volume.

mod common;

use common::{Particle, Random, with_threads};
use num_complex::Complex32;
use single_rs::error::Result;
use single_rs::fourier::HalfPlane;
use single_rs::frames::{Groups, PosedFrames};
use single_rs::reconstruct::{Accumulator, insert};
use single_rs::volume::{FourierVolume, Rotation, project, reach_for};

const SIZE: usize = 32;
const SHELL: usize = 12;
const PAD: usize = 2;

struct Views {
    particle: Particle,
    plane: HalfPlane,
    poses: Vec<Rotation>,
    shifts: Vec<[f32; 2]>,
    spectra: Vec<Complex32>,
}

impl Views {
    fn insert(
        &self,
        weights: &[f32],
        gain: &[f32],
        groups: &[i32],
        count: usize,
    ) -> Result<Vec<Accumulator>> {
        let posed = PosedFrames::one_each(&self.spectra, &self.plane, weights, &self.poses, &self.shifts)?;
        insert(&posed, gain, Groups::new(groups, count)?, PAD)
    }
}

fn views(count: usize) -> Views {
    let particle = Particle::random(SIZE, 10, 5.0, 1.2, 1);
    let plane = HalfPlane::new(SIZE, 1, SHELL).unwrap();
    let mut random = Random(2);
    let poses: Vec<Rotation> = (0..count).map(|_| random.rotation()).collect();
    let shifts: Vec<[f64; 2]> = (0..count).map(|_| [2.0 * random.normal(), 2.0 * random.normal()]).collect();
    let spectra = poses.iter().zip(&shifts).flat_map(|(r, &t)| particle.image(&plane, r, t)).collect();
    let shifts = shifts.iter().map(|t| t.map(|v| v as f32)).collect();
    Views { particle, plane, poses, shifts, spectra }
}

#[test]
fn a_smooth_volume_comes_back() {
    let v = views(600);
    let weights = vec![0.5; v.plane.len()];
    let gain: Vec<f32> = (0..600).map(|i| 0.5 + (i % 3) as f32).collect();
    let sums = v.insert(&weights, &gain, &vec![0; 600], 1).unwrap();
    let back: Vec<Complex32> =
        sums[0].numerator.iter().zip(&sums[0].denominator).map(|(n, &d)| n / d.max(1e-6)).collect();
    let volume = FourierVolume::new(&back, reach_for(SHELL, PAD), PAD).unwrap();
    let mut random = Random(77);
    let fresh: Vec<Rotation> = (0..20).map(|_| random.rotation()).collect();
    let found = project(&volume, &v.plane, &fresh).unwrap();
    let exact: Vec<Complex32> = fresh.iter().flat_map(|r| v.particle.image(&v.plane, r, [0.0; 2])).collect();
    // The outermost shell borders on cells no frame reached; inside, interpolating twice costs a few percent.
    let inner: Vec<bool> =
        v.plane.frequencies().iter().map(|&(x, y)| x * x + y * y < (SHELL as i32 - 1).pow(2)).collect();
    let (mut error, mut power) = (0.0f32, 0.0f32);
    for ((a, b), _) in found.iter().zip(&exact).zip(inner.iter().cycle()).filter(|(_, keep)| **keep) {
        error += (a - b).norm_sqr();
        power += b.norm_sqr();
    }
    assert!((error / power).sqrt() < 0.06, "{}", (error / power).sqrt());
}

#[test]
fn groups_are_parts_of_the_whole() {
    let v = views(40);
    let weights: Vec<f32> = (0..v.plane.len()).map(|i| 1.0 + (i % 5) as f32).collect();
    let gain = vec![1.0; 40];
    let part: Vec<i32> = (0..40).map(|i| i % 3).collect();
    let one = v.insert(&weights, &gain, &[0; 40], 1).unwrap();
    let three = v.insert(&weights, &gain, &part, 3).unwrap();
    for i in 0..one[0].numerator.len() {
        let sum: Complex32 = three.iter().map(|s| s.numerator[i]).sum();
        let density: f32 = three.iter().map(|s| s.denominator[i]).sum();
        let size = density.max(1.0);
        assert!((sum - one[0].numerator[i]).norm() < 1e-4 * size);
        assert!((density - one[0].denominator[i]).abs() < 1e-5 * size);
    }
    // A negative group and a weight of zero leave a frame out; no other frame notices.
    let some: Vec<i32> = (0..40).map(|i| if i % 2 == 0 { 0 } else { -1 }).collect();
    let light: Vec<f32> = (0..40).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).collect();
    let a = v.insert(&weights, &gain, &some, 1).unwrap();
    let b = v.insert(&weights, &light, &[0; 40], 1).unwrap();
    assert_eq!(a[0].numerator, b[0].numerator);
    assert_eq!(a[0].denominator, b[0].denominator);
}

#[test]
fn the_plane_of_symmetry_is_whole() {
    let v = views(25);
    let weights = vec![1.0; v.plane.len()];
    let sums = v.insert(&weights, &[1.0; 25], &[0; 25], 1).unwrap();
    let reach = reach_for(SHELL, PAD);
    let (points, width) = ((2 * reach + 1) * (2 * reach + 1), reach + 1);
    for i in 0..points {
        let mate = points - 1 - i;
        assert_eq!(sums[0].numerator[i * width], sums[0].numerator[mate * width].conj());
        assert_eq!(sums[0].denominator[i * width], sums[0].denominator[mate * width]);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let v = views(30);
    let weights = vec![1.0; v.plane.len()];
    let group: Vec<i32> = (0..30).map(|i| i % 4).collect();
    let run = || v.insert(&weights, &[1.0; 30], &group, 4).unwrap();
    for (a, b) in with_threads(1, run).iter().zip(&with_threads(4, run)) {
        assert_eq!(a.numerator, b.numerator);
        assert_eq!(a.denominator, b.denominator);
    }
}

#[test]
fn lists_that_disagree_are_named() {
    let v = views(3);
    let m = v.plane.len();
    let weights = vec![1.0; m];
    let call = |weights: &[f32], gain: &[f32], groups: &[i32]| {
        v.insert(weights, gain, groups, 1).map(drop).unwrap_err().to_string()
    };
    let short = call(&weights[1..], &[1.0; 3], &[0; 3]);
    assert_eq!(short, format!("weights is {} values; {m} are needed", m - 1));
    assert!(call(&weights, &[1.0; 2], &[0; 3]).starts_with("frame_weights is 2 values; 3"));
    assert!(call(&weights, &[1.0; 3], &[0; 2]).starts_with("groups is 2 values; 3"));
    assert!(call(&weights, &[1.0; 3], &[0, 0, 1]).starts_with("groups is group 1 of 1"));
    assert!(
        call(&weights, &[1.0, f32::NAN, 1.0], &[0; 3]).starts_with("frame_weights is not finite at number 1")
    );
}

#[test]
fn sums_that_leave_single_precision_are_refused() {
    let mut v = views(2);
    let weights = vec![1.0; v.plane.len()];
    let call = |v: &Views| v.insert(&weights, &[1.0; 2], &[0; 2], 1).map(drop).unwrap_err().to_string();
    v.spectra[5] = Complex32::new(f32::NAN, 0.0);
    assert!(call(&v).starts_with("spectra is not finite at number 5"));
    v.spectra[5] = Complex32::new(2e38, 0.0);
    assert!(call(&v).starts_with("spectra is as large as 2.000e38"));
}
