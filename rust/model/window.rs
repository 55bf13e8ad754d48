//! Spreading window of the non-uniform transform.
//!
//! The window is the "exponential of a semicircle" of six grid points,
//!
//! ```text
//! φ(z) = exp(β (√(1 − (z/3)²) − 1)),   |z| ≤ 3,    β = 0.976 · 6π (1 − 1/(2σ))
//! ```
//!
//! for oversampling σ, whose error is about exp(−6π √(1 − 1/σ)): 1e−4 at σ = 1.35. Barnett, Magland and af Klinteberg,
//! SIAM J. Sci. Comput. 41, C479 (2019), doi:10.1137/18M120885X.

use crate::lanes::{LANES, Lanes};
use std::f64::consts::{PI, TAU};

/// Grid points under the window.
pub const WIDTH: usize = 6;
/// Steps of the table per grid point; linear interpolation between them is exact to 1e−6.
const STEPS: usize = 512;

/// Values and slopes of the window at the grid points round a position.
#[derive(Debug, Clone)]
pub struct Window {
    beta: f64,
    /// Value and slope at fraction i / STEPS with two zeros after them, each point's slope by the position in grid points.
    table: Vec<[[f32; LANES]; 2]>,
}

impl Window {
    /// Window for a grid `oversampling` times as fine as its largest frequency needs.
    #[must_use]
    pub fn new(oversampling: f64) -> Self {
        let beta = 0.976 * WIDTH as f64 * PI * (1.0 - 0.5 / oversampling);
        let table = (0..=STEPS).map(|i| {
            let fraction = i as f64 / STEPS as f64;
            let mut row = [[0.0; LANES]; 2];
            for (j, (v, s)) in (0..WIDTH).map(|j| (j, value_and_slope(beta, j as f64 - 2.0 - fraction))) {
                row[0][j] = v as f32;
                row[1][j] = -s as f32;
            }
            row
        });
        Self { beta, table: table.collect() }
    }

    /// Values and slopes at the six grid points from `floor − 2`, for a position `fraction` beyond its floor.
    #[inline(always)]
    #[must_use]
    pub fn at<L: Lanes>(&self, fraction: f32) -> [[f32; LANES]; 2] {
        let scaled = fraction * STEPS as f32;
        let index = (scaled as i32).clamp(0, STEPS as i32 - 1) as usize;
        let share = L::splat(scaled - index as f32);
        let (low, high) = (&self.table[index], &self.table[index + 1]);
        let mut out = [[0.0; LANES]; 2];
        for side in 0..2 {
            let (low, high) = (L::load(&low[side]), L::load(&high[side]));
            share.times_plus(high.minus(low), low).store(&mut out[side]);
        }
        out
    }

    /// ∫ φ(z) cos(2π f z) dz at `frequency` f (cycles per grid point).
    #[must_use]
    pub fn transform(&self, frequency: f64) -> f64 {
        // With z = 3 sin θ the integrand is smooth and periodic: the trapezium rule converges exponentially.
        let points = 200;
        let half = WIDTH as f64 / 2.0;
        (0..points)
            .map(|i| {
                let theta = -PI / 2.0 + PI * (f64::from(i) + 0.5) / f64::from(points);
                let z = half * theta.sin();
                (self.beta * (theta.cos() - 1.0)).exp() * (TAU * frequency * z).cos() * half * theta.cos()
            })
            .sum::<f64>()
            * PI
            / f64::from(points)
    }
}

/// φ and dφ/dz.
fn value_and_slope(beta: f64, z: f64) -> (f64, f64) {
    let u = z / (WIDTH as f64 / 2.0);
    if u.abs() >= 1.0 {
        return (if u.abs() > 1.0 { 0.0 } else { (-beta).exp() }, 0.0);
    }
    let root = (1.0 - u * u).sqrt();
    let value = (beta * (root - 1.0)).exp();
    (value, -value * beta * u / root / (WIDTH as f64 / 2.0))
}
