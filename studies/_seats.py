"""Who is alive: each worker of a study holds a kernel file lock, which a dead process gives back."""

from __future__ import annotations

import copy
import secrets
import warnings
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.storages._heartbeat import is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState

from benchmark.store.files import write_atomically
from studies._locks import workers_folder

SEAT = "seat"
"""The attribute of a trial that says who works on it."""
DEFAULT = "default"
"""The attribute of the trial that is the default configuration."""
MESSAGE = "message"
"""The attribute of a trial that came to an end by itself without a value, and says why."""
_RETRIED = "retry_history"  # Optuna's


@dataclass(frozen=True)
class Seat:
    """A place at a study; ``name`` is its number and a token of this life, for a number is taken again."""

    number: int
    name: str
    lock: FileLock

    def release(self) -> None:
        """Give the place back."""
        self.lock.release()


def take_seat(run: Path, study: str) -> Seat:
    """Return the first free place of a study in a run folder.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = workers_folder(run, study)
    for number in count():
        lock = FileLock(folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        name = f"{number}-{secrets.token_hex(4)}"
        write_atomically(folder / f"{number}.name", name.encode())
        return Seat(number, name, lock)
    raise AssertionError("there is no last number")


def reclaim(study: optuna.Study, run: Path) -> list[int]:
    """Fail the trials whose worker is dead, put each up again once, and return the numbers of those put up.

    A database with a heartbeat knows who is dead; elsewhere the lock of the worker's seat tells. Put up is every trial
    that ended without a result of its own: also one whose worker was interrupted, and one whose finder died before he
    had put it up. Only for who holds ``ask_lock``: a running trial without a seat has no living worker then.
    """
    beats = is_heartbeat_enabled(study._storage)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if SEAT not in trial.user_attrs or not (beats or _is_alive(run, study.study_name, trial)):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
        retry = RetryHeartbeatStaleTrialCallback(max_retry=1)
    trials = study.get_trials(deepcopy=False)
    again = {number for trial in trials for number in trial.system_attrs.get(_RETRIED, [])}
    lost = [trial for trial in trials if is_lost(trial) and trial.number not in again and not is_retry(trial)]
    for trial in lost:
        fresh = copy.deepcopy(trial)  # what the storage remembers must stay as it is
        fresh.user_attrs = {key: value for key, value in trial.user_attrs.items() if key == DEFAULT}
        retry(study, fresh)
    return [trial.number for trial in lost]


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial failed because its worker did, and says nothing of its configuration."""
    return trial.state == TrialState.FAIL and MESSAGE not in trial.user_attrs


def is_retry(trial: FrozenTrial) -> bool:
    """Whether a trial is one that was put up again."""
    return bool(trial.system_attrs.get(_RETRIED))


def _is_alive(run: Path, study: str, trial: FrozenTrial) -> bool:
    name = str(trial.user_attrs[SEAT])
    folder, number = workers_folder(run, study), name.partition("-")[0]
    try:
        if (folder / f"{number}.name").read_text() != name:
            return False  # somebody else sits there now
        with FileLock(folder / f"{number}.lock").acquire(timeout=0):
            return False
    except FileNotFoundError:
        return False
    except Timeout:
        return True
