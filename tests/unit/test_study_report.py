"""Report, figures and status of studies of many shapes: what cannot be shown is said, and numbers are right."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from matplotlib.image import imread
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from benchmark.specs import Leaderboard
from studies._canvas import Scale, View, legible, style
from studies._contours import plane
from studies._figures import importances, pictures
from studies._outcomes import best, default_trial, goals, kind, si, trial_table
from studies._report import cost, summary, write_study
from studies._spec import StudySpec
from studies._status import duration, show_status, status
from studies._volume import volume

LR = "training.learning_rate"
SPACE: dict[str, Any] = {
    "alpha": FloatDistribution(0.05, 1.0),
    "rho": FloatDistribution(0.05, 1.2),
    LR: FloatDistribution(2e-5, 2e-3, log=True),
}
DEFAULT = {"alpha": 0.25, "rho": 0.25, LR: 2e-4}


def make_spec(**changes: Any) -> StudySpec:
    data = {
        "name": "a-study",
        "methods": ["sgl_adaptive"],
        "budget": "prunable_stored",
        "keep": [0.5],
        "search": list(SPACE),
        "pruner": {"name": "MedianPruner"},
        "trials": 12,
        "normalizer": "hindi",
    }
    several = len(changes.get("objectives", [])) > 1
    return StudySpec.parse({**data, **({"pruner": None} if several else {}), **changes}, "here")


def make_study(spec: StudySpec) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(study_name=spec.points()[0].name, directions=spec.directions)


def drawn(number: int) -> dict[str, float]:
    """Values spread over the space; 0: the default."""
    if number == 0:
        return dict(DEFAULT)
    part = [(number * step) % 1 for step in (0.618, 0.755, 0.431)]
    return {"alpha": 0.05 + 0.95 * part[0], "rho": 0.05 + 1.15 * part[1], LR: 2e-5 * 100 ** part[2]}


def add(study: optuna.Study, values: float | list[float] | None = None, **more: Any) -> None:
    """Add a trial: with values complete, else in the state given."""
    number = len(study.trials)
    state = more.pop("state", TrialState.COMPLETE)
    params = more.pop("params", drawn(number))
    space = more.pop("distributions", SPACE)
    attrs = {"cell": f"{number:016x}", "steps_trained": 60, "steps_program": 120, "seconds": 10.0 + number}
    attrs |= {"default": True} if number == 0 else {}
    told = {"values": values if isinstance(values, list) else [values]} if values is not None else {}
    waiting = {"params": {}, "distributions": {}} if state == TrialState.WAITING else {}
    attrs |= more.pop("attrs", {})
    study.add_trial(
        create_trial(
            state=state, **{"params": params, "distributions": space, **waiting}, user_attrs=attrs, **told, **more
        )
    )


def usual(spec: StudySpec | None = None, trials: int = 12) -> tuple[optuna.Study, StudySpec]:
    """A study of one objective in which everything happened that can happen to a trial."""
    spec = spec or make_spec()
    study = make_study(spec)
    for number in range(trials):
        at = drawn(number)
        rate = 0.05 + 0.3 * abs(at["alpha"] - 0.4) + 0.05 * abs(math.log10(at[LR]) + 3.3)
        add(study, rate, intermediate_values={60: 2 * rate, 80: 1.3 * rate})
    add(study, state=TrialState.PRUNED, intermediate_values={60: 0.9})
    add(study, state=TrialState.PRUNED, constraints={"budget": 1.0}, attrs={"message": "missed | by far"})
    add(study, state=TrialState.FAIL, attrs={"message": "loss is not finite"})
    add(study, state=TrialState.FAIL)
    add(study, state=TrialState.RUNNING)
    add(study, state=TrialState.WAITING)
    return study, spec


def several(count: int = 2, trials: int = 14) -> tuple[optuna.Study, StudySpec]:
    objectives = ["error", "params_stored", "speedup"][:count]
    spec = make_spec(objectives=objectives, budget="none", keep=[])
    study = make_study(spec)
    for number in range(trials):
        kept = 0.1 + 0.85 * drawn(number)["alpha"]
        add(study, [0.02 + 0.5 * (1 - kept) ** 2 + 0.003 * (number % 3), 1.5e6 * kept, 1.2 / kept][:count])
    return study, spec


# --- kinds ----------------------------------------------------------------------------------------------------------


def test_kinds_of_trials() -> None:
    study, _ = usual()
    found = [kind(trial) for trial in study.trials]
    assert found == ["complete"] * 12 + ["pruned", "infeasible", "failed", "lost", "running", "waiting"]


def test_complete_with_broken_constraint_is_infeasible_and_never_best() -> None:
    study, spec = usual()
    add(study, 0.0, constraints={"params_stored": 5.0})
    assert kind(study.trials[-1]) == "infeasible"
    assert View.of(study, spec).best[0].number != study.trials[-1].number
    assert View.of(study, spec).best[0].number == min(study.trials[:12], key=lambda trial: trial.value or 0).number


def test_last_looks_of_trials_without_a_value_are_no_values() -> None:
    """Optuna gives a pruned trial its last look as its value, be it pruned or one that missed its budget."""
    study, spec = usual()
    for constraints in ({}, {"budget": 1.0}):
        trial = study.ask(SPACE)
        trial.report(0.0001, 60)
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        study.tell(trial, state=TrialState.PRUNED)
        assert study.trials[-1].value == 0.0001
    view = View.of(study, spec)
    assert {trial.number for trial in view.valued} == set(range(12))
    assert {len(study.trials) - 1, len(study.trials) - 2} <= {trial.number for trial in view.valueless}
    assert view.best[0].number < 12


def test_default_that_lost_its_worker_is_the_one_put_up_again() -> None:
    study = make_study(make_spec())
    add(study, state=TrialState.FAIL)
    add(study, 0.2)
    add(study, 0.1, params=DEFAULT, attrs={"default": True})
    add(study, 0.3)
    found = default_trial(study.trials)
    assert found is not None and found.number == 2


def test_trial_table_has_one_row_a_trial_and_plain_columns() -> None:
    study, spec = usual()
    table = pd.read_csv(io.StringIO(trial_table(study, spec).to_csv(index=False)))
    assert table["trial"].tolist() == list(range(18))
    assert table["error"].notna().sum() == 12
    row = table.iloc[12]
    assert (row["kind"], row["last_look"], row["last_seen"]) == ("pruned", 60, 0.9)
    assert table["parameter.alpha"][3] == pytest.approx(drawn(3)["alpha"])
    assert table["excess.budget"][13] == 1.0
    assert trial_table(make_study(spec), spec).columns.tolist() == ["trial", "kind", "default", "error"]


# --- report -----------------------------------------------------------------------------------------------------------


def told(name: str, mean: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "cells": [name], "failure": "", "rates": [mean - 0.01, mean + 0.01], "mean": mean,
        "metric": "wer", "signature": "wer|hindi:2|word", "utterances": 300, **more,
    }  # fmt: skip


def make_final(best: str | None, *entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"split": "test", "seeds": [0, 1], "resamples": 1000, "steps": 120, "entries": list(entries), "best": best}


def gain(difference: float, lo: float, hi: float) -> dict[str, float]:
    return {"difference": difference, "lo": lo, "hi": hi, "p": 0.01}


def test_report_of_a_study_where_everything_happened(tmp_path: Path) -> None:
    study, spec = usual()
    best = View.of(study, spec).best[0].number
    final = make_final(
        f"trial {best}",
        told("dense", 0.01, difference=gain(-0.05, -0.06, -0.04)),
        told("default", 0.06),
        told(f"trial {best}", 0.05, difference=gain(-0.01, -0.02, -0.005)),
    )
    before = dict(mpl.rcParams)
    written = write_study(study, spec, tmp_path / "studies" / "a-study", final=final)
    assert dict(mpl.rcParams) == before
    names = {path.name for path in written}
    stems = ("history", "looks", "importance", "slice", "contour")
    assert names == {"study.md", "trials.csv", *(f"{stem}.{form}" for stem in stems for form in ("png", "svg"))}
    assert all(path.is_file() for path in written)
    for path in written:
        if path.suffix == ".png":
            assert imread(path)[..., :3].std() > 0.02, f"{path.name} is empty"
    text = written[0].read_text()
    assert "synthetic-hi (synthetic speech)" in text
    assert "prunable_stored@0.5" in text and "dev, its first 200 utterances" in text
    assert "TPESampler" in text and "MedianPruner; looks every 20 steps" in text
    assert f"trial {best} has 5.00 % against 6.00 %: −1.00 [−2.00, −0.50] points, fewer errors" in text
    assert re.search(r"\| infeasible +\| 1 +\| missed \\\| by far", text)
    assert "Not drawn" not in text
    assert set(re.findall(r"\]\((\S+\.png)\)", text)) <= names


def test_snippet_is_the_grid_of_a_leaderboard(tmp_path: Path) -> None:
    study, spec = usual()
    best = View.of(study, spec).best[0]
    write_study(study, spec, tmp_path)
    snippet = yaml.safe_load(re.search(r"```yaml\n(.*?)```", (tmp_path / "study.md").read_text(), re.DOTALL).group(1))  # type: ignore[union-attr]
    board = Leaderboard.parse(snippet, "the report")
    (row,) = board.grid
    assert row.methods[0].options == {"alpha": best.params["alpha"], "rho": best.params["rho"]}
    assert (row.budget, row.keep, board.training.learning_rate) == ("prunable_stored", [0.5], best.params[LR])


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((-0.02, -0.001), "fewer errors than the default"),
        ((0.001, 0.02), "more errors than the default"),
        ((-0.01, 0.02), "no difference to the default that could be told from chance"),
    ],
)
def test_summary_says_the_sign_of_the_test(interval: tuple[float, float], said: str) -> None:
    study, spec = usual()
    one = told("trial 3", 0.05, difference=gain(0.5 * sum(interval), *interval))
    text = summary(study, spec, make_final("trial 3", told("default", 0.06), one))
    assert text.splitlines()[0].startswith("study a-study: 15 of 12 trials (12 complete, 1 infeasible, 1 pruned")
    assert text.splitlines()[-1].endswith(f"{said}.")


def test_summary_of_a_failed_test_and_of_a_default_that_is_best() -> None:
    study, spec = usual()
    failed = told("trial 3", 0.05) | {"failure": "seed 1: out of memory"}
    text = summary(study, spec, make_final("trial 3", told("default", 0.06), failed))
    assert "cannot be compared with the default: trial 3 failed (seed 1: out of memory)" in text
    same = told("trial 0", 0.06, cells=["default"], difference=gain(0, 0, 0))
    assert "trial 0 is the default" in summary(study, spec, make_final("trial 0", told("default", 0.06), same))


def test_summary_of_a_front_counts_verdicts() -> None:
    study, spec = several()
    entries = [told("default", 0.06)]
    entries += [told(f"trial {n}", 0.05, difference=gain(0, lo, lo + 0.02)) for n, lo in ((1, -0.05), (2, 0.01))]
    text = summary(study, spec, make_final(None, *entries))
    assert "of 2 trials of the front, by their errors alone: 1 fewer errors than the default, 1 more errors" in text


def test_cost_says_what_sharing_saved() -> None:
    study = make_study(make_spec())
    add(study, 0.3)
    add(study, 0.3, attrs={"steps_trained": 0, "reused": True})
    assert "made: 60 of the 240" in cost(study.trials) and "75 % saved" in cost(study.trials)
    add(study, 0.3, attrs={"steps_trained": 0, "steps_program": 0})
    assert "made: 60 of the 240" in cost(study.trials)
    assert cost([]) == "No trial has an account of its training steps."


# --- shapes -----------------------------------------------------------------------------------------------------------


def nothing(_: optuna.Study) -> None:
    """No trial at all."""


def one(study: optuna.Study) -> None:
    add(study, 0.2)


def all_failed(study: optuna.Study) -> None:
    for _ in range(5):
        add(study, state=TrialState.FAIL, attrs={"message": "no memory"})


def all_pruned(study: optuna.Study) -> None:
    for _ in range(5):
        add(study, state=TrialState.PRUNED, intermediate_values={60: 0.9})


def all_missed(study: optuna.Study) -> None:
    for _ in range(5):
        add(study, state=TrialState.PRUNED, constraints={"budget": 1.0}, attrs={"message": "budget missed"})


def waiting(study: optuna.Study) -> None:
    add(study, state=TrialState.RUNNING)
    add(study, state=TrialState.WAITING)


BARE = {"none": nothing, "one": one, "failed": all_failed, "pruned": all_pruned, "missed": all_missed, "new": waiting}


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


def draw_all(study: optuna.Study, spec: StudySpec) -> dict[str, str]:
    """Lay all figures out, with warnings as errors; return the reasons of those that are not drawn."""
    reasons = {}
    with warnings.catch_warnings(), style():
        warnings.simplefilter("error")
        for picture in pictures(View.of(study, spec)):
            reasons[picture.stem] = picture.reason
            if not picture.reason:
                figure = picture.draw()
                figure.draw_without_rendering()
                assert any(ax.has_data() for ax in figure.axes), picture.stem
    return reasons


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


# --- hypervolume ------------------------------------------------------------------------------------------------------


def brute(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume that points (all minimised) leave behind, cell by cell of the grid that they span."""
    axes = [np.unique(np.append(np.minimum(points[:, axis], end), end)) for axis, end in enumerate(reference)]
    total = 0.0
    for corner in itertools.product(*(range(len(axis) - 1) for axis in axes)):
        low = np.array([axis[place] for axis, place in zip(axes, corner, strict=True)])
        high = np.array([axis[place + 1] for axis, place in zip(axes, corner, strict=True)])
        total += float(np.prod(high - low)) if (points <= low).all(axis=1).any() else 0.0
    return total


