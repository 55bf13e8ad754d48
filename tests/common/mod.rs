//! Phantoms with known transforms, shared by the tests and benches of the Fourier kernels.
//!
//! A particle is a sum of Gaussians, so its transform is known everywhere:
//!
//! ```text
//! F(k) = (2π s²)^(3/2) / N · exp(−2π² s² k²/N²) · Σ_a h_a exp(−2πi k·x_a / N)
//! ```

#![allow(dead_code, reason = "every test binary takes the part it needs")]

use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::volume::{Rotation, reach_for, volume_len};
use std::f64::consts::{PI, TAU};

/// Splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195): the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    /// Complex normal of unit mean power.
    pub fn complex(&mut self) -> Complex32 {
        let scale = 0.5f64.sqrt();
        Complex32::new((self.normal() * scale) as f32, (self.normal() * scale) as f32)
    }

    /// Unit quaternion (w, x, y, z), uniform over rotations.
    pub fn quaternion(&mut self) -> [f64; 4] {
        let q = [self.normal(), self.normal(), self.normal(), self.normal()];
        let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt();
        q.map(|v| v / norm)
    }

    /// Uniform rotation.
    pub fn rotation(&mut self) -> Rotation {
        matrix(self.quaternion())
    }

    /// Point of a ball.
    pub fn in_ball(&mut self, radius: f64) -> [f64; 3] {
        loop {
            let p = [0; 3].map(|_| 2.0 * self.uniform() - 1.0);
            if p.iter().map(|v| v * v).sum::<f64>() <= 1.0 {
                return p.map(|v| v * radius);
            }
        }
    }
}

/// Matrix of a unit quaternion.
pub fn matrix(q: [f64; 4]) -> Rotation {
    let [w, x, y, z] = q;
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    .map(|row| row.map(|v| v as f32))
}

/// Quaternion of the rotation by vector `l` (rad).
pub fn exponential(l: [f64; 3]) -> [f64; 4] {
    let angle = l.iter().map(|v| v * v).sum::<f64>().sqrt();
    let s = if angle > 1e-12 { (angle / 2.0).sin() / angle } else { 0.5 };
    [(angle / 2.0).cos(), l[0] * s, l[1] * s, l[2] * s]
}

/// A · B.
pub fn product(a: &Rotation, b: &Rotation) -> Rotation {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|m| a[i][m] * b[m][j]).sum()))
}

/// exp([l]×) · R.
pub fn turned(r: &Rotation, l: [f64; 3]) -> Rotation {
    product(&matrix(exponential(l)), r)
}

/// Small rotation vector (rad) l with `to` = exp([l]×) · `from`.
pub fn between(from: &Rotation, to: &Rotation) -> [f64; 3] {
    let m = |i: usize, j: usize| (0..3).map(|k| f64::from(to[i][k]) * f64::from(from[j][k])).sum::<f64>();
    [(m(2, 1) - m(1, 2)) / 2.0, (m(0, 2) - m(2, 0)) / 2.0, (m(1, 0) - m(0, 1)) / 2.0]
}

/// The 24 rotations of the cube.
pub fn cube() -> Vec<Rotation> {
    let mut all = Vec::new();
    for axes in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]] {
        for signs in 0..8 {
            let mut m = [[0.0f32; 3]; 3];
            for i in 0..3 {
                m[i][axes[i]] = if signs >> i & 1 == 0 { 1.0 } else { -1.0 };
            }
            let cross = |a: [f32; 3], b: [f32; 3], i: usize| {
                a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3]
            };
            if (0..3).map(|i| cross(m[0], m[1], i) * m[2][i]).sum::<f32>() > 0.0 {
                all.push(m);
            }
        }
    }
    all
}

/// Gaussian atoms in a box.
pub struct Particle {
    /// Box, px.
    pub size: usize,
    /// Width s of an atom, px.
    pub width: f64,
    /// Position (px from the centre) and height of each atom.
    pub atoms: Vec<([f64; 3], f64)>,
}

