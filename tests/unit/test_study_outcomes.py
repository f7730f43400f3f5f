"""What came of a study: kinds of trials, its status, and the hypervolume of its front."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState
from rich.console import Console

from studies._canvas import View
from studies._outcomes import best, default_trial, goals, kind, si, trial_table
from studies._status import duration, show_status, status
from studies._volume import volume
from tests.trials import DEFAULT, SPACE, add, draw_all, drawn, make_spec, make_study, several, usual

# --- kinds ------------------------------------------------------------------------------------------------------------


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
