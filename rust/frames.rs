//! Frames with poses of theirs, which most kernels take, and the groups that they are dealt to.
//!
//! A frame is a packed spectrum X on a [`HalfPlane`]; a pose is a rotation R and a shift t (px) of one of the frames, and
//! a frame may have any number of them. All frames share the weights w = 1/σ² of their frequencies. The invariants are
//! checked once, when the frames are put together, and hold in every kernel.

use crate::check::{self, Argument, accept, agree};
use crate::error::{Error, Result};
use crate::fourier::HalfPlane;
use crate::volume::Rotation;
use num_complex::Complex32;
use std::ops::Range;

/// Frames and poses that fit each other.
#[derive(Debug, Clone)]
pub struct PosedFrames<'a> {
    pub(crate) spectra: &'a [Complex32],
    pub(crate) plane: &'a HalfPlane,
    pub(crate) weights: &'a [f32],
    pub(crate) rotations: &'a [Rotation],
    pub(crate) shifts: &'a [[f32; 2]],
    pub(crate) frame_of: Vec<usize>,
    /// Number of frames.
    pub(crate) frames: usize,
    /// (e₁, e₂) of the magnification, which moves what belongs at (x, y) by e₁ (x, −y) + e₂ (y, x). The atomic model
    /// alone has it; what looks for poses or makes a density takes the images as they are.
    pub(crate) ellipse: [f32; 2],
}

/// The most that an image is longer one way than the other: more is no microscope.
const ROUNDEST: f32 = 0.1;

impl<'a> PosedFrames<'a> {
    /// Any number of poses of each frame: n · `plane.len()` values of `spectra`, `plane.len()` weights ≥ 0, and as many
    /// proper rotations as shifts and as numbers of the frames that they are poses of.
    ///
    /// # Errors
    /// What does not fit, by name.
    pub fn new(
        spectra: &'a [Complex32],
        plane: &'a HalfPlane,
        weights: &'a [f32],
        rotations: &'a [Rotation],
        shifts: &'a [[f32; 2]],
        frame_of: Vec<usize>,
    ) -> Result<Self> {
        let frames = spectra.len() / plane.len();
        agree("spectra", spectra.len(), frames * plane.len())?;
        agree("weights", weights.len(), plane.len())?;
        check::none_negative("weights", weights)?;
        check::rotations("rotations", rotations)?;
        agree("shifts", shifts.len(), rotations.len())?;
        check::places("shifts", shifts)?;
        agree("frame_of", frame_of.len(), rotations.len())?;
        if let Some(frame) = frame_of.iter().find(|&&f| f >= frames) {
            return Err(Error::bad_input("frame_of", format!("frame {frame} of {frames}"), below(frames)));
        }
        Ok(Self { spectra, plane, weights, rotations, shifts, frame_of, frames, ellipse: [0.0; 2] })
    }

    /// The same frames as a microscope took them whose magnification is an ellipse.
    ///
    /// # Errors
    /// Numbers that are not finite, or 0.1 and more.
    pub fn with_ellipse(self, ellipse: [f32; 2]) -> Result<Self> {
        let near = ellipse.iter().all(|e| e.abs() < ROUNDEST);
        accept("ellipse", format!("{ellipse:?}"), near, &format!("numbers below {ROUNDEST} are needed"))?;
        Ok(Self { ellipse, ..self })
    }

    /// One pose of each frame, in their order.
    ///
    /// # Errors
    /// What does not fit, by name.
    pub fn one_each(
        spectra: &'a [Complex32],
        plane: &'a HalfPlane,
        weights: &'a [f32],
        rotations: &'a [Rotation],
        shifts: &'a [[f32; 2]],
    ) -> Result<Self> {
        let every = (0..rotations.len()).collect();
        let posed = Self::new(spectra, plane, weights, rotations, shifts, every)?;
        posed.check_one_each()?;
        Ok(posed)
    }

