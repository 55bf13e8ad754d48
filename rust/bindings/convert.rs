//! NumPy arrays to kernel types and back.

use crate::error::Error;
use crate::volume::Rotation;
use numpy::{Element, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// A contiguous view of an array of a known number of axes.
pub(super) fn contiguous<'a, T: Element>(
    array: &'a PyReadonlyArrayDyn<'_, T>,
    name: &'static str,
    axes: usize,
) -> PyResult<&'a [T]> {
    let shape = array.as_array().shape().to_vec();
    if shape.len() != axes {
        return Err(
            Error::bad_input(name, format!("of shape {shape:?}"), format!("{axes} axes are needed")).into()
        );
    }
    Ok(array
        .as_slice()
        .map_err(|_| Error::bad_input(name, "not C-contiguous", "use numpy.ascontiguousarray"))?)
}

/// A flat slice as fixed-size rows.
pub(super) fn rows<'a, T, const N: usize>(flat: &'a [T], name: &'static str) -> PyResult<&'a [[T; N]]> {
    let (rows, rest) = flat.as_chunks::<N>();
    if rest.is_empty() {
        return Ok(rows);
    }
    Err(Error::bad_input(name, format!("{} numbers", flat.len()), format!("rows of {N} are needed")).into())
}

/// A flat slice as rotations.
pub(super) fn rotations<'a>(flat: &'a [f32], name: &'static str) -> PyResult<&'a [Rotation]> {
    let (triples, rest) = flat.as_chunks::<3>();
    let (matrices, more) = triples.as_chunks::<3>();
    if rest.is_empty() && more.is_empty() {
        return Ok(matrices);
    }
    Err(Error::bad_input(name, format!("{} numbers", flat.len()), "3 × 3 matrices are needed").into())
}

/// Indices below `count`.
pub(super) fn indices(values: &[i32], name: &'static str, count: usize) -> PyResult<Vec<usize>> {
    let inside = |&v: &i32| usize::try_from(v).ok().filter(|&v| v < count);
    let all: Option<Vec<usize>> = values.iter().map(inside).collect();
    Ok(all.ok_or_else(|| Error::bad_input(name, "out of range", format!("0 to {} are there", count - 1)))?)
}
