"""The verdict is never better than its evidence: what was not measured is named and doubted."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from single_rs.analysis.analyze import analyze
from single_rs.analysis.model import Particle
from single_rs.io.star import read_poses, write_poses
from single_rs.pipeline.verdict import LIMITS, ONE_SIDED, Verdict, judge
from single_rs.records import (
    Atoms,
    CleanStack,
    Contrast,
    Density,
    HalfDiagnostics,
    MateShare,
    PoseDiagnostics,
    Poses,
    StartDiagnostics,
)
from single_rs.simulate import nanocrystal

COUNT, BOX, PIXEL = 60, 32, 0.4
BRIGHT = Contrast("bright", 9.0)
ROTATIONS = Rotation.random(COUNT, random_state=3).as_matrix()

# Of a well solved particle.
MEASURED = PoseDiagnostics(
    engine="lattice",
    start=StartDiagnostics(spot_significance=3.8, continuity=0.7, lattice_constant=3.93),
    joining_lead=77.0,
    mate_lead=85.0,
    lead_over_others=20.0,
    jump_share=0.005,
)


@pytest.fixture(scope="module")
def model() -> Particle:
    positions = nanocrystal("Pt", 14.0, ragged=0.0, seed=1).positions
    unknown = np.full(len(positions), np.nan)
    return analyze(Atoms(positions, np.full(len(positions), "Pt"), unknown, unknown, unknown, unknown), "Pt")


def judged(
    model: Particle | None,
    diagnostics: PoseDiagnostics,
    element: str = "Pt",
    resolution: float = 0.87,
    rotations: NDArray[np.float64] = ROTATIONS,
    contrast: Contrast = BRIGHT,
) -> Verdict:
    images = np.zeros((COUNT, BOX, BOX), np.float32)
    clean = replace(CleanStack.bare(images, PIXEL, 8.0, 0.01), contrast=contrast)
    poses = replace(Poses.known(rotations, np.zeros((len(rotations), 2))), diagnostics=diagnostics)
    cube, shells = np.zeros((8, 8, 8), np.float32), np.zeros(5)
    return judge(clean, poses, Density(cube, cube, cube, PIXEL, shells, shells, resolution), model, element)


def test_each_reason_carries_its_limit_and_what_does_not_apply_is_named(model):
    verdict = judged(model, MEASURED)
    assert verdict.verdict == "solved"
    for words in (
        "lattice spots stand 3.8 sigma above scrambled spectra; 2.0 needed",
        "neighbouring frames agree by 0.70 more than distant ones; 0.15 needed",
        "1.00 of the frames have a clear pose; 0.60 needed",
        "0.99 of the steps from frame to frame are no jumps to another pose; 0.94 needed",
        "the half sets join with a lead of 77.0 nats per frame; 2.0 needed",
        "frames in their own poses lead those in others' by 20 nats; 5 needed",
        "the half maps agree to 0.87 Å; 1.20 Å needed",
        "no fallback engine was run, so that no second solution is compared",
        "no graphene stands out of the frames, so that it does not check the pixel size",
        "by the frames atoms are bright by 9.0 sigma; 4.0 needed",
        "6.0 times beyond 0.1 %, and 0.5 %, allowed",
        "from bulk Pt; 2.5 % and 5 sigma allowed",
    ):
        assert any(words in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("spot_significance", "not measured: how far lattice spots stand above scrambled spectra; 2.0 needed"),
        ("continuity", "not measured: how much more neighbouring frames agree than distant ones; 0.15 needed"),
        ("jump_share", "not measured: how many steps from frame to frame are jumps to another pose; 0.94 needed"),
        ("joining_lead", "not measured: by how much the best way to join the half sets leads; 2.0 needed"),
        ("mate_lead", "not measured: by how much poses lead their nearest symmetry mates; 1.0 needed"),
        (
            "lead_over_others",
            "not measured: lead in log-likelihood of frames in their own poses over those of others; 5 needed",
        ),
    ],
)
@pytest.mark.parametrize("value", [None, float("nan")])
def test_what_was_not_measured_is_a_doubt(model, name, words, value):
    start = name in {f.name for f in fields(StartDiagnostics)}
    less = (
        replace(MEASURED, start=replace(MEASURED.start, **{name: value}))
        if start
        else replace(MEASURED, **{name: value})
    )
    verdict = judged(model, less)
    assert (verdict.verdict, verdict.reasons) == ("doubtful", (words,))


def test_poses_of_another_program_are_doubtful_at_best_and_a_failed_test_still_fails(model, tmp_path):
    poses = Poses.known(ROTATIONS, np.zeros((COUNT, 2)))
    write_poses(tmp_path / "poses.star", poses, "stack.mrcs", PIXEL, BOX)
    read = read_poses(tmp_path / "poses.star").diagnostics
    verdict = judged(model, read)
    assert verdict.verdict == "doubtful"
    assert sum(reason.startswith("not measured: ") for reason in verdict.reasons) == len(LIMITS) - 2
    assert judged(model, read, resolution=2.0).verdict == "failed"
    assert judged(None, read).reasons[0] == "only 0 atoms stand out of the map; 30 are needed"


def test_without_a_bulk_nothing_is_compared(model):
    assert "no lattice of Ga is tabulated, so that none is compared" in judged(model, MEASURED, element="Ga").reasons


def test_the_constant_of_the_index_is_no_evidence(model):
    coarse = replace(MEASURED, start=replace(MEASURED.start, lattice_constant=4.5))
    assert judged(model, coarse).verdict == "solved"


@pytest.mark.parametrize(
    ("contrast", "expected", "words"),
    [
        (Contrast("dark", -9.0), "solved", "by the frames atoms are dark by 9.0 sigma; 4.0 needed"),
        (
            Contrast("bright", 2.1),
            "doubtful",
            "atoms are taken as bright, which the frames show by 2.1 sigma; 4.0 needed",
        ),
        (
            Contrast("dark", -1.0, stated=True),
            "solved",
            "atoms are dark as stated; by the frames they are by 1.0 sigma",
        ),
        (Contrast("dark", 8.0, stated=True), "doubtful", "the frames show bright ones by 8.0 sigma; 4.0 needed"),
    ],
)
def test_the_sign_of_the_contrast_must_be_shown_or_stated(model, contrast, expected, words):
    verdict = judged(model, MEASURED, contrast=contrast)
    assert verdict.verdict == expected
    assert any(words in reason for reason in verdict.reasons)


@pytest.mark.parametrize(("half_angle", "expected"), [(20, "doubtful"), (75, "solved")])
def test_views_from_one_side_are_doubtful_and_the_direction_is_named(model, half_angle, expected):
    rng = np.random.default_rng(2)
    tilt = np.radians(half_angle) * np.sqrt(rng.random(COUNT))
    views = Rotation.from_euler("ZXZ", np.stack([rng.uniform(0, 6, COUNT), tilt, rng.uniform(0, 6, COUNT)], 1))
    verdict = judged(model, MEASURED, rotations=views.as_matrix())
    assert verdict.verdict == expected
    assert any("lengths along [" in reason for reason in verdict.reasons)
    if expected == "doubtful":
        assert verdict.reasons[0].startswith("seen from too few sides: lengths along [")
        assert "1.00] are known" in verdict.reasons[0] or "0.9" in verdict.reasons[0]


@pytest.mark.parametrize(("shared", "expected"), [(0.0006, "solved"), (0.003, "doubtful")])
def test_what_limits_lengths_that_are_known_better_than_strain_is_no_doubt(model, shared, expected):
    """Many frames from all sides leave so little open that the ellipse of the magnification is most of it."""
    x = model.atoms.positions - model.atoms.positions.mean(axis=0)
    sharp = 1e-6 * np.eye(3)[None].repeat(len(x), 0)  # Å²
    atoms = replace(model.atoms, covariance=sharp, modes=(shared * x * [1.0, 0.0, 0.0])[None])
    verdict = judged(replace(model, atoms=atoms), MEASURED)
    assert verdict.verdict == expected
    (reason,) = (r for r in verdict.reasons if "lengths along [" in r)
    assert float(reason.split("%, ")[1].split(" times")[0]) > ONE_SIDED


def test_one_view_shows_no_length_along_it(model):
    verdict = judged(model, MEASURED, rotations=np.eye(3)[None].repeat(COUNT, 0))
    assert verdict.verdict == "doubtful"
    assert "no frame shows lengths along [" in verdict.reasons[0]


@pytest.mark.parametrize(("own", "expected"), [(0.95, "solved"), (0.61, "doubtful")])
def test_mates_that_fit_alike_are_named_with_their_shares(model, own, expected):
    mates = (MateShare(72.0, 0.0, 0.9 * (1 - own)), MateShare(180.0, 1.0, 0.1 * (1 - own)))
    halves = (HalfDiagnostics(own_share=own, mates=mates), HalfDiagnostics(own_share=0.99))
    verdict = judged(model, replace(MEASURED, own_share=own, halves=halves))
    assert verdict.verdict == expected
    (said,) = (reason for reason in verdict.reasons if "symmetry mate of it" in reason)
    assert said.startswith(f"{own:.2f} of the frames fit their own pose")
    assert f"{0.9 * (1 - own):.2f} one turned by 72°" in said
    assert said.endswith("one turned by 180° and seen from behind; 0.80 needed")
    # Poses that were moved by maps of other frames have no halves that say which mates.
    for without in ((), (HalfDiagnostics(), HalfDiagnostics())):
        verdict = judged(model, replace(MEASURED, own_share=own, halves=without))
        assert f"{own:.2f} of the frames fit their own pose and no symmetry mate of it; 0.80 needed" in verdict.reasons


def test_half_maps_that_nowhere_agree_fail(model):
    verdict = judged(model, MEASURED, resolution=np.inf)
    assert (verdict.verdict, verdict.reasons) == ("failed", ("the half maps agree to no period; 1.20 Å needed",))


@pytest.mark.parametrize(
    ("share", "lead", "expected", "words"),
    [
        (0.9, 0.01, "solved", "agree on 0.90 of the poses; 0.80 needed"),
        (0.4, 0.01, "doubtful", "agree on 0.40 of the poses; 0.80 needed"),
        (0.4, 0.2, "solved", "the better of two starts explains the frames by 20 % more"),
        (float("nan"), 0.01, "doubtful", "not measured: how far two starts agree; 0.80 needed"),
    ],
)
def test_two_starts_must_agree_unless_one_is_far_better(model, share, lead, expected, words):
    verdict = judged(model, replace(MEASURED, starts_agreement=share, starts_lead=lead))
    assert verdict.verdict == expected
    assert any(words in reason for reason in verdict.reasons)
