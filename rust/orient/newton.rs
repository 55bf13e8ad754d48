//! From a candidate to the local top of its likelihood, within the filtered image.
//!
//! With J of the frame (see [`super::lookup`]) and its first and second derivatives at the points of a grid, the overlap
//! b = Σ_a h_a J(y_a) and its gradient and Hessian by shift and rotation cost one look per atom: a Taylor series reaches
//! from the nearest point to the atom. Rotations are x → exp([ω]×) x in the laboratory's axes, so that
//!
//! ```text
//! dy/dω = (ω_y z − ω_z y, ω_z x − ω_x z),    L = 2 s b − s² a.
//! ```
//!
//! The power a changes with the direction of view as fast as b does; its derivatives are differences in its table.
//! Steps are Newton's with the Hessian's eigenvalues made positive (Dauphin et al. 2014, arXiv:1406.2572), in units of
//! the curvature expected at a top, and are halved when they do not climb.

use crate::orient::atoms::{AtomBlock, AtomModel, BLOCK};
use crate::orient::finalist::Finalist;
use crate::orient::lookup::{FrameFilter, Scratch};
use crate::orient::score::Match;
use crate::volume::Rotation;
use nalgebra::{Matrix5, Vector5};
use num_complex::Complex32;
use std::f32::consts::{SQRT_2, TAU};

/// J, J_x, J_y, J_xx, J_xy, J_yy, per grid step; two numbers of padding make a point a whole of a cache line.
type Jet = [f32; LANES];
const LANES: usize = 8;

/// Moments of an atom's lever: 1, x, y, z, x², y², z², xy, xz, yz.
const MOMENTS: usize = 10;
type Sums = [[f32; LANES]; MOMENTS];

/// Eigenvalues of the scaled Hessian are taken to be at least this.
const LEAST_CURVATURE: f32 = 0.3;

/// Longest step: grid steps, rad.
const LONGEST: [f32; 2] = [1.0, 0.045];

/// A step shorter than this ends a climb: grid steps, rad.
const SHORTEST: [f32; 2] = [0.03, 0.0015];

/// What makes jets of frames.
pub(super) struct JetFilter {
    /// Of each derivative, of each packed frequency.
    factors: Vec<Vec<Complex32>>,
    /// Curvature of J at an atom over its height there, per squared grid step.
    curvature: f32,
}

impl JetFilter {
    pub(super) fn new(filter: &FrameFilter<'_>, model: &AtomModel<'_>) -> Self {
        let frequencies = filter.plane.frequencies();
        let k = |n: i32| Complex32::new(0.0, TAU * n as f32 / filter.side as f32);
        let order = |nx: u32, ny: u32| {
            frequencies.iter().map(|&(x, y)| k(x).powu(nx) * k(y).powu(ny)).collect::<Vec<_>>()
        };
        let factors = vec![order(0, 0), order(1, 0), order(0, 1), order(2, 0), order(1, 1), order(0, 2)];
        // Of an atom's own image, as if seen through the same filter twice: Σ w c |k|² / 2 over Σ w c.
        let (square, total) =
            frequencies.iter().zip(model.filter).fold((0.0f32, 0.0f32), |s, (&(x, y), &w)| {
                let radius = (x as f32).hypot(y as f32) * TAU / filter.side as f32;
                (s.0 + w * radius * radius / 2.0, s.1 + w)
            });
        Self { factors, curvature: square / total.max(f32::MIN_POSITIVE) }
    }

    pub(super) fn apply<'j>(
        &self,
        filter: &FrameFilter<'_>,
        spectrum: &[Complex32],
        model: &AtomModel<'_>,
        jets: &'j mut JetScratch,
        scratch: &mut Scratch,
    ) -> Jets<'j> {
        let side = filter.side;
        for (i, factors) in self.factors.as_chunks::<2>().0.iter().enumerate() {
            filter.two_images(spectrum, model.filter, [&factors[0], &factors[1]], scratch, |y, line| {
                for (jet, z) in jets.values[y * side..].iter_mut().zip(line) {
                    (jet[2 * i], jet[2 * i + 1]) = (z.re, z.im);
                }
            });
        }
        Jets { values: &jets.values, side: filter.side, scale: filter.scale(), curvature: self.curvature }
    }
}

/// Working memory of one thread.
pub(super) struct JetScratch {
    values: Vec<Jet>,
}

impl JetScratch {
    pub(super) fn new(filter: &FrameFilter<'_>) -> Self {
        Self { values: vec![[0.0; LANES]; filter.side * filter.side] }
    }
}

/// Jets of one frame on the grid.
pub(super) struct Jets<'a> {
    values: &'a [Jet],
    side: usize,
    /// Grid points per px.
    scale: f32,
    curvature: f32,
}

