"""The verdict is never better than its evidence: what was not measured is named and doubted."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from single_rs.analysis.analyze import analyze
from single_rs.analysis.model import Particle
from single_rs.io.star import read_poses, write_poses
from single_rs.pipeline.verdict import LIMITS, Verdict, judge
from single_rs.records import Atoms, CleanStack, Density, PoseDiagnostics, Poses, StartDiagnostics
from single_rs.simulate import nanocrystal

COUNT, BOX, PIXEL = 60, 32, 0.4

# Of a well solved particle.
MEASURED = PoseDiagnostics(
    engine="lattice",
    start=StartDiagnostics(spot_significance=3.8, continuity=0.7, lattice_constant=3.93),
    joining_lead=77.0,
    mate_lead=85.0,
    gain_over_others=20.0,
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
) -> Verdict:
    images = np.zeros((COUNT, BOX, BOX), np.float32)
    clean = CleanStack.bare(images, PIXEL, 8.0, 0.01)
    poses = replace(Poses.known(np.eye(3)[None].repeat(COUNT, 0), np.zeros((COUNT, 2))), diagnostics=diagnostics)
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
        "lattice constant 3.930 Å, +0.3 % from bulk Pt; 3.5 % allowed",
    ):
        assert words in verdict.reasons


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("spot_significance", "not measured: how far lattice spots stand above scrambled spectra; 2.0 needed"),
        ("continuity", "not measured: how much more neighbouring frames agree than distant ones; 0.15 needed"),
        ("jump_share", "not measured: how many steps from frame to frame are jumps to another pose; 0.94 needed"),
        ("joining_lead", "not measured: by how much the best way to join the half sets leads; 2.0 needed"),
        ("mate_lead", "not measured: by how much poses lead their nearest symmetry mates; 1.0 needed"),
        (
            "gain_over_others",
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
    poses = Poses.known(np.eye(3)[None].repeat(COUNT, 0), np.zeros((COUNT, 2)))
    write_poses(tmp_path / "poses.star", poses, "stack.mrcs", PIXEL, BOX)
    read = read_poses(tmp_path / "poses.star").diagnostics
    verdict = judged(model, read)
    assert verdict.verdict == "doubtful"
    assert sum(reason.startswith("not measured: ") for reason in verdict.reasons) == len(LIMITS) - 2
    assert judged(model, read, resolution=2.0).verdict == "failed"
    assert judged(None, read).reasons[0] == "only 0 atoms stand out of the map; 30 are needed"


def test_without_a_lattice_constant_bonds_are_compared_and_without_a_bulk_nothing_is(model):
    free = replace(MEASURED, start=replace(MEASURED.start, lattice_constant=None))
    bonds = judged(model, free).reasons[-1]
    assert bonds.startswith("bonds of 2.800 Å")
    assert bonds.endswith("from bulk Pt; 3.5 % allowed")
    assert judged(model, free, element="Pb").verdict == "failed"
    nothing = judged(model, MEASURED, element="Ga").reasons[-1]
    assert nothing == "no lattice of Ga is tabulated, so that none is compared"


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
