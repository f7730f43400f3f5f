"""Who is alive: each worker of a study holds a kernel file lock, which a dead process gives back."""

from __future__ import annotations

import secrets
import warnings
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages._heartbeat import is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState

from benchmark.errors import SpecError, StoreError
from benchmark.store.files import write_atomically
from studies._storage import retry_once

SEAT = "seat"
"""The attribute of a trial that says who works on it."""


@dataclass(frozen=True)
class Seat:
    """A place at a study; ``name`` is its number and a token of this life, for a number is taken again."""

    number: int
    name: str
    lock: FileLock

    def release(self) -> None:
        """Give the place back."""
        self.lock.release()


def take_seat(run: Path, study: str, alone: bool) -> Seat:
    """Return the first free place of a study in a run folder.

    Raises:
        SpecError: ``alone``, and another process works on the study.
        StoreError: the folder cannot be written.
    """
    folder = _folder(run, study)
    for number in count():
        lock = FileLock(folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if alone:
                raise SpecError(
                    f"study {study!r}: another process works on it, and SQLite is for one; wait for it, or take the "
                    "journal file or PostgreSQL"
                ) from None
            continue
        name = f"{number}-{secrets.token_hex(4)}"
        write_atomically(folder / f"{number}.name", name.encode())
        return Seat(number, name, lock)
    raise AssertionError("there is no last number")


def ask_lock(run: Path, study: str) -> FileLock:
    """Return the lock under which a trial is taken, so that no two workers take the last one."""
    return FileLock(_folder(run, study) / "ask.lock")


def reclaim(study: optuna.Study, run: Path) -> list[int]:
    """Fail the trials whose worker is dead, put each up again once, and return their numbers.

    A database with a heartbeat knows by itself; elsewhere the lock of the worker's seat tells. Only for who holds
    ``ask_lock``: a trial that has no seat yet then has no living worker.
    """
    if is_heartbeat_enabled(study._storage):
        before = _running(study)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        left = {trial.number for trial in _running(study)}
        return [trial.number for trial in before if trial.number not in left]
    retry = retry_once()
    dead = [trial for trial in _running(study) if not _is_alive(run, study.study_name, trial)]
    for trial in dead:
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        retry(study, trial)
    return [trial.number for trial in dead]


def _running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _is_alive(run: Path, study: str, trial: FrozenTrial) -> bool:
    name = trial.user_attrs.get(SEAT)
    if name is None:
        return False
    folder, number = _folder(run, study), str(name).partition("-")[0]
    try:
        if (folder / f"{number}.name").read_text() != name:
            return False  # somebody else sits there now
        with FileLock(folder / f"{number}.lock").acquire(timeout=0):
            return False
    except FileNotFoundError:
        return False
    except Timeout:
        return True


def _folder(run: Path, study: str) -> Path:
    folder = run / "studies" / study / "workers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made ({error.strerror}); give a folder you may write to") from None
    return folder
