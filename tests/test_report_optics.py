"""The optics of a report: what the records of a run hold of the microscope, and nothing else."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest

from report_run import write_run
from single_rs.background import measure_pixel
from single_rs.records import Background
from single_rs.records.clean import Graphene
from single_rs.refine.types import Ellipse, RefinementSummary
from single_rs.report.files import read_run
from single_rs.report.optics import optics_card


def test_optics_are_what_the_records_hold(tmp_path: Path) -> None:
    particle = read_run(write_run(tmp_path / "run")).particles[0]
    facts = dict(optics_card(particle).lists[0].rows)
    assert facts["Atoms in the frames"] == "dark (by 9.7 sigma)"
    assert float(facts["Mean of the frames"].split()[0]) == pytest.approx(8.0, rel=0.1)  # the dose of the frames
    assert len(facts) == 2
    values = {field.name: 0.0 for field in fields(RefinementSummary) if field.default is MISSING}
    ellipse = Ellipse(0.00312, 0.01082, 1.2e-4, 9e-5, 0.0225, -37.0, known=True, corrected=True)
    refined = RefinementSummary(**{**values, "depth_spread": 21.0, "model_error_pm": 0.06, "ellipse": ellipse})
    sheets = [Graphene(6.3, 2.4612, (0.0, 0.0, 0.0), np.eye(2), np.ones((1, 2), int), np.ones(1))]
    particle.background = Background(0.36, 23.0, sheets, np.zeros(3, bool))
    particle.summary = replace(particle.summary, refinement=refined, pixel_size_by_graphene=measure_pixel(sheets, 0.36))
    facts = dict(optics_card(particle).lists[0].rows)
    told = facts["Ellipse of the magnification"]
    assert told == "2.25% longer at −37° from x (e₁ 0.312 ± 0.012%, e₂ 1.082 ± 0.009%); corrected"
    assert "21\xa0Å" in facts["Focus from frame to frame"]
    assert "0.06\xa0pm off" in facts["Focus through the particle"]
    assert facts["Graphene"] == "1 sheet: a = 2.461\xa0Å at 6.3°"
    assert "0.3600 ± 0.0004 Å" in facts["Pixel size by graphene"]
