//! Sums over the frequencies of one frame, eight at a time.
//!
//! Runs of at most [`RUN`] are summed in single precision, runs in double.

use crate::lanes::{LANES, Lanes, in_lanes};
use num_complex::Complex32;

/// Eights of a run.
const RUN: usize = 32;

/// A frame and the weights of its frequencies.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) spectrum: &'a [Complex32],
    pub(super) weights: &'a [f32],
    /// Factor of all weights.
    pub(super) gain: f32,
}

/// Eight values from `at` on, and zeros after the last.
#[inline(always)]
fn eight<T: Copy + Default>(values: &[T], at: usize) -> [T; LANES] {
    match values[at..].first_chunk() {
        Some(whole) => *whole,
        None => {
            let mut out = [T::default(); LANES];
            out[..values.len() - at].copy_from_slice(&values[at..]);
            out
        }
    }
}

/// Put the first of eight values from `at` on where there is room.
#[inline(always)]
fn put<T: Copy>(eight: &[T; LANES], to: &mut [T], at: usize) {
    match to[at..].first_chunk_mut() {
        Some(whole) => *whole = *eight,
        None => {
            let left = to.len() - at;
            to[at..].copy_from_slice(&eight[..left]);
        }
    }
}

impl Frame<'_> {
    in_lanes! {
        /// Re Σ w P* X and Σ w |P|² with w = g w_k / (1 + g w_k `error` |P|²).
        pub(super) fn agreement = agreement_on for Frame<'_>, (image: &[Complex32], error: f32) -> [f64; 2]
    }

    in_lanes! {
        /// Leave s w (X − s P) in the `image` P; return g Σ w_k |X − s P|².
        pub(super) fn residual = residual_on for Frame<'_>, (image: &mut [Complex32], scale: f32, error: f32) -> f64
    }

    #[inline(always)]
    fn weight<L: Lanes>(&self, at: usize, square: L, error: f32) -> L {
        let w = L::splat(self.gain).times(L::load(&eight(self.weights, at)));
        if error == 0.0 { w } else { w.over(w.times(L::splat(error)).times_plus(square, L::splat(1.0))) }
    }

    #[inline(always)]
    fn agreement_on<L: Lanes>(&self, image: &[Complex32], error: f32) -> [f64; 2] {
        let (mut total, m) = ([0.0; 2], image.len());
        for start in (0..m).step_by(RUN * LANES) {
            let mut part = [L::splat(0.0); 2];
            for at in (start..m.min(start + RUN * LANES)).step_by(LANES) {
                let (pr, pi) = L::load_complex(&eight(image, at));
                let (xr, xi) = L::load_complex(&eight(self.spectrum, at));
                let square = pr.times_plus(pr, pi.times(pi));
                let w = self.weight(at, square, error);
                part[0] = w.times_plus(pr.times_plus(xr, pi.times(xi)), part[0]);
                part[1] = w.times_plus(square, part[1]);
            }
            total[0] += f64::from(part[0].sum());
            total[1] += f64::from(part[1].sum());
        }
        total
    }

    #[inline(always)]
    fn residual_on<L: Lanes>(&self, image: &mut [Complex32], scale: f32, error: f32) -> f64 {
        let (mut misfit, m, s) = (0.0, image.len(), L::splat(scale));
        for start in (0..m).step_by(RUN * LANES) {
            let mut part = L::splat(0.0);
            for at in (start..m.min(start + RUN * LANES)).step_by(LANES) {
                let (pr, pi) = L::load_complex(&eight(image, at));
                let (xr, xi) = L::load_complex(&eight(self.spectrum, at));
                let (re, im) = (s.taken_from(pr, xr), s.taken_from(pi, xi));
                let zero = L::splat(0.0);
                part = self.weight(at, zero, 0.0).times_plus(re.times_plus(re, im.times(im)), part);
                let w = self.weight(at, pr.times_plus(pr, pi.times(pi)), error).times(s);
                let mut out = [Complex32::default(); LANES];
                L::store_complex(re.times(w), im.times(w), &mut out);
                put(&out, image, at);
            }
            misfit += f64::from(part.sum());
        }
        misfit
    }
}

