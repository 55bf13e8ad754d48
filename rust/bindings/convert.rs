//! NumPy arrays and numbers of Python to kernel types and back.

use crate::check::agree;
use crate::error::{Error, Result};
use crate::volume::Rotation;
use numpy::{Element, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

/// A contiguous view of an array of a known number of axes.
pub(super) fn contiguous<'a, T: Element>(
    array: &'a PyReadonlyArrayDyn<'_, T>,
    name: &'static str,
    axes: usize,
) -> Result<&'a [T]> {
    let shape = array.shape();
    if shape.len() != axes {
        return Err(Error::bad_input(name, format!("of shape {shape:?}"), format!("{axes} axes are needed")));
    }
    array
        .as_slice()
        .map_err(|_| Error::bad_input(name, "not C-contiguous", "use numpy.ascontiguousarray"))
        .and_then(|values| {
            let (given, accepted) = ("not aligned in memory", "use numpy.require(…, requirements='A')");
            crate::check::accept(name, given, values.as_ptr().is_aligned(), accepted)?;
            Ok(values)
        })
}

/// Rows of `N` numbers of an array of two axes or more.
pub(super) fn rows<'a, T: Element, const N: usize>(
    array: &'a PyReadonlyArrayDyn<'_, T>,
    name: &'static str,
    axes: usize,
) -> Result<&'a [[T; N]]> {
    let flat = contiguous(array, name, axes)?;
    let shape = array.shape();
    if shape[axes - 1] != N {
        return Err(Error::bad_input(name, format!("of shape {shape:?}"), format!("rows of {N} are needed")));
    }
    Ok(flat.as_chunks::<N>().0)
}

/// An array (n, 3, 3) as rotations.
pub(super) fn rotations<'a>(
    array: &'a PyReadonlyArrayDyn<'_, f32>,
    name: &'static str,
) -> Result<&'a [Rotation]> {
    let flat = contiguous(array, name, 3)?;
    let shape = array.shape();
    if shape[1..] != [3, 3] {
        return Err(Error::bad_input(name, format!("of shape {shape:?}"), "3 × 3 matrices are needed"));
    }
    Ok(flat.as_chunks::<3>().0.as_chunks::<3>().0)
}

/// A square matrix, its values and its side.
pub(super) fn square<'a, T: Element>(
    array: &'a PyReadonlyArrayDyn<'_, T>,
    name: &'static str,
) -> Result<(&'a [T], usize)> {
    let flat = contiguous(array, name, 2)?;
    let side = array.shape()[1];
    agree(name, flat.len(), side * side)?;
    Ok((flat, side))
}

/// Indices below `count`.
pub(super) fn indices(
    array: &PyReadonlyArrayDyn<'_, i32>,
    name: &'static str,
    count: usize,
) -> Result<Vec<usize>> {
    let inside = |&v: &i32| usize::try_from(v).ok().filter(|&v| v < count).ok_or(v);
    let all: std::result::Result<Vec<usize>, i32> = contiguous(array, name, 1)?.iter().map(inside).collect();
    let there = || if count == 0 { "there is none".into() } else { format!("0 to {} are there", count - 1) };
    all.map_err(|wrong| Error::bad_input(name, format!("{wrong}, out of range"), there()))
}

/// A whole number of any size, saturated at the ends of 64 bits, so that the one that does not fit is refused by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(i64);

impl<'a, 'py> FromPyObject<'a, 'py> for Whole {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<i64>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                Ok(Self(if value.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            found => found.map(Self),
        }
    }
}

impl Whole {
    /// The number, which must not be negative; its upper bound is the kernel's to know.
    pub(super) fn get(self, name: &'static str) -> Result<usize> {
        usize::try_from(self.0).map_err(|_| Error::bad_input(name, self.0, "0 or more is needed"))
    }
}