def test_hypervolume_is_the_share_of_the_box() -> None:
    study, spec = several(3)
    found = volume(spec, goals(spec), study.trials)
    assert found is not None
    points = np.array([trial.values for trial in study.trials]) * [1, 1, -1]  # speed is better the larger it is
    assert found.reference == [1.0, points[:, 1].max(), 0.0]
    box = 1.0 * points[:, 1].max() * -points[:, 2].min()
    assert found.shares[-1] == pytest.approx(brute(points, np.array(found.reference)) / box)
    assert found.shares[4] == pytest.approx(brute(points[:5], np.array(found.reference)) / box)
    assert found.shares == sorted(found.shares) and 0 < found.shares[-1] < 1


def test_reference_of_the_spec_holds() -> None:
    study, spec = several(2)
    spec = spec.model_copy(update={"reference": {"error": 0.5, "params_stored": 3e6}})
    found = volume(spec, goals(spec), study.trials)
    assert found is not None and found.reference == [0.5, 3e6] and set(found.sources) == {"the spec's reference"}


def test_no_hypervolume_without_a_box() -> None:
    study, spec = several(2, trials=0)
    assert volume(spec, goals(spec), study.trials) is None
    add(study, [0.1, 0.0])
    add(study, [0.2, 0.0])
    assert volume(spec, goals(spec), study.trials) is None
    assert "no box" in draw_all(study, spec)["hypervolume"]