/// Overlap and its derivatives by shift along x and y (grid steps) and rotation about x, y and z (rad).
struct Slope {
    overlap: f32,
    gradient: Vector5<f32>,
    hessian: Matrix5<f32>,
}

/// A pose on its way up.
pub(super) struct Climber {
    pub(super) pose: Finalist,
    slope: Slope,
}

impl Jets<'_> {
    /// Climb in at most `steps` steps.
    pub(super) fn climb(&self, model: &AtomModel<'_>, from: Climber, scale: f32, steps: usize) -> Climber {
        let value = |at: &Climber| 2.0 * scale * at.pose.fit.overlap - scale * scale * at.pose.fit.power;
        let mut at = from;
        let mut step = self.step(model, &at, scale);
        for _ in 0..steps {
            if step[0].hypot(step[1]) < SHORTEST[0] && step.fixed_rows::<3>(2).norm() < SHORTEST[1] {
                break;
            }
            let tried =
                self.start(model, turned(&at.pose.rotation, &step), self.moved(at.pose.fit.shift, &step));
            if value(&tried) > value(&at) {
                at = tried;
                step = self.step(model, &at, scale);
            } else {
                step *= 0.5;
            }
        }
        at
    }

    fn moved(&self, shift: [f32; 2], step: &Vector5<f32>) -> [f32; 2] {
        [shift[0] + step[0] / self.scale, shift[1] + step[1] / self.scale]
    }

    /// A climber at a pose.
    pub(super) fn start(&self, model: &AtomModel<'_>, rotation: Rotation, shift: [f32; 2]) -> Climber {
        let slope = self.slope(model, &rotation, shift);
        let fit = Match { overlap: slope.overlap, power: model.power.at(&rotation), shift };
        Climber { pose: Finalist { rotation, fit }, slope }
    }

    /// Newton's step, no longer than allowed, for L at the scale `s`.
    fn step(&self, model: &AtomModel<'_>, at: &Climber, s: f32) -> Vector5<f32> {
        let slope = &at.slope;
        let power = model.power.slope(&at.pose.rotation);
        let mut gradient = 2.0 * s * slope.gradient;
        let mut hessian = 2.0 * s * slope.hessian;
        for i in 0..2 {
            gradient[2 + i] -= s * s * power.gradient[i];
            for j in 0..2 {
                hessian[(2 + i, 2 + j)] -= s * s * power.hessian[i + j];
            }
        }
        // Curvature of a top as high as the overlap is: of a shift, and of a turn that moves atoms by their levers.
        let lever = model.spread.sqrt() * self.scale;
        let unit = (2.0 * s * slope.overlap.abs().max(f32::MIN_POSITIVE) * self.curvature).sqrt();
        let scales = Vector5::new(unit, unit, unit * lever, unit * lever, unit * lever * SQRT_2);
        let scaled = Matrix5::from_fn(|i, j| -hessian[(i, j)] / (scales[i] * scales[j]));
        // An eigenvalue problem without numbers would have no end.
        if !scaled.iter().all(|v| v.is_finite()) {
            return Vector5::zeros();
        }
        let eigen = scaled.symmetric_eigen();
        let along = eigen.eigenvectors.tr_mul(&gradient.component_div(&scales));
        let along = along.zip_map(&eigen.eigenvalues, |g, l| g / l.abs().max(LEAST_CURVATURE));
        let mut step = (eigen.eigenvectors * along).component_div(&scales);
        let length = (step[0].hypot(step[1]) / LONGEST[0]).max(step.fixed_rows::<3>(2).norm() / LONGEST[1]);
        if length > 1.0 {
            step /= length;
        }
        step
    }

    /// In lanes as wide as the machine has; nothing is fused, so the numbers are the same to the last bit.
    fn slope(&self, model: &AtomModel<'_>, r: &Rotation, shift: [f32; 2]) -> Slope {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return Slope::from_sums(&unsafe { self.sums_avx2(model, r, shift) });
        }
        Slope::from_sums(&self.sums(model, r, shift))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sums_avx2(&self, model: &AtomModel<'_>, r: &Rotation, shift: [f32; 2]) -> Sums {
        self.sums(model, r, shift)
    }

    /// Σ_a h_a · (moment of the lever) · (derivative of J).
    #[inline(always)]
    fn sums(&self, model: &AtomModel<'_>, r: &Rotation, shift: [f32; 2]) -> Sums {
        let row = |i: usize| [r[i][0] * self.scale, r[i][1] * self.scale, r[i][2] * self.scale];
        let rows = [row(0), row(1), row(2)];
        let middle = (self.side / 2) as f32;
        let origin = [shift[0] * self.scale + middle, shift[1] * self.scale + middle];
        let mut sums = Sums::default();
        for atoms in &model.blocks {
            let levers = self.levers(atoms, &rows, origin);
            for a in 0..BLOCK {
                let (du, dv) = (levers.rest[0][a], levers.rest[1][a]);
                let mut jet = self.values[levers.at[a] as usize];
                let [_, jx, jy, jxx, jxy, jyy, ..] = jet;
                jet[1] += du * jxx + dv * jxy;
                jet[2] += du * jxy + dv * jyy;
                jet[0] += 0.5 * (du * (jx + jet[1]) + dv * (jy + jet[2]));
                for m in 0..MOMENTS {
                    for d in 0..LANES {
                        sums[m][d] += levers.moments[m][a] * jet[d];
                    }
                }
            }
        }
        sums
    }

    /// Where the atoms of a block lie; those outside of the image weigh nothing.
    #[inline(always)]
    fn levers(&self, atoms: &AtomBlock, rows: &[[f32; 3]; 3], origin: [f32; 2]) -> Levers {
        let last = (self.side - 1) as f32;
        let mut levers = Levers { at: [0; BLOCK], rest: [[0.0; BLOCK]; 2], moments: [[0.0; BLOCK]; MOMENTS] };
        for a in 0..BLOCK {
            let [px, py, pz] = [atoms.axes[0][a], atoms.axes[1][a], atoms.axes[2][a]];
            let on = |row: &[f32; 3]| row[0] * px + row[1] * py + row[2] * pz;
            let (x, y, z) = (on(&rows[0]), on(&rows[1]), on(&rows[2]));
            let (u, v) = (x + origin[0], y + origin[1]);
            let inside = u >= 0.0 && v >= 0.0 && u < last && v < last;
            let only = |value: f32| if inside { value } else { 0.0 };
            let (height, x, y, z, u, v) =
                (only(atoms.heights[a]), only(x), only(y), only(z), only(u), only(v));
            // SAFETY: numbers between 0 and `last` fit.
            let (i, j): (i32, i32) = unsafe { ((u + 0.5).to_int_unchecked(), (v + 0.5).to_int_unchecked()) };
            levers.at[a] = j * self.side as i32 + i;
            levers.rest[0][a] = u - i as f32;
            levers.rest[1][a] = v - j as f32;
            let (hx, hy, hz) = (height * x, height * y, height * z);
            let moments = [height, hx, hy, hz, hx * x, hy * y, hz * z, hx * y, hx * z, hy * z];
            for m in 0..MOMENTS {
                levers.moments[m][a] = moments[m];
            }
        }
        levers
    }
}

