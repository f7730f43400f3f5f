"""A study from its records alone: what a lost storage held, as far as cells say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmark.errors import SpecError, StoreError
from benchmark.harness.tree import barren, grow
from benchmark.search import Parameter
from benchmark.store.records import Record, latest
from studies._loop import MISSED, cannot_be, how_far
from studies._objective import Judge, LacksError, dig
from studies._outcomes import REBUILT
from studies._run import checked, opened
from studies._seats import DEFAULT, MESSAGE
from studies._space import distributions, fit, trial_board
from studies._spec import Point, StudySpec


def rebuild(spec: StudySpec, point: Point, run: Path) -> optuna.Study:
    """Make the study anew in an empty storage: one trial a cell that it could have drawn, in the order of their time.

    Values, constraints and what a pruner saw on the way come from the records. Two trials of the same values were one
    cell, and are one trial here.

    Raises:
        SpecError: a study of that name is there.
        StoreError: no record fits.
    """
    found = checked(spec, point)
    trials = list(trials_of(spec, point, run, found))
    if not trials:
        raise StoreError(f"{run}: no record there is a trial of study {point.name!r}; give the folder it was run in")
    study = opened(spec, point, run, found, create=True)
    if study.get_trials(deepcopy=False):
        raise SpecError(
            f"study {point.name!r} has {len(study.trials)} trial(s) already; give the spec another name, or remove its "
            "storage first"
        )
    for trial in trials:
        study.add_trial(trial)
    return study


def trials_of(spec: StudySpec, point: Point, run: Path, found: Sequence[Parameter]) -> list[FrozenTrial]:
    """Return the trials that the records of a run folder stand for, by time."""
    corpus = trial_board(spec, point, found, {one.name: one.default for one in found}).corpus
    judge = Judge(spec, run, corpus)
    ours = []
    for record in sorted(latest(run), key=lambda record: record.attempt):
        values = drawn(spec, point, found, record)
        if values is not None:
            ours.append(_trial(record, values, found, judge))
    return ours


def drawn(spec: StudySpec, point: Point, found: Sequence[Parameter], record: Record) -> dict[str, Any] | None:
    """Return the values that give a record's cell; None where no values of this study do."""
    about = record.data["spec"]
    if (about.get("method") or {}).get("name") != point.method.name or not about.get("training"):
        return None
    values: dict[str, Any] = {}
    for one in found:
        home = about["training"] if one.path[0] == "training" else about["method"].get("options")
        value = dig(home, one.path[1:])
        values[one.name] = one.default if value is None else value
    if not fit(found, values):
        return None
    board = trial_board(spec, point, found, values)
    try:
        (path,) = grow(board).cells
    except SpecError:  # it made no program, and was recorded as such
        path = barren(board)
    return values if path.cell.id == record.cell else None


def _trial(record: Record, values: Mapping[str, Any], found: Sequence[Parameter], judge: Judge) -> FrozenTrial:
    """Return the trial that a record stands for."""
    seen = {int(step): float(rate) for step, rate in (record.data.get("watched") or {}).get("values", [])}
    one_objective = len(judge.spec.objectives) == 1
    attributes: dict[str, Any] = {"cell": record.cell, REBUILT: True}
    if all(values[one.name] == one.default for one in found):
        attributes[DEFAULT] = True
    state, told, constraints = TrialState.FAIL, None, {}
    if record.ok:
        try:
            told, constraints, state = judge.values(record), judge.excess(record), TrialState.COMPLETE
        except LacksError as error:
            attributes[MESSAGE] = str(error)
    elif record.data["status"] == "pruned":
        state = TrialState.PRUNED
        told = [seen[max(seen)]] if seen and one_objective else None  # as Optuna does when it stops a trial
    else:
        attributes[MESSAGE] = record.error
        if cannot_be(record):
            state, constraints = TrialState.PRUNED, {MISSED: how_far(record)}
    return optuna.trial.create_trial(
        state=state,
        values=told,
        params=dict(values),
        distributions=distributions(found),
        user_attrs=attributes,
        intermediate_values=seen if one_objective else None,
        constraints=constraints or None,
    )
