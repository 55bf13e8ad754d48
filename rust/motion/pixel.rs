//! Pixels of a movie as the camera wrote them, and frames of them with bad pixels repaired.

use crate::check::accept;
use crate::error::{Error, Result};
use ndarray::{ArrayView2, ArrayViewMut3};
use rayon::prelude::*;

/// A count as it stands in the file.
pub trait Pixel: Copy + Send + Sync {
    /// The count in single precision.
    fn value(self) -> f32;
}

macro_rules! pixels {
    ($($kind:ty),*) => {$(
        impl Pixel for $kind {
            #[inline(always)]
            fn value(self) -> f32 {
                f32::from(self)
            }
        }
    )*};
}

pixels!(i8, u8, i16, u16, f32);

/// Bad pixels of frames of one size: what is repaired, and by which rule.
pub(super) struct Repair<'a> {
    bad: ArrayView2<'a, bool>,
    marked: Vec<(usize, usize)>,
    ceiling: f32,
}

impl<'a> Repair<'a> {
    pub(super) fn new(shape: (usize, usize), bad: ArrayView2<'a, bool>, ceiling: f32) -> Result<Repair<'a>> {
        let (ny, nx) = shape;
        if bad.dim() != (ny, nx) {
            let accepted = format!("one flag per pixel of frames of {ny} x {nx} is needed");
            return Err(Error::bad_input("bad", format!("{:?}", bad.dim()), accepted));
        }
        accept("ceiling", ceiling, !ceiling.is_nan(), "a number or infinity is needed")?;
        let marked = bad.indexed_iter().filter(|(_, bad)| **bad).map(|(at, _)| at).collect();
        Ok(Self { bad, marked, ceiling })
    }

    fn wrong(&self, y: usize, x: usize, v: f32) -> bool {
        self.bad[[y, x]] || !v.is_finite() || v > self.ceiling
    }

    /// Replaces wrong pixels by the mean of their good neighbours.
    ///
    /// The neighbourhood is 3 × 3 and grows by one ring at a time until it holds a good pixel; a frame without any is
    /// set to zero. Nothing else is touched.
    pub(super) fn apply(&self, frame: &mut [f32]) {
        let (ny, nx) = self.bad.dim();
        let most = self.ceiling.min(f32::MAX);
        let mut wrong = Vec::new();
        let mut marked = self.marked.iter().peekable();
        for (y, row) in frame.chunks_exact(nx).enumerate() {
            // A comparison with NaN is false, so that every value that is not finite is seen here.
            let sound = row.iter().fold(true, |sound, &v| sound & (v <= most) & (v >= f32::MIN));
            if sound {
                while let Some(&at) = marked.next_if(|at| at.0 == y) {
                    wrong.push(at);
                }
            } else {
                while marked.next_if(|at| at.0 == y).is_some() {}
                wrong.extend((0..nx).filter(|&x| self.wrong(y, x, row[x])).map(|x| (y, x)));
            }
        }
        let repaired: Vec<f32> =
            wrong.iter().map(|&(y, x)| self.around(frame, y, x, wrong.len() == ny * nx)).collect();
        for (&(y, x), v) in wrong.iter().zip(repaired) {
            frame[y * nx + x] = v;
        }
    }

    /// Mean of the nearest good pixels; a frame of nothing but bad ones would make every search cover it whole.
    fn around(&self, frame: &[f32], y: usize, x: usize, hopeless: bool) -> f32 {
        let (ny, nx) = self.bad.dim();
        for ring in 1..=if hopeless { 1 } else { ny.max(nx) } {
            let (mut total, mut count) = (0.0_f64, 0_u32);
            for yy in y.saturating_sub(ring)..(y + ring + 1).min(ny) {
                for xx in x.saturating_sub(ring)..(x + ring + 1).min(nx) {
                    let v = frame[yy * nx + xx];
                    if !self.wrong(yy, xx, v) {
                        total += f64::from(v);
                        count += 1;
                    }
                }
            }
            if count > 0 {
                return (total / f64::from(count)) as f32;
            }
        }
        0.0
    }
}

/// Repairs frames (m, y, x): pixels marked in `bad` (y, x), above `ceiling` or not finite become the mean of their good
/// neighbours.
///
/// # Errors
/// Flags of other frames, or a ceiling that is no number.
pub fn repair(mut frames: ArrayViewMut3<f32>, bad: ArrayView2<bool>, ceiling: f32) -> Result<()> {
    let (_, ny, nx) = frames.dim();
    let repair = Repair::new((ny, nx), bad, ceiling)?;
    frames.outer_iter_mut().into_par_iter().for_each(|mut frame| match frame.as_slice_mut() {
        Some(values) => repair.apply(values),
        None => {
            let mut values: Vec<f32> = frame.iter().copied().collect();
            repair.apply(&mut values);
            frame.iter_mut().zip(values).for_each(|(to, v)| *to = v);
        }
    });
    Ok(())
}
