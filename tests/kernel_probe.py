"""Call every kernel with mangled arguments and print what became of each call; `test_kernel_arguments` reads it.

python kernel_probe.py SEED CALLS

A line with the case is printed before each call, so that the last line tells what a process died of.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from single_rs import _core

N, SIZE, SHELL, PAD = 5, 16, 6, 2
WHOLE = (0, -1, 1, 2, 3, 7, 255, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**64 - 1, -(2**63), 10**30)
REAL = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, 1e38, 1e-308, -0.0, 3.5)
LEAVES_INFINITE = {"polish_poses": 4, "polish_poses_to_atoms": 4}  # errors of poses that a frame does not determine


def base_arguments() -> dict[str, list[Any]]:
    """Arguments that every kernel and method takes, by name."""
    rng = np.random.default_rng(0)
    f4 = np.float32
    plane = _core.HalfPlane(SIZE, 1, SHELL)
    m = len(plane)
    images = rng.normal(size=(N, SIZE, SIZE)).astype(f4)
    eyes = np.tile(np.eye(3, dtype=f4), (N, 1, 1))
    zeros, ones = np.zeros((N, 2), f4), np.ones(N, f4)
    pack = [images, zeros, 7.0, 1.0]
    posed = SimpleNamespace(
        spectra=plane.pack(*pack),
        plane=plane,
        weights=np.ones(m, f4),
        rotations=eyes,
        shifts=zeros,
        frame_of=np.arange(N, dtype=np.int32),
    )
    volume = _core.insert_slices(posed, ones, np.zeros(N, np.int32), 1, PAD)[0][0]
    atoms = (rng.normal(size=(7, 3)).astype(f4) * 2, np.ones(7, f4), None, np.ones((1, m), f4))
    reference = SimpleNamespace(
        atoms=atoms[0],
        heights=atoms[1],
        filter=np.ones(m, f4),
        volume=volume,
        pad=PAD,
        view_power=_core.tabulate_power(volume, plane, PAD, np.ones(m, f4), 5.0),
    )
    plan = SimpleNamespace(window=2, climbers=3, finalists=2, climb=(2, 4), same=0.05, inverse_temperature=0.5)
    # Every frame has a candidate of its own and one that is turned by a quarter.
    turned = np.stack([np.eye(3), [[0, -1, 0], [1, 0, 0], [0, 0, 1]]]).astype(f4)
    pool = SimpleNamespace(
        **{
            **vars(posed),
            "rotations": np.tile(turned, (N, 1, 1)),
            "shifts": np.zeros((2 * N, 2), f4),
            "frame_of": np.repeat(np.arange(N, dtype=np.int32), 2),
        }
    )
    radii = [0.1, 0.2, 0.3]
    polar_power = [images, zeros, 7.0, 32, radii, np.ones((SIZE, SIZE // 2 + 1), f4)]
    polar = _core.polar_power(*polar_power)
    axes = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], f4)
    merge = [polar, radii, SIZE, [3, 2], axes]
    spectra = (rng.normal(size=(N, 2, 6)) + 1j).astype(np.complex64)
    k = np.full((2, 6, 2), 0.1, f4)
    chunk = spectra[:, 0].copy()
    normal = np.eye(6) * 3
    states = np.tile(np.array([1, 0, 0, 0], f4), (N, 2, 1))
    one = np.array([[1, 0, 0, 0]], f4)
    which = np.zeros(N, np.int32)
    return {
        "HalfPlane": [SIZE, 1, SHELL],
        "HalfPlane.pack": pack,
        "IntensityMerge": merge,
        "IntensityMerge.merge": [eyes],
        "IntensityMerge.round": [_core.IntensityMerge(*merge).merge(eyes), 1.5],
        "correlate_rotations": [np.abs(volume), np.eye(3, dtype=f4) * 3, np.ones(3, f4), eyes],
        "factor_normal": [normal],
        "index_frames": [polar, radii, rng.normal(size=(12, 3)).astype(f4), [1.0] * 12, 10.0, axes, 2],
        "index_in_intensity": [polar, radii, rng.random((21, 21, 21)).astype(f4), SIZE, axes[:2].copy(), 2],
        "insert_slices": [posed, ones, which, 1, PAD],
        "look_up_poses": [pool, reference, 2],
        "look_up_spacing": [plane],
        "map_from_sums": [volume, np.abs(volume), 0.1, 18, PAD],
        "model_filter_sums": [posed, ones, ones, atoms],
        "model_gain": [posed, atoms, 2, 1.0],
        "model_gradients": [posed, ones, atoms, which, 1, 0.1],
        "model_normal": [plane, atoms, eyes, np.ones(m, f4), np.ones((64, 2), f4), 0.5],
        "motion_accumulate_pixels": [images, *np.zeros((2, SIZE, SIZE)), np.zeros((SIZE, SIZE), f4)],
        "motion_accumulate_reference": [
            spectra, np.zeros((N, 2)), k, np.ones(N), np.zeros((2, 6), np.complex128), np.zeros((2, 6)),
        ],
        "motion_chunk_velocity": [chunk, np.arange(N, dtype=np.int64), k[0].copy(), np.ones(6, f4), 0.5],
        "motion_frame_statistics": [images, np.zeros((SIZE, SIZE), bool), 0.0, 1e6],
        "motion_repair": [images, np.zeros((SIZE, SIZE), bool), 10.0],
        "motion_shift_score": [spectra, np.zeros((N, 2)), k, np.zeros((2, 6), np.complex64)],
        "motion_smooth": [np.zeros((N, 2)), np.ones((N, 3)) * [1, 0, 1]],
        "motion_tile_spectra": [
            images, np.zeros((N, 3, 2), np.int64), 8, np.array([[1, 0], [1, 1], [2, 0]], np.uint32),
        ],
        "motion_track_chunks": [chunk, np.zeros((N, 2)), k[0].copy(), np.ones(6, f4), 2.0],
        "normal_blocks": [normal],
        "polar_power": polar_power,
        "polish_poses": [posed, volume[None], PAD, which, 2, 0.1, 1.0],
        "polish_poses_to_atoms": [posed, atoms, 2, 0.1, 1.0, None, zeros[:, 0].copy()],
        "project_slices": [volume, plane, PAD, eyes],
        "score_poses": [posed, volume[None], PAD, which, 2, 1.0],
        "search_poses": [pool, reference, ones, np.zeros(2 * N, f4), plan],
        "shell_products": [volume, volume],
        "smooth_candidates": [states, np.zeros((N, 2), f4), one, one, 0.1, 0.01, 1.0],
        "solve_normal": [normal, np.ones((2, 6))],
        "tabulate_power": [volume, plane, PAD, np.ones(m, f4), 5.0],
        "transform_map": [np.ones((18, 18, 18), f4), volume.shape[2] - 1, PAD, True, None],
    }  # fmt: skip


def callable_of(name: str, base: dict[str, list[Any]]) -> Callable[..., Any]:
    """Return the function, class or bound method of this name."""
    owner, _, method = name.partition(".")
    thing = getattr(_core, owner)
    return getattr(thing(*base[owner]), method) if method else thing


def copied(value: Any) -> Any:
    """Return a copy that a kernel may write into."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, SimpleNamespace):
        return SimpleNamespace(**{k: copied(v) for k, v in vars(value).items()})
    return tuple(copied(v) for v in value) if isinstance(value, tuple) else value


