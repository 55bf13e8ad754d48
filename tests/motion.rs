//! Identities and properties of the motion kernels.

use ndarray::{Array1, Array2, Array3, array};
use num_complex::{Complex32, Complex64};
use proptest::prelude::*;
use single_rs::motion::{
    accumulate_pixels, accumulate_reference, best_drift, chunk_velocity, frame_statistics, local_median,
    local_variance, repair, shift_score, smooth_drift, tile_spectra, track_chunks,
};
use std::f32::consts::TAU;

/// Spectra (n, k) of one specimen at the given positions, without noise.
fn moving(frequency: &Array2<f32>, positions: &[(f32, f32)]) -> Array2<Complex32> {
    Array2::from_shape_fn((positions.len(), frequency.nrows()), |(t, i)| {
        let (dx, dy) = positions[t];
        let turn = -TAU * (frequency[[i, 0]] * dx + frequency[[i, 1]] * dy);
        Complex32::from_polar(1.0 + i as f32 * 0.1, turn + i as f32)
    })
}

/// Two rotated hexagons of reflections as of two graphene sheets at 0.36 Å pixels (period 6 px).
fn reflections() -> Array2<f32> {
    Array2::from_shape_fn((6, 2), |(i, axis)| {
        let angle = (i % 3) as f32 * TAU / 6.0 + if i < 3 { 0.1 } else { 0.4 };
        if axis == 0 { angle.cos() / 6.0 } else { angle.sin() / 6.0 }
    })
}

proptest! {
    #[test]
    fn a_shifted_tile_turns_its_phases(shift in 1_usize..6, seed in any::<u32>()) {
        // A periodic pattern under the same window at the shifted place has the same spectrum.
        let frame = Array2::from_shape_fn((48, 48), |(y, x)| {
            let v = (y as u32).wrapping_mul(2654435761).wrapping_add((x as u32).wrapping_mul(40503)).wrapping_add(seed);
            (v.wrapping_mul(2246822519) >> 20) as f32
        });
        let moved = Array2::from_shape_fn((48, 48), |(y, x)| if x >= shift { frame[[y, x - shift]] } else { 0.0 });
        let frames = ndarray::stack![ndarray::Axis(0), frame, moved];
        let keep = Array2::from_shape_fn((1, 9 * 16), |(_, i)| i as u32);
        let origins = array![[[8_i64, 8]], [[8 + shift as i64, 8]]];
        let x = tile_spectra(frames.view(), origins.view(), 16, keep.view()).unwrap();
        for i in 0..keep.ncols() {
            prop_assert!((x[[0, 0, i]] - x[[1, 0, i]]).norm() <= 1e-3 * x[[0, 0, 17]].norm().max(1.0));
        }
    }

    #[test]
    fn the_aligned_sum_of_one_specimen_is_coherent(dx in -5.0_f32..5.0, dy in -5.0_f32..5.0) {
        let k = reflections();
        let positions = [(0.0, 0.0), (dx, dy), (-dy, dx)];
        let x = moving(&k, &positions).insert_axis(ndarray::Axis(1));
        let residual = Array2::from_shape_fn((3, 2), |(t, a)| f64::from([positions[t].0, positions[t].1][a]));
        let mut sum = Array2::<Complex64>::zeros((1, 6));
        let mut power = Array2::<f64>::zeros((1, 6));
        let k3 = k.clone().insert_axis(ndarray::Axis(0));
        let ones = Array1::ones(3);
        accumulate_reference(x.view(), residual.view(), k3.view(), ones.view(), sum.view_mut(), power.view_mut()).unwrap();
        for i in 0..6 {
            prop_assert!((sum[[0, i]].norm_sqr() / 3.0 - power[[0, i]]).abs() < 1e-3 * power[[0, i]]);
        }
        // At the right shift the gradient vanishes.
        let filter = sum.mapv(|v| Complex32::new(v.re as f32, v.im as f32));
        let score = shift_score(x.view(), residual.view(), k3.view(), filter.view()).unwrap();
        for t in 0..3 {
            prop_assert!(score[[t, 0, 1]].hypot(score[[t, 0, 2]]) < 1e-3 * score[[t, 0, 0]]);
        }
    }

    #[test]
    fn a_constant_velocity_is_found(vx in -0.6_f32..0.6, vy in -0.6_f32..0.6) {
        let k = reflections();
        let positions: Vec<(f32, f32)> = (0..32).map(|t| (vx * t as f32, vy * t as f32)).collect();
        let times = Array1::from_iter(0..32_i64);
        let weight = Array1::ones(6);
        let x = moving(&k, &positions);
        let [x, y, clarity] = chunk_velocity(x.view(), times.view(), k.view(), weight.view(), 0.8).unwrap();
        // The grid has steps of 0.1 px per frame, and the parabola is good to a fifth of a step.
        prop_assert!((x - f64::from(vx)).abs() < 0.02 && (y - f64::from(vy)).abs() < 0.02, "{x} {y}");
        prop_assert!(clarity > 4.0);
    }

    #[test]
    fn smoothing_keeps_a_straight_line(x0 in -5.0_f64..5.0, v in -0.3_f64..0.3, jitter in 1e-3_f64..1.0) {
        let measured = Array2::from_shape_fn((60, 2), |(t, a)| x0 + if a == 0 { v } else { -v } * t as f64);
        let information = Array2::from_shape_fn((60, 3), |(t, i)| if t == 20 { 0.0 } else { [4.0, 1.0, 3.0][i] });
        let drift = smooth_drift(measured.view(), information.view(), jitter, 1e-3).unwrap();
        for (a, b) in drift.shifts.iter().zip(&measured) {
            prop_assert!((a - b).abs() < 1e-4);
        }
    }
}