def test_front_is_optunas() -> None:
    study, _ = several(2)
    add(study, [0.0, 1.0], constraints={"bytes": 1.0})
    assert {trial.number for trial in best(study.directions, study.trials)} == {one.number for one in study.best_trials}


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_counts_and_time_to_go() -> None:
    study, spec = usual(make_spec(trials=20))
    add(study, state=TrialState.RUNNING)
    found = status(study, spec)
    counts = {name: found[name] for name in ("asked", "done", "complete", "pruned", "infeasible", "failed", "lost")}
    assert counts == {"asked": 20, "done": 15, "complete": 12, "pruned": 1, "infeasible": 1, "failed": 1, "lost": 1}
    assert (found["running"], found["waiting"], found["workers"]) == (2, 1, 2)
    assert found["seconds_a_trial"] == 17.0  # of 10 to 24, all that count
    assert found["time_to_go"] == pytest.approx(5 * 17.0 / 2)
    best = min(study.trials[:12], key=lambda trial: trial.value or 0)
    assert found["best"][0]["trial"] == best.number and found["best"][0]["values"] == {"error": best.value}
    json.dumps(found)


def test_status_without_a_finished_trial_and_with_all_done() -> None:
    spec = make_spec(trials=1)
    study = make_study(spec)
    assert (status(study, spec)["time_to_go"], status(study, spec)["seconds_a_trial"]) == (None, None)
    add(study, 0.2)
    assert status(study, spec)["time_to_go"] == 0