def mangled_array(a: np.ndarray, r: random.Random) -> tuple[Any, str]:
    """Change shape, type, layout or numbers of an array."""
    kind = a.dtype.kind
    b = a.copy()
    match r.randrange(14):
        case 0:
            return a[:0], "first axis empty"
        case 1:
            return a.reshape(-1)[:0].reshape((0,) * a.ndim), "all axes empty"
        case 2:
            return a[..., :0], "last axis empty"
        case 3:
            return np.asfortranarray(np.concatenate([a, a], -1))[..., ::2], "not contiguous"
        case 4:
            odd = np.nan if kind in "fc" else np.iinfo(a.dtype).max if kind in "iu" else True
            b.reshape(-1)[r.randrange(a.size) :][:1] = odd
            return b, f"one {odd}"
        case 5:
            odd = r.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 0, 1e-45]) if kind in "fc" else r.choice([0, 1, 127])
            b[...] = odd
            return b, f"all {odd}"
        case 6:
            new = r.choice([np.float64, np.int32, np.int64, np.float32, np.complex64, np.bool_, np.uint8])
            return a.real.astype(new), f"type {new.__name__}"
        case 7:
            return a[None], "one axis more"
        case 8:
            return a.reshape(-1), "flat"
        case 9:
            return np.concatenate([a, a], 0), "twice as long"
        case 10:
            return np.concatenate([a, a], -1), "twice as wide"
        case 11:
            return np.zeros((), a.dtype), "no axis"
        case 12:
            return np.broadcast_to(a[:1], a.shape), "broadcast"
        case _:
            b.flags.writeable = False
            return b, "read only"


