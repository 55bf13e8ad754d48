"""No argument makes a kernel panic, abort or give back numbers that are none: it refuses it by name in one line."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kernel_probe import base_arguments, callable_of
from single_rs import _core

PROBE = Path(__file__).with_name("kernel_probe.py")
CALLS = 60  # of each kernel: a second or two altogether
MEMORY = 6 << 30  # bytes of address space; an allocation beyond it aborts
REFUSAL = re.compile(r"ValueError: \w[\w ]* is [^\n]+; [^\n]+|TypeError: .+ while processing '\w+'")


def test_every_callable_of_the_extension_is_listed():
    names = {name for name in dir(_core) if not name.startswith("_") and callable(getattr(_core, name))}
    methods = {
        f"{owner}.{name}"
        for owner in names
        if isinstance(getattr(_core, owner), type)
        for name in vars(getattr(_core, owner))
        if not name.startswith("_") and callable(getattr(getattr(_core, owner), name))
    }
    nothing_to_mangle = {"threads", "HalfPlane.frequencies"}
    assert (names | methods) - nothing_to_mangle == set(base_arguments())


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pytest.mark.parametrize("seed", [1, 2])
def test_mangled_arguments_are_refused_or_answered(seed):
    done = subprocess.run(
        [sys.executable, str(PROBE), str(seed), str(CALLS)],
        env={**os.environ, "RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        preexec_fn=_limited,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]}: {done.returncode} {done.stderr}"
    cases = list(zip(lines[::2], lines[1::2], strict=True))
    bad = [(case, said) for case, said in cases if said != "sound" and not REFUSAL.fullmatch(said)]
    assert not bad, bad
    unsound = [(case, said) for case, said in cases if case[1] == "base" and said != "sound"]
    assert not unsound, unsound
    # The mangling is worth its time only when it meets both.
    kinds = Counter(said.split(":")[0] for _, said in cases)
    assert min(kinds["sound"], kinds["ValueError"], kinds["TypeError"]) > len(cases) / 20, kinds


def _with(arguments: list[Any], place: int | str, value: Any) -> list[Any]:
    """Arguments with one replaced: its number, or an attribute of the first."""
    if isinstance(place, int):
        return [value if i == place else a for i, a in enumerate(arguments)]
    return [SimpleNamespace(**{**vars(arguments[0]), place: value}), *arguments[1:]]


NAN = float("nan")
POINTS = len(base_arguments()["look_up_spacing"][0])
REFUSED = [
    ("HalfPlane", 0, 2**31, r"box is 2147483648 px; .*16 to 4096"),
    ("HalfPlane", 0, -1, "size is -1; 0 or more"),
    ("HalfPlane.pack", 1, np.full((5, 2), NAN, np.float32), r"centres is \[NaN, NaN\]; finite offsets"),
    ("HalfPlane.pack", 2, NAN, "radius is NaN; a positive finite number"),
    ("index_frames", 1, [-5.0], r"radii is \[-5.0\]; rings from above 0 to 0.5"),
    ("index_frames", 1, [0.1, 0.2, 1e30], r"radii is .*1e30\]; rings from above 0 to 0.5"),
    ("index_frames", 5, np.zeros((0, 3), np.float32), "directions is empty; at least one"),
    ("index_frames", 5, np.full((3, 3), 2, np.float32), r"directions is \[2.0, 2.0, 2.0\] at number 0; unit vectors"),
    ("index_frames", 6, 0, "count is 0; 1 to 6"),
    ("index_frames", 6, 2**31, "count is 2147483648; 1 to 6"),
    ("IntensityMerge", 4, np.zeros((0, 3), np.float32), "directions is empty"),
    ("insert_slices", 2, np.array([0, 0, 5, 0, 0], np.int32), "groups is group 5 of 1; 0 to 0"),
    ("model_gradients", 3, np.array([0, 0, 5, 0, 0], np.int32), "groups is group 5 of 1; 0 to 0"),
    ("insert_slices", 3, 0, "group_count is 0; 1 to"),
    ("insert_slices", 3, 2**31 - 1, r"group_count is 2147483647; that takes .* GB, more memory than there is"),
    ("insert_slices", 3, 2**40, "group_count is 1099511627776; 1 to 2147483647"),
    ("insert_slices", "rotations", np.tile(10 * np.eye(3, dtype=np.float32), (5, 1, 1)), r"rotations is \[\[10.0"),
    ("insert_slices", "rotations", np.tile(-np.eye(3, dtype=np.float32), (5, 1, 1)), "rotations is .*determinant"),
    ("insert_slices", "shifts", np.full((5, 2), np.inf, np.float32), r"shifts is \[inf, inf\] at number 0"),
    ("insert_slices", "weights", np.full(POINTS, NAN, np.float32), "weights is not finite at number 0"),
    ("insert_slices", "spectra", np.full((5, POINTS), NAN, np.complex64), "spectra is not finite at number 0"),
    ("insert_slices", "spectra", np.full((5, POINTS), 3e38, np.complex64), r"spectra is as large as 3\.000e38"),
    ("model_gain", "spectra", np.full((5, POINTS), NAN, np.complex64), "spectra is not finite at number 0"),
    ("motion_chunk_velocity", 4, 1e38, "fastest is 10{38}; above 0 to 100 px per frame"),
    ("motion_frame_statistics", 1, NAN, "low is NaN and high .*; two finite numbers"),
    ("motion_local_variance", 3, np.full((12, 12), NAN, np.float32), "gain is not finite"),
    ("motion_local_variance", 4, 2**31, "cell is 2147483648; 1 to"),
    ("motion_local_variance", 5, 2**31, "margin is 2147483648 px with cells of 2 px"),
    ("motion_tile_spectra", 2, 2**31, "tile size is 2147483648; 8 to"),
    ("polish_poses", 4, 2**31, "iterations is 2147483648; 0 to 1000"),
    ("score_poses", 5, 0.0, "spacing is 0; a positive finite number"),
    ("smooth_candidates", 0, np.zeros((5, 0, 4), np.float32), "emission is 10 values; 0 are needed"),
    ("smooth_candidates", 1, np.full((5, 2), -np.inf, np.float32), "emission is not finite in a frame"),
    ("solve_normal", 0, np.zeros((6, 6)), "factor is 0 on its diagonal at row 0; a Cholesky factor"),
]


@pytest.mark.parametrize(
    ("name", "place", "value", "said"), REFUSED, ids=[f"{name}-{place}" for name, place, *_ in REFUSED]
)
def test_the_argument_is_named(name, place, value, said):
    base = base_arguments()
    with pytest.raises(ValueError, match=f"^{said}"):
        callable_of(name, base)(*_with(base[name], place, value))