#[test]
fn registers_are_told_apart_by_the_prediction() {
    // 20 px in all, three lattice periods, in steps of 1 px that the prediction misses by up to 0.5 px.
    let k = reflections();
    let positions: Vec<(f32, f32)> = (0..20).map(|t| (t as f32, 0.5 * t as f32)).collect();
    let x = moving(&k, &positions);
    let step = Array2::from_shape_fn((20, 2), |(t, a)| [1.0, 0.5][a] + 0.5 * (t as f64).sin());
    let found = track_chunks(x.view(), step.view(), k.view(), Array1::ones(6).view(), 2.4).unwrap();
    for (t, &(px, py)) in positions.iter().enumerate() {
        assert!((found[[t, 0]] - f64::from(px)).abs() < 0.1, "{t}: {}", found[[t, 0]]);
        assert!((found[[t, 1]] - f64::from(py)).abs() < 0.1, "{t}: {}", found[[t, 1]]);
    }
}

#[test]
fn the_likelihood_chooses_smoothness_from_the_data() {
    let information = Array2::from_shape_fn((200, 3), |(_, i)| [100.0, 0.0, 100.0][i]);
    // A fixed pattern of uniform values, standard deviation 0.1 px as the information says, around a sine.
    let noise = |t: usize, a: usize| {
        let v = (t as u32 * 2 + a as u32).wrapping_mul(2654435761);
        (f64::from(v ^ (v >> 15)) / f64::from(u32::MAX) - 0.5) * 0.1 * 12_f64.sqrt()
    };
    let truth = |t: usize| (t as f64 / 40.0).sin();
    let measured = Array2::from_shape_fn((200, 2), |(t, a)| truth(t) + noise(t, a));
    let drift = best_drift(measured.view(), information.view()).unwrap();
    let rms = |of: &Array2<f64>| {
        (of.indexed_iter().map(|((t, _), v)| (v - truth(t)).powi(2)).sum::<f64>() / of.len() as f64).sqrt()
    };
    assert!(rms(&measured) > 0.08);
    assert!(rms(&drift.shifts) < 0.045, "{}", rms(&drift.shifts));
}

#[test]
fn moments_and_repair() {
    let mut frames = Array3::from_shape_fn((3, 4, 5), |(t, y, x)| (t + 2 * y + 3 * x) as f32);
    let (mut sum, mut square) = (Array2::zeros((4, 5)), Array2::zeros((4, 5)));
    let mut top = Array2::from_elem((4, 5), f32::NEG_INFINITY);
    accumulate_pixels(frames.view(), sum.view_mut(), square.view_mut(), top.view_mut()).unwrap();
    assert_eq!((sum[[1, 2]], square[[1, 2]], top[[1, 2]]), (27.0, 245.0, 10.0));
    let none = Array2::from_elem((4, 5), false);
    let flat = Array3::from_elem((1, 4, 5), 3.0);
    assert_eq!(frame_statistics(flat.view(), 0.0, 9.0).unwrap(), array![[3.0, 0.0, 0.0, 0.0]]);
    // A linear image is its own neighbours' mean: repair restores it inside.
    let right = frames[[0, 2, 2]];
    frames[[0, 2, 2]] = f32::NAN;
    let before = frames.clone();
    repair(frames.view_mut(), none.view(), 100.0).unwrap();
    assert!((frames[[0, 2, 2]] - right).abs() < 1e-5);
    let changed = frames.iter().zip(&before).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 1);
}