def mangled(value: Any, r: random.Random) -> tuple[Any, str]:
    """Change one argument into something odd."""
    if isinstance(value, SimpleNamespace):
        name = r.choice(sorted(vars(value)))
        new, said = mangled(getattr(value, name), r)
        return SimpleNamespace(**{**vars(value), name: new}), f"{name} {said}"
    if isinstance(value, tuple):
        place = r.randrange(len(value))
        new, said = mangled(value[place], r)
        return (*value[:place], new, *value[place + 1 :]), f"[{place}] {said}"
    if isinstance(value, np.ndarray):
        return mangled_array(value, r)
    if isinstance(value, list):
        odd = r.choice([float("nan"), 1e30, -5.0]) if isinstance(value[0], float) else r.choice([10**6, 2**62, -1])
        new = r.choice([[], value * 3, value[:1], value[::-1], [odd] * len(value)])
        return new, f"list {str(new)[:40]}"
    if isinstance(value, _core.HalfPlane):
        shells = r.choice([(16, 1, 3), (32, 1, 15), (16, 0, 7), (16, 5, 6)])
        return _core.HalfPlane(*shells), f"plane {shells}"
    if value is None:
        new = np.full((7, 6) if r.random() < 0.5 else 7, r.choice([np.nan, -1e30, 1e30, 0]), np.float32)
        return new, "given"
    new = not value if isinstance(value, bool) else r.choice(WHOLE if isinstance(value, int) else REAL)
    return new, str(new)


def arrays(result: Any) -> list[np.ndarray]:
    """Return the numbers of a result, array by array."""
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in arrays(part)]
    return [np.asarray(result)] if isinstance(result, (np.ndarray, float, int)) else []


def outcome(name: str, call: Callable[..., Any], arguments: list[Any]) -> str:
    """Call a kernel; return "sound", "not finite" or the error, type first and the notes on it last."""
    try:
        result = arrays(call(*arguments))
    except TypeError as error:  # NumPy's own, of two lines
        return " ".join(["TypeError:", *str(error).split(), *getattr(error, "__notes__", ())])
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    written = [a for a in arguments if isinstance(a, np.ndarray)] if name.startswith("motion_") and not result else []
    for place, a in enumerate([*result, *written]):
        wrong = np.isnan(a) if LEAVES_INFINITE.get(name) == place else ~np.isfinite(a)
        if wrong.any():
            return "not finite"
    return "sound"


def main(seed: int, calls: int) -> None:
    """Print a case and an outcome for each call."""
    base = base_arguments()
    for name, arguments in base.items():
        call = callable_of(name, base)
        print(json.dumps([name, "base"]), flush=True)
        print(json.dumps(outcome(name, call, [copied(a) for a in arguments])), flush=True)
        for i in range(calls):
            r = random.Random(f"{seed}/{name}/{i}")
            new, said = [copied(a) for a in arguments], ""
            for place in r.sample(range(len(new)), 1 if r.random() < 0.75 else min(2, len(new))):
                new[place], what = mangled(new[place], r)
                said += f"{place}: {what}; "
            print(json.dumps([name, said]), flush=True)
            print(json.dumps(outcome(name, call, new)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