    /// Refuse any but one pose of each frame, in their order.
    ///
    /// # Errors
    /// Another number of poses, or another order.
    pub fn check_one_each(&self) -> Result<()> {
        agree("frame_of", self.frame_of.len(), self.frames)?;
        let ordered = self.frame_of.iter().enumerate().all(|(i, &frame)| i == frame);
        accept("frame_of", "not 0, 1, 2, …", ordered, "one pose of each frame is needed")
    }

    /// Spectrum of a frame.
    pub(crate) fn spectrum(&self, frame: usize) -> &'a [Complex32] {
        &self.spectra[frame * self.plane.len()..(frame + 1) * self.plane.len()]
    }

    /// The poses of one frame after the other.
    ///
    /// # Errors
    /// Poses that do not come frame by frame.
    pub(crate) fn by_frame(&self) -> Result<Vec<Range<usize>>> {
        accept("frame_of", "not ascending", self.frame_of.is_sorted(), "sort the candidates by frame")?;
        let mut start = 0;
        let range = |chunk: &[usize]| {
            start += chunk.len();
            start - chunk.len()..start
        };
        Ok(self.frame_of.chunk_by(|a, b| a == b).map(range).collect())
    }

    /// Why a result is not finite.
    pub(crate) fn unsound(&self, others: &[(&'static str, &dyn Argument)]) -> Error {
        let mut arguments: Vec<(&'static str, &dyn Argument)> =
            vec![("spectra", &self.spectra), ("weights", &self.weights)];
        arguments.extend(others);
        check::unsound(&arguments)
    }
}

fn below(count: usize) -> String {
    if count == 0 { "there is none".to_string() } else { format!("0 to {} are there", count - 1) }
}

/// Frame by frame, the group that it is dealt to; a negative one leaves the frame out.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a> {
    pub(crate) of: &'a [i32],
    pub(crate) count: usize,
}

impl<'a> Groups<'a> {
    /// Groups of frames, each below `count`.
    ///
    /// # Errors
    /// No group at all, or one that there is not.
    pub fn new(of: &'a [i32], count: usize) -> Result<Self> {
        check::within("group_count", count, 1..=i32::MAX as usize)?;
        match of.iter().find(|&&g| g >= count as i32) {
            None => Ok(Self { of, count }),
            Some(group) => Err(Error::bad_input(
                "groups",
                format!("group {group} of {count}"),
                format!("{}, and a negative one leaves its frame out", below(count)),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Rotation;

    const EYE: Rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    fn refusal(rotation: Rotation, shift: [f32; 2], weight: f32, frame: usize) -> String {
        let plane = HalfPlane::new(16, 1, 6).expect("the shells fit the box");
        let (spectra, weights) = (vec![Complex32::default(); plane.len()], vec![weight; plane.len()]);
        PosedFrames::new(&spectra, &plane, &weights, &[rotation], &[shift], vec![frame])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mirror = EYE.map(|row| row.map(|v| -v));
        for (said, name) in [
            (refusal(EYE.map(|row| row.map(|v| 10.0 * v)), [0.0; 2], 1.0, 0), "rotations is [[10"),
            (refusal(mirror, [0.0; 2], 1.0, 0), "rotations is [[-1"),
            (refusal([[f32::NAN; 3]; 3], [0.0; 2], 1.0, 0), "rotations is [[NaN"),
            (refusal(EYE, [0.0, f32::INFINITY], 1.0, 0), "shifts is [0.0, inf] at number 0"),
            (refusal(EYE, [0.0; 2], -1.0, 0), "weights is -1 at number 0"),
            (refusal(EYE, [0.0; 2], f32::NAN, 0), "weights is not finite at number 0"),
            (refusal(EYE, [0.0; 2], 1.0, 3), "frame_of is frame 3 of 1; 0 to 0 are there"),
            (Groups::new(&[0, 5], 2).unwrap_err().to_string(), "groups is group 5 of 2; 0 to 1"),
            (Groups::new(&[0], 0).unwrap_err().to_string(), "group_count is 0"),
        ] {
            assert!(said.starts_with(name), "{said}");
        }
    }
}
