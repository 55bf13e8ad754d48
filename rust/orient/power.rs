//! Power of the slices of a Fourier volume, without cutting them.
//!
//! The power of a slice, a = Σ_k w |F(kx·R₀ + ky·R₁)|², depends on where w has holes and else only on the direction of
//! view d = R₂. With w = w̄(|k|) − δ(k) it is
//!
//! ```text
//! a(R) = ∮_{u ⊥ d} G(u) − Σ_{k: δ ≠ 0} δ |F(kx·R₀ + ky·R₁)|²,    G(u) = Σ_r W_r |F(r·u)|²,
//! ```
//!
//! W_r being all w̄ of the shell r. G and its great circle integral (the Funk transform: Funk 1913, doi:10.1007/BF01456824)
//! are tabulated over half the sphere, |F| being even; the few frequencies where graphene was taken out are read one
//! by one. Without them a is wrong by a tenth, more than what sets the mates of a pose apart.

use crate::check::{self, Argument, agree, all_finite};
use crate::error::Result;
use crate::fourier::HalfPlane;
use crate::volume::{FourierVolume, Rotation};
use rayon::prelude::*;
use std::f32::consts::PI;

/// Points along each side of a table: fewest and most.
const SIDES: [usize; 2] = [121, 481];

/// Points along a side for each shortest period that fits across the particle: of 240, directions lie 0.4° to 1° apart, and
/// a spot of a particle 30 periods wide is 2° wide.
const PER_PERIOD: f32 = 8.0;

/// Points on half a great circle; the other half is the same.
const SAMPLES: usize = 160;

/// A weight below this share of its shell's is a hole.
const HOLE: f32 = 0.5;

/// A function of directions u with f(−u) = f(u), on the square that half an octahedron unfolds to, read bilinearly
/// (Cigolle et al. 2014, J. Comput. Graph. Tech. 3, 1). Opposite points of the edge are the same direction.
struct Sphere<'a> {
    values: &'a [f32],
    side: usize,
}

impl<'a> Sphere<'a> {
    /// Of side² values.
    fn new(values: &'a [f32]) -> Self {
        Self { values, side: values.len().isqrt() }
    }

    fn directions(side: usize) -> impl IndexedParallelIterator<Item = [f32; 3]> {
        let coordinate = move |i: usize| 2.0 * i as f32 / (side - 1) as f32 - 1.0;
        (0..side * side).into_par_iter().map(move |i| {
            let (a, b) = (coordinate(i % side), coordinate(i / side));
            let (x, y) = (0.5 * (a + b), 0.5 * (a - b));
            let z = 1.0 - x.abs() - y.abs();
            let norm = (x * x + y * y + z * z).sqrt();
            [x / norm, y / norm, z / norm]
        })
    }

    /// The cell of the square that a direction lies in, and where in it.
    fn cell(&self, u: [f32; 3]) -> ([usize; 2], [f32; 2]) {
        let scale = 1.0 / (u[0].abs() + u[1].abs() + u[2].abs());
        let scale = if u[2] < 0.0 { -scale } else { scale };
        let to_grid = |v: f32| (v * scale + 1.0) * (0.5 * (self.side - 1) as f32);
        let (a, b) = (to_grid(u[0] + u[1]), to_grid(u[0] - u[1]));
        let (i, j) = ((a as usize).min(self.side - 2), (b as usize).min(self.side - 2));
        ([i, j], [a - i as f32, b - j as f32])
    }

    /// By cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711), a whole order better than `read`.
    fn read_smoothly(&self, u: [f32; 3]) -> f32 {
        let ([i, j], [f, g]) = self.cell(u);
        let weights = |t: f32| {
            let (t2, t3) = (t * t, t * t * t);
            [
                -0.5 * t3 + t2 - 0.5 * t,
                1.5 * t3 - 2.5 * t2 + 1.0,
                -1.5 * t3 + 2.0 * t2 + 0.5 * t,
                0.5 * t3 - 0.5 * t2,
            ]
        };
        // Beyond the edge its own points stand for the next.
        let beside = |i: usize| [i.saturating_sub(1), i, i + 1, (i + 2).min(self.side - 1)];
        let (columns, across) = (beside(i), weights(f));
        let line = |row: usize| -> f32 {
            columns.iter().zip(across).map(|(&c, w)| w * self.values[row * self.side + c]).sum()
        };
        beside(j).into_iter().zip(weights(g)).map(|(row, w)| w * line(row)).sum()
    }

