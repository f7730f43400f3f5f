"""Who may make a study, who works on which trial, and what seeds draw."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import studies._run
from benchmark.errors import PrunebenchError
from benchmark.store.folders import open_run
from studies._locks import ask_lock
from studies._loop import Loop
from studies._meaning import open_study
from studies._outcomes import settled
from studies._run import _put_up_default, opened, run_study
from studies._seats import SEAT, reclaim, take_seat
from studies._space import space
from studies._spec import Named, StorageSpec, StudySpec
from studies._storage import open_storage
from tests.study_worker import FakeJudge, FakeLab, spec_of


def made(run: Path) -> optuna.Study:
    storage = open_storage(StorageSpec(), run, create=True)
    return open_study(storage, "s", ["minimize"], {"spec": "abc"}, create=True)


def _creator(spec: StudySpec, run: Path, barrier: Any, said: Any) -> None:
    (point,) = spec.points()
    found = space(spec, point)
    barrier.wait()
    try:
        study = opened(spec, point, run, found, create=True)
        _put_up_default(study, run, found)
        said.put("made")
    except Exception as error:
        said.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("kind", ["journal", "postgres"])
@pytest.mark.parametrize("same", [True, False])
def test_of_many_that_make_a_study_at_once_one_meaning_wins(
    kind: str, same: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    storage = {} if kind == "journal" else {"url": request.getfixturevalue("database")}
    context = multiprocessing.get_context("fork")
    barrier, said = context.Barrier(4), context.Queue()
    specs = [spec_of(storage=storage, seed=0 if same else number) for number in range(4)]
    runs = [tmp_path / (str(number) if kind == "postgres" else "run") for number in range(4)]  # a machine each
    others = [context.Process(target=_creator, args=(specs[i], runs[i], barrier, said)) for i in range(4)]
    for other in others:
        other.start()
    heard = [said.get(timeout=120) for _ in others]
    for other in others:
        other.join()
    assert heard.count("made") == (4 if same else 1), heard
    assert same or sum("of another meaning (seed:" in one for one in heard) == 3, heard
    (name,) = optuna.get_all_study_names(found := open_storage(StorageSpec(**storage), runs[0], create=True))
    assert len(optuna.load_study(study_name=name, storage=found).trials) == 1  # the default, once


# --- seats ------------------------------------------------------------------------------------------------------------


def test_a_seat_that_is_taken_again_is_not_who_sat_there(tmp_path: Path) -> None:
    study = made(tmp_path)
    first, second = take_seat(tmp_path, "s"), take_seat(tmp_path, "s")
    assert (first.number, second.number) == (0, 1)
    for seat in (first, second):
        study.ask().set_user_attr(SEAT, seat.name)
    first.release()
    third = take_seat(tmp_path, "s")
    assert third.number == 0 and third.name != first.name
    assert reclaim(study, tmp_path) == [0]
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    assert reclaim(study, tmp_path) == []
    second.release()
    assert reclaim(study, tmp_path) == [1]
    third.release()


def test_seats_of_two_studies_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    seats = [take_seat(tmp_path, name) for name in ("s", "other")]
    assert [seat.number for seat in seats] == [0, 0]
    for seat in seats:
        seat.release()


def test_what_is_put_up_again_has_its_parameters_and_nothing_of_its_past(tmp_path: Path) -> None:
    study = made(tmp_path)
    study.enqueue_trial({"x": 0.25}, user_attrs={"default": True})
    trial = study.ask()
    assert trial.suggest_float("x", 0, 1) == 0.25
    for name in (SEAT, "cell", "seconds"):
        trial.set_user_attr(name, "old")
    before = study.get_trials()[0]
    assert reclaim(study, tmp_path) == [0]
    again = study.get_trials()[1]
    assert again.state == TrialState.WAITING and again.params == {"x": 0.25} and again.user_attrs == {"default": True}
    remembered = study.get_trials(deepcopy=False)[0]
    assert remembered.system_attrs == before.system_attrs  # as another process reads it
    assert study.ask().suggest_float("x", 0, 1) == 0.25


def test_a_running_trial_without_a_seat_in_a_database_has_no_worker(database: str, tmp_path: Path) -> None:
    settings = StorageSpec(url=database, heartbeat=60)
    study = open_study(open_storage(settings, tmp_path, create=True), "s", ["minimize"], {"spec": "abc"}, create=True)
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        study.ask()  # no heart beats for it yet: Optuna would never call it dead
    with ask_lock(study._storage, tmp_path, "s"):
        assert reclaim(study, tmp_path) == [0]
    assert not (tmp_path / "studies").exists()  # the database holds the lock


# --- seeds ------------------------------------------------------------------------------------------------------------


def worked(run: Path, **changes: Any) -> list[dict[str, Any]]:
    """Let one worker do a study from scratch, and return the parameters of its trials."""
    open_run(run, create=True)
    spec = spec_of(trials=8, **changes)
    (point,) = spec.points()
    found = space(spec, point)
    study = opened(spec, point, run, found, create=True)
    _put_up_default(study, run, found)
    lab: Any = FakeLab(run)
    judge: Any = FakeJudge()
    Loop(spec, point, study, found, lab=lab, judge=judge, seat="0-x", say=lambda _: None).work()
    assert len(settled(study.trials)) == 8
    return [trial.params for trial in study.trials]


def test_one_worker_draws_the_same_again(tmp_path: Path) -> None:
    first, again, other = (worked(tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert first == again
    assert first[0] == other[0] and all(a != b for a, b in zip(first[1:], other[1:], strict=True))  # 0 is the default


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "NSGAIISampler", "QMCSampler"])
def test_workers_of_one_seed_never_draw_the_same(tmp_path: Path, sampler: str) -> None:
    spec = spec_of(sampler=Named(name=sampler).model_dump(), trials=12)
    (point,) = spec.points()
    found = space(spec, point)
    drawn = []
    for _ in range(6):  # each a worker that has just begun, all at work at once
        study = opened(spec, point, tmp_path, found, create=True)
        trial = study.ask()
        drawn.append(trial.suggest_float("alpha", 0, 1))
    assert len(set(drawn)) == 6


# --- the driver -------------------------------------------------------------------------------------------------------


def _dead(*_: object, **__: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", "raise SystemExit(3)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    process.wait()
    return process


def test_workers_that_die_before_their_order_are_told_by_their_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies._run, "spawn", _dead)
    monkeypatch.setattr(studies._run, "_prepare", lambda *_: None)
    spec = spec_of()
    with pytest.raises(PrunebenchError, match=r"3 trial\(s\) are missing and the workers ended with code\(s\) 3, 3"):
        run_study(spec, spec.points()[0], tmp_path / "out", workers=2, quiet=True)


def test_a_study_that_is_done_starts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked(tmp_path / "out")
    monkeypatch.setattr(studies._run, "spawn", lambda *_, **__: pytest.fail("a worker was started"))
    spec = spec_of(trials=8)
    assert len(run_study(spec, spec.points()[0], tmp_path / "out", workers=2, quiet=True).trials) == 8


def test_workers_are_one_a_gpu_and_each_sees_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(trials=9)
    (point,) = spec.points()
    monkeypatch.setattr(studies._run, "visible_gpus", lambda: ["2", "5"])
    assert studies._run._workers(spec, point, None) == 2
    assert studies._run._places(3) == [{"CUDA_VISIBLE_DEVICES": name} for name in ("2", "5", "2")]
    monkeypatch.setattr(studies._run, "visible_gpus", lambda: [])
    monkeypatch.setattr(studies._run.os, "cpu_count", lambda: 4)
    assert studies._run._workers(spec, point, None) == 4
    assert studies._run._places(2) == [{}, {}]
    monkeypatch.setattr(studies._run, "is_timed", lambda _: True)
    assert studies._run._workers(spec, point, None) == 1
