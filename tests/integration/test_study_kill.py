"""Workers of a study are killed: what they had in hand is done once more, nothing is lost and nothing done twice."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from benchmark.store.records import records
from studies._locks import ask_lock
from studies._outcomes import settled
from studies._run import _put_up_default, checked, opened
from studies._seats import DEFAULT, SEAT, is_lost, is_retry, reclaim
from studies._space import space
from studies._spec import StudySpec, load_study
from tests.study_worker import spec_of

DEADLINE = 300
ROOT = Path(__file__).parents[2]


class Workshop:
    """A study in a folder, and the processes that work on it."""

    def __init__(self, run: Path, spec: StudySpec) -> None:
        self.run, self.spec = run, spec
        (self.point,) = spec.points()
        self.found = space(spec, self.point)
        self.study = opened(spec, self.point, run, self.found, create=True)
        self.put_up()
        self.processes: list[Process] = []

    def put_up(self) -> None:
        _put_up_default(self.study, self.run, self.found)

    def reclaim(self) -> list[int]:
        with ask_lock(self.study._storage, self.run, self.point.name):
            return reclaim(self.study, self.run)

    def start(self, name: str, die: str | None = None) -> Process:
        order = {"spec": self.spec.model_dump(mode="json"), "run": str(self.run), "name": name, "die": die}
        self.processes.append(Process([sys.executable, "-m", "tests.study_worker", json.dumps(order)]))
        return self.processes[-1]

    def gate(self, name: str) -> FileLock:
        """Return what holds the worker of that name in mid-trial as long as it is held."""
        return FileLock(self.run / f"{name}.gate")

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials()

    def check(self, retried: int) -> None:
        """Look for what must hold at the end, however many were killed."""
        trials = self.trials()
        assert len(settled(trials)) == self.spec.trials
        assert not [trial.number for trial in trials if not trial.state.is_finished()]
        lost = [trial for trial in trials if is_lost(trial)]
        assert sum(map(is_retry, trials)) == retried
        done = [trial for trial in trials if not is_lost(trial)]
        for shared in (
            Counter(json.dumps(trial.params, sort_keys=True) for trial in done),
            Counter(trial.user_attrs.get("cell", trial.number) for trial in done),
        ):
            assert set(shared.values()) == {1}  # nothing was done twice
        assert len(list((self.run / "cells").iterdir())) <= len(done) + len(lost)


class Process:
    """A worker, whose lines can be waited for."""

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.popen = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self._rest = b""

    def hear(self, kind: str) -> Any:
        """Return the next thing of a kind that the worker says."""
        end = time.monotonic() + DEADLINE
        assert self.popen.stdout is not None
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                event = json.loads(line)
                if kind in event:
                    return event[kind]
                continue
            assert select.select([self.popen.stdout], [], [], max(0, end - time.monotonic()))[0], f"no {kind}"
            more = os.read(self.popen.stdout.fileno(), 1 << 16)
            assert more, f"ended before it said {kind}: {self._errors()}"
            self._rest += more

    def kill(self) -> None:
        self.popen.kill()
        assert self.popen.wait(DEADLINE) == -signal.SIGKILL

    def end(self, code: int = 0) -> str:
        """Wait for the end and return what was said to standard error."""
        _, errors = self.popen.communicate(timeout=DEADLINE)
        assert self.popen.returncode == code, errors.decode()
        return errors.decode()

    def _errors(self) -> str:
        return self.popen.stderr.read().decode() if self.popen.stderr else ""


@pytest.fixture(params=["journal", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    storage: dict[str, Any] = {}
    if request.param == "postgres":
        storage = {"url": request.getfixturevalue("database"), "heartbeat": 1, "grace": 2}
    yield from made(tmp_path, storage)


@pytest.fixture
def in_database(database: str, tmp_path: Path) -> Iterator[Workshop]:
    yield from made(tmp_path, {"url": database, "heartbeat": 1, "grace": 2})


@pytest.fixture
def in_journal(tmp_path: Path) -> Iterator[Workshop]:
    yield from made(tmp_path, {})


def made(run: Path, storage: dict[str, Any]) -> Iterator[Workshop]:
    shop = Workshop(run, spec_of(trials=4, storage=storage))
    yield shop
    for process in shop.processes:
        process.popen.kill()
        process.popen.communicate()
    backend = getattr(shop.study._storage, "_backend", None)
    if isinstance(backend, optuna.storages.RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


def until(found: Any) -> Any:
    """Return the first thing that is found."""
    end = time.monotonic() + DEADLINE
    while not (seen := found()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
    return seen


# --- a worker is killed in mid-trial --------------------------------------------------------------------------------


def test_the_other_worker_does_the_trial_of_a_killed_one_once_more(shop: Workshop) -> None:
    with ExitStack() as gates:
        gates.enter_context(shop.gate("a"))
        b_waits = gates.enter_context(ExitStack())
        b_waits.enter_context(shop.gate("b"))
        a = shop.start("a")
        cell = a.hear("in_hand")
        b = shop.start("b")
        assert b.hear("in_hand") != cell  # two at once, and no two of the same
        a.kill()
        b_waits.close()
        assert b.end() == ""
    trials = shop.trials()
    killed = trials[0]
    (again,) = [trial for trial in trials if is_retry(trial)]
    assert killed.state == TrialState.FAIL and is_lost(killed)
    assert again.state == TrialState.COMPLETE
    assert again.params == killed.params and again.user_attrs["cell"] == cell
    assert again.user_attrs[DEFAULT] is True and again.user_attrs[SEAT] != killed.user_attrs[SEAT]
    assert [trial.number for trial in trials if is_lost(trial)] == [0]
    assert len(trials) == shop.spec.trials + 1
    shop.check(retried=1)


def test_a_new_worker_goes_on_and_a_second_kill_is_the_end_of_that_trial(shop: Workshop) -> None:
    with shop.gate("a"):
        for retried in (False, True):
            a = shop.start("a")
            a.hear("in_hand")
            (in_hand,) = [trial for trial in shop.trials() if trial.state == TrialState.RUNNING]
            assert is_retry(in_hand) is retried
            a.kill()
            if not retried:
                assert until(shop.reclaim) == [0]  # a journal knows at once, a database after its grace
    assert shop.start("b").end() == ""
    first, second = (trial for trial in shop.trials() if is_lost(trial))
    assert second.params == first.params and is_retry(second)
    shop.check(retried=1)
    shop.put_up()  # as the same command again does: the default configuration is still to be had
    assert shop.trials()[-1].state == TrialState.WAITING and shop.trials()[-1].user_attrs == {DEFAULT: True}


@pytest.mark.parametrize("place", ["before the seat", "among the notes", "before it tells"])
def test_a_kill_at_any_moment_of_a_trial_costs_one_retry(shop: Workshop, place: str) -> None:
    assert shop.start("a", die=place).popen.wait(DEADLINE) == -signal.SIGKILL
    assert shop.start("b").end() == ""
    (again,) = [trial for trial in shop.trials() if is_retry(trial)]
    assert again.user_attrs[DEFAULT] is True and again.state == TrialState.COMPLETE
    assert shop.trials()[0].state == TrialState.FAIL
    shop.check(retried=1)


def test_who_finds_a_dead_worker_may_die_too(shop: Workshop) -> None:
    assert shop.start("a", die="before it tells").popen.wait(DEADLINE) == -signal.SIGKILL
    assert shop.start("b", die="before it puts up").popen.wait(DEADLINE) == -signal.SIGKILL
    assert shop.trials()[0].state == TrialState.FAIL and not any(map(is_retry, shop.trials()))
    assert shop.start("c").end() == ""
    shop.check(retried=1)


def test_a_trial_that_had_failed_by_itself_counts_and_is_not_done_again(shop: Workshop) -> None:
    assert shop.start("a", die="before the failure is told").popen.wait(DEADLINE) == -signal.SIGKILL
    assert shop.start("b").end() == ""
    assert shop.trials()[0].state == TrialState.FAIL and "as asked for" in shop.trials()[0].user_attrs["message"]
    assert len(shop.trials()) == shop.spec.trials
    shop.check(retried=0)


def test_an_interrupted_trial_is_put_up_again_too(in_journal: Workshop) -> None:
    with in_journal.gate("a"):
        a = in_journal.start("a")
        a.hear("in_hand")
        a.popen.send_signal(signal.SIGINT)
        assert a.popen.wait(DEADLINE) != 0
    assert in_journal.trials()[0].state == TrialState.FAIL
    in_journal.put_up()
    assert sum(DEFAULT in trial.user_attrs for trial in in_journal.trials()) == 2  # the retry, and no third
    assert in_journal.start("b").end() == ""
    in_journal.check(retried=1)


# --- a worker that lives --------------------------------------------------------------------------------------------


def test_two_workers_share_the_last_trials_and_make_none_too_many(shop: Workshop) -> None:
    workers = [shop.start(name) for name in ("a", "b")]
    assert [worker.end() for worker in workers] == ["", ""]
    assert len(shop.trials()) == shop.spec.trials
    shop.check(retried=0)


def test_a_slow_worker_keeps_its_trial_as_long_as_its_heart_beats(in_database: Workshop, postgres: Any) -> None:
    shop = in_database
    with shop.gate("a"):
        a = shop.start("a")
        a.hear("in_hand")
        b = shop.start("b")
        for _ in range(shop.spec.trials - 1):
            b.hear("ended")
        beats: set[Any] = set()
        while len(beats) < 5:  # a second each, and the grace is two
            beats |= until(lambda: new_beats(shop) - beats)  # noqa: B023  (called at once)
    assert (a.end(), b.end()) == ("", "")
    assert [trial.state for trial in shop.trials()] == [TrialState.COMPLETE] * shop.spec.trials


def new_beats(shop: Workshop) -> set[Any]:
    from sqlalchemy import text

    with shop.study._storage._backend.engine.connect() as connection:  # type: ignore[attr-defined]
        return set(connection.execute(text("SELECT max(heartbeat) FROM trial_heartbeats")).scalars())


def test_a_worker_that_slept_and_was_given_up_lets_its_trial_go(in_database: Workshop) -> None:
    shop = in_database
    with shop.gate("a"):
        a = shop.start("a")
        a.hear("in_hand")
        a.popen.send_signal(signal.SIGSTOP)
        assert shop.start("b").end() == ""
    a.popen.send_signal(signal.SIGCONT)
    assert a.hear("lost") == 0
    assert a.end() == ""
    assert shop.trials()[0].state == TrialState.FAIL
    shop.check(retried=1)


def test_a_journal_that_is_lost_in_mid_trial_is_one_line(in_journal: Workshop) -> None:
    with in_journal.gate("a"):
        a = in_journal.start("a")
        a.hear("in_hand")
        (in_journal.run / "studies" / "journal.log").unlink()
    said = a.end(2).strip()
    assert "journal.log: cannot be" in said and "\n" not in said


def test_a_database_that_is_lost_in_mid_trial_is_one_line(in_database: Workshop, postgres: Any) -> None:
    url = in_database.spec.storage.url
    name = str(url).partition("@/")[2].partition("?")[0]
    with in_database.gate("a"):
        a = in_database.start("a")
        a.hear("in_hand")
        postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
    said = a.end(2)
    postgres.run(f"CREATE DATABASE {name}")  # for the fixture to drop
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith(f"storage {url} does not answer any more: ")


# --- the whole thing ------------------------------------------------------------------------------------------------


def child_at_seat(driver: int, run: Path, number: str) -> int | None:
    """Return the child of a driver that holds the lock of a seat."""
    lock = run / "studies" / "tiny-study" / "workers" / f"{number}.lock"
    for child in Path(f"/proc/{driver}/task/{driver}/children").read_text().split():
        for handle in Path(f"/proc/{child}/fd").iterdir():
            if handle.exists() and handle.resolve() == lock.resolve():
                return int(child)
    return None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="processes are found by /proc")
def test_a_study_whose_worker_is_killed_is_finished_by_the_same_command(tmp_path: Path) -> None:
    run, spec = tmp_path / "out", load_study("tiny")
    (point,) = spec.points()
    found = checked(spec, point)
    command = ["-P", "-m", "benchmark", "study", "run", "tiny", "--workers", "2", "--quiet", "--out", str(run)]
    driver = Process([sys.executable, *command])

    def in_hand() -> list[FrozenTrial]:
        if driver.popen.poll() is not None or not (run / "studies" / "journal.log").is_file():
            assert driver.popen.poll() is None, driver.end()
            return []
        try:
            study = opened(spec, point, run, found, create=False)
        except Exception:
            return []
        return [one for one in study.get_trials() if one.state == TrialState.RUNNING and SEAT in one.user_attrs]

    try:
        victim = until(in_hand)[0]
        child = until(lambda: child_at_seat(driver.popen.pid, run, victim.user_attrs[SEAT].partition("-")[0]))
        os.kill(child, signal.SIGKILL)
        driver.end()
        Process([sys.executable, *command]).end()
    finally:
        driver.popen.kill()
    trials = opened(spec, point, run, found, create=False).get_trials()
    assert len(settled(trials)) == spec.trials
    assert [trial.number for trial in trials if is_lost(trial)] == [victim.number]
    (retried,) = [trial for trial in trials if is_retry(trial)]
    killed = trials[victim.number]  # perhaps before all its parameters were drawn
    assert killed.params.items() <= retried.params.items()
    finished = Counter(record.cell for record in records(run) if record.ok)
    assert finished and set(finished.values()) == {1}
