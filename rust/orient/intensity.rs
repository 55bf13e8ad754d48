//! A particle's three-dimensional intensity: what the power spectra of its frames are central sections of.

use crate::check;
use crate::error::{Error, Result};
use crate::volume::Rotation;

/// An even function of frequency on a cube of side 2·reach + 1, `[z][y][x]`, the origin in the middle.
#[derive(Debug, Clone)]
pub struct Intensity {
    /// Grid steps from the origin to the faces.
    pub reach: usize,
    /// (2·reach + 1)³ values.
    pub values: Vec<f32>,
}

impl Intensity {
    /// Wrap the values of a cube.
    ///
    /// # Errors
    /// A number of values that is no odd cube, or values that are not finite.
    pub fn new(values: Vec<f32>) -> Result<Self> {
        let side = (values.len() as f64).cbrt().round() as usize;
        if side.pow(3) != values.len() || side.is_multiple_of(2) {
            return Err(Error::bad_input("intensity", values.len(), "an odd number cubed is needed"));
        }
        check::finite("intensity", &values)?;
        Ok(Self { reach: side / 2, values })
    }

    /// The eight places round `q` (grid steps) and their trilinear weights.
    #[inline]
    pub(super) fn cell(&self, q: [f32; 3]) -> [(usize, f32); 8] {
        let side = 2 * self.reach + 1;
        let p = q.map(|v| v + self.reach as f32);
        let low = p.map(|v| v as usize);
        let t = [p[0] - low[0] as f32, p[1] - low[1] as f32, p[2] - low[2] as f32];
        std::array::from_fn(|i| {
            let d = [i & 1, (i >> 1) & 1, i >> 2];
            let share = |axis: usize| if d[axis] == 1 { t[axis] } else { 1.0 - t[axis] };
            (((low[2] + d[2]) * side + low[1] + d[1]) * side + low[0] + d[0], share(0) * share(1) * share(2))
        })
    }

    /// Value at `q` (grid steps).
    #[inline]
    pub(super) fn at(&self, q: [f32; 3]) -> f32 {
        self.cell(q).iter().map(|&(i, share)| share * self.values[i]).sum()
    }
}

/// Point of the half turn of ring `k` at angle φ, in the particle's frame.
#[inline]
pub(super) fn on_ring(r: &Rotation, k: f32, phi: f32) -> [f32; 3] {
    let (s, c) = phi.sin_cos();
    std::array::from_fn(|i| k * (s * r[0][i] - c * r[1][i]))
}
