//! What kernels take: finite numbers, proper rotations, sizes that fit the memory.
//!
//! Every check is one pass over its argument, and its error names the argument, what it is and what is accepted. The two
//! arrays that are as large as the work itself, spectra and volumes, are searched only when a result is not finite
//! ([`unsound`]): a number that is not finite ends up in every sum that it takes part in.

use crate::error::{Error, Result};
use crate::volume::Rotation;
use num_complex::{Complex32, Complex64};
use std::fmt::Display;
use std::hint::black_box;
use std::ops::RangeInclusive;

/// By how much an element of R Rᵀ may miss that of the identity: single precision is a hundred times better, and a
/// frequency of any volume that fits the memory stays within its last cell.
const ORTHONORMAL: f32 = 1e-4;

/// Farthest place or shift, px: beyond it single precision holds no tenth of a px.
const FARTHEST: f32 = 1e6;

/// Numbers that can be checked in bulk.
pub trait Number: Copy {
    /// 0 for a finite number, NaN for any other.
    fn nought(self) -> f32;
    /// Absolute value.
    fn magnitude(self) -> f64;
}

impl Number for f32 {
    fn nought(self) -> f32 {
        self * 0.0
    }
    fn magnitude(self) -> f64 {
        f64::from(self.abs())
    }
}

impl Number for f64 {
    fn nought(self) -> f32 {
        (self * 0.0) as f32
    }
    fn magnitude(self) -> f64 {
        self.abs()
    }
}

impl Number for Complex32 {
    fn nought(self) -> f32 {
        self.re * 0.0 + self.im * 0.0
    }
    fn magnitude(self) -> f64 {
        f64::from(self.re.abs()).max(f64::from(self.im.abs()))
    }
}

impl Number for Complex64 {
    fn nought(self) -> f32 {
        (self.re * 0.0 + self.im * 0.0) as f32
    }
    fn magnitude(self) -> f64 {
        self.re.abs().max(self.im.abs())
    }
}

/// Whether all numbers are finite.
#[must_use]
pub fn all_finite<T: Number>(values: &[T]) -> bool {
    const LANES: usize = 16;
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] += chunk[l].nought();
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|v| v.nought()).sum::<f32>() == 0.0
}

/// Largest magnitude of a real or imaginary part; NaN when one is.
#[must_use]
pub fn peak(values: &[Complex32]) -> f32 {
    // The bits of positive numbers are in their order, NaN last.
    let bits = |v: f32| v.to_bits() & 0x7fff_ffff;
    f32::from_bits(values.iter().fold(0, |top, v| top.max(bits(v.re)).max(bits(v.im))))
}

/// An argument that a result may have come to grief by.
pub trait Argument {
    /// Where the first number stands that is not finite.
    fn fault(&self) -> Option<usize>;
    /// Largest magnitude.
    fn largest(&self) -> f64;
}

impl<T: Number> Argument for &[T] {
    fn fault(&self) -> Option<usize> {
        self.iter().position(|v| v.nought() != 0.0)
    }
    fn largest(&self) -> f64 {
        self.iter().map(|v| v.magnitude()).fold(0.0, f64::max)
    }
}

fn not_finite(name: &'static str, at: usize) -> Error {
    Error::bad_input(name, format!("not finite at number {at}"), "finite numbers are needed")
}