def test_time_to_go_is_of_trials_that_were_carried_out_and_by_one_worker_where_none_is_at_it() -> None:
    spec = make_spec(trials=5)
    study = make_study(spec)
    for seconds, reused in ((60.0, False), (180.0, False), (0.1, True)):
        add(study, 0.2, attrs={"seconds": seconds, "reused": reused})
    found = status(study, spec)
    assert (found["seconds_a_trial"], found["time_to_go"]) == (120.0, 240.0)
    for console, busy in ((Console(width=200, file=io.StringIO()), busy) for busy in (False, True)):
        if busy:
            add(study, state=TrialState.RUNNING)
        show_status([status(study, spec)], console)
        assert ("4 min to go with one worker" in console.file.getvalue()) is not busy  # type: ignore[attr-defined]


def test_status_is_printed_as_a_table() -> None:
    study, spec = usual(make_spec(trials=20))
    empty = make_study(spec)
    console = Console(width=200, file=io.StringIO())
    show_status([status(study, spec), status(empty, spec)], console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "15 of 20" in text and "0 of 20" in text
    assert "none: no trial is feasible yet" in text and "WER on dev" in text
    assert "1 trial(s) lost their worker" in text


def test_small_texts() -> None:
    assert [duration(seconds) for seconds in (0, 1.26, 42, 750, 12000)] == [
        "0 s",
        "1.3 s",
        "42 s",
        "12 min",
        "3 h 20 min",
    ]
    assert [si(value) for value in (0.5, 9999, 12345, 1.5e6, 2e9)] == ["0.5", "9999", "12.35 k", "1.5 M", "2 G"]
