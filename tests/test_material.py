"""What a particle is made of: symbols, formulas, and the settings that follow from a compound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from single_rs.atoms.support import nearest_neighbour_distance
from single_rs.base.errors import InputError
from single_rs.cli import main
from single_rs.crystal.material import check_material, elements_of
from single_rs.io import write_stack
from single_rs.orient import OrientConfig
from single_rs.orient.indexing.template import lattice_template
from single_rs.pipeline.config import Config
from single_rs.pipeline.material import check_resolved, lattice_seed, with_material
from single_rs.simulate.compounds import compound_ball, material_ball


def test_symbols_and_tabulated_compounds_are_accepted() -> None:
    for name in ("Pt", "Co", "CdSe", "PbS", "ZnO", "CeO2", "AuCu"):
        check_material(name)
    assert elements_of("Co") == ("Co",)  # cobalt, not carbon monoxide
    assert elements_of("CdSe") == ("Cd", "Se")


@pytest.mark.parametrize(
    ("name", "words"),
    [("pt", "did you mean Pt"), ("Xx", "give a symbol"), ("PtO", "not tabulated; give one of its elements")],
)
def test_others_are_refused_with_a_remedy(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_material(name)


@pytest.mark.parametrize(
    ("name", "structure", "nearest"),
    # Nearest distance between atoms of one kind: a √3/4 of diamond is the bond itself, a/√2 of fcc that of the metal.
    [("CdSe", "diamond", 6.05 * 3**0.5 / 4), ("PbS", "fcc", 5.9362 / 2**0.5), ("ZnO", "hcp", 3.2533)],
)
def test_the_search_gets_a_lattice_with_the_same_spots(name: str, structure: str, nearest: float) -> None:
    symbol, config = lattice_seed(name, OrientConfig())
    template = lattice_template(symbol, config.structure, config.lattice_constant)
    assert (symbol, template.structure) == (elements_of(name)[0], structure)
    assert template.spacing == pytest.approx(nearest)
    told = OrientConfig(structure="bcc", lattice_constant=3.0)
    assert lattice_seed(name, told)[1] == told
    assert lattice_seed("Pt", told) == ("Pt", told)


@pytest.mark.parametrize("name", ["PtFe", "Pt,Fe", "Fe Pt"])
def test_an_alloy_starts_with_the_mean_of_its_elements(name: str) -> None:
    """Atomic volumes of bulk: Pt 3.92³/4 = 15.06 Å³, Fe 2.87³/2 = 11.82 Å³; fcc, as FePt without order is."""
    formula = check_material(name)
    symbol, config = lattice_seed(formula, OrientConfig())
    assert symbol in ("Pt", "Fe")
    assert config.structure == "fcc"
    assert config.lattice_constant == pytest.approx((4 * (3.92**3 / 4 + 2.87**3 / 2) / 2) ** (1 / 3), abs=1e-3)
    assert set(with_material(formula, Config()).refine.elements) == {"Pt", "Fe"}
    assert nearest_neighbour_distance(formula) == pytest.approx(config.lattice_constant / 2**0.5, abs=1e-3)
    made = material_ball(formula, 18.0)
    assert set(made.symbols) == {"Pt", "Fe"}


def test_shares_of_a_formula_count() -> None:
    rich, poor = (lattice_seed(name, OrientConfig())[1].lattice_constant for name in ("Pt3Co", "PtCo3"))
    assert rich > poor


def test_the_elements_of_a_compound_are_told_apart() -> None:
    assert with_material("CdSe", Config()).refine.elements == ("Cd", "Se")
    assert with_material("Pt", Config()).refine.elements == ()


@pytest.mark.parametrize(("name", "bonds"), [("CdSe", 4), ("PbS", 6), ("ZnO", 4)])
def test_neighbours_in_a_ball_of_a_compound_are_of_the_other_element(name: str, bonds: int) -> None:
    ball = compound_ball(name, 16.0)
    tree = cKDTree(ball.positions)
    nearest = np.median(tree.query(ball.positions, k=2)[0][:, 1])
    pairs = tree.query_pairs(1.1 * nearest, output_type="ndarray")
    assert (ball.symbols[pairs[:, 0]] != ball.symbols[pairs[:, 1]]).all()
    assert np.bincount(pairs.ravel()).max() == bonds
    np.testing.assert_allclose(ball.positions.mean(axis=0), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("element", "most"), [("Pt", 1.13), ("Fe", 1.01), ("Si", 1.57), ("CdSe", 1.75), ("PtFe", 1.1), ("Co", 1.08)]
)
def test_pixels_that_cannot_show_the_lattice_are_refused_before_any_work(element, most):
    check_resolved(element, most - 0.03, OrientConfig())
    with pytest.raises(InputError, match=f"no frame shows the lattice of {element}, whose widest planes are"):
        check_resolved(element, most + 0.03, OrientConfig())
    check_resolved(element, 3.0, OrientConfig(lattice_constant=12.0))


def test_a_run_says_so(tmp_path, capsys):
    write_stack(tmp_path / "m.mrc", np.ones((4, 32, 48), np.int8), 0.4)
    words = ["run", str(tmp_path / "m.mrc"), "--element", "Pt", "--pixel-size", "1.5", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "at 1.5 Å per pixel no frame shows the lattice of Pt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
