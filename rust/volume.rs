//! A particle's Fourier volume and its central slices.
//!
//! The volume holds F(k) = 1/N · Σ_r map(r) exp(−2πi k·r/N) on a grid `pad` times finer than the images'
//! own, half of it (kx ≥ 0) because the map is real. With x_lab = R · x_particle and a projection along
//! z, the spectrum of an image is the central slice (Bracewell 1956)
//!
//! ```text
//! P(kx, ky) = F(kx · R[0] + ky · R[1])
//! ```
//!
//! read by trilinear interpolation; the map has been divided by sinc² beforehand, which undoes what that
//! interpolation does to it.

use crate::check::{self, Argument, agree, all_finite, within};
use crate::error::{Error, Result};
use crate::fourier::HalfPlane;
use num_complex::Complex32;
use rayon::prelude::*;

/// Rotation as rows: `r[i]` is laboratory axis i seen in the particle's frame.
pub type Rotation = [[f32; 3]; 3];

/// Finest grid of a volume, steps per image shell: 2 is the usual one.
pub const MOST_PAD: usize = 16;

/// A view of one Fourier volume: `(2K+1, 2K+1, K+1)` values in order (z, y, x ≥ 0).
#[derive(Debug, Clone, Copy)]
pub struct FourierVolume<'a> {
    data: &'a [Complex32],
    reach: usize,
    pad: f32,
}

/// Number of values of a volume that reaches `reach` grid steps.
#[must_use]
pub fn volume_len(reach: usize) -> usize {
    (2 * reach + 1) * (2 * reach + 1) * (reach + 1)
}

/// Grid steps a volume needs so that interpolation up to `max_shell` stays inside.
#[must_use]
pub fn reach_for(max_shell: usize, pad: usize) -> usize {
    max_shell * pad + 2
}

impl<'a> FourierVolume<'a> {
    /// Wrap `data` of a volume that reaches `reach` grid steps of 1/(`pad`·N·pixel).
    ///
    /// # Errors
    /// A length that does not fit, or a volume too small to hold one shell.
    pub fn new(data: &'a [Complex32], reach: usize, pad: usize) -> Result<Self> {
        within("pad", pad, 1..=MOST_PAD)?;
        if reach < reach_for(1, pad) {
            return Err(Error::bad_input(
                "volume",
                format!("of reach {reach} at padding {pad}"),
                "reach ≥ padding + 2 is needed to hold one shell",
            ));
        }
        if data.len() != volume_len(reach) {
            return Err(Error::bad_input(
                "volume",
                format!("{} values", data.len()),
                format!("(2K+1)²(K+1) = {} values are needed for K = {reach}", volume_len(reach)),
            ));
        }
        Ok(Self { data, reach, pad: pad as f32 })
    }

    /// Largest image shell that can be read.
    #[must_use]
    pub fn max_shell(&self) -> usize {
        (self.reach - 2) / self.pad as usize
    }

    /// Refuse a plane with shells that the volume does not hold.
    pub(crate) fn must_hold(&self, name: &'static str, plane: &HalfPlane) -> Result<()> {
        let (given, needed) = (self.max_shell(), plane.max_shell);
        let accepted = format!("shell {needed} is needed");
        check::accept(name, format!("up to shell {given}"), given >= needed, &accepted)
    }