#[test]
fn statistics_of_a_frame_are_those_of_the_textbook() {
    let frames =
        Array3::from_shape_fn((2, 150, 37), |(t, y, x)| ((t * 91 + y * y * 7 + x * x * 13) % 61) as u8);
    let found = frame_statistics(frames.view(), 2.0, 50.0).unwrap();
    for t in 0..2 {
        let v = |y: usize, x: usize| f64::from(frames[[t, y, x]]).clamp(2.0, 50.0);
        let all = (0..150).flat_map(|y| (0..37).map(move |x| (y, x)));
        let n = 150.0 * 37.0;
        let mean = all.clone().map(|(y, x)| v(y, x)).sum::<f64>() / n;
        let variance = all.clone().map(|(y, x)| (v(y, x) - mean).powi(2)).sum::<f64>() / n;
        let inner = all.filter(|&(y, x)| y < 149 && x < 36);
        let along_x: f64 = inner.clone().map(|(y, x)| (v(y, x) - mean) * (v(y, x + 1) - mean)).sum();
        let along_y: f64 = inner.map(|(y, x)| (v(y, x) - mean) * (v(y + 1, x) - mean)).sum();
        for (i, right) in
            [mean, variance, along_x / (n * variance), along_y / (n * variance)].iter().enumerate()
        {
            assert!(
                (found[[t, i]] - right).abs() < 1e-5 * right.abs().max(1.0),
                "{i}: {} {right}",
                found[[t, i]]
            );
        }
    }
}

#[test]
fn the_median_of_a_neighbourhood_is_its_middle_value() {
    let image =
        Array2::from_shape_fn((9, 21), |(y, x)| f64::from(((y * 37 + x * 101) * 2654435761) as u32 >> 8));
    let found = local_median(image.view()).unwrap();
    let mirror = |i: i64, n: i64| {
        (if i < 0 {
            -1 - i
        } else if i >= n {
            2 * n - 1 - i
        } else {
            i
        }) as usize
    };
    for ((y, x), v) in found.indexed_iter() {
        let mut around: Vec<f64> = (-2..3)
            .flat_map(|dy| (-2..3).map(move |dx| (dy, dx)))
            .map(|(dy, dx)| image[[mirror(y as i64 + dy, 9), mirror(x as i64 + dx, 21)]])
            .collect();
        around.sort_by(f64::total_cmp);
        assert_eq!(*v, around[12]);
    }
}

#[test]
fn tiles_give_the_variance_of_the_whole_frame() {
    // A short filter: differences of neighbours, whose response is even and real as 2 - cos - cos.
    let gain = |ny: usize, nx: usize| {
        Array2::from_shape_fn((ny, nx), |(y, x)| {
            2.0 - (TAU * y as f32 / ny as f32).cos() - (TAU * x as f32 / nx as f32).cos()
        })
    };
    let frames = Array3::from_shape_fn((3, 90, 75), |(t, y, x)| {
        (((t * 7919 + y * 104729 + x * 1299709) * 2654435761) as u32 >> 26) as u8 + 20
    });
    let mut bad = Array2::from_elem((90, 75), false);
    bad[[40, 33]] = true;
    let whole = local_variance(frames.view(), bad.view(), 1e9, gain(90, 75).view(), 3, 2).unwrap();
    let tiled = local_variance(frames.view(), bad.view(), 1e9, gain(32, 32).view(), 3, 2).unwrap();
    let alone =
        local_variance(frames.slice(ndarray::s![1..2, .., ..]), bad.view(), 1e9, gain(32, 32).view(), 3, 2)
            .unwrap();
    assert_eq!(whole.dim(), (3, 30, 25));
    for ((t, y, x), v) in whole.indexed_iter() {
        // The outermost cells wrap around, to the other side of the frame or of a tile.
        if (1..29).contains(&y) && (1..24).contains(&x) {
            assert!((v - tiled[[t, y, x]]).abs() < 1e-4 * v, "{t} {y} {x}: {v} {}", tiled[[t, y, x]]);
        }
    }
    assert_eq!(alone, tiled.slice(ndarray::s![1..2, .., ..]));
}

#[test]
fn bad_arguments_are_named() {
    let frames = Array3::zeros((1, 20, 20));
    let keep = Array2::from_elem((1, 1), 200_u32);
    let inside = array![[[0_i64, 0]]];
    let error = tile_spectra(frames.view(), inside.view(), 16, keep.view()).unwrap_err().to_string();
    assert!(error.contains("keep") && error.contains("144"), "{error}");
    let error = tile_spectra(frames.view(), inside.view(), 15, keep.view()).unwrap_err().to_string();
    assert!(error.contains("tile size is 15"), "{error}");
}