/// Of a block of atoms: the nearest point of the grid, what is left to the atom, and h times the moments of its lever.
struct Levers {
    at: [i32; BLOCK],
    rest: [[f32; BLOCK]; 2],
    moments: [[f32; BLOCK]; MOMENTS],
}

impl Slope {
    fn from_sums(sums: &Sums) -> Self {
        let [one, x, y, z, xx, yy, zz, xy, xz, yz] = sums;
        const GX: usize = 1;
        const GY: usize = 2;
        const JXX: usize = 3;
        const JXY: usize = 4;
        const JYY: usize = 5;
        let gradient = Vector5::new(one[GX], one[GY], -z[GY], z[GX], x[GY] - y[GX]);
        // dy/d(parameter): (1, 0), (0, 1), (0, −z), (z, 0), (−y, x); second derivatives only between rotations.
        let turn_x = [-z[JXY], -z[JYY], zz[JYY] - y[GY]];
        let turn_y = [z[JXX], z[JXY], 0.5 * (x[GY] + y[GX]) - zz[JXY], zz[JXX] - x[GX]];
        let turn_z = [
            x[JXY] - y[JXX],
            x[JYY] - y[JXY],
            0.5 * z[GX] - xz[JYY] + yz[JXY],
            0.5 * z[GY] + xz[JXY] - yz[JXX],
            xx[JYY] - 2.0 * xy[JXY] + yy[JXX] - x[GX] - y[GY],
        ];
        let lower: [&[f32]; 5] = [&[one[JXX]], &[one[JXY], one[JYY]], &turn_x, &turn_y, &turn_z];
        Self { overlap: one[0], gradient, hessian: Matrix5::from_fn(|i, j| lower[i.max(j)][i.min(j)]) }
    }
}