/// Why a result is not finite: the first argument that is not, or else the one of the largest magnitude.
#[must_use]
pub fn unsound(arguments: &[(&'static str, &dyn Argument)]) -> Error {
    let mut worst = ("", 0.0);
    for &(name, values) in arguments {
        if let Some(at) = values.fault() {
            return not_finite(name, at);
        }
        let largest = values.largest();
        if largest >= worst.1 {
            worst = (name, largest);
        }
    }
    Error::bad_input(
        worst.0,
        format!("as large as {:.3e}", worst.1),
        "numbers whose sums stay finite are needed",
    )
}

/// Refuse numbers that are not finite.
///
/// # Errors
/// Where the first one stands.
pub fn finite<T: Number>(name: &'static str, values: &[T]) -> Result<()> {
    if all_finite(values) {
        return Ok(());
    }
    Err(not_finite(name, (&values).fault().unwrap_or(0)))
}

/// Refuse a value for which `sound` does not hold.
///
/// # Errors
/// What is accepted.
pub fn accept(name: &'static str, given: impl Display, sound: bool, accepted: &str) -> Result<()> {
    if sound { Ok(()) } else { Err(Error::bad_input(name, given, accepted)) }
}

/// Refuse a number that is not positive and finite.
///
/// # Errors
/// When it is not.
pub fn positive(name: &'static str, given: f32) -> Result<()> {
    accept(name, given, given > 0.0 && given.is_finite(), "a positive finite number is needed")
}

/// Refuse a number that is negative or not finite.
///
/// # Errors
/// When it is.
pub fn not_negative(name: &'static str, given: f32) -> Result<()> {
    accept(name, given, given >= 0.0 && given.is_finite(), "a finite number of at least 0 is needed")
}

/// Refuse numbers of which one is negative or not finite.
///
/// # Errors
/// Where the first one stands.
pub fn none_negative(name: &'static str, values: &[f32]) -> Result<()> {
    finite(name, values)?;
    match values.iter().position(|&v| v < 0.0) {
        None => Ok(()),
        Some(at) => Err(Error::bad_input(
            name,
            format!("{} at number {at}", values[at]),
            "numbers of at least 0 are needed",
        )),
    }
}

/// Refuse a count outside a range.
///
/// # Errors
/// When it is.
pub fn within(name: &'static str, given: usize, range: RangeInclusive<usize>) -> Result<()> {
    accept(name, given, range.contains(&given), &format!("{} to {} is accepted", range.start(), range.end()))
}

/// Check that an array has the number of values its partners call for.
///
/// # Errors
/// When it has not.
pub fn agree(name: &'static str, given: usize, needed: usize) -> Result<()> {
    if given == needed {
        return Ok(());
    }
    Err(Error::bad_input(name, format!("{given} values"), format!("{needed} are needed")))
}

/// Refuse what takes more memory, `bytes` in all, than there is, before any of it is taken.
///
/// # Errors
/// The memory that would be needed.
pub fn room(name: &'static str, given: impl Display, bytes: f64) -> Result<()> {
    // Asking costs nothing: no page of a reserved block is touched. The box keeps the compiler from leaving it out.
    let there = || black_box(Vec::<u8>::new()).try_reserve_exact(bytes as usize).is_ok();
    let accepted = format!("that takes {:.1} GB, more memory than there is", bytes * 1e-9);
    accept(name, given, bytes < isize::MAX as f64 && there(), &accepted)
}

/// Refuse matrices that are no proper rotations.
///
/// # Errors
/// The first one that is not.
pub fn rotations(name: &'static str, all: &[Rotation]) -> Result<()> {
    let near = |a: f32, b: f32| (a - b).abs() <= ORTHONORMAL;
    let proper = |r: &Rotation| {
        let dot = |a: &[f32; 3], b: &[f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let [x, y, z] = r;
        let third = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
        near(dot(x, x), 1.0)
            && near(dot(y, y), 1.0)
            && near(dot(x, y), 0.0)
            && (0..3).all(|i| near(third[i], z[i]))
    };
    match all.iter().position(|r| !proper(r)) {
        None => Ok(()),
        Some(at) => Err(Error::bad_input(
            name,
            format!("{:?} at number {at}", all[at]),
            format!("rotations are needed: R Rᵀ = 1 within {ORTHONORMAL}, determinant +1"),
        )),
    }
}

/// Refuse directions that are none, or no unit vectors.
///
/// # Errors
/// The first one that is not.
pub fn directions(name: &'static str, all: &[[f32; 3]]) -> Result<()> {
    accept(name, "empty", !all.is_empty(), "at least one is needed")?;
    let unit = |d: &[f32; 3]| (d.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() <= 10.0 * ORTHONORMAL;
    match all.iter().position(|d| !unit(d)) {
        None => Ok(()),
        Some(at) => {
            Err(Error::bad_input(name, format!("{:?} at number {at}", all[at]), "unit vectors are needed"))
        }
    }
}

/// Refuse places or shifts that are not finite or absurdly far.
///
/// # Errors
/// The first one.
pub fn places<const N: usize>(name: &'static str, all: &[[f32; N]]) -> Result<()> {
    match all.iter().position(|p| !p.iter().all(|v| v.abs() <= FARTHEST)) {
        None => Ok(()),
        Some(at) => Err(Error::bad_input(
            name,
            format!("{:?} at number {at}", all[at]),
            format!("finite numbers of px below {FARTHEST:e} are needed"),
        )),
    }
}