    /// Mean over the great circle of p and q, in lanes as wide as the machine has.
    fn mean(&self, p: [f32; 3], q: [f32; 3], circle: &Circle) -> f32 {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.mean_avx2(p, q, circle) };
        }
        self.mean_baseline(p, q, circle)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn mean_avx2(&self, p: [f32; 3], q: [f32; 3], circle: &Circle) -> f32 {
        self.mean_baseline(p, q, circle)
    }

    /// Each point is read bilinearly. Nothing is fused, so the numbers are the same to the last bit.
    #[inline(always)]
    fn mean_baseline(&self, p: [f32; 3], q: [f32; 3], circle: &Circle) -> f32 {
        let (half, last) = (0.5 * (self.side - 1) as f32, self.side as i32 - 2);
        let mut sums = [0.0f32; LANES];
        for [cosine, sine] in circle {
            let (mut at, mut f, mut g) = ([0i32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
            for l in 0..LANES {
                let along = |i: usize| cosine[l] * p[i] + sine[l] * q[i];
                let (x, y, z) = (along(0), along(1), along(2));
                let scale = half / (x.abs() + y.abs() + z.abs());
                let scale = if z < 0.0 { -scale } else { scale };
                let (a, b) = ((x + y) * scale + half, (x - y) * scale + half);
                let (i, j) = ((a as i32).min(last), (b as i32).min(last));
                (at[l], f[l], g[l]) = (j * self.side as i32 + i, a - i as f32, b - j as f32);
            }
            let corner = |beyond: usize| at.map(|at| self.values[at as usize + beyond]);
            let (low, low_next) = (corner(0), corner(1));
            let (high, high_next) = (corner(self.side), corner(self.side + 1));
            for l in 0..LANES {
                let low = low[l] + f[l] * (low_next[l] - low[l]);
                let high = high[l] + f[l] * (high_next[l] - high[l]);
                sums[l] += low + g[l] * (high - low);
            }
        }
        sums.iter().sum::<f32>() / SAMPLES as f32
    }
}

/// Points read at a time.
const LANES: usize = 8;

/// Cosines and sines of the points of half a great circle.
type Circle = [[[f32; LANES]; 2]; SAMPLES / LANES];

fn circle() -> Circle {
    std::array::from_fn(|block| {
        let angle = |l: usize| PI * (block * LANES + l) as f32 / SAMPLES as f32;
        [std::array::from_fn(|l| angle(l).cos()), std::array::from_fn(|l| angle(l).sin())]
    })
}

/// Frequency with less weight than its shell: (kx, ky) and what it lacks.
struct Hole {
    k: [f32; 2],
    lack: f32,
}

/// Weights as a function of the shell, and where they fall short of it.
struct Shells {
    /// All weight of each shell, holes filled.
    total: Vec<f32>,
    holes: Vec<Hole>,
}

impl Shells {
    fn new(plane: &HalfPlane, weights: &[f32]) -> Self {
        let frequencies = plane.frequencies();
        let shells = |&(x, y): &(i32, i32)| {
            let r = (x as f32).hypot(y as f32);
            let low = r as usize;
            (low, r - low as f32)
        };
        let mut weight = vec![0.0f32; plane.max_shell + 2];
        let mut count = vec![0.0f32; plane.max_shell + 2];
        for (k, &w) in frequencies.iter().zip(weights).filter(|&(_, &w)| w > 0.0) {
            let (low, f) = shells(k);
            for (shell, share) in [(low, 1.0 - f), (low + 1, f)] {
                weight[shell] += share * w;
                count[shell] += share;
            }
        }
        let mean: Vec<f32> = weight.iter().zip(&count).map(|(w, c)| w / c.max(f32::MIN_POSITIVE)).collect();
        let mut total = vec![0.0; plane.max_shell + 2];
        let mut holes = Vec::new();
        for (k, &w) in frequencies.iter().zip(weights) {
            let (low, f) = shells(k);
            let usual = (1.0 - f) * mean[low] + f * mean[low + 1];
            let filled = if w < HOLE * usual { usual } else { w };
            if filled > w {
                holes.push(Hole { k: [k.0 as f32, k.1 as f32], lack: filled - w });
            }
            total[low] += (1.0 - f) * filled;
            total[low + 1] += f * filled;
        }
        Self { total, holes }
    }
}

/// Power of all slices of one volume under one set of weights.
pub struct SlicePower<'a> {
    volume: FourierVolume<'a>,
    table: Sphere<'a>,
    holes: Vec<Hole>,
    /// Number of frequencies of a slice.
    pub(super) points: usize,
}

impl<'a> SlicePower<'a> {
    /// With a table made by [`tabulate`] from the same three.
    ///
    /// # Errors
    /// A volume or weights that do not fit the plane, or a table that is no square.
    pub fn new(
        volume: FourierVolume<'a>,
        plane: &HalfPlane,
        weights: &[f32],
        table: &'a [f32],
    ) -> Result<Self> {
        volume.must_hold("volume", plane)?;
        agree("weights", weights.len(), plane.len())?;
        agree("view_power", table.len(), table.len().isqrt().max(2).pow(2))?;
        Ok(Self {
            volume,
            table: Sphere::new(table),
            holes: Shells::new(plane, weights).holes,
            points: plane.len(),
        })
    }

