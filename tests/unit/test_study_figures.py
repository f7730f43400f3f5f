"""Figures of studies of many shapes: what cannot be drawn is said; importances and contours are right."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies._canvas import Scale, View, legible
from studies._contours import plane
from studies._figures import importances, pictures
from studies._report import summary, write_study
from studies._status import status
from tests.trials import BARE, LR, SPACE, add, draw_all, drawn, make_spec, make_study, several, usual

# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", BARE)
def test_what_cannot_be_drawn_is_said_and_old_pictures_go(shape: str, tmp_path: Path) -> None:
    spec = make_spec()
    study = make_study(spec)
    BARE[shape](study)
    (tmp_path / "contour.png").write_bytes(b"of an earlier report")
    written = write_study(study, spec, tmp_path)
    text = written[0].read_text()
    reasons = re.findall(r"Not drawn: (.+)\.", text)
    assert len(reasons) == (4 if shape == "pruned" else 5)
    assert {path.stem for path in tmp_path.iterdir()} == {"study", "trials", *(["looks"] if shape == "pruned" else [])}
    assert "No test: " in text
    if shape != "one":
        expected = "No trial was begun" if shape == "none" else "No trial is feasible"
        assert expected in text and "No test: there is nothing to test" in text
        assert status(study, spec)["best"] == []
    json.dumps(status(study, spec))


def test_constant_objective() -> None:
    spec = make_spec()
    study = make_study(spec)
    for _ in range(12):
        add(study, 0.0)
    reasons = draw_all(study, spec)
    assert "same value" in reasons["importance"] and "same value" in reasons["contour"]
    assert not reasons["history"] and not reasons["slice"]


def test_infeasible_trials_alone_have_a_history_and_no_importance(tmp_path: Path) -> None:
    spec = make_spec(budget="none", keep=[], constraints={"density_nominal": 0.4}, pruner=None)
    study = make_study(spec)
    for number in range(6):
        add(study, 0.1 + 0.02 * number, constraints={"density_nominal": 0.1}, attrs={"message": ""})
    reasons = draw_all(study, spec)
    assert reasons["importance"] == "no feasible trial has a value" and not reasons["history"]
    assert "no trial is feasible" in summary(study, spec)


def test_one_parameter() -> None:
    spec = make_spec(search=["alpha"])
    study = make_study(spec)
    for number in range(6):
        add(study, 0.1 * number, params={"alpha": drawn(number)["alpha"]}, distributions={"alpha": SPACE["alpha"]})
    reasons = draw_all(study, spec)
    assert "one parameter" in reasons["importance"] and "two parameters" in reasons["contour"]


def test_choices_whole_numbers_and_odd_names() -> None:
    space = {
        "groups": CategoricalDistribution(["column", "row", "head and neuron", "$a$ | b", None]),
        "size_weighted": CategoricalDistribution([True, False]),
        "rounds": IntDistribution(1, 8),
        "lr $ अ": FloatDistribution(1e-6, 3e-6, log=True),
    }
    spec = make_spec(name="अध्ययन_1")
    study = make_study(spec)
    for number in range(10):
        params = {
            "groups": space["groups"].choices[number % 5],  # type: ignore[attr-defined]
            "size_weighted": number % 3 == 0,
            "rounds": 1 + number % 8,
            "lr $ अ": 1e-6 * (1 + 0.2 * number),
        }
        add(study, 0.1 + 0.05 * (number % 5), params=params, distributions=space)
    assert not any(reason for stem, reason in draw_all(study, spec).items() if stem != "looks")


def test_a_value_that_is_infinite_is_no_point_of_a_figure() -> None:
    study, spec = usual()
    add(study, math.inf)
    assert not any(draw_all(study, spec).values())
    assert [trial.number for trial in View.of(study, spec).valueless] == [12, 13, 14, 18]
    assert json.loads(json.dumps(status(study, spec), allow_nan=False))["done"] == 16


@pytest.mark.parametrize("count", [2, 3])
def test_several_objectives(count: int) -> None:
    study, spec = several(count)
    add(study, [0.0, 1.0, 9.0][:count], constraints={"params_nominal": 1.0})
    reasons = draw_all(study, spec)
    assert set(reasons) == {"front", "hypervolume", "importance", "slice", *(f"contour-{o}" for o in spec.objectives)}
    assert not any(reasons.values())


def test_several_objectives_write_their_files(tmp_path: Path) -> None:
    study, spec = several(2, trials=5)
    names = {path.name for path in write_study(study, spec, tmp_path)}
    assert {"front.png", "front.svg", "hypervolume.png", "contour-error.png", "contour-params_stored.svg"} <= names
    assert "Optuna prunes trials of one objective only" in (tmp_path / "study.md").read_text()


@pytest.mark.parametrize("shape", ["none", "one", "failed", "new"])
def test_several_objectives_with_nothing_to_show(shape: str, tmp_path: Path) -> None:
    spec = make_spec(objectives=["error", "params_stored"], budget="none", keep=[])
    study = make_study(spec)
    if shape == "one":
        add(study, [0.1, 1e6])
    else:
        BARE[shape](study)
    write_study(study, spec, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".md", ".csv"}


# --- importance, contours ---------------------------------------------------------------------------------------------


def test_importance_finds_the_parameter_that_counts_and_ignores_infeasible_trials() -> None:
    spec = make_spec()
    study = make_study(spec)
    for number in range(60):
        add(study, drawn(number)["rho"])
    found = importances(View.of(study, spec))
    assert next(iter(found["WER on dev"])) == "rho" and sum(found["WER on dev"].values()) == pytest.approx(1)
    for _ in range(30):  # broken constraints reward another parameter
        add(study, -drawn(len(study.trials))["alpha"], constraints={"params_stored": 1.0})
    assert importances(View.of(study, spec)) == found


def test_importance_of_what_is_better_the_larger_it_is() -> None:
    spec = make_spec(objectives=["error", "speedup"], budget="none", keep=[])
    study = make_study(spec)
    for number in range(60):
        at = drawn(number)
        add(study, [at["alpha"], 5.0 if at["rho"] > 1.0 else 1.0])
    found = importances(View.of(study, spec))
    assert next(iter(found["WER on dev"])) == "alpha" and next(iter(found["speed against dense"])) == "rho"
    assert list(found) == ["being on the front", "WER on dev", "speed against dense"]


def test_an_aim_whose_values_are_all_the_same_is_said_to_be_missing() -> None:
    spec = make_spec(objectives=["error", "params_stored"], budget="none", keep=[])
    study = make_study(spec)
    for number in range(20):
        add(study, [drawn(number)["alpha"], 1e6])
    (picture,) = (one for one in pictures(View.of(study, spec)) if one.stem == "importance")
    assert "parameters as stored has no panel" in picture.caption and not picture.reason


def test_plane_needs_points_that_span_one() -> None:
    x = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert plane(x, 2 * x, (0, 1), (0, 1)) is None
    assert plane(x, np.zeros(5), (0, 1), (0, 1)) is None
    assert plane(x[:3], np.array([0.0, 1.0, 0.0]), (0, 1), (0, 1)) is None
    assert plane(x, np.array([0.0, 1.0, 0.0, 1.0, 0.3]), (0, 1), (0, 1)) is not None


def test_scale_is_logarithmic_where_the_range_is() -> None:
    study, _ = usual()
    scale = Scale.of(LR, study.trials)
    assert scale.ends() == pytest.approx((math.log10(2e-5), math.log10(2e-3)))
    assert scale.at([2e-4]) == pytest.approx(math.log10(2e-4))


def test_signs_that_the_font_lacks_are_written_as_codes() -> None:
    assert legible("α = 1 %") == "α = 1 %"
    assert legible("अ1") == "\\u09051"