    /// The values.
    pub(crate) fn data(&self) -> &&'a [Complex32] {
        &self.data
    }

    /// The eight values round `k` (grid steps, x ≥ 0) and the fractions within the cell.
    #[inline(always)]
    fn cell(&self, k: [f32; 3]) -> ([Complex32; 8], [f32; 3]) {
        let side = 2 * self.reach + 1;
        let width = self.reach + 1;
        let (x, y, z) = (k[0], k[1] + self.reach as f32, k[2] + self.reach as f32);
        let (ix, iy, iz) = (x as usize, y as usize, z as usize);
        let f = [x - ix as f32, y - iy as f32, z - iz as f32];
        let base = (iz * side + iy) * width + ix;
        let d = self.data;
        let up = side * width;
        let pairs = [base, base + width, base + up, base + up + width];
        let mut v = [Complex32::default(); 8];
        for (i, &p) in pairs.iter().enumerate() {
            let pair = &d[p..p + 2];
            v[2 * i] = pair[0];
            v[2 * i + 1] = pair[1];
        }
        (v, f)
    }

    /// F at `k`, in grid steps.
    #[inline(always)]
    fn value(&self, k: [f32; 3]) -> Complex32 {
        let flip = k[0] < 0.0;
        let s = if flip { -1.0 } else { 1.0 };
        let (v, f) = self.cell([s * k[0], s * k[1], s * k[2]]);
        let lerp = |a: Complex32, b: Complex32, t: f32| a + (b - a) * t;
        let y0 = lerp(lerp(v[0], v[1], f[0]), lerp(v[2], v[3], f[0]), f[1]);
        let y1 = lerp(lerp(v[4], v[5], f[0]), lerp(v[6], v[7], f[0]), f[1]);
        let out = lerp(y0, y1, f[2]);
        if flip { out.conj() } else { out }
    }

    /// F at `k` and its gradient along (x, y, z), per grid step.
    #[inline(always)]
    fn value_and_gradient(&self, k: [f32; 3]) -> (Complex32, [Complex32; 3]) {
        let flip = k[0] < 0.0;
        let s = if flip { -1.0 } else { 1.0 };
        let (v, f) = self.cell([s * k[0], s * k[1], s * k[2]]);
        let lerp = |a: Complex32, b: Complex32, t: f32| a + (b - a) * t;
        let (x00, x10) = (lerp(v[0], v[1], f[0]), lerp(v[2], v[3], f[0]));
        let (x01, x11) = (lerp(v[4], v[5], f[0]), lerp(v[6], v[7], f[0]));
        let (y0, y1) = (lerp(x00, x10, f[1]), lerp(x01, x11, f[1]));
        let out = lerp(y0, y1, f[2]);
        let gx = lerp(lerp(v[1] - v[0], v[3] - v[2], f[1]), lerp(v[5] - v[4], v[7] - v[6], f[1]), f[2]);
        let gy = lerp(x10 - x00, x11 - x01, f[2]);
        let gz = y1 - y0;
        // F(−k) = F*(k): the gradient of the conjugate, seen from −k, changes sign.
        if flip { (out.conj(), [-gx.conj(), -gy.conj(), -gz.conj()]) } else { (out, [gx, gy, gz]) }
    }

    /// Central slice at rotation `r` into `out`, in packed order.
    pub fn slice(&self, r: &Rotation, plane: &HalfPlane, out: &mut [Complex32]) {
        for row in &plane.rows {
            let values = &mut out[row.start..row.start + row.len];
            for (i, value) in values.iter_mut().enumerate() {
                *value = self.value(self.position(r, row.first + i as i32, row.ky));
            }
        }
    }

    /// Central slice and its derivatives by a small rotation (lx, ly, lz) of the laboratory axes (per
    /// radian): `R → exp([l]×) · R`, so that `dk = lx(−ky R₂) + ly(kx R₂) + lz(ky R₀ − kx R₁)`.
    pub fn slice_and_derivatives(&self, r: &Rotation, plane: &HalfPlane, out: &mut [[Complex32; 4]]) {
        let pad = self.pad;
        for row in &plane.rows {
            for (i, value) in out[row.start..row.start + row.len].iter_mut().enumerate() {
                let (kx, ky) = ((row.first + i as i32) as f32 * pad, row.ky as f32 * pad);
                let (f, g) = self.value_and_gradient(self.position(r, row.first + i as i32, row.ky));
                let depth = g[0] * r[2][0] + g[1] * r[2][1] + g[2] * r[2][2];
                let turn: Complex32 = (0..3).map(|a| g[a] * (ky * r[0][a] - kx * r[1][a])).sum();
                *value = [f, depth * -ky, depth * kx, turn];
            }
        }
    }

    /// |F|² at the image frequency `k` of the slice at rotation `r`.
    #[inline]
    #[must_use]
    pub fn power_at(&self, r: &Rotation, k: [f32; 2]) -> f32 {
        self.value(self.place(r, k[0], k[1])).norm_sqr()
    }

    /// The same at the nearest point of the grid: a cache line where interpolation reads four.
    #[inline]
    #[must_use]
    pub(crate) fn power_near(&self, r: &Rotation, k: [f32; 2]) -> f32 {
        let [x, y, z] = self.place(r, k[0], k[1]);
        let sign = if x < 0.0 { -1.0 } else { 1.0 };
        let middle = self.reach as f32 + 0.5; // truncation then rounds
        let [ix, iy, iz] = [sign * x + 0.5, sign * y + middle, sign * z + middle].map(|v| v as usize);
        self.data[(iz * (2 * self.reach + 1) + iy) * (self.reach + 1) + ix].norm_sqr()
    }

    /// Image frequency to grid steps of the volume.
    #[inline(always)]
    fn position(&self, r: &Rotation, kx: i32, ky: i32) -> [f32; 3] {
        self.place(r, kx as f32, ky as f32)
    }

    #[inline(always)]
    fn place(&self, r: &Rotation, kx: f32, ky: f32) -> [f32; 3] {
        let (x, y) = (kx * self.pad, ky * self.pad);
        [x * r[0][0] + y * r[1][0], x * r[0][1] + y * r[1][1], x * r[0][2] + y * r[1][2]]
    }
}

