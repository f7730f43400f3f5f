"""A worker of a study whose trials cost nothing: the real loop, storage, seats and locks, and a fake laboratory.

``python -m tests.study_worker ORDER``: ORDER is JSON with ``spec``, ``run``, ``name`` (the gate is the file lock
``<run>/<name>.gate``: whoever holds it holds the worker in mid-trial) and ``die`` (where it kills itself, if it does).
It says what it does in lines of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock

import studies._loop
import studies._seats
from benchmark.errors import PrunebenchError
from benchmark.specs import Leaderboard, digest
from benchmark.store.records import Record
from studies._loop import Loop
from studies._run import opened
from studies._seats import take_seat
from studies._space import space
from studies._spec import StudySpec, load_study
from studies._storage import answering
from studies._trial import Outcome


def spec_of(**changes: Any) -> StudySpec:
    """Return the preset ``tiny`` without a test and without a pruner, with changes."""
    data = load_study("tiny").model_dump(mode="json", exclude_unset=True) | {"test": None, "pruner": None} | changes
    return StudySpec.parse(data, "the test's spec")


class FakeLab:
    """Gives each cell a record in memory, after its gate was open."""

    def __init__(self, run: Path, name: str = "worker", say: Any = lambda _: None, fail: bool = False) -> None:
        self.run, self.gate, self.say, self.fail = run, FileLock(run / f"{name}.gate"), say, fail

    def carry_out(self, board: Leaderboard, watch: object = None) -> Outcome:
        """Wait for the gate, note the cell if it is new, and return its record."""
        cell = digest({"grid": board.grid, "training": board.training})[:16]
        self.say({"in_hand": cell})
        with self.gate:
            pass
        place = self.run / "cells" / cell
        place.parent.mkdir(exist_ok=True)
        reused = place.exists()
        place.touch()
        alpha = board.grid[0].methods[0].options.get("alpha", 0.25)
        data: dict[str, Any] = {"status": "ok", "alpha": alpha}
        if self.fail:
            data |= {"status": "failed", "error": {"type": "ValueError", "message": "as asked for"}}
        return Outcome(Record(cell, "0", place, data), reused, 0 if reused else 6, 6, 0.0)


class FakeJudge:
    """The value of a trial is its alpha's distance from 0.3."""

    def values(self, record: Record) -> list[float]:
        return [abs(record.data["alpha"] - 0.3)]

    def excess(self, record: Record) -> dict[str, float]:
        return {}

    def done(self, record: Record) -> None:
        pass


def die(*_: object, **__: object) -> None:
    """End as a process ends that is killed: at once, with nothing tidied."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(place: str, loop: Loop) -> None:
    """Arrange for this process to be killed at a place that no signal from outside hits surely."""
    if place == "before the seat":
        loop._sit_down = die  # type: ignore[method-assign]
    elif place == "among the notes":
        loop.study._storage.set_trial_user_attr = _dies_on("steps_trained", loop.study._storage.set_trial_user_attr)  # type: ignore[method-assign]
    elif place == "before it tells":
        loop.study.tell = die  # type: ignore[method-assign]
        loop._told = die  # type: ignore[assignment, method-assign]
    elif place == "before the failure is told":
        loop.lab.fail = True  # type: ignore[attr-defined]
        studies._loop.TrialFailedError = die  # type: ignore[assignment, misc]
    elif place == "before it puts up":
        studies._seats.RetryHeartbeatStaleTrialCallback = lambda **_: die  # type: ignore[assignment, misc]
    else:
        raise AssertionError(place)


def _dies_on(name: str, real: Any) -> Any:
    return lambda trial, key, value: die() if key == name else real(trial, key, value)


def main(order: dict[str, Any]) -> int:
    """Work as a worker process of a study does."""

    def say(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True)

    studies._loop.PAUSE = 0.05
    spec, run = StudySpec.parse(order["spec"], "the test's spec"), Path(order["run"])
    (point,) = spec.points()
    found = space(spec, point)
    study = opened(spec, point, run, found, create=True)
    seat = take_seat(run, point.name)
    lab: Any = FakeLab(run, order["name"], say)
    judge: Any = FakeJudge()
    loop = Loop(spec, point, study, found, lab=lab, judge=judge, seat=seat.name, say=say)
    if order.get("die"):
        die_at(order["die"], loop)
    with answering(spec.storage):
        loop.work()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background
    try:
        sys.exit(main(json.loads(sys.argv[1])))
    except PrunebenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