/// `r` after the rotation of a step.
fn turned(r: &Rotation, step: &Vector5<f32>) -> Rotation {
    let turn = nalgebra::Rotation3::new(step.fixed_rows::<3>(2).into_owned());
    let t = turn.matrix();
    std::array::from_fn(|i| std::array::from_fn(|k| (0..3).map(|j| t[(i, j)] * r[j][k]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::HalfPlane;
    use crate::orient::power::SlicePower;
    use crate::volume::{FourierVolume, reach_for, volume_len};

    /// Numbers in [−1, 1) by a linear congruence.
    fn noise(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    #[test]
    fn derivatives_are_those_of_the_overlap() {
        let plane = HalfPlane::new(64, 3, 10).unwrap();
        let mut seed = 7;
        let positions: Vec<[f32; 3]> = (0..40).map(|_| [0; 3].map(|_| 12.0 * noise(&mut seed))).collect();
        let heights = vec![1.0; positions.len()];
        // Mostly long periods: second derivatives are those at the nearest point of the grid, without a third to move them.
        let weights: Vec<f32> =
            plane.frequencies().iter().map(|&(x, y)| 200.0 * (x as f32).hypot(y as f32).powi(-4)).collect();
        let reach = reach_for(plane.max_shell, 1);
        let nothing = vec![Complex32::default(); volume_len(reach)];
        let table = vec![0.0; 25];
        let power =
            SlicePower::new(FourierVolume::new(&nothing, reach, 1).unwrap(), &plane, &weights, &table)
                .unwrap();
        let model = AtomModel::new(&positions, &heights, &weights, power).unwrap();
        let spectrum: Vec<Complex32> =
            (0..plane.len()).map(|_| Complex32::new(noise(&mut seed), noise(&mut seed))).collect();
        let filter = FrameFilter::new(&plane, model.radius, 8);
        let mut scratch = filter.scratch();
        let mut jets = JetScratch::new(&filter);
        let jets = JetFilter::new(&filter, &model).apply(&filter, &spectrum, &model, &mut jets, &mut scratch);

        let start = *nalgebra::Rotation3::from_euler_angles(0.3, -0.8, 1.9).matrix();
        let start: Rotation = std::array::from_fn(|i| std::array::from_fn(|j| start[(i, j)]));
        // The sum over frequencies that b stands for.
        let direct = |step: &Vector5<f32>| -> f64 {
            let r = turned(&start, step);
            let axis = |i: usize, p: &[f32; 3]| f64::from(r[i][0] * p[0] + r[i][1] * p[1] + r[i][2] * p[2]);
            let (tx, ty) = (f64::from(step[0] / jets.scale), f64::from(step[1] / jets.scale));
            let tau = std::f64::consts::TAU / plane.size as f64;
            let overlap = |p: &[f32; 3]| -> f64 {
                let (x, y) = (axis(0, p) + tx, axis(1, p) + ty);
                let one = |((&(kx, ky), s), &w): ((&(i32, i32), &Complex32), &f32)| {
                    let (sin, cos) = (tau * (f64::from(kx) * x + f64::from(ky) * y)).sin_cos();
                    f64::from(w) * (f64::from(s.re) * cos - f64::from(s.im) * sin)
                };
                plane.frequencies().iter().zip(&spectrum).zip(&weights).map(one).sum()
            };
            positions.iter().map(overlap).sum()
        };
        let slope = jets.slope(&model, &start, [0.0; 2]);
        let by = |i: usize, h: f32| Vector5::from_fn(|k, _| if k == i { h } else { 0.0 });
        let scale = slope.gradient.norm();
        let curvature = slope.hessian.norm();
        let none = direct(&Vector5::zeros());
        assert!((f64::from(slope.overlap) - none).abs() < 0.02 * none.abs().max(f64::from(scale)));
        for i in 0..5 {
            let h = if i < 2 { 0.2 } else { 0.01 };
            let slow = (direct(&by(i, h)) - direct(&by(i, -h))) / f64::from(2.0 * h);
            assert!(
                (f64::from(slope.gradient[i]) - slow).abs() < f64::from(0.05 * scale),
                "gradient {i}: {} {slow}",
                slope.gradient[i]
            );
            for j in 0..5 {
                let g = if j < 2 { 0.2 } else { 0.01 };
                let at = |a: f32, b: f32| direct(&(by(i, a * h) + by(j, b * g)));
                let mixed = at(1.0, 1.0) - at(1.0, -1.0) - at(-1.0, 1.0) + at(-1.0, -1.0);
                let slow = mixed / f64::from(4.0 * h * g);
                assert!(
                    (f64::from(slope.hessian[(i, j)]) - slow).abs() < f64::from(0.15 * curvature),
                    "hessian {i} {j}: {} {slow}",
                    slope.hessian[(i, j)]
                );
            }
        }
    }
}