    /// Table and volume, for [`check::unsound`].
    pub(super) fn arguments(&self) -> [(&'static str, &dyn Argument); 2] {
        [("view_power", &self.table.values), ("volume", self.volume.data())]
    }

    /// a at rotation `r`.
    #[must_use]
    pub fn at(&self, r: &Rotation) -> f32 {
        let missing: f32 = self.holes.iter().map(|h| h.lack * self.volume.power_at(r, h.k)).sum();
        self.table.read_smoothly(r[2]) - missing
    }

    /// The same to a few hundredths, for candidates that are compared again before they count: dozens of holes read
    /// between points of the grid cost as much as half a look-up.
    #[must_use]
    pub(super) fn roughly_at(&self, r: &Rotation) -> f32 {
        let missing: f32 = self.holes.iter().map(|h| h.lack * self.volume.power_near(r, h.k)).sum();
        self.table.read_smoothly(r[2]) - missing
    }
}

/// How the power changes with small rotations (ω_x, ω_y) about the laboratory's axes; about z it does not.
pub(super) struct PowerSlope {
    pub(super) gradient: [f32; 2],
    /// xx, xy, yy.
    pub(super) hessian: [f32; 3],
}

impl SlicePower<'_> {
    /// By differences of the table; what the holes add to it is left out.
    pub(super) fn slope(&self, r: &Rotation) -> PowerSlope {
        const H: f32 = 0.0175;
        // R₂ turns to R₂ − ω_y R₀ + ω_x R₁.
        let at = |x: f32, y: f32| {
            self.table.read_smoothly(std::array::from_fn(|i| r[2][i] - H * y * r[0][i] + H * x * r[1][i]))
        };
        let (here, left, right, below, above) =
            (at(0.0, 0.0), at(-1.0, 0.0), at(1.0, 0.0), at(0.0, -1.0), at(0.0, 1.0));
        let cross = at(1.0, 1.0) + at(-1.0, -1.0) - at(1.0, -1.0) - at(-1.0, 1.0);
        PowerSlope {
            gradient: [(right - left) / (2.0 * H), (above - below) / (2.0 * H)],
            hessian: [
                (right + left - 2.0 * here) / (H * H),
                cross / (4.0 * H * H),
                (above + below - 2.0 * here) / (H * H),
            ],
        }
    }
}

/// Points along each side of the table of a particle `diameter` px across.
fn table_side(plane: &HalfPlane, diameter: f32) -> usize {
    let periods = diameter * plane.max_shell as f32 / plane.size as f32;
    ((PER_PERIOD * periods) as usize | 1).clamp(SIDES[0], SIDES[1])
}

/// Power by direction of view, the values of a square, with the holes in the weights filled; `diameter` is that of the
/// particle in px.
///
/// # Errors
/// A volume or weights that do not fit the plane, a diameter that is none, or a power that is not finite.
pub fn tabulate(
    volume: &FourierVolume<'_>,
    plane: &HalfPlane,
    weights: &[f32],
    diameter: f32,
) -> Result<Vec<f32>> {
    volume.must_hold("volume", plane)?;
    agree("weights", weights.len(), plane.len())?;
    check::none_negative("weights", weights)?;
    check::positive("diameter", diameter)?;
    let side = table_side(plane, diameter);
    let shells = Shells::new(plane, weights);
    let used = || shells.total.iter().enumerate().filter(|&(r, &w)| w > 0.0 && r <= plane.max_shell);
    let along = |u: [f32; 3]| -> f32 {
        // A rotation whose first row is u: the line along u is its axis kx.
        let r = [u, [0.0; 3], [0.0; 3]];
        used().map(|(shell, &w)| w * volume.power_at(&r, [shell as f32, 0.0])).sum()
    };
    let radial: Vec<f32> = Sphere::directions(side).map(along).collect();
    let (radial, circle) = (Sphere::new(&radial), circle());
    let mean = |d| {
        let (p, q) = across(d);
        radial.mean(p, q, &circle)
    };
    let table: Vec<f32> = Sphere::directions(side).map(mean).collect();
    if all_finite(&table) {
        Ok(table)
    } else {
        Err(check::unsound(&[("weights", &weights), ("volume", volume.data())]))
    }
}

/// Two axes across a direction.
fn across(d: [f32; 3]) -> ([f32; 3], [f32; 3]) {
    let rho = d[0].hypot(d[1]);
    let (c, s) = if rho > 1e-6 { (d[0] / rho, d[1] / rho) } else { (1.0, 0.0) };
    ([c * d[2], s * d[2], -rho], [-s, c, 0.0])
}