impl Particle {
    /// `count` atoms of about unit height in a ball of `radius` px.
    pub fn random(size: usize, count: usize, radius: f64, width: f64, seed: u64) -> Self {
        let mut random = Random(seed);
        let atoms = (0..count).map(|_| (random.in_ball(radius), 0.7 + 0.6 * random.uniform())).collect();
        Self { size, width, atoms }
    }

    /// 1/N times the integral of an atom of unit height.
    pub fn amplitude(&self) -> f64 {
        (TAU * self.width * self.width).powf(1.5) / self.size as f64
    }

    /// F at `k` (1/N).
    pub fn transform(&self, k: [f64; 3]) -> Complex32 {
        let n = self.size as f64;
        let k2: f64 = k.iter().map(|v| v * v).sum();
        let envelope = self.amplitude() * (-2.0 * (PI * self.width / n).powi(2) * k2).exp();
        let (mut re, mut im) = (0.0, 0.0);
        for (x, h) in &self.atoms {
            let (s, c) = (-TAU / n * (k[0] * x[0] + k[1] * x[1] + k[2] * x[2])).sin_cos();
            re += h * c;
            im += h * s;
        }
        Complex32::new((re * envelope) as f32, (im * envelope) as f32)
    }

    /// Spectrum of the particle seen at rotation `r`, moved by `shift` px: the exact central slice.
    pub fn image(&self, plane: &HalfPlane, r: &Rotation, shift: [f64; 2]) -> Vec<Complex32> {
        let n = self.size as f64;
        let frequency = |kx: i32, ky: i32| {
            let (x, y) = (f64::from(kx), f64::from(ky));
            let k = std::array::from_fn(|a| x * f64::from(r[0][a]) + y * f64::from(r[1][a]));
            let phase = -TAU / n * (x * shift[0] + y * shift[1]);
            self.transform(k) * Complex32::cis(phase as f32)
        };
        plane.frequencies().into_iter().map(|(kx, ky)| frequency(kx, ky)).collect()
    }

    /// Fourier volume up to `max_shell`. With `deconvolve` the map is divided by sinc² first, as the
    /// library does; for narrow atoms that is a factor on each atom's height.
    pub fn volume(&self, max_shell: usize, pad: usize, deconvolve: bool) -> Vec<Complex32> {
        let reach = reach_for(max_shell, pad);
        let (side, width) = (2 * reach + 1, reach + 1);
        let fine = (self.size * pad) as f64;
        let alpha = 2.0 * (PI * self.width / fine).powi(2);
        let mut out = vec![Complex32::default(); volume_len(reach)];
        for (x, h) in &self.atoms {
            let sinc = |t: f64| if t.abs() < 1e-9 { 1.0 } else { (PI * t).sin() / (PI * t) };
            let gain: f64 =
                if deconvolve { x.iter().map(|v| sinc(v / fine).powi(-2)).product() } else { 1.0 };
            let axis = |x: f64, first: i32, count: usize, scale: f64| -> Vec<Complex32> {
                let at = |i: usize| {
                    let q = f64::from(first + i as i32);
                    let size = (scale * (-alpha * q * q).exp()) as f32;
                    Complex32::cis((-TAU * q * x / fine) as f32) * size
                };
                (0..count).map(at).collect()
            };
            let low = -(reach as i32);
            let along_x = axis(x[0], 0, width, h * gain * self.amplitude());
            let along_y = axis(x[1], low, side, 1.0);
            let along_z = axis(x[2], low, side, 1.0);
            for (plane, z) in out.chunks_mut(side * width).zip(along_z) {
                for (row, y) in plane.chunks_mut(width).zip(&along_y) {
                    let zy = z * y;
                    row.iter_mut().zip(&along_x).for_each(|(v, x)| *v += zy * x);
                }
            }
        }
        out
    }
}

/// Run `f` in a pool of `threads` threads.
pub fn with_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool can start").install(f)
}
