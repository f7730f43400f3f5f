"""A study from its records alone: states, values, what was seen on the way, constraints, order, and what is not its."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState

from benchmark.errors import SpecError, StoreError
from benchmark.harness.tree import barren, grow
from benchmark.measure.scores import Normalised, scored
from benchmark.reading import parse_as
from benchmark.store.folders import open_run
from benchmark.store.records import Attempt, Record, records
from studies._loop import BY_ALL, BY_FAR, MISSED, Loop
from studies._objective import Judge
from studies._rebuild import drawn, rebuild, trials_of
from studies._run import checked, opened
from studies._seats import MESSAGE
from studies._space import default_values, space, trial_board
from studies._spec import StudySpec
from studies._trial import Lab
from tests.fake_runs import sentences, spoil

DATA: dict[str, Any] = {
    "name": "tried",
    "methods": ["sgl_adaptive"],
    "budget": "prunable_stored",
    "keep": [0.5],
    "search": ["alpha", "groups", "training.learning_rate"],
    "tune": {"split": "dev", "utterances": 20},
    "test": None,
    "training": {"steps": 6},
    "normalizer": "identity",
}
DEFAULT = {"alpha": 0.25, "groups": "structural", "training.learning_rate": 2e-4}
WATCHED = {"split": "dev", "utterances": 20, "signature": "x", "values": [[2, 0.9], [4, 0.7]]}


def spec(**changes: Any) -> StudySpec:
    return parse_as(StudySpec, {**DATA, **changes}, "a test")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return open_run(tmp_path / "run", create=True)


@pytest.fixture(autouse=True)
def stamps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Attempts are named in the order in which they are made, however quickly."""
    numbers = iter(range(1000))
    monkeypatch.setattr("benchmark.store.records.new_stamp", lambda: f"20260101T000000.{next(numbers):06d}Z-000000")
    return


