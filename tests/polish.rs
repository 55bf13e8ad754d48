//! Polishing recovers disturbed poses, and its errors are the errors.

mod common;

use common::{Particle, Random, between, turned, with_threads};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::frames::PosedFrames;
use single_rs::orient::polish::{PolishLimits, Polished, polish};
use single_rs::volume::{FourierVolume, FrameVolumes, Rotation, reach_for};

const SIZE: usize = 64;
const SHELL: usize = 24;
fn limits() -> PolishLimits {
    PolishLimits::new(30, 0.1, 2.0).unwrap()
}

struct Scene {
    plane: HalfPlane,
    particle: Particle,
    data: Vec<Complex32>,
    poses: Vec<Rotation>,
    shifts: Vec<[f64; 2]>,
}

impl Scene {
    fn new(count: usize) -> Self {
        let plane = HalfPlane::new(SIZE, 2, SHELL).unwrap();
        let particle = Particle::random(SIZE, 30, 10.0, 1.0, 3);
        // Padded four times: what trilinear reading misses stays below the thresholds here.
        let data = particle.volume(SHELL, 4, true);
        let mut random = Random(31);
        let poses = (0..count).map(|_| random.rotation()).collect();
        let shifts = (0..count).map(|_| [random.normal(), random.normal()]).collect();
        Self { plane, particle, data, poses, shifts }
    }

    /// Exact spectra, not slices of the volume: the model is not fitted to itself.
    fn spectra(&self) -> Vec<Complex32> {
        let views = self.poses.iter().zip(&self.shifts);
        views.flat_map(|(r, &t)| self.particle.image(&self.plane, r, t)).collect()
    }

    fn polish(
        &self,
        spectra: &[Complex32],
        weight: f32,
        start: &[Rotation],
        shifts: &[[f32; 2]],
        limits: PolishLimits,
    ) -> Vec<Polished> {
        let volume = FourierVolume::new(&self.data, reach_for(SHELL, 4), 4).unwrap();
        let volumes = FrameVolumes::new(vec![volume], vec![0; start.len()], &self.plane).unwrap();
        let weights = vec![weight; self.plane.len()];
        let posed = PosedFrames::one_each(spectra, &self.plane, &weights, start, shifts).unwrap();
        polish(&posed, &volumes, limits).unwrap()
    }

    /// Poses turned by `angle` rad about random axes and moved by `distance` px.
    fn disturbed(&self, angle: f64, distance: f64) -> (Vec<Rotation>, Vec<[f32; 2]>) {
        let mut random = Random(8);
        let mut unit = |n: usize| {
            let v: Vec<f64> = (0..n).map(|_| random.normal()).collect();
            let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            v.into_iter().map(move |x| x / norm).collect::<Vec<_>>()
        };
        let poses = self.poses.iter().map(|r| {
            let axis = unit(3);
            turned(r, [angle * axis[0], angle * axis[1], angle * axis[2]])
        });
        let poses = poses.collect();
        let shifts = self.shifts.iter().map(|t| {
            let way = unit(2);
            [(t[0] + distance * way[0]) as f32, (t[1] + distance * way[1]) as f32]
        });
        (poses, shifts.collect())
    }
}

