"""The loop of one worker: take the next trial of a study, carry it out, tell what came of it, until enough are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.trial import TrialState

from benchmark.errors import BudgetMissedError, SpecError
from benchmark.harness.watch import Watch
from benchmark.search import Parameter
from benchmark.store.records import Record
from studies._locks import ask_lock
from studies._objective import Judge, LacksError
from studies._outcomes import kind, settled
from studies._seats import MESSAGE, SEAT, reclaim
from studies._space import suggest, trial_board
from studies._spec import Point, StudySpec
from studies._trial import Lab, Outcome

PAUSE = 1.0
"""Seconds between two looks at a study whose last trials are in the hands of others."""
MISSED = "budget"
"""The constraint that a missed budget breaks, and a configuration that makes no program."""
BY_ALL, BY_FAR = 1.0, 10.0
"""By how much they break it. Excesses are shares of their limits: samplers add them up, whatever their units."""

Say = Callable[[dict[str, Any]], None]


class TrialFailedError(Exception):
    """A configuration whose cell failed: told to Optuna as failed, and no reason to end the study."""


class Loop:
    """What one worker does; ``seat`` is the name of the lock that it holds as long as it lives."""

    def __init__(
        self,
        spec: StudySpec,
        point: Point,
        study: optuna.Study,
        found: Sequence[Parameter],
        *,
        lab: Lab,
        judge: Judge,
        seat: str,
        say: Say,
    ) -> None:
        self.spec, self.point, self.study, self.found = spec, point, study, list(found)
        self.lab, self.judge, self.seat, self.say = lab, judge, seat, say
        self.run: Path = lab.run
        self._lock = ask_lock(study._storage, self.run, study.study_name)
        self._trial: optuna.Trial | None = None
        self._broke = False

    def work(self) -> None:
        """Work until the study has as many finished trials as its spec asks for."""
        while True:
            self._lock.acquire()
            try:
                reclaim(self.study, self.run)
                trials = self.study.get_trials(deepcopy=False)
                left = self.spec.trials - len(settled(trials))
                if left <= 0:
                    return
                if left > sum(trial.state == TrialState.RUNNING for trial in trials):
                    self._one()
                    continue
            finally:
                if self._lock.is_locked:
                    self._lock.release()
            time.sleep(PAUSE)  # others have the last ones in hand; should one of them die, its trial is ours

    def _one(self) -> None:
        """Take one trial and bring it to its end."""
        self._trial, self._broke = None, False
        try:
            self.study.optimize(self._objective, n_trials=1, catch=(TrialFailedError,), callbacks=[self._ended])
        except (UpdateFinishedTrialError, ValueError, AssertionError):  # what Optuna says of a trial that has ended
            if not self._was_taken():
                raise
            assert self._trial is not None
            self.say({"lost": self._trial.number})

    def _was_taken(self) -> bool:
        """Whether others held this worker for dead (a machine that slept), and the trial in hand is put up again.

        The record of its cell is there for whoever works on it then.
        """
        if self._trial is None or self._broke:
            return False
        return self.study._storage.get_trial(self._trial._trial_id).state == TrialState.FAIL

    def _ended(self, _: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self.say(
            {
                "ended": trial.number,
                "state": trial.state.name,
                "values": trial.values if kind(trial) == "complete" else None,
            }
        )

    def _objective(self, trial: optuna.Trial) -> float | Sequence[float]:
        self._trial = trial
        try:
            self._sit_down(trial)
            return self._carried_out(trial)
        except (optuna.TrialPruned, TrialFailedError, UpdateFinishedTrialError):
            raise
        except BaseException:
            self._broke = True
            raise

    def _sit_down(self, trial: optuna.Trial) -> None:
        """Say whose trial this is, while nobody else looks; a trial with a seat has had a heartbeat too."""
        storage = self.study._storage
        if isinstance(storage, BaseHeartbeat) and is_heartbeat_enabled(storage):
            storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(SEAT, self.seat)
        self._lock.release()  # taken in ``work``

    def _carried_out(self, trial: optuna.Trial) -> float | Sequence[float]:
        values = suggest(trial, self.found)
        outcome = self.lab.carry_out(trial_board(self.spec, self.point, self.found, values), self._watch(trial))
        self._note(trial, outcome)
        values_of = self._told(trial, outcome.record)
        if not outcome.reused:
            self.judge.done(outcome.record)
        return values_of

    def _watch(self, trial: optuna.Trial) -> Watch | None:
        if self.spec.pruner is None:
            return None
        name = self.spec.pruner.name

        def look(step: int, rate: float) -> str | None:
            trial.report(rate, step)
            return f"{name}: {rate:.4f} at path step {step}" if trial.should_prune() else None

        looks = self.spec.looks
        return Watch(looks.every, looks.utterances, self.spec.normalizer, look, looks.after)

    def _note(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Keep with the trial which cell it was, and what it cost."""
        record = outcome.record
        noted = {
            "cell": record.cell,
            "reused": outcome.reused,
            "steps_trained": outcome.steps_trained,
            "steps_program": outcome.steps_program,
            "seconds": round(outcome.seconds, 2),
        }
        for name, value in noted.items():
            trial.set_user_attr(name, value)
        if outcome.reused and self.spec.pruner is not None:  # what it was like on its way was seen before
            for step, rate in self.judge.looks(record):
                trial.report(rate, step)

    def _told(self, trial: optuna.Trial, record: Record) -> float | Sequence[float]:
        """Return the values of a result, or raise what Optuna is to make of there being none."""
        if record.data["status"] == "pruned":
            raise optuna.TrialPruned(record.error)
        if not record.ok:
            if cannot_be(record):
                raise self._infeasible(trial, record)
            trial.set_user_attr(MESSAGE, record.error)
            raise TrialFailedError(record.error)
        try:
            values, excess = self.judge.values(record), self.judge.excess(record)
        except LacksError as error:
            trial.set_user_attr(MESSAGE, str(error))
            raise TrialFailedError(str(error)) from None
        for name, value in excess.items():
            trial.set_constraint(name, value)
        return values if len(values) > 1 else values[0]

    def _infeasible(self, trial: optuna.Trial, record: Record) -> optuna.TrialPruned:
        """Return what ends a trial without a value, marked so that TPE stays away from there.

        It does not look at failed trials; at pruned ones with a broken constraint it does.
        """
        trial.set_constraint(MISSED, how_far(record))
        trial.set_user_attr(MESSAGE, record.error)
        return optuna.TrialPruned(record.error)


def how_far(record: Record) -> float:
    """Return by how much a configuration that cannot be breaks ``MISSED``."""
    missed = (record.data.get("error") or {}).get("type") == BudgetMissedError.__name__
    return BY_ALL if missed else BY_FAR


def cannot_be(record: Record) -> bool:
    """Whether a failed record says that its configuration misses the budget, or makes nothing that could be tried."""
    return (record.data.get("error") or {}).get("type") in (BudgetMissedError.__name__, SpecError.__name__)
