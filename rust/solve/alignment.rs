//! One Fourier volume compared with another under many rotations, point by point.
//!
//! The strongest points k of a volume b, of weight w, are read in the heights a of another at its nearest grid points,
//!
//! ```text
//! C(G) = Σ_k w_k a(Gᵀ k),   a(−k) = a(k)
//! ```
//!
//! so that shift and hand play no part (see `single_rs.orient.indexing.rotation_search`).

use crate::check::{self, accept, agree, all_finite};
use crate::error::Result;
use crate::volume::{Rotation, volume_len};
use rayon::prelude::*;

/// Points taken at a time.
const LANES: usize = 8;

/// Heights of half a volume, `(2K+1, 2K+1, K+1)` in order (z, y, x ≥ 0).
#[derive(Debug, Clone, Copy)]
pub struct Heights<'a> {
    values: &'a [f32],
    reach: usize,
}

/// As many points; places without one weigh nothing.
struct PointBlock {
    axes: [[f32; LANES]; 3],
    weights: [f32; LANES],
}

impl<'a> Heights<'a> {
    /// Wrap values of a volume that reaches `reach` grid steps.
    ///
    /// # Errors
    /// A length that does not fit.
    pub fn new(values: &'a [f32], reach: usize) -> Result<Self> {
        agree("heights", values.len(), volume_len(reach))?;
        Ok(Self { values, reach })
    }

    /// C of all rotations; `points` (x, y, z) in grid steps. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// Points out of reach, weights of other points, matrices that are no rotations, or sums that are not finite.
    pub fn correlate(
        &self,
        points: &[[f32; 3]],
        weights: &[f32],
        rotations: &[Rotation],
    ) -> Result<Vec<f32>> {
        agree("weights", weights.len(), points.len())?;
        check::rotations("rotations", rotations)?;
        let farthest = points.iter().map(|p| p.iter().map(|v| v * v).sum::<f32>().sqrt());
        // Rounding, and a rotation that is one to single precision, move a point by less than one step.
        let inside = farthest.clone().all(|r| r + 1.0 <= self.reach as f32);
        let accepted =
            format!("at most {} grid steps from the origin are needed", self.reach.saturating_sub(1));
        accept("points", farthest.fold(0.0, f32::max), inside, &accepted)?;
        let block = |(p, w): (&[[f32; 3]], &[f32])| PointBlock {
            axes: std::array::from_fn(|i| std::array::from_fn(|l| p.get(l).map_or(0.0, |p| p[i]))),
            weights: std::array::from_fn(|l| w.get(l).copied().unwrap_or(0.0)),
        };
        let blocks: Vec<PointBlock> = points.chunks(LANES).zip(weights.chunks(LANES)).map(block).collect();
        let out: Vec<f32> = rotations.par_iter().with_min_len(64).map(|r| self.sum(&blocks, r)).collect();
        if all_finite(&out) {
            return Ok(out);
        }
        Err(check::unsound(&[("weights", &weights), ("heights", &self.values)]))
    }

    /// In lanes as wide as the machine has; nothing is fused, so the numbers are the same to the last bit.
    fn sum(&self, blocks: &[PointBlock], r: &Rotation) -> f32 {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { self.sum_avx2(blocks, r) };
        }
        self.sum_baseline(blocks, r)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sum_avx2(&self, blocks: &[PointBlock], r: &Rotation) -> f32 {
        self.sum_baseline(blocks, r)
    }

    #[inline(always)]
    fn sum_baseline(&self, blocks: &[PointBlock], r: &Rotation) -> f32 {
        let (reach, width) = (self.reach as i32, self.reach as i32 + 1);
        let middle = reach * (2 * reach + 2) * width;
        let mut sums = [0.0f32; LANES];
        for block in blocks {
            let [xs, ys, zs] = &block.axes;
            let mut places = [0i32; LANES];
            for l in 0..LANES {
                let axis = |i: usize| nearest(xs[l] * r[0][i] + ys[l] * r[1][i] + zs[l] * r[2][i]);
                let (x, y, z) = (axis(0), axis(1), axis(2));
                let place = (z * (2 * reach + 1) + y) * width + x;
                places[l] = middle + if x < 0 { -place } else { place };
            }
            let read = places.map(|place| self.values[place as usize]);
            for l in 0..LANES {
                sums[l] += block.weights[l] * read[l];
            }
        }
        sums.iter().sum()
    }
}

/// The nearest whole number, the even one of two, of a number of at most a million.
#[inline(always)]
fn nearest(value: f32) -> i32 {
    // Added to this, a small number leaves its nearest whole one in the last bits.
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_volume_is_found_at_its_rotation() {
        let reach = 9;
        let (side, width) = (2 * reach + 1, reach + 1);
        let mut values = vec![0.0f32; volume_len(reach)];
        let points = [[6.0f32, 1.0, 2.0], [0.0, -5.0, 3.0], [2.0, 4.0, -6.0]];
        // A quarter turn about z: Gᵀ k = (k_y, −k_x, k_z) for G = [[0, −1, 0], [1, 0, 0], [0, 0, 1]].
        for [x, y, z] in points {
            let (x, y, z) = (y, -x, z);
            let sign = if x < 0.0 { -1.0 } else { 1.0 };
            let at = |v: f32| (sign * v + reach as f32) as usize;
            values[(at(z) * side + at(y)) * width + (sign * x) as usize] = 1.0;
        }
        let turn = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let one = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let found = Heights::new(&values, reach).unwrap().correlate(&points, &[1.0, 2.0, 4.0], &[one, turn]);
        assert_eq!(found.unwrap(), [0.0, 7.0]);
    }

    #[test]
    fn points_beyond_the_volume_are_refused() {
        let values = vec![0.0f32; volume_len(4)];
        let one = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let heights = Heights::new(&values, 4).unwrap();
        assert!(heights.correlate(&[[3.5, 0.0, 0.0]], &[1.0], &[one]).is_err());
        assert!(heights.correlate(&[[f32::NAN, 0.0, 0.0]], &[1.0], &[one]).is_err());
    }
}
