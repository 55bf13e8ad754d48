//! Looking candidates up in a filtered frame, 100 px box, shells 6 to 35, 600 atoms; the unit is an atom of a candidate.
//!
//! Limits. A window of (2·s + 1)² shifts reads a patch of (2·s + 2)² values an atom and spends 2 flop on each to interpolate
//! along y and 4 on each to sum its left and right points: 384 flop at s = 3, 864 at s = 5. At 3 GHz and 16 flop a cycle
//! (two pipes of eight lanes) that is 8 and 18 ns. The image (78 kB) stays in the second-level cache; a patch is 8 or
//! 12 cache lines, 64 bytes each at 32 bytes a cycle: 5 and 8 ns. Filtering a frame costs two transforms, shared by all
//! its candidates.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Random;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::orient::lookup::{AtomModel, look_up};
use single_rs::orient::power::{SlicePower, tabulate};
use single_rs::volume::{FourierVolume, Rotation, reach_for, volume_len};
use std::hint::black_box;

const ATOMS: usize = 600;
const CANDIDATES: usize = 500;

fn kernels(c: &mut Criterion) {
    let plane = HalfPlane::new(100, 6, 35).expect("the shells fit the box");
    let mut random = Random(3);
    let positions: Vec<[f32; 3]> = (0..ATOMS).map(|_| random.in_ball(35.0).map(|v| v as f32)).collect();
    let heights = vec![1.0; ATOMS];
    let spectrum: Vec<Complex32> = (0..plane.len()).map(|_| random.complex()).collect();
    let filter = vec![1.0; plane.len()];
    let poses: Vec<Rotation> = (0..CANDIDATES).map(|_| random.rotation()).collect();
    let reach = reach_for(plane.max_shell, 2);
    let map: Vec<Complex32> = (0..volume_len(reach)).map(|_| random.complex()).collect();
    let volume = FourierVolume::new(&map, reach, 2).expect("the lengths fit");
    let table = tabulate(&volume, &plane, &filter);
    let power = SlicePower::new(volume, &plane, &filter, &table);
    let model = AtomModel::new(&positions, &heights, &filter, power);
    let (frame_of, starts) = (vec![0; CANDIDATES], vec![[0.0; 2]; CANDIDATES]);
    let mut group = c.benchmark_group("look_up");
    for steps in [0, 1, 3, 5] {
        group.throughput(Throughput::Elements((ATOMS * CANDIDATES) as u64));
        group.bench_function(BenchmarkId::new("steps", steps), |b| {
            b.iter(|| look_up(&spectrum, &plane, &model, black_box(&poses), &frame_of, &starts, steps));
        });
    }
    group.finish();
    c.bench_function("tabulate", |b| b.iter(|| tabulate(black_box(&volume), &plane, &filter)));
}

criterion_group!(benches, kernels);
criterion_main!(benches);
