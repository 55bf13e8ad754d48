//! Looking candidates up in a filtered frame, 100 px box, shells 6 to 35, 600 atoms; the unit is an atom of a
//! candidate.
//!
//! Limits. A window of (2·s + 1)² shifts multiplies and adds a patch an atom: at s = 5 twelve rows of 16 values, 24
//! vectors of eight lanes, 48 instructions on two pipes, 8 ns at 3 GHz; at s = 1 four rows of 4 values, 1.3 ns. Where
//! the patch lies costs some 20 flop an atom and candidate, 1 ns in eight lanes. The four images (0.5 MB) fill the
//! second-level cache; a patch is 12 or 24 cache lines, 64 bytes each at 32 bytes a cycle: 8 to 16 ns. Filtering a
//! frame costs two transforms for each of four images, shared by all its candidates.
//!
//! A climb reads one line an atom and multiplies and adds ten moments of eight lanes, 20 instructions on two pipes, and
//! about 40 flop besides: 5 to 8 ns.

#[path = "../tests/common/mod.rs"]
mod common;

use common::Random;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use num_complex::Complex32;
use single_rs::fourier::HalfPlane;
use single_rs::frames::PosedFrames;
use single_rs::orient::atoms::AtomModel;
use single_rs::orient::lookup::look_up;
use single_rs::orient::power::{SlicePower, tabulate};
use single_rs::orient::search::{SearchPlan, search};
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
    let table = tabulate(&volume, &plane, &filter, 70.0).expect("made to fit");
    let power = SlicePower::new(volume, &plane, &filter, &table).expect("made to fit");
    let model = AtomModel::new(&positions, &heights, &filter, power).expect("made to fit");
    let (frame_of, starts) = (vec![0; CANDIDATES], vec![[0.0; 2]; CANDIDATES]);
    let posed = PosedFrames::new(&spectrum, &plane, &filter, &poses, &starts, frame_of).expect("made to fit");
    let mut group = c.benchmark_group("look_up");
    for steps in [0, 1, 3, 5] {
        group.throughput(Throughput::Elements((ATOMS * CANDIDATES) as u64));
        group.bench_function(BenchmarkId::new("steps", steps), |b| {
            b.iter(|| look_up(black_box(&posed), &model, steps));
        });
    }
    group.finish();
    // Forty of the candidates climb, three steps and four more for the better half: 300 slopes, give or take.
    let gain = [1.0];
    let prior = vec![0.0; CANDIDATES];
    for climb in [[0, 0], [3, 4]] {
        let plan = SearchPlan {
            window: 0,
            climbers: 40,
            finalists: 12,
            climb,
            same: 0.05,
            inverse_temperature: 1.0,
        };
        c.bench_function(&format!("search, {} steps", climb[0] + climb[1]), |b| {
            b.iter(|| search(black_box(&posed), &model, &gain, &prior, &plan));
        });
    }
    c.bench_function("tabulate", |b| b.iter(|| tabulate(black_box(&volume), &plane, &filter, 70.0)));
}

criterion_group!(benches, kernels);
criterion_main!(benches);