def identity(asked: StudySpec, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return id and canonical form of the cell that values stand for."""
    point = asked.points()[0]
    (path,) = grow(trial_board(asked, point, space(asked, point), values)).cells
    return path.cell.id, path.cell.identity()


def put(run: Path, asked: StudySpec, values: Mapping[str, Any], data: Mapping[str, Any], error: float = 0.3) -> Record:
    """Commit an attempt at the cell of values; a result gets transcripts of about the given error."""
    cell, about = identity(asked, values)
    attempt, found = Attempt.create(run, cell, about), {**data, "spec": about}
    if data["status"] == "ok":
        texts = sentences("dev", 20)
        columns = {
            "id": [str(number) for number in range(20)],
            "reference": texts,
            "hypothesis": spoil(texts, error, np.random.default_rng(1)),
        }
        name = attempt.write_transcripts("synthetic-hi", "hi", "dev", columns)
        found["data"] = {"dev": {"hash": "x", "utterances": 20, "transcripts": name}}
    return attempt.commit(found)


def ok(**more: Any) -> dict[str, Any]:
    corpus = {"plan": {"nominal": 0.5, "stored": 0.5}, "counts": {"bytes": 1000, "params_nominal": 70}, "budget": {}}
    return {"status": "ok", "error": None, **corpus, **more}


def failed(kind: str) -> dict[str, Any]:
    return {"status": "failed", "error": {"type": kind, "message": "why"}}


PRUNED = {"status": "pruned", "error": None, "stopped": {"at": 4, "of": 6, "reason": "worse"}, "watched": WATCHED}


def found_in(run: Path, asked: StudySpec) -> list[FrozenTrial]:
    point = asked.points()[0]
    return trials_of(asked, point, run, space(asked, point))


# --- each kind of record ----------------------------------------------------------------------------------------------


def test_a_result_is_a_complete_trial_with_the_value_of_its_transcripts(run: Path) -> None:
    record = put(run, spec(), DEFAULT | {"alpha": 0.7}, ok(watched=WATCHED))
    (trial,) = found_in(run, spec())
    assert (trial.state, trial.params) == (TrialState.COMPLETE, DEFAULT | {"alpha": 0.7})
    assert trial.values == [scored(record, "dev", Normalised("identity")).main.rate] and 0.1 < trial.values[0] < 0.5
    assert trial.intermediate_values == {2: 0.9, 4: 0.7}
    assert trial.user_attrs == {"cell": record.cell, "rebuilt": True}


def test_the_default_configuration_is_known_again(run: Path) -> None:
    put(run, spec(), DEFAULT, ok())
    (trial,) = found_in(run, spec())
    assert trial.user_attrs["default"] and trial.intermediate_values == {}


def test_a_stopped_cell_is_a_pruned_trial_with_what_was_seen(run: Path) -> None:
    put(run, spec(), DEFAULT, PRUNED)
    (trial,) = found_in(run, spec())
    assert (trial.state, trial.values, trial.constraints) == (TrialState.PRUNED, [0.7], {})
    assert trial.intermediate_values == {2: 0.9, 4: 0.7}


@pytest.mark.parametrize("kind", ["BudgetMissedError", "SpecError"])
def test_what_cannot_be_is_infeasible(run: Path, kind: str) -> None:
    put(run, spec(), DEFAULT, failed(kind))
    (trial,) = found_in(run, spec())
    assert (trial.state, trial.values) == (TrialState.PRUNED, None)
    assert trial.constraints == {MISSED: BY_ALL if kind == "BudgetMissedError" else BY_FAR}
    assert trial.user_attrs[MESSAGE] == f"{kind}: why"


def test_a_failure_is_a_failed_trial_that_says_why(run: Path) -> None:
    put(run, spec(), DEFAULT, failed("ValueError"))
    (trial,) = found_in(run, spec())
    assert (trial.state, trial.user_attrs[MESSAGE]) == (TrialState.FAIL, "ValueError: why")


def test_a_result_that_lacks_the_objective_is_a_failed_trial(run: Path) -> None:
    asked = spec(objectives=["error", "density_nominal"])
    put(run, asked, DEFAULT, ok(plan={"stored": 0.5}))
    (trial,) = found_in(run, asked)
    assert trial.state == TrialState.FAIL and "says nothing of 'density_nominal'" in trial.user_attrs[MESSAGE]


def test_several_objectives_and_constraints_come_from_the_record(run: Path) -> None:
    asked = spec(objectives=["bytes", "density_stored"], constraints={"params_nominal": 50, "bytes": 3000})
    put(run, asked, DEFAULT, ok(watched=WATCHED))
    (trial,) = found_in(run, asked)
    assert trial.values == [1000, 0.5]
    of_their_limits = {"params_nominal": 70 / 50 - 1, "bytes": 1000 / 3000 - 1}
    assert trial.constraints == pytest.approx(of_their_limits)
    assert trial.intermediate_values == {}  # Optuna knows none with several objectives


def test_trials_are_in_the_order_of_their_records_and_each_cell_is_one(run: Path) -> None:
    alphas = [0.9, 0.1, 0.5]
    for alpha in alphas:
        put(run, spec(), DEFAULT | {"alpha": alpha}, failed("ValueError"))
    put(run, spec(), DEFAULT | {"alpha": 0.1}, ok())  # tried again, and done
    trials = found_in(run, spec())
    assert [trial.params["alpha"] for trial in trials] == [0.9, 0.5, 0.1]
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "COMPLETE"]


# --- what is not its --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ["random_structured"], "search": ["training.learning_rate"]},
        {"methods": [{"name": "sgl_adaptive", "options": {"rho": 0.9}}]},
        {"keep": [0.6]},
        {"seed": 1},
        {"tune": {"split": "dev", "utterances": 10}},
        {"training": {"steps": 8}},
        {"methods": ["dense"], "budget": "none", "keep": [], "search": ["split"]},
    ],
    ids=str,
)
def test_records_of_others_are_left_out(run: Path, changes: dict[str, Any]) -> None:
    other = spec(**changes)
    values = default_values(space(other, other.points()[0]))
    assert values is not None
    put(run, other, values, failed("ValueError"))
    assert found_in(run, spec()) == []
    with pytest.raises(StoreError, match="no record there is a trial of study 'tried'"):
        rebuild(spec(), spec().points()[0], run)
    assert not (run / "studies").exists()  # nothing was begun


def test_values_outside_the_space_are_not_of_this_study(run: Path) -> None:
    record = put(run, spec(), DEFAULT | {"alpha": 0.7, "groups": "column"}, failed("ValueError"))
    for search in ({"alpha": {"high": 0.6}, "groups": None}, {"alpha": None, "groups": ["structural", "head"]}):
        asked = spec(search={**search, "training.learning_rate": None})
        point = asked.points()[0]
        assert drawn(asked, point, space(asked, point), record) is None


# --- the study --------------------------------------------------------------------------------------------------------


def test_the_study_is_made_anew_and_can_go_on(run: Path) -> None:
    asked = spec(constraints={"bytes": 500})
    put(run, asked, DEFAULT, ok())
    put(run, asked, DEFAULT | {"alpha": 0.7}, PRUNED)
    put(run, asked, DEFAULT | {"alpha": 0.8}, failed("BudgetMissedError"))
    point = asked.points()[0]
    rebuild(asked, point, run)
    study = opened(asked, point, run, checked(asked, point), create=False)  # by whoever runs it next
    assert [(trial.number, trial.state.name) for trial in study.trials] == [
        (0, "COMPLETE"),
        (1, "PRUNED"),
        (2, "PRUNED"),
    ]
    assert study.trials[0].constraints == {"bytes": 1.0} and study.trials[2].constraints == {MISSED: BY_ALL}
    with pytest.raises(SpecError, match=r"study 'tried' has 3 trial\(s\) already"):
        rebuild(asked, point, run)
    assert len(study.get_trials()) == 3


# --- configurations that make no program ------------------------------------------------------------------------------

IMP: dict[str, Any] = {
    "methods": ["imp"],
    "budget": "prunable_nominal",
    "keep": [0.3],
    "search": ["rate", "round_share"],
    "training": {"steps": 100},
}
TOO_MANY = {"rate": 0.95, "round_share": 0.12}
RIDGE: dict[str, Any] = {"search": {"norm": None, "solver": None, "alpha": None}}
CLASH = {"norm": "frobenius_squared", "solver": "subgradient", "alpha": 0.5}
"""Refused by the method with solver = proximal, which is the default of the stored block."""


@pytest.mark.parametrize(
    ("changes", "values", "said"),
    [
        (IMP, TOO_MANY, "SpecError: imp: 24 rounds for keep 0.3 need more than the 100 training steps"),
        (RIDGE, CLASH | {"solver": "proximal"}, "SpecError: options of 'sgl_adaptive': value"),
    ],
    ids=["no program", "no options"],
)
def test_a_trial_that_makes_no_program_has_a_record_and_is_rebuilt_as_infeasible(
    run: Path, changes: dict[str, Any], values: dict[str, Any], said: str
) -> None:
    asked = spec(**changes, trials=1)
    point = asked.points()[0]
    found = checked(asked, point)
    study = opened(asked, point, run, found, create=True)
    study.enqueue_trial(values)
    lab, judge = Lab(run, 1, lambda _: None), Judge(asked, run, trial_board(asked, point, found, values).corpus)
    Loop(asked, point, study, found, lab=lab, judge=judge, seat="0-x", say=lambda _: None).work()
    (trial,), (record,) = study.trials, records(run)
    assert (trial.state, trial.constraints) == (TrialState.PRUNED, {MISSED: BY_FAR})
    assert trial.user_attrs[MESSAGE] == record.error and record.error.startswith(said)
    assert (trial.user_attrs["cell"], trial.user_attrs["steps_trained"]) == (record.cell, 0)
    (again,) = trials_of(asked, point, run, found)
    for name in ("state", "params", "constraints", "values", "intermediate_values"):
        assert getattr(again, name) == getattr(trial, name)
    assert again.user_attrs[MESSAGE] == trial.user_attrs[MESSAGE]


def test_the_same_refusal_is_recorded_once(run: Path) -> None:
    asked = spec(**IMP)
    point = asked.points()[0]
    board = trial_board(asked, point, space(asked, point), TOO_MANY)
    lab = Lab(run, 1, lambda _: None)
    assert lab.carry_out(board).record == lab.carry_out(board).record == records(run)[0]
    assert len(records(run)) == 1


def test_the_cell_of_what_makes_no_program_is_the_one_it_would_be(run: Path) -> None:
    """With a program, both ways lead to one id; and every other configuration has another."""
    asked = spec(**IMP)
    point = asked.points()[0]
    found = space(asked, point)
    possible = trial_board(asked, point, found, {"rate": 0.6, "round_share": 0.05})
    assert barren(possible).cell.id == grow(possible).cells[0].cell.id
    none = trial_board(asked, point, found, TOO_MANY)
    assert barren(none).cell.id != barren(trial_board(asked, point, found, TOO_MANY | {"rate": 0.94})).cell.id
    with pytest.raises(SpecError):
        grow(none)