/// Filters of the channels of a model, one packed plane each.
pub(super) struct Channels<'a> {
    pub(super) filters: &'a [f32],
}

impl Channels<'_> {
    in_lanes! {
        /// Σ_c f_c S_c of the waves S of all channels.
        pub(super) fn image = image_on for Channels<'_>, (waves: &[Complex32], image: &mut [Complex32])
    }

    #[inline(always)]
    fn image_on<L: Lanes>(&self, waves: &[Complex32], image: &mut [Complex32]) {
        let m = image.len();
        for at in (0..m).step_by(LANES) {
            let (mut re, mut im) = (L::splat(0.0), L::splat(0.0));
            for (waves, filter) in waves.chunks_exact(m).zip(self.filters.chunks_exact(m)) {
                let (wr, wi) = L::load_complex(&eight(waves, at));
                let f = L::load(&eight(filter, at));
                (re, im) = (f.times_plus(wr, re), f.times_plus(wi, im));
            }
            let mut out = [Complex32::default(); LANES];
            L::store_complex(re, im, &mut out);
            put(&out, image, at);
        }
    }
}

/// Numbers that the normal matrix of a pose is made of.
const MOMENTS: usize = 18;

/// What a channel's waves and their moments tell of the derivatives of its image.
pub(super) struct Turning<'a> {
    /// (kx, ky).
    pub(super) frequencies: [&'a [f32]; 2],
    pub(super) filter: &'a [f32],
    pub(super) weights: &'a [f32],
    /// S[h], S[h x], S[h y], S[h z].
    pub(super) waves: [&'a [Complex32]; 4],
}

impl Turning<'_> {
    in_lanes! {
        /// Σ w f² of |Z|² (k_x², k_x k_y, k_y²), Re Z* S of the same, |S|² of the same, Re A* Z (k_x, k_y), Re A* S of the
        /// same, |A|², Im S* Z of the same, Im S* A and |S|², with Z = S[h z] and A = k_y S[h x] − k_x S[h y].
        fn moments = moments_on for Turning<'_>, () -> [f64; MOMENTS]
    }

    #[inline(always)]
    fn moments_on<L: Lanes>(&self) -> [f64; MOMENTS] {
        let (mut total, m) = ([0.0; MOMENTS], self.filter.len());
        for start in (0..m).step_by(RUN * LANES) {
            let mut part = [L::splat(0.0); MOMENTS];
            for at in (start..m.min(start + RUN * LANES)).step_by(LANES) {
                let (kx, ky) =
                    (L::load(&eight(self.frequencies[0], at)), L::load(&eight(self.frequencies[1], at)));
                let f = L::load(&eight(self.filter, at));
                let w = L::load(&eight(self.weights, at)).times(f).times(f);
                let (sr, si) = L::load_complex(&eight(self.waves[0], at));
                let (xr, xi) = L::load_complex(&eight(self.waves[1], at));
                let (yr, yi) = L::load_complex(&eight(self.waves[2], at));
                let (zr, zi) = L::load_complex(&eight(self.waves[3], at));
                let (ar, ai) = (kx.taken_from(yr, ky.times(xr)), kx.taken_from(yi, ky.times(xi)));
                let (wx, wy) = (w.times(kx), w.times(ky));
                let (xx, xy, yy) = (wx.times(kx), wx.times(ky), wy.times(ky));
                let zz = zr.times_plus(zr, zi.times(zi));
                let zs = zr.times_plus(sr, zi.times(si));
                let ss = sr.times_plus(sr, si.times(si));
                let az = ar.times_plus(zr, ai.times(zi));
                let of_as = ar.times_plus(sr, ai.times(si));
                let aa = ar.times_plus(ar, ai.times(ai));
                let cz = zr.taken_from(si, zi.times(sr));
                let ca = ar.taken_from(si, ai.times(sr));
                let terms = [
                    (xx, zz),
                    (xy, zz),
                    (yy, zz),
                    (xx, zs),
                    (xy, zs),
                    (yy, zs),
                    (xx, ss),
                    (xy, ss),
                    (yy, ss),
                    (wx, az),
                    (wy, az),
                    (wx, of_as),
                    (wy, of_as),
                    (w, aa),
                    (wx, cz),
                    (wy, cz),
                    (w, ca),
                    (w, ss),
                ];
                for i in 0..MOMENTS {
                    part[i] = terms[i].0.times_plus(terms[i].1, part[i]);
                }
            }
            for i in 0..MOMENTS {
                total[i] += f64::from(part[i].sum());
            }
        }
        total
    }

    /// Re Σ w ∂P* ∂P of all pairs of the derivatives that [`super::pose::Derivatives::at`] gives; `unit` is 2π/N.
    pub(super) fn products(&self, unit: f64) -> [[f64; 6]; 6] {
        let [zxx, zxy, zyy, bxx, bxy, byy, sxx, sxy, syy, azx, azy, asx, asy, aa, czx, czy, ca, ss] =
            self.moments();
        let upper = [
            [zyy, -zxy, -azy, -bxy, -byy, -czy],
            [0.0, zxx, azx, bxx, bxy, czx],
            [0.0, 0.0, aa, asx, asy, ca],
            [0.0, 0.0, 0.0, sxx, sxy, 0.0],
            [0.0, 0.0, 0.0, 0.0, syy, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, ss],
        ];
        let size = |a: usize| if a < 5 { unit } else { 1.0 };
        std::array::from_fn(|a| std::array::from_fn(|b| upper[a.min(b)][a.max(b)] * size(a) * size(b)))
    }
}

