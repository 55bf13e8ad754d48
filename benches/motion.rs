//! Motion kernels on frames of 320 × 320 pixels; times are per frame.
//!
//! Limits. A tile of n² real pixels costs 2.5 n² log2(n²) flops: nine tiles of 160² make 8.4 Mflop, which at 4 Gflop/s of a
//! core (single precision, mixed radix) is 2.1 ms; the moments of a frame read 0.4 MB and touch 2 MB of sums,
//! 0.2 ms at 10 GB/s; the score of 9 × 1,000 coefficients is bound by one sine and cosine each, 0.1 ms.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, Array3};
use num_complex::Complex32;
use single_rs::motion::{accumulate_pixels, shift_score, tile_spectra};
use std::hint::black_box;

const FRAMES: usize = 8;
const SIZE: usize = 160;

fn movie() -> Array3<f32> {
    Array3::from_shape_fn((FRAMES, 320, 320), |(t, y, x)| ((t * 31 + y * 7 + x * 13) % 17) as f32)
}

fn kernels(c: &mut Criterion) {
    let frames = movie();
    let origins = Array3::from_shape_fn(
        (FRAMES, 9, 2),
        |(_, j, a)| if a == 0 { 80 * (j % 3) } else { 80 * (j / 3) } as i64,
    );
    let keep = Array2::from_shape_fn((9, 1000), |(_, i)| (i * 10) as u32);
    let mut group = c.benchmark_group("motion");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("tile_spectra", |b| {
        b.iter(|| tile_spectra(black_box(frames.view()), origins.view(), SIZE, keep.view()));
    });
    group.bench_function("accumulate_pixels", |b| {
        let (mut sum, mut square) = (Array2::zeros((320, 320)), Array2::zeros((320, 320)));
        let mut top = Array2::zeros((320, 320));
        b.iter(|| {
            accumulate_pixels(black_box(frames.view()), sum.view_mut(), square.view_mut(), top.view_mut())
        });
    });
    let spectra = Array3::from_elem((FRAMES, 9, 1000), Complex32::new(1.0, 0.5));
    let residual = Array2::from_elem((FRAMES, 2), 0.3);
    let frequency = Array3::from_elem((9, 1000, 2), 0.17_f32);
    let filter = Array2::from_elem((9, 1000), Complex32::new(1.0, -0.5));
    group.bench_function("shift_score", |b| {
        b.iter(|| shift_score(black_box(spectra.view()), residual.view(), frequency.view(), filter.view()));
    });
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