#[test]
fn disturbed_poses_come_back() {
    let scene = Scene::new(40);
    let (start, shifts) = scene.disturbed(2f64.to_radians(), 0.5);
    let found = scene.polish(&scene.spectra(), 1.0, &start, &shifts, limits());
    for (i, p) in found.iter().enumerate() {
        let turn =
            between(&scene.poses[i], &p.rotation).iter().map(|v| v * v).sum::<f64>().sqrt().to_degrees();
        let moved =
            (f64::from(p.shift[0]) - scene.shifts[i][0]).hypot(f64::from(p.shift[1]) - scene.shifts[i][1]);
        assert!(turn < 0.1 && moved < 0.02, "{i}: {turn:.3}° {moved:.4} px");
        assert!((p.overlap / p.power - 1.0).abs() < 0.01, "scale {}", p.overlap / p.power);
        // What comes back is a rotation.
        for a in 0..3 {
            for b in 0..3 {
                let dot: f32 = (0..3).map(|k| p.rotation[a][k] * p.rotation[b][k]).sum();
                assert!((dot - if a == b { 1.0 } else { 0.0 }).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn the_scale_is_free() {
    // A frame three times as strong has the same pose.
    let scene = Scene::new(6);
    let (start, shifts) = scene.disturbed(1f64.to_radians(), 0.3);
    let once = scene.spectra();
    let thrice: Vec<Complex32> = once.iter().map(|v| v * 3.0).collect();
    let a = scene.polish(&once, 1.0, &start, &shifts, limits());
    let b = scene.polish(&thrice, 1.0, &start, &shifts, limits());
    for (a, b) in a.iter().zip(&b) {
        let turn = between(&a.rotation, &b.rotation).iter().map(|v| v.abs()).sum::<f64>();
        assert!(turn < 1e-4 && (a.shift[0] - b.shift[0]).abs() < 1e-3, "{turn}");
        assert!((b.overlap / a.overlap - 3.0).abs() < 1e-3);
    }
}

#[test]
fn stated_errors_are_the_scatter() {
    let count = 500;
    let scene = Scene::new(count);
    let mut spectra = scene.spectra();
    let signal = spectra.iter().map(Complex32::norm_sqr).sum::<f32>() / spectra.len() as f32;
    // Noise power twice the signal's in every coefficient: errors of half a degree.
    let noise = 2.0 * signal;
    let mut random = Random(99);
    spectra.iter_mut().for_each(|v| *v += random.complex() * noise.sqrt());
    let start: Vec<[f32; 2]> = scene.shifts.iter().map(|t| t.map(|v| v as f32)).collect();
    let found = scene.polish(&spectra, 1.0 / noise, &scene.poses, &start, limits());
    let mut square = [0.0f64; 5];
    for (i, p) in found.iter().enumerate() {
        let turn = between(&scene.poses[i], &p.rotation);
        let moved = [0, 1].map(|a| f64::from(p.shift[a]) - scene.shifts[i][a]);
        for (a, error) in turn.into_iter().chain(moved).enumerate() {
            square[a] += (error / f64::from(p.error[a])).powi(2) / count as f64;
        }
    }
    for (a, s) in square.iter().enumerate() {
        let ratio = s.sqrt();
        assert!((0.8..1.25).contains(&ratio), "parameter {a}: scatter over stated error {ratio:.3}");
    }
}

#[test]
fn limits_hold() {
    let scene = Scene::new(20);
    let (start, shifts) = scene.disturbed(3f64.to_radians(), 1.0);
    let limits = PolishLimits::new(20, 0.02, 0.2).unwrap();
    for (i, p) in scene.polish(&scene.spectra(), 1.0, &start, &shifts, limits).iter().enumerate() {
        let turn = between(&start[i], &p.rotation).iter().map(|v| v * v).sum::<f64>().sqrt();
        let moved = (p.shift[0] - shifts[i][0]).hypot(p.shift[1] - shifts[i][1]);
        assert!(turn <= 0.0205 && moved <= 0.201, "{turn} {moved}");
    }
}

#[test]
fn polishing_never_loses_likelihood() {
    let scene = Scene::new(20);
    let (start, shifts) = scene.disturbed(4f64.to_radians(), 0.8);
    let spectra = scene.spectra();
    let gain = |p: &Polished| p.overlap.max(0.0).powi(2) / p.power;
    let still = PolishLimits::new(0, 0.1, 2.0).unwrap();
    let before = scene.polish(&spectra, 1.0, &start, &shifts, still);
    let after = scene.polish(&spectra, 1.0, &start, &shifts, limits());
    for (a, b) in before.iter().zip(&after) {
        assert!(gain(b) >= gain(a));
    }
    assert!(before.iter().zip(&start).all(|(p, r)| p.rotation == *r));
}

#[test]
fn an_empty_volume_knows_nothing() {
    let mut scene = Scene::new(2);
    let spectra = scene.spectra();
    scene.data.fill(Complex32::default());
    let found = scene.polish(&spectra, 1.0, &scene.poses, &[[0.0; 2]; 2], limits());
    for (p, r) in found.iter().zip(&scene.poses) {
        assert_eq!(p.rotation, *r);
        assert!(p.power == 0.0 && p.error.iter().all(|e| e.is_infinite()));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let scene = Scene::new(12);
    let (start, shifts) = scene.disturbed(2f64.to_radians(), 0.5);
    let spectra = scene.spectra();
    let run = || scene.polish(&spectra, 1.0, &start, &shifts, limits());
    for (a, b) in with_threads(1, run).iter().zip(&with_threads(4, run)) {
        assert_eq!((a.rotation, a.shift, a.overlap, a.error), (b.rotation, b.shift, b.overlap, b.error));
    }
}