/// Volumes, and which of them each frame meets.
#[derive(Debug, Clone)]
pub struct FrameVolumes<'a> {
    volumes: Vec<FourierVolume<'a>>,
    of: Vec<usize>,
}

impl<'a> FrameVolumes<'a> {
    /// Volumes that all hold the shells of `plane`; `of` names that of each frame.
    ///
    /// # Errors
    /// No volume, one that is too small, or a number of a volume that there is not.
    pub fn new(volumes: Vec<FourierVolume<'a>>, of: Vec<usize>, plane: &HalfPlane) -> Result<Self> {
        check::accept("volumes", "empty", !volumes.is_empty(), "a volume is needed")?;
        for volume in &volumes {
            volume.must_hold("volumes", plane)?;
        }
        if let Some(number) = of.iter().find(|&&v| v >= volumes.len()) {
            let given = format!("volume {number} of {}", volumes.len());
            return Err(Error::bad_input(
                "volume_of",
                given,
                "the number of a volume is needed for each frame",
            ));
        }
        Ok(Self { volumes, of })
    }

    /// Refuse another number of frames.
    pub(crate) fn serve(&self, frames: usize) -> Result<()> {
        agree("volume_of", self.of.len(), frames)
    }

    /// The volume of a frame.
    pub(crate) fn of(&self, frame: usize) -> &FourierVolume<'a> {
        &self.volumes[self.of[frame]]
    }

    /// The values of all volumes, for [`check::unsound`].
    pub(crate) fn arguments(&self) -> Vec<(&'static str, &dyn Argument)> {
        self.volumes.iter().map(|v| ("volumes", &v.data as &dyn Argument)).collect()
    }
}

/// Central slices of many rotations, n · `plane.len()` values.
///
/// # Errors
/// A volume without the plane's shells, matrices that are no rotations, or slices that are not finite.
pub fn project(
    volume: &FourierVolume<'_>,
    plane: &HalfPlane,
    rotations: &[Rotation],
) -> Result<Vec<Complex32>> {
    volume.must_hold("volume", plane)?;
    check::rotations("rotations", rotations)?;
    let mut out = vec![Complex32::default(); rotations.len() * plane.len()];
    let mut sound = vec![false; rotations.len()];
    out.par_chunks_mut(plane.len()).zip(rotations).zip(&mut sound).for_each(|((slice, r), sound)| {
        volume.slice(r, plane, slice);
        *sound = all_finite(slice);
    });
    if sound.contains(&false) { Err(check::unsound(&[("volume", &volume.data)])) } else { Ok(out) }
}