/// Sums of the waves of all channels and of frames, frequency by frequency.
pub(super) struct ChannelSums {
    /// Re S_c* S_c' for c' ≤ c.
    pub(super) square: Vec<Vec<f32>>,
    /// S_c* X, real and imaginary parts.
    pub(super) right: Vec<[Vec<f32>; 2]>,
}

impl ChannelSums {
    pub(super) fn new(channels: usize, m: usize) -> Self {
        Self {
            square: vec![vec![0.0; m]; channels * (channels + 1) / 2],
            right: vec![[vec![0.0; m], vec![0.0; m]]; channels],
        }
    }

    /// Add a frame that shows the waves times `scale`.
    pub(super) fn add(&mut self, frame: Frame<'_>, waves: &[Complex32], scale: f32) {
        Added { frame, waves, scale }.add(self);
    }
}

struct Added<'a> {
    frame: Frame<'a>,
    waves: &'a [Complex32],
    scale: f32,
}

impl Added<'_> {
    in_lanes! {
        fn add = add_on for Added<'_>, (sums: &mut ChannelSums)
    }

    #[inline(always)]
    fn add_on<L: Lanes>(&self, sums: &mut ChannelSums) {
        let m = self.frame.weights.len();
        let (ChannelSums { square, right }, s) = (sums, L::splat(self.scale));
        for at in (0..m).step_by(LANES) {
            let w = self.frame.weight(at, s, 0.0).times(s);
            let (xr, xi) = L::load_complex(&eight(self.frame.spectrum, at));
            let mut pair = 0;
            for (a, right) in right.iter_mut().enumerate() {
                let (pr, pi) = L::load_complex(&eight(&self.waves[a * m..(a + 1) * m], at));
                let (pr, pi) = (pr.times(w), pi.times(w));
                gather(pr.times_plus(xr, pi.times(xi)), &mut right[0], at);
                gather(pi.taken_from(xr, pr.times(xi)), &mut right[1], at);
                for b in 0..=a {
                    let (qr, qi) = L::load_complex(&eight(&self.waves[b * m..(b + 1) * m], at));
                    gather(pr.times_plus(qr, pi.times(qi)).times(s), &mut square[pair], at);
                    pair += 1;
                }
            }
        }
    }
}

/// Add eight values to those from `at` on.
#[inline(always)]
fn gather<L: Lanes>(values: L, to: &mut [f32], at: usize) {
    let mut out = [0.0; LANES];
    values.plus(L::load(&eight(to, at))).store(&mut out);
    put(&out, to, at);
}
